"""The site on the LAN's port: routes and middlewares, nothing else."""

from __future__ import annotations

from aiohttp import web

from ..control import Control
from ..core.const import MAX_BODY_BYTES
from . import openai, router_api
from .bodies import BODIES, Bodies
from .context import CONTROL, errors_middleware
from .guard import add_headers, guard_middleware


def build_app(control: Control) -> web.Application:
    """Everything that is served on port 4000."""
    app = web.Application(middlewares=[errors_middleware, guard_middleware], client_max_size=MAX_BODY_BYTES)
    app[CONTROL] = control
    app[BODIES] = Bodies()
    app.on_response_prepare.append(add_headers)
    app.add_routes([*openai.ROUTES, *router_api.ROUTES])
    return app
