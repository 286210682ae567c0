"""The transport on the request path: connections of our own (`connection`), kept for the next request to the same host."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from functools import partial
from typing import Final

from ..providers.endpoint import Origin
from ..providers.transport import Response, TransportError, WireRequest
from .connection import Connection
from .dial import Dialer
from .reply import READ_AT_ONCE

KEEPALIVE: Final = 75.0
"""Seconds an unused connection is kept."""

MOST_IDLE: Final = 128
"""Unused connections kept for one host."""

_CONNECT_ERRORS: Final = (
    (TimeoutError, "The server did not accept a connection in time."),
    (socket.gaierror, "The server's name could not be resolved."),
    (ssl.SSLError, "The secure connection could not be set up."),
    ((OSError, ValueError), "No connection to the server."),
)


class Host:
    """The connections to one origin that wait for their next request, with the time since when; the oldest first."""

    __slots__ = ("idle", "origin")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.idle: dict[Connection, float] = {}

    def take(self) -> Connection | None:
        """One that is open, as far as is known: the one used last is the least likely to be closed just now."""
        while self.idle:
            connection, _ = self.idle.popitem()
            if connection.usable:
                return connection
        return None


class DirectTransport:
    """Keep-alive connections to upstreams, as many as requests need. No cookies, no redirects."""

    def __init__(self) -> None:
        self._dialer = Dialer()
        self._buffer = memoryview(bytearray(READ_AT_ONCE))
        self._hosts: dict[Origin, Host] = {}
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def open(self, request: WireRequest, connect_timeout: float, request_id: str = "") -> Response:
        """Send, and wait for the headers. Redirects are not followed: they would carry the key elsewhere.

        A request goes out a second time only where a kept connection turned out to be closed and said nothing at all.
        """
        endpoint = request.endpoint
        origin = endpoint.origin
        if origin is None or endpoint.problem:
            raise TransportError("upstream_unreachable", endpoint.problem)
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = Host(origin)
        message = endpoint.message(request.body, request_id)
        kept, lost = host.take(), 0.0
        if kept is not None:
            sent = time.monotonic()
            try:
                return await kept.exchange(message, request.on_head, request.on_left)
            except TransportError:
                if not kept.silent:
                    raise
                lost = time.monotonic() - sent
        try:
            connection = await self._connect(host, connect_timeout)
            reply = await connection.exchange(message, request.on_head, request.on_left)
        except TransportError as error:
            error.again, error.lost = kept is not None, lost
            raise
        reply.again, reply.lost = kept is not None, lost
        return reply

    async def close(self) -> None:
        """Drop all connections, those in use too."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in [*self._open]:
            connection.close()
        self._hosts.clear()

    async def _connect(self, host: Host, limit: float) -> Connection:
        def made() -> Connection:
            return Connection(self._buffer, partial(self._keep, host), partial(self._forget, host))

        try:
            async with asyncio.timeout(limit):
                connection = await self._dialer.connect(host.origin, made)
        except (OSError, ValueError) as error:
            refused = isinstance(error, ConnectionRefusedError)
            broken = isinstance(error, ssl.SSLError | ConnectionError) and not refused
            code = "upstream_tls" if host.origin.tls and broken else "upstream_unreachable"
            words = next(words for kind, words in _CONNECT_ERRORS if isinstance(error, kind))
            raise TransportError(code, words, silent=isinstance(error, TimeoutError)) from error
        if connection.usable:
            self._open.add(connection)
        return connection

    def _keep(self, host: Host, connection: Connection) -> None:
        host.idle[connection] = time.monotonic()  # the clock of asyncio's timers, and uvloop's
        if len(host.idle) > MOST_IDLE:
            next(iter(host.idle)).drop()
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(KEEPALIVE, self._sweep)

    def _forget(self, host: Host, connection: Connection) -> None:
        host.idle.pop(connection, None)
        self._open.discard(connection)

    def _sweep(self) -> None:
        """Drop what has waited too long, and look again when the next one's time is over."""
        self._sweeper = None
        loop = asyncio.get_running_loop()
        now, oldest = loop.time(), None
        for host in self._hosts.values():
            for connection, since in [*host.idle.items()]:
                if since + KEEPALIVE > now:
                    oldest = since if oldest is None else min(oldest, since)
                    break
                connection.drop()
        if oldest is not None:
            self._sweeper = loop.call_at(oldest + KEEPALIVE, self._sweep)
