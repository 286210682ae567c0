"""A stream in OpenAI's wire: each event is read and put right, or it is like one that was but for its text, and goes on as bytes.

So nothing passes that is not whole: what cannot be read ends the stream, for a text that lacks a piece is not the one that was
written. Where events are wanted instead of bytes, everything is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from ...core.models import Json
from .. import sse
from ..events import Piece, StreamReader, Trouble
from ..usage import parse_usage, usage_in
from .alike import LONGEST, Alike, alike_to, is_text, is_utf8, run_of
from .calls import new_id
from .canon import Canon
from .chunks import ChunkReader, characters, chunk_event, needs_split, split_chunk
from .lenient import loads
from .quirks import Quirks
from .shapes import BrokenError, error_in
from .thoughts import Keep, Listener

_LEARN_AGAIN: Final = 8
"""Events until it is looked again at how most are, where they are not any more as they were."""

_FIELDS: Final = (b":", b"event:", b"id:", b"retry:", b"data:", sse.BOM)
"""How the lines of an event begin that may have no data."""

_IDLE: Final = frozenset({b"ping", b"[ping]", b"keepalive", b"keep-alive", b"heartbeat", b"data", b"event", b"id"})
"""What some send as data to say that they are still there; and names of fields that are empty."""

_LONGEST_WORD: Final = 32


class ChatStream(StreamReader):
    """`want_usage`: the client asked for a usage chunk. `events`: give events, not bytes. `think`, `make_id`: see `Canon`.

    `keep`: see `thoughts`.
    """

    def __init__(
        self,
        quirks: Quirks,
        *,
        want_usage: bool = False,
        events: bool = False,
        think: bool = False,
        keep: Keep | None = None,
        make_id: Callable[[], str] = new_id,
    ) -> None:
        super().__init__()
        self._want_usage = want_usage
        self._service: Any = None
        self._chunks = ChunkReader() if events else None
        self._listener = None if keep is None else Listener(keep)
        self._canon = Canon(quirks, think=think, make_id=make_id)
        self._alike: Alike | None = None  # an event as most are
        self._before = self._after = b""
        self._read_since = _LEARN_AGAIN

    @property
    def complete(self) -> bool:
        return self._canon.finished

    def feed(self, data: bytes) -> list[Piece]:
        """Whole events that are like one before but for their texts go on as they are."""
        before, cutter = self._before, self._cutter
        if before and not (cutter.parts or cutter.carriage or self.done or self.trouble):
            size, start = len(data), len(before)
            stop = size - len(self._after)
            if (
                size <= LONGEST
                and data.startswith(before)
                and data.endswith(self._after)
                and is_text(data, start, stop)
                and (data.isascii() or is_utf8(data))
            ):
                self.output_characters += stop - start
                self.pieces += 1
                return [data]
            if cut := self._run(data):
                return [data] if cut == size else self._joined([data[:cut], *super().feed(data[cut:])])
        return super().feed(data)

    def _run(self, data: bytes) -> int:
        """How many bytes at the beginning of `data` are events as most are."""
        count, size = run_of(data, self._before, self._after)
        self.output_characters += size - count * (len(self._before) + len(self._after))
        self.pieces += count
        return size

    def _take(self, whole: bytes) -> list[Piece]:
        """Go through whole events; those that follow each other unchanged go out as they came."""
        if not whole or self.done or self.trouble is not None:
            return []
        return self._joined(self._walk(whole))

    def finish(self) -> list[Piece]:
        """Take the last event even where its blank line is missing; then say whether this was a proper end."""
        if self.trouble is not None:
            return []
        pieces = [] if self.done else self._walk(self._cutter.rest())
        if self._ended_well() and self._chunks is None and not self.done:
            pieces.append(sse.DONE)
        return self._joined(pieces)

    def _ended_well(self) -> bool:
        if self.trouble is Trouble.BROKEN or (self.trouble is None and not self.done and not self._canon.finished):
            self.trouble = Trouble.EARLY  # the last event was cut off, or it never came
        elif self.trouble is None:
            self._judge_end()
        return self.trouble in (None, Trouble.EMPTY)

    def _judge_end(self) -> None:
        if not self.said and self.finish_reason in ("stop", "tool_calls"):
            self.trouble = Trouble.EMPTY

    def _joined(self, pieces: list[Piece]) -> list[Piece]:
        """Bytes go out in one write."""
        if self._chunks is not None or len(pieces) < 2:
            return pieces
        return [b"".join([piece for piece in pieces if isinstance(piece, bytes)])]

    def _walk(self, whole: bytes) -> list[Piece]:
        """What can go on. `start`, `place`: the events between them go on as they are."""
        out: list[Piece] = []
        start = place = 0
        while place < len(whole):
            end = whole.find(b"\n\n", place) + 2
            end = len(whole) if end < 2 else end
            alike = self._alike
            if alike is None or (told := alike.told(whole, place, end)) < 0:
                made = self._read(whole[place:end])
                if made is not None:
                    if start < place:
                        out.append(whole[start:place])
                    out += made
                    start = end
                if self.done or self.trouble is not None:
                    break
                if alike is None and self._before:  # now it is known what most are like
                    end += self._run(whole[end:])
            else:
                self.output_characters += told
                self.pieces += 1
            place = end
        else:
            if start < place:
                out.append(whole[start:place] if start else whole)
        return out

    def _read(self, event: bytes) -> list[Piece] | None:
        """What is told instead of an event; None: itself."""
        block = event.strip(b"\n")
        name, data = sse.parse(block)
        if data is None and not block.startswith(_FIELDS):
            data = block  # bare JSON, as some proxies tell that something broke; or anything at all
        told = b"" if data is None else data.strip()
        if len(told) <= _LONGEST_WORD and told.strip(b'[]" ').lower() == b"done":
            return self._done()
        if not told and name != "error":
            return []
        over = self._canon.finished
        try:
            return self._value(*loads(told or b"{}"), name, event)
        except (ValueError, orjson.JSONEncodeError):
            if not over and (
                len(told) > _LONGEST_WORD or told.lower() not in _IDLE
            ):  # once each choice has ended, it can only have been a count
                self.trouble = Trouble.BROKEN
            return []

    def _value(self, chunk: Any, strict: bool, name: str, event: bytes) -> list[Piece] | None:  # noqa: FBT001 - one caller
        """The same for what was decoded. Raises BrokenError."""
        if isinstance(chunk, list) and chunk:
            chunk, strict = chunk[0], False
        if not isinstance(chunk, dict):
            if chunk:
                raise BrokenError
            return []
        if (error := error_in(chunk, name)) is not None:
            self.trouble, self.error = Trouble.ERROR, error
            return []
        plain = strict and event.startswith(b'data: {"') and event.find(b"\n") == len(event) - 2
        return self._chunk(chunk, event if plain else None)

    def _done(self) -> list[Piece]:
        """The upstream says that this was all: which it was if each choice has ended."""
        if not self._canon.finished:
            self.trouble = Trouble.EARLY
            return []
        self.done = True
        self._judge_end()
        return [sse.DONE] if self._chunks is None else []

    def _chunk(self, chunk: Json, event: bytes | None) -> list[Piece] | None:
        """`event`: its bytes, where they can go on as they are."""
        changed = self._canon.chunk(chunk)
        if "service_tier" in chunk:
            self._service = chunk["service_tier"] or self._service
        if (usage := usage_in(chunk)) is not None:
            self.usage = parse_usage(usage, self._service) or self.usage
        choices: list[Any] = chunk["choices"]
        if not choices:
            if self._chunks is not None:
                return list(self._chunks.read(chunk))
            wanted = self._want_usage and isinstance(usage, dict)
            return [] if not wanted else [chunk_event(chunk)] if event is None or changed else None
        for choice in choices:
            told = characters(choice["delta"])
            self.output_characters += told
            self.pieces += told > 0
            if self._listener is not None:
                self._listener.hear(choice)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if self._canon.failed is not None:
            self.trouble, self.error = Trouble.ERROR, self._canon.failed
            return []
        self.said = self._canon.said
        if self._chunks is not None:
            return list(self._chunks.read(chunk))
        if event is None or changed or any(map(needs_split, choices)):
            return [chunk_event(part) for part in split_chunk(chunk)]
        self._learn(event)
        return None

    def _learn(self, event: bytes) -> None:
        """Look now and then at what events are like that had to be read and need not have been."""
        self._read_since += 1
        if self._listener is None and self._read_since > _LEARN_AGAIN and self.said and self._canon.settled:
            self._read_since = 0
            if (alike := alike_to(event)) is not None:
                self._alike = alike
                self._before, self._after = (alike.before, alike.after) if alike.middle is None else (b"", b"")
