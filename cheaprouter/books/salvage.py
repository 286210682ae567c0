"""What can be read of a damaged database is taken over: who has which key, what was set, what was spent."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

_TABLES: Final = ("device_key", "setting", "device", "forgiven")
_BOOKS: Final = ("meta", "daily", "request")
"""In this order: totals without knowing what they hold already would be booked twice from the journal."""


def salvage(damaged: Path, target: sqlite3.Connection) -> list[str]:
    """Copy rows as far as they can be read; returns the tables that came over whole. The target is fresh."""
    source = sqlite3.connect(f"file:{damaged}?mode=ro", uri=True, isolation_level=None)
    try:
        saved = [table for table in _TABLES if _copy(source, target, table)]
        for table in _BOOKS:
            if not _copy(source, target, table) and table == _BOOKS[0]:
                break
            saved.append(table)
        return saved
    finally:
        source.close()


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> bool:
    """Row by row, in one transaction; False if the table could not be read to its end (what came before is kept)."""
    whole = True
    target.execute("BEGIN")
    try:
        rows = source.execute(f"SELECT * FROM {table}")  # noqa: S608 - a name from our own list
        columns = [column[0] for column in rows.description]
        insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - likewise
        for row in rows:
            target.execute(insert, row)
    except sqlite3.Error:
        whole = False
    target.execute("COMMIT")
    return whole
