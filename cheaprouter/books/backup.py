"""Copies of the database for backups that are taken while the router runs, and the way back.

A backup program that copies a live SQLite file may catch it half written. So it is told to call `make` first, which puts
a consistent copy beside the file, and `done` afterwards; the file itself may be in the backup too. After a restore both are
there, and which one counts? A mark that backups leave out (`cache/` is excluded) tells: where it is missing, this folder
came out of a backup, and the copy wins. A copy beside the mark is the rest of a backup that was cut off, and goes.
Bookings that came after the copy are in the journal, which is made of whole lines, and are replayed as after a crash.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from .migrations import refuse_newer

_LOG: Final = logging.getLogger(__name__)

DATABASE: Final = "cheaprouter.db"
COPY: Final = "cheaprouter-backup.db"
_MARK: Final = Path("cache", "in-use")
_PATIENCE: Final = 5.0
"""Seconds to wait for the router, which may be writing."""


def make(data: Path, target: Path | None = None) -> Path | None:
    """Write a consistent copy of the database in `data`, by default to `COPY` beside it; None: there is no database yet.

    For another process than the router's. Raises sqlite3.Error, OSError, NewerDatabaseError.
    """
    source = data / DATABASE
    if not source.exists():
        return None
    refuse_newer(source)
    target = target or data / COPY
    _copy(source, target)
    if os.geteuid() == 0:  # called as root beside a router that is not: it has to be able to read its own restore
        owner = data.stat()
        os.chown(target, owner.st_uid, owner.st_gid)
    return target


def done(data: Path) -> None:
    """The backup was taken: the copy has served. Raises OSError."""
    (data / COPY).unlink(missing_ok=True)


def restore(data: Path) -> bool:
    """Before the database is opened: put a restored copy in its place. True where that was done.

    Raises NewerDatabaseError before anything is moved, and nothing else.
    """
    copy, mark = data / COPY, data / _MARK
    restored = False
    try:
        wins = copy.exists() and not mark.exists()
        refuse_newer(copy if wins else data / DATABASE)
        if wins:
            restored = _put_in_place(copy, data / DATABASE)
        copy.unlink(missing_ok=True)
    except OSError as error:
        _LOG.error("The backup's copy of the database, %s, cannot be put in place: %s", copy, error)
    with contextlib.suppress(OSError):  # without a mark, a later start may take a cut-off backup for a restore; no more
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
    return restored


def _put_in_place(copy: Path, database: Path) -> bool:
    if not _sound(copy):
        refuse_newer(database)
        _LOG.error("The backup's copy of the database is damaged; going on with the file that is there.")
        return False
    for suffix in ("-wal", "-shm"):  # they belong to the file that is replaced
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    copy.replace(database)
    _LOG.info("The database was restored from a backup.")
    return True


def _copy(source: Path, target: Path) -> None:
    """Through a temporary file beside the target, so that a copy of before is replaced by a whole one or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(source, isolation_level=None, timeout=_PATIENCE)) as connection:
            connection.execute("VACUUM INTO ?", (str(partial),))
        partial.chmod(0o600)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _sound(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.Error:
        return False
