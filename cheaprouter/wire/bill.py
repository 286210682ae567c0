"""What a vendor says it charged for one request, in USD: OpenRouter, Perplexity, xAI, DeepInfra, and whoever tells it alike."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ..core.models import Json

MOST_USD: Final = 10**6
"""An amount beyond is a mistake, and is not taken."""

_TICKS: Final = Decimal("1e-10")
"""USD in one of xAI's ticks: https://docs.x.ai/developers/cost-tracking"""


def billed_in(usage: Json) -> tuple[Decimal | None, bool]:
    """USD that the vendor says it charged, and whether that is only its fee on top of somebody else's bill."""
    if "cost_in_usd_ticks" in usage and (ticks := parse_amount(usage["cost_in_usd_ticks"], _TICKS)) is not None:
        return ticks, False
    for name in ("cost", "total_cost", "cost_usd", "estimated_cost"):
        if name in usage and (told := _cost(usage[name])) is not None:
            return _with_own_key(usage, told) if name == "cost" else (told, False)
    return None, False


def _cost(told: Any) -> Decimal | None:
    """A number, or Perplexity's object: its total, else the sum of its parts."""
    if not isinstance(told, dict):
        return parse_amount(told)
    for name in ("total_cost", "total"):
        if name in told and (total := parse_amount(told[name])) is not None:
            return total
    parts = [
        part for name, value in told.items() if name.endswith("_cost") and (part := parse_amount(value)) is not None
    ]
    return min(sum(parts, Decimal(0)), Decimal(MOST_USD)) if parts else None


def _with_own_key(usage: Json, fee: Decimal) -> tuple[Decimal, bool]:
    """OpenRouter with the user's own key at a vendor: `cost` is its fee alone, the vendor's bill stands beside it.

    https://openrouter.ai/docs/guides/administration/usage-accounting (November 2026)
    """
    details, own = usage.get("cost_details"), usage.get("is_byok")
    upstream = parse_amount(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    if own is True:
        return (fee, True) if upstream is None else (fee + upstream, False)
    if own is None and upstream is not None and upstream > fee:
        return fee + upstream, False
    return fee, False


def parse_amount(value: Any, scale: int | Decimal = 1) -> Decimal | None:
    """USD as a number or a decimal string, times `scale`; None for anything that is no amount from 0 to MOST_USD."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int) and not 0 <= value < _LARGEST_INTEGER:  # too long a number is not even to be written out
        return None
    text = str(value).strip().removeprefix("$")
    try:
        amount = Decimal(text if len(text) <= _LONGEST_AMOUNT else "nan")
    except InvalidOperation:
        return None
    if not amount.is_finite() or amount < 0 or amount.adjusted() > _MOST_EXPONENT:
        return None
    if amount.adjusted() < _LEAST_EXPONENT:
        return Decimal(0)
    amount *= scale
    return amount if amount <= MOST_USD else None


_LEAST_EXPONENT: Final = -20
_MOST_EXPONENT: Final = 20
_LONGEST_AMOUNT: Final = 64
_LARGEST_INTEGER: Final = 10**21
