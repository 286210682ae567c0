# ruff: noqa: S608 - every name put into SQL is our own
"""Sums kept beside `daily`, so that no report has to read requests one by one. In the same transaction as each booking.

A kind of roll-up keeps some of what tells bookings apart, and sums the rest away. Hours are kept as quarters, since some
zones are half an hour off, and for as long as there are requests of their days; days are added up by month as in `daily`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from operator import add
from typing import Any, Final

from ..core.ids import FORGOTTEN
from .rows import DAMAGED
from .sums import ADDS, NO_MODEL, REQUEST_SUMS, SUMS, TOTALS

HOUR, HOUR_MODEL, HOUR_DEVICE, DAY_MODEL, MONTH_DEVICE, DAILY = range(6)
"""Kinds, as they are written down; the last has a table of its own."""

KINDS: Final[Mapping[int, frozenset[str]]] = {
    DAY_MODEL: frozenset({"month", "day", "model_id", "provider"}),
    HOUR: frozenset({"month", "day", "at"}),
    HOUR_MODEL: frozenset({"month", "day", "at", "model_id", "provider"}),
    MONTH_DEVICE: frozenset({"month", "device_id"}),
    DAILY: frozenset({"month", "day", "device_id", "model_id", "provider"}),
    HOUR_DEVICE: frozenset({"month", "day", "at", "device_id", "model_id", "provider"}),
}
"""What each keeps, the smallest first. A month is written as its day 0."""

QUARTER: Final = 900
"""Seconds."""

UNFILLED: Final = "hours_from"
"""In `meta`: requests with a lower seq are not yet in the roll-ups of hours, being from before there were any."""

FILLED_AT_ONCE: Final = 2000
"""Requests added to the hours in one transaction: some hundredths of a second on a small machine."""

_MICROSECONDS: Final = QUARTER * 1_000_000
_AT: Final = f"(at - (at % {_MICROSECONDS} + {_MICROSECONDS}) % {_MICROSECONDS}) / 1000000"
_COLUMNS: Final = ("kind", "day", "at", "device_id", "model_id", "provider", *TOTALS)
_INTO: Final = f"INSERT INTO rollup ({', '.join(_COLUMNS)})"
_ADD: Final = f"{_INTO} VALUES ({', '.join('?' * len(_COLUMNS))}) {ADDS}"
_OF_REQUESTS: Final[Mapping[int, str]] = {
    HOUR: f"day, {_AT}, '', '', ''",
    HOUR_MODEL: f"day, {_AT}, '', coalesce(model_id, ''), coalesce(max(provider), '')",
    HOUR_DEVICE: f"day, {_AT}, device_id, coalesce(model_id, ''), coalesce(max(provider), '')",
}
_OF_DAYS: Final[Mapping[int, str]] = {
    DAY_MODEL: "day, 0, '', model_id, max(provider)",
    MONTH_DEVICE: "day / 100 * 100, 0, device_id, '', ''",
}
_BAD: Final = " OR ".join(
    [f"typeof({name}) != 'integer' OR abs({name}) > {2**61}" for name in ("day", "at", *TOTALS)]
    + [f"typeof({name}) != 'text'" for name in ("device_id", "model_id", "provider")]
)
_WITHIN: Final = "day BETWEEN :first AND :last"
DAYS: Final = """
    WITH RECURSIVE known(day) AS (
        SELECT min(day) FROM daily WHERE day >= :first UNION ALL
        SELECT (SELECT min(day) FROM daily WHERE day > known.day) FROM known WHERE known.day < :last
    ) SELECT day FROM known WHERE day <= :last"""
"""Days that have totals, a look for each."""

QUARTERS_OF: Final = f"""
    SELECT h.at FROM rollup AS h WHERE h.kind = {HOUR} AND EXISTS (
        SELECT 1 FROM rollup AS r
        WHERE r.kind = {HOUR_DEVICE} AND r.day = h.day AND r.at = h.at AND r.device_id = :device_id
    ) ORDER BY h.day DESC, h.at DESC"""
"""Quarters of an hour in which a device asked something, the newest first, a look for each that there is."""

Booked = Mapping[tuple[int, int, str, str, str], tuple[int, ...]]
"""What came in: by day, quarter (Unix seconds), device, model and provider, in the order of `TOTALS`."""


def quarter(at: int) -> int:
    """The quarter of an hour of a time in microseconds, as the Unix seconds when it begins."""
    return at // _MICROSECONDS * QUARTER


def book(connection: sqlite3.Connection, booked: Booked) -> None:
    """Add bookings to every kind."""
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for (day, at, device_id, model_id, provider), values in booked.items():
        for key in (
            (HOUR, day, at, "", "", ""),
            (HOUR_MODEL, day, at, "", model_id, provider),
            (HOUR_DEVICE, day, at, device_id, model_id, provider),
            (DAY_MODEL, day, 0, "", model_id, provider),
            (MONTH_DEVICE, day // 100 * 100, 0, device_id, "", ""),
        ):
            sums = found.get(key)
            found[key] = values if sums is None else tuple(map(add, sums, values))
    connection.executemany(_ADD, [(*key, *found[key]) for key in sorted(found)])


# --- reading -------------------------------------------------------------------------------------------------------


def choose(needed: Collection[str]) -> int:
    """The smallest kind that keeps all these columns."""
    return next(kind for kind, kept in KINDS.items() if kept.issuperset(needed))


def whole_months(connection: sqlite3.Connection, first: int, last: int) -> bool:
    """Whether these days are whole months, as far as there are bookings."""
    if first % 100 != 1:
        return False
    later = "SELECT 1 FROM daily WHERE day > ? AND day <= ? LIMIT 1"
    return connection.execute(later, (last, last // 100 * 100 + 99)).fetchone() is None


def quarters(kind: int, filters: Collection[str], ats: Collection[int]) -> str:
    """SQL to select from: rows of a kind that has hours, of the day `:first`, of these quarters alone; `filters` as in `source`."""
    picked = "".join(f" AND {name} = :{name}" for name in filters)
    these = ", ".join(map(str, ats))
    return (
        f"SELECT {', '.join(_COLUMNS[1:])} FROM rollup WHERE kind = {kind} AND day = :first AND at IN ({these}){picked}"
    )


def source(kind: int, filters: Collection[str], unfilled: int) -> str:
    """SQL to select from: rows of a kind of the days `:first` to `:last`, of `:device_id` and `:model_id` if in `filters`.

    `unfilled`: what the function of that name says; requests before it are added up one by one.
    """
    names = ", ".join(_COLUMNS[1:])
    picked = "".join(f" AND {name} = :{name}" for name in filters)
    if kind == DAILY:
        # Day by day where a device is wanted: it is found in each without reading the others.
        days = f"day IN ({DAYS})" if "device_id" in filters else _WITHIN
        return f"SELECT {names.replace(' at,', ' 0 AS at,')} FROM daily WHERE {days}{picked}"
    within = _WITHIN.replace(":first", ":first / 100 * 100") if kind == MONTH_DEVICE else _WITHIN
    found = f"SELECT {names} FROM rollup WHERE kind = {kind} AND {within}{picked}"
    if kind == HOUR_DEVICE and "device_id" in filters:
        found = _each_quarter(HOUR_DEVICE, filters)
    elif kind == HOUR_MODEL and filters:
        found = _each_quarter(HOUR_MODEL, filters)
    if not unfilled or kind not in _OF_REQUESTS:
        return found
    old = f"SELECT {_OF_REQUESTS[kind]}, {REQUEST_SUMS} FROM request WHERE seq < {unfilled} AND {_WITHIN}{picked}"
    return f"{found} UNION ALL {old} GROUP BY 1, 2, 3, 4"


def _each_quarter(kind: int, filters: Collection[str]) -> str:
    """Rows of a kind, looked up in each quarter of an hour that there is, without reading the others."""
    names = ", ".join(f"r.{name}" for name in _COLUMNS[1:])
    device = ":device_id" if "device_id" in filters else "''"
    model = " AND r.model_id = :model_id" if "model_id" in filters else ""
    # The plus keeps SQLite from reading a span of days instead.
    return f"""
        SELECT {names} FROM rollup AS h CROSS JOIN rollup AS r
        ON r.kind = {kind} AND r.day = +h.day AND r.at = +h.at AND r.device_id = {device}{model}
        WHERE h.kind = {HOUR} AND h.{_WITHIN}"""


def unfilled(connection: sqlite3.Connection) -> int:
    """Requests with a lower seq are not yet in the hours; 0: all are."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (UNFILLED,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else 0


