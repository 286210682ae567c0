"""Rounds of the event loop: how long one has taken, so that many replies at once leave others their turn as one does."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

LONGEST: Final = 0.008
"""Seconds of a round after which no reply of more than a few bytes is handed on: one that has begun may take a few more."""

SHORT: Final = 0.002
"""The same for long lists that nobody waits for at once: a request takes some three rounds."""


class Round:
    """One loop's. It begins with whoever asks first, and ends where the loop comes round again."""

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began: float | None = None

    def is_over(self, loop: asyncio.AbstractEventLoop, now: float, longest: float = LONGEST) -> bool:
        """Whether it has taken so long that whoever asks should wait for the next. `now`: the loop's time."""
        if self._began is None:
            self._began = now
            loop.call_soon(self._end)
            return False
        return now - self._began > longest

    def _end(self) -> None:
        self._began = None


_ROUNDS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Round]] = WeakKeyDictionary()


def is_over(loop: asyncio.AbstractEventLoop, now: float, longest: float = LONGEST) -> bool:
    """Whether that loop's round is, see `Round`."""
    found = _ROUNDS.get(loop)
    if found is None:
        found = _ROUNDS[loop] = Round()
    return found.is_over(loop, now, longest)


async def turn() -> None:
    """Wait for the next round where this one has taken `SHORT` already: for work of many small steps, before each of them."""
    loop = asyncio.get_running_loop()
    while is_over(loop, loop.time(), SHORT):  # noqa: ASYNC110 - there is nothing else to wait for: a round ends with the loop's
        await asyncio.sleep(0)
