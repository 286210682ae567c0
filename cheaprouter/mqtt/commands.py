"""Settings changed by publishing: one table, topic to parser to setter. Pure parsers; whatever is refused is refused whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ..control import Control
from ..core.errors import CheapRouterError, SettingError
from ..home_assistant.entities import FOLLOW, NO_BUDGET, PRESS
from .messages import Incoming
from .pacing import Once

LONGEST: Final = 256
"""Bytes of a value; the longest real one is a model's name."""

UNLIMITED: Final = "unlimited"
"""What control takes for a budget that is lifted."""

_UNLIMITED: Final = frozenset({UNLIMITED, "none", "off"})
_ON: Final = frozenset({"on", "true", "1", "yes"})
_OFF: Final = frozenset({"off", "false", "0", "no"})
_MOST_MONEY: Final = Decimal(1_000_000)
_MOST_COUNT: Final = 1_000_000_000


def text(value: str) -> str:
    """A name, as it is."""
    if not value or not value.isprintable():
        raise SettingError("must be a name")
    return value


def model(value: str) -> str:
    """A model; `auto`: the profile decides."""
    return text(value)


def limit(value: str) -> int:
    """A whole number; 0 or `unlimited`: no limit."""
    number = Decimal(0) if value.lower() in _UNLIMITED else _number(value)
    if number != number.to_integral_value() or not 0 <= number <= _MOST_COUNT:
        raise SettingError(f"must be a whole number from 0 (no limit) to {_MOST_COUNT}")
    return int(number)


def money(value: str) -> Decimal | str:
    """An amount in USD; 0 is a budget of nothing. -1 (all that a number box can send) or `unlimited`: no budget."""
    if value.lower() in _UNLIMITED:
        return UNLIMITED
    number = _number(value)
    if number == NO_BUDGET:
        return UNLIMITED
    if not 0 <= number <= _MOST_MONEY:
        raise SettingError(f"must be an amount from 0 to {_MOST_MONEY}, or {NO_BUDGET} for no budget")
    return number


def scale(value: str) -> float:
    """A number from 0 to 10."""
    number = _number(value)
    if not 0 <= number <= 10:
        raise SettingError("must be a number from 0 (cost) to 10 (quality)")
    return float(number)


def switch(value: str) -> bool:
    """ON or OFF."""
    if value.lower() in _ON:
        return True
    if value.lower() in _OFF:
        return False
    raise SettingError("must be ON or OFF")


def press(value: str) -> None:
    """A button says one word."""
    if value != PRESS:
        raise SettingError(f"must be {PRESS}")


def _number(value: str) -> Decimal:
    try:
        number = Decimal(value) if value.isascii() and len(value) <= 32 and "_" not in value else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise SettingError("must be a number")
    return number


@dataclass(frozen=True, slots=True)
class Command:
    """How a value is read, and what is done with it: control, the device's id (None: the hub), the setting, the value."""

    parse: Callable[[str], Any]
    do: Callable[[Control, str | None, str, Any], Any]

    def value(self, payload: str) -> Any:
        """The value; None for the word `default`: what the configuration says. Raises SettingError."""
        return None if payload.lower() == FOLLOW and self.parse is not press else self.parse(payload)


def _set_hub(control: Control, _: str | None, name: str, value: Any) -> None:
    control.set_hub(name, value, "mqtt")


def _set_device(control: Control, device_id: str | None, name: str, value: Any) -> None:
    assert device_id is not None
    control.set_device(device_id, name, value, "mqtt")


def _reset_today(control: Control, device_id: str | None, _: str, __: Any) -> None:
    control.reset_budget(device_id, "day")


def _clear_cooldowns(control: Control, _: str | None, __: str, ___: Any) -> None:
    control.clear_cooldowns()


def _acknowledge_problems(control: Control, _: str | None, __: str, ___: Any) -> None:
    control.acknowledge_problems()


HUB_COMMANDS: Final[Mapping[str, Command]] = {
    "profile": Command(text, _set_hub),
    "cost_quality": Command(scale, _set_hub),
    "daily_budget": Command(money, _set_hub),
    "monthly_budget": Command(money, _set_hub),
    "cloud_paused": Command(switch, _set_hub),
    "reset_today": Command(press, _reset_today),
    "clear_cooldowns": Command(press, _clear_cooldowns),
    "acknowledge_problems": Command(press, _acknowledge_problems),
}

DEVICE_COMMANDS: Final[Mapping[str, Command]] = {
    "profile": Command(text, _set_device),
    "model": Command(model, _set_device),
    "rpm": Command(limit, _set_device),
    "tpm": Command(limit, _set_device),
    "parallel": Command(limit, _set_device),
    "daily_budget": Command(money, _set_device),
    "monthly_budget": Command(money, _set_device),
    "enabled": Command(switch, _set_device),
    "reset_today": Command(press, _reset_today),
}


class Commands:
    """Takes a message on a `…/set` topic: does it, or refuses it and logs that once; shows the true state in any case."""

    def __init__(self, control: Control, show: Callable[[str | None], None], once: Once) -> None:
        self._control = control
        self._show = show
        self._once = once

    def take(self, slug: str | None, setting: str, message: Incoming) -> None:
        """`slug` None: the hub's setting."""
        device_id = None if slug is None else self._control.device_for_slug(slug)
        if slug is not None and device_id is None:
            self._refuse(message.topic, "no such device")
            return
        try:
            self._obey(device_id, setting, message)
        except CheapRouterError as error:
            self._refuse(message.topic, error.message)
        self._show(device_id)

    def _obey(self, device_id: str | None, setting: str, message: Incoming) -> None:
        if message.retain:
            raise SettingError("a retained command is stale; publish it without the retain flag")
        command = (HUB_COMMANDS if device_id is None else DEVICE_COMMANDS).get(setting)
        if command is None:
            raise SettingError("no such setting")
        command.do(self._control, device_id, setting, command.value(_decode(message.payload)))

    def _refuse(self, topic: str, reason: str) -> None:
        self._once.warning(f"refused {topic} {reason}", "Refused what was published on %s: %s", topic, reason)


def _decode(payload: bytes) -> str:
    if len(payload) > LONGEST:
        raise SettingError(f"longer than {LONGEST} bytes")
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        raise SettingError("not UTF-8 text") from None
