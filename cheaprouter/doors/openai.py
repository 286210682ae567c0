"""OpenAI's endpoints. Of a request nothing is left out: unknown fields go on as they came."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ..core.errors import CheapRouterError, ModelNotFoundError
from ..core.ids import other_spelling
from ..core.models import Caller
from ..gateway import Reply, limit_headers
from ..wire.openai_chat import request as protocol
from .bodies import READING
from .context import BOOKED, CONTROL, error_response, for_reader, json_response, let_in, read_json, translate

STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Serve one chat completion, whole or as a stream."""
    control = request.app[CONTROL]
    gateway, caller = control.gateway, None
    try:
        caller = let_in(request)
        request[BOOKED] = True
        checked = protocol.parse(await read_json(request))
        checked.size = request[READING].size
    except CheapRouterError as error:
        return _refuse(request, error, caller)
    except web.HTTPException as error:
        return _refuse(request, translate(request, error), caller)
    request_id = gateway.new_id()
    try:
        reply = await gateway.serve(checked, caller, request_id=request_id)
    except CheapRouterError as error:
        headers = limit_headers(error, control.accounts.rate_headers(caller.device_id))
        return error_response(error, {"x-request-id": request_id, **headers})
    if reply.body is not None:
        reply.close()
        return web.Response(body=reply.body, headers=reply.headers, content_type="application/json")
    return await _stream(request, reply)


def _refuse(request: web.Request, error: CheapRouterError, caller: Caller | None) -> web.Response:
    """Answer what never reached the gateway, and book it, unless nobody knows for whom: who has no key gets no row."""
    gateway = request.app[CONTROL].gateway
    request_id = gateway.new_id() if caller is None else gateway.refused(error, caller, "")
    return error_response(error, {"x-request-id": request_id})


async def _stream(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Write each piece as it comes; whatever happens, the reply is closed, and with it the upstream's."""
    response = web.StreamResponse(headers={**reply.headers, **STREAM_HEADERS})
    assert reply.chunks is not None
    try:
        await response.prepare(request)
        async for piece in reply.chunks:
            if isinstance(piece, bytes):  # and never an event, since that is what was asked for
                await response.write(piece)
        await response.write_eof()
    except ConnectionResetError:
        pass  # The client left; closing books what it had, and there is nobody to tell.
    finally:
        reply.close()
    return response


async def list_models(request: web.Request) -> web.Response:
    """All ids that a client may name: profiles, aliases and every routable model."""
    return json_response({"object": "list", "data": for_reader(request).models()})


async def get_model(request: web.Request) -> web.Response:
    """One of them; ids contain slashes. Raises ModelNotFoundError."""
    wanted = request.match_info["id"]
    models = {model["id"]: model for model in for_reader(request).models()}
    if found := models.get(wanted) or models.get(other_spelling(wanted)):
        return json_response(found)
    raise ModelNotFoundError(f"There is no model `{wanted}` here; `/v1/models` lists those there are.")


ROUTES: Final = [
    web.post("/v1/chat/completions", chat_completions),
    web.post("/chat/completions", chat_completions),  # for clients given the address without /v1
    web.get("/v1/models", list_models),
    web.get("/models", list_models),
    web.get("/v1/models/{id:.+}", get_model),
]
