"""Live figures of each device and of all: today, this month, in total. Kept in step with the books, restored from them."""

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import Final

from ..core.calendar import Calendar, Clock
from ..core.events import DeviceRemoved, Event
from ..core.ids import FORGOTTEN
from ..core.models import Json
from ..core.records import dataclass
from . import rollups
from . import totals as books
from .caught import CaughtCounts
from .database import Database
from .rows import INDEX, Row, moment
from .sums import TOTALS, Sums, usd

MOST_RECENT: Final = 200
"""Devices whose last times of answers are kept: those that asked last. What else is counted is kept of all."""

MOST_MODELS: Final = 2000
OTHER: Final = "other"
"""What models beyond the bound are counted as."""

RECENT: Final = 600
"""Requests read at start for percentiles and last models."""

MOST_NEW: Final = 32
"""Bookings that wait to be counted until somebody looks."""

KEPT: Final = 256
"""Times of answers kept of each device, for percentiles: recent by nature."""

BUCKETS_MS: Final = (50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000)
"""Upper bounds of the histograms, milliseconds."""

_AT, _DAY, _DEVICE, _MODEL = (INDEX[name] for name in ("at", "day", "device_id", "model_id"))
_COUNTS: Final = ("requests", "input_tokens", "output_tokens", "cached_tokens", "errors", "limit_hits")
_REASON, _STATUS = INDEX["reason"], INDEX["status"]
_LATENCY, _FIRST = INDEX["latency_ms"], INDEX["first_token_ms"]

_CACHED: Final = TOTALS.index("cached_tokens")

Limits = Callable[[str | None], Json]


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that `share` (0..1) of all do not exceed; None while there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _no_limits(_device_id: str | None) -> Json:
    return dict.fromkeys(("requests_remaining", "tokens_remaining", "budget_percent")) | {"rate_limited": False}


def _recent() -> deque[float]:
    return deque(maxlen=KEPT)


@dataclass(slots=True)
class Times:
    """How long the last answers took, and until their first content, in milliseconds."""

    latency: deque[float] = field(default_factory=_recent)
    first_token: deque[float] = field(default_factory=_recent)

    def note(self, answered: Sequence[Row]) -> None:
        """Take in requests that were answered."""
        self.latency.extend([row[_LATENCY] for row in answered])
        self.first_token.extend([row[_FIRST] for row in answered if row[_FIRST] is not None])


@dataclass(slots=True)
class Figures:
    """One device's, or all devices', figures; `month` and `today` None: nothing yet, as of most devices on most days.

    `from_cache`: tokens of this month that a model's vendor read from its cache, by model; None where there are none.
    """

    total: Sums = field(default_factory=Sums)
    month: Sums | None = None
    today: Sums | None = None
    from_cache: dict[str, int] | None = None
    day: int = 0
    last_model: str | None = None
    last_reason: str | None = None
    last_at: int | None = None

    def roll(self, day: int) -> None:
        """Begin a new day, and month, where one has come; a clock that steps back changes nothing."""
        if day > self.day:
            if day // 100 != self.day // 100:
                self.month = self.from_cache = None
            self.day, self.today = day, None

    def count(self, values: Sequence[int], day: int) -> None:
        """Add a booking of that day."""
        self.total.add(values)
        if day == self.day:
            self.today = _plus(self.today, values)
        if day // 100 == self.day // 100:
            self.month = _plus(self.month, values)

    def note_cached(self, model_id: str, tokens: int, day: int) -> None:
        """Add tokens that were read from a cache on that day."""
        if day // 100 == self.day // 100:
            self.from_cache = self.from_cache or {}
            self.from_cache[model_id] = self.from_cache.get(model_id, 0) + tokens

    def note(self, row: Row) -> None:
        """Remember what was last."""
        self.last_at = row[_AT]
        if row[_MODEL]:
            self.last_model, self.last_reason = row[_MODEL], row[_REASON]


def _plus(sums: Sums | None, values: Sequence[int]) -> Sums:
    if sums is None:
        return Sums(*values)
    sums.add(values)
    return sums


@dataclass(slots=True)
class Histogram:
    """Counts by `BUCKETS_MS` (each value in one bucket), and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BUCKETS_MS))
    count: int = 0
    sum: float = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Take values, in milliseconds."""
        self.count += len(values)
        self.sum += sum(values)
        for value in values:
            if value <= BUCKETS_MS[-1]:
                self.counts[bisect_left(BUCKETS_MS, value)] += 1


