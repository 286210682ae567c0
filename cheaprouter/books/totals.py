"""What SQLite keeps of bookings: each request once, and totals by day, device and model that outlive it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

from ..core.ids import FORGOTTEN
from . import rollups, standings
from .rows import COLUMNS, DAMAGED, INDEX, Row, from_disk
from .sums import ADDS, NO_MODEL, REQUEST_SUMS, SUMS, TOTALS

_AT, _DAY, _DEVICE, _MODEL, _PROVIDER = (INDEX[name] for name in ("at", "day", "device_id", "model_id", "provider"))
_PROMPT, _COMPLETION, _CACHED = (INDEX[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens"))
_STATUS, _ATTEMPTS, _COST, _BASELINE = (INDEX[name] for name in ("status", "attempts", "cost", "baseline_cost"))
_COUNTED: Final = itemgetter(_PROMPT, _COMPLETION, _CACHED, _COST, _BASELINE, _STATUS)
_COST_SUM: Final = TOTALS.index("cost")

DAILY: Final = ("day", "device_id", "model_id", "provider", *TOTALS)

_INSERT: Final = f"INSERT OR IGNORE INTO request ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - our own column names
_ADD: Final = f"INSERT INTO daily ({', '.join(DAILY)}) VALUES ({', '.join('?' * len(DAILY))}) {ADDS}"  # noqa: S608 - likewise


def applied(connection: sqlite3.Connection) -> int:
    """The highest seq that is in the books; 0 where nothing is."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'applied_seq'").fetchone()
    if row is not None and isinstance(row[0], int):
        return row[0]
    # Lost with a damaged page: totals and requests are always booked together.
    return int(connection.execute("SELECT max(seq) FROM request").fetchone()[0] or 0)


def ids_after(connection: sqlite3.Connection, seq: int) -> set[str]:
    """Ids of the requests that were booked after that number."""
    return {str(row[0]) for row in connection.execute("SELECT id FROM request WHERE seq > ?", (seq,))}


def apply(connection: sqlite3.Connection, rows: Iterable[Row]) -> int:
    """Book rows, those left out that are booked already; returns the highest seq now in the books. In one transaction."""
    last = applied(connection)
    fresh = [row for _, row in sorted({row[0]: row for row in rows if row[0] > last}.items())]
    if fresh:
        connection.executemany(_INSERT, fresh)
        booked = _booked(fresh)
        connection.executemany(_ADD, _daily(booked))
        rollups.book(connection, booked)
        standings.booked(connection, min(row[_DAY] for row in fresh))
        last = fresh[-1][0]
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('applied_seq', ?)", (last,))
    return last


def values(row: Row) -> tuple[int, ...]:
    """What a booking adds to totals, in the order of `TOTALS`.

    Refused by one of our own limits, before any upstream was asked, is no error; neither is a client that left (499).
    """
    status, cost, baseline = row[_STATUS], row[_COST], row[_BASELINE]
    error = limit_hit = 0
    if status >= 400:
        limit_hit = int(status == 429 and row[_ATTEMPTS] == 0)
        error = int(status != 499 and not limit_hit)
    return (
        1,
        row[_PROMPT],
        row[_COMPLETION],
        row[_CACHED],
        error,
        limit_hit,
        cost or 0,
        0 if cost is None or baseline is None else baseline - cost,
        1 if cost is None else 0,
    )


def summed(rows: Sequence[Row]) -> tuple[int, ...]:
    """What bookings, at least one, add to totals together: the sums of their `values`."""
    if len(rows) == 1:
        return values(rows[0])
    prompts, completions, cached, costs, baselines, statuses = zip(*map(_COUNTED, rows), strict=True)
    if max(statuses) >= 400 or None in costs or None in baselines:
        return tuple(map(sum, zip(*map(values, rows), strict=True)))
    cost = sum(costs)
    return len(rows), sum(prompts), sum(completions), sum(cached), 0, 0, cost, sum(baselines) - cost, 0


