"""Every error leaves in OpenAI's shape, ours and aiohttp's alike."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from ..core.const import MAX_BODY_BYTES
from ..core.errors import BodyTooLargeError, CheapRouterError, InvalidRequestError, MethodNotAllowedError, NotFoundError
from ..wire.openai_chat.encode import error_body

_LOG: Final = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def error_response(error: CheapRouterError, headers: dict[str, str] | None = None) -> web.Response:
    """Render one of our errors."""
    merged = {**error.headers, **(headers or {})}
    return web.Response(body=error_body(error), status=error.status, headers=merged, content_type="application/json")


@web.middleware
async def errors_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what handlers and aiohttp raise into a body that SDKs can read."""
    try:
        return await handler(request)
    except CheapRouterError as error:
        return error_response(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return error_response(translate(request, error), _kept_headers(error))
    except ConnectionResetError:
        raise
    except Exception:  # noqa: BLE001 - a bug of ours must still leave as an error that clients can read
        # The last line before a client: it gets a true 500, the log gets the traceback.
        _LOG.exception("%s %s failed", request.method, request.path)
        return error_response(CheapRouterError("The router failed to handle this request; its log says why."))


def translate(request: web.Request, error: web.HTTPException) -> CheapRouterError:
    """One of aiohttp's errors, as one of ours."""
    if error.status == 404:
        return NotFoundError(
            f"There is no `{request.path}` here. The API lives under `/v1`, such as `/v1/chat/completions`."
        )
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowedError(f"`{request.path}` does not take {request.method}; it takes {allowed}.")
    if error.status == 413:
        return BodyTooLargeError(f"The body is larger than {MAX_BODY_BYTES // (1024 * 1024)} MiB.")
    failure = InvalidRequestError(error.reason or "Bad request.")
    failure.status = error.status
    return failure


def _kept_headers(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
