"""What handlers share: the application's parts, who is asking, and errors in OpenAI's shape, ours and aiohttp's alike."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from ..config.settings import Auth
from ..control import Control
from ..core.addresses import Seen
from ..core.const import MAX_BODY_BYTES
from ..core.errors import (
    AuthenticationError,
    CheapRouterError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    PermissionDeniedError,
    UnsupportedMediaTypeError,
)
from ..core.models import Caller, KeyKind
from ..wire.decode import decode, decode_in_turns
from ..wire.embedded import LONG
from ..wire.openai_chat.encode import error_body
from ..wire.written import written
from .bodies import BODIES, READING, GivenUpError, Reading, too_large

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOG: Final = logging.getLogger(__name__)

CONTROL: Final = web.AppKey("control", Control)
BOOKED: Final = web.RequestKey("booked", bool)
"""Of a request whose end is told elsewhere."""

CALLER: Final = web.RequestKey("caller", Caller)
"""Who asked, once that is known."""

_JSON_TYPES: Final = frozenset({"application/json", "text/json", "application/octet-stream"})


def seen(request: web.Request) -> Seen:
    """Where a request comes from."""
    return request.app[CONTROL].world.proxies.caller(request.remote or "", request.headers)


def let_in(request: web.Request) -> Caller:
    """Who asks for what is served and booked: a device that is known from now on. Raises AuthenticationError."""
    gateway = request.app[CONTROL].gateway
    caller = gateway.accounts.identify(request.headers, seen(request).address, gateway.world.auth)
    request[CALLER] = caller
    return caller


def identify(request: web.Request) -> Caller:
    """Who asks for anything else: anyone in open mode, whoever has a key otherwise. Raises AuthenticationError."""
    gateway = request.app[CONTROL].gateway
    caller = gateway.accounts.recognize(request.headers, seen(request).address, gateway.world.auth)
    request[CALLER] = caller
    return caller


def for_reader(request: web.Request) -> Control:
    """The application's parts, for whoever `identify` lets in."""
    identify(request)
    return request.app[CONTROL]


def sees(request: web.Request) -> str | None:
    """Whose figures the caller may read: with a device's key, where keys are needed, that device's alone; None: everyone's.

    Raises AuthenticationError.
    """
    caller = identify(request)
    keys = request.app[CONTROL].world.auth is Auth.KEYS
    return caller.device_id if keys and caller.key is not KeyKind.ADMIN else None


def for_house(request: web.Request) -> Control:
    """The application's parts, for whoever may read everyone's figures. Raises PermissionDeniedError, AuthenticationError."""
    if (device_id := sees(request)) is not None:
        raise not_yours(device_id)
    return request.app[CONTROL]


def not_yours(device_id: str) -> PermissionDeniedError:
    """For a device that asks for what is somebody else's."""
    return PermissionDeniedError(
        f"This key reads what is about its own device, `{device_id}`. Everyone's figures need the admin key.",
        code="admin_key_required",
    )


def for_admin(request: web.Request) -> Control:
    """The same for the admin key alone, in either mode. Raises PermissionDeniedError, AuthenticationError."""
    if identify(request).key is not KeyKind.ADMIN:
        raise PermissionDeniedError(
            "This changes the router and needs its admin key: send `Authorization: Bearer <admin key>`. "
            "The key is in the file `admin_key` of the data folder; in Home Assistant it is in the app's log.",
            code="admin_key_required",
        )
    return request.app[CONTROL]


def is_admin(request: web.Request) -> bool:
    """Whether the request brings the admin key; a wrong key or none is no error here."""
    gateway = request.app[CONTROL].gateway
    try:
        caller = gateway.accounts.look_up(request.headers, seen(request).address, gateway.world.auth)
    except AuthenticationError:
        return False
    return caller.key is KeyKind.ADMIN


async def read_json(request: web.Request, *, empty: Any = None) -> Any:
    """Decode the body. Raises InvalidRequestError, UnsupportedMediaTypeError, BodyTooLargeError, GivenUpError."""
    if (request.content_length or 0) > MAX_BODY_BYTES:  # said before it is sent: nothing of it need be read
        raise too_large()
    reading = request[READING] = Reading(request.app[BODIES], request)
    try:
        raw = await reading.read()
    except web.RequestPayloadError as error:
        raise InvalidRequestError(
            "The body cannot be read: it does not match its own headers.", code="invalid_body"
        ) from error
    kind = request.headers.get("Content-Type", "")
    if not is_json(kind):
        raise UnsupportedMediaTypeError(
            f"The body must be JSON (`Content-Type: application/json`), not `{_essence(kind)[:80]}`."
        )
    if not raw and empty is not None:
        return empty
    return decode(raw) if len(raw) <= LONG else await decode_in_turns(raw)


def is_json(kind: str) -> bool:
    """Whether a body of that content type may be JSON; one that says nothing may."""
    if not kind or kind == "application/json":
        return True
    essence = _essence(kind)
    return essence in _JSON_TYPES or essence.endswith("+json")


def _essence(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()


def json_response(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=written(data), status=status, headers=headers, content_type="application/json")


def error_response(error: CheapRouterError, headers: dict[str, str] | None = None) -> web.Response:
    """Render one of our errors."""
    merged = {**error.headers, **(headers or {})}
    response = web.Response(
        body=error_body(error), status=error.status, headers=merged, content_type="application/json"
    )
    if isinstance(error, GivenUpError):
        response.force_close()
    return response


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
        return error_response(internal_error())
    finally:
        if (reading := request.get(READING)) is not None:
            reading.close()


def internal_error() -> CheapRouterError:
    """What a client is told of a bug."""
    return CheapRouterError("The router failed to handle this request; its log says why.")


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
        return too_large()
    failure = InvalidRequestError(error.reason or "Bad request.")
    failure.status = error.status
    return failure


def _kept_headers(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
