"""The listening sockets: the LAN's site and the ingress site."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import socket
from typing import Any, Final

from aiohttp import web

from ..config.settings import Auth
from ..core.records import dataclass
from ..doors.line import LineRunner
from ..doors.server import build_app
from ..home_assistant.supervisor import About
from .assembly import House

_LOG: Final = logging.getLogger(__name__)
_BACKLOG: Final = 1024
_MOST_FILES: Final = 65_536
_NO_MORE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TOLD_AGAIN: Final = 60.0
"""Seconds."""
_SERVER: Final[dict[str, Any]] = {
    "access_log": None,
    "handler_cancellation": True,
    "keepalive_timeout": 75,
    "shutdown_timeout": 1,
}


@dataclass(slots=True)
class Site:
    """A runner with its sockets' port."""

    runner: web.AppRunner
    sites: list[web.SockSite]
    port: int

    async def stop_listening(self) -> None:
        """Refuse new connections; those there are go on."""
        for site in self.sites:
            await site.stop()
        self.sites.clear()

    async def close(self) -> None:
        await self.runner.cleanup()


def raise_file_limit() -> None:
    """Home Assistant's system allows 1024 open files at first; a thousand held streams need two thousand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def tell_of_no_more_files(loop: asyncio.AbstractEventLoop) -> None:
    """Have it told once in a while that no more connections can be taken.

    asyncio tells it of each that waits, up to `_BACKLOG` in a turn and again each second, with a traceback: that takes seconds and
    fills the log.
    """
    told = -_TOLD_AGAIN

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _NO_MORE or "socket" not in context:
            loop.default_exception_handler(context)
        elif loop.time() - told >= _TOLD_AGAIN:
            told = loop.time()
            most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            words = "New connections wait: %s. At most %d files and connections may be open at a time"
            _LOG.warning(words, error.strerror, most)

    loop.set_exception_handler(handle)


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets for a host, or for every IPv4 and IPv6 address where it is "". Raises OSError where none can be had."""
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [_listen(family, host, port)]
    first = _listen(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - serving the LAN is the point
    with contextlib.suppress(OSError):  # a machine without IPv6 serves IPv4 alone
        return [first, _listen(socket.AF_INET6, "::", first.getsockname()[1])]
    return [first]


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    # IPPROTO_TCP named: asyncio sets TCP_NODELAY only on sockets that say so.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, _refused(host, port, error)) from error
    sock.setblocking(False)
    return sock


def _refused(host: str, port: int, error: OSError) -> str:
    """Why nobody can listen there, in words."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use already: is another router running?"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} is not for this user: take one from 1024 on"
    return f"{host}: no address of this machine to listen on ({error.strerror})"


async def start_lan(house: House) -> Site:
    """Serve the API. A client that hangs up cancels its handler, and with it the upstream call."""
    runner = LineRunner(build_app(house.control), **_SERVER)
    return await _start(runner, open_sockets(house.settings.http.host, house.settings.http.port))


async def start_ingress(house: House, host: str, port: int, lan_port: int, about: About) -> Site:
    """Serve the status page for Home Assistant's sidebar."""
    from ..dashboard.site import build_site  # noqa: PLC0415 - only where there is an ingress
    from ..dashboard.status import Reach  # noqa: PLC0415 - likewise

    def reach() -> Reach:
        keys, info = house.gateway.world.auth is Auth.KEYS, about.info
        if info is None:
            return Reach(lan_port, keys=keys)
        lan_host = f"{info.lan_hostname}.local" if info.lan_hostname else ""
        return Reach(info.lan_port, lan_host, info.hostname, keys)

    runner = web.AppRunner(build_site(house.control, house.bus, reach, house.clock), **_SERVER)
    return await _start(runner, open_sockets(host, port))


async def _start(runner: web.AppRunner, sockets: list[socket.socket]) -> Site:
    await runner.setup()
    site_list = [web.SockSite(runner, sock, backlog=_BACKLOG) for sock in sockets]
    for site in site_list:
        await site.start()
    return Site(runner, site_list, sockets[0].getsockname()[1])