def since(connection: sqlite3.Connection, at: int, day: int) -> tuple[int, ...]:
    """`TOTALS` of everyone after a time in microseconds; `day`: one that is surely before."""
    whole = quarter(at) + QUARTER
    old = unfilled(connection)
    found = connection.execute(
        f"""SELECT {SUMS} FROM (
            SELECT {", ".join(TOTALS)} FROM rollup WHERE kind = {HOUR} AND day >= ? AND at >= ? UNION ALL
            SELECT {REQUEST_SUMS} FROM request WHERE at > ? AND at < ? UNION ALL
            SELECT {REQUEST_SUMS} FROM request WHERE at >= ? AND seq < ? AND ?)""",
        (day, whole, at, whole * 1_000_000, whole * 1_000_000, old, old > 0),
    ).fetchone()
    return tuple(value or 0 for value in found)


def since_of(connection: sqlite3.Connection, at: int, day: int, device_id: str) -> tuple[int, ...]:
    """The same of one device, to the quarter of an hour."""
    parameters = {"first": day, "last": 99991231, "device_id": device_id, "at": quarter(at)}
    source_of = _each_quarter(HOUR_DEVICE, ("device_id",))
    # As above the plus: each quarter has to be looked up, not all of a day's rows.
    found = connection.execute(f"SELECT {SUMS} FROM ({source_of}) WHERE +at >= :at", parameters).fetchone()
    return tuple(value or 0 for value in found)


