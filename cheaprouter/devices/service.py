"""Devices: one object for who calls, what holds for them and what they use. All of it at once and without waiting."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ..clock import Clock
from ..config.settings import Auth, BudgetAction, DeviceSettings, ProviderSettings, Settings
from ..errors import BudgetError, LimitError
from ..events import DeviceAdded, DeviceRemoved, EventBus, SettingsChanged
from ..models import Caller, Json, Usage
from ..storage import books
from ..storage.calendar import Calendar
from ..storage.database import Database, checkpoint
from ..storage.money import to_pico
from . import identity, keys, policy, registry, setters
from .alerts import Alerts, percent
from .identity import Keyring
from .ledger import Ledger, MemoryLedger, Refusal, Reservation
from .limits import budget_error, limit_error, rate_headers, unpriced_error
from .policy import HUB_SCOPE, Effective, HubSettings, Policies
from .registry import Registry

_log = logging.getLogger(__name__)

HOUSEKEEPING: Final = 1.0
"""Seconds between two looks at what another process changed, and between two writings of new devices."""

_STRICTNESS: Final = {BudgetAction.ECO: 0, BudgetAction.FREE: 1, BudgetAction.REFUSE: 2}


@dataclass(slots=True)
class Admission:
    """A request that was let in. Hand it to `reserve`, `top_up` and, whatever happens, to `settle`."""

    device_id: str
    effective: Effective
    reservation: Reservation


def costs_money(provider: ProviderSettings) -> bool:
    """Whether requests to a provider may cost something: not the mock, a local one, or one whose prices are all zero."""
    if not provider.enabled or provider.kind == "mock" or provider.local:
        return False
    prices = [model.price for model in provider.models]
    return not prices or not all(
        p is not None and not (p.rates.input or p.rates.output or p.tiers or p.per_request) for p in prices
    )


class Devices:
    """Callers, their settings and their limits. One thread, the event loop's; nothing here waits for a disk."""

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
        self._settings = settings
        self._database = database
        self._calendar = calendar
        self._bus = bus
        self._clock = clock
        self._admin_key_file = admin_key_file
        self._costs = costs
        self._ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self._policies = Policies(settings)
        self._alerts = Alerts(bus)
        self._registry = Registry(settings.max_devices, self._kept)
        self._keyring = Keyring()
        self._keyed: frozenset[str] = frozenset()
        self._keys_required = self.auth is Auth.KEYS
        self._admin_key_seen: tuple[int, int] | None = None
        self._unsaved: set[str] = set()
        self._gone: list[str] = []
        self._to_fold: list[str] = []

    # --- start, stop, change -----------------------------------------------------------------------------------

    def restore(self) -> None:
        """Take up keys, settings, devices and spend from the database; after the journal was replayed, before serving."""
        at = self._clock.utcnow().timestamp()
        day = self._calendar.day(at)
        since = min(day // 100 * 100, self._calendar.day(at - 86_400))
        kept = self._database.read_sync(lambda c: (
            keys.load(c), policy.kept(c), registry.load(c), books.spend(c, since), _forgiven(c)
        ))  # fmt: skip
        found, overrides, known, spend, forgiven = kept
        for device_id, slug, first_seen, last_seen in known:
            self._registry.add(device_id, first_seen, last_seen, slug)
        for scope, name, override in overrides:
            self._policies.restore(scope, name, override)
        self._policies.ready()
        self._drop_outdated()
        self._take_keys(found)
        self._enrol(device_id for device_id, _, _ in spend if device_id != books.FORGOTTEN)
        self._enrol((*self._policies.configured, *self._keyed))
        for device_id, of_day, cost in spend:
            self._ledger.book(device_id if device_id in self._registry else None, of_day, cost)
        for scope, of_day, day_amount, month_amount in forgiven:
            self._ledger.restore_forgiven(scope or None, of_day, day_amount, month_amount)
        self._forget(self._registry.surplus())
        self._alerts.spent(None, self._policies.ceiling, self._ledger, day, None)
        for device_id in self._registry.ids():
            self._alerts.spent(device_id, self._policies.of(device_id), self._ledger, day, None)

    async def run(self) -> None:
        """Look after keys and devices for ever: what another process changed is known within a second."""
        while True:
            await asyncio.sleep(HOUSEKEEPING)
            await self.tend()

    async def tend(self) -> None:
        """One round of `run`."""
        try:
            if await self._database.changed_elsewhere():
                self._take_keys(await self._database.read(keys.load))
            admin = await self._database.read(lambda _: self._read_admin_key())
            if admin is not None:
                self._take_admin_key(admin)
            await self._write()
        except sqlite3.Error as error:
            _log.error("Devices could not be written down: %s", error)

    async def close(self) -> None:
        """Write down what is not yet, and when each device called last."""
        self._unsaved.update(self._registry.ids())
        try:
            await self._write()
        except sqlite3.Error as error:
            _log.error("Devices could not be written down: %s", error)

    def reconfigure(self, settings: Settings) -> None:
        """Take new settings; what was set at run time goes where the file says something new about it."""
        self._settings = settings
        self._registry.most = settings.max_devices
        self._policies.load(settings)
        self._drop_outdated()
        self._take_keys(dict(self._keyring.devices))
        self._enrol(self._policies.configured)

    # --- who -----------------------------------------------------------------------------------------------------

    @property
    def auth(self) -> Auth:
        """Whether keys are needed: as chosen, else as soon as a provider can cost money."""
        chosen = self._settings.auth
        if chosen is not None:
            return chosen
        return Auth.KEYS if any(map(self._costs, self._settings.providers)) else Auth.OPEN

    def identify(self, headers: Mapping[str, str], peer: str) -> Caller:
        """The caller of a request. `headers` ignores case or has lower-case names. Raises AuthenticationError."""
        caller = identity.identify(headers, peer, self._keyring, self._keyed, keys_required=self._keys_required)
        if caller.device_id not in self._registry and not self._registry.room():
            return Caller(registry.OVERFLOW, caller.key, caller.source, caller.sub_identity)
        return caller

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
        found = await self._database.read(keys.listed)
        return [{"id": k.id, "device": k.device_id, "hint": k.hint, "created_at": k.created_at} for k in found]

    async def add_key(self, device_id: str) -> str:
        """A new key for a device, seen only now; it holds at once. Raises sqlite3.Error where it cannot be kept."""
        now = self._clock.utcnow().timestamp()
        key = await self._database.run(lambda c: keys.add(c, device_id, now))
        self._take_keys(await self._database.read(keys.load))
        return key

    async def revoke_key(self, which: str) -> int:
        """Withdraw a key by its id, or all of a device; returns how many. At once."""
        gone = await self._database.run(lambda c: keys.revoke(c, which))
        self._take_keys(await self._database.read(keys.load))
        return gone

    # --- limits and budgets -------------------------------------------------------------------------------------

    def admit(self, caller: Caller) -> Admission:
        """Let a request in: enabled, within its hours, its budget not spent, a slot and a request left. Raises LimitError."""
        device_id = caller.device_id
        at = self._clock.utcnow()
        moment = at.timestamp()
        if self._registry.seen(device_id, int(moment)):
            self._added(device_id)
        effective = self._policies.of(device_id)
        now, day = self._clock.monotonic(), self._calendar.day(moment)
        if effective.policy.enabled is False:
            raise self._refused(device_id, effective, Refusal("disabled"), now, at)
        if effective.schedule is not None and not effective.schedule.open(self._calendar.local(moment)):
            wait = effective.schedule.opens_in(moment, self._calendar.zone)
            raise self._refused(device_id, effective, Refusal("schedule", wait), now, at)
        if refusal := self._spent(device_id, effective, day):
            raise self._refused(device_id, effective, refusal, now, at)
        reservation = self._ledger.admit(device_id, effective.limits, now)
        if isinstance(reservation, Refusal):
            raise self._refused(device_id, effective, reservation, now, at)
        return Admission(device_id, effective, reservation)

    def reserve(self, admission: Admission, tokens: int, cost: Decimal | None) -> None:
        """Take tokens and expected cost (USD; None: unknown price), both or neither. Raises LimitError, BudgetError.

        A BudgetError whose `action` is `free` may be answered by choosing a model that costs nothing, and reserving again.
        """
        at = self._clock.utcnow()
        now, day = self._clock.monotonic(), self._calendar.day(at.timestamp())
        effective, ceiling = admission.effective, self._policies.ceiling
        pico = self._priced(admission, cost, now, at)
        refusal = self._ledger.reserve(admission.reservation, tokens, pico, effective.limits, ceiling.limits, now, day)
        if refusal is not None:
            raise self._refused(admission.device_id, effective, refusal, now, at, asked=tokens)

    def top_up(self, admission: Admission, cost: Decimal | None) -> None:
        """Raise the reserved cost to that of a dearer stand-in. Raises BudgetError."""
        at = self._clock.utcnow()
        now, day = self._clock.monotonic(), self._calendar.day(at.timestamp())
        effective, ceiling = admission.effective, self._policies.ceiling
        pico = self._priced(admission, cost, now, at)
        refusal = self._ledger.top_up(admission.reservation, pico, effective.limits, ceiling.limits, day)
        if refusal is not None:
            raise self._refused(admission.device_id, effective, refusal, now, at)

    def settle(self, admission: Admission, usage: Usage, cost: Decimal | None) -> None:
        """Replace what was reserved by what was used; nothing happens the second time."""
        at = self._clock.utcnow()
        day = self._calendar.day(at.timestamp())
        pico = to_pico(cost) if cost else 0
        if not self._ledger.settle(admission.reservation, usage.total_tokens, pico, self._clock.monotonic(), day) or not pico:
            return
        effective = self._policies.of(admission.device_id)
        if effective.budgeted:
            self._alerts.spent(admission.device_id, effective, self._ledger, day, at)
        if self._policies.ceiling.budgeted:
            self._alerts.spent(None, self._policies.ceiling, self._ledger, day, at)

    def release(self, admission: Admission) -> None:
        """End a request that used nothing."""
        self.settle(admission, Usage(), None)

    def budget_action(self, device_id: str) -> BudgetAction | None:
        """What a spent budget asks for now, the strictest of all; None while there is money left."""
        day = self._calendar.day(self._clock.utcnow().timestamp())
        found = []
        for name, effective in ((device_id, self._policies.of(device_id)), (None, self._policies.ceiling)):
            if effective.budgeted:
                today, month, reserved = self._ledger.spent(name, day)
                held = 0 if effective.action is BudgetAction.REFUSE else reserved
                if _reached(today + held, effective.daily) or _reached(month + held, effective.monthly):
                    found.append(effective.action)
        return max(found, key=_STRICTNESS.__getitem__, default=None)

    def rate_headers(self, device_id: str) -> dict[str, str]:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as far as there are limits."""
        limits = self._policies.of(device_id).limits
        if limits.rpm is None and limits.tpm is None:
            return {}
        return rate_headers(limits, self._ledger.snapshot(device_id, limits, self._clock.monotonic(), 0))

    def limits_state(self, device_id: str | None) -> Json:
        """What is left: requests, tokens (None: no limit), the part of the tightest budget spent, refused just now."""
        now, day = self._clock.monotonic(), self._calendar.day(self._clock.utcnow().timestamp())
        effective = self._policies.ceiling if device_id is None else self._policies.of(device_id)
        snapshot = self._ledger.snapshot(device_id, effective.limits, now, day)
        shares = [
            percent(spent, budget)
            for spent, budget in ((snapshot.today, effective.daily), (snapshot.month, effective.monthly))
            if budget is not None
        ]
        return {
            "requests_remaining": snapshot.requests_remaining,
            "tokens_remaining": snapshot.tokens_remaining,
            "budget_percent": max(shares, default=None),
            "rate_limited": self._alerts.limited(device_id, now),
        }

    def reset_budget(self, device_id: str | None) -> None:
        """Begin the budgets of this day and month anew, a device's or (None) the one above all; the books stay as they are."""
        day = self._calendar.day(self._clock.utcnow().timestamp())
        amounts = self._ledger.forgive(device_id, day)
        self._alerts.again(device_id)
        row = (device_id or HUB_SCOPE, day, *amounts)
        self._keep(lambda c: c.execute("INSERT OR REPLACE INTO forgiven VALUES (?, ?, ?, ?)", row))
        self._bus.publish(SettingsChanged(device_id, ("budget",)))

    # --- settings -----------------------------------------------------------------------------------------------

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
        scope = self._scope(device_id)
        table = setters.HUB if scope == HUB_SCOPE else setters.DEVICE
        if value is None and name in table:
            self.unset(device_id, name)
            return None
        checked = setters.read(table, name, value)
        override = self._policies.override(scope, name, checked, source)
        now = int(self._clock.utcnow().timestamp())
        self._keep(lambda c: policy.keep(c, scope, name, override, now))
        if scope != HUB_SCOPE:
            self._enrol((scope,))
        self._bus.publish(SettingsChanged(device_id, (name,)))
        return checked

    def unset(self, device_id: str | None, name: str) -> None:
        """Let the file, or the defaults, decide again."""
        scope = self._scope(device_id)
        if self._policies.drop(scope, (name,)):
            self._keep(lambda c: policy.discard(c, scope, (name,)))
            self._bus.publish(SettingsChanged(device_id, (name,)))

    def rename(self, device_id: str, name: str) -> None:
        """Name it for people. Raises SettingError."""
        self.set(device_id, "name", name)

    def remove(self, device_id: str) -> None:
        """Forget a device: its settings, keys and counters. Its spend stays in the sums; one in the file stays configured."""
        names = self._policies.drop(device_id)
        self._take_keys({h: d for h, d in self._keyring.devices.items() if d != device_id})
        self._registry.remove(device_id)

        def erase(connection: sqlite3.Connection) -> None:
            policy.discard(connection, device_id, names)
            connection.execute("DELETE FROM device_key WHERE device_id = ?", (device_id,))
            connection.execute("DELETE FROM forgiven WHERE scope = ?", (device_id,))

        self._keep(erase)
        self._forget([device_id])
        if self._policies.is_configured(device_id):
            self._enrol((device_id,))

    # --- which --------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """All devices that are known, by name."""
        return self._registry.ids()

    def slug(self, device_id: str) -> str:
        """Its name in topics: `[a-z0-9_]`, nobody else's."""
        return self._registry.slug(device_id)

    def for_slug(self, slug: str) -> str | None:
        """Whose slug that is."""
        return self._registry.for_slug(slug)

    # --- inside -------------------------------------------------------------------------------------------------

    def _kept(self, device_id: str) -> bool:
        return self._policies.is_configured(device_id) or device_id in self._keyed or self._ledger.busy(device_id)

    def _scope(self, device_id: str | None) -> str:
        if device_id is None:
            return HUB_SCOPE
        return setters.device_scope(device_id)

    def _added(self, device_id: str) -> None:
        self._unsaved.add(device_id)
        self._bus.publish(DeviceAdded(device_id))
        self._forget(self._registry.surplus())

    def _enrol(self, device_ids: Iterable[str]) -> None:
        for device_id in device_ids:
            if device_id not in self._registry:
                self._registry.add(device_id, 0, 0)
                self._added(device_id)

    def _forget(self, device_ids: list[str]) -> None:
        if not device_ids:
            return
        self._ledger.forget(device_ids)
        self._alerts.forget(device_ids)
        self._unsaved.difference_update(device_ids)
        self._gone.extend(device_ids)
        for device_id in device_ids:
            self._bus.publish(DeviceRemoved(device_id))

    def _drop_outdated(self) -> None:
        for scope, name in self._policies.outdated():
            _log.info("The file now says something else about `%s`%s: it holds again.", name, f" of {scope}" if scope else "")
            self.unset(scope or None, name)

    def _take_keys(self, found: dict[str, str]) -> None:
        self._keyring = Keyring(found, self._keyring.admin)
        self._keyed = frozenset(found.values())
        self._keys_required = self.auth is Auth.KEYS
        if self._settings.admin_key:
            self._take_admin_key(self._settings.admin_key)
        elif self._admin_key_file is None:
            self._take_admin_key("")
        elif (admin := self._read_admin_key()) is not None:
            self._take_admin_key(admin)
        self._enrol(self._keyed)

    def _take_admin_key(self, key: str) -> None:
        self._keyring = Keyring(self._keyring.devices, identity.hash_key(key) if key else "")

    def _read_admin_key(self) -> str | None:
        """The admin key if its file changed since it was read last."""
        if self._admin_key_file is None or self._settings.admin_key:
            return None
        try:
            status = self._admin_key_file.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen == self._admin_key_seen:
                return None
            key = self._admin_key_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        self._admin_key_seen = seen
        return key

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
            return to_pico(cost)
        if admission.effective.budgeted or self._policies.ceiling.budgeted:
            admission.reservation.refused = True
            self._alerts.refused(admission.device_id, "unpriced", None, now, at)
            raise unpriced_error()
        return 0

    def _refused(  # noqa: PLR0917 - private, and called in one way
        self, device_id: str, effective: Effective, refusal: Refusal, now: float, at: datetime, asked: int = 0
    ) -> LimitError:
        """The error for a refusal, with its event."""
        moment = at.timestamp()
        if not refusal.limit.endswith("_budget"):
            self._alerts.refused(device_id, refusal.limit, refusal.wait, now, at)
            return limit_error(refusal, effective.limits, asked)
        whole = refusal.limit.startswith("global_")
        of = self._policies.ceiling if whole else effective
        self._alerts.spent(None if whole else device_id, of, self._ledger, self._calendar.day(moment), at, refused=True)
        ends = self._calendar.day_end(moment) if "daily" in refusal.limit else self._calendar.month_end(moment)
        error: BudgetError = budget_error(refusal, of, ends - moment)
        return error

    def _keep(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        """Write in the background, and at once safe from a power cut: settings are few, and people remember them."""
        self._database.submit(work).add_done_callback(_tell_failure)
        self._database.submit_read(checkpoint).add_done_callback(_tell_failure)

    async def _write(self) -> None:
        # Totals are folded one round after the device went: its last bookings are in the database by then.
        fold, self._to_fold = self._to_fold, []
        gone, self._gone = self._gone, []
        fold = [device_id for device_id in fold if device_id not in self._registry]
        rows = [(i, k.slug, k.first_seen, k.last_seen) for i in self._unsaved if (k := self._registry.get(i))]
        self._unsaved.clear()
        if not (fold or gone or rows):
            return

        def write(connection: sqlite3.Connection) -> None:
            registry.delete(connection, [device_id for device_id in gone if device_id not in self._registry])
            registry.save(connection, rows)
            for start in range(0, len(fold), 500):
                books.fold(connection, fold[start : start + 500])

        await self._database.run(write)
        self._to_fold = gone


def _reached(spent: int, budget: int | None) -> bool:
    return budget is not None and spent >= budget


def _forgiven(connection: sqlite3.Connection) -> list[tuple[str, int, int, int]]:
    return list(connection.execute("SELECT scope, day, day_amount, month_amount FROM forgiven"))


def _tell_failure(done: Future[Any]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.error("A change could not be kept, it holds until the restart only: %s", error)
