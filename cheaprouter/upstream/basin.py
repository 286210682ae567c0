"""Where a stream is gathered for a client that wants a whole reply, and how much of one may still be written."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from ..core.errors import LimitError
from ..core.models import Model
from ..providers.gathering import Gathering
from ..providers.transport import TransportError
from ..wire.events import StreamReader
from .watchdog import Watchdog

LONGEST_REPLY: Final = 32 * 1024 * 1024
"""Bytes, as of one event of a stream: ten pictures. To parse them takes a tenth of a second, in which nobody else is served."""

_NEVER: Final = float("inf")
_LOOK_APART: Final = 256
"""Bytes, at least, between two looks at how much of a gathered reply has come."""


class Meter(Protocol):
    """What may still be written. Once a reply has `characters`, or as many `pieces`, ask for `more`. `prompt`: tokens, estimated."""

    characters: int
    pieces: int
    prompt: int

    def ceiling(self, model: Model, *, whole: bool) -> int | None:
        """Tokens that each reply of a model may have; None where there is room enough. `whole`: it comes in one piece."""

    def more(self, written: int) -> LimitError | None:
        """Let a reply of so many characters go on; the error where it must end."""


class Basin:
    """Where a stream is gathered: called by the transport, so that nobody is woken before the end. `full`: done at the end.

    `error`: why it broke off. `began`: when the first content was seen. `over`: nothing more is taken. `spent`: why it must
    end here, see `Meter`.
    """

    __slots__ = (
        "_gathering",
        "_idle",
        "_look_at",
        "_meter",
        "_size",
        "_watch",
        "began",
        "error",
        "full",
        "over",
        "spent",
    )

    def __init__(self, gathering: Gathering, watch: Watchdog, idle: float, meter: Meter | None) -> None:
        self._gathering = gathering
        self._watch = watch
        self._idle = idle
        self._meter = meter
        self._size = 0
        # As many bytes cannot have more characters, nor more pieces than a quarter of them.
        self._look_at: float = _NEVER if meter is None else meter.characters
        self.began = 0.0
        self.error: TransportError | None = None
        self.spent: LimitError | None = None
        self.over = False
        self.full: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if gathering.said:
            self._begin()

    def feed(self, data: bytes) -> None:
        if self.over:
            return
        self._watch.seen = self._watch.now()
        gathering = self._gathering
        gathering.feed(data)
        self._size += len(data)
        if gathering.said and not self.began:
            self._begin()
        if self._size > LONGEST_REPLY:
            self.end(TransportError("invalid_reply", "The reply is too long."))
        elif gathering.over:
            self.end(None)
        elif self._size >= self._look_at:
            self._look()

    def _look(self) -> None:
        """See how much has been written, without reading it where that is plainly less than it may be; and when to look again."""
        meter, gathering = self._meter, self._gathering
        assert meter is not None
        written = gathering.about()
        if written >= meter.characters:
            written = gathering.written()
        if written >= meter.characters and (spent := meter.more(written)) is not None:
            self.spent = spent
            self.end(None)
        # Half the way at most, by what a character has taken so far: what comes may be denser.
        apart = max(1.0, self._size / max(1, written) / 2)
        self._look_at = self._size + max(_LOOK_APART, (meter.characters - written) * apart)

    def end(self, error: TransportError | None) -> None:
        self.over = True
        if not self.full.done():
            self.error = error
            self.full.set_result(None)

    async def rest(self) -> None:
        """Wait again, where whoever waited was cancelled."""
        if not self.over:
            self.full = asyncio.get_running_loop().create_future()
            await self.full

    def _begin(self) -> None:
        """From now on it is the next piece that is waited for."""
        self._watch.flow(self._idle, _NEVER)
        self.began = self._watch.now()


def unpaid(reader: StreamReader, meter: Meter | None) -> bool:
    """Whether a stream that is read on has all that may be spent on it: a budget holds for what nobody waits for, too."""
    if meter is None or (reader.output_characters < meter.characters and reader.pieces < meter.pieces):
        return False
    return meter.more(reader.written) is not None
