"""The newest time that the books know of, for a start at which the clock may be wrong."""

from __future__ import annotations

import sqlite3
from statistics import median_high
from typing import Final

_KEY: Final = "clock_at"
"""In `meta`: Unix seconds, when the clock was believed last."""

_LOOKED_AT: Final = 5
"""Bookings of which the one in the middle counts: a damaged one says anything."""


def newest(connection: sqlite3.Connection) -> tuple[float, float]:
    """When the newest booking was made, and when a router was there last; Unix seconds, 0 where nobody knows."""
    found = connection.execute("SELECT at FROM request ORDER BY seq DESC LIMIT ?", (_LOOKED_AT,)).fetchall()
    times = [at for (at,) in found if isinstance(at, int)]
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    there = row[0] if row is not None and isinstance(row[0], int) else 0
    return median_high(times) / 1_000_000 if times else 0.0, float(there)


def keep(connection: sqlite3.Connection, at: float) -> None:
    """Write down that it was this time, for the next start."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEY, int(at)))
