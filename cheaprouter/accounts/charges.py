"""Lets requests in, reserves and settles them, and says what is left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from ..config.settings import BudgetAction
from ..core.calendar import Calendar
from ..core.clock import Clock
from ..core.errors import LimitError
from ..core.models import Json, Usage
from ..core.money import charge
from .alerts import Alerts, percent
from .ledger import Ledger, Refusal, Reservation
from .limits import budget_error, limit_error, rate_headers, unpriced_error
from .policy import Effective, Policies

_STRICTNESS: Final = {BudgetAction.ECO: 0, BudgetAction.FREE: 1, BudgetAction.REFUSE: 2}


@dataclass(slots=True)
class Admission:
    """A request that was let in. Hand it to `reserve`, `top_up` and, whatever happens, to `settle`."""

    device_id: str
    effective: Effective
    reservation: Reservation


class Charges:
    """Puts policy, clock, calendar and ledger together; each call takes one reading of each clock."""

    def __init__(self, ledger: Ledger, policies: Policies, alerts: Alerts, calendar: Calendar, clock: Clock) -> None:
        self._ledger = ledger
        self._policies = policies
        self._alerts = alerts
        self._calendar = calendar
        self._clock = clock

    def admit(self, device_id: str, at: datetime) -> Admission:
        """Enabled, within its hours, its budget not spent, a slot and a request left. Raises LimitError."""
        effective = self._policies.of(device_id)
        moment, now = at.timestamp(), self._clock.monotonic()
        if effective.policy.enabled is False:
            raise self._refused(device_id, effective, Refusal("disabled"), now, at)
        if effective.schedule is not None and not effective.schedule.open(self._calendar.local(moment)):
            wait = effective.schedule.opens_in(moment, self._calendar.zone)
            raise self._refused(device_id, effective, Refusal("schedule", wait), now, at)
        if refusal := self._spent(device_id, effective, self._calendar.day(moment)):
            raise self._refused(device_id, effective, refusal, now, at)
        reservation = self._ledger.admit(device_id, effective.limits, now)
        if isinstance(reservation, Refusal):
            raise self._refused(device_id, effective, reservation, now, at)
        return Admission(device_id, effective, reservation)

    def reserve(self, admission: Admission, tokens: int, cost: Decimal | None) -> None:
        """Take tokens and expected cost, both or neither. Raises LimitError, BudgetError."""
        at, now = self._clock.utcnow(), self._clock.monotonic()
        day, effective = self._calendar.day(at.timestamp()), admission.effective
        pico = self._priced(admission, cost, now, at)
        ceiling = self._policies.ceiling.limits
        refusal = self._ledger.reserve(admission.reservation, tokens, pico, effective.limits, ceiling, now, day)
        if refusal is not None:
            raise self._refused(admission.device_id, effective, refusal, now, at, tokens)

    def top_up(self, admission: Admission, cost: Decimal | None) -> None:
        """Raise the reserved cost to that of a dearer stand-in. Raises BudgetError."""
        at, now = self._clock.utcnow(), self._clock.monotonic()
        day, effective = self._calendar.day(at.timestamp()), admission.effective
        pico = self._priced(admission, cost, now, at)
        refusal = self._ledger.top_up(admission.reservation, pico, effective.limits, self._policies.ceiling.limits, day)
        if refusal is not None:
            raise self._refused(admission.device_id, effective, refusal, now, at)

    def settle(self, admission: Admission, usage: Usage, cost: Decimal | None) -> None:
        """Replace what was reserved by what was used; nothing happens the second time."""
        at = self._clock.utcnow()
        day = self._calendar.day(at.timestamp())
        pico = charge(cost) if cost else 0
        tokens = usage.prompt_tokens + usage.completion_tokens
        if not self._ledger.settle(admission.reservation, tokens, pico, self._clock.monotonic(), day) or not pico:
            return
        effective, ceiling = self._policies.of(admission.device_id), self._policies.ceiling
        if effective.budgeted:
            self._alerts.spent(admission.device_id, effective, self._ledger, day, at)
        if ceiling.budgeted:
            self._alerts.spent(None, ceiling, self._ledger, day, at)

    def budget_action(self, device_id: str) -> BudgetAction | None:
        """What spent budgets ask for now, the strictest; None while there is money left."""
        effective, ceiling = self._policies.of(device_id), self._policies.ceiling
        if not effective.budgeted and not ceiling.budgeted:
            return None
        day = self._calendar.day(self._clock.utcnow().timestamp())
        found = [of.action for name, of in ((device_id, effective), (None, ceiling)) if self._over(name, of, day)]
        return max(found, key=_STRICTNESS.__getitem__, default=None)

    def rate_headers(self, device_id: str) -> dict[str, str]:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as far as there are limits."""
        limits = self._policies.of(device_id).limits
        if limits.rpm is None and limits.tpm is None:
            return {}
        return rate_headers(limits, self._ledger.snapshot(device_id, limits, self._clock.monotonic(), 0))

    def state(self, device_id: str | None) -> Json:
        """What is left: requests, tokens (None: no limit), the part of the tightest budget spent, refused just now."""
        now, day = self._clock.monotonic(), self._calendar.day(self._clock.utcnow().timestamp())
        effective = self._policies.ceiling if device_id is None else self._policies.of(device_id)
        snapshot = self._ledger.snapshot(device_id, effective.limits, now, day)
        budgets = ((snapshot.today, effective.daily), (snapshot.month, effective.monthly))
        return {
            "requests_remaining": snapshot.requests_remaining,
            "tokens_remaining": snapshot.tokens_remaining,
            "budget_percent": max(
                (percent(spent, budget) for spent, budget in budgets if budget is not None), default=None
            ),
            "rate_limited": self._alerts.limited(device_id, now),
        }

    def _over(self, device_id: str | None, of: Effective, day: int) -> bool:
        if not of.budgeted:
            return False
        today, month, reserved = self._ledger.spent(device_id, day)
        # What is reserved may yet be given back: no reason to refuse for the day, but to be careful meanwhile.
        held = 0 if of.action is BudgetAction.REFUSE else reserved
        return _reached(today + held, of.daily) or _reached(month + held, of.monthly)

    def _spent(self, device_id: str, effective: Effective, day: int) -> Refusal | None:
        for name, prefix, of in ((device_id, "", effective), (None, "global_", self._policies.ceiling)):
            if of.budgeted and of.action is BudgetAction.REFUSE:
                today, month, _ = self._ledger.spent(name, day)
                if _reached(today, of.daily):
                    return Refusal(f"{prefix}daily_budget")
                if _reached(month, of.monthly):
                    return Refusal(f"{prefix}monthly_budget")
        return None

    def _priced(self, admission: Admission, cost: Decimal | None, now: float, at: datetime) -> int:
        if cost is not None:
            return charge(cost)
        if admission.effective.budgeted or self._policies.ceiling.budgeted:
            admission.reservation.refused = True
            self._alerts.refused(admission.device_id, "unpriced", None, now, at)
            raise unpriced_error()
        return 0

    def _refused(
        self, device_id: str, effective: Effective, refusal: Refusal, now: float, at: datetime, asked: int = 0
    ) -> LimitError:
        """The error for a refusal, its event published."""
        if not refusal.limit.endswith("_budget"):
            self._alerts.refused(device_id, refusal.limit, refusal.wait, now, at)
            return limit_error(refusal, effective.limits, asked)
        moment, whole = at.timestamp(), refusal.limit.startswith("global_")
        of = self._policies.ceiling if whole else effective
        self._alerts.spent(None if whole else device_id, of, self._ledger, self._calendar.day(moment), at, refused=True)
        ends = self._calendar.day_end(moment) if "daily" in refusal.limit else self._calendar.month_end(moment)
        return budget_error(refusal, of, ends - moment)


def _reached(spent: int, budget: int | None) -> bool:
    return budget is not None and spent >= budget
