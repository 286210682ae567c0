"""Sums by whatever is asked for, from the smallest thing that has them, and never from more than can be read at once.

By device, by model or provider: the difference of two standings. By device and model together, and by the devices of one
model: of the busiest ones. All else: the smallest roll-up, in its own order, so that the first rows are there without reading
all; what is told may be coarser than what is read, and is added up here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import add
from typing import Any, Final

from ..core.calendar import Calendar
from ..core.records import dataclass
from . import columns, rollups, standings
from .sums import NAMED_SUMS, SUMS, TOTALS

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
"""Totals by day, device and model that are looked up one by one for a report, or by quarter of an hour and model."""

MOST_PASSED: Final = 20_000
"""Sums of all models that are passed over in search of those of one."""

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
    """Rows as columns: of labels one for each group, of sums one for each of `TOTALS`. `whole`: all there is, shown or not.

    `partial`: rows are missing.
    """

    labels: Sequence[Sequence[str | None]]
    sums: Sequence[Sequence[int]]
    whole: tuple[int, ...]
    partial: bool


def answer(connection: sqlite3.Connection, query: Query, calendar: Calendar) -> Answer:
    """What was used. Raises sqlite3.Error."""
    groups = frozenset(query.group_by)
    found: Answer | None = None
    if groups == {"device"} and not query.picked:
        found = _by_device(connection, query)
    elif groups == {"device", "month"} and not query.picked:
        found = _by_month_and_device(connection, query)
    elif groups <= {"month", "model", "provider"} and not query.picked:
        found = _by_model(connection, query)
    elif "device" in groups and groups <= {"device", "month", "model", "provider"} and query.device is None:
        found = _of_the_busiest(connection, query)
    return found or _by_rollups(connection, query, calendar)


# --- from standings ------------------------------------------------------------------------------------------------


def _by_device(connection: sqlite3.Connection, query: Query) -> Answer | None:
    """None, here and below: there are no standings that would do."""
    lines = standings.between(connection, standings.DEVICE, query.first, query.last)
    if lines is None:
        return None
    labels, sums = [name or None for name in lines.names[:MOST_ROWS]], lines.sums
    partial = len(lines.names) > MOST_ROWS
    return Answer([labels], [column[:MOST_ROWS] for column in sums] if partial else sums, lines.whole(), partial)


def _by_month_and_device(connection: sqlite3.Connection, query: Query) -> Answer | None:
    """Month by month, for as long as there is room."""
    months: list[str] = []
    names: list[str | None] = []
    sums: list[list[int]] = [[] for _ in TOTALS]
    for month, first, last in _spans(query):
        if len(names) >= MOST_ROWS:
            break
        lines = standings.between(connection, standings.DEVICE, first, last)
        if lines is None:
            return None
        months += [month] * len(lines.names)
        names += [name or None for name in lines.names]
        for column, more in zip(sums, lines.sums, strict=True):
            column.extend(more)
    labels: dict[str, Sequence[str | None]] = {"month": months, "device": names}
    return _cut(connection, query, [labels[group] for group in query.group_by], sums)


def _by_model(connection: sqlite3.Connection, query: Query) -> Answer | None:
    places = {"model": 0, "provider": 1}
    found: Found = {}
    for month, first, last in _spans(query):
        if len(found) >= MOST_ROWS:
            break
        lines = standings.between(connection, standings.MODEL, first, last)
        if lines is None:
            return None
        for name, *values in zip(lines.names, *lines.sums, strict=True):
            _add(found, tuple([month if g == "month" else name[places[g]] or None for g in query.group_by]), values)
    return _told(connection, query, found)


def _spans(query: Query) -> Iterator[tuple[str, int, int]]:
    """The days asked for, month by month where months are asked for."""
    if "month" not in query.group_by:
        yield "", query.first, query.last
        return
    month = query.first // 100
    while month <= query.last // 100:
        yield _month(month), max(query.first, month * 100), min(query.last, month * 100 + 99)
        month += 89 if month % 100 == 12 else 1


def _of_the_busiest(connection: sqlite3.Connection, query: Query) -> Answer | None:
    """By device and something else, of as many devices as can be read, the busiest."""
    devices = standings.between(connection, standings.DEVICE, query.first, query.last)
    if devices is None:
        return None
    days = [row[0] for row in connection.execute(rollups.DAYS, {"first": query.first, "last": query.last})]
    keys = [GROUPS[group] for group in query.group_by]
    of_one = _looks_of_one(days, keys, query)
    read = seen = 0
    found: Found = {}
    for place in sorted(range(len(devices.names)), key=devices.sums[0].__getitem__, reverse=True):
        if read > MOST_READ:
            break
        name = devices.names[place]
        for rows, *row in connection.execute(of_one, {"device_id": name, **query.picked}):
            _add(found, tuple(row[: len(keys)]), row[len(keys) :])
            read += rows
        read += len(days)  # a look costs, too, where there is nothing
        seen += 1
        if not seen % _AT_ONCE:
            columns.give_way()
    told = {
        tuple(
            [
                _month(value) if group == "month" else value or None
                for group, value in zip(query.group_by, key, strict=True)
            ]
        ): found[key]
        for key in sorted(found)
    }
    whole = None if query.picked else devices.whole()
    return _told(connection, query, told, partial=seen < len(devices.names), whole=whole)


_AT_ONCE: Final = 20


def _looks_of_one(days: Sequence[int], keys: Sequence[str], query: Query) -> str:
    """SQL for what a device used, looked up day by day, and of how many totals it is the sum."""
    picked = " AND model_id = :model_id" if query.model is not None else ""
    groups = ", ".join(keys)
    return f"""SELECT count(*), {groups}, {SUMS} FROM daily
        WHERE day IN ({", ".join(map(str, days))}) AND device_id = :device_id{picked} GROUP BY {groups}"""  # noqa: S608 - our own names and numbers


# --- from roll-ups -------------------------------------------------------------------------------------------------


def _by_rollups(connection: sqlite3.Connection, query: Query, calendar: Calendar) -> Answer:
    groups = {*query.group_by}
    most = MOST_COMBINED if len(groups) > 1 and {"hour", "device"} & groups else MOST_ROWS
    if "hour" not in groups and ("model" in groups or "provider" not in groups):
        named = [f"g{n}" for n in range(len(groups))]
        text, parameters = _select(connection, query, most)
        found = columns.select(connection, (*named, *TOTALS), text, parameters)
        labels = [_labels(group, column) for group, column in zip(query.group_by, found, strict=False)]
        partial = len(labels[0]) >= most or _is_cut(connection, query)
        return _cut(connection, query, labels, found[len(groups) :], partial=partial)
    most = min(most, MOST_READ) if "provider" in groups else most  # what is read is finer than what is told
    if "hour" in groups and (first := _of_the_first_hour(connection, query, calendar, most)) is not None:
        return first
    rows: Found = {}
    read = _merge(connection.execute(*_select(connection, query, most)), rows, query.group_by, calendar)
    partial = read >= most or _is_cut(connection, query)
    if partial and rows:
        _leave_out_what_was_cut(rows, query)
    return _told(connection, query, rows, partial=partial)


def _labels(group: str, column: Sequence[Any]) -> list[str | None]:
    if group not in {"day", "month"}:
        return [name or None for name in column]
    shown = {value: _month(value) if group == "month" else _day(value) for value in set(column)}
    return [shown[value] for value in column]


def _leave_out_what_was_cut(found: Found, query: Query) -> None:
    """What is read last may go on where nothing is read any more: of an hour all that is told, else one row."""
    last = next(reversed(found))
    place = query.group_by.index("hour") if "hour" in query.group_by else None
    cut = [last] if place is None else [key for key in found if key[place] == last[place]]
    if len(cut) < len(found):
        for key in cut:
            del found[key]


def _of_the_first_hour(connection: sqlite3.Connection, query: Query, calendar: Calendar, most: int) -> Answer | None:
    """The first rows of the first hour, each whole, where that hour has more than are read in order. None: it has not."""
    kind = _kind(connection, query)
    if rollups.unfilled(connection) or query.device is not None:
        return None
    first = f"SELECT day, at FROM ({rollups.source(kind, (), 0)}) ORDER BY day, at LIMIT 1"  # noqa: S608 - our own names
    known = {"first": query.first, "last": query.last, **query.picked}
    day, at = connection.execute(first, known).fetchone() or (0, 0)
    ats = [
        at + n * rollups.QUARTER for n in range(4) if _hour(at + n * rollups.QUARTER, calendar) == _hour(at, calendar)
    ]
    known["first"] = day
    count = f"SELECT count(*) FROM ({rollups.quarters(kind, (), ats)})"  # noqa: S608 - likewise
    if connection.execute(count, known).fetchone()[0] <= most:
        return None
    groups = [f"{at if group == 'hour' else GROUPS[group]} AS g{n}" for n, group in enumerate(query.group_by)]
    order = ", ".join([f"g{n}" for n in range(len(groups))])
    text = f"""SELECT {", ".join(groups)}, {NAMED_SUMS} FROM ({rollups.quarters(kind, query.picked, ats)})
        GROUP BY {order} ORDER BY {order} LIMIT {most}"""  # noqa: S608 - likewise
    found = columns.select(connection, (*[f"g{n}" for n in range(len(groups))], *TOTALS), text, known)
    labels = [
        [_hour(at, calendar)] * len(column) if group == "hour" else _labels(group, column)
        for group, column in zip(query.group_by, found, strict=False)
    ]
    return _cut(connection, query, labels, found[len(groups) :], partial=True)


def _kind(connection: sqlite3.Connection, query: Query) -> int:
    """The smallest roll-up that tells apart what is asked for."""
    needed = {_NEEDS[group] for group in query.group_by}.union(query.picked)
    if not rollups.whole_months(connection, query.first, query.last):
        needed.add("day")
    return rollups.choose(needed)


def _source(connection: sqlite3.Connection, query: Query, kind: int) -> str:
    if not _is_searched(query):
        return rollups.source(kind, query.picked, rollups.unfilled(connection))
    source = rollups.source(kind, (), rollups.unfilled(connection))
    return f"SELECT * FROM ({source} LIMIT {MOST_PASSED}) WHERE model_id = :model_id"  # noqa: S608 - our own names


def _is_searched(query: Query) -> bool:
    """Whether those of one model have to be searched for among all devices, as they are not kept by it."""
    return query.model is not None and query.device is None and "device" in query.group_by


def _is_cut(connection: sqlite3.Connection, query: Query) -> bool:
    """Whether there is more than is searched."""
    if not _is_searched(query):
        return False
    source = rollups.source(_kind(connection, query), (), rollups.unfilled(connection))
    more = f"SELECT 1 FROM ({source} LIMIT 1 OFFSET {MOST_PASSED})"  # noqa: S608 - our own names
    return connection.execute(more, {"first": query.first, "last": query.last}).fetchone() is not None


def _select(connection: sqlite3.Connection, query: Query, most: int) -> tuple[str, dict[str, Any]]:
    """SQL for groups and sums, from the smallest roll-up that has them, the first `most` in the roll-up's order."""
    kind = _kind(connection, query)
    order = ", ".join(_kept_by(query.group_by, kind))
    groups = ", ".join(f"{GROUPS[group]} AS g{n}" for n, group in enumerate(query.group_by))
    source = _source(connection, query, kind)
    text = f"SELECT {groups}, {NAMED_SUMS} FROM ({source}) GROUP BY {order} ORDER BY {order} LIMIT {most}"  # noqa: S608 - our own names
    return text, {"first": query.first, "last": query.last, **query.picked}


