"""Keeps web pages of strangers out: a browser in the home can reach this service, and must not be made to use it.

Two doors are watched. A page elsewhere sends `Origin`: it must be this site or a configured one. A page whose own name
was pointed at our address (DNS rebinding) sends that name as `Host`: without keys, only names of a home are served.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from ..config.settings import Auth
from ..core.errors import InvalidRequestError, PermissionDeniedError
from ..world import World
from .context import CONTROL, Handler, seen

CORS: Final = web.RequestKey("cors", dict)
SERVER_NAME: Final = "CheapRouter"
_HOME_SUFFIXES: Final = (
    ".local",
    ".lan",
    ".home",
    ".internal",
    ".home.arpa",
    ".localhost",
    ".localdomain",
    ".fritz.box",
    ".ts.net",
)
INGRESS_HEADERS: Final = ("X-Remote-User-Id", "X-Remote-User-Name", "X-Remote-User-Display-Name")
_PUBLIC: Final = frozenset({"/health"})
_EXPOSED: Final = (
    "x-request-id, x-cheaprouter-model, x-cheaprouter-provider, x-cheaprouter-attempts, x-cheaprouter-reason, "
    "x-cheaprouter-cost-usd, x-cheaprouter-cache, retry-after, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens"
)


@functools.lru_cache(maxsize=256)
def host_name(host: str) -> str:
    """The name of a Host header or an origin's authority, without the port, in lower case; "" for nonsense."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


@functools.lru_cache(maxsize=256)
def is_home_name(name: str) -> bool:
    """Whether a host name is an address, a single word, or of a domain that no stranger can register."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_HOME_SUFFIXES)
    return True


def host_allowed(host: str, world: World) -> bool:
    """Whether a request that names this host is served: without keys, only names of a home are."""
    if not host or world.auth is not Auth.OPEN:
        return True
    name = host_name(host)
    return is_home_name(name) or name in world.settings.http.allowed_hosts


def origin_allowed(
    origin: str, host: str, configured: tuple[str, ...], names: tuple[str, ...] = (), scheme: str = ""
) -> bool:
    """Whether a page of that origin may call: a configured one, or this site under a name of the home or one of `names`.

    `scheme`: by which this request left its client, where a trusted proxy says so; a page of the other one is another site.
    """
    if "*" in configured or origin in configured:
        return True
    given, _, authority = origin.lower().partition("://")
    if not authority or authority != host.lower() or (scheme and given != scheme):
        return False
    name = host_name(host)
    return is_home_name(name) or name in names


@web.middleware
async def guard_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check Host and Origin, answer preflights, and refuse headers that only ingress may send."""
    headers = request.headers
    if (origin := headers.get(hdrs.ORIGIN)) is not None:
        _check_origin(request, origin)
        if request.method == hdrs.METH_OPTIONS and "Access-Control-Request-Method" in headers:
            return _preflight(request)
    _check_host(request)
    for name in INGRESS_HEADERS:
        if name in headers:
            raise InvalidRequestError(
                f"`{name}` is only taken from Home Assistant's ingress, not on this port.", code="header_not_allowed"
            )
    return await handler(request)


def _check_host(request: web.Request) -> None:
    host = request.headers.get(hdrs.HOST, "")
    if request.path not in _PUBLIC and not host_allowed(host, request.app[CONTROL].world):
        raise PermissionDeniedError(
            f"`{host_name(host)[:100]}` is not a name of this home. Use the address or local name, turn keys on (`auth: keys`), "
            "or list the name under `http.allowed_hosts`.",
            code="host_not_allowed",
        )


def _check_origin(request: web.Request, origin: str) -> None:
    http, host = request.app[CONTROL].world.settings.http, request.headers.get(hdrs.HOST, "")
    if not origin_allowed(origin, host, http.cors_origins, http.allowed_hosts, seen(request).scheme):
        raise PermissionDeniedError(
            f"Pages of `{origin[:100]}` may not call this router. List the origin under `http.cors_origins` if they should.",
            code="origin_not_allowed",
        )
    request[CORS] = {"Access-Control-Allow-Origin": origin, "Vary": "Origin", "Access-Control-Expose-Headers": _EXPOSED}


def _preflight(request: web.Request) -> web.Response:
    wanted = request.headers.get("Access-Control-Request-Headers", "authorization, content-type")
    headers = {
        "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
        "Access-Control-Allow-Headers": wanted,
        "Access-Control-Max-Age": "600",
    }
    return web.Response(status=204, headers=headers)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: put an id and the CORS headers on whatever is about to leave, and tell no versions to strangers."""
    response.headers["Server"] = SERVER_NAME
    if "x-request-id" not in response.headers:
        response.headers["x-request-id"] = request.app[CONTROL].gateway.new_id()
    if (cors := request.get(CORS)) is not None:
        response.headers.update(cors)
