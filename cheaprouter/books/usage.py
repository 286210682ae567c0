"""Sums by whatever is asked for, from the smallest thing that has them, and never from more than can be read at once.

By device, by model or provider: the difference of two standings. By device and model together, where there are many devices:
of the busiest ones. All else: the smallest roll-up, in its own order, so that the first rows are there without reading all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import chain, islice
from operator import add
from typing import Any, Final

from ..core.calendar import Calendar
from ..core.records import dataclass
from . import rollups, standings
from .sums import SUMS, TOTALS

GROUPS: Final = {
    "day": "day",
    "month": "day / 100",
    "device": "device_id",
    "model": "model_id",
    "provider": "provider",
    "hour": "at",
}
"""What can be grouped by, and its column. Hours come in quarters: some zones are half an hour off; `_merged` joins them."""

MOST_ROWS: Final = 10_000
MOST_COMBINED: Final = 4000
"""Rows where devices or hours are told apart by something else, too."""

MOST_READ: Final = 5000
"""Totals by day, device and model that are added up one by one for a report, or by quarter of an hour and model."""

_ORDER: Final = ("day", "month", "hour", "device", "model", "provider")
"""As roll-ups are kept; what is time comes first."""

_NEEDS: Final = GROUPS | {"month": "month"}

Found = dict[tuple[Any, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Query:
    """Local days, both included, and what to group by."""

    first: int
    last: int
    group_by: tuple[str, ...]
    device: str | None = None
    model: str | None = None

    @property
    def picked(self) -> dict[str, str]:
        """Columns of which only one value is wanted."""
        wanted = {"device_id": self.device, "model_id": self.model}
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Answer:
    """Sums in the order of `TOTALS` by the labels of their groups, those of all together, and whether some rows are missing."""

    rows: Found
    whole: tuple[int, ...]
    partial: bool


def answer(connection: sqlite3.Connection, query: Query, calendar: Calendar) -> Answer:
    """What was used. Raises sqlite3.Error."""
    groups = frozenset(query.group_by)
    found: Found | None = None
    partial = False
    if not query.picked and groups <= {"month", "device"} and "device" in groups:
        found, partial = _by_standings(connection, query, standings.DEVICE)
    elif not query.picked and groups <= {"month", "model", "provider"} and groups != {"month"}:
        found, partial = _by_standings(connection, query, standings.MODEL)
    elif not query.picked and {"device"} < groups <= {"device", "model", "provider"}:
        found, partial = _of_the_busiest(connection, query)
    if found is None:
        most = MOST_COMBINED if groups & {"hour", "device"} and len(groups) > 1 else MOST_ROWS
        if groups >= {"hour", "provider"} and not groups & {"device", "model"}:
            most = MOST_READ  # what is read is finer than what is told
        rows = _select(connection, query, most).fetchall()
        found, partial = _merged(rows, query.group_by, calendar), len(rows) == most
    if len(found) > MOST_ROWS:
        found, partial = dict(islice(found.items(), MOST_ROWS)), True
    whole = _whole(connection, query) if partial else tuple(map(sum, zip(*found.values(), strict=True)))
    return Answer(found, whole or (0,) * len(TOTALS), partial)


def _by_standings(connection: sqlite3.Connection, query: Query, kind: int) -> tuple[Found | None, bool]:
    """Sums, and whether there are more. None: there are no standings that would do."""
    found: Found = {}
    places = {"device": 0, "model": 0, "provider": 1}
    for month, first, last in _spans(query):
        if len(found) >= MOST_ROWS:
            return found, True
        lines = standings.between(connection, kind, first, last)
        if lines is None:
            return None, False
        if query.group_by == ("device",):
            return {(name[0] or None,): lines[name] for name in sorted(lines)}, False
        for name in sorted(lines):
            key = tuple([month if group == "month" else name[places[group]] or None for group in query.group_by])
            known = found.get(key)
            found[key] = lines[name] if known is None else tuple(map(add, known, lines[name]))
    return found, False


def _spans(query: Query) -> Iterator[tuple[str, int, int]]:
    """The days asked for, month by month where months are asked for."""
    if "month" not in query.group_by:
        yield "", query.first, query.last
        return
    month = query.first // 100
    while month <= query.last // 100:
        yield _month(month), max(query.first, month * 100), min(query.last, month * 100 + 99)
        month += 89 if month % 100 == 12 else 1


def _of_the_busiest(connection: sqlite3.Connection, query: Query) -> tuple[Found | None, bool]:
    """By device and model, of as many devices as can be read, the busiest; and whether there are more."""
    devices = standings.between(connection, standings.DEVICE, query.first, query.last)
    if devices is None:
        return None, False
    days = [row[0] for row in connection.execute(rollups.DAYS, {"first": query.first, "last": query.last})]
    names = [name for name, _ in devices]
    columns = ", ".join(GROUPS[group] for group in query.group_by)
    of_one = f"SELECT {columns}, {', '.join(TOTALS)} FROM daily WHERE day = ? AND device_id = ?"  # noqa: S608 - our own names
    read, whole = 0, 0
    found: Found = {}
    for name in nlargest(len(names), names, key=lambda name: devices[name, ""][0]):
        if read > MOST_READ:
            break
        for row in chain.from_iterable(connection.execute(of_one, (day, name)) for day in days):
            key, sums = tuple([value or None for value in row[: len(query.group_by)]]), row[len(query.group_by) :]
            known = found.get(key)
            found[key] = sums if known is None else tuple(map(add, known, sums))
            read += 1
        read += len(days) // 2  # a look costs, too, where there is nothing
        whole += 1
    return _in_order(found), whole < len(names)


def _in_order(found: Found) -> Found:
    """By their names; what has none goes first, as in SQL."""
    return dict(sorted(found.items(), key=lambda item: tuple([value or "" for value in item[0]])))


def _select(connection: sqlite3.Connection, query: Query, most: int) -> sqlite3.Cursor:
    """Groups and sums, from the smallest roll-up that has them, the first `most` in the roll-up's order."""
    needed = {_NEEDS[g] for g in query.group_by}.union(query.picked)
    if not rollups.whole_months(connection, query.first, query.last):
        needed.add("day")
    kind = rollups.choose(needed)
    source = rollups.source(kind, query.picked, rollups.unfilled(connection))
    ordered = sorted(query.group_by, key=_ORDER.index)
    keys = [GROUPS[group] for group in ordered]
    if "hour" in query.group_by:  # as these are kept; then nothing has to be sorted
        keys = ["day", "at", *(["device_id"] if len(ordered) > 1 else []), *keys[1:]]
        if "provider" in ordered:
            keys.insert(3, "model_id")
        keys = list(dict.fromkeys(keys))
    columns = ", ".join(GROUPS[group] for group in query.group_by)
    order = ", ".join(keys)
    return connection.execute(
        f"SELECT {columns}, {SUMS} FROM ({source}) GROUP BY {order} ORDER BY {order} LIMIT {most}",  # noqa: S608 - our own names
        {"first": query.first, "last": query.last, **query.picked},
    )


