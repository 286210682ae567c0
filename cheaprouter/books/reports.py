"""What was used: by day, hour, device, model or provider, as JSON and CSV, and the newest requests one by one."""

from __future__ import annotations

import asyncio
import csv
import io
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from heapq import nsmallest
from itertools import islice
from operator import add
from typing import Any, Final, TypeVar

from ..core.calendar import Calendar, Clock, from_date, to_date, zone_name
from ..core.errors import BooksBusyError, BooksUnavailableError, InvalidRequestError
from ..core.models import Json, RequestRecord
from ..core.records import dataclass
from . import rollups, standings
from . import totals as books
from .database import Database
from .metrics import Metrics
from .reader import TooLongError
from .recorder import Recorder
from .rows import FIRST_AT, from_row, microseconds
from .sums import SUMS, TOTALS, Sums, usd

GROUPS: Final = {
    "day": "day",
    "month": "day / 100",
    "device": "device_id",
    "model": "model_id",
    "provider": "provider",
    "hour": "at",
}
"""What can be grouped by, and its column. Hours come in quarters: some zones are half an hour off; `_merged` joins them."""

_IN_ORDER: Final[Mapping[tuple[str, ...], str]] = {
    ("hour",): "day, at",
    ("hour", "device"): "day, at, device_id",
    ("hour", "model"): "day, at, device_id, model_id",
    ("hour", "device", "model"): "day, at, device_id, model_id",
}
"""What roll-ups of hours are kept in the order of: the first rows of such a report are there without reading all."""

PATIENCE: Final = 1.0
"""Seconds that a report waits for the newest bookings."""

