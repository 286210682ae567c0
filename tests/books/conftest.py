from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from cheaprouter.books.database import Database
from cheaprouter.books.journal import Journal
from cheaprouter.books.metrics import Metrics
from cheaprouter.books.recorder import Recorder, Retention
from cheaprouter.books.reports import Reports
from cheaprouter.config.settings import StorageSettings
from cheaprouter.core.calendar import Calendar, Clock
from cheaprouter.core.models import RequestRecord, Usage


class Office:
    """Books on disk and a clock that is turned by hand."""

    def __init__(self, folder, at="2026-11-22T12:00:00", zone="Europe/Berlin", storage=None):
        self.folder = folder
        self.zone = ZoneInfo(zone)
        self.at = datetime.fromisoformat(at).replace(tzinfo=self.zone).astimezone(UTC)
        self.clock = Clock(lambda: 0.0, lambda: self.at)
        self.storage = storage or StorageSettings()
        self.numbers = itertools.count(1)
        self.open()

    def open(self):
        calendar = self.calendar = Calendar(self.zone)
        self.database = Database(self.folder / "cheaprouter.db")
        self.database.open()
        self.journal = Journal(self.folder / "journal")
        self.metrics = Metrics(calendar, self.clock)
        self.retention = Retention(self.storage, self.clock)
        self.recorder = Recorder(self.database, self.journal, self.metrics, self.retention)
        self.recorder.restore()
        self.reports = Reports(self.database, self.recorder, self.metrics, calendar, self.clock)

    async def restart(self):
        await self.recorder.close()
        await self.database.close()
        self.open()

    def later(self, **span):
        self.at += timedelta(**span)

    def book(self, **changes):
        values = {
            "id": f"req_{next(self.numbers)}",
            "timestamp": self.at,
            "device_id": "kitchen",
            "requested_model": "blockrun/auto",
            "model_id": "lab/small",
            "provider": "lab",
            "usage": Usage(100, 20, cached_tokens=10),
            "status": 200,
            "latency_ms": 12.5,
            "first_token_ms": 4.0,
            "cost": Decimal("0.001"),
            "baseline_cost": Decimal("0.003"),
            "reason": "the cheapest that fits",
        }
        record = RequestRecord(**(values | changes))
        self.recorder.record(record, self.calendar.day(self.at.timestamp()))
        return record

    def refuse(self, **changes):
        nothing = {"model_id": None, "provider": None, "usage": Usage(), "cost": Decimal(0), "baseline_cost": None}
        refusal = {"status": 429, "attempts": 0, "error": "rate_limit_exceeded", "first_token_ms": None, "reason": ""}
        return self.book(**(nothing | refusal | changes))


@pytest.fixture
async def office(tmp_path):
    made = []

    def make(**arguments):
        made.append(Office(tmp_path, **arguments))
        return made[-1]

    yield make
    for one in made:
        one.journal.close()
        one.database.close_sync()


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "cheaprouter.db")
    made.open()
    yield made
    made.close_sync()