def _kept_by(group_by: Sequence[str], kind: int) -> list[str]:
    """The columns to add up by: where days are told apart the roll-up's own, as far as is needed, so that nothing is sorted."""
    ordered = sorted(group_by, key=_ORDER.index)
    if not {"day", "hour"} & {*ordered}:
        return [GROUPS[group] for group in ordered]
    wanted = {"model_id" if group == "provider" else GROUPS[group] for group in ordered}
    kept = [name for name in ("day", "at", "device_id", "model_id") if name != "at" or kind != rollups.DAILY]
    return kept[: max(kept.index(name) for name in wanted if name in kept) + 1]


def _merge(rows: sqlite3.Cursor, found: Found, groups: Sequence[str], calendar: Calendar) -> int:
    """Add sums by the labels of their groups: quarters of the same hour, and days of the same one. Returns how many there were."""
    width, read = len(groups), 0
    labels = [_LABELS[group] for group in groups]
    known: list[dict[Any, Any]] = [{} for _ in groups]
    while some := rows.fetchmany(columns.A_TURN):
        read += len(some)
        for row in some:
            key = tuple(
                [
                    seen[value] if value in seen else seen.setdefault(value, label(value, calendar))
                    for label, value, seen in zip(labels, row, known, strict=False)
                ]
            )
            _add(found, key, row[width:])
        columns.give_way()
    return read


