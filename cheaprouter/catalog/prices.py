"""What a request costs: in `Decimal` USD, or as it is booked, in whole pico-dollars. Pure: the time is handed in.

An unknown price gives None, never 0, and so does a single kind of use whose price nobody knows.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from ..core.models import Json, Model, Price, Rates, Special, Usage
from ..core.money import MILLION, MOST_CHARGE, PICO, charge, from_pico
from ..core.records import dataclass

MOST_TIMES: Final = 100
"""A reported cost of more than so many times our own figure is a fault of who reports it."""

BEYOND_DOUBT: Final = PICO // 40
"""Up to 2.5 cents any report is believed: a search costs that much, however few tokens come with it."""

MOST_UNCHECKED: Final = 100 * PICO
"""Most that is believed where we have no figure: 100 USD for one request."""

HOUR_OVER_MINUTES: Final = Decimal("1.6")
"""What a write that lasts an hour costs, over one of five minutes: Anthropic charges 2 and 1.25 times the input."""


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
    """USD for a request begun at `at` (UTC); None where the model's price is unknown, or that of a kind which was used.

    Cached and cache-write tokens are part of the prompt and cost their own rate where there is one. Reasoning tokens are
    part of the completion, and cost what output costs where they have no rate of their own.
    """
    price = model.flat or active_price(model, at)
    return None if price is None else _amount(price, usage)


def charged(price: Price, prompt: int, completion: int, cached: int = 0, written: int = 0) -> int:
    """What plain tokens cost in whole pico-dollars, rounded half to even, and no more than `MOST_CHARGE`.

    By whole numbers alone where a token costs a whole number of them, as those of most models do.
    """
    rates, amount = _rates(price, prompt) if price.tiers else price.rates, price.pico_request
    if rates.pico is None or amount is None:
        return charge(_tokens(rates, prompt, completion, cached, written) / MILLION + price.per_request)
    plain, output, from_cache, to_cache = rates.pico
    amount += completion * output
    if cached or written:
        if not 0 <= cached <= cached + written <= prompt:
            cached, written = _within_prompt(prompt, cached, written)
        prompt -= cached + written
        amount += cached * from_cache + written * to_cache
    amount += prompt * plain
    return amount if 0 <= amount <= MOST_CHARGE else max(0, min(MOST_CHARGE, amount))


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a request is reserved by, in whole pico-dollars rounded up: `begun` for the prompt and for asking at all, `each` token of output."""

    begun: int = 0
    each: int = 0


NO_COST: Final = Tariff()


def tariff(price: Price, prompt: int, body: Json) -> Tariff:
    """The most that such a request costs by what is known before it is sent: the dearest of the rates that may apply to it.

    What is written to a cache costs more than other input, sound more than text, thoughts may have a rate of their own, and
    `priority` has a multiple.
    """
    if price.nothing:
        return NO_COST
    rates = _rates(price, prompt) if price.tiers else price.rates
    usual = rates.reasoning is None and not ("service_tier" in body or "audio" in body)
    if usual and rates.pico is not None and price.pico_request is not None:
        read, output, _, written = rates.pico
        return Tariff(price.pico_request + prompt * max(read, written), output)
    dearest = max(rates.input, rates.cache_write or rates.input)
    spoken = rates.audio_output if body.get("audio") else None
    each = max(rates.output, rates.reasoning or rates.output, spoken or rates.output)
    times = max(Decimal(1), dict(price.services).get(str(body.get("service_tier")), Decimal(1)))
    begun = prompt * dearest * times / MILLION + price.per_request
    return Tariff(_rounded_up(begun), _rounded_up(each * times / MILLION))


def _rounded_up(amount: Decimal) -> int:
    pico = charge(amount)
    return pico if from_pico(pico) >= amount or pico >= MOST_CHARGE else pico + 1


def billed(usage: Usage, model: Model, price: Price | None) -> tuple[int | None, str]:
    """What to book, in pico-dollars, and on whose word: `reported` by the upstream, else `computed` by us.

    `estimated` where we counted the tokens ourselves, `free`, or `unknown`; `disputed` where what was reported cannot be,
    and ours is booked. `price`: the model's, at that time.
    """
    if usage.reported_cost is not None:
        return _checked(charge(usage.reported_cost), *_ours(usage, model, price))
    return _ours(usage, model, price)


