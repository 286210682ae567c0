"""How much JSON holds, found out from its bytes before any of it is made: what is small on the wire may be huge in memory.

Work is done in turns: the functions here are generators that yield after each few milliseconds, so that who has a loop to keep
going can let others have their turn (`in_turns`), and who has not runs them to the end (`at_once`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Final, TypeVar

from ..core import rounds
from ..core.errors import BodyTooLargeError, InvalidRequestError

DEEPEST: Final = 200
"""Levels of arrays and objects. orjson reads 1024 and writes 254; upstream formats wrap a few around a client's own."""

MOST_GROUPS: Final = 20_000
"""Arrays and objects: each is looked at several times, which takes 3 µs in all. A conversation of 5,000 messages in parts has
15,000, and the tools of a whole house have a few thousand."""

MOST_VALUES: Final = 100_000
"""Elements and members of all arrays and objects. They take 15 MB, and 30 ms at most, where all are numbers of 30 digits."""

MOST_MEMBERS: Final = 50_000
"""Members of all objects: names that are long and not ASCII take as long for each as two such numbers. 5,000 messages that call a
function each have 40,000."""

MOST_TEXT: Final = 6 * 1024 * 1024
"""Bytes of text, which is what remains once embedded files are set aside: 1.5 million tokens, more than any model reads. A text of
ASCII with one emoji takes four bytes a character in memory."""

_TURNS_OF_A_SMALL_REQUEST: Final = 4
_WINDOW: Final = 128 * 1024
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

T = TypeVar("T")
Turns = Generator[None, None, T]
"""Work in turns that comes to a T."""


def at_once(work: Turns[T]) -> T:
    """What the work comes to."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # a generator's value is not typed where it is raised


async def in_turns(work: Turns[T]) -> T:
    """The same, letting others have their turn in between, and before what comes next."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            await others_first()
            return done.value  # type: ignore[no-any-return]  # as above
        await others_first()


async def others_first() -> None:
    """Let others have as many turns of the loop as a small request takes: so it waits for one long step here, and not for each."""
    for _ in range(_TURNS_OF_A_SMALL_REQUEST):
        await asyncio.sleep(0)
        await rounds.turn()  # many bodies at once leave others their turn as one does


def weigh(raw: bytes | bytearray, what: str) -> Turns[None]:
    """See that it is not too much. Raises BodyTooLargeError, InvalidRequestError where it nests too deeply.

    Marks inside of texts look like structure. Only where there are so many of them that it might be too much, texts are taken
    out first; bytes that are no JSON are counted up to where a parser would give up, or further.
    """
    if len(raw) > MOST_TEXT:
        raise BodyTooLargeError(
            f"{what} holds {len(raw):,} bytes of text besides embedded files; at most {MOST_TEXT:,} are taken."
        )
    opened = raw.count(b"[") + raw.count(b"{")
    yield
    if opened > DEEPEST or opened + raw.count(b",") >= MOST_VALUES or raw.count(b":") > MOST_MEMBERS:
        yield
        yield from _count(raw, what)


def _count(raw: bytes | bytearray, what: str) -> Turns[None]:
    groups = commas = members = depth = start = 0
    inside = False
    while start < len(raw):
        piece = bytes(raw[start : start + _WINDOW])
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2 and start + len(piece) < len(raw):
            piece = piece[:-1]  # what that backslash stands before is in the next window
        start += len(piece)
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[inside::2])
        inside ^= not len(parts) % 2
        commas, members = commas + outside.count(b","), members + outside.count(b":")
        marks = outside.translate(None, _NOT_STRUCTURE)
        groups += marks.count(b"[") + marks.count(b"{")
        if groups > MOST_GROUPS:
            raise _too_many(what, "arrays and objects", MOST_GROUPS)
        if groups + commas > MOST_VALUES:
            raise _too_many(what, "values", MOST_VALUES)
        if members > MOST_MEMBERS:
            raise _too_many(what, "members of objects", MOST_MEMBERS)
        for mark in marks:
            depth += _STEPS[mark]
            if depth > DEEPEST:
                raise InvalidRequestError(f"{what} nests JSON deeper than {DEEPEST} levels.", code="invalid_json")
            if depth < 0:
                return  # no JSON: it is read no further than here
        yield


def _too_many(what: str, of_what: str, most: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"{what} holds more than {most:,} {of_what}.")
