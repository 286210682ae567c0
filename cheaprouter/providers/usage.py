"""Token counts as OpenAI's wire reports them, with the dialects of others."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from ..core.models import Json, Usage


def parse_usage(usage: Any) -> Usage | None:
    """Read a `usage` object; None where it holds no counts.

    Cached tokens are told as `prompt_tokens_details.cached_tokens` (OpenAI), `prompt_cache_hit_tokens` (DeepSeek) or
    `cached_tokens` (Moonshot); `cost` is OpenRouter's, in USD.
    """
    if not isinstance(usage, dict):
        return None
    prompt = _count(usage.get("prompt_tokens"))
    completion = _count(usage.get("completion_tokens"))
    if not prompt and not completion and not _count(usage.get("total_tokens")):
        return None
    details = _object(usage.get("prompt_tokens_details"))
    written = _object(usage.get("completion_tokens_details"))
    cached = details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or usage.get("cached_tokens")
    cost = usage.get("cost")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=min(prompt, _count(cached)),
        cache_write_tokens=_count(details.get("cache_write_tokens")),
        reasoning_tokens=_count(written.get("reasoning_tokens")),
        reported_cost=None if cost is None else parse_cost(cost),
    )


def parse_cost(value: Any) -> Decimal | None:
    """USD as a number or a decimal string; None for anything that is not a finite amount of zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        return 0
    return int(value)


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
