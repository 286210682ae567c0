"""What a try cost that was no answer: what its upstream told of that, else an estimate by what was seen, and by the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from ..core.models import Model, Usage
from ..providers.gathering import Gathering
from ..wire.events import Trouble
from ..wire.sse import looks_like_events
from .basin import unpaid
from .pace import Pace

if TYPE_CHECKING:
    from .call import Call

LONGEST_READ_ON: Final = 4 * 1024 * 1024
"""Bytes that are read of an answer that nobody waits for any longer."""

LONGEST_ERROR: Final = 256 * 1024
"""Bytes that are read of an error."""

USUAL_OUTPUT: Final = 1000
"""Tokens, where nobody knows better."""

_NO_END: Final = 2**40
_WORKED_ON: Final = 0.25
"""Seconds after which a request that was dropped without a word is taken to have been worked on."""


class Told(NamedTuple):
    """What a try that is no answer told of its use, and the characters that were seen of it.

    `written`: something may have been written, since the upstream took the request and did not refuse it. `whole`: to its end.
    """

    usage: Usage | None
    characters: int = 0
    written: bool = True
    whole: bool = True


def told(call: Call) -> Told:
    """What is known of the cost of a call."""
    if call.filtered is not None:
        return Told(call.filtered.usage, call.filtered.output_characters)
    reader = call.reading if call.gathering is None else call.gathering.reader
    if reader is not None:
        written = reader.said or reader.trouble is not Trouble.ERROR
        headers = {} if call.response is None else call.response.headers
        usage = call.adapter.with_cost(reader.usage, headers) or call.refused
        return Told(usage, reader.written, written=written, whole=reader.finish_reason is not None)
    if call.refused is not None or not call.accepted:
        return Told(call.refused, written=call.sent, whole=call.refused is not None)
    usage, characters, written = call.adapter.use_in(_seen((call.start, *call.parts)), call.request)
    return Told(usage, characters, written=written, whole=usage is not None)


def _seen(parts: Sequence[bytes]) -> bytes:
    """What came, of more than is ever read on its beginning and its end: to look through 32 MB takes a tenth of a second."""
    if sum(map(len, parts)) <= LONGEST_READ_ON:
        return b"".join(parts)
    first, last = bytearray(), bytearray()
    for part in parts:
        first += part[: LONGEST_ERROR - len(first)]
    for part in reversed(parts):
        if len(last) < LONGEST_ERROR:
            last[:0] = part[-(LONGEST_ERROR - len(last)) :]
    return bytes(first + last)


async def read_on(call: Call) -> None:
    """Take what is still to come, for what it says of its use. Raises TransportError."""
    response = call.response
    if call.exchange is not None:
        exchange, call.exchange = call.exchange, None
        call.response = response = await exchange.reply()
        if response.status != 200:
            call.sent = call.accepted = call.gathering is not None
            call.refused = call.adapter.use_in(await response.read(LONGEST_ERROR, cut=True), call.request)[0]
            return
        call.accepted = True
    if response is None:
        return
    if call.basin is not None:
        await call.basin.rest()
        return
    limit = LONGEST_READ_ON
    while limit > 0 and not _complete(call) and (data := await response.chunk()):
        limit -= len(data)
        _take(call, data)
        reader = call.reading if call.gathering is None else call.gathering.reader
        if reader is not None and unpaid(reader, call.meter):
            break


def _complete(call: Call) -> bool:
    return call.gathering.over if call.gathering is not None else call.reading is not None and call.reading.done


def _take(call: Call, data: bytes) -> None:
    if call.gathering is not None:
        call.gathering.feed(data)
    elif call.reading is not None:
        call.reading.feed(data)
    elif call.streamed and not (call.parts or call.start) and looks_like_events(data):
        call.gathering = Gathering(call.adapter, call.request, None, think=call.model.think_tags)
        call.gathering.feed(data)
    else:
        call.parts.append(data)


def abandon(call: Call) -> None:
    """Drop what is still under way."""
    call.abandon_exchange()
    if call.response is not None:
        call.response.release() if _complete(call) else call.response.abort()


class Costs:
    """Estimates by how models write. `now`: the clock by which calls are timed."""

    def __init__(self, pace: Pace, now: Callable[[], float]) -> None:
        self._pace = pace
        self._now = now

    def used(self, call: Call, began: float, *, left: bool = False) -> Usage | None:
        """What a try that was no answer will be billed, as it was told or else estimated; None where that is nothing.

        `left`: it is given up, and did not fail. What was sent is read then, and billed, though nothing is answered yet.
        """
        of, seconds = told(call), self._now() - began
        usage = of.usage
        if usage is not None and (of.whole or usage.reported_cost is not None):
            return usage
        if not of.written or not (left or call.accepted or seconds >= _WORKED_ON):
            return usage
        output = self._written(call, of, seconds)
        if usage is None:
            return Usage(completion_tokens=output, estimated=True)
        return replace(usage, completion_tokens=max(usage.completion_tokens, output), estimated=True)

    def lost(self, call: Call) -> Usage | None:
        """The same of a try that was lost with its connection before the call went out again."""
        if call.lost < _WORKED_ON:
            return None
        output = min(self._pace.silent(call.model, call.lost), self._most(call))
        return Usage(completion_tokens=output, estimated=True)

    def _written(self, call: Call, of: Told, seconds: float) -> int:
        """Tokens that were written in a call of so many seconds."""
        wrote, late = call.timing()
        before = seconds - wrote - (late or 0.0)
        if of.characters and of.whole:
            return self.whole(call, of.characters, before, wrote)
        if of.characters:
            return self.cut(call, of.characters, before, wrote, late)
        output = 0 if of.whole else self._pace.silent(call.model, seconds)
        return self._all(call, min(output, self._most(call)), cut=not of.whole)

    def whole(self, call: Call, characters: int, before: float, wrote: float) -> int:
        """Tokens of a whole answer that nobody counted; see `Pace`."""
        return min(self._pace.whole(call.model, characters, before, wrote), self._allowed(call))

    def cut(self, call: Call, characters: int, before: float, wrote: float, late: float | None) -> int:
        """Tokens of an answer that came to no end; see `Pace`."""
        return self._all(call, self._pace.cut(call.model, characters, before, wrote, late), cut=True)

    def _all(self, call: Call, output: int, *, cut: bool) -> int:
        """What some write when nobody reads is billed like the rest."""
        return max(output, self._most(call, 1)) if cut and call.adapter.goes_on else output

    def _most(self, call: Call, times: int = 2) -> int:
        """So many times the tokens that an answer usually has, or what its client allows."""
        return min(times * (self._pace.usual(call.model) or call.expected or USUAL_OUTPUT), self._allowed(call))

    def _allowed(self, call: Call) -> int:
        """Tokens that all of its replies may have."""
        request = call.request
        return _NO_END if request.max_tokens is None else request.max_tokens * request.n


class Unanswered:
    """See `Left`: a call that its client left before there was an answer."""

    def __init__(self, call: Call, costs: Costs, began: float) -> None:
        self.model: Model = call.model
        self._call = call
        self._costs = costs
        self._began = began

    async def read_on(self) -> None:
        await read_on(self._call)

    def end(self) -> Usage | None:
        used = self._costs.used(self._call, self._began, left=True)
        abandon(self._call)
        return used
