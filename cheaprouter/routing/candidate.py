"""A model in plain numbers, for quick sums: what it costs now, how good it is. Bookings use `catalog.prices`."""

from __future__ import annotations

from math import exp
from typing import Final

from ..catalog.quality import measured
from ..core.models import Kind, Model, Price, Rates

SMALL_QUALITY: Final = 35.0
"""Quality of the small models whose failures the difficulty was learned from."""

QUALITY_PER_E: Final = 12.5
"""Points of quality that divide the odds of failing by e. An estimate: from 50 to 83 points, odds fall to a fourteenth."""

LARGE_QUALITY: Final = 60.0
"""Quality of the large models whose advantage over those small ones the gain was learned from: so `share` is 1 there."""

_MILLION: Final = 1e6


class Candidate:
    """A model with its current rates, USD a token."""

    __slots__ = ("brackets", "context", "free", "id", "measured", "model", "per_request", "quality", "shown", "writing")

    def __init__(self, model: Model, price: Price) -> None:
        self.model = model
        self.id = model.id
        self.quality = model.quality.value
        self.shown = f"quality {self.quality:.0f}"
        self.measured = measured(model.quality)
        self.free = model.free
        self.per_request = float(price.per_request)
        self.context = model.context
        rates = price.rates
        # Google's price of writing is that of storage, which comes on top of the input; nobody else's is lower than the input.
        self.writing = max(1.0, float((rates.cache_write or 0) / rates.input)) if rates.input else 1.0
        tiers = [(tier.above_prompt_tokens, *_per_token(tier.rates)) for tier in reversed(price.tiers)]
        self.brackets = (*tiers, (-1, *_per_token(price.rates)))
        if self.free:
            self.brackets = ((-1, 0.0, 0.0, 0.0),)

    def cost(self, prompt: int, output: int, cached: int = 0) -> float:
        """USD expected for that many tokens, `cached` of the prompt read from the provider's cache."""
        rate_in, rate_out, rate_cached = self.rates(prompt)
        return (prompt - cached) * rate_in + cached * rate_cached + output * rate_out + self.per_request

    def in_talk(self, prompt: int, output: int, cached: int) -> float:
        """The same within a conversation, where what is new is written to the cache, at its own price where there is one."""
        rate_in, rate_out, rate_cached = self.rates(prompt)
        new = (prompt - cached) * rate_in * self.writing
        return new + cached * rate_cached + output * rate_out + self.per_request

    def rates(self, prompt: int) -> tuple[float, float, float]:
        """USD for a token in, out, and in from the cache, where the prompt is of that length."""
        for above, rate_in, rate_out, rate_cached in self.brackets:
            if prompt > above:
                return rate_in, rate_out, rate_cached
        return 0.0, 0.0, 0.0

    def good_at(self, kind: Kind) -> float | None:
        """Its quality at a kind of request, where that was measured."""
        return next((known.value for one, known in self.model.abilities if one is kind), None)


def _per_token(rates: Rates) -> tuple[float, float, float]:
    cached = rates.input if rates.cached_input is None else rates.cached_input
    return float(rates.input) / _MILLION, float(rates.output) / _MILLION, float(cached) / _MILLION


def factor(quality: float) -> float:
    """What the odds of failing are multiplied with at a quality."""
    return exp((SMALL_QUALITY - quality) / QUALITY_PER_E)


def share(quality: float) -> float:
    """How much a model has of what a large one gains over a small one: 0 for a small one, 1 for a large one, more above.

    Where failures are rare, they fall with quality as `factor` does; this is the same straight from the gain.
    """
    return (1.0 - factor(quality)) / (1.0 - factor(LARGE_QUALITY))
