# ruff: noqa: S608 - every name put into SQL is our own
"""What each device, and each model, had used by the end of a day: any span of days is the difference of two of these.

A standing is one blob of a day that is over: a column for each of `TOTALS`, a place in it for each line. A line is a device, or
a model of a provider; it keeps its place for good, and one that is forgotten changes its name to `FORGOTTEN`. What came in
since the last standing is in the roll-ups. Where a standing is missing or damaged there is no answer, and the roll-ups are
added up one by one; the next tidying makes it.
"""

from __future__ import annotations

import sqlite3
import zlib
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from operator import add, sub
from typing import Final

from ..core.ids import FORGOTTEN
from ..core.records import dataclass
from . import rollups
from .sums import SUMS, TOTALS

DEVICE, MODEL = range(2)
"""What lines are: devices, or models with their providers."""

KINDS: Final = (DEVICE, MODEL)
MOST_LINES: Final = 50_000
"""With more there are no standings: each would be megabytes."""

Name = tuple[str, str]
"""A device and "", or a model and its provider."""

_OF_A_DAY: Final = {
    DEVICE: f"SELECT device_id, '', {SUMS} FROM daily WHERE day = ? GROUP BY device_id",
    MODEL: f"SELECT model_id, provider, {', '.join(TOTALS)} FROM rollup WHERE kind = {rollups.DAY_MODEL} AND day = ?",
}
_OF_A_MONTH: Final = {
    DEVICE: f"SELECT device_id, '', {', '.join(TOTALS)} FROM rollup WHERE kind = {rollups.MONTH_DEVICE} AND day = ?1",
    MODEL: f"""SELECT model_id, max(provider), {SUMS} FROM rollup
               WHERE kind = {rollups.DAY_MODEL} AND day BETWEEN ?1 AND ?1 + 99 GROUP BY model_id""",
}
_WIDTH: Final = len(TOTALS)
_ZERO: Final = (0,) * _WIDTH


# --- reading -------------------------------------------------------------------------------------------------------


def between(connection: sqlite3.Connection, kind: int, first: int, last: int) -> dict[Name, tuple[int, ...]] | None:
    """What each line used on these days, both included; None where that is not to be had from standings."""
    (newest,) = connection.execute("SELECT max(day) FROM daily WHERE day BETWEEN ? AND ?", (first, last)).fetchone()
    if newest is None:
        return {}
    try:
        upper = _up_to(connection, kind, newest)
        lower = _before(connection, kind, first)
    except (zlib.error, ValueError, TypeError):
        return None
    if upper is None or lower is None:
        return None
    columns, more = upper
    if lower:
        short = len(columns[0]) if columns else 0
        columns = columns or [array("q") for _ in TOTALS]
        if short < len(lower[0]):
            columns = [array("q", [*column, *[0] * (len(lower[0]) - short)]) for column in columns]
        columns = [
            array("q", [*map(sub, column, under), *column[len(under) :]])
            for column, under in zip(columns, lower, strict=True)
        ]
    return _named(connection, kind, columns, more)


def _named(
    connection: sqlite3.Connection,
    kind: int,
    columns: Sequence[array[int]],
    more: Iterable[tuple[Name, tuple[int, ...]]],
) -> dict[Name, tuple[int, ...]]:
    found: dict[Name, tuple[int, ...]] = {}
    names = connection.execute("SELECT name, provider FROM line WHERE kind = ? ORDER BY n", (kind,))
    for name, sums in zip(names, zip(*columns, strict=True), strict=False):
        if sums[0] or sums != _ZERO:
            found[name] = sums if name not in found else tuple(map(add, found[name], sums))
    for name, sums in more:
        known = found.get(name)
        found[name] = sums if known is None else tuple(map(add, known, sums))
    return {name: sums for name, sums in found.items() if sums[0]}


def _up_to(
    connection: sqlite3.Connection, kind: int, day: int
) -> tuple[list[array[int]], list[tuple[Name, tuple[int, ...]]]] | None:
    """The standing at the end of a day that has totals, and what comes on top of it."""
    month = day // 100 * 100
    later = "SELECT 1 FROM daily WHERE day > ? AND day <= ? LIMIT 1"
    if connection.execute(later, (day, month + 99)).fetchone() is not None:
        found = _before(connection, kind, day + 1)
        return None if found is None else (found, [])
    found = _before(connection, kind, month)
    if found is None:
        return None
    rows = connection.execute(_OF_A_MONTH[kind], (month,))
    return found, [((row[0], row[1]), row[2:]) for row in rows]


def _before(connection: sqlite3.Connection, kind: int, day: int) -> list[array[int]] | None:
    """The standing of the last day before one that has any totals; None: it is not made."""
    (newest,) = connection.execute("SELECT max(day) FROM daily WHERE day < ?", (day,)).fetchone()
    if newest is None:
        return []
    row = connection.execute("SELECT sums FROM standing WHERE kind = ? AND day = ?", (kind, newest)).fetchone()
    return None if row is None else _unpacked(row[0])


def _packed(columns: Sequence[array[int]]) -> bytes:
    return zlib.compress(b"".join(column.tobytes() for column in columns), 1)


