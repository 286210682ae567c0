"""SQLite's write-ahead log: brought into the file in time, and never longer than `MOST_BYTES`, whoever reads meanwhile.

A log begins anew only while nobody reads from it. A report of ours is over in `reader.MOST_SECONDS`; another program (a
shell, a backup) may stay. Then writing waits, and with it bookings, in memory and in the journal.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 64 * 1024 * 1024
"""How long the log gets at most, where there is room for as much."""

KEPT_BYTES: Final = 4 * 1024 * 1024
"""How much of the log's file is kept when it begins anew."""

_MOVED: Final = 4
"""A log longer than this part of what it may be is brought into the file before the next transaction."""

_WAITS: Final = 5 / 8
"""From this part on nothing is written until it is shorter: what one transaction adds fits in the rest."""

MOST_BOOKED_AT_ONCE: Final = 500
"""Bookings in one transaction. Each may touch some ten pages of its own: 20 MB of log at most."""


class WalFullError(sqlite3.OperationalError):
    """The log cannot begin anew: another program reads from it."""


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Move the WAL into the file and sync it; True if all of it is now safe there."""
    busy, total, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(busy == 0 and total == moved)


def make_room(connection: sqlite3.Connection, path: Path, most: int = MOST_BYTES) -> None:
    """See to it that the log may grow by one transaction. In no transaction. Raises WalFullError, sqlite3.Error."""
    size = length(path)
    if size < most // _MOVED:
        return
    if checkpoint(connection) and size < most * _WAITS:
        return
    if size >= most * _WAITS and not _begin_anew(connection):
        raise WalFullError("another program has been reading the database for a long time")


def length(path: Path) -> int:
    """Bytes of the log beside the database at `path`."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0


def _begin_anew(connection: sqlite3.Connection) -> bool:
    """Whether the log could be emptied; waits for nobody."""
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout=0")
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(patience)}")
    return bool(busy == 0)
