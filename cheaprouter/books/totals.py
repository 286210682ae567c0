"""What SQLite keeps of bookings: each request once, and totals by day, device and model that outlive it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from operator import add
from typing import Final

from .rows import COLUMNS, INDEX, Row, failed, limit_hit

NO_MODEL: Final = ""
"""The model of a request that was refused before one was chosen."""

FORGOTTEN: Final = "(forgotten)"
"""Whose totals those of forgotten devices become; no device can be called so, parentheses being its own."""

_DAY, _DEVICE, _MODEL, _PROVIDER = (INDEX[name] for name in ("day", "device_id", "model_id", "provider"))
_PROMPT, _COMPLETION, _CACHED = (INDEX[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens"))
_STATUS, _ATTEMPTS, _COST, _BASELINE = (INDEX[name] for name in ("status", "attempts", "cost", "baseline_cost"))

_INSERT: Final = f"INSERT OR IGNORE INTO request VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - only placeholders
_ADD: Final = """
    INSERT INTO daily VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        requests = requests + excluded.requests, input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens, cached_tokens = cached_tokens + excluded.cached_tokens,
        errors = errors + excluded.errors, limit_hits = limit_hits + excluded.limit_hits, cost = cost + excluded.cost,
        saved = saved + excluded.saved, unpriced = unpriced + excluded.unpriced"""
TOTALS: Final = (
    "requests", "input_tokens", "output_tokens", "cached_tokens", "errors", "limit_hits", "cost", "saved", "unpriced",
)  # fmt: skip
"""What is counted. Money in pico-dollars; `unpriced`: requests whose cost nobody knows."""

SUMS: Final = ", ".join(f"sum({name})" for name in TOTALS)
"""SQL for them, over rows of `daily`."""


def applied(connection: sqlite3.Connection) -> int:
    """The highest seq that is in the books; 0 where nothing is."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'applied_seq'").fetchone()
    return 0 if row is None else int(row[0])


def apply(connection: sqlite3.Connection, rows: Iterable[Row]) -> int:
    """Book rows, those left out that are booked already; returns the highest seq now in the books. In one transaction."""
    last = applied(connection)
    fresh = [row for _, row in sorted({row[0]: row for row in rows if row[0] > last}.items())]
    if fresh:
        connection.executemany(_INSERT, fresh)
        connection.executemany(_ADD, _daily(fresh))
        last = fresh[-1][0]
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('applied_seq', ?)", (last,))
    return last


def values(row: Row) -> tuple[int, ...]:
    """What a booking adds to totals, in the order of `TOTALS`."""
    status, attempts, cost, baseline = row[_STATUS], row[_ATTEMPTS], row[_COST], row[_BASELINE]
    return (
        1,
        row[_PROMPT],
        row[_COMPLETION],
        row[_CACHED],
        int(failed(status, attempts)),
        int(limit_hit(status, attempts)),
        cost or 0,
        0 if cost is None or baseline is None else baseline - cost,
        int(cost is None),
    )


def _daily(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows to add to `daily`, those of the same day, device and model as one."""
    sums: dict[tuple[int, str, str, str], list[int]] = {}
    for row in rows:
        key = (row[_DAY], row[_DEVICE], row[_MODEL] or NO_MODEL, row[_PROVIDER] or "")
        added = values(row)
        before = sums.get(key)
        sums[key] = list(added) if before is None else list(map(add, before, added))
    for key, total in sums.items():
        yield (*key, *total)


def spend(connection: sqlite3.Connection, since_day: int) -> list[tuple[str, int, int]]:
    """(device, day, pico-dollars) for every day from `since_day` on."""
    query = "SELECT device_id, day, sum(cost) FROM daily WHERE day >= ? GROUP BY device_id, day"
    return [(str(d), int(day), int(cost)) for d, day, cost in connection.execute(query, (since_day,))]


def devices(connection: sqlite3.Connection) -> set[str]:
    """Everyone who has totals."""
    return {str(row[0]) for row in connection.execute("SELECT DISTINCT device_id FROM daily")}


def totals(connection: sqlite3.Connection, since_day: int = 0) -> dict[str, tuple[int, ...]]:
    """`TOTALS` for each device, from `since_day` on."""
    query = f"SELECT device_id, {SUMS} FROM daily WHERE day >= ? GROUP BY device_id"  # noqa: S608 - our own column names
    return {str(row[0]): tuple(int(v) for v in row[1:]) for row in connection.execute(query, (since_day,))}


def model_totals(connection: sqlite3.Connection) -> dict[str, tuple[int, ...]]:
    """`TOTALS` for each model that answered, the busiest first."""
    query = f"SELECT model_id, {SUMS} FROM daily WHERE model_id != ? GROUP BY model_id ORDER BY sum(requests) DESC"  # noqa: S608 - our own column names
    return {str(row[0]): tuple(int(v) for v in row[1:]) for row in connection.execute(query, (NO_MODEL,))}


def recent(connection: sqlite3.Connection, limit: int) -> list[Row]:
    """The last requests booked, newest first."""
    query = f"SELECT {', '.join(COLUMNS)} FROM request ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our own column names
    return [tuple(row) for row in connection.execute(query, (limit,))]


def by_month(connection: sqlite3.Connection, before_day: int) -> int:
    """Add up days before `before_day` into the first of their month; returns how many rows that saved."""
    many = connection.execute("SELECT count(*) FROM daily WHERE day < ? AND day % 100 != 1", (before_day,)).fetchone()[
        0
    ]
    if not many:
        return 0
    columns = ", ".join(TOTALS)
    adds = ", ".join(f"{name} = {name} + excluded.{name}" for name in TOTALS)
    connection.execute(
        f"""INSERT INTO daily (day, device_id, model_id, provider, {columns})
            SELECT day / 100 * 100 + 1, device_id, model_id, max(provider), {SUMS} FROM daily
            WHERE day < ? AND day % 100 != 1 GROUP BY 1, 2, 3
            ON CONFLICT DO UPDATE SET {adds}""",  # noqa: S608 - our own column names
        (before_day,),
    )
    return connection.execute("DELETE FROM daily WHERE day < ? AND day % 100 != 1", (before_day,)).rowcount


def fold(connection: sqlite3.Connection, device_ids: Iterable[str]) -> None:
    """Hand the totals of forgotten devices to `FORGOTTEN`, so that sums stay and rows do not pile up."""
    ids = [(device_id,) for device_id in device_ids]
    if not ids:
        return
    columns = ", ".join(TOTALS)
    adds = ", ".join(f"{name} = {name} + excluded.{name}" for name in TOTALS)
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS gone (id TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("DELETE FROM gone")
    connection.executemany("INSERT OR IGNORE INTO gone VALUES (?)", ids)
    connection.execute(
        f"""INSERT INTO daily (day, device_id, model_id, provider, {columns})
            SELECT day, ?, model_id, max(provider), {SUMS} FROM daily WHERE device_id IN (SELECT id FROM gone)
            GROUP BY day, model_id
            ON CONFLICT DO UPDATE SET {adds}""",  # noqa: S608 - our own column names
        (FORGOTTEN,),
    )
    connection.execute("DELETE FROM daily WHERE device_id IN (SELECT id FROM gone)")
