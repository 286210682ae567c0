"""The site on the LAN's port: routes and middlewares, nothing else."""

from __future__ import annotations

from aiohttp import web

from ..control import Control
from ..core.const import MAX_BODY_BYTES
from . import openai, openapi, router_api
from .access import log_middleware
from .bodies import BODIES, Bodies
from .context import CONTROL, errors_middleware
from .guard import add_headers, guard_middleware


def build_app(control: Control) -> web.Application:
    """Everything that is served on port 4000."""
    middlewares = [log_middleware, errors_middleware, guard_middleware]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)
    app[CONTROL] = control
    app[BODIES] = Bodies()
    app.on_response_prepare.append(add_headers)
    app.add_routes([*openai.ROUTES, *router_api.ROUTES, *openapi.ROUTES])
    return app
