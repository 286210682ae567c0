"""The beginning of a connection through a proxy: one question (CONNECT, RFC 9110 9.3.6), and the head of its answer."""

from __future__ import annotations

import asyncio
import re
from typing import Final, cast

from ..providers.endpoint import Origin
from ..providers.transport import TransportError

_LONGEST_ANSWER: Final = 16 * 1024
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_END: Final = b"\r\n\r\n"


class Tunnel(asyncio.Protocol):
    """See the module. Once a proxy has let it through, the transport is another's."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._head = b""

    async def ask(self, origin: Origin, login: str) -> asyncio.Transport:
        """The way to the origin. Raises TransportError where the proxy does not let us through."""
        transport = self._transport
        if transport is None:
            raise _unanswered()
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
        if login:
            lines.append(f"Proxy-Authorization: {login}")
        self._answer = asyncio.get_running_loop().create_future()
        transport.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))
        head = await self._answer
        status = _STATUS.match(head)
        if status is None or status[1][:1] != b"2" or not head.endswith(_END):
            said = status[1].decode() if status else "none"
            raise TransportError(
                "upstream_unreachable", f"The proxy did not let the connection through (status: {said})."
            )
        return transport

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._answer is None or self._answer.done():
            self.drop()
        elif _END in self._head or len(self._head) > _LONGEST_ANSWER:
            self._answer.set_result(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # closed or broken, there is no way
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_unanswered())


def _unanswered() -> TransportError:
    return TransportError("upstream_unreachable", "The proxy closed the connection without an answer.")
