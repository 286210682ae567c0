"""The site on the LAN's port: routes and middlewares, nothing else."""

from __future__ import annotations

from aiohttp import web

from ..control import Control
from ..core.const import MAX_BODY_BYTES
from .context import CONTROL
from .errors import errors_middleware
from .guard import add_headers, guard_middleware
from .openai import chat, models
from .router_api import routes as router_api
from .router_api import service


def build_app(control: Control) -> web.Application:
    """Everything that is served on port 4000."""
    app = web.Application(middlewares=[errors_middleware, guard_middleware], client_max_size=MAX_BODY_BYTES)
    app[CONTROL] = control
    app.on_response_prepare.append(add_headers)
    app.add_routes(
        [
            web.post("/v1/chat/completions", chat.chat_completions),
            web.post("/chat/completions", chat.chat_completions),  # for clients given the address without /v1
            web.get("/v1/models", models.list_models),
            web.get("/models", models.list_models),
            web.get("/v1/models/{id:.+}", models.get_model),
            web.get("/v1/audit", service.audit),
            web.get("/v1/metrics", service.metrics_summary),
            web.get("/metrics", service.prometheus),
            web.get("/health", service.health),
            web.get("/", service.landing),
            *router_api.ROUTES,
        ]
    )
    return app
