"""A stream read for nothing but the completion that it makes: what a plain request is answered with that was asked as a stream.

Most of a stream is events that differ in their text alone. Those are cut out of a read all at once, and their texts put
together before they are decoded. A stream that has come whole and holds nothing but one text is for `one_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from ..events import Piece, StreamReader, Text, size_of
from .alike import LONGEST, alike_to, is_text
from .chunks import choices_of
from .decode import ChatStream
from .quirks import Quirks
from .thoughts import Keep

ENDS: Final = (b"data: [DONE]\n\n", b"data: [DONE]\r\n\r\n", b"data:[DONE]\n\n")
"""How a stream ends that says so."""

_START: Final = b"data: "
_OF_A_TEXT: Final = frozenset({"index", "delta", "content", "role"})
_LOOK_AGAIN: Final = 8
"""Events read one by one until it is looked again at what most are like."""


class WholeChat(ChatStream):
    """Gives events, of which the texts that follow each other may come as one."""

    def __init__(self, quirks: Quirks, *, keep: Keep | None = None, think: bool = False) -> None:
        super().__init__(quirks, events=True, keep=keep, think=think)
        self._lead = self._tail = b""
        self._index = 0
        self._read_apart = _LOOK_AGAIN

    def feed(self, data: bytes) -> list[Piece]:
        """Take bytes, however they are cut."""
        return StreamReader.feed(self, data)

    def _take(self, whole: bytes) -> list[Piece]:
        made: list[Piece] = []
        texts: list[bytes] = []
        before, after = self._lead, self._tail
        start, stop = len(before), -len(after)
        for event in whole.split(b"\n\n"):
            if before and event.startswith(before) and event.endswith(after):
                texts.append(event[start:stop])
            elif event:
                made += self._put_together(texts)
                made += super()._take(event + b"\n\n")
                self._learn_from(event + b"\n\n")
                before, after = self._lead, self._tail
                start, stop = len(before), -len(after)
        return made + self._put_together(texts)

    def _put_together(self, texts: list[bytes]) -> list[Piece]:
        """Texts of events alike as one; as they came where one of them is no text."""
        if not texts or self.done or self.trouble is not None:
            return []
        text = decoded(texts)
        self._read_apart = 0
        made: list[Piece] = []
        if text is None:
            for part in texts:
                made += super()._take(b"%b%b%b\n\n" % (self._lead, part, self._tail))
        else:
            self.output_characters += size_of(text)
            self.pieces += len(texts)
            made.append(Text(text, self._index))
        texts.clear()
        return made

    def _learn_from(self, event: bytes) -> None:
        """Look now and then at what events are like that had to be read."""
        self._read_apart += 1
        if self.said and self._read_apart > _LOOK_AGAIN and (around := _around_bare_text(event)) is not None:
            self._read_apart = 0
            self._lead, self._tail, self._index = around


def decoded(texts: Sequence[bytes]) -> str | None:
    """Texts as they stand in JSON, put together; None where one is none."""
    text = b"".join(texts)
    if not all(map(is_text, texts)) if len(text) > LONGEST else not is_text(text):
        return None
    try:
        return str(orjson.loads(b'"%b"' % text))
    except orjson.JSONDecodeError:  # bytes that are no letters
        return None


def _around_bare_text(event: bytes) -> tuple[bytes, bytes, int] | None:
    """What stands around the text of an event that tells nothing else, without its blank line, and of which choice it is."""
    alike = alike_to(event)
    if alike is None or alike.middle is not None:
        return None
    before, after = alike.before, alike.after
    choice = choices_of(orjson.loads(before[len(_START) :] + after))[0]
    told = {name for fields in (choice, choice["delta"]) for name, value in fields.items() if value is not None}
    return (before, after[:-2], choice.get("index") or 0) if told <= _OF_A_TEXT else None
