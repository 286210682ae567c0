"""Events about limits and budgets: once for each window and period, not for each request."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Final

from ..core.events import BudgetReached, BudgetWarning, EventBus, RateLimited
from ..core.money import from_pico
from .budget import Period
from .ledger import Ledger
from .policy import Effective

WINDOW: Final = 60.0
"""Seconds in which a limit that is hit again is not told again."""

LONG_WINDOW: Final = 3600.0
"""The same for a device that is switched off, or out of hours."""

_LONG: Final = frozenset({"disabled", "schedule"})


class Alerts:
    """Remembers what was told. Monotonic seconds for windows."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._quiet: dict[str, dict[str, float]] = {}
        self._limited: dict[str, float] = {}
        self._latest = 0.0
        self._told: dict[tuple[str | None, str], tuple[int, int, bool]] = {}

    def refused(self, device_id: str, limit: str, wait: float | None, now: float, at: datetime) -> None:
        """A limit was hit."""
        self._latest = max(self._latest, until := now + min(WINDOW, max(1.0, wait or WINDOW)))
        self._limited[device_id] = until
        quiet = self._quiet.setdefault(device_id, {})
        if now >= quiet.get(limit, 0.0):
            quiet[limit] = now + (LONG_WINDOW if limit in _LONG else WINDOW)
            self._bus.publish(RateLimited(device_id, limit, wait, at))

    def limited(self, device_id: str | None, now: float) -> bool:
        """Whether a device was refused and would still be; None: any."""
        return now < (self._latest if device_id is None else self._limited.get(device_id, 0.0))

    def spent(
        self,
        device_id: str | None,
        effective: Effective,
        ledger: Ledger,
        day: int,
        at: datetime | None,
        *,
        refused: bool = False,
    ) -> None:
        """Tell of budgets that crossed a threshold; `at` None: only note that it was crossed, as after a restart.

        `refused`: a request did not fit into the rest, so a budget that is nearly spent counts as spent.
        """
        today, month, _ = ledger.spent(device_id, day)
        if effective.daily is not None:
            self._check(device_id, "daily", day, today, effective.daily, effective, at, refused=refused)
        if effective.monthly is not None:
            self._check(device_id, "monthly", day // 100, month, effective.monthly, effective, at, refused=refused)

    def _check(
        self,
        device_id: str | None,
        name: str,
        period: int,
        spent: int,
        budget: int,
        effective: Effective,
        at: datetime | None,
        *,
        refused: bool,
    ) -> None:
        if spent < budget * effective.warn:
            return
        reached = refused or spent >= budget
        told = self._told.get((device_id, name))
        # Another budget, or another period: all is new.
        before = told[2] if told is not None and told[:2] == (period, budget) else None
        if before or before is reached:
            return
        self._told[device_id, name] = (period, budget, reached)
        if at is None:
            return
        money, limit = from_pico(spent), from_pico(budget)
        if reached:
            self._bus.publish(BudgetReached(device_id, name, money, limit, effective.action.value, at))
        else:
            self._bus.publish(BudgetWarning(device_id, name, money, limit, percent(spent, budget), at))

    def again(self, device_id: str | None, period: Period = None) -> None:
        """A budget was reset: what was told of it may come again."""
        for name in ("daily", "monthly") if period is None else ("daily",):
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
