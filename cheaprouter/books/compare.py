# ruff: noqa: S608 - every name put into SQL is our own
"""Totals are written three times: by day in `daily`, in the roll-ups of hours and of months. A flipped bit makes them differ.

A number that is wrong and could be right is found by nothing else. What the requests of the day say decides.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from ..core.ids import FORGOTTEN
from . import rollups, totals
from .rows import DAMAGED
from .sums import REQUEST_SUMS, SUMS, TOTALS

MOST_AT_START: Final = 20_000
"""Totals of the month compared before serving: some hundredths of a second. More are compared while requests are served."""

_DIFFER: Final = " OR ".join(f"sum({name}) != 0" for name in TOTALS)
_MINUS: Final = ", ".join(f"-{name}" for name in TOTALS)
_PLUS: Final = ", ".join(TOTALS)

Rows = list[dict[str, Any]]


def newest_days(connection: sqlite3.Connection) -> list[int]:
    """Days of the newest month with totals, unless there are many of these: the ones that budgets go by."""
    (newest,) = connection.execute(
        f"""SELECT max(day) FROM (SELECT max(day) AS day FROM daily UNION ALL
            SELECT max(day) FROM rollup WHERE kind = {rollups.HOUR})"""
    ).fetchone()
    if not isinstance(newest, int):
        return []
    first = newest // 100 * 100
    some = f"SELECT 1 FROM daily WHERE day >= ? LIMIT {MOST_AT_START + 1}"
    if connection.execute(f"SELECT count(*) FROM ({some})", (first,)).fetchone()[0] > MOST_AT_START:
        return []
    return days(connection, first)


def days(connection: sqlite3.Connection, first: int = 0) -> list[int]:
    """Days whose hours are all there, from `first` on, the newest first."""
    if rollups.unfilled(connection):
        return []
    known = f"SELECT DISTINCT day FROM rollup WHERE kind = {rollups.HOUR} ORDER BY day"
    whole = [int(row[0]) for row in connection.execute(known)][1:]  # the oldest one may have lost hours already
    oldest = connection.execute("SELECT day FROM request ORDER BY at LIMIT 1").fetchone()
    found = {*whole, *([] if oldest is None else [oldest[0]])}
    return sorted((day for day in found if day >= first), reverse=True)


_FORGOTTEN: Final = FORGOTTEN.encode()


def different(connection: sqlite3.Connection, day: int) -> list[bytes]:
    """Devices whose totals of a day are not the sum of their hours; as bytes, since a name may be damaged, too.

    Hours that were made from requests know a forgotten device by its name still, and its totals do not: that is no damage.
    """
    query = f"""
        SELECT CAST(device_id AS BLOB) FROM (
            SELECT device_id, model_id, {_PLUS} FROM daily WHERE day = :day UNION ALL
            SELECT device_id, model_id, {_MINUS} FROM rollup WHERE kind = {rollups.HOUR_DEVICE} AND day = :day)
        GROUP BY device_id, model_id HAVING {_DIFFER}"""
    found = {bytes(row[0]) for row in connection.execute(query, {"day": day})}
    if _FORGOTTEN in found:
        named = "SELECT DISTINCT CAST(device_id AS BLOB) FROM daily WHERE day = ?"
        found &= {bytes(row[0]) for row in connection.execute(named, (day,))} - {_FORGOTTEN}
    return sorted(found)


def mend(connection: sqlite3.Connection, day: int, devices: list[bytes]) -> Rows:
    """Let a day's totals and hours say the same again; returns the totals that were, or may have been, wrong. In a transaction.

    Where the day's requests are all there they are right; else the hours are.
    """
    if not devices:
        return []
    keys: dict[str, Any] = {"day": day, **dict(zip(("low", "high"), rollups.span(connection, day), strict=True))}
    (booked,) = connection.execute(f"SELECT count(*) FROM request WHERE {_OF_DAY}", keys).fetchone()
    whole = booked >= connection.execute(_COUNTED, keys).fetchone()[0]
    wrong: Rows = []
    for device_id in devices:
        keys["device"] = device_id
        rows = connection.execute(f"SELECT {', '.join(totals.DAILY)} FROM daily WHERE {_MINE}", keys).fetchall()
        wrong += [dict(zip(totals.DAILY, row, strict=True)) for row in rows] or [
            {"day": day, "device_id": device_id.decode(errors="replace")}
        ]
        connection.execute(f"DELETE FROM daily WHERE {_MINE}", keys)
        connection.execute(_OF_REQUESTS if whole else _OF_HOURS, keys)
    if whole:
        rollups.rebuild_hours_of(connection, day, keys["low"], keys["high"])
    return wrong


_MINE: Final = "day = :day AND device_id = CAST(:device AS TEXT)"
_OF_DAY: Final = f"at >= :low AND at < :high AND day = :day AND NOT ({DAMAGED})"
_COUNTED: Final = f"SELECT coalesce(sum(requests), 0) FROM rollup WHERE kind = {rollups.HOUR} AND day = :day"
_INTO: Final = f"INSERT INTO daily ({', '.join(totals.DAILY)})"
_OF_REQUESTS: Final = f"""
    {_INTO} SELECT day, device_id, coalesce(model_id, ''), coalesce(max(provider), ''), {REQUEST_SUMS}
    FROM request WHERE {_OF_DAY} AND device_id = CAST(:device AS TEXT) GROUP BY 1, 2, 3"""
_OF_HOURS: Final = f"""
    {_INTO} SELECT day, device_id, model_id, max(provider), {SUMS}
    FROM rollup WHERE kind = {rollups.HOUR_DEVICE} AND {_MINE} GROUP BY 1, 2, 3"""


def months_differ(connection: sqlite3.Connection, month: int) -> bool:
    """Whether some device's sum of a month (202611) is not that of its days."""
    query = f"""
        SELECT 1 FROM (
            SELECT device_id, {_PLUS} FROM daily WHERE day BETWEEN :first AND :first + 99 UNION ALL
            SELECT device_id, {_MINUS} FROM rollup WHERE kind = {rollups.MONTH_DEVICE} AND day = :first)
        GROUP BY device_id HAVING {_DIFFER} LIMIT 1"""
    return connection.execute(query, {"first": month * 100}).fetchone() is not None
