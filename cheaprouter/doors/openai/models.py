"""`GET /v1/models` and `/v1/models/{id}`: profiles, aliases and every routable model. Ids contain slashes."""

from __future__ import annotations

from aiohttp import web

from ...core.errors import ModelNotFoundError
from ..context import CONTROL, json_response, require_reader


async def list_models(request: web.Request) -> web.Response:
    """All ids that a client may name."""
    require_reader(request)
    return json_response({"object": "list", "data": request.app[CONTROL].models()})


async def get_model(request: web.Request) -> web.Response:
    """One of them. Raises ModelNotFoundError."""
    require_reader(request)
    wanted = request.match_info["id"]
    for model in request.app[CONTROL].models():
        if model["id"] == wanted:
            return json_response(model)
    raise ModelNotFoundError(f"There is no model `{wanted}` here; `/v1/models` lists those there are.")
