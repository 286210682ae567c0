"""How much JSON from an upstream may hold: counted in its bytes before it is parsed, since that blocks everybody else.

A parser takes 40 ns and 20 to 100 bytes for each value, and its result as long again to be taken down: 20 MB of `[1],{},` are
seconds and gigabytes, 20 MB of a picture are one value.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from .decode import deeper
from .tally import DEEPEST

MOST_VALUES: Final = 100_000
"""Of one reply, or one event of a stream, or one list. The longest real lists of models have some 30,000."""

MOST_ESCAPES: Final = 400_000
"""Backslashes of the same. Each takes ten times what a plain character does, and a model's longest answer has half as many letters."""

LIGHT: Final = 128 * 1024
"""Bytes that cannot hold enough to matter: they are not counted."""

_STEP: Final = 256 * 1024
_TEXTS_CUT_OUT: Final = 1 << 20
"""Bytes out of which texts are cut where there is doubt; that takes some 30 ms."""


class TooMuchError(ValueError):
    """It holds more values, or deeper ones, than are read."""


def refuse_too_many(raw: bytes) -> int:
    """How many brackets open in `raw`. Raises TooMuchError where it may hold too many values, or escapes: it stops where it is sure.

    Marks inside of texts count, too.
    """
    size = len(raw)
    if size <= LIGHT:
        return 0 if size <= 2 * DEEPEST else raw.count(b"[") + raw.count(b"{")
    commas = brackets = escapes = 0
    for start in range(0, size, _STEP):
        end = start + _STEP
        commas += raw.count(b",", start, end)
        brackets += raw.count(b"[", start, end) + raw.count(b"{", start, end)
        escapes += raw.count(b"\\", start, end)
        if escapes > MOST_ESCAPES:
            raise TooMuchError("more escapes than are read")
        if commas + brackets > MOST_VALUES:
            if size <= _TEXTS_CUT_OUT:
                return _exactly(raw)
            raise TooMuchError("more values than are read")
    return brackets


def _exactly(raw: bytes) -> int:
    """The same without what stands in texts: a long answer may be a table, or a program."""
    bare = b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = bare.count(b"[") + bare.count(b"{")
    if brackets + bare.count(b",") > MOST_VALUES:
        raise TooMuchError("more values than are read")
    return brackets


def refuse_too_deep(brackets: int, value: Any) -> None:
    """Raises TooMuchError for a value that nests deeper than others can read, or we can write."""
    if brackets > DEEPEST and deeper(value):
        raise TooMuchError("nested too deep")


def loads(raw: bytes) -> Any:
    """The value. Raises TooMuchError, and ValueError for what is no JSON."""
    brackets = refuse_too_many(raw)
    value = orjson.loads(raw)
    refuse_too_deep(brackets, value)
    return value
