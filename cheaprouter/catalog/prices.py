"""What a request costs. All in `Decimal` USD; an unknown price gives None, never 0. Pure: the time is handed in."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from ..core.models import Model, Price, Rates, Usage

_MILLION: Final = Decimal(1_000_000)
_NOTHING: Final = Decimal(0)


def active_price(model: Model, at: datetime) -> Price | None:
    """The price that holds at a moment (UTC): the last one listed whose date has come and whose hours it is."""
    if model.flat is not None:
        return model.flat
    minute = at.hour * 60 + at.minute
    for price in reversed(model.prices):
        if price.valid_from is not None and at < price.valid_from:
            continue
        if price.daily is None or _within(price.daily, minute):
            return price
    return None


def price_at(model: Model, at: datetime, prompt_tokens: int) -> Rates | None:
    """The rates that hold for a prompt of that length at a moment; None where no price is known."""
    price = active_price(model, at)
    return None if price is None else _rates(price, prompt_tokens)


def cost(usage: Usage, model: Model, at: datetime) -> Decimal | None:
    """USD for the tokens of a request begun at `at` (UTC); None where the model's price is unknown.

    Cached and cache-write tokens are part of the prompt and cost their own rate where there is one. Reasoning tokens are
    part of the completion and cost what output costs.
    """
    price = model.flat or active_price(model, at)
    if price is None:
        return None
    rates = _rates(price, usage.prompt_tokens) if price.tiers else price.rates
    cached = min(max(0, usage.cached_tokens), usage.prompt_tokens)
    written = min(max(0, usage.cache_write_tokens), usage.prompt_tokens - cached)
    plain = usage.prompt_tokens - cached - written
    total = plain * rates.input + usage.completion_tokens * rates.output
    if cached:
        total += cached * (rates.input if rates.cached_input is None else rates.cached_input)
    if written:
        total += written * (rates.input if rates.cache_write is None else rates.cache_write)
    return total / _MILLION + price.per_request


def billed(usage: Usage, model: Model, at: datetime) -> tuple[Decimal | None, str]:
    """What to book, and on whose word: `reported` by the upstream, else `computed` by us.

    `estimated` where we counted the tokens ourselves, `free`, or `unknown`.
    """
    if usage.reported_cost is not None:
        return usage.reported_cost, "reported"
    amount = cost(usage, model, at)
    if amount is None:
        return None, "unknown"
    if model.free:
        return _NOTHING, "free"
    return amount, "estimated" if usage.estimated else "computed"


def _rates(price: Price, prompt_tokens: int) -> Rates:
    rates = price.rates
    for tier in price.tiers:
        if prompt_tokens > tier.above_prompt_tokens:
            rates = tier.rates
    return rates


def _within(daily: tuple[int, int], minute: int) -> bool:
    start, end = daily
    return start <= minute < end if start <= end else minute >= start or minute < end
