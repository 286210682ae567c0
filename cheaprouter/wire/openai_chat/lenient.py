"""JSON as some servers write it: what any reader takes in the same way is taken, whatever the standard says."""

from __future__ import annotations

import json
from typing import Any

import orjson


def loads(data: bytes) -> tuple[Any, bool]:
    """The value, and whether its bytes can be read by any client. Raises ValueError for what is no JSON at all.

    Halves of characters (an emoji told in two pieces, each half escaped) stay halves. NaN and Infinity, in logprobs, become null.
    """
    try:
        return orjson.loads(data), True
    except orjson.JSONDecodeError:
        if b"\\u" not in data and b"NaN" not in data and b"Infinity" not in data:
            raise
    constants: list[str] = []
    try:
        value = json.loads(data.decode(), parse_constant=constants.append)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value, not constants
