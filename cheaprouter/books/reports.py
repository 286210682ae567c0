"""What was used: by day, hour, device, model or provider, as JSON and CSV, and the newest requests one by one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime
from heapq import nsmallest
from typing import Final, TypeVar

from ..core.calendar import Calendar, Clock, from_date, to_date, zone_name
from ..core.errors import BooksBusyError, BooksUnavailableError, InvalidRequestError
from ..core.models import Json
from ..core.records import dataclass
from . import rollups, tables
from . import totals as books
from .database import Database
from .metrics import Metrics
from .reader import TooLongError
from .recorder import Recorder
from .rows import FIRST_AT, INDEX, Row, microseconds, moment
from .sums import Sums, usd
from .usage import GROUPS, Answer, Query, answer

PATIENCE: Final = 1.0
"""Seconds that a report waits for the newest bookings."""

_REASON: Final = INDEX["reason"]
_DEFAULT_DAYS: Final = 30
_MOST_DAYS: Final = 3660
_MOST_RANKED: Final = 1000
"""Devices, and models, listed by `summary`."""


T = TypeVar("T")


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
        return await self._newest(limit, lambda row: audit_row(row) | {"reason": row[_REASON]})

    async def scored(self, limit: int, work: Callable[[int, list[tuple[float, int, int]]], T]) -> T:
        """What `work` makes, beside the event loop, of the last requests that a profile chose a model for.

        It is given how many there are, and score and tokens in and out of those with a score. Raises BooksBusyError,
        BooksUnavailableError.
        """
        await self._flush()
        return await self._read(lambda connection: work(*books.scored(connection, limit)), short=True)

    async def _flush(self) -> None:
        """Have the newest bookings in the database, unless that is busy for long: then what is there is told."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._recorder.flush()

    async def _newest(self, limit: int, shown: Callable[[Row], Json], device: str | None = None) -> list[Json]:
        latest = self._recorder.latest(limit, device)
        if len(latest) == limit:  # as usual: neither the disk nor another thread is waited for
            return [shown(row) for row in latest]
        await self._flush()
        waiting = self._recorder.waiting(limit, device)

        def newest(connection: sqlite3.Connection) -> list[Json]:
            # Thousands of rows take a while to turn into objects: not in the event loop.
            rows = {row[0]: row for row in (*waiting, *books.recent(connection, limit, device))}
            return [shown(rows[seq]) for seq in sorted(rows, reverse=True)[:limit]]

        try:
            return await self._database.look(newest, short=True)
        except sqlite3.Error:
            return [shown(row) for row in self._recorder.latest(limit, device)]

    async def _read(self, work: Callable[[sqlite3.Connection], T], *, short: bool = False) -> T:
        """What comes of a look at the books. `short`: it waits for no long one."""
        try:
            return await self._database.look(work, short=short)
        except TooLongError as error:
            raise BooksBusyError(
                f"This report is not there in time ({error}). Ask for fewer days, or for less at once."
            ) from error
        except sqlite3.Error as error:
            raise BooksUnavailableError(f"The books cannot be read just now: {error}") from error

    async def usage(self, query: Mapping[str, str]) -> bytes:
        """Sums for `from`, `to` (local days, included), `group_by`, `device`, `model`, as JSON. Raises InvalidRequestError."""
        return await self._answer(query, self._as_json)

    async def usage_csv(self, query: Mapping[str, str]) -> bytes:
        """The same rows as CSV, with a heading."""
        return await self._answer(query, lambda parsed, found: tables.as_csv(parsed.group_by, found))

    async def summary(self) -> Json:
        """The predecessor's `/v1/metrics`: its fields, counted truly, and the last 24 hours."""
        await self._flush()
        total, devices = self._metrics.total, self._metrics.devices()
        now = self._clock.utcnow()
        at = max(FIRST_AT, microseconds(now) - 86_400_000_000)
        before = from_date(self._calendar.local(now.timestamp() - 2 * 86_400).date())  # in any zone
        last_day = await self._read(lambda c: rollups.since(c, at, before), short=True)
        return {
            "summary": _totals(total, self._metrics.latency_mean(), len(devices)),
            "last_24h": tables.row(last_day),
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
        last_day = await self._read(lambda c: rollups.since_of(c, at, before, device_id), short=True)
        summary = _totals(total, periods["latency_ms"]["p50"], 1)
        return {
            "summary": summary,
            "last_24h": tables.row(last_day),
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

    async def _answer(self, asked: Mapping[str, str], shown: Callable[[Query, Answer], T]) -> T:
        """What was asked for, as it is to be shown. Ten thousand rows take a while to become that: not in the event loop."""
        query = self._parse(asked)
        await self._flush()
        return await self._read(lambda connection: shown(query, answer(connection, query, self._calendar)))

    def _as_json(self, query: Query, found: Answer) -> bytes:
        said = {
            "from": to_date(query.first).isoformat(),
            "to": to_date(query.last).isoformat(),
            "group_by": ",".join(query.group_by),
            "time_zone": zone_name(self._calendar.zone),
        }
        return tables.as_json(query.group_by, found, said)


_PARAMETERS: Final = ("from", "to", "group_by", "device", "model")


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


def _ranked(name: str, found: Mapping[str, Sums]) -> list[Json]:
    """The busiest first, `_MOST_RANKED` of them."""
    busiest = nsmallest(_MOST_RANKED, found.items(), key=lambda item: (-item[1].requests, item[0]))
    return [
        {name: key, "requests": s.requests, "tokens": s.input_tokens + s.output_tokens, "cost_usd": usd(s.cost)}
        for key, s in busiest
    ]


def audit_row(row: Row) -> Json:
    """One request as `/v1/audit` tells it."""
    prompt, completion, cost = row[INDEX["prompt_tokens"]], row[INDEX["completion_tokens"]], row[INDEX["cost"]]
    at = moment(row[INDEX["at"]])
    return {
        "id": row[INDEX["id"]],
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "device_id": row[INDEX["device_id"]],
        "model": row[INDEX["requested_model"]],
        "routed_model": row[INDEX["model_id"]],
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "latency_ms": round(row[INDEX["latency_ms"]], 1),
        "cost_usd": None if cost is None else usd(cost),
        "status": row[INDEX["status"]],
        "error": row[INDEX["error"]],
    }
