"""Keys and settings once more, in a small file beside the database: whatever becomes of that, who may call and within which limits stays.

Triggers (`watch`) number each change of these tables (`SERIAL` in `meta`); whoever changes them writes the file before the change is
committed, with that number inside. So the file is as new as the database or newer, and wins where both are there; a key that
was withdrawn cannot come back from it. Where it cannot be written it is removed: an old one is worse than none.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from ..core.private_files import replace_private
from ..core.records import dataclass

_LOG: Final = logging.getLogger(__name__)

NAME: Final = "keys_and_settings.json"
TABLES: Final[Mapping[str, str]] = {"device_key": "key(s)", "setting": "setting(s)"}
"""Tables in the file, and what one calls their rows."""

SERIAL: Final = "rights_serial"
_PLAIN: Final = (str, int, float, type(None))


@dataclass(frozen=True, slots=True)
class Spare:
    """What the file says: rows by table, under the names of their columns."""

    serial: int
    tables: Mapping[str, list[dict[str, Any]]]


def beside(database: Path) -> Path:
    """Where the file of a database is."""
    return database.with_name(NAME)


def read(path: Path) -> Spare | None:
    """What is in the file; None where there is none, or one that is damaged. Never raises."""
    try:
        whole = orjson.loads(path.read_bytes())
        content = whole["content"]
        sound = whole["crc32"] == _sum(content)
        tables = {
            name: [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
            for name, found in content["tables"].items()
            if name in TABLES
        }
        spare = Spare(int(content["serial"]), tables)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _LOG.warning("%s cannot be read (%s): it is written anew.", path, error)
        return None
    if not sound:
        _LOG.warning("%s is damaged: it is written anew.", path)
    return spare if sound else None


def serial(connection: sqlite3.Connection) -> int:
    """The number of the last change of keys or settings in the database; 0 where it is lost."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (SERIAL,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) and row[0] > 0 else 0


def number(connection: sqlite3.Connection, value: int) -> None:
    """Say which change was the last one."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SERIAL, value))


def write(connection: sqlite3.Connection, path: Path) -> None:
    """Put what the database holds into the file, before the transaction that changed it ends. Never raises OSError."""
    tables = {name: _table(connection, name) for name in TABLES}
    content = {"serial": serial(connection), "tables": tables}
    try:
        replace_private(path, orjson.dumps({"crc32": _sum(content), "content": content}))
        if os.geteuid() == 0:  # called as root beside a router that is not: it has to be able to read it
            owner = path.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        _LOG.error("Keys and settings cannot be kept a second time, in %s: %s", path, error)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def reconcile(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Bring database and file in step, in a transaction; says in words what the database had lost. Raises sqlite3.Error."""
    watch(connection)
    found, ours = read(path), serial(connection)
    if found is None or found.serial < ours:
        number(connection, ours)
        write(connection, path)
        return []
    words = []
    for name, what in TABLES.items():
        changed = _take(connection, name, found.tables.get(name, []))
        # An older database is none that lost something: it was restored, or its last change was cut off.
        if changed and (found.serial == ours or not ours):
            words.append(f"{changed} {what} of the database were lost or damaged; they are restored from {path}.")
    number(connection, found.serial)
    return words


def take(connection: sqlite3.Connection, path: Path) -> None:
    """Read the file into a database that lives in memory."""
    if (found := read(path)) is not None:
        for name in TABLES:
            _take(connection, name, found.tables.get(name, []))
        number(connection, found.serial)


def watch(connection: sqlite3.Connection) -> None:
    """Have each change of keys and settings numbered, whichever process makes it; in a transaction."""
    for table in TABLES:
        changes = {
            "insert": "INSERT",
            "delete": "DELETE",
            "update": f"UPDATE OF {', '.join(_columns(connection, table))}",
        }
        for name, change in changes.items():
            trigger = f"number_{table}_{name}"
            # No upsert: within a trigger it would follow the `OR REPLACE` of whoever set it off.
            does = f"UPDATE meta SET value = value + 1 WHERE key = '{SERIAL}'"  # noqa: S608 - our own name
            wanted = f"CREATE TRIGGER {trigger} AFTER {change} ON {table} BEGIN {does}; END"
            found = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (trigger,)).fetchone()
            if found != (wanted,):
                connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
                connection.execute(wanted)


def _take(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Make a table hold these rows and no others; returns how many it had not, or had otherwise, or too much."""
    # A column of a later version, or of an earlier one, is left alone.
    names = [name for name in _columns(connection, table) if not rows or name in rows[0]]
    wanted = {tuple(row[name] for name in names) for row in rows}
    before = set(connection.execute(f"SELECT {', '.join(names)} FROM {table}"))  # noqa: S608 - names of columns there are
    if before == wanted:
        return 0
    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own name
    connection.executemany(
        f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608 - likewise
        wanted,
    )
    return max(len(wanted - before), len(before - wanted))


def _table(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    names = _columns(connection, table)
    rows = connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1, 2")  # noqa: S608 - likewise
    return {"columns": names, "rows": [list(row) for row in rows if all(isinstance(v, _PLAIN) for v in row)]}


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """A table's columns, but for when something was used last: that is no change of who may what."""
    names = [str(column[1]) for column in connection.execute(f"PRAGMA table_info({table})")]
    return [name for name in names if name != "used_at"]


def _sum(content: object) -> str:
    return f"{zlib.crc32(orjson.dumps(content)):08x}"
