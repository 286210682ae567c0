"""The ingress site: one page, its three files, the status as JSON and as a live stream.

All that can be changed here is that somebody has read what was lost of the books.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import field
from functools import cache
from importlib.resources import files
from typing import Final

import orjson
from aiohttp import WSMsgType, web

from ..control import Control
from ..core.calendar import Clock
from ..core.events import EventBus
from ..core.records import dataclass
from .peers import Visitor, admit
from .status import Reach, language, status

LIVE_CLIENTS: Final = 16
"""Open pages that are kept up to date by push; further ones ask every few seconds."""

_PUSH_SECONDS: Final = 1.0
"""Least time between two pushes, however many requests come in."""

_IDLE_SECONDS: Final = 15.0
"""A push is due after this long without any event: times and what is left of limits move on by themselves."""

_STATIC: Final = {"app.js": "text/javascript", "style.css": "text/css", "icon.svg": "image/svg+xml"}

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(slots=True)
class Page:
    """What the handlers share."""

    control: Control
    bus: EventBus
    reach: Callable[[], Reach]
    clock: Clock
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    latest: tuple[float, bytes] | None = None

    async def status(self) -> bytes:
        """The status as JSON, at most a second old: several open pages cost no more than one."""
        moment = self.clock.monotonic()
        if self.latest is None or moment - self.latest[0] >= _PUSH_SECONDS:
            body = await status(self.control, self.reach(), self.clock.utcnow())
            self.latest = (moment, orjson.dumps(body, default=str, option=orjson.OPT_NON_STR_KEYS))
        return self.latest[1]


PAGE: Final = web.AppKey("page", Page)
_VISITOR: Final = web.RequestKey("visitor", Visitor)


def build_site(control: Control, bus: EventBus, reach: Callable[[], Reach], clock: Clock) -> web.Application:
    """The site as an application of its own; the caller binds it to the ingress port."""
    app = web.Application(middlewares=[_guard], client_max_size=64 * 1024)
    app[PAGE] = Page(control, bus, reach, clock)
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/status.json", _status),
            web.get("/live", _live),
            web.post("/problems/ack", _acknowledge),
            web.get("/strings/{language}.json", _strings),
            *(web.get(f"/{name}", _file) for name in _STATIC),
        ]
    )
    app.on_shutdown.append(_close_sockets)
    return app


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Serve only whom `admit` lets in, and put the safety headers on every answer."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    visitor = admit(peer[0] if peer else None, request.headers)
    if visitor is None:
        told = "This page is reached through Home Assistant's sidebar.\n"
        return web.Response(status=403, text=told, headers=_HEADERS)
    request[_VISITOR] = visitor
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        return web.Response(status=refusal.status, text=f"{refusal.reason}\n", headers=_HEADERS)
    if not response.prepared:
        response.headers.update(_HEADERS)
    return response


async def _page(request: web.Request) -> web.Response:
    visitor = request[_VISITOR]
    known = strings()
    lang = language(request.headers.get("Accept-Language", ""), tuple(known))
    values = {
        "lang": lang,
        "base": f'<base href="{html.escape(visitor.base)}/">' if visitor.base else "",
        "languages": " ".join(known),
        "visitor": html.escape(visitor.name),
        "strings": json.dumps(known[lang], ensure_ascii=False).replace("<", "\\u003c"),
    }
    page = re.sub(r"%(\w+)%", lambda mark: values[mark[1]], _read("page.html"))
    return web.Response(text=page, content_type="text/html")


async def _file(request: web.Request) -> web.Response:
    name = request.path.rpartition("/")[2]
    return web.Response(text=_read(name), content_type=_STATIC[name])


async def _strings(request: web.Request) -> web.Response:
    known = strings()
    wanted = request.match_info["language"]
    if wanted not in known:
        raise web.HTTPNotFound
    return web.json_response(known[wanted])


async def _status(request: web.Request) -> web.Response:
    return web.Response(body=await request.app[PAGE].status(), content_type="application/json")


async def _acknowledge(request: web.Request) -> web.Response:
    """Somebody has read what was lost: hard budgets go by what is left of the books from now on."""
    if request.headers.get("X-Requested-With") != "cheaprouter":  # no page from elsewhere can send that unasked
        raise web.HTTPForbidden
    page = request.app[PAGE]
    page.control.acknowledge_problems()
    page.latest = None
    return web.Response(status=204)


async def _live(request: web.Request) -> web.StreamResponse:
    """Push the status whenever something happened."""
    page = request.app[PAGE]
    if len(page.sockets) >= LIVE_CLIENTS:
        raise web.HTTPServiceUnavailable
    socket = web.WebSocketResponse(heartbeat=30.0, max_msg_size=1024)
    await socket.prepare(request)
    page.sockets.add(socket)
    pushing = asyncio.create_task(_push(page, socket), name="dashboard push")
    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:  # nothing is asked of us; text is ignored, anything else ends it
                break
    finally:
        page.sockets.discard(socket)
        pushing.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await pushing
        await socket.close()
    return socket


async def _push(page: Page, socket: web.WebSocketResponse) -> None:
    events = page.bus.subscribe(limit=1)
    try:
        while not socket.closed:
            await socket.send_bytes(await page.status())
            await asyncio.sleep(_PUSH_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await events.get()
            events.drain()
    finally:
        events.close()


async def _close_sockets(app: web.Application) -> None:
    for socket in list(app[PAGE].sockets):
        await socket.close(code=1001, message=b"restarting")


@cache
def _read(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


@cache
def strings() -> Mapping[str, Mapping[str, str]]:
    """The page's words by language, English first; written by script/update-strings from translations/."""
    words: dict[str, dict[str, str]] = json.loads(_read("strings.json"))
    return words
