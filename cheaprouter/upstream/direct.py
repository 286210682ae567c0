"""The transport on the request path: aiohttp's connection and its parser, without the client session around them.

A session makes a request object, a cookie jar's answer, a redirect's history and a timer for every call: two thirds of what
a gateway spends on a request (`benchmarks/`). None of it is wanted here, so this module keeps connections itself and speaks to
aiohttp's `ResponseHandler`, the class that reads a connection: parsing, chunks, decompression and back-pressure are all
aiohttp's. It is not part of aiohttp's documented interface; the fault catalogue's tests hold in place what is used of it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohappyeyeballs import start_connection
from aiohttp import http_exceptions
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from ..providers.adapter import Response, TransportError, WireRequest

KEEPALIVE: Final = 75.0
"""Seconds an unused connection is kept."""

READ_BUFFER: Final = 256 * 1024
"""Bytes an upstream may be ahead of the client before it is made to wait."""

_LINGER: Final = 2.0
"""Seconds that the end of a body may take after all that matters of it was read."""

_MOST_HOSTS: Final = 256
_SECOND_ADDRESS: Final = 0.25
"""Seconds until a host's next address is tried beside the first: a broken IPv6 must not cost a time-out (RFC 8305)."""

_CONNECT_ERRORS: Final = (
    (TimeoutError, "The server did not accept a connection in time."),
    (socket.gaierror, "The server's name could not be resolved."),
    (ssl.SSLError, "The secure connection could not be set up."),
    ((OSError, ValueError), "No connection to the server."),
)
_READ_ERRORS: Final = (aiohttp.ClientError, http_exceptions.HttpProcessingError, OSError, ValueError)


class Host:
    """Where connections go, and those that wait for their next request."""

    __slots__ = ("authority", "idle", "name", "path", "port", "tls")

    def __init__(self, url: str) -> None:
        parts = _split(url)
        self.tls = parts.scheme == "https"
        self.name = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.authority = parts.netloc.rpartition("@")[2]
        self.idle: deque[tuple[ResponseHandler, float]] = deque()


