"""One connection to an upstream: a request goes out in one write, httptools reads the reply, and what is not proper ends it.

It serves one request at a time, and another once the reply before it has ended cleanly and nothing is left over. What small
servers get wrong without leaving any doubt is let pass, as aiohttp does: lines that end without a carriage return, spaces after the
size of a chunk. A length told twice, or one beside chunks, is not.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ..providers.transport import TransportError
from .inflate import Inflater
from .reply import Reply

_MOST_HEAD: Final = 64 * 1024
"""Bytes that may come without one of a body among them: headers, interim answers, trailers."""

_LONGEST_FIELD: Final = 16 * 1024
"""Bytes that one header told in many lines may come to."""

_LONGEST_JOINED: Final = 1024
"""Bytes to which one more line is still added."""

_NOT_HTTP: Final = "The server's answer is not proper HTTP."
_UNKNOWN_ENCODING: Final = "The answer is encoded in a way that is not known here."
_UNANSWERED: Final = "The server closed the connection without an answer."
_BROKEN_OFF: Final = "The connection broke off in the middle of the answer."
_PLAIN: Final = (b"", b"identity")


class Connection(asyncio.BufferedProtocol):
    """See the module. `silent`: nothing has come since the last request went out.

    `buffer`: where bytes are read to, shared by all connections: asyncio asks for it, fills it and has it read in one go. (A
    plain protocol gets new bytes of 256 KiB for every read, which cost ten times what reading does.) `on_idle` is called when
    it can take another request, `on_lost` when it never will again, maybe more than once.
    """

    __slots__ = (
        "_body", "_buffer", "_complete", "_headers", "_held", "_keep", "_left", "_on_head", "_on_idle", "_on_lost", "_parser", "_refused", "_reply",
        "_since_body", "_transport", "_until_close", "_waiter", "on_body", "silent",
    )  # fmt: skip

    def __init__(
        self, buffer: memoryview, on_idle: Callable[[Connection], None], on_lost: Callable[[Connection], None]
    ) -> None:
        self._buffer = buffer
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._on_head: Callable[[int], bool] | None = None
        # A body's pieces, as a reader wants all of a read at once: the parser puts them there without a call of Python's for each.
        self._body: list[bytes] = []
        self.on_body = self._body.append
        parser = HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._parser: HttpResponseParser | None = parser
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._left: asyncio.Future[Reply] | None = None
        self._reply: Reply | None = None
        self._headers: dict[bytes, bytes] = {}
        self._refused = _NOT_HTTP
        self._since_body = 0
        self._complete = self._keep = self._until_close = self._held = False
        self.silent = True

    @property
    def usable(self) -> bool:
        """Whether it is open, as far as is known here."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(
        self,
        message: bytes,
        on_head: Callable[[int], bool] | None = None,
        on_left: Callable[[Connection], None] | None = None,
    ) -> Reply:
        """Send a request and wait for its reply's headers. Raises TransportError. A cancellation drops the connection.

        `on_head`, `on_left`: see `WireRequest`.
        """
        if self._transport is None:
            raise TransportError("upstream_reset", _UNANSWERED)
        self._since_body = 0
        self._complete = self._until_close = False
        self._headers = {}
        self.silent = True
        self._on_head = on_head
        waiter = self._waiter = asyncio.Future[Reply]()
        self._transport.write(message)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiter = waiter = asyncio.Future[Reply]()
            self._left = waiter
            if on_left is None:
                self._abort(waiter)
            else:
                on_left(self)
            raise
        finally:
            self._on_head = None

    async def reply(self) -> Reply:
        """Wait again for the reply that nobody waits for any longer, see `Exchange`."""
        waiter, self._left = self._left, None
        if waiter is None:
            raise TransportError("upstream_reset", _BROKEN_OFF)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._abort(waiter)
            raise

    def abandon(self) -> None:
        """Nobody will wait for that reply again."""
        if self._left is not None:
            self._abort(self._left)

    def _abort(self, waiter: asyncio.Future[Reply]) -> None:
        """Nobody wants that reply."""
        self._left = None
        if not waiter.done() or waiter.cancelled():
            self.drop()
        elif waiter.exception() is None:
            waiter.result().abort()

    def drop(self) -> None:
        """Close at once; neither who waits nor who reads is told."""
        self._waiter = self._reply = self._parser = None
        if self._transport is not None:
            self._transport.abort()
        self._on_lost(self)

    def close(self) -> None:
        """Close at once; who waits or reads is told that it broke off, and nobody sends again."""
        self.silent = False
        self._end(TransportError("upstream_reset", _BROKEN_OFF))

    def hold(self) -> None:
        """Read no more for now."""
        if not self._held and self._transport is not None and self.usable:
            self._held = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self._held and self._transport is not None and self.usable:
            self._held = False
            self._transport.resume_reading()

    # --- what asyncio calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._parser is None:
            return
        if self._waiter is None and self._reply is None:
            self.drop()  # nobody has asked: whatever it is, it must not become the next request's answer
            return
        self.silent = False
        self._since_body += nbytes
        proper = True
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (HttpParserError, HttpParserUpgrade):
            proper = False
        data, reply = self._taken() if self._body else b"", self._reply
        if self._complete:
            # Some answer before they have read all of the request: what of it is still to go out would be in the next one's way.
            sent = self._transport is not None and not self._transport.get_write_buffer_size()
            self._end(None, data, keep=proper and self._keep and sent)
        elif not proper or self._since_body > _MOST_HEAD:
            self._end(TransportError("invalid_reply", self._refused), data)
        elif reply is not None:
            if self._waiter is not None:
                if not data and self._on_head is not None and self._on_head(reply.status):
                    return
                self._answer(reply)
            reply.arrived(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._reply is not None:
            whole = self._until_close and exc is None
            self._end(None if whole else TransportError("upstream_reset", _BROKEN_OFF))
        elif self._waiter is not None:
            self._end(TransportError("upstream_reset", _UNANSWERED))
        else:
            self.drop()

    # --- what the parser calls; an exception ends the reply as `_refused` -----------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("more than the one answer that was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"set-cookie":  # nobody here keeps any, and some send them by the dozen
            return
        if name in self._headers:
            before = self._headers[name]
            if len(before) + len(value) > _LONGEST_FIELD or len(before) > _LONGEST_JOINED:
                return  # more of it than anybody reads, and joining ever more would take ever longer
            value = b"%s, %s" % (before, value)
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status, headers = self._parser.get_status_code(), self._headers
        if status < 200:  # an interim answer, as 103: the real one follows
            self._headers = {}
            return
        transfer = headers.get(b"transfer-encoding", b"").lower()
        self._until_close = transfer in _PLAIN and b"content-length" not in headers
        encoding = headers.get(b"content-encoding", b"").lower()
        if encoding in _PLAIN and (transfer in _PLAIN or transfer == b"chunked"):
            self._reply = Reply(self, status, headers, None)
            return
        self._refused = _UNKNOWN_ENCODING
        if transfer not in _PLAIN and transfer != b"chunked":
            raise ValueError(transfer)
        self._reply = Reply(self, status, headers, Inflater(encoding.decode("latin-1")))
        self._refused = _NOT_HTTP

    def on_message_complete(self) -> None:
        if self._reply is not None:
            assert self._parser is not None
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    # --- within ------------------------------------------------------------------------------------------------

    def _taken(self) -> bytes:
        """What one read brought of the body, in one piece."""
        self._since_body = 0
        body = self._body
        if len(body) == 1:
            return body.pop()
        data = b"".join(body)
        body.clear()
        return data

    def _answer(self, reply: Reply) -> None:
        """Let who waits have the reply."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _end(self, error: TransportError | None, data: bytes = b"", *, keep: bool = False) -> None:
        """Of this reply nothing more comes but `data`. The connection is free, or gone, before anybody is told."""
        reply, self._reply = self._reply, None
        waiter, self._waiter = self._waiter, None
        if reply is not None:
            reply.finish(error)
        if keep and self._transport is not None:  # whoever takes it next asks whether it is still open
            if self._held:
                self.go_on()
            self._on_idle(self)
        else:
            self.drop()
        if waiter is not None and not waiter.done():
            if reply is not None:
                waiter.set_result(reply)
            else:
                waiter.set_exception(error or TransportError("upstream_reset", _UNANSWERED))
        if reply is not None:
            reply.arrived(data)
