"""How much the data folder takes, and what goes first where that is too much: copies of damaged files, the oldest first.

Counted is what is ours: the database with its log, the journal, copies, backups, caches, settings. What else lies in the
folder is not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..core.records import dataclass
from . import wal

_LOG: Final = logging.getLogger(__name__)

MEGABYTE: Final = 1024 * 1024

MOST_COPIES: Final = 20
"""Copies of damaged files and rows that are kept at most, and a quarter of all space: together with the newest, half of it."""

MOST_JOURNAL: Final = 12 * MEGABYTE
"""What the journal takes while the database takes its bookings: those since the file was brought up to date, at most."""

_COPIES: Final = ("*.corrupt-*", "*.rows-*", "journal/*.damaged", "*.damaged-*")
_OURS: Final = (
    "cheaprouter*",
    "*.json",
    "admin_key",
    "instance_id",
    ".*.json.*",
    ".admin_key.*",
    "journal/*",
    "cache/**/*",
)
_LEFT_OVER: Final = (".*.json.*", ".admin_key.*", "*.partial")
_BACKUP: Final = "cheaprouter-backup.db"
_APART: Final = frozenset({"cheaprouter.db", "cheaprouter.db-wal", "cheaprouter.db-shm", _BACKUP, f"{_BACKUP}.partial"})
_OLD: Final = 86_400.0
"""Seconds after which a temporary file that a command left behind has served."""

_TAKEN: Final = 2 * 3600.0
"""Seconds after which a backup has surely been taken, and its copy goes. Until then no history is deleted to make room for it."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How the space of `storage.max_mb` is shared: the log of the database, and what it may take with its own file."""

    log: int
    database: int


def shares(folder: Path, max_mb: int) -> Shares:
    """What the database may take beside all else that is there now but the copy for a backup. Reads the folder."""
    most = max_mb * MEGABYTE
    log, journal = log_share(max_mb), journal_share(max_mb)
    others = sum(size for path, size in _sizes(folder, _OURS).items() if not _is_the_books(path))
    return Shares(
        log, max(0, (most - log - journal - others) * 9 // 10)
    )  # a tenth for what comes in before the next look


def log_share(max_mb: int) -> int:
    """How long the database's log may get: 64 MB, or a quarter of little space."""
    return min(wal.MOST_BYTES, max_mb * MEGABYTE // 4)


def journal_share(max_mb: int) -> int:
    """How long the journal may get while the database takes its bookings."""
    return min(MOST_JOURNAL, max_mb * MEGABYTE // 8)


def over(folder: Path, max_mb: int) -> int:
    """By how many bytes everything together is too much, or nearly so. Reads the folder."""
    return taken(folder) - max_mb * MEGABYTE * 31 // 32


def taken(folder: Path) -> int:
    """Bytes of everything that is ours."""
    return sum(_sizes(folder, _OURS).values())


def trim(folder: Path, max_mb: int, now: float | None = None) -> None:
    """Remove what was left behind, and copies beyond their share, the oldest first. Never raises OSError."""
    now = time.time() if now is None else now
    for path, kept in [*((path, _OLD) for path in _sizes(folder, _LEFT_OVER)), (folder / _BACKUP, _TAKEN)]:
        if path.exists() and _changed(path) < now - kept:
            _remove(path, "it was left behind")
    most = max_mb * MEGABYTE
    copies = _sizes(folder, _COPIES)
    total = 0
    for count, path in enumerate(sorted(copies, key=_changed, reverse=True), 1):
        total += copies[path]
        if total > most // (2 if count == 1 else 4) or count > MOST_COPIES:
            _remove(path, "copies of damaged files take more than their share of storage.max_mb")


def _remove(path: Path, why: str) -> None:
    try:
        path.unlink(missing_ok=True)
        _LOG.warning("%s was removed: %s.", path, why)
    except OSError as error:
        _LOG.error("%s cannot be removed: %s", path, error)


def _sizes(folder: Path, patterns: Iterable[str]) -> dict[Path, int]:
    found = {}
    with suppress(OSError):
        for pattern in patterns:
            for path in folder.glob(pattern):
                with suppress(OSError):
                    if path.is_file() and not path.is_symlink():
                        found[path] = path.stat().st_size
    return found


def _is_the_books(path: Path) -> bool:
    """The database, its log, its copy for a backup and the journal's segments: these have shares of their own, or none."""
    return path.name in _APART or (path.parent.name == "journal" and path.suffix == ".log")


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