_DEFAULT_DAYS: Final = 30
_MOST_DAYS: Final = 3660
_MOST_ROWS: Final = 10_000
_MOST_RANKED: Final = 1000
"""Devices, and models, listed by `summary`."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """Local days, both included, and what to group by."""

    first: int
    last: int
    group_by: tuple[str, ...]
    device: str | None = None
    model: str | None = None


@dataclass(eq=False)
class Reports:
    """Reads the books; the newest bookings are written first, so that a finished request is seen at once."""

    _database: Database
    _recorder: Recorder
    _metrics: Metrics
    _calendar: Calendar
    _clock: Clock

    async def audit(self, limit: int = 100, device: str | None = None) -> list[Json]:
        """The newest requests first, of one device or (None) of all, refusals included: the predecessor's fields."""
        return await self._newest(limit, audit_row, device)

    async def recent(self, limit: int = 100) -> list[Json]:
        """The same, with why each went where it did."""
        return await self._newest(limit, lambda record: audit_row(record) | {"reason": record.reason})

    async def _flush(self) -> None:
        """Have the newest bookings in the database, unless that is busy for long: then what is there is told."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._recorder.flush()

    async def _newest(
        self, limit: int, shown: Callable[[RequestRecord], Json], device: str | None = None
    ) -> list[Json]:
        await self._flush()
        waiting = self._recorder.waiting(limit, device)

        def newest(connection: sqlite3.Connection) -> list[Json]:
            # Thousands of rows take a while to turn into objects: not in the event loop.
            rows = {row[0]: row for row in (*waiting, *books.recent(connection, limit, device))}
            return [shown(from_row(rows[seq])) for seq in sorted(rows, reverse=True)[:limit]]

        try:
            return await self._database.look(newest, short=True)
        except sqlite3.Error:
            return [shown(record) for record in self._recorder.recent(limit, device)]

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.look(work)
        except TooLongError as error:
            raise BooksBusyError(
                f"This report is not there in time ({error}). Ask for fewer days, or for less at once."
            ) from error
        except sqlite3.Error as error:
            raise BooksUnavailableError(f"The books cannot be read just now: {error}") from error

    async def usage(self, query: Mapping[str, str]) -> Json:
        """Sums for `from`, `to` (local days, included), `group_by`, `device`, `model`. Raises InvalidRequestError."""
        parsed, rows, whole = await self._rows(query)
        return {
            "from": to_date(parsed.first).isoformat(),
            "to": to_date(parsed.last).isoformat(),
            "group_by": ",".join(parsed.group_by),
            "time_zone": zone_name(self._calendar.zone),
            "data": rows,
            "total": whole,
        }

    async def usage_csv(self, query: Mapping[str, str]) -> str:
        """The same rows as CSV, with a heading."""
        parsed, rows, whole = await self._rows(query)
        out = io.StringIO()
        names = [*parsed.group_by, *whole]
        writer = csv.DictWriter(out, names, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
        return out.getvalue()

    async def summary(self) -> Json:
        """The predecessor's `/v1/metrics`: its fields, counted truly, and the last 24 hours."""
        await self._flush()
        total, devices = self._metrics.total, self._metrics.devices()
        now = self._clock.utcnow()
        at = max(FIRST_AT, microseconds(now) - 86_400_000_000)
        before = from_date(self._calendar.local(now.timestamp() - 2 * 86_400).date())  # in any zone
        last_day = await self._read(lambda c: rollups.since(c, at, before))
        return {
            "summary": _totals(total, self._metrics.latency_mean(), len(devices)),
            "last_24h": _shown(last_day),
            **self._metrics.periods(None),
            "byModel": _ranked("model", self._metrics.models()),
            "byDevice": _ranked("device_id", devices),
        }

    async def own_summary(self, device_id: str) -> Json:
        """The same fields of one device alone; of models nothing is told, since they are everyone's."""
        await self._recorder.flush()
        total, periods = self._metrics.devices().get(device_id) or Sums(), self._metrics.periods(device_id)
        now = self._clock.utcnow()
        at = max(FIRST_AT, microseconds(now) - 86_400_000_000)
        before = from_date(self._calendar.local(now.timestamp() - 2 * 86_400).date())
        last_day = await self._read(lambda c: rollups.since_of(c, at, before, device_id))
        summary = _totals(total, periods["latency_ms"]["p50"], 1)
        return {
            "summary": summary,
            "last_24h": _shown(last_day),
            **periods,
            "byModel": [],
            "byDevice": _ranked("device_id", {device_id: total}),
        }

    def _parse(self, query: Mapping[str, str]) -> Query:
        """Check a query. Raises InvalidRequestError naming the parameter."""
        for name in query:
            if name not in _PARAMETERS:
                raise InvalidRequestError(
                    f"There is no parameter `{name[:40]}`; there are {', '.join(_PARAMETERS)}.", param=name
                )
        today = self._calendar.local(self._clock.utcnow().timestamp()).date()
        last = self._date(query, "to", today)
        first = self._date(query, "from", date.fromordinal(max(1, last.toordinal() - _DEFAULT_DAYS + 1)))
        if first > last:
            raise InvalidRequestError("`from` must not be after `to`.", param="from")
        if (last - first).days > _MOST_DAYS:
            raise InvalidRequestError(f"`from` and `to` must be at most {_MOST_DAYS} days apart.", param="from")
        groups = tuple(g.strip() for g in query.get("group_by", "day").split(",") if g.strip())
        if not groups or len(set(groups)) < len(groups) or any(g not in GROUPS for g in groups):
            raise InvalidRequestError(f"`group_by` must be one or more of: {', '.join(GROUPS)}.", param="group_by")
        return Query(from_date(first), from_date(last), groups, query.get("device"), query.get("model"))

    def _date(self, query: Mapping[str, str], name: str, default: date) -> date:
        text = query.get(name)
        if text is None:
            return default
        try:
            if len(text) == 10:
                return date.fromisoformat(text)
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo is None else moment.astimezone(self._calendar.zone)).date()
        except (ValueError, OverflowError) as error:
            raise InvalidRequestError(
                f"`{name}` must be a date such as 2026-11-22, not `{text[:40]}`.", param=name
            ) from error

    async def _rows(self, asked: Mapping[str, str]) -> tuple[Query, list[Json], Json]:
        """What was asked for, its rows, and all of them together, as they are shown."""
        query = self._parse(asked)
        await self._flush()

        def rows(connection: sqlite3.Connection) -> tuple[list[Json], Json]:
            # Thousands of rows take a while to turn into objects: not in the event loop.
            found = _standing(connection, query)
            if found is None:
                found = _merged(_select(connection, query), [_LABELS[g] for g in query.group_by], self._calendar)
            whole = tuple(map(sum, zip(*found.values(), strict=True))) if found else (0,) * len(TOTALS)
            if len(query.group_by) == 1:
                (group,) = query.group_by
                return [{group: key[0], **_shown(sums)} for key, sums in found.items()], _shown(whole)
            data = [dict(zip(query.group_by, key, strict=True)) | _shown(sums) for key, sums in found.items()]
            return data, _shown(whole)

        return query, *await self._read(rows)


def _standing(connection: sqlite3.Connection, query: Query) -> dict[tuple[Any, ...], tuple[int, ...]] | None:
    """Sums by device, or by model and provider, from what had been used by the end of two days; None: not to be had so."""
    groups = set(query.group_by)
    if query.device is not None or query.model is not None:
        return None
    if groups == {"device"}:
        kind = standings.DEVICE
    elif groups <= {"model", "provider"}:
        kind = standings.MODEL
    else:
        return None
    lines = standings.between(connection, kind, query.first, query.last)
    if lines is None:
        return None
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    places = [int(group == "provider") for group in query.group_by]
    for name in sorted(lines):
        key = tuple([name[place] or None for place in places])
        sums = lines[name]
        found[key] = sums if key not in found else tuple(map(add, found[key], sums))
    return dict(islice(found.items(), _MOST_ROWS))


