"""Files in base64 inside of JSON, taken out before it is read and put back after: a parser takes four times as long for them.

A picture of 64 MiB is one string. It needs no parser: between its quotes stand letters of base64 and nothing else.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from .tally import Turns

LONG: Final = 64 * 1024
"""Bytes from which a string is looked at."""

_WINDOW: Final = 1024 * 1024
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_LETTERS_AND_ENDS: Final = _LETTERS + b"\r\n"
_ESCAPES: Final = (
    (b"\\/", b"/"), (b"\\n", b"\n"), (b"\\r", b"\r"),
    (b"\\u002B", b"+"), (b"\\u002b", b"+"), (b"\\u002F", b"/"), (b"\\u002f", b"/"), (b"\\u003D", b"="), (b"\\u003d", b"="),
)  # fmt: skip
"""How letters of base64, and the ends of its lines, are written by some: PHP escapes slashes, .NET the plus, Gson the equals sign."""

_LONGEST_ESCAPE: Final = 6
_LONGEST_PREFIX: Final = 256
_NODES_A_TURN: Final = 20_000
_ENDS: Final = (b",", b"}", b"]")


def cut(raw: bytearray) -> Turns[tuple[bytearray, dict[str, str]]]:
    """The JSON with short names in place of its embedded files, and the files by those names. `raw` is ours to use up."""
    found: dict[str, str] = {}
    pieces: list[memoryview | bytes] = []
    view = memoryview(raw)
    done, at = 0, LONG
    while (end := raw.find(b'"', at)) > 0:
        start = raw.rfind(b'"', done, at) + 1
        if start and end - start >= LONG and _is_a_value(raw, start, end):
            text = yield from _read(raw, view, start, end)
            if text is not None:
                name = f"{_MARK}{secrets.token_hex(16)}"
                found[name] = text
                pieces += (view[done:start], name.encode())
                done = end
        at = end + LONG
        yield
    if not found:
        view.release()
        return raw, found
    rest = bytearray().join((*pieces, view[done:]))
    pieces.clear()
    view.release()
    raw.clear()
    return rest, found


_MARK: Final = "cheaprouter:embedded:"
_NAME: Final = len(_MARK) + 32


def _is_a_value(raw: bytearray, start: int, end: int) -> bool:
    """Whether what stands between two quotes may be a whole string that is not a key."""
    if raw[start - 2 : start - 1] == b"\\":
        return False
    return bytes(raw[end + 1 : end + 33]).lstrip()[:1] in _ENDS


def _read(raw: bytearray, view: memoryview, start: int, end: int) -> Turns[str | None]:
    """The text between two quotes; None where it is no embedded file."""
    head = bytes(view[start : start + _LONGEST_PREFIX])
    first, prefix = start, ""
    if head.startswith(b"data:"):
        comma = head.find(b",") + 1
        prefix = head[:comma].replace(b"\\/", b"/").decode("latin-1")
        if not comma or "\\" in prefix or not prefix.isascii() or not prefix.isprintable():
            return None
        start += comma
    if raw.find(b"\\", first, end) >= 0:
        if not _may_be_the_end(bytes(view[max(start, end - _LONGEST_PREFIX) : end])):
            return None
        return (yield from _unescaped(raw, view, start, end, prefix))
    for at in range(start, end, _WINDOW):
        if bytes(view[at : min(at + _WINDOW, end)]).translate(None, _LETTERS):
            return None
        yield
    return str(view[first:end], "ascii")


def _may_be_the_end(tail: bytes) -> bool:
    """Whether a file may end like that: a long text with escapes in it is mostly told from one by its last words."""
    for written, _ in _ESCAPES:
        tail = tail.replace(written, b"")
    return not tail[_LONGEST_ESCAPE:].translate(None, _LETTERS)


def _unescaped(raw: bytearray, view: memoryview, start: int, end: int, prefix: str) -> Turns[str | None]:
    texts = [prefix]
    while start < end:
        stop = min(start + _WINDOW, end)
        if stop < end and (at := raw.find(b"\\", stop - _LONGEST_ESCAPE, stop)) >= 0:
            stop = at
        piece = bytes(view[start:stop])
        for written, meant in _ESCAPES:
            piece = piece.replace(written, meant)
        if piece.translate(None, _LETTERS_AND_ENDS):
            return None
        texts.append(piece.decode("ascii"))
        start = stop
        yield
    return "".join(texts)


def put_back(value: Any, found: dict[str, str]) -> Turns[None]:
    """Put the files to where their names stand. Keys and what a repeated key replaced are left out by `cut` and by the parser."""
    left, waiting, seen = len(found), [value], 0
    while waiting and left:
        node = waiting.pop()
        for key, child in node.items() if type(node) is dict else enumerate(node):
            if type(child) is str:
                if len(child) == _NAME and (text := found.get(child)) is not None:
                    node[key] = text
                    left -= 1
            elif type(child) is dict or type(child) is list:
                waiting.append(child)
        if (seen := seen + len(node)) > _NODES_A_TURN:
            seen = 0
            yield
