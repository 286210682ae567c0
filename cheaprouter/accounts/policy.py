"""Which settings hold for a device: set at run time, by the file, or by the defaults, in this order."""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, TypeVar

import orjson

from ..config import fields
from ..config.fields import Field
from ..config.settings import BudgetAction, DeviceSettings, HubSettings, Settings
from ..config.values import AUTO
from ..core.errors import SettingError
from ..core.money import to_pico
from .identity import clean_id
from .ledger import Limits
from .schedule import Schedule

_log = logging.getLogger(__name__)

HUB_SCOPE: Final = ""
"""The router's own settings in the table of settings; no device has an empty id."""

DEFAULT: Final = "default"
FILE: Final = "file"
RUN_TIME: Final = "run time"

_COUNTS: Final = ("rpm", "tpm", "parallel")
_BUDGETS: Final = ("daily_budget", "monthly_budget")


_T = TypeVar("_T", HubSettings, DeviceSettings)


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds, ready to be charged against.

    `policy`: absent limits are None. `limits`: in the ledger's units; budgets only where they are enforced by refusal, so
    not for `eco`. `daily` and `monthly`: budgets in pico-dollars whatever the action. `warn`: the share (0..1) to warn at.
    """

    policy: DeviceSettings
    limits: Limits
    action: BudgetAction
    daily: int | None
    monthly: int | None
    warn: float
    schedule: Schedule | None = None

    @property
    def budgeted(self) -> bool:
        """Whether there is any budget."""
        return self.daily is not None or self.monthly is not None


@dataclass(frozen=True, slots=True)
class Override:
    """A value set at run time, and what the file said then (both as JSON), by whom."""

    value: Any
    baseline: Any
    source: str


def effective(policy: DeviceSettings, warn_percent: float, action: BudgetAction | None = None) -> Effective:
    """Make settings ready: zero counts and infinite budgets become no limit."""
    changes: dict[str, Any] = {name: getattr(policy, name) or None for name in _COUNTS}
    for name in _BUDGETS:
        amount: Decimal | None = getattr(policy, name)
        changes[name] = None if amount is None or not amount.is_finite() else amount
    if policy.model == AUTO:
        changes["model"] = None
    clean = replace(policy, **changes)
    chosen = action or clean.budget_action or BudgetAction.REFUSE
    daily = None if clean.daily_budget is None else to_pico(clean.daily_budget)
    monthly = None if clean.monthly_budget is None else to_pico(clean.monthly_budget)
    enforced = chosen is not BudgetAction.ECO
    return Effective(
        policy=clean,
        limits=Limits(clean.rpm, clean.tpm, clean.parallel, daily if enforced else None, monthly if enforced else None),
        action=chosen,
        daily=daily,
        monthly=monthly,
        warn=warn_percent / 100,
        schedule=Schedule(clean.schedule) if clean.schedule else None,
    )


class Policies:
    """All layers, and what comes of them, worked out once for each change."""

    def __init__(self, settings: Settings) -> None:
        self._overrides: dict[str, dict[str, Override]] = {}
        self._cache: dict[str, Effective] = {}
        self.load(settings)

    def load(self, settings: Settings) -> None:
        """Take a new file; overrides are looked after by `outdated`."""
        self._settings = settings
        self._file = {clean_id(name): device for name, device in settings.devices.items()}
        self._changed()

    @property
    def configured(self) -> Iterable[str]:
        """Devices that the file or someone at run time has set something for."""
        return {*self._file, *(scope for scope in self._overrides if scope != HUB_SCOPE)}

    def is_configured(self, device_id: str) -> bool:
        """Whether anything is set for this device itself."""
        return device_id in self._file or device_id in self._overrides

    def of(self, device_id: str) -> Effective:
        """What holds for a device; O(1)."""
        return self._cache.get(device_id, self.default)

    def sources(self, device_id: str | None) -> dict[str, str]:
        """For each setting where its value is from: `default` (the defaults for devices, too), `file` or `run time`."""
        if device_id is None:
            overrides = self._overrides.get(HUB_SCOPE, {})
            return {name: RUN_TIME if name in overrides else FILE for name in fields.HUB}
        overrides, mine = self._overrides.get(device_id, {}), self._file.get(device_id)
        return {
            name: RUN_TIME if name in overrides else FILE if mine and getattr(mine, name) is not None else DEFAULT
            for name in fields.DEVICE
        }

    def baseline(self, scope: str, name: str) -> Any:
        """What the file says to a setting now, as JSON."""
        if scope == HUB_SCOPE:
            return fields.dump(getattr(fields.hub(self._settings), name))
        mine = self._file.get(scope)
        return None if mine is None else fields.dump(getattr(mine, name))

    def override(self, scope: str, name: str, value: Any, source: str) -> Override:
        """Set a checked value at run time; what is returned is to be kept."""
        made = Override(fields.dump(value), self.baseline(scope, name), source)
        self._overrides.setdefault(scope, {})[name] = made
        self._changed()
        return made

    def restore(self, scope: str, name: str, override: Override) -> None:
        """Take up what was kept; `ready` afterwards."""
        self._overrides.setdefault(scope, {})[name] = override

    def ready(self) -> None:
        """Work everything out anew."""
        self._changed()

    def drop(self, scope: str, names: Iterable[str] | None = None) -> list[str]:
        """Go back to the file for these settings, or all of a scope; returns those that were overridden."""
        mine = self._overrides.get(scope, {})
        gone = [name for name in (list(mine) if names is None else names) if mine.pop(name, None) is not None]
        if not mine:
            self._overrides.pop(scope, None)
        if gone:
            self._changed()
        return gone

    def outdated(self) -> list[tuple[str, str]]:
        """Overrides that the file has overtaken: what it says to them has changed since."""
        return [
            (scope, name)
            for scope, mine in self._overrides.items()
            for name, override in mine.items()
            if override.baseline != self.baseline(scope, name)
        ]

    def _changed(self) -> None:
        settings = self._settings
        self.hub = self._apply(HUB_SCOPE, fields.hub(settings), fields.HUB)
        warn = settings.budget.warn_percent
        totals = DeviceSettings(daily_budget=self.hub.daily_budget, monthly_budget=self.hub.monthly_budget)
        self.ceiling = effective(totals, warn, self.hub.budget_action)
        self.default = effective(settings.device_defaults, warn)
        self._cache = {name: effective(self._policy(name), warn) for name in self.configured}

    def _policy(self, device_id: str) -> DeviceSettings:
        policy = self._settings.device_defaults
        mine = self._file.get(device_id)
        if mine is not None:
            own = {f.name: v for f in dataclasses.fields(mine) if (v := getattr(mine, f.name)) is not None}
            policy = replace(policy, **own)
        return self._apply(device_id, policy, fields.DEVICE)

    def _apply(self, scope: str, base: _T, table: Mapping[str, Field]) -> _T:
        values: dict[str, Any] = {}
        for name, override in self._overrides.get(scope, {}).items():
            try:
                values[name] = fields.read(table, name, override.value)
            except SettingError as error:  # kept by another version, which allowed more
                _log.warning("A setting kept from before is left out: %s", error)
        return replace(base, **values)


def kept(connection: sqlite3.Connection) -> list[tuple[str, str, Override]]:
    """All overrides in the database."""
    query = "SELECT scope, name, value, baseline, source FROM setting"
    return [
        (scope, name, Override(orjson.loads(value), orjson.loads(baseline), source))
        for scope, name, value, baseline, source in connection.execute(query)
    ]


def keep(connection: sqlite3.Connection, scope: str, name: str, override: Override, now: int) -> None:
    """Write one down. `now`: Unix seconds."""
    row = (
        scope,
        name,
        orjson.dumps(override.value).decode(),
        orjson.dumps(override.baseline).decode(),
        override.source,
        now,
    )
    connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?, ?, ?, ?, ?)", row)


def discard(connection: sqlite3.Connection, scope: str, names: Iterable[str]) -> None:
    """Remove some from the database."""
    connection.executemany("DELETE FROM setting WHERE scope = ? AND name = ?", [(scope, name) for name in names])
