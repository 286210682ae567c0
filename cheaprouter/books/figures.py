"""What is counted, and how: sums of a span of time, percentiles, histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from ..core.models import Json
from ..core.money import from_pico
from . import totals as books
from .reservoir import Reservoir
from .rows import INDEX, Row

BUCKETS_MS: Final = (50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000)
"""Upper bounds of the histograms, milliseconds."""

_AT, _MODEL, _REASON, _STATUS = (INDEX[name] for name in ("at", "model_id", "reason", "status"))
_LATENCY, _FIRST = INDEX["latency_ms"], INDEX["first_token_ms"]


class Sums:
    """Counts of one span of time. Money in pico-dollars."""

    __slots__ = books.TOTALS

    requests: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    errors: int
    limit_hits: int
    cost: int
    saved: int
    unpriced: int

    def __init__(self) -> None:
        self.requests = self.input_tokens = self.output_tokens = self.cached_tokens = 0
        self.errors = self.limit_hits = self.cost = self.saved = self.unpriced = 0

    def add(self, values: Sequence[int]) -> None:
        """Add values in the order of `books.TOTALS`."""
        requests, input_tokens, output_tokens, cached, errors, limit_hits, cost, saved, unpriced = values
        self.requests += requests
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cached_tokens += cached
        self.errors += errors
        self.limit_hits += limit_hits
        self.cost += cost
        self.saved += saved
        self.unpriced += unpriced

    def shown(self) -> Json:
        """By name, money in USD."""
        found: Json = {name: getattr(self, name) for name in books.TOTALS}
        found["cost"], found["saved"] = usd(self.cost), usd(self.saved)
        return found


class Figures:
    """One device's, or all devices', figures."""

    __slots__ = (
        "day",
        "first_token",
        "last_at",
        "last_model",
        "last_reason",
        "latency",
        "month_sums",
        "today",
        "total",
    )

    def __init__(self) -> None:
        self.total, self.month_sums, self.today = Sums(), Sums(), Sums()
        self.day = 0
        self.latency, self.first_token = Reservoir(), Reservoir()
        self.last_model: str | None = None
        self.last_reason: str | None = None
        self.last_at: int | None = None

    def roll(self, day: int) -> None:
        """Begin a new day, and month, where one has come; a clock that steps back changes nothing."""
        if day > self.day:
            if day // 100 != self.day // 100:
                self.month_sums = Sums()
            self.day, self.today = day, Sums()

    def count(self, values: Sequence[int], day: int) -> None:
        """Add a booking of that day."""
        self.total.add(values)
        if day == self.day:
            self.today.add(values)
        if day // 100 == self.day // 100:
            self.month_sums.add(values)

    def note(self, row: Row) -> None:
        """Remember what was last, and how long it took where it was answered."""
        self.last_at = row[_AT]
        if row[_MODEL]:
            self.last_model, self.last_reason = row[_MODEL], row[_REASON]
            if row[_STATUS] == 200:
                self.latency.add(row[_LATENCY])
                if row[_FIRST] is not None:
                    self.first_token.add(row[_FIRST])


class Histogram:
    """Counts by `BUCKETS_MS` (each value in one bucket), and their sum."""

    __slots__ = ("count", "counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * len(BUCKETS_MS)
        self.count = 0
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Take one value, in milliseconds."""
        self.count += 1
        self.sum += value
        place = bisect_left(BUCKETS_MS, value)
        if place < len(BUCKETS_MS):
            self.counts[place] += 1


def usd(pico: int) -> float:
    """USD as a JSON number; the books stay exact."""
    return float(from_pico(pico))