def _unpacked(data: bytes) -> list[array[int]]:
    """Raises zlib.error, ValueError."""
    whole = array("q", zlib.decompress(data))
    size, rest = divmod(len(whole), _WIDTH)
    if rest:
        raise ValueError("a standing has columns of different lengths")
    return [whole[n * size : (n + 1) * size] for n in range(_WIDTH)]


# --- keeping in step -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """A standing that is made and not yet written: beside what it stands on."""

    kind: int
    day: int
    before: int | None
    requests: int
    lines: Mapping[Name, int]
    sums: bytes


def make(connection: sqlite3.Connection, kind: int) -> Made | None:
    """The first one that is missing, of a day that is over; None: none is. Only reads."""
    day, before = _missing(connection, kind)
    if day is None:
        return None
    known = connection.execute("SELECT name, provider, n FROM line WHERE kind = ? ORDER BY n", (kind,)).fetchall()
    lines = {(name, provider): n for name, provider, n in known}
    try:
        columns = _before(connection, kind, day)
    except (zlib.error, ValueError, TypeError):
        columns = None
    if columns is None:
        return Made(kind, day, before, -1, {}, b"")  # damaged: all begin anew
    if not columns:
        columns = [array("q") for _ in TOTALS]
    rows = connection.execute(_OF_A_DAY[kind], (day,)).fetchall()
    new = [(row[0], row[1]) for row in rows if (row[0], row[1]) not in lines]
    fresh = dict(zip(new, accumulate(new, lambda n, _: n + 1, initial=len(known) + 1), strict=False))
    lines |= fresh
    size = len(known) + len(fresh)
    if size > MOST_LINES:
        return None
    for column in columns:
        column.extend([0] * (size - len(column)))
    for name, provider, *sums in rows:
        place = lines[name, provider] - 1
        for column, value in zip(columns, sums, strict=True):
            column[place] += value
    return Made(kind, day, before, _requests(connection, day), fresh, _packed(columns))


def keep(connection: sqlite3.Connection, made: Made) -> bool:
    """Write it down, unless something it stands on has changed meanwhile; in a transaction. Whether it was done."""
    if made.requests < 0:
        forget(connection)
        return True
    if _missing(connection, made.kind) != (made.day, made.before) or _requests(connection, made.day) != made.requests:
        return False
    count = connection.execute("SELECT count(*) FROM line WHERE kind = ?", (made.kind,)).fetchone()[0]
    if made.lines and count + 1 != min(made.lines.values()):
        forget(connection)
        return False
    connection.executemany(
        "INSERT INTO line VALUES (?, ?, ?, ?)",
        [(made.kind, n, name, provider) for (name, provider), n in made.lines.items()],
    )
    connection.execute("INSERT INTO standing VALUES (?, ?, ?)", (made.kind, made.day, made.sums))
    return True


def _missing(connection: sqlite3.Connection, kind: int) -> tuple[int | None, int | None]:
    """The first day that is over and has no standing, and the one that it stands on."""
    (before,) = connection.execute("SELECT max(day) FROM standing WHERE kind = ?", (kind,)).fetchone()
    (newest,) = connection.execute("SELECT max(day) FROM daily").fetchone()
    (day,) = connection.execute("SELECT min(day) FROM daily WHERE day > ?", (before or 0,)).fetchone()
    return (day, before) if day is not None and day < newest else (None, before)


def _requests(connection: sqlite3.Connection, day: int) -> int:
    query = f"SELECT coalesce(sum(requests), 0) FROM rollup WHERE kind = {rollups.DAY_MODEL} AND day = ?"
    return int(connection.execute(query, (day,)).fetchone()[0])


def booked(connection: sqlite3.Connection, first_day: int) -> None:
    """Something was booked to this day and later ones: standings that stand on it go."""
    connection.execute(f"DELETE FROM standing WHERE kind IN ({DEVICE}, {MODEL}) AND day >= ?", (first_day,))


def fold(connection: sqlite3.Connection, device_ids: Collection[str]) -> None:
    """Devices are forgotten: what they used is what all the forgotten ones used."""
    if not device_ids:
        return
    connection.executemany(
        f"UPDATE line SET name = '{FORGOTTEN}' WHERE kind = {DEVICE} AND name = ?", [(d,) for d in device_ids]
    )
    gone, known = connection.execute(
        f"SELECT sum(name = '{FORGOTTEN}'), count(*) FROM line WHERE kind = {DEVICE}"
    ).fetchone()
    if (gone or 0) > 1000 + known // 2:
        forget(connection)


def added_up(connection: sqlite3.Connection, day: int) -> None:
    """All of a day counts to the first of its month now, and so does its standing."""
    first = day // 100 * 100 + 1
    connection.execute("DELETE FROM standing WHERE day = ?", (first,))
    connection.execute("UPDATE standing SET day = ? WHERE day = ?", (first, day))


def forget(connection: sqlite3.Connection) -> None:
    """Totals were made anew: so will be all standings."""
    connection.execute("DELETE FROM standing")
    connection.execute("DELETE FROM line")
