"""JSON as some servers write it: what any reader takes in the same way is taken, whatever the standard says."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, Final

import orjson

from ..tally import DEEPEST
from ..weigh import LIGHT, refuse_too_deep, refuse_too_many

_TOO_LARGE: Final = "number is infinity"
"""orjson's words for 1e999."""

_DIGITS: Final = 18
"""More may be beyond 64 bits, and orjson, too, then takes the nearest that a double holds."""


def loads(data: bytes) -> tuple[Any, bool]:
    """The value, and whether its bytes can be read by any client. Raises ValueError for what is no JSON at all, or too much of it.

    Halves of characters (an emoji told in two pieces, each half escaped) stay halves. NaN and Infinity, in logprobs, become
    null, and so does a number beyond all others, in a bill.
    """
    if len(data) <= LIGHT and data.count(b"[") + data.count(b"{") <= DEEPEST:
        return _loads(data)  # as nearly all are: neither too many nor too deep
    brackets = refuse_too_many(data)
    value, strict = _loads(data)
    refuse_too_deep(brackets, value)
    return value, strict


def loads_numbers(data: bytes) -> Any:
    """The value, with null for a number beyond all others. Raises ValueError for what is no JSON otherwise, halves of characters too."""
    value, _ = loads(data)
    try:
        if b"\\u" in data:
            orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError(str(error)) from error
    return value


def _loads(data: bytes) -> tuple[Any, bool]:
    try:
        return orjson.loads(data), True
    except orjson.JSONDecodeError as error:
        odd = b"\\u" in data or b"NaN" in data or b"Infinity" in data
        if not odd and _TOO_LARGE not in str(error):
            raise
    constants: list[str] = []

    def number(text: str) -> float | None:
        if isfinite(found := float(text)):
            return found
        constants.append(text)
        return None

    def whole(text: str) -> float | None:
        return int(text) if len(text) <= _DIGITS else number(text)

    try:
        value = json.loads(data.decode(), parse_constant=constants.append, parse_float=number, parse_int=whole)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value, not constants
