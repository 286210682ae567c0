"""How requests get out: aiohttp's client behind the small `Transport` protocol, so that it can be replaced."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from ..providers.base import Response, Transport, TransportError, WireRequest

KEEPALIVE: Final = 75.0
READ_BUFFER: Final = 256 * 1024
"""Bytes an upstream may be ahead of the client before it is made to wait."""

_LINGER: Final = 2.0
"""Seconds that the end of a body may take after all that matters of it was read."""

_MOST_URLS: Final = 256


class AiohttpResponse:
    """See `providers.base.Response`."""

    __slots__ = ("_content", "_lingering", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, lingering: set[aiohttp.ClientResponse]) -> None:
        self._response = response
        self._lingering = lingering
        self._content = response.content
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        try:
            parts = [await self._content.readany()]
            size = len(parts[0])
            while parts[-1]:
                if size > limit:
                    self.abort()
                    raise TransportError("invalid_reply", "The reply is too long.")
                parts.append(await self._content.readany())
                size += len(parts[-1])
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self.abort()
            raise _read_error(error) from error
        return parts[0] if len(parts) == 2 else b"".join(parts)

    async def chunk(self) -> bytes:
        """What has come."""
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self.abort()
            raise _read_error(error) from error

    def abort(self) -> None:
        """Drop the connection."""
        self._response.close()

    def release(self) -> None:
        """Let aiohttp give the connection back by itself when the end of the body comes; it gets a moment for that."""
        if not self._content.is_eof():
            self._lingering.add(self._response)
            asyncio.get_running_loop().call_later(_LINGER, self._over)

    def _over(self) -> None:
        self._response.close()
        self._lingering.discard(self._response)


class AiohttpTransport:
    """aiohttp's client without what a gateway must not have: cookies, redirects, the environment's proxies, limits."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}
        self._lingering: set[aiohttp.ClientResponse] = set()

    async def open(self, request: WireRequest, connect_timeout: float) -> Response:
        """Send, and wait for the headers. Redirects are not followed: they would carry the key elsewhere."""
        session = self._session or self._start()
        try:
            response = await session.request(
                request.method,
                self._url(request.url),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout, ceil_threshold=60),
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _open_error(error) from error
        return AiohttpResponse(response, self._lingering)

    async def close(self) -> None:
        """Drop all connections."""
        for response in self._lingering:
            response.close()
        self._lingering.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _start(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE,
            ssl=self._tls if self._tls is not None else True,
            ttl_dns_cache=60,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),  # not asked for, an answer is rarely packed
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            read_bufsize=READ_BUFFER,
        )
        return self._session

    def _url(self, text: str) -> URL:
        found = self._urls.get(text)
        if found is None:
            if len(self._urls) >= _MOST_URLS:
                self._urls.clear()
            found = self._urls[text] = URL(text)
        return found


class SchemeTransport:
    """Sends `mock://…` to the built-in provider and everything else over the network."""

    def __init__(self, network: Transport, mock: Transport | None) -> None:
        self._network = network
        self._mock = mock

    async def open(self, request: WireRequest, connect_timeout: float) -> Response:
        """See `Transport`."""
        if request.url.startswith("mock:"):
            if self._mock is None:
                raise TransportError("upstream_unreachable", "There is no mock provider here.")
            return await self._mock.open(request, connect_timeout)
        return await self._network.open(request, connect_timeout)

    async def close(self) -> None:
        """See `Transport`."""
        await self._network.close()
        if self._mock is not None:
            await self._mock.close()


def _open_error(error: Exception) -> TransportError:  # noqa: PLR0911 - a table in words
    """Which of the ways to get no headers this was, in words without addresses' details."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TransportError("upstream_unreachable", "The server's name could not be resolved.")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError | ssl.CertificateError):
        return TransportError("upstream_tls", "The secure connection could not be set up.")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return TransportError("upstream_unreachable", "The server did not accept a connection in time.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return TransportError("upstream_unreachable", "No connection to the server.")
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return TransportError("upstream_unreachable", "The server's address is not a usable URL.")
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return TransportError("upstream_reset", "The server closed the connection without an answer.")
    return TransportError("invalid_reply", "The server's answer is not proper HTTP.")


def _read_error(error: Exception) -> TransportError:
    if isinstance(error, aiohttp.ClientPayloadError) and "content-encoding" in str(error).lower():
        return TransportError("invalid_reply", "The answer could not be decompressed.")
    return TransportError("upstream_reset", "The connection broke off in the middle of the answer.")