class Metrics:
    """Counters in memory, of every device that is known, so that none ever begins anew while its device is.

    `limits`: asks what is left of a device's limits (None: the budget above all). `knows`: whether a device is known; what
    others used counts for everyone's sums alone. `cache_saves`: USD that a model's cache saves for each token read from it, at
    the present prices.
    """

    def __init__(self, calendar: Calendar, clock: Clock, *, limits: Limits = _no_limits) -> None:
        self._calendar = calendar
        self._clock = clock
        self.limits = limits
        self.knows: Callable[[str], bool] = lambda _: True
        self.cache_saves: Callable[[str], float] = lambda _: 0.0
        self._devices: dict[str, Figures] = {}
        self._times: OrderedDict[str, Times] = OrderedDict()
        self._all = Figures()
        self._all_times = Times()
        self._models: dict[str, Sums] = {}
        self._new: list[Row] = []
        self._latency = Histogram()
        self._first_token = Histogram()
        self.caught = CaughtCounts()

    def restore(self, database: Database) -> list[Row]:
        """Begin with what the database holds; an empty or broken one is a fresh start. Returns the newest bookings, in order."""
        try:
            kept = database.read_sync(partial(_load, day=self._today()))
        except sqlite3.Error:
            return []
        self._all.roll(kept.day)
        for name, found in kept.sums.items():
            if found:
                setattr(self._all, name, Sums(*map(sum, zip(*found.values(), strict=True))))
            for device_id, values in found.items():
                for figures in self._figures(device_id, kept.day)[1:]:
                    setattr(figures, name, Sums(*values))
        for device_id, model_id, tokens in kept.from_cache:
            for figures in self._figures(device_id, kept.day):
                figures.note_cached(model_id, tokens, kept.day)
        for model_id, values in kept.models.items():
            self._model(model_id).add(values)
        kept.rows.reverse()
        self._all_times.note(_answered(kept.rows))
        for row in kept.rows:
            self._note([row], row[_DEVICE], kept.day)
        return kept.rows

    def add(self, row: Row) -> None:
        """Count one booking, once somebody looks: a request does not wait for it."""
        self._new.append(row)
        if len(self._new) >= MOST_NEW:
            self._count()

    def _count(self) -> None:
        """Those of the same day, device and model are summed up first: there are few of these among many."""
        new, self._new = self._new, []
        days: dict[int, list[Row]] = {}
        alike: dict[tuple[int, str, str | None], list[Row]] = {}
        for row in new:
            days.setdefault(row[_DAY], []).append(row)
            key = row[_DAY], row[_DEVICE], row[_MODEL]
            rows = alike.pop(key, None) or []
            rows.append(row)
            alike[key] = rows  # in the order of the last of each
        for day, rows in days.items():
            self._all.roll(day)
            self._all.count(books.summed(rows), day)
        for (day, device_id, model_id), rows in alike.items():
            values = books.summed(rows)
            found = self._note(rows, device_id, day)
            for figures in found[1:]:
                figures.count(values, day)
            if model_id and values[_CACHED]:
                for figures in found:
                    figures.note_cached(model_id, values[_CACHED], day)
            if model_id:
                self._model(model_id).add(values)
        self._all_times.note(_answered(new))
        self._latency.add([row[_LATENCY] for row in new if row[_MODEL]])
        self._first_token.add([row[_FIRST] for row in new if row[_MODEL] and row[_FIRST] is not None])

    def _note(self, rows: Sequence[Row], device_id: str, day: int) -> tuple[Figures, ...]:
        """Remember what was last of a device, and of all, and how long it took where it was answered; returns their figures."""
        found = self._figures(device_id, day)
        for figures in found:
            figures.note(rows[-1])
        if len(found) > 1 and (answered := _answered(rows)):
            self._times_of(device_id).note(answered)
        return found

    def _times_of(self, device_id: str) -> Times:
        """A device's last times; those of the one that was answered longest ago make room."""
        times = self._times.get(device_id)
        if times is None:
            times = self._times[device_id] = Times()
            if len(self._times) > MOST_RECENT:
                self._times.popitem(last=False)
        self._times.move_to_end(device_id)
        return times

    def on_event(self, event: Event) -> None:
        """Drop a device that is forgotten; its part of the sums stays. For the event bus."""
        if isinstance(event, DeviceRemoved):
            self._count()
            self._drop(event.device_id)

    def settle(self, knows: Callable[[str], bool]) -> None:
        """Drop whoever is not known: forgotten just before a crash, say. `knows` is asked from now on, too."""
        self.knows = knows
        for device_id in [device_id for device_id in self._devices if not knows(device_id)]:
            self._drop(device_id)

    def _drop(self, device_id: str) -> None:
        self._devices.pop(device_id, None)
        self._times.pop(device_id, None)

    def snapshot(self, device_id: str | None) -> Json:
        """A device's state, or (None) everyone's, by the names that MQTT publishes. Money in USD, times in ISO 8601."""
        figures, times = self._seen(device_id)
        today, month = figures.today or _NOTHING, figures.month or _NOTHING
        return {
            **{name: getattr(figures.total, name) for name in _COUNTS},
            "cost_today": usd(today.cost),
            "cost_month": usd(month.cost),
            "cost_total": usd(figures.total.cost),
            "saved_month": usd(month.saved),
            "saved_cache_month": round(sum(n * self.cache_saves(m) for m, n in (figures.from_cache or {}).items()), 9),
            "cached_percent": round(100 * month.cached_tokens / month.input_tokens, 1) if month.input_tokens else None,
            "latency_p50_ms": _rounded(percentile(times.latency, 0.5)),
            "first_token_p50_ms": _rounded(percentile(times.first_token, 0.5)),
            **self.limits(device_id),
            "last_model": figures.last_model,
            "last_reason": figures.last_reason,
            "last_seen": None if figures.last_at is None else moment(figures.last_at).isoformat(timespec="seconds"),
        }

    def periods(self, device_id: str | None) -> Json:
        """Requests, tokens, money and errors of today, this month and in total, and percentiles of the last requests."""
        figures, times = self._seen(device_id)
        return {
            "today": (figures.today or _NOTHING).shown(),
            "month": (figures.month or _NOTHING).shown(),
            "total": figures.total.shown(),
            "latency_ms": _percentiles(times.latency),
            "first_token_ms": _percentiles(times.first_token),
        }

    def latency_mean(self) -> float | None:
        """How long the last answers took, on average; milliseconds."""
        self._count()
        kept = self._all_times.latency
        return _rounded(sum(kept) / len(kept)) if kept else None

    def devices(self) -> dict[str, Sums]:
        """Each device's totals."""
        self._count()
        return {device_id: figures.total for device_id, figures in self._devices.items()}

    def models(self) -> dict[str, Sums]:
        """Each model's totals."""
        self._count()
        return dict(self._models)

    @property
    def total(self) -> Sums:
        """Everyone's totals."""
        self._count()
        return self._all.total

    def times(self) -> tuple[Histogram, Histogram]:
        """How long answers took, and until the first token."""
        self._count()
        return self._latency, self._first_token

    def _seen(self, device_id: str | None) -> tuple[Figures, Times]:
        self._count()
        figures, times = self._all, self._all_times
        if device_id is not None:
            figures, times = self._devices.get(device_id) or Figures(), self._times.get(device_id) or Times()
        figures.roll(self._today())
        return figures, times

    def _today(self) -> int:
        return self._calendar.day(self._clock.utcnow().timestamp())

    def _figures(self, device_id: str, day: int) -> tuple[Figures, ...]:
        """Whose figures something counts to: everyone's, and the device's own."""
        self._all.roll(day)
        figures = self._devices.get(device_id)
        if figures is None:
            if device_id == FORGOTTEN or not self.knows(device_id):
                return (self._all,)
            figures = self._devices[device_id] = Figures()
        figures.roll(day)
        return self._all, figures

    def _model(self, model_id: str) -> Sums:
        sums = self._models.get(model_id)
        if sums is None:
            if len(self._models) >= MOST_MODELS:
                model_id = OTHER
            sums = self._models.setdefault(model_id, Sums())
        return sums


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the database holds: sums by what they are called here and by device, sums of models, and the last requests."""

    day: int
    sums: Mapping[str, Mapping[str, tuple[int, ...]]]
    models: Mapping[str, tuple[int, ...]]
    rows: list[Row]
    from_cache: list[tuple[str, str, int]]


def _load(connection: sqlite3.Connection, day: int) -> _Kept:
    sums = {
        "total": rollups.device_totals(connection),
        "month": rollups.device_totals(connection, day // 100),
        "today": books.totals(connection, day, day),
    }
    cached = connection.execute(_FROM_CACHE, (day // 100 * 100,)).fetchall()
    return _Kept(day, sums, rollups.model_totals(connection), books.recent(connection, RECENT), cached)


_FROM_CACHE: Final = """
    SELECT device_id, model_id, sum(cached_tokens) FROM daily WHERE day > ? AND cached_tokens > 0 AND model_id != ''
    GROUP BY device_id, model_id"""
_NOTHING: Final = Sums()


def _answered(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row[_MODEL] and row[_STATUS] == 200]


def _percentiles(values: Iterable[float]) -> Json:
    return {"p50": _rounded(percentile(values, 0.5)), "p95": _rounded(percentile(values, 0.95))}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
