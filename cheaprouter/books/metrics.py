"""Live figures of each device and of all: today, this month, in total. Kept in step with the books, restored from them."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..core.calendar import Calendar
from ..core.clock import Clock
from ..core.events import DeviceRemoved, Event
from ..core.models import Json
from . import totals as books
from .database import Database
from .figures import Figures, Histogram, Sums, usd
from .rows import INDEX, Row, moment

MOST_DEVICES: Final = 1000
MOST_MODELS: Final = 300
OTHER: Final = "other"
"""What models beyond the bound are counted as."""

RECENT: Final = 600
"""Requests read at start for percentiles and last models."""

_DAY, _DEVICE, _MODEL = (INDEX[name] for name in ("day", "device_id", "model_id"))
_LATENCY, _FIRST = INDEX["latency_ms"], INDEX["first_token_ms"]

Limits = Callable[[str | None], Json]


def _no_limits(_device_id: str | None) -> Json:
    return dict.fromkeys(("requests_remaining", "tokens_remaining", "budget_percent")) | {"rate_limited": False}


class Metrics:
    """Counters in memory, bounded in number. `limits`: asks what is left of a device's limits (None: the budget above all)."""

    def __init__(self, calendar: Calendar, clock: Clock, *, limits: Limits = _no_limits) -> None:
        self._calendar = calendar
        self._clock = clock
        self.limits = limits
        self._devices: OrderedDict[str, Figures] = OrderedDict()
        self._all = Figures()
        self._models: dict[str, Sums] = {}
        self.latency = Histogram()
        self.first_token = Histogram()

    def restore(self, database: Database) -> None:
        """Begin with what the database holds; an empty or broken one is a fresh start."""
        day = self._today()
        try:
            whole, month, today, models, rows = database.read_sync(lambda c: (
                books.totals(c), books.totals(c, day // 100 * 100), books.totals(c, day), books.model_totals(c),
                books.recent(c, RECENT),
            ))  # fmt: skip
        except sqlite3.Error:
            return
        for found, name in ((whole, "total"), (month, "month_sums"), (today, "today")):
            for device_id, values in found.items():
                for figures in self._figures(device_id, day):
                    getattr(figures, name).add(values)
        for model_id, values in models.items():
            self._model(model_id).add(values)
        for row in reversed(rows):
            for figures in self._figures(row[_DEVICE], day):
                figures.note(row)

    def add(self, row: Row) -> None:
        """Count one booking. O(1), a few microseconds."""
        values = books.values(row)
        day = row[_DAY]
        for figures in self._figures(row[_DEVICE], day):
            figures.count(values, day)
            figures.note(row)
        if model_id := row[_MODEL]:
            self._model(model_id).add(values)
            self.latency.add(row[_LATENCY])
            if row[_FIRST] is not None:
                self.first_token.add(row[_FIRST])

    def heed(self, event: Event) -> None:
        """Drop a device that is forgotten; its part of the sums stays. For the event bus."""
        if isinstance(event, DeviceRemoved):
            self._devices.pop(event.device_id, None)

    def snapshot(self, device_id: str | None) -> Json:
        """A device's state, or (None) everyone's, by the names that MQTT publishes. Money in USD, times in ISO 8601."""
        figures = self._all if device_id is None else self._devices.get(device_id) or Figures()
        figures.roll(self._today())
        total = figures.total
        limits = self.limits(device_id)
        return {
            "requests": total.requests,
            "input_tokens": total.input_tokens,
            "output_tokens": total.output_tokens,
            "cached_tokens": total.cached_tokens,
            "errors": total.errors,
            "limit_hits": total.limit_hits,
            "cost_today": usd(figures.today.cost),
            "cost_month": usd(figures.month_sums.cost),
            "cost_total": usd(total.cost),
            "saved_month": usd(figures.month_sums.saved),
            "latency_p50_ms": _rounded(figures.latency.percentile(0.5)),
            "first_token_p50_ms": _rounded(figures.first_token.percentile(0.5)),
            "requests_remaining": limits["requests_remaining"],
            "tokens_remaining": limits["tokens_remaining"],
            "budget_percent": limits["budget_percent"],
            "rate_limited": limits["rate_limited"],
            "last_model": figures.last_model,
            "last_reason": figures.last_reason,
            "last_seen": None if figures.last_at is None else moment(figures.last_at).isoformat(timespec="seconds"),
        }

    def periods(self, device_id: str | None) -> Json:
        """Requests, tokens, money and errors of today, this month and in total, and percentiles of the last requests."""
        figures = self._all if device_id is None else self._devices.get(device_id) or Figures()
        figures.roll(self._today())
        return {
            "today": figures.today.shown(),
            "month": figures.month_sums.shown(),
            "total": figures.total.shown(),
            "latency_ms": {f"p{share}": _rounded(figures.latency.percentile(share / 100)) for share in (50, 95)},
            "first_token_ms": {
                f"p{share}": _rounded(figures.first_token.percentile(share / 100)) for share in (50, 95)
            },
        }

    def devices(self) -> dict[str, Sums]:
        """Each device's totals."""
        return {device_id: figures.total for device_id, figures in self._devices.items()}

    def models(self) -> dict[str, Sums]:
        """Each model's totals."""
        return dict(self._models)

    @property
    def total(self) -> Sums:
        """Everyone's totals."""
        return self._all.total

    def _today(self) -> int:
        return self._calendar.day(self._clock.utcnow().timestamp())

    def _figures(self, device_id: str, day: int) -> tuple[Figures, ...]:
        if device_id == books.FORGOTTEN:
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


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
