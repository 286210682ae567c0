"""Everyone's accounts: who is known, what holds for them, what they used; taken up at start, and kept in step with the disk."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, InitVar, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from ..books import totals
from ..books.database import Database
from ..books.habits import Habits
from ..books.recorder import Recorder
from ..config import fields
from ..config.settings import Auth, BudgetAction, HttpSettings, Settings
from ..core.calendar import Calendar, Clock
from ..core.errors import AuthenticationError
from ..core.events import EventBus, SettingsChanged
from ..core.ids import FORGOTTEN, OTHERS, OWN_DEVICES, device_scope, key_owner
from ..core.models import Caller, Json, KeyKind
from ..core.records import dataclass
from . import keys, known
from .callers import Callers, identify
from .known import KnownDevices
from .ledger import Balance, Baseline, Ledger, Period
from .policy import HUB_SCOPE, Override, Overrides, Policies, Policy, baseline
from .refusals import Alerts, percent, rate_headers
from .strangers import Strangers, TurnedAway

_LOG = logging.getLogger(__name__)
_STRICTNESS: Final = {BudgetAction.ECO: 0, BudgetAction.FREE: 1, BudgetAction.REFUSE: 2}

HOUSEKEEPING: Final = 1.0
"""Seconds between two looks at what another process changed, and between two writings of new devices."""


@dataclass(eq=False)
class Accounts:
    """The parts that a request's account is charged with. In the event loop's thread; nothing here waits for a disk.

    `most`: how many devices are known. `policies`: asks for those in force; `changed`: called once settings made at run time
    have changed. `admin_key_file` None: there is no admin key but the one in the settings. `http`: how many devices an
    address may add, and which addresses are proxies'.
    """

    database: Database
    recorder: Recorder
    habits: Habits
    calendar: Calendar
    bus: EventBus
    clock: Clock
    _: KW_ONLY
    most: InitVar[int]
    policies: Callable[[], Policies]
    changed: Callable[[], None]
    admin_key_file: InitVar[Path | None] = None
    http: InitVar[HttpSettings] = HttpSettings()

    def __post_init__(self, most: int, admin_key_file: Path | None, http: HttpSettings) -> None:
        self._failing = False
        self._month = 0
        self.turned_away = TurnedAway()
        self.ledger = Ledger()
        self.alerts = Alerts(self.bus)
        self.known = KnownDevices(most, self.bus, self._kept, self.ledger.busy, self._forgotten)
        self._strangers = Strangers(self.known, http)
        self.callers = Callers(admin_key_file)
        self.overrides = Overrides(self.database)

    def identify(self, headers: Mapping[str, str], peer: str, auth: Auth) -> Caller:
        """The caller of a request that is served or booked. `headers` ignores case or has lower-case names.

        Raises AuthenticationError.
        """
        return self.let_in(self.recognize(headers, peer, auth), peer)

    def recognize(self, headers: Mapping[str, str], peer: str, auth: Auth) -> Caller:
        """Who that is by these alone: the same for as long as `callers.keyring` is. Raises AuthenticationError, which is counted."""
        try:
            caller = self.look_up(headers, peer, auth)
        except AuthenticationError:
            self.turned_away.note(self.clock.monotonic())
            raise
        if caller.key_id:
            self.callers.note_use(caller)
        return caller

    def look_up(self, headers: Mapping[str, str], peer: str, auth: Auth) -> Caller:
        """The same where nobody is turned away for it."""
        return identify(headers, peer, self.callers.keyring, keys_required=auth is Auth.KEYS)

    def let_in(self, caller: Caller, peer: str) -> Caller:
        """Who a caller counts as, which is known from now on: itself, or with all newcomers that there is no room for `OTHERS`."""
        if caller.key_id:
            self.callers.note_use(caller)
        if caller.device_id in self.known:
            return caller
        invited = caller.key is not KeyKind.NONE or self._kept(caller.device_id)
        if not invited and not self._strangers.may_come(peer, self.clock.monotonic()):
            caller = replace(caller, device_id=OTHERS)
        self.known.seen(caller.device_id, int(self.clock.unix()))
        return caller

    # --- start, stop, change -----------------------------------------------------------------------------------

    def restore_settings(self, settings: Settings, *, drop_outdated: bool = True) -> None:
        """Take up keys and what was set at run time; before the first policies.

        `drop_outdated`: not what the file has overtaken. A file that could not be read says nothing about it.
        """
        try:
            found, kept = self.database.read_sync(lambda c: (keys.load(c), Overrides.load(c)))
        except sqlite3.Error as error:
            self.database.add_damage(
                [f"Keys and run-time settings cannot be read from the database, they begin anew: {error}"]
            )
            found, kept = {}, []
        self.overrides.restore(kept)
        self.callers.take(found, self.clock.unix())
        self.callers.configure(settings.admin_key)
        if drop_outdated:
            self.drop_outdated(settings)

    def restore(self) -> None:
        """Take up devices and spend; after the journal was replayed, before serving."""
        at = self.clock.utcnow().timestamp()
        yesterday, day = self.calendar.day(at - 86_400), self.calendar.day(at)
        try:
            self._take_up(*self.database.read_sync(lambda c: _load(c, yesterday, day // 100)))
        except sqlite3.Error as error:
            self.database.add_damage(
                [f"Devices and their spend cannot be read from the database, they begin anew: {error}"]
            )
        policies = self.policies()
        self.known.register((*policies.configured, *self.callers.keyed))
        self.known.trim()
        self.alerts.spent(None, policies.ceiling, self.ledger.spent(None, day), day, None)
        for device_id in self.known.ids():
            self.alerts.spent(device_id, policies.of(device_id), self.ledger.spent(device_id, day), day, None)

    def _take_up(
        self,
        devices: list[tuple[str, str, int, int]],
        spend: list[tuple[str, int, int]],
        booked: set[str],
        baselines: list[tuple[str, int, int, int]],
    ) -> None:
        for device_id, slug, first_seen, last_seen in devices:
            self.known.restore(device_id, first_seen, last_seen, slug)
        # Who called in the last second before a crash is in the books, and not yet among the devices.
        self.known.register(device_id for device_id, _, _ in spend if device_id != FORGOTTEN)
        for device_id, of_day, cost in filter(itemgetter(2), spend):
            self.ledger.book(device_id if device_id in self.known else None, of_day, cost)
        for scope, of_day, day_amount, month_amount in baselines:
            self.ledger.restore_baseline(scope or None, Baseline(of_day, day_amount, month_amount))
        self.known.orphans(booked)

    async def tend(self) -> None:
        """One round of housekeeping: what another process changed is known within a second.

        A database that fails is told once, and asked again the next time.
        """
        now = self.clock.unix()
        self.callers.expire(now)
        try:
            if await self.callers.refresh(self.database, now):
                self.known.register(self.callers.keyed)
                self.known.reconsider()
            self._turn_month()
            await self.known.write(self.database)
            await self.callers.write_uses(self.database, now, self.clock.monotonic())
        except sqlite3.Error as error:
            if not self._failing:
                _LOG.error("Devices could not be brought in step with the database: %s", error)
            self._failing = True
        else:
            self._failing = False

    def _turn_month(self) -> None:
        """Who spent something last month may be forgotten in this one."""
        month = self._today() // 100
        if self._month not in {0, month}:
            self.known.reconsider()
        self._month = month

    async def run(self) -> None:
        """Tend for ever."""
        while True:
            await asyncio.sleep(HOUSEKEEPING)
            await self.tend()

    async def close(self) -> None:
        """Write down what is not yet, and when each device called last."""
        self.known.save_calls()
        try:
            while self.known.unwritten:
                await self.known.write(self.database)
            await self.callers.write_uses(self.database, self.clock.unix(), math.inf)
        except sqlite3.Error as error:
            _LOG.error("Devices could not be written down: %s", error)

    def configured(self, settings: Settings) -> None:
        """New settings are in force."""
        self.known.most = settings.max_devices
        self._strangers.configure(settings.http)
        self.callers.configure(settings.admin_key)
        self.known.register(self.policies().configured)
        self.known.reconsider()
        self.known.trim()

    def drop_outdated(self, settings: Settings) -> None:
        """What was set at run time goes where the file says something new about it."""
        now = int(self.clock.utcnow().timestamp())
        for scope, name in self.overrides.outdated(lambda scope, name: baseline(settings, scope, name)):
            whose = f" of {scope}" if scope else ""
            _LOG.info("The file says something new about `%s`%s: it holds again.", name, whose)
            self.overrides.set_many(scope, {name: None}, now)

    # --- settings made at run time -----------------------------------------------------------------------------

    def set_many(
        self, settings: Settings, device_id: str | None, changes: Mapping[str, Any], source: str
    ) -> dict[str, Any]:
        """Set values at run time, from the next request on and over restarts: all, or none where one is wrong.

        None: back to what the file says. Returns the checked values. Raises SettingError for the first that is wrong.
        """
        scope, table = (HUB_SCOPE, fields.HUB) if device_id is None else (device_scope(device_id), fields.DEVICE)
        checked = {
            name: None if value is None and name in table else fields.read(table, name, value)
            for name, value in changes.items()
        }
        made = {
            name: None if value is None else Override(fields.dump(value), baseline(settings, scope, name), source)
            for name, value in checked.items()
        }
        self.overrides.set_many(scope, made, int(self.clock.utcnow().timestamp()))
        self.changed()
        if scope and any(value is not None for value in checked.values()):
            self.known.register((scope,))
        self.known.reconsider()
        self.bus.publish(SettingsChanged(scope or None, tuple(checked)))
        return checked

    def reset_budget(self, device_id: str | None, period: Period = None) -> None:
        """Begin the budget of this day anew, and with `period` None that of this month, too; the books stay as they are.

        `device_id` None: the budget above all devices.
        """
        day = self.calendar.day(self.clock.utcnow().timestamp())
        made = self.ledger.reset_baseline(device_id, day, period)
        row = (device_id or HUB_SCOPE, made.day, made.day_amount, made.month_amount)
        self.alerts.again(device_id, period)
        self.database.keep(lambda c: c.execute("INSERT OR REPLACE INTO forgiven VALUES (?, ?, ?, ?)", row))
        self.bus.publish(SettingsChanged(device_id, ("budget",)))

    def remove(self, device_id: str) -> None:
        """Forget a device: its settings, keys and counters. Its spend stays in the sums; one in the file stays configured."""
        names = self.overrides.drop(device_id)
        self.callers.forget(device_id, self.clock.unix())
        self.changed()

        def erase(connection: sqlite3.Connection) -> None:
            Overrides.discard(connection, device_id, names)
            keys.erase(connection, device_id)
            connection.execute("DELETE FROM forgiven WHERE scope = ?", (device_id,))

        self.database.keep(erase)
        self.known.remove(device_id)
        if self.policies().is_configured(device_id):
            self.known.register((device_id,))

    # --- keys --------------------------------------------------------------------------------------------------

    async def list_keys(self) -> list[Json]:
        """The keys there are, expired ones too, as `shown` tells of each. Raises sqlite3.Error."""
        found, now = await self.database.read(keys.listed), self.clock.unix()
        uses = self.callers.last_uses(now)
        return [keys.shown(replace(k, used_at=uses.get(k.id, k.used_at)), now) for k in found]

    async def add_key(self, device_id: str, days: int | None = None) -> str:
        """A new key for a device, seen only now; it holds at once. Raises sqlite3.Error where it cannot be kept, SettingError."""
        scope, now = key_owner(device_id), self.clock.unix()
        key = await self.database.run(lambda c: keys.add(c, scope, now, days))
        await self.callers.reload(self.database, now)
        self.known.register((scope,))
        return key

    async def rotate_key(self, which: str, days: int | None = None, grace: float = keys.GRACE) -> keys.Renewed | None:
        """As `keys.rotate`; both hold at once. None: there is no such key. Raises sqlite3.Error, SettingError."""
        now = self.clock.unix()
        made = await self.database.run(lambda c: keys.rotate(c, which, now, days, grace))
        await self.callers.reload(self.database, now)
        return made

    async def revoke_key(self, which: str) -> int:
        """Withdraw a key by its id or by itself, or all of a device; returns how many. At once."""
        gone = await self.database.run(lambda c: keys.revoke(c, which))
        await self.callers.reload(self.database, self.clock.unix())
        self.known.reconsider()
        return gone

    # --- what is left ------------------------------------------------------------------------------------------

    def budget_action(self, policies: Policies, device_id: str, day: int) -> BudgetAction | None:
        """What spent budgets ask for on a day, the strictest; None while there is money left.

        Where part of the books is lost nobody knows what was spent: then a hard budget lets only free models be asked.
        """
        return self.asked_for(policies.of(device_id), policies.ceiling, device_id, day)

    def asked_for(self, mine: Policy, house: Policy, device_id: str, day: int) -> BudgetAction | None:
        """The same, where the device's policy is at hand, and the one above all devices."""
        found = None
        ledger = self.ledger
        for balance, of in ((ledger.balances.get(device_id) or Balance(), mine), (ledger.everyone, house)):
            if not of.budgeted:
                continue
            if day != balance.day:
                balance.turn(day)
            # What is reserved may yet be given back: no reason to refuse for the day, but to be careful meanwhile.
            held = 0 if of.action is BudgetAction.REFUSE else balance.reserved
            if (of.daily is not None and balance.today + held >= of.daily) or (
                of.monthly is not None and balance.month + held >= of.monthly
            ):
                found = _stricter(found, of.action)
        if self.database.damage and (mine.hard or house.hard):
            found = _stricter(found, BudgetAction.FREE)
        return found

    def in_doubt(self, policies: Policies, device_id: str) -> bool:
        """Whether a hard budget applies while part of the books is lost and nobody has acknowledged it."""
        return bool(self.database.damage) and (policies.of(device_id).hard or policies.ceiling.hard)

    def limits_state(self, device_id: str | None) -> Json:
        """What is left: requests, tokens (None: no limit), the part of the tightest budget spent, refused just now."""
        now, day = self.clock.monotonic(), self.calendar.day(self.clock.utcnow().timestamp())
        policies = self.policies()
        policy = policies.ceiling if device_id is None else policies.of(device_id)
        snapshot = self.ledger.snapshot(device_id, policy.limits, now, day)
        budgets = ((snapshot.today, policy.daily), (snapshot.month, policy.monthly))
        shares = [percent(spent, budget) for spent, budget in budgets if budget is not None]
        return {
            "requests_remaining": snapshot.requests_remaining,
            "tokens_remaining": snapshot.tokens_remaining,
            "budget_percent": max(shares, default=None),
            "rate_limited": self.alerts.limited(device_id, now),
        }

    def rate_headers(self, device_id: str) -> dict[str, str]:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, as far as there are limits."""
        limits = self.policies().of(device_id).limits
        if limits.rpm is None and limits.tpm is None:
            return {}
        return rate_headers(limits, self.ledger.left(device_id, limits, self.clock.monotonic()))

    def is_set_up(self, device_id: str) -> bool:
        """Whether somebody has set something for a device or made a key for it; the router's own ones always are."""
        return device_id in self.callers.keyed or device_id in OWN_DEVICES or self.policies().is_configured(device_id)

    def _kept(self, device_id: str) -> bool:
        return self.is_set_up(device_id) or self._has_spent(device_id)

    def _has_spent(self, device_id: str) -> bool:
        """Whether a device has spent something this month, or is about to; a reset of its budgets does not undo that."""
        balance = self.ledger.balances.get(device_id)
        if balance is None:
            return False
        day, baseline = self._today(), balance.baseline
        forgiven = baseline.month_amount if baseline.day // 100 == day // 100 else 0
        return balance.spent(day)[1] + forgiven > 0 or balance.reserved > 0

    def _today(self) -> int:
        return self.calendar.day(self.clock.unix())

    def _forgotten(self, device_id: str) -> None:
        self.ledger.forget((device_id,))
        self.alerts.forget((device_id,))


def _stricter(one: BudgetAction | None, other: BudgetAction) -> BudgetAction:
    return other if one is None or _STRICTNESS[other] > _STRICTNESS[one] else one


def _load(connection: sqlite3.Connection, since: int, month: int) -> tuple[Any, ...]:
    baselines = connection.execute("SELECT scope, day, day_amount, month_amount FROM forgiven").fetchall()
    spend = totals.spend(connection, since, month)
    return known.load(connection), spend, totals.devices(connection), baselines