def device_totals(connection: sqlite3.Connection, month: int | None = None) -> dict[str, tuple[int, ...]]:
    """`TOTALS` for each device, of all time or of one month (202611)."""
    which, parameters = ("", ()) if month is None else ("AND day = ?", (month * 100,))
    query = f"SELECT device_id, {SUMS} FROM rollup WHERE kind = {MONTH_DEVICE} {which} GROUP BY device_id"
    return {str(row[0]): tuple(row[1:]) for row in connection.execute(query, parameters)}


def model_totals(connection: sqlite3.Connection) -> dict[str, tuple[int, ...]]:
    """`TOTALS` for each model that answered, the busiest first."""
    query = f"SELECT model_id, {SUMS} FROM rollup WHERE kind = {DAY_MODEL} AND model_id != ? GROUP BY model_id ORDER BY 2 DESC"
    return {str(row[0]): tuple(row[1:]) for row in connection.execute(query, (NO_MODEL,))}


# --- keeping in step -----------------------------------------------------------------------------------------------


def fill(connection: sqlite3.Connection) -> bool:
    """Take some requests of before there were hours into them, the newest first, in a transaction; whether more may be left."""
    before = unfilled(connection)
    if not before:
        return False
    some = f"SELECT seq FROM request WHERE seq < ? ORDER BY seq DESC LIMIT {FILLED_AT_ONCE}"
    (first,) = connection.execute(f"SELECT min(seq) FROM ({some})", (before,)).fetchone()
    if first is None:
        connection.execute("DELETE FROM meta WHERE key = ?", (UNFILLED,))
        return False
    _add_requests(connection, "seq >= ? AND seq < ?", (first, before))
    connection.execute("UPDATE meta SET value = ? WHERE key = ?", (first, UNFILLED))
    return True


def fill_all(connection: sqlite3.Connection) -> None:
    """Take all requests into the hours at once: for an empty table."""
    _add_requests(connection, "true", ())


def _add_requests(connection: sqlite3.Connection, where: str, parameters: tuple[int, ...]) -> None:
    for kind, columns in _OF_REQUESTS.items():
        connection.execute(
            f"""{_INTO} SELECT {kind}, {columns}, {REQUEST_SUMS} FROM request
                WHERE {where} AND NOT ({DAMAGED}) GROUP BY 1, 2, 3, 4, 5 {ADDS}""",
            parameters,
        )


def by_month(connection: sqlite3.Connection, before_day: int, day: int) -> None:
    """Add up one day before `before_day`, if it is there yet, into the first of its month."""
    where = f"kind = {DAY_MODEL} AND day = ? AND day < ?"
    connection.execute(
        f"""{_INTO} SELECT {DAY_MODEL}, day / 100 * 100 + 1, 0, '', model_id, provider, {", ".join(TOTALS)} FROM rollup
            WHERE {where} {ADDS}""",
        (day, before_day),
    )
    connection.execute(f"DELETE FROM rollup WHERE {where}", (day, before_day))