class DirectResponse(Response):
    """See `providers.adapter.Response`."""

    __slots__ = ("_connection", "_content", "_host", "headers", "status")

    def __init__(
        self, host: Host, connection: ResponseHandler, message: RawResponseMessage, content: StreamReader
    ) -> None:
        self._host = host
        self._connection: ResponseHandler | None = connection
        self._content = content
        self.status = message.code
        self.headers: Mapping[str, str] = message.headers
        content.on_eof(self._ended)

    async def chunk(self) -> bytes:
        try:
            return await self._content.readany()
        except _READ_ERRORS as error:
            self.abort()
            raise _read_error(error) from error

    def abort(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def release(self) -> None:
        """The connection goes back by itself once the body's end has come; it gets a moment to come."""
        if self._connection is not None:
            asyncio.get_running_loop().call_later(_LINGER, self.abort)

    def _ended(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.should_close:
            connection.close()
        else:
            self._host.idle.append((connection, asyncio.get_running_loop().time()))


class DirectTransport:
    """Keep-alive connections to upstreams, as many as requests need. No cookies, redirects or proxies."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._hosts: dict[str, Host] = {}

    async def open(self, request: WireRequest, connect_timeout: float) -> Response:
        """Send, and wait for the headers. Redirects are not followed: they would carry the key elsewhere."""
        host = self._host(request.url)
        head = _head(request, host)
        while (kept := _reusable(host)) is not None:
            try:
                return await self._exchange(host, kept, head, request.body)
            except TransportError as error:
                if error.code != "upstream_reset":
                    raise
                # The server had closed it meanwhile: that says nothing of a new one.
        connection = await self._connect(host, connect_timeout)
        return await self._exchange(host, connection, head, request.body)

    @staticmethod
    async def _exchange(host: Host, connection: ResponseHandler, head: bytes, body: bytes | None) -> Response:
        try:
            _send(connection, head, body)
            while True:
                message, content = await connection.read()
                if message.code >= 200:
                    return DirectResponse(host, connection, message, content)
        except (aiohttp.ClientError, OSError) as error:
            connection.abort()
            raise TransportError("upstream_reset", "The server closed the connection without an answer.") from error
        except http_exceptions.HttpProcessingError as error:
            connection.abort()
            raise TransportError("invalid_reply", "The server's answer is not proper HTTP.") from error
        except asyncio.CancelledError:
            connection.abort()
            raise

    async def close(self) -> None:
        for host in self._hosts.values():
            for connection, _ in host.idle:
                connection.close()
        self._hosts.clear()

    def _host(self, url: str) -> Host:
        found = self._hosts.get(url)
        if found is None:
            if len(self._hosts) >= _MOST_HOSTS:
                self._hosts.pop(next(iter(self._hosts)))
            try:
                found = self._hosts[url] = Host(url)
            except ValueError as error:
                raise TransportError("upstream_unreachable", "The server's address is not a usable URL.") from error
        return found

    async def _connect(self, host: Host, limit: float) -> ResponseHandler:
        try:
            async with asyncio.timeout(limit):
                return await self._new_connection(host)
        except (OSError, ValueError) as error:
            refused = isinstance(error, ConnectionRefusedError)
            broken = isinstance(error, ssl.SSLError | ConnectionError) and not refused
            code = "upstream_tls" if host.tls and broken else "upstream_unreachable"
            words = next(words for kind, words in _CONNECT_ERRORS if isinstance(error, kind))
            raise TransportError(code, words) from error

    async def _new_connection(self, host: Host) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
        sock = await start_connection(found, happy_eyeballs_delay=_SECOND_ADDRESS, interleave=1)
        try:
            if host.tls and self._tls is None:
                self._tls = await loop.run_in_executor(None, ssl.create_default_context)
            tls, name = (self._tls, host.name) if host.tls else (None, None)
            _, connection = await loop.create_connection(
                lambda: ResponseHandler(loop), sock=sock, ssl=tls, server_hostname=name
            )
        except BaseException:
            sock.close()
            raise
        # Long-lived streams have their own limits of time (`watchdog`); one parser serves every reply of the connection.
        connection.set_response_params(read_until_eof=True, auto_decompress=True, read_bufsize=READ_BUFFER)
        return connection


def _split(url: str) -> SplitResult:
    """Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or " " in url:
        raise ValueError(url)
    return parts


def _reusable(host: Host) -> ResponseHandler | None:
    """A waiting connection that is still good, the one used last; those that are not are dropped."""
    idle = host.idle
    if not idle:
        return None
    oldest = asyncio.get_running_loop().time() - KEEPALIVE
    while idle and idle[0][1] < oldest:
        idle.popleft()[0].close()
    while idle:
        connection, _ = idle.pop()
        if connection.is_connected() and not connection.should_close:
            return connection
        connection.close()
    return None


def _head(request: WireRequest, host: Host) -> bytes:
    """The request line and headers. Raises TransportError where a header could smuggle in another."""
    lines = [f"{request.method} {host.path} HTTP/1.1", f"Host: {host.authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if request.body is not None:
        lines.append(f"Content-Length: {len(request.body)}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise TransportError("upstream_unreachable", "A configured header holds a line break.")
    try:
        return text.encode("latin-1") + b"\r\n\r\n"
    except UnicodeEncodeError as error:
        words = "A configured header holds characters that HTTP has not."
        raise TransportError("upstream_unreachable", words) from error


def _send(connection: ResponseHandler, head: bytes, body: bytes | None) -> None:
    """One write: the body is in memory anyway. Raises ConnectionError where the connection has just gone."""
    if connection.transport is None:
        raise ConnectionResetError
    connection.transport.write(head if body is None else head + body)


def _read_error(error: Exception) -> TransportError:
    if isinstance(error, http_exceptions.ContentEncodingError) or "content-encoding" in str(error).lower():
        return TransportError("invalid_reply", "The answer could not be decompressed.")
    return TransportError("upstream_reset", "The connection broke off in the middle of the answer.")
