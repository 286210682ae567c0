"""Looking at an answer before it leaves, while nothing has reached the client: what is held back, how long, and what is said of it.

Only answers that can be judged are looked at at all: a request without tools and without a wanted format has no guard, unless
texts are to be looked at, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, NamedTuple

import orjson

from ..core.models import Json, Operation
from ..providers.completion import Completion
from ..providers.transport import TransportError
from ..wire import sse
from ..wire.checks.answer import MOST_HELD, Answer, of_reply, wrong
from ..wire.checks.fault import Fault
from ..wire.events import Piece, StreamReader, WireEvent, characters
from ..wire.openai_chat.chunks import ChunkReader

HELD: Final = 0.3
"""Seconds that a text is held back, from its first word, where its first sentence does not end before."""

REST: Final = 1.0
"""Seconds that are given to the end of an answer that is not to be sent on, so that it says what it is billed at."""

_WORD: Final = re.compile(r"\w")
_END: Final = re.compile(r"[.!?][\s\"')*]|[。！？\n]")  # noqa: RUF001 - other scripts' full stops
_CALLED: Final = b'"tool_calls"'
_LONGEST: Final = 1 << 20
"""Bytes of a whole answer that are looked at: to read more takes some milliseconds."""


def _has_sentence(text: str) -> bool:
    """Whether something is said in it to an end."""
    begun = _WORD.search(text)
    return begun is not None and _END.search(text, begun.end()) is not None


class Caught(NamedTuple):
    """A fault that was seen in a model's answer. `replaced`: another's went out instead."""

    model_id: str
    fault: Fault
    replaced: bool


class Guard:
    """What is looked at in the answers to one request. `texts`: words too, and not only calls and formats.

    `named`: the model was asked for by name, so that its answer goes out as it is.
    """

    __slots__ = ("_body", "_ceiling", "_replies", "_texts", "_tools", "named")

    def __init__(self, request: Operation, *, texts: bool, named: bool) -> None:
        body = request.body
        self._body = body
        self._texts = texts
        self._tools = bool(body.get("tools") or body.get("functions"))
        self._ceiling = request.max_tokens is not None
        self._replies = request.n
        self.named = named

    @property
    def holds(self) -> bool:
        """Whether anything of a stream is held back."""
        return not self.named and (self._tools or self._texts)

    def of_completion(self, completion: Completion) -> Fault | None:
        """What is wrong with a whole answer."""
        if len(completion.body) > _LONGEST:
            return None
        reply: Json = orjson.loads(completion.body)
        return self._wrong(of_reply(reply), whole=True)

    def of_calls(self, pieces: Iterable[Piece]) -> Fault | None:
        """What is wrong with the calls of a stream that went out as it came."""
        answer = Answer()
        answer.add(_events(pieces, ChunkReader()))
        return self._wrong(answer, whole=True) if answer.calls else None

    def _wrong(self, answer: Answer, *, whole: bool) -> Fault | None:
        return wrong(answer, self._body, texts=self._texts, whole=whole, ceiling=self._ceiling)

    def tap(self) -> Tap | None:
        """Where a stream goes by that is not held back; None where nothing of it would be looked at."""
        return Tap(self) if self._tools else None

    # --- a stream ------------------------------------------------------------------------------------------------

    async def hold(
        self,
        feed: Callable[[], Awaitable[list[Piece] | None]],
        pieces: list[Piece],
        reader: StreamReader,
        paid: Callable[[], bool],
    ) -> Fault | None:
        """Hold a stream back for as long as it takes to look at it; what comes meanwhile is added to `pieces`.

        `feed`: reads on, and gives what has come; None at the end. `paid`: whether it may go on; where it may not, it is for
        whoever sends it on to cut it short.
        """
        answer, chunks = Answer(), ChunkReader()
        answer.add(_events(pieces, chunks))
        loop = asyncio.get_running_loop()
        end = loop.time() + HELD
        over = False
        while not (over or reader.done or reader.trouble is not None) and self._waits(answer):
            try:
                async with asyncio.timeout_at(end if answer.speaks else None):
                    more = await feed()
            except TimeoutError:
                break
            over = more is None
            pieces += more or ()
            answer.add(_events(more or (), chunks))
            if not paid():
                return None
        if reader.trouble is not None:
            return None
        fault = self._wrong(answer, whole=over or reader.done or self._is_whole(answer))
        if fault is not None and self._is_whole(answer):
            await self._rest(feed, pieces, reader, loop.time() + REST)
        return fault

    @staticmethod
    async def _rest(
        feed: Callable[[], Awaitable[list[Piece] | None]], pieces: list[Piece], reader: StreamReader, end: float
    ) -> None:
        """Take what still comes of an answer that is not to be sent on: it tells what was used."""
        with contextlib.suppress(TimeoutError, TransportError):
            async with asyncio.timeout_at(end):
                while not reader.done and reader.trouble is None and (more := await feed()) is not None:
                    pieces += more

    def _waits(self, answer: Answer) -> bool:
        """Whether more has to come before an answer can be looked at."""
        if answer.size > MOST_HELD or self._is_whole(answer):
            return False
        if not answer.speaks:
            return True
        return self._texts and not any(_has_sentence(one.text) for one in answer.choices.values())

    def _is_whole(self, answer: Answer) -> bool:
        """Whether each choice has ended."""
        finished = [one.finish is not None for one in answer.choices.values()]
        return len(finished) >= self._replies and all(finished)


class Tap:
    """What of a stream is looked at once it has gone out: its calls, bounded."""

    __slots__ = ("_guard", "_pieces", "_size")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._pieces: list[Piece] = []
        self._size = 0

    def see(self, pieces: list[Piece]) -> list[Piece]:
        """Some more goes by."""
        for piece in pieces:
            if not isinstance(piece, bytes):
                self._size += characters(piece)
            elif _CALLED in piece:
                self._size += len(piece)
            else:
                continue
            if self._size <= MOST_HELD:
                self._pieces.append(piece)
        return pieces

    def fault(self) -> Fault | None:
        """What is wrong with what went by; nothing is said where it was too much."""
        if not self._pieces or self._size > MOST_HELD:
            return None
        return self._guard.of_calls(self._pieces)


def _events(pieces: Iterable[Piece], reader: ChunkReader) -> Iterator[WireEvent]:
    """The events of pieces, in whichever wire they are."""
    for piece in pieces:
        if isinstance(piece, bytes):
            for block in sse.split(piece):
                _, data = sse.parse(block)
                if data is not None and data.startswith(b"{"):
                    with contextlib.suppress(orjson.JSONDecodeError):  # half of a letter, say
                        yield from reader.read(orjson.loads(data))
        else:
            yield piece
