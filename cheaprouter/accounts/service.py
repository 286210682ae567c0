"""Devices: one object for who calls, what holds for them and what they use. All of it at once, without waiting for a disk."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ..books import totals as books
from ..books.database import Database
from ..config.settings import Auth, BudgetAction, DeviceSettings, ProviderSettings, Settings
from ..core.calendar import Calendar, find_zone
from ..core.clock import Clock
from ..core.events import EventBus, SettingsChanged
from ..core.models import Caller, Json, Usage
from . import callers, identity, keys, policy, registry, setters
from .alerts import Alerts
from .budget import Period
from .callers import Callers, costs_money
from .charges import Admission, Charges
from .ledger import Ledger, MemoryLedger
from .policy import HUB_SCOPE, HubSettings, Override, Policies
from .registry import Registry
from .roster import Roster

__all__ = ["Admission", "Devices"]

_log = logging.getLogger(__name__)

HOUSEKEEPING: Final = 1.0
"""Seconds between two looks at what another process changed, and between two writings of new devices."""


class Devices:
    """Callers, their settings and their limits; in the event loop's thread."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        calendar: Calendar,
        bus: EventBus,
        clock: Clock,
        *,
        admin_key_file: Path | None = None,
        ledger: Ledger | None = None,
        costs: Callable[[ProviderSettings], bool] = costs_money,
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._bus = bus
        self._clock = clock
        self._ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self._policies = Policies(settings)
        self._alerts = Alerts(bus)
        self._registry = Registry(settings.max_devices, self._kept)
        self._callers = Callers(settings, self._registry, admin_key_file, costs)
        self._charges = Charges(self._ledger, self._policies, self._alerts, calendar, clock)
        self._roster = Roster(self._registry, bus, self._forgotten)
        self._failing = False

    # --- start, stop, change -----------------------------------------------------------------------------------

    def restore(self) -> None:
        """Take up keys, settings, devices and spend from the database; after the journal was replayed, before serving."""
        at = self._clock.utcnow().timestamp()
        day = self._calendar.day(at)
        since = min(day // 100 * 100, self._calendar.day(at - 86_400))
        try:
            self._restore(day, *self._database.read_sync(lambda c: _load(c, since)))
        except sqlite3.Error as error:
            _log.error("Devices cannot be read from the database, they begin anew: %s", error)
        self._roster.enrol((*self._policies.configured, *self._callers.keyed))
        self._roster.trim()

    async def run(self) -> None:
        """Look after keys and devices for ever: what another process changed is known within a second."""
        while True:
            await asyncio.sleep(HOUSEKEEPING)
            await self.tend()

    async def tend(self) -> None:
        """One round of `run`. A database that fails is told once, and asked again the next time."""
        try:
            if await self._callers.refresh(self._database):
                self._roster.enrol(self._callers.keyed)
            await self._roster.write(self._database)
        except sqlite3.Error as error:
            if not self._failing:
                _log.error("Devices could not be brought in step with the database: %s", error)
            self._failing = True
        else:
            self._failing = False

    async def close(self) -> None:
        """Write down what is not yet, and when each device called last."""
        self._roster.save_all()
        try:
            await self._roster.write(self._database)
        except sqlite3.Error as error:
            _log.error("Devices could not be written down: %s", error)

    def reconfigure(self, settings: Settings) -> None:
        """Take new settings; what was set at run time goes where the file says something new about it."""
        self._calendar.move(find_zone(settings.time_zone))
        self._registry.most = settings.max_devices
        self._policies.load(settings)
        self._callers.load(settings)
        self._drop_outdated()
        self._roster.enrol(self._policies.configured)
        self._roster.trim()

    # --- who ---------------------------------------------------------------------------------------------------

    @property
    def auth(self) -> Auth:
        """Whether keys are needed: as chosen, else as soon as a provider can cost money."""
        return self._callers.auth

    @property
    def admin_key(self) -> str:
        """The admin key in force, for the one place that may tell it; "" where there is none."""
        return self._callers.admin_key

    def identify(self, headers: Mapping[str, str], peer: str) -> Caller:
        """The caller of a request. `headers` ignores case or has lower-case names. Raises AuthenticationError."""
        return self._callers.identify(headers, peer)

    @staticmethod
    def normalise(device_id: str) -> str:
        """An id as devices are known by."""
        return identity.clean_id(device_id)

    @staticmethod
    def address_id(peer: str) -> str:
        """The id of a caller of whom only the address is known."""
        return identity.address_id(peer)

    async def list_keys(self) -> list[Json]:
        """The keys there are, without the keys: id, device, hint, created_at (Unix seconds)."""
        return await callers.shown(self._database)

    async def add_key(self, device_id: str) -> str:
        """A new key for a device, seen only now; it holds at once. Raises sqlite3.Error where it cannot be kept."""
        scope, now = setters.device_scope(device_id), self._clock.utcnow().timestamp()
        key = await self._database.run(lambda c: keys.add(c, scope, now))
        await self._callers.reload(self._database)
        self._roster.enrol((scope,))
        return key

    async def revoke_key(self, which: str) -> int:
        """Withdraw a key by its id or by itself, or all of a device; returns how many. At once."""
        gone = await self._database.run(lambda c: keys.revoke(c, which))
        await self._callers.reload(self._database)
        return gone

    # --- limits and budgets ------------------------------------------------------------------------------------

    def admit(self, caller: Caller) -> Admission:
        """Let a request in: enabled, within its hours, its budget not spent, a slot and a request left. Raises LimitError."""
        at = self._clock.utcnow()
        self._roster.seen(caller.device_id, int(at.timestamp()))
        return self._charges.admit(caller.device_id, at)

    def reserve(self, admission: Admission, tokens: int, cost: Decimal | None) -> None:
        """Take tokens and expected cost (USD; None: unknown price), both or neither. Raises LimitError, BudgetError.

        A BudgetError whose `action` is `free` may be answered by choosing a model that costs nothing, and reserving again.
        """
        self._charges.reserve(admission, tokens, cost)

    def top_up(self, admission: Admission, cost: Decimal | None) -> None:
        """Raise the reserved cost to that of a dearer stand-in. Raises BudgetError."""
        self._charges.top_up(admission, cost)

    def settle(self, admission: Admission, usage: Usage, cost: Decimal | None) -> None:
        """Replace what was reserved by what was used; nothing happens the second time."""
        self._charges.settle(admission, usage, cost)

    def release(self, admission: Admission) -> None:
        """End a request that used nothing."""
        self._charges.settle(admission, Usage(), None)

    def budget_action(self, device_id: str) -> BudgetAction | None:
        """What a spent budget asks for now, the strictest of all; None while there is money left."""
        return self._charges.budget_action(device_id)

    def rate_headers(self, device_id: str) -> dict[str, str]:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as far as there are limits."""
        return self._charges.rate_headers(device_id)

    def limits_state(self, device_id: str | None) -> Json:
        """What is left: requests, tokens (None: no limit), the part of the tightest budget spent, refused just now."""
        return self._charges.state(device_id)

    def reset_budget(self, device_id: str | None, period: Period = None) -> None:
        """Begin the budgets of this day (and month) anew, a device's or (None) the one above all; the books stay as they are."""
        day = self._calendar.day(self._clock.utcnow().timestamp())
        row = (device_id or HUB_SCOPE, day, *self._ledger.forgive(device_id, day, period))
        self._alerts.again(device_id, period)
        self._database.keep(lambda c: c.execute("INSERT OR REPLACE INTO forgiven VALUES (?, ?, ?, ?)", row))
        self._bus.publish(SettingsChanged(device_id, ("budget",)))

    # --- settings ----------------------------------------------------------------------------------------------

    @property
    def hub(self) -> HubSettings:
        """The router's own settings as they hold now."""
        return self._policies.hub

    def policy(self, device_id: str) -> DeviceSettings:
        """What holds for a device; None: no limit, or the router's own setting."""
        return self._policies.of(device_id).policy

    def sources(self, device_id: str | None) -> Mapping[str, str]:
        """Where each of its values is from: `default`, `file` or `run time`; None: the router's own."""
        return self._policies.sources(device_id)

    def effective(self, device_id: str | None) -> Json:
        """Every setting by name as JSON shows it; None: the router's own."""
        return setters.shown(self._policies.hub, None if device_id is None else self.policy(device_id))

    def set(self, device_id: str | None, name: str, value: Any, source: str = "api") -> Any:
        """Set at run time, from the next request on and over restarts; None: back to the file. Raises SettingError."""
        scope = HUB_SCOPE if device_id is None else setters.device_scope(device_id)
        table = setters.HUB if device_id is None else setters.DEVICE
        if value is None and name in table:
            self.unset(device_id, name)
            return None
        checked = setters.read(table, name, value)
        override = self._policies.override(scope, name, checked, source)
        now = int(self._clock.utcnow().timestamp())
        self._database.keep(lambda c: policy.keep(c, scope, name, override, now))
        if device_id is not None:
            self._roster.enrol((scope,))
        self._bus.publish(SettingsChanged(scope or None, (name,)))
        return checked

    def check(self, device_id: str | None, name: str, value: Any) -> None:
        """Whether `set` would take it; changes nothing. Raises SettingError."""
        table = setters.HUB if device_id is None else setters.DEVICE
        if value is not None or name not in table:
            setters.read(table, name, value)

    def unset(self, device_id: str | None, name: str) -> None:
        """Let the file, or the defaults, decide again."""
        scope = HUB_SCOPE if device_id is None else setters.device_scope(device_id)
        if self._policies.drop(scope, (name,)):
            self._database.keep(lambda c: policy.discard(c, scope, (name,)))
            self._bus.publish(SettingsChanged(scope or None, (name,)))

    def rename(self, device_id: str, name: str) -> None:
        """Name it for people. Raises SettingError."""
        self.set(device_id, "name", name)

    def remove(self, device_id: str) -> None:
        """Forget a device: its settings, keys and counters. Its spend stays in the sums; one in the file stays configured."""
        names = self._policies.drop(device_id)
        self._callers.take(self._callers.without(device_id))

        def erase(connection: sqlite3.Connection) -> None:
            policy.discard(connection, device_id, names)
            callers.erase(connection, device_id)
            connection.execute("DELETE FROM forgiven WHERE scope = ?", (device_id,))

        self._database.keep(erase)
        self._roster.remove(device_id)
        if self._policies.is_configured(device_id):
            self._roster.enrol((device_id,))

    # --- which -------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """All devices that are known, by name."""
        return self._registry.ids()

    def knows(self, device_id: str) -> bool:
        """Whether a device is known; at once, however many there are."""
        return device_id in self._registry

    def slug(self, device_id: str) -> str:
        """Its name in topics: `[a-z0-9_]`, nobody else's."""
        return self._registry.slug(device_id)

    def for_slug(self, slug: str) -> str | None:
        """Whose slug that is."""
        return self._registry.for_slug(slug)

    # --- inside ------------------------------------------------------------------------------------------------

    def _restore(
        self,
        day: int,
        found: Mapping[str, str],
        overrides: list[tuple[str, str, Override]],
        known: list[tuple[str, str, int, int]],
        spend: list[tuple[str, int, int]],
        booked: Iterable[str],
        forgiven: list[tuple[str, int, int, int]],
    ) -> None:
        for device_id, slug, first_seen, last_seen in known:
            self._registry.add(device_id, first_seen, last_seen, slug)
        for scope, name, override in overrides:
            self._policies.restore(scope, name, override)
        self._policies.ready()
        self._drop_outdated()
        self._callers.take(found)
        # Who called in the last second before a crash is in the books, and not yet among the devices.
        self._roster.enrol(device_id for device_id, _, _ in spend if device_id != books.FORGOTTEN)
        for device_id, of_day, cost in spend:
            self._ledger.book(device_id if device_id in self._registry else None, of_day, cost)
        for scope, of_day, day_amount, month_amount in forgiven:
            self._ledger.restore_forgiven(scope or None, of_day, day_amount, month_amount)
        self._roster.orphans(booked)
        self._alerts.spent(None, self._policies.ceiling, self._ledger, day, None)
        for device_id in self._registry.ids():
            self._alerts.spent(device_id, self._policies.of(device_id), self._ledger, day, None)

    def _kept(self, device_id: str) -> bool:
        return (
            self._policies.is_configured(device_id) or device_id in self._callers.keyed or self._ledger.busy(device_id)
        )

    def _forgotten(self, device_ids: list[str]) -> None:
        self._ledger.forget(device_ids)
        self._alerts.forget(device_ids)

    def _drop_outdated(self) -> None:
        for scope, name in self._policies.outdated():
            _log.info(
                "The file says something new about `%s`%s: it holds again.", name, f" of {scope}" if scope else ""
            )
            self.unset(scope or None, name)


def _load(connection: sqlite3.Connection, since: int) -> tuple[Any, ...]:
    forgiven = connection.execute("SELECT scope, day, day_amount, month_amount FROM forgiven").fetchall()
    return (
        keys.load(connection),
        policy.kept(connection),
        registry.load(connection),
        books.spend(connection, since),
        books.devices(connection),
        forgiven,
    )
