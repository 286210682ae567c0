from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from cheaprouter.accounts.service import Devices
from cheaprouter.books.database import Database
from cheaprouter.books.journal import Journal
from cheaprouter.books.metrics import Metrics
from cheaprouter.books.recorder import Recorder
from cheaprouter.books.retention import Retention
from cheaprouter.config.settings import Auth, Settings
from cheaprouter.core.calendar import Calendar
from cheaprouter.core.clock import Clock
from cheaprouter.core.events import EventBus
from cheaprouter.core.models import Caller, RequestRecord, Usage


class Home:
    """A database on disk, devices, books, and a clock that is turned by hand."""

    def __init__(self, folder, settings, *, at="2026-11-22T12:00:00", zone="Europe/Berlin"):
        self.folder = folder
        self.settings = settings
        self.zone = ZoneInfo(zone)
        self.now = 1000.0
        self.at = datetime.fromisoformat(at).replace(tzinfo=self.zone).astimezone(UTC)
        self.clock = Clock(lambda: self.now, lambda: self.at)
        self.bus = EventBus()
        self.events = []
        self.bus.on(self.events.append)
        self.count = 0
        self.open()

    def open(self):
        calendar = Calendar(self.zone)
        self.database = Database(self.folder / "cheaprouter.db")
        self.database.open()
        self.metrics = Metrics(calendar, self.clock)
        self.retention = Retention(self.settings.storage, self.clock)
        self.journal = Journal(self.folder / "journal")
        self.recorder = Recorder(self.database, self.journal, self.metrics, self.retention, clock=self.clock)
        self.recorder.restore()
        self.devices = Devices(
            self.settings, self.database, calendar, self.bus, self.clock, admin_key_file=self.folder / "admin_key"
        )
        self.devices.restore()
        self.metrics.limits = self.devices.limits_state
        self.bus.on(self.metrics.on_event)

    async def restart(self, **changes):
        """Stop in good order, and start again."""
        await self.recorder.close()
        await self.devices.close()
        await self.database.close()
        self.settings = dataclasses.replace(self.settings, **changes)
        self.open()

    def crash(self):
        """Start again with what is on disk, as after kill -9; the files of before are simply left."""
        self.database.close_sync()
        self.open()

    def later(self, seconds):
        self.now += seconds
        self.at += timedelta(seconds=seconds)

    def local(self, text):
        """Set the wall's clock."""
        self.at = datetime.fromisoformat(text).replace(tzinfo=self.zone).astimezone(UTC)

    def ask(self, device="kitchen", *, tokens=100, cost="0.01", used=None, paid=None):
        """A whole request: admitted, reserved, settled, booked."""
        admission = self.devices.admit(Caller(device))
        try:
            self.devices.reserve(admission, tokens, None if cost is None else Decimal(cost))
        except Exception:
            self.devices.release(admission)
            raise
        self.done(admission, tokens if used is None else used, cost if paid is None else paid)
        return admission

    def done(self, admission, used, paid):
        cost = None if paid is None else Decimal(paid)
        self.devices.settle(admission, Usage(used, 0), cost)
        self.count += 1
        self.recorder.record(
            RequestRecord(
                id=f"req_{self.count}",
                timestamp=self.at,
                device_id=admission.device_id,
                requested_model="blockrun/auto",
                model_id="lab/small",
                provider="lab",
                usage=Usage(used, 0),
                status=200,
                latency_ms=5.0,
                cost=cost,
            ),
            self.devices.day(self.at),
        )

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
