"""Which settings hold for a device: set at run time, by the file, or by the defaults, in this order.

What is set at run time is kept in memory and in the database, beside what the file said then. Policies are frozen once made.
"""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, TypeVar

import orjson

from ..books.database import Database
from ..config import fields
from ..config.fields import Field
from ..config.settings import BudgetAction, DeviceSettings, HubSettings, Settings
from ..config.values import AUTO
from ..core.calendar import Schedule
from ..core.errors import SettingError
from ..core.ids import clean_id
from ..core.money import to_pico
from ..core.records import dataclass
from .ledger import Limits

_LOG = logging.getLogger(__name__)

HUB_SCOPE: Final = ""
"""The router's own settings in the table of settings; no device has an empty id."""

DEFAULT: Final = "default"
FILE: Final = "file"
RUN_TIME: Final = "run time"

_COUNTS: Final = ("rpm", "tpm", "parallel")
_BUDGETS: Final = ("daily_budget", "monthly_budget")
_NEVER: Final = float("inf")

_T = TypeVar("_T", HubSettings, DeviceSettings)


@dataclass(frozen=True, slots=True)
class Override:
    """A value set at run time, and what the file said then (both as JSON), by whom."""

    value: Any
    baseline: Any
    source: str


class Overrides:
    """By scope (a device's id, or `HUB_SCOPE`) and name. What changes here is written down in the background."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.scopes: dict[str, dict[str, Override]] = {}

    def restore(self, kept: Iterable[tuple[str, str, Override]]) -> None:
        """Take up what was kept."""
        for scope, name, override in kept:
            self.scopes.setdefault(scope, {})[name] = override

    def set_many(self, scope: str, changes: Mapping[str, Override | None], now: int) -> None:
        """Set checked values, and drop those that are None, all at once. `now`: Unix seconds."""
        mine = {name: o for name, o in {**self.scopes.pop(scope, {}), **changes}.items() if o is not None}
        if mine:
            self.scopes[scope] = mine
        gone = [name for name, override in changes.items() if override is None]
        rows = [
            (scope, name, orjson.dumps(o.value).decode(), orjson.dumps(o.baseline).decode(), o.source, now)
            for name, o in changes.items()
            if o is not None
        ]

        def write(connection: sqlite3.Connection) -> None:
            self.discard(connection, scope, gone)
            connection.executemany("INSERT OR REPLACE INTO setting VALUES (?, ?, ?, ?, ?, ?)", rows)

        self._database.keep(write)

    def drop(self, scope: str) -> list[str]:
        """Forget a scope, here alone: the caller sees to the database; returns the names there were."""
        return list(self.scopes.pop(scope, {}))

    def outdated(self, baseline: Callable[[str, str], Any]) -> list[tuple[str, str]]:
        """(scope, name) of those that the file has overtaken: `baseline` says what it says now."""
        return [
            (scope, name)
            for scope, mine in self.scopes.items()
            for name, override in mine.items()
            if override.baseline != baseline(scope, name)
        ]

    @staticmethod
    def load(connection: sqlite3.Connection) -> list[tuple[str, str, Override]]:
        """All overrides in the database; one that cannot be read is left out."""
        found = []
        for scope, name, *texts, source in connection.execute(
            "SELECT scope, name, value, baseline, source FROM setting"
        ):
            with suppress(orjson.JSONDecodeError, TypeError):
                value, said = map(orjson.loads, texts)
                found.append((scope, name, Override(value, said, source)))
        return found

    @staticmethod
    def discard(connection: sqlite3.Connection, scope: str, names: Iterable[str]) -> None:
        """Remove some from the database."""
        connection.executemany("DELETE FROM setting WHERE scope = ? AND name = ?", [(scope, name) for name in names])


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds, ready to be charged against.

    `device`: the settings; absent limits are None. `limits`: in the ledger's units; budgets only where they are enforced by
    refusal, so not for `eco`. `daily` and `monthly`: budgets in pico-dollars whatever the action. `warn_daily` and
    `warn_monthly`: what to warn at, infinite without a budget. `budgeted`: whether there is any budget.
    """

    device: DeviceSettings
    limits: Limits
    action: BudgetAction
    daily: int | None
    monthly: int | None
    warn_daily: float
    warn_monthly: float
    schedule: Schedule | None
    budgeted: bool

    @property
    def hard(self) -> bool:
        """Whether a spent budget stops what costs money."""
        return self.budgeted and self.action is not BudgetAction.ECO


