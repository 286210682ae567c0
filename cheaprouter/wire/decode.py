"""JSON from outside, decoded. What is nested deeper than can be written out again is refused where it comes in."""

from __future__ import annotations

from typing import Any, Final

import orjson

from ..core.errors import InvalidRequestError

DEEPEST: Final = 200
"""Levels of arrays and objects. orjson reads 1024 and writes 254; upstream formats wrap a few around a client's own."""

_PASSES: Final = 16
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def decode(raw: bytes, what: str = "The body") -> Any:
    """The value in `raw`. Raises InvalidRequestError."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"{what} is not valid JSON: {error}.", code="invalid_json") from error
    if raw.count(b"{") + raw.count(b"[") > DEEPEST and not _shallow(raw) and _deeper(value):
        raise InvalidRequestError(f"{what} nests JSON deeper than {DEEPEST} levels.", code="invalid_json")
    return value


def _shallow(raw: bytes) -> bool:
    """Whether so few passes take all pairs of brackets away: true of what clients send, and quicker than walking it."""
    brackets = raw.translate(None, _NOT_BRACKETS)
    for _ in range(_PASSES):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets


def _deeper(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