def fold(connection: sqlite3.Connection, days: Collection[tuple[int, str]]) -> None:
    """Hand the sums of forgotten devices, by day and device, to `FORGOTTEN`."""
    names = ", ".join(TOTALS)
    for kind, keys, where in (
        (MONTH_DEVICE, {(day // 100 * 100, device_id) for day, device_id in days}, "day = ?1 AND at = 0"),
        (HOUR_DEVICE, days, f"day = ?1 AND at IN (SELECT at FROM rollup WHERE kind = {HOUR} AND day = ?1)"),
    ):
        mine = f"kind = {kind} AND {where} AND device_id = ?2"
        connection.executemany(
            f"""{_INTO} SELECT kind, day, at, '{FORGOTTEN}', model_id, provider, {names} FROM rollup
                WHERE {mine} {ADDS}""",
            keys,
        )
        connection.executemany(f"DELETE FROM rollup WHERE {mine}", keys)


def drop_hours(connection: sqlite3.Connection, most: int) -> int:
    """Delete quarters of days from before the oldest request, some `most` rows at a time; returns how many rows."""
    oldest = connection.execute("SELECT day FROM request ORDER BY at LIMIT 1").fetchone() or (99999999,)
    gone = 0
    for kind in _OF_REQUESTS:
        first = f"SELECT day, at FROM rollup WHERE kind = {kind} AND day < ? ORDER BY day, at LIMIT 1"
        while gone < most and (key := connection.execute(first, oldest).fetchone()):
            gone += connection.execute(f"DELETE FROM rollup WHERE kind = {kind} AND day = ? AND at = ?", key).rowcount
    return gone


# --- damage --------------------------------------------------------------------------------------------------------


def mend_days(connection: sqlite3.Connection) -> bool:
    """Make sums of days and months anew where one of them cannot be right; whether that was so."""
    if connection.execute(f"SELECT 1 FROM rollup WHERE kind >= {DAY_MODEL} AND ({_BAD}) LIMIT 1").fetchone() is None:
        return False
    rebuild_days(connection)
    return True


def rebuild_days(connection: sqlite3.Connection) -> None:
    """Make sums of days and months anew, of `daily`."""
    connection.execute(f"DELETE FROM rollup WHERE kind >= {DAY_MODEL}")
    connection.execute("DELETE FROM standing")  # and what stands on these
    connection.execute("DELETE FROM line")
    for kind, columns in _OF_DAYS.items():
        connection.execute(f"{_INTO} SELECT {kind}, {columns}, {SUMS} FROM daily GROUP BY 1, 2, 3, 4, 5")


def rebuild_hours(connection: sqlite3.Connection) -> None:
    """Make hours anew, of the requests that there are, with the next calls of `fill`."""
    connection.execute(f"DELETE FROM rollup WHERE kind < {DAY_MODEL}")
    (last,) = connection.execute("SELECT max(seq) FROM request").fetchone()
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (UNFILLED, (last or 0) + 1))


def span(connection: sqlite3.Connection, day: int) -> tuple[int, int]:
    """Between which times, in microseconds, the requests of a day are: by its hours, or by the calendar in any zone."""
    hours = f"SELECT min(at), max(at) FROM rollup WHERE kind = {HOUR} AND day = ? AND typeof(at) = 'integer'"
    first, last = connection.execute(hours, (day,)).fetchone()
    noon = datetime(day // 10000, max(1, day // 100 % 100), max(1, day % 100), 12, tzinfo=UTC).timestamp()
    low, high = int(noon) - 36 * 3600, int(noon) + 36 * 3600
    return min(low, low if first is None else first) * 1_000_000, max(high, (last or high) + QUARTER) * 1_000_000


def rebuild_hours_of(connection: sqlite3.Connection, day: int, low: int, high: int) -> None:
    """Make the hours of one day, between these times, anew: all its requests are there."""
    connection.execute(f"DELETE FROM rollup WHERE kind < {DAY_MODEL} AND day = ?", (day,))
    _add_requests(connection, "at >= ? AND at < ? AND day = ?", (low, high, day))


def mend_hours(connection: sqlite3.Connection, after: int) -> int | None:
    """Look for hours that cannot be right in the first day after one; where there are any, make all anew.

    Returns the day that was looked at; None: there are no more.
    """
    (day,) = connection.execute(f"SELECT min(day) FROM rollup WHERE kind = {HOUR} AND day > ?", (after,)).fetchone()
    if not isinstance(day, int):
        return None
    if bad_hours(connection, day):
        rebuild_hours(connection)
        return None
    return day


def bad_hours(connection: sqlite3.Connection, day: int) -> bool:
    """Whether some hour of a day cannot be right."""
    query = f"SELECT 1 FROM rollup WHERE kind = ? AND day = ? AND ({_BAD}) LIMIT 1"
    return any(connection.execute(query, (kind, day)).fetchone() is not None for kind in _OF_REQUESTS)
