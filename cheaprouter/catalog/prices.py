"""What a request costs: in `Decimal` USD, or as it is booked, in whole pico-dollars. Pure: the time is handed in.

An unknown price gives None, never 0.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from ..core.models import Model, Price, Rates, Usage
from ..core.money import MILLION, MOST_CHARGE, charge


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
    return _amount(price, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens)


def charged(price: Price, prompt: int, completion: int, cached: int = 0, written: int = 0) -> int:
    """The same in whole pico-dollars, rounded half to even, and no more than `MOST_CHARGE`.

    By whole numbers alone where a token costs a whole number of them, as those of most models do.
    """
    rates, amount = _rates(price, prompt) if price.tiers else price.rates, price.pico_request
    if rates.pico is None or amount is None:
        return charge(_amount(price, prompt, completion, cached, written))
    plain, output, from_cache, to_cache = rates.pico
    amount += completion * output
    if cached or written:
        if not 0 <= cached <= cached + written <= prompt:
            cached, written = _within_prompt(prompt, cached, written)
        prompt -= cached + written
        amount += cached * from_cache + written * to_cache
    amount += prompt * plain
    return amount if 0 <= amount <= MOST_CHARGE else max(0, min(MOST_CHARGE, amount))


def billed(usage: Usage, model: Model, price: Price | None) -> tuple[int | None, str]:
    """What to book, in pico-dollars, and on whose word: `reported` by the upstream, else `computed` by us.

    `estimated` where we counted the tokens ourselves, `free`, or `unknown`. `price`: the model's, at that time.
    """
    if usage.reported_cost is not None:
        return charge(usage.reported_cost), "reported"
    if price is None:
        return None, "unknown"
    if model.free:
        return 0, "free"
    amount = charged(price, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens)
    return amount, "estimated" if usage.estimated else "computed"


def _amount(price: Price, prompt: int, completion: int, cached: int, written: int) -> Decimal:
    rates = _rates(price, prompt)
    cached, written = _within_prompt(prompt, cached, written)
    total = (prompt - cached - written) * rates.input + completion * rates.output
    if cached:
        total += cached * (rates.input if rates.cached_input is None else rates.cached_input)
    if written:
        total += written * (rates.input if rates.cache_write is None else rates.cache_write)
    return total / MILLION + price.per_request


def _within_prompt(prompt: int, cached: int, written: int) -> tuple[int, int]:
    """Tokens read from a cache, and written to it, are part of the prompt: never more than there are."""
    cached = min(max(0, cached), prompt)
    return cached, min(max(0, written), prompt - cached)


def _rates(price: Price, prompt_tokens: int) -> Rates:
    rates = price.rates
    for tier in price.tiers:
        if prompt_tokens > tier.above_prompt_tokens:
            rates = tier.rates
    return rates


def _within(daily: tuple[int, int], minute: int) -> bool:
    start, end = daily
    return start <= minute < end if start <= end else minute >= start or minute < end
