"""Live figures of each device and of all: today, this month, in total. Kept in step with the books, restored from them."""

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import Final

from ..core.calendar import Calendar, Clock
from ..core.events import DeviceRemoved, Event
from ..core.ids import FORGOTTEN
from ..core.models import Json
from ..core.records import dataclass
from . import totals as books
from .database import Database
from .rows import INDEX, Row, moment
from .totals import Sums, usd

MOST_DEVICES: Final = 1000
MOST_MODELS: Final = 300
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
class Figures:
    """One device's, or all devices', figures."""

    total: Sums = field(default_factory=Sums)
    month: Sums = field(default_factory=Sums)
    today: Sums = field(default_factory=Sums)
    day: int = 0
    latency: deque[float] = field(default_factory=_recent)
    first_token: deque[float] = field(default_factory=_recent)
    last_model: str | None = None
    last_reason: str | None = None
    last_at: int | None = None

    def roll(self, day: int) -> None:
        """Begin a new day, and month, where one has come; a clock that steps back changes nothing."""
        if day > self.day:
            if day // 100 != self.day // 100:
                self.month = Sums()
            self.day, self.today = day, Sums()

    def count(self, values: Sequence[int], day: int) -> None:
        """Add a booking of that day."""
        self.total.add(values)
        if day == self.day:
            self.today.add(values)
        if day // 100 == self.day // 100:
            self.month.add(values)

    def note(self, row: Row) -> None:
        """Remember what was last, and how long it took where it was answered."""
        self.last_at = row[_AT]
        if row[_MODEL]:
            self.last_model, self.last_reason = row[_MODEL], row[_REASON]
            if row[_STATUS] == 200:
                self.latency.append(row[_LATENCY])
                if row[_FIRST] is not None:
                    self.first_token.append(row[_FIRST])


@dataclass(slots=True)
class Histogram:
    """Counts by `BUCKETS_MS` (each value in one bucket), and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BUCKETS_MS))
    count: int = 0
    sum: float = 0.0

    def add(self, value: float) -> None:
        """Take one value, in milliseconds."""
        self.count += 1
        self.sum += value
        place = bisect_left(BUCKETS_MS, value)
        if place < len(BUCKETS_MS):
            self.counts[place] += 1


class Metrics:
    """Counters in memory, bounded in number. `limits`: asks what is left of a device's limits (None: the budget above all)."""

    def __init__(self, calendar: Calendar, clock: Clock, *, limits: Limits = _no_limits) -> None:
        self._calendar = calendar
        self._clock = clock
        self.limits = limits
        self._devices: OrderedDict[str, Figures] = OrderedDict()
        self._all = Figures()
        self._models: dict[str, Sums] = {}
        self._new: list[Row] = []
        self._latency = Histogram()
        self._first_token = Histogram()

    def restore(self, database: Database) -> None:
        """Begin with what the database holds; an empty or broken one is a fresh start."""
        day = self._today()
        month = day // 100
        try:
            spans = {"total": (0, 99991231), "month": (month * 100, month * 100 + 99), "today": (day, day)}
            kept = database.read_sync(lambda c: {name: books.totals(c, *span) for name, span in spans.items()})
            models, rows = database.read_sync(lambda c: (books.model_totals(c), books.recent(c, RECENT)))
        except sqlite3.Error:
            return
        for name, found in kept.items():
            for device_id, values in found.items():
                for figures in self._figures(device_id, day):
                    getattr(figures, name).add(values)
        for model_id, values in models.items():
            self._model(model_id).add(values)
        for row in reversed(rows):
            for figures in self._figures(row[_DEVICE], day):
                figures.note(row)

    def add(self, row: Row) -> None:
        """Count one booking, once somebody looks: a request does not wait for it."""
        self._new.append(row)
        if len(self._new) >= MOST_NEW:
            self._count()

    def _count(self) -> None:
        new, self._new = self._new, []
        for row in new:
            values, day = books.values(row), row[_DAY]
            for figures in self._figures(row[_DEVICE], day):
                figures.count(values, day)
                figures.note(row)
            if model_id := row[_MODEL]:
                self._model(model_id).add(values)
                self._latency.add(row[_LATENCY])
                if row[_FIRST] is not None:
                    self._first_token.add(row[_FIRST])

    def on_event(self, event: Event) -> None:
        """Drop a device that is forgotten; its part of the sums stays. For the event bus."""
        if isinstance(event, DeviceRemoved):
            self._count()
            self._devices.pop(event.device_id, None)

    def snapshot(self, device_id: str | None) -> Json:
        """A device's state, or (None) everyone's, by the names that MQTT publishes. Money in USD, times in ISO 8601."""
        figures = self._seen(device_id)
        return {
            **{name: getattr(figures.total, name) for name in _COUNTS},
            "cost_today": usd(figures.today.cost),
            "cost_month": usd(figures.month.cost),
            "cost_total": usd(figures.total.cost),
            "saved_month": usd(figures.month.saved),
            "latency_p50_ms": _rounded(percentile(figures.latency, 0.5)),
            "first_token_p50_ms": _rounded(percentile(figures.first_token, 0.5)),
            **self.limits(device_id),
            "last_model": figures.last_model,
            "last_reason": figures.last_reason,
            "last_seen": None if figures.last_at is None else moment(figures.last_at).isoformat(timespec="seconds"),
        }

    def periods(self, device_id: str | None) -> Json:
        """Requests, tokens, money and errors of today, this month and in total, and percentiles of the last requests."""
        figures = self._seen(device_id)
        return {
            "today": figures.today.shown(),
            "month": figures.month.shown(),
            "total": figures.total.shown(),
            "latency_ms": _percentiles(figures.latency),
            "first_token_ms": _percentiles(figures.first_token),
        }

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

    def _seen(self, device_id: str | None) -> Figures:
        self._count()
        figures = self._all if device_id is None else self._devices.get(device_id) or Figures()
        figures.roll(self._today())
        return figures

    def _today(self) -> int:
        return self._calendar.day(self._clock.utcnow().timestamp())

    def _figures(self, device_id: str, day: int) -> tuple[Figures, ...]:
        if device_id == FORGOTTEN:
            self._all.roll(day)
            return (self._all,)
        figures = self._devices.get(device_id)
        if figures is None:
            figures = self._devices[device_id] = Figures()
            if len(self._devices) > MOST_DEVICES:
                self._devices.popitem(last=False)
        figures.roll(day)
        self._all.roll(day)
        return self._all, figures

    def _model(self, model_id: str) -> Sums:
        sums = self._models.get(model_id)
        if sums is None:
            if len(self._models) >= MOST_MODELS:
                model_id = OTHER
            sums = self._models.setdefault(model_id, Sums())
        return sums


def _percentiles(values: Iterable[float]) -> Json:
    return {"p50": _rounded(percentile(values, 0.5)), "p95": _rounded(percentile(values, 0.95))}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
