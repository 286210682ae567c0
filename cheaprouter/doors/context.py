"""What handlers share: the application's parts, and who is asking."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from ..config.settings import Auth
from ..control import Control
from ..core.errors import InvalidRequestError, PermissionDeniedError, UnsupportedMediaTypeError
from ..core.models import Caller, KeyKind
from ..wire.decode import decode

CONTROL: Final = web.AppKey("control", Control)
_JSON_TYPES: Final = frozenset({"application/json", "text/json", "application/octet-stream"})


def identify(request: web.Request) -> Caller:
    """Who asks. Raises AuthenticationError."""
    gateway = request.app[CONTROL].gateway
    return gateway.accounts.identify(request.headers, request.remote or "", gateway.world.auth)


def require_reader(request: web.Request) -> Caller:
    """Anyone in open mode, any key otherwise (`identify` sees to it)."""
    return identify(request)


def require_admin(request: web.Request) -> Caller:
    """The admin key, in either mode. Raises PermissionDeniedError, AuthenticationError."""
    caller = identify(request)
    if caller.key is not KeyKind.ADMIN:
        raise PermissionDeniedError(
            "This changes the router and needs its admin key: send `Authorization: Bearer <admin key>`. "
            "The key is in the file `admin_key` of the data folder; in Home Assistant it is in the app's log.",
            code="admin_key_required",
        )
    return caller


def is_open(request: web.Request) -> bool:
    """Whether callers need no key now."""
    return request.app[CONTROL].gateway.world.auth is Auth.OPEN


async def read_json(request: web.Request, *, empty: Any = None) -> Any:
    """Decode the body. Raises InvalidRequestError, UnsupportedMediaTypeError, and aiohttp's own 413."""
    announced, most = request.content_length or 0, request.client_max_size
    if announced > most:  # said before it is sent: nothing of it need be read
        raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=announced)
    try:
        raw = await request.read()
    except web.RequestPayloadError as error:
        raise InvalidRequestError(
            "The body cannot be read: it does not match its own headers.", code="invalid_body"
        ) from error
    kind = request.headers.get("Content-Type", "")
    if kind and kind != "application/json":
        essence = kind.partition(";")[0].strip().lower()
        if essence not in _JSON_TYPES and not essence.endswith("+json"):
            raise UnsupportedMediaTypeError(
                f"The body must be JSON (`Content-Type: application/json`), not `{essence[:80]}`."
            )
    if not raw and empty is not None:
        return empty
    return decode(raw)


def json_response(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=orjson.dumps(data, default=str), status=status, headers=headers, content_type="application/json"
    )
