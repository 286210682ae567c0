"""Events that differ from one that was read in their text alone: what that one did not say, they do not say either."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from ...core.records import dataclass
from ..usage import usage_in
from .chunks import choices_of

_NAMES: Final = ("content", "reasoning_content")
_FILLER: Final = re.compile(rb',\s*"obfuscation":\s*"')
"""OpenAI fills its events up to a length that tells nothing of the text."""

_START: Final = b"data: "

_TEXT: Final = re.compile(rb'[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
"""The inside of a JSON string, but for halves of characters. Linear: there is one way to read each byte."""

LONGEST: Final = 16 * 1024
"""Bytes of an event that is looked at so: a pattern takes memory for each escape, and pieces of text are short."""

is_text: Final = _TEXT.fullmatch
"""Whether bytes are all that, from a place to a place; but for whether they are UTF-8."""


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Alike:
    """What stands around the text of a chunk that tells nothing but that text, and maybe before another that says nothing.

    Whatever text stands there instead, reading the event would pass it on unchanged.
    """

    before: bytes
    after: bytes
    middle: bytes | None = None

    def told(self, data: bytes, start: int, end: int) -> int:
        """Bytes of text in the event from `start` to `end`, if it is such a one; else -1."""
        if end - start > LONGEST or not data.startswith(self.before, start):
            return -1
        begin, stop = start + len(self.before), end - len(self.after)
        if not data.endswith(self.after, begin, end):
            return -1
        told = stop
        if self.middle is not None:
            match = _TEXT.match(data, begin, stop)
            told = begin if match is None else match.end()
            if not data.startswith(self.middle, told, stop):
                return -1
            if not is_text(data, told + len(self.middle), stop):
                return -1
        elif not is_text(data, begin, stop):
            return -1
        event = data if not start and end == len(data) else data[start:end]
        return told - begin if event.isascii() or is_utf8(event) else -1


def run_of(data: bytes, before: bytes, after: bytes) -> tuple[int, int]:
    """How many events stand at the beginning of `data` that have these around their texts, and how many bytes they are.

    All in a few passes over the bytes, with no step for an event: they are cut where the end of what stands between two texts
    is (bytes are slow to split at long ones), and what that found must give the same bytes when it is put together again.
    """
    if not data.startswith(before):
        return 0, 0
    between = after + before
    lead = len(between[:-_CUT])
    *parts, last = data[len(before) :].split(between[-_CUT:])
    texts = [part[: len(part) - lead] for part in parts]
    if (end := last.find(after)) >= 0:
        texts.append(last[:end])
    run = before + between.join(texts) + after
    joined = b" ".join(texts)  # a blank ends every escape and every character, so that all are texts if this is one
    if not texts or len(joined) > LONGEST or not data.startswith(run):
        return 0, 0
    plain = len(joined.translate(None, _NOT_PLAIN)) == len(joined)
    good = (plain or is_text(joined)) and (joined.isascii() or is_utf8(joined))
    return (len(texts), len(run)) if good else (0, 0)


_CUT: Final = 60
_NOT_PLAIN: Final = bytes(range(0x20)) + b'"\\'


def alike_to(event: bytes) -> Alike | None:
    """What events like this one look like; None where it tells more than a text.

    `event`: a line and a blank one, read and found to need no change.
    """
    if len(event) > LONGEST or not event.startswith(_START) or event.find(b"\n") != len(event) - 2:
        return None
    for name in _NAMES:
        for beginning in (b'"%b":"' % name.encode(), b'"%b": "' % name.encode()):
            if (place := event.find(beginning)) >= 0 and (text := _TEXT.match(event, place + len(beginning))):
                return _around(event, name, text.start(), text.end())
    return None


def _around(event: bytes, name: str, start: int, end: int) -> Alike | None:
    before, after = event[:start], event[end:]
    if (filler := _FILLER.search(after)) and (text := _TEXT.match(after, filler.end())):
        alike = Alike(before, after[text.end() :], after[: text.start()])
        fills = [(b"a", b"c"), (b"b", b"d")]
        made = [before + told + after[: text.start()] + fill + after[text.end() :] for told, fill in fills]
    else:
        alike = Alike(before, after)
        made = [before + b"a" + after, before + b"b" + after]
    first, second = [_text_alone(one, name) for one in made]
    return alike if (first, second) == ("a", "b") else None


def _text_alone(event: bytes, name: str) -> Any:
    """The text of the only choice, if that is all there is to know."""
    try:
        chunk = orjson.loads(event[len(_START) :])
    except orjson.JSONDecodeError:
        return None
    if type(chunk) is not dict:
        return None
    choices = choices_of(chunk)
    if len(choices) != 1 or chunk.get("error") or usage_in(chunk) is not None:
        return None
    delta, more = choices[0].get("delta"), choices[0].get("finish_reason")
    if not isinstance(delta, dict) or more or delta.get("tool_calls") or delta.get("function_call"):
        return None
    return delta.get(name)
