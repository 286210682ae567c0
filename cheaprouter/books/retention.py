"""History within bounds: by age and by size. Daily totals stay."""

from __future__ import annotations

import sqlite3
from datetime import date
from typing import Final

from ..config.settings import StorageSettings
from ..core.calendar import Clock, from_date
from . import totals as books
from .database import Database
from .rows import FIRST_AT, microseconds

CHUNK: Final = 2000
"""Rows deleted in one transaction: bookings wait for no more than that."""

FEW: Final = 64
"""Free pages not worth returning: they are used again soon."""

DAYS_KEPT: Final = 400
"""Days with totals of their own: a year can be compared with the one before. Older ones are kept by month."""

_DAY_US: Final = 86_400 * 1_000_000
_MEGABYTE: Final = 1024 * 1024


class Retention:
    """What is kept: requests for so many days, and a file of at most so many megabytes."""

    def __init__(self, settings: StorageSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._added_up = 0

    async def apply(self, database: Database) -> int:
        """Delete what is too old or too much, in small steps; returns how many requests went. Raises sqlite3.Error."""
        gone = 0
        before = max(FIRST_AT, microseconds(self._clock.utcnow()) - self.settings.retention_days * _DAY_US)
        while step := await database.run(lambda c: _older(c, before)):
            gone += step
        while await database.read(_used) > self.settings.max_mb * _MEGABYTE:
            if not (step := await database.run(_oldest)):
                break
            gone += step
        await self._add_up(database)
        while await database.read(_give_back):
            pass
        return gone

    async def _add_up(self, database: Database) -> None:
        """Once a day: totals of long ago need no days of their own."""
        before = from_date(date.fromordinal(max(1, self._clock.utcnow().toordinal() - DAYS_KEPT)))
        if before != self._added_up:
            await database.run(lambda c: books.by_month(c, before))
            self._added_up = before


def _older(connection: sqlite3.Connection, before: int) -> int:
    query = "DELETE FROM request WHERE seq IN (SELECT seq FROM request WHERE at < ? LIMIT ?)"
    return connection.execute(query, (before, CHUNK)).rowcount


def _oldest(connection: sqlite3.Connection) -> int:
    query = "DELETE FROM request WHERE seq IN (SELECT seq FROM request ORDER BY seq LIMIT ?)"
    return connection.execute(query, (CHUNK,)).rowcount


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _give_back(connection: sqlite3.Connection) -> bool:
    """Return some free pages to the disk; whether that may have left more. The next checkpoint shortens the file."""
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    if free < FEW:
        return False
    # A script runs each statement to its end; `execute` stops after the first page.
    connection.executescript(f"PRAGMA incremental_vacuum({CHUNK})")
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0]) < free
