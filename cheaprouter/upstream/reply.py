"""One reply as it comes over a connection: pulled by a reader that waits, or pushed into a sink."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from ..core import rounds
from ..providers.transport import Response, Sink, TransportError
from .inflate import STEP, Inflater

READ_BUFFER: Final = 256 * 1024
"""Bytes an upstream may be ahead of the client before it is made to wait."""

TURN: Final = 16 * 1024
"""Bytes that are handed on at once: what is made of them may take a thousand times as long as it took to read them."""

_QUICK: Final = 2048
"""Bytes that can be handed on without a look at the clock."""

_LONG: Final = 0.002
"""Seconds for what is made of what has come; if it takes longer, others have as long before it goes on."""

_LONGEST_REST: Final = 0.05
_READERS_REST: Final = 0.005
"""Seconds that others have at most; a reader that waits may have waited for its client, too."""

READ_AT_ONCE: Final = 64 * 1024
"""Bytes of one read: as many chunks or headers as fit in take some milliseconds to parse."""

_LINGER: Final = 2.0
"""Seconds that the end of a body may take after all that matters of it was read."""

_NOT_UNPACKED: Final = "The answer could not be decompressed."


class Line(Protocol):
    """What a reply needs of its connection."""

    def hold(self) -> None:
        """Read no more for now."""

    def go_on(self) -> None:
        """Read again."""

    def drop(self) -> None:
        """Close at once, and tell nobody."""


class Headers(Mapping[str, str]):
    """Headers by lower-case name, decoded where one is looked at: hardly any is."""

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1", "replace")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class Reply(Response):
    """See `providers.adapter.Response`. The connection calls `arrived` and `finish`.

    `pieces`: bytes of the body that have come and wait to be read; `held`: how many.
    """

    __slots__ = (
        "_error", "_finished", "_given", "_inflater", "_later", "_line", "_paused", "_released", "_rest", "_sink", "_waiter",
        "again", "headers", "held", "lost", "pieces", "status",
    )  # fmt: skip

    def __init__(self, line: Line, status: int, headers: dict[bytes, bytes], inflater: Inflater | None) -> None:
        self.again = False
        self.lost = 0.0
        self.status = status
        self.headers: Mapping[str, str] = Headers(headers)
        self._line: Line | None = line  # None once the connection is another's, or gone
        self._inflater = inflater
        self.pieces: list[bytes] = []
        self.held = 0
        self._finished = self._paused = self._released = False
        self._error: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._later: asyncio.TimerHandle | None = None
        self._rest: asyncio.Handle | None = None
        self._given = 0.0

    # --- the connection's side ---------------------------------------------------------------------------------

    def finish(self, error: TransportError | None) -> None:
        """Nothing more comes; the connection is no longer this reply's."""
        self._line = None
        self._finished = True
        self._error = error
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def arrived(self, data: bytes) -> None:
        """Take what has come, and let the reader know of it, or that it is finished."""
        if data:
            if (
                self._sink is not None
                and len(data) <= _QUICK
                and not (self.pieces or self._finished or self._paused or self._inflater or self._rest)
            ):
                self._sink.feed(data)  # as most come: one piece, and nothing else to say
                return
            self.pieces.append(data)
            self.held += len(data)
        if self._sink is not None:
            if self._rest is None:
                self._push()
        elif self._released:
            self._discard()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._line is not None and (self.held > READ_BUFFER or (self.held and self._rest is not None)):
            self._line.hold()

    # --- the reader's side -------------------------------------------------------------------------------------

    async def chunk(self) -> bytes:
        while True:
            if self._given and (self.pieces or (self._inflater is not None and self._inflater.ready)):
                await self._let_others()
            if self._inflater is not None and self._inflater.ready:
                data = self._inflate()
            elif self.pieces:
                data = self._take(TURN)
            elif not self._finished:
                await self._more()
                continue
            elif (error := self._ended()) is not None:
                raise error
            else:
                return b""
            if data:
                if not self._finished or self.pieces or self._inflater is not None:
                    self._given = asyncio.get_running_loop().time()
                return data

    async def _let_others(self) -> None:
        """There is more than one turn: others have theirs first, as long as this reader's last one took."""
        took = asyncio.get_running_loop().time() - self._given
        if took > _LONG:
            await asyncio.sleep(_READERS_REST)
        elif self._inflater is not None:
            await asyncio.sleep(0)

    async def read(self, limit: int, *, cut: bool = False, into: list[bytes] | None = None) -> bytes:
        if self._finished and self._error is None and self._inflater is None and self.held <= limit:
            return self._take()  # it has come whole, as most do
        return await super().read(limit, cut=cut, into=into)

    async def _part(self) -> bytes:
        # All that is there: it is only put together, which takes no turn of others.
        return self._take() if self.pieces and self._inflater is None else await self.chunk()

    def pipe(self, sink: Sink) -> bool:
        self._sink = sink
        self._push()
        return True

    def pause(self) -> None:
        self._paused = True
        if self._line is not None:
            self._line.hold()

    def resume(self) -> None:
        self._paused = False
        self._push()
        if self._line is not None and not self._paused and self.held <= READ_BUFFER:
            self._line.go_on()

    def abort(self) -> None:
        self._let_go()
        if not self._finished:
            self._break(TransportError("upstream_reset", "The connection was dropped."))

    def release(self) -> None:
        """The connection goes back by itself once the body's end has come; it gets a moment to come."""
        if self._finished and not self.pieces:
            return  # it has come, and was read
        self._let_go()
        if self._line is not None:
            self._line.go_on()
            self._later = asyncio.get_running_loop().call_later(_LINGER, self.abort)

    # --- within ------------------------------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Nobody reads it any longer."""
        self._released = True
        self._sink = None
        self._discard()
        for timer in (self._later, self._rest):
            if timer is not None:
                timer.cancel()
        self._later = self._rest = None

    def _discard(self) -> None:
        self.pieces.clear()
        self.held = 0

    def _break(self, error: TransportError) -> None:
        """It ends here, whatever comes."""
        line = self._line
        self._discard()
        self._inflater = None
        self.finish(error)
        if line is not None:
            line.drop()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _push(self) -> None:
        """Hand on what there is, a turn after the other; after one that took long, others have their time first."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        if (self.held > _QUICK or self._inflater is not None) and rounds.is_over(loop, began):
            self._rest = loop.call_soon(self._push)
            return
        while (sink := self._sink) is not None and not self._paused:
            if self._inflater is not None and self._inflater.ready:
                data = self._inflate()
            elif self.pieces:
                data = self._take(TURN)
            elif self._finished:
                self._sink = None
                sink.end(self._ended())
                return
            else:
                return
            if not data:
                continue
            sink.feed(data)
            took = loop.time() - began
            if took > _LONG:
                self._rest = loop.call_later(min(took, _LONGEST_REST), self._push)
                return
            if self._inflater is not None and len(data) == STEP:
                self._rest = loop.call_soon(self._push)
                return

    def _take(self, most: int = 0) -> bytes:
        """All that has come, or so many bytes of it; of what is compressed, a step."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if most and len(data) > most and self._inflater is None:
            self.pieces, self.held = [data[most:]], len(data) - most
            if self.held <= READ_BUFFER and self._line is not None and not self._paused:
                self._line.go_on()
            return data[:most]
        if self._line is not None and not self._paused:
            self._line.go_on()
        self.pieces, self.held = [], 0
        if self._inflater is None:
            return data
        self._inflater.feed(data)
        return self._inflate()

    def _inflate(self) -> bytes:
        """The next step; nothing where it was dropped meanwhile."""
        try:
            return b"" if self._inflater is None else self._inflater.step()
        except zlib.error:
            self._break(TransportError("invalid_reply", _NOT_UNPACKED))
            return b""

    def _ended(self) -> TransportError | None:
        """Why it ended; None where all of it came."""
        if self._error is None and self._inflater is not None and not self._inflater.complete:
            self._error = TransportError("invalid_reply", _NOT_UNPACKED)
        return self._error