def _select(connection: sqlite3.Connection, query: Query) -> Iterable[tuple[Any, ...]]:
    """Groups and sums, from the smallest roll-up that has them."""
    filters = {"device_id": query.device, "model_id": query.model}
    picked = [name for name, wanted in filters.items() if wanted is not None]
    needed = {_NEEDS[g] for g in query.group_by}.union(picked)
    if not rollups.whole_months(connection, query.first, query.last):
        needed.add("day")
    columns = [GROUPS[g] for g in query.group_by]
    source = rollups.source(rollups.choose(needed), picked, rollups.unfilled(connection))
    order = _IN_ORDER.get(query.group_by) or ", ".join(str(n + 1) for n in range(len(columns)))
    return connection.execute(
        f"SELECT {', '.join(columns)}, {SUMS} FROM ({source}) GROUP BY {order} ORDER BY {order} LIMIT {_MOST_ROWS}",  # noqa: S608 - our own names
        {"first": query.first, "last": query.last, **filters},
    )


_PARAMETERS: Final = ("from", "to", "group_by", "device", "model")


def _merged(
    rows: Iterable[tuple[Any, ...]], labels: Sequence[Callable[[Any, Calendar], Any]], calendar: Calendar
) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Sums by the labels of their groups: quarters of the same hour, and days of the same one, added up."""
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    width = len(labels)
    known: list[dict[Any, Any]] = [{} for _ in labels]
    for row in rows:
        key = tuple(
            [_labelled(label, value, calendar, seen) for label, value, seen in zip(labels, row, known, strict=False)]
        )
        sums = found.get(key)
        found[key] = row[width:] if sums is None else tuple(map(add, sums, row[width:]))
    return found


def _labelled(label: Callable[[Any, Calendar], Any], value: Any, calendar: Calendar, known: dict[Any, Any]) -> Any:
    """How a value is shown, found out once: the same hour stands in many rows."""
    if value not in known:
        known[value] = label(value, calendar)
    return known[value]


def _hour(at: int, calendar: Calendar) -> str:
    return calendar.local(at).replace(minute=0).isoformat(timespec="minutes")


_NEEDS: Final = GROUPS | {"month": "month"}
_LABELS: Final[Mapping[str, Callable[[Any, Calendar], Any]]] = {
    "day": lambda day, _: f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}",
    "month": lambda month, _: f"{month // 100:04d}-{month % 100:02d}",
    "hour": _hour,
    "device": lambda name, _: name or None,
    "model": lambda name, _: name or None,
    "provider": lambda name, _: name or None,
}
"""How a value of a group is shown."""


def _totals(total: Sums, latency: float | None, devices: int) -> Json:
    return {
        "total_requests": total.requests,
        "total_tokens": total.input_tokens + total.output_tokens,
        "total_cost_usd": usd(total.cost),
        "avg_latency_ms": latency,
        "success_count": total.requests - total.errors - total.limit_hits,
        "error_count": total.errors,
        "limit_hits": total.limit_hits,
        "unique_devices": devices,
    }


def _shown(sums: Sequence[int]) -> Json:
    """Sums in the order of `TOTALS` by name, money in USD, and all tokens together."""
    requests, inputs, outputs, cached, errors, limit_hits, cost, saved, unpriced = sums
    return {
        "requests": requests,
        "input_tokens": inputs,
        "output_tokens": outputs,
        "cached_tokens": cached,
        "errors": errors,
        "limit_hits": limit_hits,
        "unpriced": unpriced,
        "total_tokens": inputs + outputs,
        "cost_usd": usd(cost),
        "saved_usd": usd(saved),
    }


def _ranked(name: str, found: Mapping[str, Sums]) -> list[Json]:
    """The busiest first, `_MOST_RANKED` of them."""
    busiest = nsmallest(_MOST_RANKED, found.items(), key=lambda item: (-item[1].requests, item[0]))
    return [
        {name: key, "requests": s.requests, "tokens": s.input_tokens + s.output_tokens, "cost_usd": usd(s.cost)}
        for key, s in busiest
    ]


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: names come from clients."""
    if isinstance(value, float):
        return f"{value:.12f}".rstrip("0").rstrip(".")
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def audit_row(record: RequestRecord) -> Json:
    """One request as `/v1/audit` tells it."""
    usage = record.usage
    return {
        "id": record.id,
        "timestamp": record.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "device_id": record.device_id,
        "model": record.requested_model,
        "routed_model": record.model_id,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "latency_ms": round(record.latency_ms, 1),
        "cost_usd": None if record.cost is None else float(record.cost),
        "status": record.status,
        "error": record.error,
    }
