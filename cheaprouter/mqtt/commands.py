"""Settings changed by publishing: topic to setting to setter. Whatever is refused is refused whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..config import fields
from ..config.fields import Field
from ..control import Control
from ..core.errors import CheapRouterError, SettingError
from ..home_assistant.entities import PRESS
from .messages import Incoming
from .pacing import Once

LONGEST: Final = 256
"""Bytes of a value; the longest real one is a model's name."""


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


Do = Callable[[Control, str | None, str, Any], None]
"""Does it: control, the device's id (None: the hub), the setting, the value."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is done with a value. `field`: the setting that reads it; None: a button, which says one word."""

    do: Do
    field: Field | None = None

    def value(self, payload: str) -> Any:
        """The value as control takes it; None: what the configuration says. Raises SettingError."""
        if self.field is not None:
            return self.field.published(payload)
        if payload != PRESS:
            raise SettingError(f"must be {PRESS}")
        return None


def _settings(table: Mapping[str, Field], do: Do) -> dict[str, Command]:
    return {name: Command(do, field) for name, field in table.items() if field.mqtt}


HUB_COMMANDS: Final[Mapping[str, Command]] = {
    **_settings(fields.HUB, _set_hub),
    "reset_today": Command(_reset_today),
    "clear_cooldowns": Command(_clear_cooldowns),
    "acknowledge_problems": Command(_acknowledge_problems),
}

DEVICE_COMMANDS: Final[Mapping[str, Command]] = {
    **_settings(fields.DEVICE, _set_device),
    "reset_today": Command(_reset_today),
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
