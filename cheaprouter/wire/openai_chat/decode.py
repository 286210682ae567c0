"""A stream in OpenAI's wire: each event read until the first content, afterwards passed on as bytes.

Past the first content only events that end, count, fail or call tools are decoded; of the rest it is checked that
they are whole. What does not look whole is decoded too, and left out when it is broken: clients choke on it.
Where events are wanted instead of bytes, everything is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from ...core.models import Json
from .. import sse
from ..events import Piece, StreamReader, Trouble
from ..usage import parse_usage, usage_in
from .alike import LONGEST, around_text, is_text, run_of
from .chunks import (
    ChunkReader,
    answers,
    characters,
    choices_of,
    chunk_event,
    has_content,
    needs_split,
    reasoning_of,
    split_chunk,
)
from .quirks import Quirks, finish_reason
from .thoughts import Keep, Listener

_LEARN_AGAIN: Final = 8
"""Events until it is looked again at how most are, where they are not any more as they were."""


class ChatStream(StreamReader):
    """`want_usage`: the client asked for a usage chunk. `events`: give events, not bytes. `keep`: see `thoughts`."""

    def __init__(
        self, quirks: Quirks, *, want_usage: bool = False, events: bool = False, keep: Keep | None = None
    ) -> None:
        super().__init__()
        self._quirks = quirks
        self._want_usage = want_usage
        self._chunks = ChunkReader() if events else None
        self._listener = None if keep is None else Listener(keep)
        self._every = events or quirks.answer_in_reasoning or keep is not None
        self._reasoning: list[str] = []
        self._answered = self._called = False
        self._raw_bytes = self._raw_events = self._overhead = 0
        self._around: tuple[bytes, bytes] | None = None  # the text of an event as most are
        self._learn_at = 0

    @property
    def output_characters(self) -> int:
        """Exact for events that were read; by size for those that were passed on."""
        return self._characters + max(0, self._raw_bytes - self._raw_events * self._overhead)

    def feed(self, data: bytes) -> list[Piece]:
        """Whole events that are like one before but for their texts go on as they are."""
        around, cutter = self._around, self._cutter
        if around is not None and not (cutter.parts or cutter.carriage or self.done or self.trouble):
            before, after = around
            size = len(data)
            if (
                size <= LONGEST
                and data.startswith(before)
                and data.endswith(after)
                and is_text(data, len(before), size - len(after))
            ):
                self._raw_bytes += size
                self._raw_events += 1
                return [data]
            if cut := self._run(data):
                return [data] if cut == size else self._joined([data[:cut], *super().feed(data[cut:])])
        return super().feed(data)

    def _take(self, whole: bytes) -> list[Piece]:
        """Read each event up to the first content; pass on what needs no reading after that."""
        if not whole or self.done or self.trouble is not None:
            return []
        if not self.said or self._every:
            return self._joined(list(self._walk(whole)))
        if self._note(whole):
            return [whole]
        return self._joined(list(self._pass(whole)))

    def finish(self) -> list[Piece]:
        """Take the last event even where its blank line is missing; then say whether this was a proper end."""
        if self.trouble is not None:
            return []
        pieces = [] if self.done else list(self._walk(self._cutter.rest()))
        if self.trouble is None:
            if not self.done and self.finish_reason is None:
                self.trouble = Trouble.EARLY
            elif not self.said and self.finish_reason in (None, "stop", "tool_calls"):
                self.trouble = Trouble.EMPTY
            if not self.done and self.trouble is not Trouble.EARLY and self._chunks is None:
                pieces.append(sse.DONE)
        return self._joined(pieces)

    def _joined(self, pieces: list[Piece]) -> list[Piece]:
        """Bytes go out in one write."""
        if self._chunks is not None or len(pieces) < 2:
            return pieces
        return [b"".join(piece for piece in pieces if isinstance(piece, bytes))]

    def _walk(self, whole: bytes) -> Iterator[Piece]:
        """Read, up to the first content if the rest may be passed on."""
        place = 0
        while place < len(whole):
            if self.done or self.trouble is not None:
                return
            if self.said and not self._every:
                yield from self._rest(whole[place:])
                return
            end = whole.find(b"\n\n", place)
            end = len(whole) if end < 0 else end  # an odd number of line ends
            yield from self._read(whole[place:end].strip(b"\n"))
            place = end + 2

    def _rest(self, whole: bytes) -> Iterator[Piece]:
        """Pass on what came together with the first content."""
        end = whole.find(b"\n\n") + 2
        if end < len(whole):  # with one event alone it is seen soon enough how most are
            self._around = around_text(whole[:end])
        if cut := self._run(whole):
            yield whole[:cut]
            whole = whole[cut:]
        if whole:
            yield from (whole,) if self._note(whole) else self._pass(whole)

    def _run(self, data: bytes) -> int:
        """How many bytes at the beginning of `data` are events as most are; they are counted."""
        if self._around is None:
            return 0
        count, size = run_of(data, *self._around)
        self._raw_bytes += size
        self._raw_events += count
        return size

    def _pass(self, whole: bytes) -> Iterator[Piece]:
        """Read only the events that matter."""
        cut = quiet_beginning(whole)
        if cut and self._note(whole[:cut]):
            yield whole[:cut]
            whole = whole[cut:]
        for block in sse.split(whole):
            data = block + b"\n\n"
            if self._note(data):
                yield data
            else:
                yield from self._read(block)
            if self.done or self.trouble is not None:
                return

    def _note(self, whole: bytes) -> bool:
        """Whether all of it can pass unread; if so it is counted."""
        count = plain_events(whole)
        if not count:
            return False
        self._raw_bytes += len(whole)
        self._raw_events += count
        if self._raw_events > self._learn_at:
            last = whole if count == 1 else whole[whole.rfind(b"\n\n", 0, -2) + 2 :]
            self._around = around_text(last) or self._around
            self._learn_at = self._raw_events + _LEARN_AGAIN
        return True

    def _read(self, block: bytes) -> Iterator[Piece]:
        name, data = sse.parse(block)
        if data is None or not (told := data.strip()):
            return
        if told == b"[DONE]":
            self.done = True
            if self._chunks is None:
                yield sse.DONE
            return
        try:
            chunk = orjson.loads(data)
            if isinstance(chunk, list) and chunk:
                chunk = chunk[0]
            if not isinstance(chunk, dict):
                self.malformed += 1
            elif chunk.get("error") or name == "error":
                self.trouble, self.error = Trouble.ERROR, chunk
            else:
                yield from self._chunk(chunk, block)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            self.malformed += 1

    def _chunk(self, chunk: Json, block: bytes) -> Iterator[Piece]:
        usage = usage_in(chunk)
        if usage is not None:
            self.usage = parse_usage(usage, chunk.get("service_tier")) or self.usage
        choices = choices_of(chunk)
        if not choices:
            if self._chunks is not None:
                yield from self._chunks.read(chunk)
            elif self._want_usage or not chunk.get("usage"):
                yield block + b"\n\n"
            return
        changed = content = split = False
        before = self._characters
        for choice in choices:
            changed |= self._choice(choice)
            content = content or has_content(choice.get("delta"))
            split = split or needs_split(choice)
        if self.trouble is not None:
            return
        self.said = self.said or content
        if changed and (revealed := self._reveal(chunk, choices)):
            yield from self._pieces(revealed)
        if self._chunks is not None or changed or split:
            yield from self._pieces(chunk)
        else:
            yield block + b"\n\n"
            if content:
                self._overhead = len(block) + 2 - (self._characters - before)

    def _pieces(self, chunk: Json) -> Iterator[Piece]:
        if self._chunks is not None:
            yield from self._chunks.read(chunk)
        else:
            yield from map(chunk_event, split_chunk(chunk))

    def _choice(self, choice: Json) -> bool:
        """Note what a choice says; says whether it had to be changed."""
        if self._listener is not None:
            self._listener.hear(choice)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._characters += characters(delta)
            self._called = self._called or bool(delta.get("tool_calls"))
            if self._quirks.answer_in_reasoning:
                self._answered = self._answered or answers(delta)
                if not self._answered and (text := reasoning_of(delta)):
                    self._reasoning.append(text)
        reason: Any = choice.get("finish_reason")
        if not isinstance(reason, str) or not reason:
            return False
        ours = finish_reason(reason, self._quirks, calls=self._called)
        if ours == "error":
            self.trouble = Trouble.ERROR
            return False
        self.finish_reason = ours
        choice["finish_reason"] = ours
        return ours != reason or self._hidden_answer

    @property
    def _hidden_answer(self) -> bool:
        return bool(self._reasoning) and not self._answered and self.finish_reason == "stop"

    def _reveal(self, chunk: Json, choices: list[Json]) -> Json | None:
        """The answer that this vendor put into its reasoning, as content just before the finish."""
        if not self._hidden_answer:
            return None
        text, self._reasoning = "".join(self._reasoning), []
        index = choices[0].get("index", 0)
        base = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
        return {**base, "choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}


def plain_events(whole: bytes) -> int:
    """How many events there are, if all are whole chunks that need no reading; else 0.

    Quotes inside JSON strings are escaped, so a bare `"error"` or `"finish_reason":"` is never part of a text.
    Unequal brackets may be a text's own: then the events are read after all, which costs time and nothing else.
    """
    if not (whole.startswith(b'data: {"') and whole.endswith(b"}\n\n")):
        return 0
    count = whole.count(b'}\n\ndata: {"') + 1
    shape = whole.translate(None, _NO_SHAPE)  # few bytes, which are counted in no time
    if (
        shape.count(b"\n") != 2 * count  # no line but these
        or shape.count(b"{") != shape.count(b"}")
        or shape.count(b"[") != shape.count(b"]")
    ):
        return 0
    for sign, marks in _SIGNS:
        if sign in whole and any(mark in whole for mark in marks):
            return 0
    return count


_NO_SHAPE: Final = bytes(set(range(256)) - set(b"{}[]\n"))
_SIGNS: Final = (
    (b'"finish_reason":"', (b'"finish_reason":"',)),
    (b'"finish_reason": "', (b'"finish_reason": "',)),
    (b'"usage"', (b'"usage":{', b'"usage": {')),
    (b'"error"', (b'"error"',)),
    (b'_calls"', (b'_calls":[{', b'_calls": [{')),
)
"""What tells that an event must be read, and what all of that begins with: mostly it is looked for alone."""

_MARKS: Final = tuple(mark for _, marks in _SIGNS for mark in marks)


def quiet_beginning(whole: bytes) -> int:
    """Where the first event begins that has to be read for what is in it; 0 where there is nothing before it."""
    first = min(
        (place for mark in (*_MARKS, b"event:", b"data: [DONE]") if (place := whole.find(mark)) >= 0), default=0
    )
    end = whole.rfind(b"\n\n", 0, first)
    return end + 2 if end >= 0 else 0