def _booked(rows: Iterable[Row]) -> rollups.Booked:
    """Rows of the same quarter of an hour, device and model as one."""
    found: dict[tuple[int, int, str, str, str], list[Row]] = {}
    for row in rows:
        key = (row[_DAY], rollups.quarter(row[_AT]), row[_DEVICE], row[_MODEL] or NO_MODEL, row[_PROVIDER] or "")
        found.setdefault(key, []).append(row)
    return {key: summed(alike) for key, alike in found.items()}


def _daily(booked: rollups.Booked) -> Iterator[Row]:
    """Rows to add to `daily`."""
    for (day, _, device_id, model_id, provider), sums in sorted(booked.items()):
        yield (day, device_id, model_id, provider, *sums)


def spend(connection: sqlite3.Connection, since_day: int, month: int = 0) -> list[tuple[str, int, int]]:
    """(device, day, pico-dollars) for every day from `since_day` on, and what was spent before it in `month` (202611) as its day 0."""
    query = "SELECT device_id, day, sum(cost) FROM daily WHERE day >= ? GROUP BY device_id, day"
    found = [(str(d), int(day), int(cost)) for d, day, cost in connection.execute(query, (since_day,))]
    before = {d: sums[_COST_SUM] for d, sums in rollups.device_totals(connection, month).items()}
    for device_id, day, cost in found:
        if day // 100 == month:
            before[device_id] = before.get(device_id, 0) - cost
    return [*((device_id, month * 100, cost) for device_id, cost in before.items()), *found]


def devices(connection: sqlite3.Connection) -> set[str]:
    """Everyone who has totals."""
    return set(rollups.device_totals(connection))


_LOOKED_THROUGH: Final = 4
"""Rows looked through for each of the answered chats that are wanted."""


def totals(connection: sqlite3.Connection, first_day: int = 0, last_day: int = 99991231) -> dict[str, tuple[int, ...]]:
    """`TOTALS` for each device, of these days, both included."""
    query = f"SELECT device_id, {SUMS} FROM daily WHERE day BETWEEN ? AND ? GROUP BY device_id"  # noqa: S608 - our own column names
    return {str(row[0]): tuple(int(v) for v in row[1:]) for row in connection.execute(query, (first_day, last_day))}


def recent(connection: sqlite3.Connection, limit: int, device_id: str | None = None) -> list[Row]:
    """The last requests booked, of one device or (None) of all, newest first; a damaged one is left out."""
    if device_id is not None:
        return _recent_of(connection, limit, device_id)
    query = f"SELECT {', '.join(COLUMNS)} FROM request ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our own column names
    return [row for found in connection.execute(query, (limit,)) if (row := from_disk(found)) is not None]


def scored(connection: sqlite3.Connection, limit: int) -> tuple[int, list[tuple[float, int, int]]]:
    """How many of the last answered chats there are, at most `limit`; and score and tokens in and out of those with a score."""
    # Of so many rows at most, however few of them were answered: a look at the books is short.
    query = """SELECT score, prompt_tokens, completion_tokens FROM (
            SELECT status, cached, profile, score, prompt_tokens, completion_tokens FROM request ORDER BY seq DESC LIMIT ?
        ) WHERE status = 200 AND cached = 0 AND profile IS NOT NULL LIMIT ?"""
    rows = connection.execute(query, (limit * _LOOKED_THROUGH, limit)).fetchall()
    return len(rows), [
        (float(score), int(prompt), int(output))
        for score, prompt, output in rows
        if isinstance(score, float) and 0 <= score <= 1 and isinstance(prompt, int) and isinstance(output, int)
    ]


def _recent_of(connection: sqlite3.Connection, limit: int, device_id: str) -> list[Row]:
    """Looked up in those quarters of an hour in which the device asked something: an index would cost every booking."""
    query = f"""SELECT {", ".join(COLUMNS)} FROM request
        WHERE at >= ? AND at < ? AND device_id = ? ORDER BY seq DESC LIMIT ?"""  # noqa: S608 - likewise
    rows: list[Row] = []
    for (quarter,) in connection.execute(rollups.QUARTERS_OF, {"device_id": device_id}):
        begins, ends = quarter * 1_000_000, (quarter + rollups.QUARTER) * 1_000_000
        found = connection.execute(query, (begins, ends, device_id, limit - len(rows)))
        rows += [row for each in found if (row := from_disk(each)) is not None]
        if len(rows) >= limit:
            break
    return rows


