"""The completion of a stream that has come whole and tells nothing but one text, as most do: not read event by event at all.

What its chunks tell besides is mostly the same each time, but for what stands before their choices (an id, a moment) and the
counts at the end. So it is worked out once, and known by its bytes from then on.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import orjson

from ...core.models import Json
from ..usage import in_openai_words, parse_usage
from .quirks import Quirks
from .whole import ENDS, decoded

_START: Final = b"data: "
_CHOICES: Final = b'"choices":'
_COUNTS: Final = b"[]"
_ANY: Final = "x"
"""Stands for the text in what is kept."""

_MOST_KEPT: Final = 64
_LONGEST_KEPT: Final = 2048
_ENDS_BY_ITSELF: Final = frozenset({"stop", "length"})
_THOUGHTS: Final = "<think"
"""What a text begins with that is not all answer: see `whole.WholeChat`."""
_BEGINNING: Final = 4
"""Events among which the first text is: others tell of a role, or of what a filter thinks of the question."""

_TEXT: Final = re.compile(rb'"content": ?"(?!")([^"\\]*(?:\\.[^"\\]*)*)"')
"""A text that is not empty. Linear: there is one way to read each byte."""


class Told(NamedTuple):
    """What the chunks of a stream tell besides what stands before their choices. `more`: of the choice itself."""

    fields: Json
    more: Json
    reason: Any


class OneText:
    """Reads such streams of one provider."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._known: dict[tuple[bytes, ...], Told] = {}

    def read(self, whole: bytes) -> tuple[Json, str] | None:
        """The completion and its text; None where anything is in any way unusual: that is for `WholeChat`."""
        if self._quirks.answer_in_reasoning or not whole.endswith(ENDS[0]):
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
        if not events[0].startswith(_START) or (text := decoded(texts)) is None:
            return None
        rest = [*events[:number], before + _ANY.encode() + after, *events[last:]]
        try:
            reply = self._by_bytes(rest, before, number, text)
            if reply is None:
                reply = self._by_chunks(rest, number, text)
        except orjson.JSONDecodeError:
            return None
        return None if reply is None else (reply, text)

    def _by_bytes(self, events: list[bytes], before: bytes, number: int, text: str) -> Json | None:
        """From what is known of such chunks, the text's being the one of that `number`; None where it has to be looked at."""
        size = before.find(_CHOICES) + len(_CHOICES)
        head, counts = before[:size], None
        if not events[-1]:
            events = events[:-1]
        tails = [event[size:] for event in events if event.startswith(head)]
        if size < len(_CHOICES) or len(tails) < len(events):
            return None
        if tails[-1].startswith(_COUNTS):
            counts = tails.pop()
        told = self._known.get(key := (b"%d" % number, *tails)) or self._learn(key, tails, number)
        if told is None:
            return None
        fields: Json = orjson.loads(head[len(_START) :] + b"[]}")
        used: Json = {} if counts is None else orjson.loads(b"{%b%b" % (_CHOICES, counts))
        for said in (fields, used):
            if said.get("error") or "x_groq" in said or said.pop("choices", None):
                return None
        if not (fields.keys().isdisjoint(told.fields) and fields.keys().isdisjoint(used)):
            return None
        usage = used.pop("usage", None) or fields.pop("usage", None)
        reply = _without_nothing({**fields, **told.fields, **_without_nothing(used)})
        return self._closed(reply, dict(told.more), told.reason, usage, text)

    def _learn(self, key: tuple[bytes, ...], tails: list[bytes], number: int) -> Told | None:
        """Look at chunks of which only what their choices begin is there; None where they are unusual, or tell a usage."""
        fields: Json = {}
        more: Json = {}
        reason = None
        for place, tail in enumerate(tails):
            chunk = orjson.loads(b"{%b%b" % (_CHOICES, tail))
            choices = chunk.pop("choices")
            if type(choices) is not list or len(choices) != 1 or reason is not None:
                return None
            if chunk.get("error") or "x_groq" in chunk or chunk.get("usage"):
                return None
            if _said(choices[0], more) != (_ANY if place == number else ""):
                return None
            reason = choices[0].get("finish_reason")
            fields |= _without_nothing(chunk)
        told = Told(fields, more, reason)
        if sum(map(len, key)) <= _LONGEST_KEPT:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[key] = told
        return told

    def _by_chunks(self, events: list[bytes], number: int, text: str) -> Json | None:
        """The same by reading each chunk."""
        whole = b"\n\n".join(events).strip(b"\n")
        chunks = orjson.loads(b"[%b]" % whole[len(_START) :].replace(b"\n\ndata: ", b","))
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
                if reason is not None or _said(choices[0], more) != (_ANY if place == number else ""):
                    return None
                reason = choices[0].get("finish_reason")
            reply |= _without_nothing(chunk)
        return self._closed(reply, more, reason, usage, text)

    def _closed(self, reply: Json, more: Json, reason: Any, usage: Any, text: str) -> Json | None:
        """What chunks tell as a completion; None where it did not end as such a one does."""
        if (
            type(reason) is not str
            or reason not in _ENDS_BY_ITSELF
            or reason in self._quirks.finish
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


def _without_nothing(fields: Json) -> Json:
    return fields if None not in fields.values() else {n: value for n, value in fields.items() if value is not None}


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
