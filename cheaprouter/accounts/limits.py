"""Limits as clients see them: errors in words, headers in OpenAI's format."""

from __future__ import annotations

import math
from typing import Final

from ..config.settings import BudgetAction
from ..core.errors import BudgetError, LimitError
from ..core.money import from_pico
from .ledger import Limits, Refusal, Snapshot
from .policy import Effective


def limit_error(refusal: Refusal, limits: Limits, asked: int = 0) -> LimitError:
    """The error for a limit that is no budget. `asked`: tokens that were to be reserved."""
    code = _CODES.get(refusal.limit)
    return LimitError(_words(refusal, limits, asked), retry_after=refusal.wait, limit=refusal.limit, code=code)


_CODES: Final = {"disabled": "device_disabled", "schedule": "outside_schedule"}


def _words(refusal: Refusal, limits: Limits, asked: int) -> str:
    wait = "" if refusal.wait is None else f" Try again in {duration(refusal.wait)}."
    match refusal.limit:
        case "disabled":
            return "This device is switched off in CheapRouter."
        case "schedule":
            return f"This device may not ask at this time of day.{wait}"
        case "parallel":
            return f"This device may have {limits.parallel} requests at once, and has them.{wait}"
        case "requests":
            return f"This device may make {limits.rpm} requests a minute.{wait}"
        case _:
            if refusal.wait is None:
                return f"This request needs about {asked} tokens; this device may use {limits.tpm} a minute. Make it shorter."
            return f"This device may use {limits.tpm} tokens a minute; this request needs about {asked}.{wait}"


def budget_error(refusal: Refusal, budget: Effective, period_left: float) -> BudgetError:
    """The error for a budget. `period_left`: seconds until the day or month ends."""
    name = refusal.limit.removeprefix("global_").removesuffix("_budget")
    pico = budget.daily if name == "daily" else budget.monthly
    amount = f"${from_pico(pico or 0).normalize():f}"
    whose = "all devices" if refusal.limit.startswith("global_") else "this device"
    message = f"The {name} budget of {whose} ({amount}) is spent, or its rest is too small for this request."
    wait = period_left if refusal.wait is None else refusal.wait
    error = BudgetError(message, retry_after=wait, limit=refusal.limit)
    error.action = budget.action.value if budget.action is BudgetAction.FREE else BudgetAction.REFUSE.value
    return error


def unpriced_error() -> BudgetError:
    """A model without a known price was about to be charged to a budget."""
    return BudgetError(
        "This model's price is not known, so its cost cannot be kept within the budget. Give it a price, or ask another one.",
        retry_after=None,
        limit="unpriced",
    )


def rate_headers(limits: Limits, snapshot: Snapshot) -> dict[str, str]:
    """The limits there are, what is left of them, and when they are full again."""
    headers: dict[str, str] = {}
    for name, limit, remaining, full_in in (
        ("requests", limits.rpm, snapshot.requests_remaining, snapshot.requests_full_in),
        ("tokens", limits.tpm, snapshot.tokens_remaining, snapshot.tokens_full_in),
    ):
        if limit is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(remaining)
            headers[f"x-ratelimit-reset-{name}"] = duration(full_in)
    return headers


def duration(seconds: float) -> str:
    """A span of time as OpenAI writes it: `250ms`, `1s`, `6m0s`, `2h0m0s`; never shorter than it is."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000 - 1e-6)}ms"
    whole = math.ceil(seconds - 1e-6)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
