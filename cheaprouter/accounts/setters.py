"""What can be set at run time, by its name: how a value is read, kept and shown. API, MQTT and command line share this table."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ..config.settings import BudgetAction
from ..core.errors import SettingError
from ..core.ids import clean_id
from ..core.models import Profile
from .schedule import ALLOWED, Schedule

UNLIMITED_WORDS: Final = frozenset({"unlimited", "none", "off"})
AUTO: Final = "auto"
MOST_COUNT: Final = 1_000_000_000
MOST_MONEY: Final = Decimal(1_000_000)
NO_BUDGET: Final = Decimal("Infinity")
"""A budget lifted at run time, where the file sets one."""

_TRUE: Final = frozenset({"on", "true", "1", "yes"})
_FALSE: Final = frozenset({"off", "false", "0", "no"})
_MOST_PATTERNS: Final = 100
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Setting:
    """`read` takes a JSON value or a text and raises ValueError; `allowed` says in words what it takes."""

    read: Callable[[Any], Any]
    allowed: str


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _count(value: Any) -> int:
    if isinstance(value, str) and value.strip().lower() in UNLIMITED_WORDS:
        return 0
    number = _number(value)
    if number != number.to_integral_value() or not 0 <= number <= MOST_COUNT:
        raise ValueError
    return int(number)


def _money(value: Any) -> Decimal:
    if value == NO_BUDGET or (isinstance(value, str) and value.strip().lower() in UNLIMITED_WORDS):
        return NO_BUDGET
    number = _number(value)
    if not 0 <= number <= MOST_MONEY:
        raise ValueError
    return number


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError  # noqa: TRY004 - readers speak through ValueError alone
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError from None
    if not number.is_finite():
        raise ValueError
    return number


def _ten(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 10:
        raise ValueError
    return float(number)


def _choice(kind: type[enum.StrEnum], prefix: str = "") -> Callable[[Any], Any]:
    def read(value: Any) -> enum.StrEnum:
        return kind(str(value).strip().lower().removeprefix(prefix))

    return read


def _model(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST or not value.isprintable():
        raise ValueError
    return AUTO if value.strip().lower() == AUTO else value.strip()


def _texts(value: Any) -> tuple[str, ...]:
    parts = value.split(";" if ";" in value else ",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) > _MOST_PATTERNS:
        raise ValueError
    if not all(isinstance(p, str) and len(p) <= _LONGEST and p.isprintable() for p in parts):
        raise ValueError
    return tuple(p.strip() for p in parts if p.strip())


def _schedule(value: Any) -> tuple[str, ...]:
    # A comma separates days within a span: several spans in one text are separated by semicolons.
    if isinstance(value, str):
        always = value.strip().lower() in UNLIMITED_WORDS
        value = [] if always else [p for p in value.split(";") if p.strip()]
    spans = _texts(value)
    Schedule(spans)
    return spans


def _name(value: Any) -> str:
    if not isinstance(value, str) or not (cleaned := clean_id(value)):
        raise ValueError
    return cleaned


_COUNT: Final = Setting(_count, f"a whole number from 1 to {MOST_COUNT}, or 0 for no limit")
_MONEY: Final = Setting(_money, f"an amount in USD from 0 to {MOST_MONEY}, or `unlimited`")
_PROFILE: Final = Setting(_choice(Profile, "blockrun/"), "one of " + ", ".join(Profile))
_ACTION: Final = Setting(_choice(BudgetAction), "one of " + ", ".join(BudgetAction))
_FLAG: Final = Setting(_flag, "true or false (also ON and OFF)")
_PATTERNS: Final = Setting(_texts, "a list of model ids, `provider/*` or profile ids")
_SCALE: Final = Setting(_ten, "a number from 0 (cost) to 10 (quality)")

DEVICE: Final[Mapping[str, Setting]] = {
    "name": Setting(_name, "a text of 1 to 64 printable characters"),
    "enabled": _FLAG,
    "profile": _PROFILE,
    "model": Setting(_model, "a model's id, or `auto`"),
    "models": _PATTERNS,
    "exclude": _PATTERNS,
    "rpm": _COUNT,
    "tpm": _COUNT,
    "parallel": _COUNT,
    "daily_budget": _MONEY,
    "monthly_budget": _MONEY,
    "budget_action": _ACTION,
    "schedule": Setting(_schedule, ALLOWED),
    "cost_quality": _SCALE,
    "cache": _FLAG,
}
"""Settings of a device."""

HUB: Final[Mapping[str, Setting]] = {
    "profile": _PROFILE,
    "cost_quality": _SCALE,
    "daily_budget": _MONEY,
    "monthly_budget": _MONEY,
    "budget_action": _ACTION,
    "cloud_paused": _FLAG,
}
"""Settings of the router itself."""


def read(table: Mapping[str, Setting], name: str, value: Any) -> Any:
    """Check a value for a setting. Raises SettingError naming the setting and what is allowed."""
    setting = table.get(name)
    if setting is None:
        raise SettingError(f"There is no setting `{name[:60]}`; there are {', '.join(table)}.", param=name[:60])
    try:
        return setting.read(value)
    except (ValueError, OverflowError) as error:
        detail = f" ({error})" if str(error) and setting.allowed is ALLOWED else ""
        raise SettingError(
            f"`{name}` must be {setting.allowed}, not `{str(value)[:60]}`{detail}.", param=name
        ) from error


def dump(value: Any) -> Any:
    """A value as JSON keeps it; `read` takes it back."""
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else "unlimited"
    if isinstance(value, enum.StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def device_scope(device_id: str) -> str:
    """A device's id as settings are kept by. Raises SettingError for one with nothing printable."""
    scope = clean_id(device_id)
    if not scope:
        raise SettingError("A device's id needs at least one printable character.", param="device")
    return scope


def shown(hub: Any, policy: Any | None) -> dict[str, Any]:
    """Every setting by name as JSON shows it: money as numbers, what is not set as the router does without it.

    `hub`: the router's own settings; `policy`: a device's, None to show the router's.
    """
    if policy is None:
        return {name: _plain(getattr(hub, name)) for name in HUB}
    found = {name: _plain(getattr(policy, name)) for name in DEVICE}
    found["enabled"] = policy.enabled is not False
    found["profile"] = _plain(policy.profile or hub.profile)
    found["model"] = policy.model or AUTO
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    return dump(value)
