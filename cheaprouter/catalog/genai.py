"""Prices as genai-prices publishes them (https://github.com/pydantic/genai-prices, MIT), in the catalogue's words. Pure.

`script/update-catalog` reads them from its wheel, the daily refresh from its published JSON: the shape is the same. What is not
understood is left out, never taken for something cheaper.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from ..core.models import Json

PROVIDERS: Final[Mapping[str, str]] = {
    "openai": "openai", "anthropic": "anthropic", "gemini": "google", "deepseek": "deepseek", "mistral": "mistral",
    "groq": "groq", "xai": "x-ai", "together": "together", "fireworks": "fireworks", "cerebras": "cerebras",
    "moonshot": "moonshotai", "zai": "zai", "minimax": "minimax", "openrouter": "openrouter",
}  # fmt: skip
"""Our kinds of providers, and what they are called there."""

RATES: Final[Mapping[str, str]] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "reasoning": "output_reasoning_mtok",
}

MOST_RATE: Final = 1_000_000
MOST_PRICES: Final = 20
MOST_TIERS: Final = 10
"""USD per million tokens, prices of one model, and lengths of prompt of one price: more is a mistake."""


def providers_in(published: Any) -> dict[str, list[Json]]:
    """The models of each provider, by the provider's name there. Raises ValueError for what is no such list."""
    listed = published.get("providers") if isinstance(published, dict) else published
    if not isinstance(listed, list):
        raise ValueError("a list of providers was expected")  # noqa: TRY004 - it is the text's shape that is wrong
    found: dict[str, list[Json]] = {}
    for provider in listed:
        if isinstance(provider, dict) and isinstance(provider.get("models"), list):
            found[str(provider.get("id"))] = [model for model in provider["models"] if isinstance(model, dict)]
    return found


def listing(model_id: str, models: Iterable[Json], *, patterns: bool = True) -> Json | None:
    """The entry that an id falls under, with or without the path before it.

    `patterns`: whether regular expressions are tried; not those of a stranger, since some take for ever.
    """
    names = (model_id, model_id.rsplit("/", 1)[-1])
    return next((m for m in models if any(matches(m.get("match"), name, patterns=patterns) for name in names)), None)


def matches(clause: Any, name: str, *, patterns: bool = True) -> bool:
    """Whether a model's name falls under a clause; never under one that nobody here knows."""
    if not isinstance(clause, dict):
        return False
    lower = name.lower()
    for kind, holds in _TEXT_CLAUSES.items():
        if isinstance(text := clause.get(kind), str):
            return bool(holds(lower, text.lower()))
    if isinstance(pattern := clause.get("regex"), str):
        return patterns and re.search(pattern, name) is not None
    for kind, joined in (("or", any), ("or_", any), ("and", all), ("and_", all)):
        if isinstance(parts := clause.get(kind), list) and parts:
            return joined(matches(part, name, patterns=patterns) for part in parts)
    return False


_TEXT_CLAUSES: Final[Mapping[str, Callable[[str, str], object]]] = {
    "equals": str.__eq__,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
}


def prices_of(model: Json, today: str) -> list[Json]:
    """The prices of a model that hold or will, the last that holds counting; none where one is not understood.

    `today`: the day (UTC) as ISO writes it.
    """
    prices = model.get("prices") or []
    conditional = prices if isinstance(prices, list) else [{"prices": prices}]
    found = []
    try:
        for item in conditional[:MOST_PRICES]:
            rates = item["prices"]
            if "input_mtok" in rates and "output_mtok" in rates:
                found.append(
                    {**_rates_at(rates, None), **_tiers(rates), **_request(rates), **_when(item.get("constraint"))}
                )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return []
    return _superseded(found, today)


def _superseded(prices: list[Json], today: str) -> list[Json]:
    """Without history: the last price that already holds, the one before it (for requests booked late) and all after it."""
    past = [index for index, price in enumerate(prices) if "daily" not in price and price.get("from", "") <= today]
    return prices[past[-2] if len(past) > 1 else 0 :]


def _rates_at(rates: Mapping[str, Any], start: int | None) -> dict[str, str]:
    found = {}
    for ours, theirs in RATES.items():
        value = rates.get(theirs)
        if isinstance(value, dict):
            value = next((tier["price"] for tier in value["tiers"] if tier["start"] == start), value["base"])
        if value is not None:
            found[ours] = plain(_amount(value))
    if found.get("reasoning") == found["output"]:
        del found["reasoning"]
    return found


def _tiers(rates: Mapping[str, Any]) -> Json:
    starts = sorted(
        {
            _whole(tier["start"])
            for value in rates.values()
            if isinstance(value, dict)
            for tier in value.get("tiers", ())
        }
    )
    return {"tiers": [{"above": start, **_rates_at(rates, start)} for start in starts[:MOST_TIERS]]} if starts else {}


def _request(rates: Mapping[str, Any]) -> dict[str, str]:
    told = rates.get("requests_kcount")
    return {} if told is None else {"per_request": plain(_amount(told) / 1000)}


def _when(constraint: Any) -> Json:
    """From which day, or in which minutes of the day, a price holds. Raises ValueError for any other condition."""
    if constraint is None:
        return {}
    if "start_date" in constraint:
        return {"from": date.fromisoformat(constraint["start_date"]).isoformat()}
    if "start_time" in constraint:
        return {"daily": [_minute(constraint["start_time"]), _minute(constraint["end_time"])]}
    raise ValueError("an unknown condition")


def _minute(told: Any) -> int:
    """A time of the day (UTC) as minutes: a number of them, or `16:30:00Z`."""
    if isinstance(told, str):
        found = re.fullmatch(r"(\d\d):(\d\d)(?::00(?:\.0+)?)?(?:Z|\+00:00)?", told)
        if found is None:
            raise ValueError("no time of the day")
        told = int(found[1]) * 60 + int(found[2])
    return _whole(told) % (24 * 60)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("no count")
    return value


def _amount(value: Any) -> Decimal:
    """USD. Raises ValueError, ArithmeticError."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("no price")  # noqa: TRY004 - it is the text's shape that is wrong
    amount = Decimal(str(value))
    if not amount.is_finite() or not 0 <= amount <= MOST_RATE or (amount and amount.adjusted() < -_DIGITS):
        raise ValueError("no price")
    return amount


_DIGITS: Final = 9


def plain(value: Decimal) -> str:
    """Without an exponent."""
    return format(value.normalize(), "f")


def add_sound(prices: Iterable[Json], capabilities: Iterable[str]) -> None:
    """What sound costs that a model takes: they leave out what costs the same as text."""
    if "audio" in capabilities:
        for price in prices:
            price.setdefault("audio_input", price["input"])


def current(prices: list[Json], today: str) -> Json | None:
    """The one that holds all day, today; None where there is none."""
    past = [price for price in prices if "daily" not in price and price.get("from", "") <= today]
    return past[-1] if past else None
