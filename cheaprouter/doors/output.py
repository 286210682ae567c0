"""A reply's bytes on their way to the client: whole in one write, or piece by piece as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import rfc822_formatted_time

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


def head(status: int, headers: Mapping[str, str], last: str) -> bytes:
    """A status line and headers, `last` (lines with their ends) after them. Raises ValueError for a header that holds a line's end."""
    lines = "\r\n".join((f"HTTP/1.1 {status} {_REASONS.get(status, '')}", *map(": ".join, headers.items())))
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header holds the end of a line")
    text = f"{lines}\r\n{last}Date: {rfc822_formatted_time()}\r\nServer: CheapRouter\r\n\r\n"
    return text.encode()


def whole(status: int, headers: Mapping[str, str], body: bytes, last: str = "") -> bytes:
    """A reply of JSON."""
    last = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{last}"
    return head(status, headers, last) + body


class Output:
    """A streamed reply in chunks: `start`, any number of `write`, `end`. All of it at once, without waiting.

    `paused`: the client does not read as fast as is written, and whoever writes on all the same fills memory. Once it has
    caught up `on_resume` is called, and `drained` returns. `started`: the status is out, and cannot be taken back.
    """

    __slots__ = ("_head", "_loop", "_protocol", "_waiter", "on_resume", "paused", "started")

    def __init__(self, protocol: BaseProtocol, loop: asyncio.AbstractEventLoop) -> None:
        self._protocol = protocol
        self._loop = loop
        self._head = b""
        self._waiter: asyncio.Future[None] | None = None
        self.on_resume: Callable[[], None] | None = None
        self.paused = protocol.writing_paused
        self.started = False

    def start(self, headers: Mapping[str, str]) -> None:
        """Send status 200 and the headers, in one write with the first piece, be it an empty one."""
        self._head = head(200, headers, "Transfer-Encoding: chunked\r\n")
        self.started = True

    def write(self, piece: bytes) -> None:
        """Send a piece. Raises ConnectionResetError where the client is gone."""
        if not piece:  # an empty chunk would end the reply
            if self._head:
                self._send(b"")
            return
        transport = self._protocol.transport
        if self._head or transport is None or transport.is_closing():
            self._send(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        """Say that this was all. Raises ConnectionResetError where the client is gone."""
        self._send(b"0\r\n\r\n")

    async def drained(self) -> None:
        """Wait until the client has caught up; for one at a time, and cancelled where the client leaves."""
        if self.paused:
            self._waiter = self._loop.create_future()
            await self._waiter

    def resumed(self) -> None:
        """Told by the connection when its client has caught up."""
        self.paused = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.on_resume is not None:
            self.on_resume()

    def _send(self, data: bytes) -> None:
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client is gone.")
        if self._head:
            data, self._head = self._head + data, b""
        transport.write(data)
