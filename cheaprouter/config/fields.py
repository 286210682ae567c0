"""The table of settings, made of the rows in `settings`: run time, app options, environment and documentation follow it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from ..core.errors import SettingError
from . import settings as rows
from .values import AUTO, NO_BUDGET, ROW, UNLIMITED, Row

FOLLOW: Final = "default"
"""What a publisher sends to take a setting back, so that the configuration, or the router's own, decides again."""

SECTIONS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "": rows.Settings,
        "devices.defaults": rows.DeviceSettings,
        "budget": rows.BudgetSettings,
        "routing": rows.RoutingSettings,
        "mqtt": rows.MqttSettings,
        "storage": rows.StorageSettings,
        "cache": rows.CacheSettings,
        "http": rows.HttpSettings,
    }
)
"""Where in the file each part stands whose keys are always the same."""


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One setting. `path`: where the file has it, dotted. `allowed`: what run time takes, in words."""

    name: str
    path: str
    row: Row
    default: Any

    @property
    def allowed(self) -> str:
        return self.row.kind.allowed + self.row.kind.also

    @property
    def run_time(self) -> bool:
        return self.row.run_time

    @property
    def mqtt(self) -> bool:
        return self.row.mqtt

    @property
    def option(self) -> str:
        """Its name among the app's options; "" for none."""
        return self.row.option

    @property
    def box(self) -> tuple[float, float]:
        """Least and most of a number box; the least may stand for no limit."""
        least, most = self.row.kind.bounds or (0, 0)
        box = self.row.kind.box
        return (least if box is None else box), most

    def read(self, value: Any) -> Any:
        """Check a JSON value or a text. Raises ValueError saying what is allowed."""
        return self.row.kind.at_run_time(value)

    def dump(self, value: Any) -> Any:
        """A value as JSON keeps it; `read` takes it back."""
        return dump(value)

    def published(self, value: Any) -> Any:
        """What a publisher sent, as `read` takes it: no limit by a box's number is one by word. None: back to the file."""
        kind = self.row.kind
        if value is None or (isinstance(value, str) and value.strip().lower() == FOLLOW):
            return None
        plain = kind.plain(value)
        return UNLIMITED if kind.box is not None and plain == kind.box and not isinstance(plain, bool) else value


def of(section: type, place: str = "") -> dict[str, Field]:
    """The settings of a dataclass, by name."""
    return {
        f.name: Field(f.name, f"{place}.{f.name}" if place else f.name, f.metadata[ROW], f.default)
        for f in dataclasses.fields(section)
        if ROW in f.metadata
    }


def everything() -> Iterator[Field]:
    """All settings that have one place in the file."""
    for place, section in SECTIONS.items():
        yield from of(section, place).values()


DEVICE: Final[Mapping[str, Field]] = MappingProxyType(
    {name: field for name, field in of(rows.DeviceSettings, "devices.defaults").items() if field.run_time}
)
"""Settings of a device that can be set at run time."""

HUB: Final[Mapping[str, Field]] = MappingProxyType(of(rows.HubSettings))
"""Settings of the router itself that can."""


def hub(settings: rows.Settings) -> rows.HubSettings:
    """The router's own settings as the file has them."""
    found = {}
    for name, field in HUB.items():
        if field.row.follows:
            section, _, key = field.row.follows.partition(".")
            found[name] = getattr(getattr(settings, section), key)
    return rows.HubSettings(**found)


def read(table: Mapping[str, Field], name: str, value: Any) -> Any:
    """Check a value for a setting. Raises SettingError naming the setting and what is allowed."""
    field = table.get(name)
    if field is None:
        raise SettingError(f"There is no setting `{name[:60]}`; there are {', '.join(table)}.", param=name[:60])
    try:
        return field.read(value)
    except ValueError as error:
        raise SettingError(f"`{name}` must be {field.allowed}, not `{str(value)[:60]}`.", param=name) from error


def dump(value: Any) -> Any:
    """A value as JSON keeps it; `read` takes it back."""
    if isinstance(value, Decimal):
        return UNLIMITED if value == NO_BUDGET else str(value)
    if isinstance(value, StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def shown(hub: rows.HubSettings, policy: rows.DeviceSettings | None) -> dict[str, Any]:
    """Every run-time setting by name as JSON shows it: money as numbers, what is not set as the router does without it.

    `policy`: a device's, None to show the router's.
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
