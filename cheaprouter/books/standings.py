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
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, compress, pairwise, repeat
from operator import add, sub
from typing import Any, Final

from ..core.ids import FORGOTTEN
from ..core.records import dataclass
from . import columns, rollups
from .sums import NAMED_SUMS, SUMS, TOTALS

DEVICE, MODEL = range(2)
"""What lines are: devices, or models with their providers."""

KINDS: Final = (DEVICE, MODEL)
MOST_LINES: Final = 50_000
"""With more there are no standings: each would be megabytes."""

Name = tuple[str, str]
"""A device and "", or a model and its provider: as lines are kept."""

Told = Any
"""A line by what tells it apart: a device, or a model and its provider."""

_OF_A_DAY: Final = {
    DEVICE: f"SELECT device_id, '', {SUMS} FROM daily WHERE day = ? GROUP BY device_id",
    MODEL: f"SELECT model_id, provider, {', '.join(TOTALS)} FROM rollup WHERE kind = {rollups.DAY_MODEL} AND day = ?",
}
_NAMED: Final = {DEVICE: ("name",), MODEL: ("name", "provider")}
_OF_A_MONTH: Final = {
    DEVICE: f"""SELECT device_id AS name, {", ".join(TOTALS)} FROM rollup
                WHERE kind = {rollups.MONTH_DEVICE} AND day = ?1 ORDER BY device_id""",
    MODEL: f"""SELECT model_id AS name, max(provider) AS provider, {NAMED_SUMS} FROM rollup
               WHERE kind = {rollups.DAY_MODEL} AND day BETWEEN ?1 AND ?1 + 99 GROUP BY model_id ORDER BY model_id""",
}
_LINES: Final = {
    DEVICE: "SELECT name, n FROM line WHERE kind = ? ORDER BY name",
    MODEL: "SELECT name, provider, n FROM line WHERE kind = ? ORDER BY name, provider",
}
"""Of devices the index of names has all that is needed."""

_LAST: Final = 99991231
_WIDTH: Final = len(TOTALS)


# --- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lines:
    """Who used something, each once and in the order of their names, and what: a column for each of `TOTALS`."""

    names: Sequence[Told]
    sums: Sequence[Sequence[int]]

    def whole(self) -> tuple[int, ...]:
        """What all of them used."""
        return tuple(map(sum, self.sums))


Parts = tuple[list[Told], list[list[int]]]
"""Names and columns of sums that may hold some who used nothing."""

NOBODY: Final = Lines((), [()] * _WIDTH)


def between(connection: sqlite3.Connection, kind: int, first: int, last: int) -> Lines | None:
    """What each line used on these days, both included; None where that is not to be had from standings."""
    (newest,) = connection.execute("SELECT max(day) FROM daily WHERE day BETWEEN ? AND ?", (first, last)).fetchone()
    if newest is None:
        return NOBODY
    try:
        parts = _parts(connection, kind, first, newest)
        if parts is None:
            return None
        upper, lower, more = parts
        names, sums = _of_lines(connection, kind, upper, lower) if upper or lower else _nothing()
        return _used(*_with(names, sums, *more))
    except (zlib.error, ValueError, TypeError, OverflowError):
        return None


def _parts(
    connection: sqlite3.Connection, kind: int, first: int, newest: int
) -> tuple[list[array[int]], list[array[int]], Parts] | None:
    """The standing at the end of the newest day, the one before the first, and what comes on top of the difference."""
    month = newest // 100 * 100
    # Of models a month is thousands of sums, of devices one each, which is less than two standings are.
    later, last = "SELECT 1 FROM daily WHERE day > ? AND day <= ? LIMIT 1", month + 99 if kind == DEVICE else _LAST
    if connection.execute(later, (newest, last)).fetchone() is not None:
        upper, more = _before(connection, kind, newest + 1), _nothing()
    else:
        more = _of_the_month(connection, kind, month)
        if first // 100 * 100 == month and first <= month + 1:
            return [], [], more
        upper = _before(connection, kind, month)
    lower = _before(connection, kind, first)
    return None if upper is None or lower is None else (upper, lower, more)


