from __future__ import annotations

import dataclasses
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from cheaprouter.accounts.account import Account
from cheaprouter.accounts.accounts import Accounts
from cheaprouter.accounts.policy import Policies
from cheaprouter.books.database import Database
from cheaprouter.books.habits import Habits
from cheaprouter.books.journal import Journal
from cheaprouter.books.metrics import Metrics
from cheaprouter.books.recorder import Recorder, Retention
from cheaprouter.config.settings import Auth, Settings, auth_of
from cheaprouter.core.calendar import Calendar
from cheaprouter.core.errors import LimitError
from cheaprouter.core.events import EventBus
from cheaprouter.core.models import Caller, Model, Price, Rates, RouteDecision, Usage
from cheaprouter.gateway import Refused
from tests.builders import HandClock

TOKENS = 1
"""Of each reply, as its client allows."""


def model(cost):
    """A model whose every request costs that much (USD), or nobody knows what."""
    free = Rates(Decimal(0), Decimal(0))
    return Model("lab/small", "lab", "small", () if cost is None else (Price(free, per_request=Decimal(cost)),))


class Home:
    """A database on disk, accounts, books, and a clock that is turned by hand."""

    def __init__(self, folder, settings, *, at="2026-11-22T12:00:00", zone="Europe/Berlin"):
        self.folder = folder
        self.settings = settings
        self.time = HandClock(zone=zone)
        self.time.local(at)
        self.clock, self.later, self.local = self.time.clock(), self.time.later, self.time.local
        self.bus = EventBus()
        self.events = []
        self.bus.on(self.events.append)
        self.count = 0
        self.open()

    def open(self):
        calendar = Calendar(ZoneInfo(self.time.zone))
        self.database = Database(self.folder / "cheaprouter.db")
        self.database.open()
        self.metrics = Metrics(calendar, self.clock)
        self.retention = Retention(self.settings.storage, self.clock)
        self.journal = Journal(self.folder / "journal")
        self.recorder = Recorder(self.database, self.journal, self.metrics, self.retention)
        self.recorder.restore()
        self.habits = Habits()
        self.accounts = Accounts(
            self.database,
            self.recorder,
            self.habits,
            calendar,
            self.bus,
            self.clock,
            most=self.settings.max_devices,
            policies=lambda: self.policies,
            changed=self.make_policies,
            admin_key_file=self.folder / "admin_key",
            http=self.settings.http,
        )
        self.accounts.restore_settings(self.settings)
        self.make_policies()
        self.accounts.restore()
        self.metrics.settle(self.accounts.known.__contains__)
        self.metrics.limits = self.accounts.limits_state
        self.bus.on(self.metrics.on_event)

    def make_policies(self):
        self.policies = Policies(self.settings, self.accounts.overrides.scopes)

    async def restart(self, **changes):
        """Stop in good order, and start again."""
        await self.recorder.close()
        await self.accounts.close()
        await self.database.close()
        self.settings = dataclasses.replace(self.settings, **changes)
        self.open()

    def crash(self):
        """Start again with what is on disk, as after kill -9; the files of before are simply left."""
        self.database.close_sync()
        self.open()

    def reconfigure(self, settings):
        """Take other settings while running."""
        self.settings = settings
        self.accounts.drop_outdated(settings)
        self.make_policies()
        self.accounts.configured(settings)

    @property
    def auth(self):
        return auth_of(self.settings)

    def identify(self, headers, peer):
        return self.accounts.identify(headers, peer, self.auth)

    def set(self, device_id, name, value, source="api"):
        return self.accounts.set_many(self.settings, device_id, {name: value}, source)[name]

    def budget_action(self, device_id):
        day = self.accounts.calendar.day(self.time.at.timestamp())
        return self.accounts.budget_action(self.policies, device_id, day)

    # --- a request's way

    def admit(self, caller):
        self.count += 1
        account = Account(
            self.accounts,
            self.policies,
            Refused("blockrun/auto", max_tokens=TOKENS),
            caller,
            f"req_{self.count}",
            via="http",
        )
        try:
            account.admit()
        except LimitError as error:
            account.close(error.status, error=error.code)
            raise
        return account

    def reserve(self, account, tokens, cost):
        account.decision = RouteDecision(
            model(cost),
            (),
            "",
            prompt_tokens=tokens - TOKENS,
        )
        account.reserve(account.decision)

    def top_up(self, account, cost):
        account.top_up(model(cost))

    def release(self, account):
        account.close(499)

    def ask(self, device="kitchen", *, tokens=100, cost="0.01", used=None, paid=None):
        """A whole request: admitted, reserved, settled, booked."""
        account = self.admit(Caller(device))
        try:
            self.reserve(account, tokens, cost)
        except LimitError as error:
            account.close(error.status, error=error.code)
            raise
        self.done(account, tokens if used is None else used, cost if paid is None else paid)
        return account

    def done(self, account, used, paid):
        account.model = model(paid)
        account.close(200, usage=Usage(used, 0, reported_cost=None if paid is None else Decimal(paid)))

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
async def home(tmp_path):
    """Makes homes; `home(device_defaults=..., ...)` takes settings by name."""
    made = []

    def make(*, at="2026-11-22T12:00:00", zone="Europe/Berlin", **settings):
        settings.setdefault("auth", Auth.OPEN)
        made.append(Home(tmp_path, Settings(**settings), at=at, zone=zone))
        return made[-1]

    yield make
    for one in made:
        one.journal.close()
        one.database.close_sync()
