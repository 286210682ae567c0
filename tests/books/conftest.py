from __future__ import annotations

import itertools
from zoneinfo import ZoneInfo

import orjson
import pytest

from cheaprouter.books.database import Database
from cheaprouter.books.journal import Journal
from cheaprouter.books.metrics import Metrics
from cheaprouter.books.recorder import Recorder, Retention
from cheaprouter.books.reports import Reports
from cheaprouter.config.settings import StorageSettings
from cheaprouter.core.calendar import Calendar
from tests.builders import HandClock, a_record, a_refusal, row_values


class Office:
    """Books on disk and a clock that is turned by hand."""

    def __init__(self, folder, at="2026-11-22T12:00:00", zone="Europe/Berlin", storage=None):
        self.folder = folder
        self.time = HandClock(zone=zone)
        self.time.local(at)
        self.clock, self.later = self.time.clock(), self.time.later
        self.storage = storage or StorageSettings()
        self.numbers = itertools.count(1)
        self.open()

    def open(self):
        calendar = self.calendar = Calendar(ZoneInfo(self.time.zone))
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

    def book(self, make=a_record, **changes):
        record = make(**{"id": f"req_{next(self.numbers)}", "timestamp": self.time.at, **changes})
        self.recorder.record(row_values(record, self.calendar.day(self.time.at.timestamp())))
        return record

    async def usage(self, query):
        return orjson.loads(await self.reports.usage(query))

    def refuse(self, **changes):
        return self.book(a_refusal, **changes)


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
