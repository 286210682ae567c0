"""The database's shape, as steps that are each applied once, in order, and never changed after they were released."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from ..core.const import VERSION
from ..core.errors import NewerDatabaseError

Migration = Callable[[sqlite3.Connection], None]


def requests_and_daily_totals(connection: sqlite3.Connection) -> None:
    """The record of every request, and totals by local day, device and model, which outlive it."""
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
    connection.execute("""
        CREATE TABLE request (
            seq INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL, day INTEGER NOT NULL,
            device_id TEXT NOT NULL, requested_model TEXT NOT NULL, model_id TEXT, provider TEXT,
            prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
            cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL,
            status INTEGER NOT NULL, latency_ms REAL NOT NULL, stream INTEGER NOT NULL, first_token_ms REAL,
            error TEXT, cost INTEGER, cost_source TEXT NOT NULL, baseline_cost INTEGER, attempts INTEGER NOT NULL,
            profile TEXT, reason TEXT NOT NULL, tier TEXT, score REAL, cached INTEGER NOT NULL, via TEXT NOT NULL,
            sub_identity TEXT NOT NULL, reported_cost INTEGER
        )""")
    connection.execute("CREATE INDEX request_at ON request (at)")
    connection.execute("""
        CREATE TABLE daily (
            day INTEGER NOT NULL, device_id TEXT NOT NULL, model_id TEXT NOT NULL, provider TEXT NOT NULL,
            requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL, errors INTEGER NOT NULL, limit_hits INTEGER NOT NULL,
            cost INTEGER NOT NULL, saved INTEGER NOT NULL, unpriced INTEGER NOT NULL,
            PRIMARY KEY (day, device_id, model_id)
        ) WITHOUT ROWID""")


def devices_and_their_settings(connection: sqlite3.Connection) -> None:
    """Devices that called, their keys (hashed), and what was set at run time beside what the file said then."""
    connection.execute("""
        CREATE TABLE device (
            id TEXT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT, first_seen INTEGER NOT NULL,
            last_seen INTEGER NOT NULL
        ) WITHOUT ROWID""")
    connection.execute("""
        CREATE TABLE device_key (
            hash TEXT PRIMARY KEY, device_id TEXT NOT NULL, hint TEXT NOT NULL, created_at INTEGER NOT NULL
        ) WITHOUT ROWID""")
    connection.execute("""
        CREATE TABLE setting (
            scope TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, baseline TEXT NOT NULL, source TEXT NOT NULL,
            changed_at INTEGER NOT NULL, PRIMARY KEY (scope, name)
        ) WITHOUT ROWID""")


def forgiven_spend(connection: sqlite3.Connection) -> None:
    """What a reset of a budget left out of account; the books themselves are never changed."""
    connection.execute("""
        CREATE TABLE forgiven (
            scope TEXT PRIMARY KEY, day INTEGER NOT NULL, day_amount INTEGER NOT NULL, month_amount INTEGER NOT NULL
        ) WITHOUT ROWID""")


def rollups_for_reports(connection: sqlite3.Connection) -> None:
    """Sums by quarter of an hour, by day and model, by month and device. Hours of before are filled in while the router runs."""
    sums = (
        "requests",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "errors",
        "limit_hits",
        "cost",
        "saved",
        "unpriced",
    )
    connection.execute(f"""
        CREATE TABLE rollup (
            kind INTEGER NOT NULL, day INTEGER NOT NULL, at INTEGER NOT NULL, device_id TEXT NOT NULL,
            model_id TEXT NOT NULL, provider TEXT NOT NULL, {", ".join(f"{name} INTEGER NOT NULL" for name in sums)},
            PRIMARY KEY (kind, day, at, device_id, model_id)
        ) WITHOUT ROWID""")
    added = ", ".join(f"sum({name})" for name in sums)
    for columns in ("3, day, 0, '', model_id, max(provider)", "4, day / 100 * 100, 0, device_id, '', ''"):
        connection.execute(f"INSERT INTO rollup SELECT {columns}, {added} FROM daily GROUP BY 1, 2, 3, 4, 5")  # noqa: S608 - our own names
    connection.execute("""
        INSERT OR REPLACE INTO meta
        SELECT 'hours_from', above FROM (SELECT max(seq) + 1 AS above FROM request) WHERE above IS NOT NULL""")


def keys_that_expire(connection: sqlite3.Connection) -> None:
    """When each key ends and was used last (Unix seconds), and for how many days it was made; null: never, for good."""
    for name in ("expires_at", "used_at", "days"):
        connection.execute(f"ALTER TABLE device_key ADD COLUMN {name} INTEGER")


def standings_for_reports(connection: sqlite3.Connection) -> None:
    """What each device, and each model, had used by the end of a day (books/standings.py); made while the router runs."""
    connection.execute("""
        CREATE TABLE line (
            kind INTEGER NOT NULL, n INTEGER NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL, PRIMARY KEY (kind, n)
        ) WITHOUT ROWID""")
    connection.execute("CREATE INDEX line_name ON line (kind, name)")
    connection.execute("""
        CREATE TABLE standing (
            kind INTEGER NOT NULL, day INTEGER NOT NULL, sums BLOB NOT NULL, PRIMARY KEY (kind, day)
        )""")


def lessons_of_the_home(connection: sqlite3.Connection) -> None:
    """Judged answers as numbers, by which a home learns (books/lessons.py)."""
    connection.execute("""
        CREATE TABLE lesson (
            seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, device_id TEXT NOT NULL, request_id TEXT NOT NULL UNIQUE,
            source TEXT NOT NULL, residual REAL NOT NULL, weight REAL NOT NULL, vector BLOB NOT NULL
        )""")
    connection.execute("CREATE INDEX lesson_device ON lesson (device_id, seq)")


MIGRATIONS: Final[tuple[Migration, ...]] = (
    requests_and_daily_totals,
    devices_and_their_settings,
    forgiven_spend,
    rollups_for_reports,
    keys_that_expire,
    standings_for_reports,
    lessons_of_the_home,
)
TABLES: Final = ("meta", "daily", "request", "device_key", "setting", "device", "forgiven")
"""What is taken over from damaged books. `rollup` and `standing` are made anew of these; `lesson` begins anew."""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, with the write lock from the beginning. The connection is in autocommit mode."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled back already
            connection.execute("ROLLBACK")
        raise


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> list[str]:
    """Apply what is missing, each step in its own transaction; returns the names of the steps applied.

    Two processes may start at once: the write lock is taken before looking.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY) WITHOUT ROWID")
    applied = []
    for step in migrations:
        with transaction(connection):
            known = connection.execute("SELECT 1 FROM migration WHERE name = ?", (step.__name__,)).fetchone()
            if known is None:
                step(connection)
                connection.execute("INSERT INTO migration VALUES (?)", (step.__name__,))
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (VERSION,))
                applied.append(step.__name__)
    return applied


def refuse_newer(path: Path) -> None:
    """Look whether a later version has changed the file's shape. Raises NewerDatabaseError; writes nothing.

    A file that cannot be looked at is none of its business: opening it will tell what is wrong.
    """
    try:
        if not path.exists():
            return
        # Without a WAL nobody has the file open, and no file needs to be made beside it to read it.
        mode = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as connection:
            found = {str(row[0]) for row in connection.execute("SELECT name FROM migration")}
            version = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    except (sqlite3.Error, OSError, UnicodeDecodeError):
        return
    ours = {step.__name__ for step in MIGRATIONS}
    # A later version has all of our steps and more; where one of ours is missing, too, its name is damaged.
    if found > ours:
        writer = f"CheapRouter {version[0]}" if version else "a later version of CheapRouter"
        words = (
            f"The database {path} was made by {writer}, and this is {VERSION}, which cannot read it. Nothing was changed. "
            f"Install {writer if version else 'that version'} or later again, or restore a backup from before the update."
        )
        raise NewerDatabaseError([words])
