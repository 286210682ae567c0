"""States as MQTT tells them, and amounts as it takes them: all in the currency that the user chose, at the rate that is stated.

The books, and the JSON API's budgets, are in USD.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from ..accounts.policy import DEFAULT
from ..config.fields import FOLLOW
from ..config.values import MOST_BUDGET, numeral
from ..control import Control
from ..core.calendar import Calendar
from ..core.models import Json

BUDGETS: Final = ("daily_budget", "monthly_budget")

_DIGITS: Final = 6
"""Of an amount as it is shown: what somebody typed in another currency comes back as it was typed."""
_EXACT: Final = Decimal("1e-12")
_BEYOND: Final = Decimal("1e15")
"""Too much in any currency."""


def state(control: Control, device_id: str | None) -> Json:
    """A device's, or (None) the hub's.

    `day_began`, `month_began`: since when the counts of the day and month count, by the router's own calendar, which need not be
    Home Assistant's. `profile` is `default` where nothing is set for the device itself.
    """
    found = control.hub_state() if device_id is None else control.device_state(device_id)
    if (rate := control.world.settings.usd_rate) != 1:
        found |= {name: _times(found.get(name), rate) for name in BUDGETS}
    if device_id is not None and control.world.policies.sources(device_id)["profile"] == DEFAULT:
        found["profile"] = FOLLOW
    accounts = control.accounts
    return found | periods(accounts.calendar, accounts.clock.utcnow().timestamp())


def periods(calendar: Calendar, now: float) -> Json:
    """When the local day and month of a moment (Unix seconds) began, in ISO 8601 with the zone's offset."""
    day = calendar.day(now)
    began = {"day_began": calendar.bounds(day)[0], "month_began": calendar.bounds(day // 100 * 100 + 1)[0]}
    return {name: calendar.local(moment).isoformat(timespec="seconds") for name, moment in began.items()}


def taken(control: Control, name: str, value: Any) -> Any:
    """A value that a publisher sent for a setting, amounts in USD; what is no amount is left for the table to judge."""
    rate = control.world.settings.usd_rate
    if name not in BUDGETS or rate == 1:
        return value
    amount = numeral(repr(value) if type(value) in (int, float) else value)
    if not isinstance(amount, Decimal) or not 0 < amount < _BEYOND:
        return value
    in_usd = amount / rate
    if MOST_BUDGET >= in_usd >= _EXACT:
        in_usd = in_usd.quantize(_EXACT).normalize()
    return str(in_usd)


def _times(amount: Any, rate: Decimal) -> Any:
    return amount if amount is None else round(float(Decimal(str(amount)) * rate), _DIGITS)
