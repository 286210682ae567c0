"""What was used: by day, hour, device, model or provider, as JSON and CSV, and the newest requests one by one."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final, TypeVar

from ..core.calendar import Calendar, Clock, from_date, to_date, zone_name
from ..core.errors import BooksUnavailableError, InvalidRequestError
from ..core.models import Json, RequestRecord
from ..core.records import dataclass
from . import totals as books
from .database import Database
from .metrics import Metrics
from .recorder import Recorder
from .rows import FIRST_AT, from_row, microseconds
from .totals import REQUEST_SUMS, TOTALS, Sums, usd

GROUPS: Final[Mapping[str, str]] = {
    "day": "day",
    "month": "day / 100",
    "device": "device_id",
    "model": "model_id",
    "provider": "provider",
    "hour": "at / 900000000 * 900",
}
"""What can be grouped by, and its column. Hours come in quarters: some zones are half an hour off; `_merged` joins them."""

_DEFAULT_DAYS: Final = 30
_MOST_DAYS: Final = 3660
_MOST_ROWS: Final = 10_000


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

    async def audit(self, limit: int = 100) -> list[Json]:
        """The newest requests first, refusals included: the predecessor's fields."""
        return await self._newest(limit, audit_row)

    async def recent(self, limit: int = 100) -> list[Json]:
        """The same, with why each went where it did."""
        return await self._newest(limit, lambda record: audit_row(record) | {"reason": record.reason})

    async def _newest(self, limit: int, shown: Callable[[RequestRecord], Json]) -> list[Json]:
        await self._recorder.flush()
        try:
            # Thousands of rows take a while to turn into objects: not in the event loop.
            return await self._database.read(lambda c: [shown(from_row(row)) for row in books.recent(c, limit)])
        except sqlite3.Error:
            return [shown(record) for record in self._recorder.recent(limit)]

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.read(work)
        except sqlite3.Error as error:
            raise BooksUnavailableError(f"The books cannot be read just now: {error}") from error

    async def usage(self, query: Mapping[str, str]) -> Json:
        """Sums for `from`, `to` (local days, included), `group_by`, `device`, `model`. Raises InvalidRequestError."""
        parsed, rows = await self._rows(query)
        whole = {name: sum(row[name] for row in rows) for name in TOTALS}
        return {
            "from": to_date(parsed.first).isoformat(),
            "to": to_date(parsed.last).isoformat(),
            "group_by": ",".join(parsed.group_by),
            "time_zone": zone_name(self._calendar.zone),
            "data": [_shown(row) for row in rows],
            "total": _shown(whole),
        }

    async def usage_csv(self, query: Mapping[str, str]) -> str:
        """The same rows as CSV, with a heading."""
        parsed, rows = await self._rows(query)
        out = io.StringIO()
        names = [*parsed.group_by, *_shown(dict.fromkeys(TOTALS, 0))]
        writer = csv.DictWriter(out, names, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in _shown(row).items()} for row in rows)
        return out.getvalue()

    async def summary(self) -> Json:
        """The predecessor's `/v1/metrics`: its fields, counted truly, and the last 24 hours."""
        await self._recorder.flush()
        total = self._metrics.total
        kept, last_day = await self._read(lambda c: (c.execute(_LATENCY).fetchone()[0], self._last_day(c)))
        return {
            "summary": {
                "total_requests": total.requests,
                "total_tokens": total.input_tokens + total.output_tokens,
                "total_cost_usd": usd(total.cost),
                "avg_latency_ms": None if kept is None else round(kept, 1),
                "success_count": total.requests - total.errors - total.limit_hits,
                "error_count": total.errors,
                "limit_hits": total.limit_hits,
                "unique_devices": len(self._metrics.devices()),
            },
            "last_24h": last_day,
            **self._metrics.periods(None),
            "byModel": _ranked("model", self._metrics.models()),
            "byDevice": _ranked("device_id", self._metrics.devices()),
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

    async def _rows(self, asked: Mapping[str, str]) -> tuple[Query, list[Json]]:
        query = self._parse(asked)
        await self._recorder.flush()
        hourly = "hour" in query.group_by
        columns = [GROUPS[g] for g in query.group_by]
        sums = REQUEST_SUMS if hourly else books.SUMS
        where = ["day BETWEEN ? AND ?"]
        filters: list[int | str] = [query.first, query.last]
        for column, wanted in (("device_id", query.device), ("model_id", query.model)):
            if wanted is not None:
                where.append(f"{column} = ?")
                filters.append(wanted)
        places = ", ".join(str(n + 1) for n in range(len(columns)))
        sql = (
            f"SELECT {', '.join(columns)}, {sums} FROM {'request' if hourly else 'daily'} "  # noqa: S608 - our own names
            f"WHERE {' AND '.join(where)} GROUP BY {places} ORDER BY {places} LIMIT {_MOST_ROWS}"
        )

        def rows(connection: sqlite3.Connection) -> list[Json]:
            found = connection.execute(sql, filters)
            return _merged(query.group_by, (_row(query.group_by, row, self._calendar) for row in found))

        return query, await self._read(rows)

    def _last_day(self, connection: sqlite3.Connection) -> Json:
        since = max(FIRST_AT, microseconds(self._clock.utcnow()) - 86_400_000_000)
        row = connection.execute(f"SELECT {REQUEST_SUMS} FROM request WHERE at > ?", (since,)).fetchone()  # noqa: S608 - our own names
        return _shown({name: value or 0 for name, value in zip(TOTALS, row, strict=True)})


_LATENCY: Final = "SELECT avg(latency_ms) FROM request WHERE status = 200"
_PARAMETERS: Final = ("from", "to", "group_by", "device", "model")


def _merged(groups: tuple[str, ...], rows: Iterable[Json]) -> list[Json]:
    """Rows of the same groups added up."""
    found: dict[tuple[Any, ...], Json] = {}
    for row in rows:
        same = found.setdefault(tuple(row[g] for g in groups), row)
        if same is not row:
            for name in TOTALS:
                same[name] += row[name]
    return list(found.values())


def _row(groups: tuple[str, ...], row: tuple[Any, ...], calendar: Calendar) -> Json:
    shown: Json = {}
    for name, value in zip(groups, row, strict=False):
        if name == "day":
            shown[name] = f"{value // 10000:04d}-{value // 100 % 100:02d}-{value % 100:02d}"
        elif name == "month":
            shown[name] = f"{value // 100:04d}-{value % 100:02d}"
        elif name == "hour":
            shown[name] = calendar.local(value).replace(minute=0).isoformat(timespec="minutes")
        else:
            shown[name] = value or None
    return shown | {name: value or 0 for name, value in zip(TOTALS, row[len(groups) :], strict=True)}


def _shown(row: Mapping[str, Any]) -> Json:
    """A row with money in USD and all tokens together."""
    shown = dict(row)
    cost, saved = shown.pop("cost"), shown.pop("saved")
    shown["total_tokens"] = shown["input_tokens"] + shown["output_tokens"]
    shown["cost_usd"], shown["saved_usd"] = usd(cost), usd(saved)
    return shown


def _ranked(name: str, found: Mapping[str, Sums]) -> list[Json]:
    """The busiest first."""
    busiest = sorted(found.items(), key=lambda item: (-item[1].requests, item[0]))
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