def _of_the_month(connection: sqlite3.Connection, kind: int, month: int) -> Parts:
    """What each line used in a month, by its roll-up."""
    named = _NAMED[kind]
    found = columns.select(connection, (*named, *TOTALS), _OF_A_MONTH[kind], (month,))
    return _names(found[: len(named)]), found[len(named) :]


def _of_lines(
    connection: sqlite3.Connection, kind: int, upper: Sequence[array[int]], lower: Sequence[array[int]]
) -> Parts:
    """The difference of two standings, in the order of the lines' names."""
    *named, numbers = columns.select(connection, (*_NAMED[kind], "n"), _LINES[kind], (kind,))
    names, places = _names(named), [n - 1 for n in numbers]
    sums = columns.picked(upper or [()] * _WIDTH, places)
    if lower:
        sums = columns.combined(sub, sums, columns.picked(lower, places))
    if len(set(names)) < len(names):
        _join(names, sums)
    return names, sums


def _names(named: Sequence[list[str]]) -> list[Told]:
    return list(zip(*named, strict=True)) if len(named) > 1 else list(named[0])


def _join(names: list[Told], sums: list[list[int]]) -> None:
    """Lines of the same name, which are neighbours, become one: those of forgotten devices."""
    starts = [n for n, name in enumerate(names) if not n or name != names[n - 1]]
    for start, end in reversed([*pairwise([*starts, len(names)])]):
        if end - start > 1:
            names[start:end] = [names[start]]
            for column in sums:
                column[start:end] = [sum(column[start:end])]


def _with(names: list[Told], sums: list[list[int]], others: list[Told], more: list[list[int]]) -> Parts:
    """Two sets of lines added up, by their names."""
    if not names or not others:
        return (names, sums) if names else (others, more)
    known = set(names)
    new = [name for name in others if name not in known]
    if new:
        everyone = sorted([*names, *new])
        sums = columns.picked(sums, _places(names, everyone))
    else:
        everyone = names
    return everyone, columns.combined(add, sums, columns.picked(more, _places(others, everyone)))


def _places(names: list[Told], everyone: list[Told]) -> list[int]:
    """Where in `names` each of all is; behind its end where it is not."""
    at = dict(zip(names, range(len(names)), strict=True))
    return list(map(at.get, everyone, repeat(len(names))))


def _used(names: list[Told], sums: list[list[int]]) -> Lines:
    """Without those who used nothing."""
    if 0 in sums[0]:
        asked = sums[0]
        names, sums = list(compress(names, asked)), [list(compress(column, asked)) for column in sums]
    return Lines(names, sums)


def _nothing() -> Parts:
    return [], [[] for _ in TOTALS]


def _before(connection: sqlite3.Connection, kind: int, day: int) -> list[array[int]] | None:
    """The standing of the last day before one that has any totals; None: it is not made."""
    (newest,) = connection.execute("SELECT max(day) FROM daily WHERE day < ?", (day,)).fetchone()
    if newest is None:
        return []
    row = connection.execute("SELECT sums FROM standing WHERE kind = ? AND day = ?", (kind, newest)).fetchone()
    return None if row is None else _unpacked(row[0])


def _packed(sums: Sequence[array[int]]) -> bytes:
    return zlib.compress(b"".join(column.tobytes() for column in sums), 1)


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
        by_total = _before(connection, kind, day)
    except (zlib.error, ValueError, TypeError):
        by_total = None
    if by_total is None:
        return Made(kind, day, before, -1, {}, b"")  # damaged: all begin anew
    if not by_total:
        by_total = [array("q") for _ in TOTALS]
    rows = connection.execute(_OF_A_DAY[kind], (day,)).fetchall()
    new = [(row[0], row[1]) for row in rows if (row[0], row[1]) not in lines]
    fresh = dict(zip(new, accumulate(new, lambda n, _: n + 1, initial=len(known) + 1), strict=False))
    lines |= fresh
    size = len(known) + len(fresh)
    if size > MOST_LINES:
        return None
    for column in by_total:
        column.extend([0] * (size - len(column)))
    for name, provider, *sums in rows:
        place = lines[name, provider] - 1
        for column, value in zip(by_total, sums, strict=True):
            column[place] += value
    return Made(kind, day, before, _requests(connection, day), fresh, _packed(by_total))


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
