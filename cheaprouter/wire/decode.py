"""JSON from outside, decoded. What holds too much, or is nested deeper than can be written out again, is refused where it comes in."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from ..core.errors import InvalidRequestError
from .embedded import LONG, cut, put_back
from .tally import DEEPEST, at_once, in_turns, others_first, weigh

_PASSES: Final = 16
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def decode(raw: bytes | bytearray, what: str = "The body") -> Any:
    """The value in `raw`, which is not longer than `LONG`. Raises InvalidRequestError."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _unreadable(what, error) from error
    if raw.count(b"{") + raw.count(b"[") > DEEPEST and not _shallow(raw) and deeper(value):
        raise InvalidRequestError(f"{what} nests JSON deeper than {DEEPEST} levels.", code="invalid_json")
    return value


def decode_message(raw: bytes, what: str) -> Any:
    """The same for up to a megabyte, without letting others have their turn. Raises BodyTooLargeError too."""
    if len(raw) <= LONG:
        return decode(raw, what)
    at_once(weigh(raw, what))
    return _loads(raw, what)


async def decode_in_turns(raw: bytearray, what: str = "The body") -> Any:
    """The same for any size: others have their turn in between. `raw` is used up, so that it is not held besides what it says."""
    rest, embedded = await in_turns(cut(raw))
    await in_turns(weigh(rest, what))
    value = _loads(rest, what)
    del rest
    await others_first()
    if embedded:
        await in_turns(put_back(value, embedded))
    return value


def _loads(raw: bytes | bytearray, what: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _unreadable(what, error) from error


_NO_NUMBER: Final = re.compile(r"(?:NaN|Inf)|-?\d+(?:\.\d+)?[eE]\+?\d|-?\d{300}", re.IGNORECASE)
_FIELD: Final = re.compile(r'"((?:[^"\\]|\\.){1,64})"\s{0,8}:\s{0,8}-?$')
_NEAR: Final = 100


def _unreadable(what: str, error: orjson.JSONDecodeError) -> InvalidRequestError:
    """What is wrong, and in which field where that is a number that is none: some clients write NaN or 1e999."""
    at = error.pos
    field = _FIELD.search(error.doc[max(0, at - _NEAR) : at]) if _NO_NUMBER.match(error.doc, at) else None
    if field is None:
        return InvalidRequestError(f"{what} is not valid JSON: {error}.", code="invalid_json")
    name = field[1]
    return InvalidRequestError(f"`{name}` must be a finite number; {error}.", param=name, code="invalid_json")


def _shallow(raw: bytes | bytearray) -> bool:
    """Whether so few passes take all pairs of brackets away: true of what clients send, and quicker than walking it."""
    brackets = raw.translate(None, _NOT_BRACKETS)
    for _ in range(_PASSES):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets


def deeper(value: Any) -> bool:
    """Whether it nests deeper than others can read, or we can write."""
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