# --- told ----------------------------------------------------------------------------------------------------------


def _add(found: Found, key: tuple[Any, ...], sums: Iterable[int]) -> None:
    known = found.get(key)
    found[key] = tuple(sums) if known is None else tuple(map(add, known, sums))


def _told(
    connection: sqlite3.Connection,
    query: Query,
    found: Found,
    *,
    partial: bool = False,
    whole: tuple[int, ...] | None = None,
) -> Answer:
    """Rows as an answer."""
    if not found:
        return Answer([() for _ in query.group_by], [()] * len(TOTALS), (0,) * len(TOTALS), partial=False)
    return _cut(
        connection,
        query,
        list(zip(*found, strict=True)),
        list(zip(*found.values(), strict=True)),
        partial=partial,
        whole=whole,
    )


def _cut(
    connection: sqlite3.Connection,
    query: Query,
    labels: Sequence[Sequence[str | None]],
    sums: Sequence[Sequence[int]],
    *,
    partial: bool = False,
    whole: tuple[int, ...] | None = None,
) -> Answer:
    """No more rows than are told; where some are missing, the sums of all are looked up."""
    if len(labels[0]) > MOST_ROWS:
        partial, labels, sums = True, [c[:MOST_ROWS] for c in labels], [c[:MOST_ROWS] for c in sums]
    if whole is None:
        whole = _whole(connection, query) if partial else tuple(map(sum, sums))
    return Answer(labels, sums, whole, partial)


def _whole(connection: sqlite3.Connection, query: Query) -> tuple[int, ...]:
    if not query.picked:
        lines = standings.between(connection, standings.MODEL, query.first, query.last)
        if lines is not None:
            return lines.whole()
    source = rollups.source(rollups.choose({"day", *query.picked}), query.picked, rollups.unfilled(connection))
    parameters = {"first": query.first, "last": query.last, **query.picked}
    return tuple(value or 0 for value in connection.execute(f"SELECT {SUMS} FROM ({source})", parameters).fetchone())  # noqa: S608 - likewise


def _hour(at: int, calendar: Calendar) -> str:
    return calendar.local(at).replace(minute=0).isoformat(timespec="minutes")


def _day(day: int) -> str:
    return f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}"


def _month(month: int) -> str:
    return f"{month // 100:04d}-{month % 100:02d}"


_LABELS: Final[Mapping[str, Callable[[Any, Calendar], Any]]] = {
    "day": lambda day, _: _day(day),
    "month": lambda month, _: _month(month),
    "hour": _hour,
    "device": lambda name, _: name or None,
    "model": lambda name, _: name or None,
    "provider": lambda name, _: name or None,
}
"""How a value of a group is shown."""