def _whole(connection: sqlite3.Connection, query: Query) -> tuple[int, ...]:
    source = rollups.source(rollups.choose({"day", *query.picked}), query.picked, rollups.unfilled(connection))
    parameters = {"first": query.first, "last": query.last, **query.picked}
    return tuple(value or 0 for value in connection.execute(f"SELECT {SUMS} FROM ({source})", parameters).fetchone())  # noqa: S608 - likewise


def _merged(rows: Iterable[tuple[Any, ...]], groups: Sequence[str], calendar: Calendar) -> Found:
    """Sums by the labels of their groups: quarters of the same hour, and days of the same one, added up."""
    found: Found = {}
    width = len(groups)
    labels = [_LABELS[group] for group in groups]
    known: list[dict[Any, Any]] = [{} for _ in groups]
    for row in rows:
        key = tuple(
            [
                seen[value] if value in seen else seen.setdefault(value, label(value, calendar))
                for label, value, seen in zip(labels, row, known, strict=False)
            ]
        )
        sums = found.get(key)
        found[key] = row[width:] if sums is None else tuple(map(add, sums, row[width:]))
    return found


def _hour(at: int, calendar: Calendar) -> str:
    return calendar.local(at).replace(minute=0).isoformat(timespec="minutes")


def _month(month: int) -> str:
    return f"{month // 100:04d}-{month % 100:02d}"


_LABELS: Final[Mapping[str, Callable[[Any, Calendar], Any]]] = {
    "day": lambda day, _: f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}",
    "month": lambda month, _: _month(month),
    "hour": _hour,
    "device": lambda name, _: name or None,
    "model": lambda name, _: name or None,
    "provider": lambda name, _: name or None,
}
"""How a value of a group is shown."""
