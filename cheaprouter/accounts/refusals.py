"""Limits as clients see them (errors in words, headers in OpenAI's format), and the events about them: once a window, not a request."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from ..config.settings import BudgetAction
from ..core.errors import BudgetError, LimitError
from ..core.events import BudgetReached, BudgetWarning, EventBus, RateLimited
from ..core.money import from_pico, usd_text
from .ledger import Left, Limits, Period, Refusal
from .policy import Policy

WINDOW: Final = 60.0
"""Seconds in which a limit that is hit again is not told again."""

LONG_WINDOW: Final = 3600.0
"""The same for a device that is switched off, or out of hours."""

_MOST_DISPUTED: Final = 1000
"""Models of which it is remembered that their reported cost was told to be wrong."""

_LOG: Final = logging.getLogger(__name__)
_LONG: Final = frozenset({"disabled", "schedule"})
_CODES: Final = {"disabled": "device_disabled", "schedule": "outside_schedule"}


def limit_error(refusal: Refusal, limits: Limits, asked: int = 0) -> LimitError:
    """The error for a limit that is no budget. `asked`: tokens that were to be reserved."""
    wait = "" if refusal.wait is None else f" Try again in {duration(refusal.wait)}."
    message = _WORDS.get(refusal.limit, _tokens)(limits, asked, wait)
    return LimitError(message, retry_after=refusal.wait, limit=refusal.limit, code=_CODES.get(refusal.limit))


def _tokens(limits: Limits, asked: int, wait: str) -> str:
    if not wait:
        return f"This request needs about {asked} tokens; this device may use {limits.tpm} a minute. Make it shorter."
    return f"This device may use {limits.tpm} tokens a minute; this request needs about {asked}.{wait}"


_WORDS: Final[Mapping[str, Callable[[Limits, int, str], str]]] = {
    "disabled": lambda _, __, ___: "This device is switched off in CheapRouter.",
    "schedule": lambda _, __, wait: f"This device may not ask at this time of day.{wait}",
    "parallel": lambda limits, _, wait: f"This device may have {limits.parallel} requests at once, and has them.{wait}",
    "requests": lambda limits, _, wait: f"This device may make {limits.rpm} requests a minute.{wait}",
}


def budget_error(refusal: Refusal, policy: Policy, period_left: float) -> BudgetError:
    """The error for a budget. `period_left`: seconds until the day or month ends."""
    name = refusal.limit.removeprefix("global_").removesuffix("_budget")
    pico = policy.daily if name == "daily" else policy.monthly
    amount = f"${from_pico(pico or 0).normalize():f}"
    whose = "all devices" if refusal.limit.startswith("global_") else "this device"
    message = f"The {name} budget of {whose} ({amount}) is spent, or its rest is too small for this request."
    wait = period_left if refusal.wait is None else refusal.wait
    error = BudgetError(message, retry_after=wait, limit=refusal.limit)
    error.action = policy.action.value if policy.action is BudgetAction.FREE else BudgetAction.REFUSE.value
    return error


def unpriced_error() -> BudgetError:
    """A model without a known price was about to be charged to a budget."""
    return BudgetError(
        "This model's price is not known, so its cost cannot be kept within the budget. Give it a price, or ask another one.",
        retry_after=None,
        limit="unpriced",
    )


def rate_headers(limits: Limits, left: Left) -> dict[str, str]:
    """The limits there are, what is left of them (of requests, of tokens), and when they are full again."""
    (requests, requests_full), (tokens, tokens_full) = left
    headers: dict[str, str] = {}
    if limits.rpm is not None:
        headers["x-ratelimit-limit-requests"] = str(limits.rpm)
        headers["x-ratelimit-remaining-requests"] = str(requests)
        headers["x-ratelimit-reset-requests"] = duration(requests_full) if requests_full else "0ms"
    if limits.tpm is not None:
        headers["x-ratelimit-limit-tokens"] = str(limits.tpm)
        headers["x-ratelimit-remaining-tokens"] = str(tokens)
        headers["x-ratelimit-reset-tokens"] = duration(tokens_full) if tokens_full else "0ms"
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


class Alerts:
    """Remembers what was told. Monotonic seconds for windows."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._quiet: dict[str, dict[str, float]] = {}
        self._limited: dict[str, float] = {}
        self._latest = 0.0
        self._told: dict[tuple[str | None, str], tuple[int, int, bool]] = {}
        self._disputed: set[str] = set()

    def refused(self, device_id: str, limit: str, wait: float | None, now: float, at: float) -> None:
        """A limit was hit, at a moment (Unix seconds)."""
        self._latest = max(self._latest, until := now + min(WINDOW, max(1.0, wait or WINDOW)))
        self._limited[device_id] = until
        quiet = self._quiet.setdefault(device_id, {})
        if now >= quiet.get(limit, 0.0):
            quiet[limit] = now + (LONG_WINDOW if limit in _LONG else WINDOW)
            self._bus.publish(RateLimited(device_id, limit, wait, datetime.fromtimestamp(at, UTC)))

    def disputed(self, model_id: str, reported: int, ours: int | None) -> None:
        """Say, once for each model, that a cost which was reported cannot be (pico-dollars). Both figures are in the books."""
        booked = "it is booked as unknown" if ours is None else f"{usd_text(ours)} is booked"
        self._complain(model_id, f"a cost of {usd_text(reported)} USD was reported, which cannot be: {booked}")

    def miscounted(self, model_id: str, prompt: int, output: int) -> None:
        """Say, once for each model, that tokens were reported which cannot have been used."""
        words = (
            f"{prompt} tokens of input and {output} of output were reported, which cannot be: our own count is booked"
        )
        self._complain(model_id, words)

    def _complain(self, model_id: str, words: str) -> None:
        if model_id not in self._disputed and len(self._disputed) < _MOST_DISPUTED:
            self._disputed.add(model_id)
            _LOG.warning("%s: %s", model_id, words)

    def limited(self, device_id: str | None, now: float) -> bool:
        """Whether a device was refused and would still be; None: any."""
        return now < (self._latest if device_id is None else self._limited.get(device_id, 0.0))

    def spent(
        self,
        device_id: str | None,
        policy: Policy,
        spent: tuple[int, int],
        day: int,
        at: float | None,
        *,
        refused: bool = False,
    ) -> None:
        """Tell of budgets (of the day, of the month) that crossed a threshold, at a moment (Unix seconds).

        `at` None: only note that it was crossed, as after a restart. `refused`: a request did not fit into the rest, so a budget that is nearly spent counts as spent.
        """
        today, month = spent
        if policy.daily is not None and today >= policy.warn_daily:
            self._crossed(device_id, policy, "daily", day, today, policy.daily, at, refused)
        if policy.monthly is not None and month >= policy.warn_monthly:
            self._crossed(device_id, policy, "monthly", day // 100, month, policy.monthly, at, refused)

    def _crossed(
        self,
        device_id: str | None,
        policy: Policy,
        name: str,
        period: int,
        spent: int,
        budget: int,
        at: float | None,
        refused: bool,  # noqa: FBT001 - one caller, which hands on what it was told
    ) -> None:
        reached = refused or spent >= budget
        if not self._is_news(device_id, name, period, budget, reached=reached) or at is None:
            return
        money, limit, when = from_pico(spent), from_pico(budget), datetime.fromtimestamp(at, UTC)
        if reached:
            self._bus.publish(BudgetReached(device_id, name, money, limit, policy.action.value, when))
        else:
            self._bus.publish(BudgetWarning(device_id, name, money, limit, percent(spent, budget), when))

    def _is_news(self, device_id: str | None, name: str, period: int, budget: int, *, reached: bool) -> bool:
        told = self._told.get((device_id, name))
        # Another budget, or another period: all is new.
        before = told[2] if told is not None and told[:2] == (period, budget) else None
        if before or before is reached:
            return False
        self._told[device_id, name] = (period, budget, reached)
        return True

    def again(self, device_id: str | None, period: Period = None) -> None:
        """A budget was reset: what was told of it may come again."""
        for name in ("daily",) if period == "day" else ("daily", "monthly"):
            self._told.pop((device_id, name), None)

    def forget(self, device_ids: Iterable[str]) -> None:
        """Drop what is remembered of devices."""
        for device_id in device_ids:
            self._quiet.pop(device_id, None)
            self._limited.pop(device_id, None)
            self.again(device_id)


def percent(spent: int, budget: int) -> float:
    """How much of a budget is spent; 100 of one that is zero."""
    return float(round(Decimal(spent) * 100 / Decimal(budget), 2)) if budget else 100.0
