"""Looks at the clock while nobody asks, and writes down for the next start which time it was."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import Final

from ..books import stamp
from ..books.database import Database
from ..core.calendar import Clock
from ..core.worldtime import WorldTime

LOOK_SECONDS: Final = 60.0
"""Between two looks: whatever is wrong with the clock is in the log after so long."""

_LOOKS: Final = 60
"""Looks until the time is written down again."""


def clock_of(database: Database) -> Clock:
    """The machine's clock, as far as it agrees with the books of an open database."""
    world_time = WorldTime()
    world_time.anchor(*_known_times(database))
    return world_time.clock()


def _known_times(database: Database) -> tuple[float, float]:
    """When the newest booking was made, and when a router was there last; 0 where the books cannot tell."""
    with suppress(sqlite3.Error):
        return database.read_sync(stamp.newest)
    return 0.0, 0.0


async def keep_time(clock: Clock, database: Database) -> None:
    """For ever."""
    while True:
        await write_down(clock, database)
        doubted = bool(clock.problems())
        for _ in range(_LOOKS):
            await asyncio.sleep(LOOK_SECONDS)
            if bool(clock.problems()) != doubted:
                break  # it is right again, as after a start without a battery: no crash may forget it


async def write_down(clock: Clock, database: Database) -> None:
    """The time as it is now, unless it is in doubt."""
    if not clock.problems():
        with suppress(sqlite3.Error):  # the next time, or by the newest booking
            await database.run(lambda c: stamp.keep(c, clock.unix()))