def by_month(connection: sqlite3.Connection, before_day: int, most: int = 10**9) -> int:
    """Add up days before `before_day` into the first of their month, at most `most` totals at once, in a transaction.

    Returns how many totals were added up; 0: all are.
    """
    days = connection.execute(rollups.DAYS, {"first": 0, "last": before_day - 1})
    day = next((row[0] for row in days if row[0] % 100 != 1), None)
    if day is None:
        return 0
    some = "SELECT device_id, model_id FROM daily WHERE day = ? ORDER BY 1, 2 LIMIT ?"
    rows = connection.execute(some, (day, most)).fetchall()
    last = (day, *rows[-1])
    where = "day = ? AND (device_id, model_id) <= (?, ?)"
    connection.execute(
        f"""INSERT INTO daily ({", ".join(DAILY)})
            SELECT day / 100 * 100 + 1, device_id, model_id, provider, {", ".join(TOTALS)} FROM daily
            WHERE {where} {ADDS}""",  # noqa: S608 - our own names
        last,
    )
    connection.execute(f"DELETE FROM daily WHERE {where}", last)  # noqa: S608 - our own names
    rollups.by_month(connection, before_day, day)
    if connection.execute("SELECT 1 FROM daily WHERE day = ? LIMIT 1", (day,)).fetchone() is None:
        standings.added_up(connection, day)
    return len(rows)


def fold(connection: sqlite3.Connection, device_ids: Iterable[str]) -> None:
    """Hand the totals of forgotten devices to `FORGOTTEN`, so that sums stay and rows do not pile up.

    A look for each device and day: however many others there are, none is read.
    """
    days = [int(row[0]) for row in connection.execute(rollups.DAYS, {"first": 0, "last": 99991231})]
    found = "SELECT day, device_id FROM daily WHERE day = ? AND device_id = ? LIMIT 1"
    keys = [key for d in device_ids for day in days if (key := connection.execute(found, (day, d)).fetchone())]
    mine = "day = ? AND device_id = ?"
    connection.executemany(
        f"""INSERT INTO daily ({", ".join(DAILY)})
            SELECT day, '{FORGOTTEN}', model_id, provider, {", ".join(TOTALS)} FROM daily WHERE {mine} {ADDS}""",  # noqa: S608 - likewise
        keys,
    )
    connection.executemany(f"DELETE FROM daily WHERE {mine}", keys)  # noqa: S608 - likewise
    rollups.fold(connection, keys)
    standings.fold(connection, {device_id for _, device_id in keys})


def rebuild(connection: sqlite3.Connection) -> None:
    """Make totals that are missing anew from requests: of the newest request's month and the one before, for the budgets."""
    _from_requests(connection, "day >= (SELECT max(day) FROM request) / 100 * 100 - 100", ())


def rebuild_some(connection: sqlite3.Connection, lost: Sequence[tuple[Any, Any, Any]]) -> None:
    """Make these (day, device, model) anew from requests, as far as those are there and sound."""
    keys = ", ".join(["(?, ?, ?)"] * len(lost))
    where = f"(day, device_id, coalesce(model_id, '')) IN (VALUES {keys}) AND NOT ({DAMAGED})"
    _from_requests(connection, where, [value for key in lost for value in key])


def _from_requests(connection: sqlite3.Connection, where: str, parameters: Sequence[Any]) -> None:
    connection.execute(
        f"""INSERT OR IGNORE INTO daily ({", ".join(DAILY)})
            SELECT day, device_id, coalesce(model_id, ?), coalesce(max(provider), ''), {REQUEST_SUMS} FROM request
            WHERE {where} GROUP BY 1, 2, 3""",  # noqa: S608 - our own column names
        (NO_MODEL, *parameters),
    )
