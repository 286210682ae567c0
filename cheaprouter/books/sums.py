"""What is counted of requests, wherever they are added up: as values in memory, and as SQL over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

from ..core.models import Json
from ..core.money import PICO
from ..core.records import dataclass

NO_MODEL: Final = ""
"""The model of a request that was refused before one was chosen."""


@dataclass(slots=True)
class Sums:
    """Of anything: of a device's day, of a model, of everyone. Money in pico-dollars."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    errors: int = 0
    limit_hits: int = 0
    cost: int = 0
    saved: int = 0
    unpriced: int = 0
    """Requests whose cost nobody knows."""

    def add(self, values: Sequence[int]) -> None:
        """Add values in the order of `TOTALS`. Each booking does so for all that counts it: one line each, and no loop."""
        requests, input_tokens, output_tokens, cached_tokens, errors, limit_hits, cost, saved, unpriced = values
        self.requests += requests
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cached_tokens += cached_tokens
        self.errors += errors
        self.limit_hits += limit_hits
        self.cost += cost
        self.saved += saved
        self.unpriced += unpriced

    def values(self) -> tuple[int, ...]:
        """In the order of `TOTALS`."""
        return tuple(getattr(self, name) for name in TOTALS)

    def shown(self) -> Json:
        """By name, money in USD."""
        found: Json = dict(zip(TOTALS, self.values(), strict=True))
        found["cost"], found["saved"] = usd(self.cost), usd(self.saved)
        return found


TOTALS: Final = tuple(field.name for field in fields(Sums))
"""What is counted, in the order in which it is written down."""

MOST_SUM: Final = 2**62
"""Most that one sum may come to, 4.6 million USD, whatever was reported: SQLite would go on in floating point, and be inexact."""

ADDS: Final = "ON CONFLICT DO UPDATE SET " + ", ".join(
    f"{name} = max({-MOST_SUM}, min({MOST_SUM}, {name} + excluded.{name}))" for name in TOTALS
)
"""SQL that adds to a row of sums that is there already."""

SUMS: Final = ", ".join(f"sum({name})" for name in TOTALS)
"""SQL for them, over rows of `daily`."""

NAMED_SUMS: Final = ", ".join(f"sum({name}) AS {name}" for name in TOTALS)
"""The same, each under its name."""

REQUEST_SUMS: Final = """
    count(*), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens),
    sum(status >= 400 AND status != 499 AND NOT (status = 429 AND attempts = 0)), sum(status = 429 AND attempts = 0),
    sum(coalesce(cost, 0)), sum(coalesce(baseline_cost - cost, 0)), sum(cost IS NULL)"""
"""The same over rows of `request`."""


def usd(pico: int) -> float:
    """USD as a JSON number; the books stay exact."""
    return pico / PICO