def _checked(reported: int, ours: int | None, source: str) -> tuple[int | None, str]:
    """What was reported, where that can be."""
    most = MOST_UNCHECKED if ours is None or source == "unknown" else max(BEYOND_DOUBT, MOST_TIMES * ours)
    return (reported, "reported") if reported <= most else (ours, "disputed")


def _ours(usage: Usage, model: Model, price: Price | None) -> tuple[int | None, str]:
    if price is None:
        return None, "unknown"
    if model.free:
        return 0, "free"
    if usage.special is None and not price.reasons:
        amount = charged(
            price, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens
        )
    else:
        exact = _amount(price, usage)
        if exact is None:
            return None, "unknown"
        amount = charge(exact)
    return amount, "estimated" if usage.estimated else "computed"


def at_least(usage: Usage, price: Price | None) -> int:
    """Pico-dollars that a request of unknown cost takes from a budget: what is known of it."""
    if price is None:
        return 0
    return charged(price, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens)


def _amount(price: Price, usage: Usage) -> Decimal | None:
    """Everything, exact."""
    rates, special = _rates(price, usage.prompt_tokens), usage.special
    total = _tokens(rates, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens)
    if special is None:
        return (total + _reasoning(rates, usage, usage.completion_tokens)) / MILLION + price.per_request
    more, others, times = _kinds(rates, usage, special), _others(price, special), _times(price, special.service)
    if special.unpriced or more is None or others is None or times is None:
        return None
    return (total + more) * times / MILLION + others + special.fees + price.per_request


def _kinds(rates: Rates, usage: Usage, special: Special) -> Decimal | None:
    """What tokens of their own price cost more, or less, than plain ones, a million times; None where nobody knows."""
    cached, written = _within_prompt(usage.prompt_tokens, usage.cached_tokens, usage.cache_write_tokens)
    heard = min(special.audio_input, max(0, usage.prompt_tokens - cached - written))
    spoken = min(special.audio_output, max(0, usage.completion_tokens))
    drawn = min(special.image_output, max(0, usage.completion_tokens) - spoken)
    total = _reasoning(rates, usage, usage.completion_tokens - spoken - drawn) - drawn * rates.output
    if special.cache_write_1h:
        usual = rates.input if rates.cache_write is None else rates.cache_write
        hour = usual * HOUR_OVER_MINUTES if rates.cache_write_1h is None else rates.cache_write_1h
        total += min(special.cache_write_1h, written) * (hour - usual)
    for tokens, rate, usual in (
        (heard, rates.audio_input, rates.input),
        (spoken, rates.audio_output, rates.output),
    ):
        if tokens and rate is None:
            return None
        if tokens and rate is not None:
            total += tokens * (rate - usual)
    return total


def _reasoning(rates: Rates, usage: Usage, most: int) -> Decimal:
    """What reasoning costs more, or less, than other output, a million times."""
    if rates.reasoning is None:
        return Decimal(0)
    return max(0, min(usage.reasoning_tokens, most)) * (rates.reasoning - rates.output)


def _others(price: Price, special: Special) -> Decimal | None:
    """What is not paid by the token; None where nobody knows. Tokens of a picture are paid with the picture."""
    images = special.images or (1 if special.image_output else 0)
    found = Decimal(0)
    for used, each in (
        (special.seconds, price.per_second),
        (special.characters, price.per_character),
        (images, price.per_image),
    ):
        if used:
            if each is None:
                return None
            found += used * each
    return found


def _times(price: Price, service: tuple[str, ...]) -> Decimal | None:
    """How many times the usual price; None for a way of being served that nobody here knows."""
    times, known = Decimal(1), dict(price.services)
    for word in service:
        if word not in known:
            return None
        times *= known[word]
    return times


def _tokens(rates: Rates, prompt: int, completion: int, cached: int, written: int) -> Decimal:
    """What plain tokens cost, a million times."""
    cached, written = _within_prompt(prompt, cached, written)
    total = (prompt - cached - written) * rates.input + completion * rates.output
    if cached:
        total += cached * (rates.input if rates.cached_input is None else rates.cached_input)
    if written:
        total += written * (rates.input if rates.cache_write is None else rates.cache_write)
    return total


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