def make_policy(device: DeviceSettings, warn_percent: float, action: BudgetAction | None = None) -> Policy:
    """Make settings ready: zero counts and infinite budgets become no limit."""
    changes: dict[str, Any] = {name: getattr(device, name) or None for name in _COUNTS}
    for name in _BUDGETS:
        amount: Decimal | None = getattr(device, name)
        changes[name] = None if amount is None or not amount.is_finite() else amount
    if device.model == AUTO:
        changes["model"] = None
    clean = replace(device, **changes)
    chosen = action or clean.budget_action or BudgetAction.REFUSE
    daily = None if clean.daily_budget is None else to_pico(clean.daily_budget)
    monthly = None if clean.monthly_budget is None else to_pico(clean.monthly_budget)
    enforced = chosen is not BudgetAction.ECO
    return Policy(
        device=clean,
        limits=Limits(clean.rpm, clean.tpm, clean.parallel, daily if enforced else None, monthly if enforced else None),
        action=chosen,
        daily=daily,
        monthly=monthly,
        warn_daily=_NEVER if daily is None else daily * (warn_percent / 100),
        warn_monthly=_NEVER if monthly is None else monthly * (warn_percent / 100),
        schedule=Schedule(clean.schedule) if clean.schedule else None,
        budgeted=daily is not None or monthly is not None,
    )


class Policies:
    """All layers put together for one configuration and the settings made at run time by then."""

    def __init__(self, settings: Settings, layers: Mapping[str, Mapping[str, Override]]) -> None:
        self._settings = settings
        self._layers = {scope: dict(values) for scope, values in layers.items() if values}
        self._file = {clean_id(name): device for name, device in settings.devices.items()}
        warn = settings.budget.warn_percent
        self.hub = _apply(fields.hub(settings), self._layers.get(HUB_SCOPE), fields.HUB)
        totals = DeviceSettings(daily_budget=self.hub.daily_budget, monthly_budget=self.hub.monthly_budget)
        self.ceiling = make_policy(totals, warn, self.hub.budget_action)
        self.default = make_policy(settings.device_defaults, warn)
        self._devices = {name: make_policy(self._device(name), warn) for name in self.configured}

    @property
    def configured(self) -> Iterable[str]:
        """Devices that the file or someone at run time has set something for."""
        return {*self._file, *(scope for scope in self._layers if scope != HUB_SCOPE)}

    def is_configured(self, device_id: str) -> bool:
        """Whether anything is set for this device itself."""
        return device_id in self._file or device_id in self._layers

    def of(self, device_id: str) -> Policy:
        """What holds for a device; O(1)."""
        return self._devices.get(device_id, self.default)

    def effective(self, device_id: str | None) -> dict[str, Any]:
        """Every setting by name as JSON shows it; None: the router's own."""
        return fields.shown(self.hub, None if device_id is None else self.of(device_id).device)

    def sources(self, device_id: str | None) -> dict[str, str]:
        """For each setting where its value is from: `default` (the defaults for devices, too), `file` or `run time`."""
        if device_id is None:
            layer = self._layers.get(HUB_SCOPE, {})
            return {name: RUN_TIME if name in layer else FILE for name in fields.HUB}
        layer, mine = self._layers.get(device_id, {}), self._file.get(device_id)
        return {
            name: RUN_TIME if name in layer else FILE if mine and getattr(mine, name) is not None else DEFAULT
            for name in fields.DEVICE
        }

    def _device(self, device_id: str) -> DeviceSettings:
        device = self._settings.device_defaults
        mine = self._file.get(device_id)
        if mine is not None:
            own = {f.name: v for f in dataclasses.fields(mine) if (v := getattr(mine, f.name)) is not None}
            device = replace(device, **own)
        return _apply(device, self._layers.get(device_id), fields.DEVICE)


def baseline(settings: Settings, scope: str, name: str) -> Any:
    """What the file says to a setting, as JSON; beside it a value is kept that is set at run time."""
    if scope == HUB_SCOPE:
        return fields.dump(getattr(fields.hub(settings), name, None))
    for device_id, mine in settings.devices.items():
        if clean_id(device_id) == scope:
            return fields.dump(getattr(mine, name, None))
    return None


def _apply(base: _T, layer: Mapping[str, Override] | None, table: Mapping[str, Field]) -> _T:
    values: dict[str, Any] = {}
    for name, override in (layer or {}).items():
        try:
            values[name] = fields.read(table, name, override.value)
        except SettingError as error:  # kept by another version, which allowed more
            _LOG.warning("A setting kept from before is left out: %s", error)
    return replace(base, **values) if values else base
