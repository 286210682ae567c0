"""A stream read for nothing but the completion that it makes: what a plain request is answered with that was asked as a stream.

Most of a stream is events that differ in their text alone. Those are cut out of a read all at once, and their texts put
together before they are decoded. A stream that has come whole and holds nothing but one text is not read by events at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from ...core.models import Json
from ..events import Piece, StreamReader, Text, size_of
from ..usage import in_openai_words, parse_usage
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
        text = _decoded(texts)
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


def _decoded(texts: Sequence[bytes]) -> str | None:
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


_ENDS_BY_ITSELF: Final = frozenset({"stop", "length"})
_THOUGHTS: Final = "<think"
"""What a text begins with that is not all answer: see `WholeChat`."""


def one_text(whole: bytes, quirks: Quirks) -> tuple[Json, str] | None:
    """The completion that a whole stream makes which tells nothing but a text, as most do, and the text; None for any other.

    Whatever is in any way unusual is for `WholeChat` to read.
    """
    if quirks.answer_in_reasoning or not whole.endswith(ENDS[0]):
        return None
    events = whole[: -len(ENDS[0])].split(b"\n\n")
    number = 0
    while (found := _TEXT.search(events[number])) is None:
        number += 1
        if number == len(events) or number == _BEGINNING:
            return None
    first = events[number]
    before, after = first[: found.start(1)], first[found.end(1) :]
    last = len(events)
    while last > number + 1 and not (events[last - 1].startswith(before) and events[last - 1].endswith(after)):
        last -= 1
    alike = events[number:last]
    start, stop = len(before), -len(after)
    texts = [event[start:stop] for event in alike]
    if len(texts) > 1 and before + (after + b"\n\n" + before).join(texts) + after != b"\n\n".join(alike):
        return None
    told = b"\n\n".join([*events[: number + 1], *events[last:]]).strip(b"\n")
    if not told.startswith(_START) or (text := _decoded(texts)) is None:
        return None
    try:
        chunks = orjson.loads(b"[%b]" % told[len(_START) :].replace(b"\n\ndata: ", b","))
        said = text if len(texts) == 1 else orjson.loads(b'"%b"' % texts[0])
    except orjson.JSONDecodeError:
        return None
    reply = _made(chunks, number, said, text, quirks)
    return None if reply is None else (reply, text)


_BEGINNING: Final = 4
"""Events among which the first text is: others tell of a role, or of what a filter thinks of the question."""

_TEXT: Final = re.compile(rb'"content": ?"(?!")([^"\\]*(?:\\.[^"\\]*)*)"')
"""A text that is not empty. Linear: there is one way to read each byte."""


def _made(chunks: list[Any], number: int, said: str, text: str, quirks: Quirks) -> Json | None:
    """`number`: the chunk that tells `said`, the beginning of the text, and nothing else."""
    reply: Json = {"object": "chat.completion"}
    more: Json = {}
    reason = usage = None
    for place, chunk in enumerate(chunks):
        if type(chunk) is not dict or chunk.get("error") or "x_groq" in chunk:
            return None
        told = chunk.get("usage")  # what tells nothing takes nothing back
        if told and (usage is None or parse_usage(told) is not None):
            usage = told
        choices = chunk.get("choices")
        if type(choices) is not list or len(choices) > 1:
            return None
        if choices:
            if reason is not None or _said(choices[0], more) != (said if place == number else ""):
                return None
            reason = choices[0].get("finish_reason")
        reply |= chunk if None not in chunk.values() else {n: value for n, value in chunk.items() if value is not None}
    if (
        type(reason) is not str
        or reason not in _ENDS_BY_ITSELF
        or reason in quirks.finish
        or text.lstrip().startswith(_THOUGHTS)
    ):
        return None
    reply["object"] = "chat.completion"
    reply.pop("obfuscation", None)
    message = {"role": "assistant", "content": text}
    reply["choices"] = [{"index": 0, "message": message, "logprobs": None, **more, "finish_reason": reason}]
    if type(usage) is dict:
        reply["usage"] = in_openai_words(usage)
    else:
        reply.pop("usage", None)
    return reply


_OF_A_CHOICE: Final = frozenset({"index", "delta", "finish_reason"})
_OF_A_DELTA: Final = frozenset({"role", "content"})


def _said(choice: Any, more: Json) -> str | None:
    """The text of a choice that tells nothing else but words about itself, which are put into `more`."""
    delta = choice.get("delta") if type(choice) is dict else None
    if type(delta) is not dict or choice.get("index") or delta.get("role", "assistant") != "assistant":
        return None
    for name in choice.keys() - _OF_A_CHOICE:
        if (value := choice[name]) is not None:
            if type(value) is not str:
                return None
            more[name] = value
    for name in delta.keys() - _OF_A_DELTA:
        if delta[name] is not None:
            return None
    text = delta.get("content")
    return text if type(text) is str else "" if text is None else None
