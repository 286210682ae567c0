"""Events that differ from one that was read in their text alone: what that one did not say, they do not say either."""

from __future__ import annotations

import re
from typing import Final

import orjson

from ..usage import usage_in
from .chunks import choices_of

_BEGINNINGS: Final = (b'"content":"', b'"content": "')
_START: Final = b"data: "

_TEXT: Final = re.compile(rb'[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
"""The inside of a JSON string, but for halves of characters. Linear: there is one way to read each byte."""

LONGEST: Final = 16 * 1024
"""Bytes of an event that is looked at so: a pattern takes memory for each escape, and pieces of text are short."""

is_text: Final = _TEXT.fullmatch
"""Whether bytes are all that, from a place to a place."""


def around_text(event: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and after the text of a chunk that tells nothing but that text; None for any other.

    `event`: a line and a blank one. Whatever text stands there instead, reading it would pass it on unchanged.
    """
    if len(event) > LONGEST:
        return None
    for beginning in _BEGINNINGS:
        if (place := event.find(beginning)) >= 0 and (text := _TEXT.match(event, place + len(beginning))):
            before, after = event[: text.start()], event[text.end() :]
            one_line = event.startswith(_START) and event.find(b"\n") == len(event) - 2
            return (before, after) if one_line and _tells_only_text(before, after) else None
    return None


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
    joined = b" ".join(texts)  # a blank ends every escape, so that all are texts if this is one
    if not texts or len(joined) > LONGEST or not data.startswith(run):
        return 0, 0
    plain = len(joined.translate(None, _NOT_PLAIN)) == len(joined)
    return (len(texts), len(run)) if plain or is_text(joined) else (0, 0)


_CUT: Final = 60
_NOT_PLAIN: Final = bytes(range(0x20)) + b'"\\'


def _tells_only_text(before: bytes, after: bytes) -> bool:
    """Whether what stands between is the text of the only choice, and that is all there is to know."""
    try:
        chunk, other = [orjson.loads(before[len(_START) :] + text + after) for text in (b"a", b"b")]
    except orjson.JSONDecodeError:
        return False
    choices = choices_of(chunk)
    if len(choices) != 1 or chunk.get("error") or usage_in(chunk) is not None:
        return False
    delta = choices[0].get("delta")
    if not isinstance(delta, dict) or delta.get("tool_calls") or choices[0].get("finish_reason"):
        return False
    return bool(delta.get("content") == "a" and choices_of(other)[0]["delta"]["content"] == "b")
