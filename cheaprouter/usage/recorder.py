"""Books finished requests: in memory and in the journal at once, in SQLite in batches."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from typing import Final

from ..clock import Clock
from ..models import RequestRecord
from ..storage import books
from ..storage.calendar import Calendar
from ..storage.database import Database, checkpoint
from ..storage.journal import Journal
from ..storage.rows import Row, from_row, microseconds, to_row
from .metrics import Metrics
from .retention import Retention

_log = logging.getLogger(__name__)

BATCH_SECONDS: Final = 0.5
"""How long the first booking of a batch waits for others; half of what a power cut may take."""

CHECKPOINT_SECONDS: Final = 60.0
"""How often SQLite's file itself is brought up to date while requests come in. Each is two syncs of the disk."""

RETRY_SECONDS: Final = 5.0
"""Between two tries at a database that fails."""

MOST_WAITING: Final = 10_000
"""Bookings kept for a database that does not take them; the oldest go first, and stay in the journal."""

_RECENT: Final = 200


class Recorder:
    """`record` is synchronous and costs one small write(). `run` does the rest for ever, in the background."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        calendar: Calendar,
        metrics: Metrics,
        retention: Retention,
        *,
        clock: Clock | None = None,
        log: logging.Logger = _log,
    ) -> None:
        self._database = database
        self._journal = journal
        self._calendar = calendar
        self._metrics = metrics
        self._retention = retention
        self._clock = clock or Clock()
        self._log = log
        self._seq = 0
        self._waiting: deque[Row] = deque()
        self._recent: deque[Row] = deque(maxlen=_RECENT)
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._failing = False
        self._untidy = False
        self._checkpoint_due = False
        self.lost = 0

    def restore(self) -> None:
        """Bring into SQLite what a crash left in the journal, and live figures up to date; before serving, blocks."""
        rows = list(self._journal.replay())
        try:
            last = self._database.run_sync(lambda c: books.apply(c, rows))
            safe = self._database.read_sync(checkpoint)
        except sqlite3.Error as error:
            self._log.error("The journal could not be brought into the database, it is kept: %s", error)
            last, safe = 0, False
            self._waiting.extend(rows)
        # Microseconds since 1970: above every number ever given, also where the database that knew them is gone.
        self._seq = max([microseconds(self._clock.utcnow()), last, *(row[0] for row in rows)])
        self._journal.start(self._seq + 1)
        if safe and not self._database.volatile:
            self._journal.forget(last)
        self._metrics.restore(self._database)

    def record(self, record: RequestRecord) -> None:
        """Book one request. Never raises, never waits: kill -9 after this loses nothing."""
        self._seq += 1
        row = to_row(self._seq, self._calendar.day(record.timestamp.timestamp()), record)
        self._journal.append(row)
        self._waiting.append(row)
        self._recent.append(row)
        self._metrics.add(row)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self.lost += 1
        if not self._wake.is_set():
            self._wake.set()

    async def flush(self) -> None:
        """Bring everything booked so far into SQLite; on failure it stays queued, and the log says so once."""
        async with self._flushing:
            rows = list(self._waiting)
            if not rows:
                return
            try:
                last = await self._database.run(lambda c: books.apply(c, rows))
            except sqlite3.Error as error:
                if not self._failing:
                    self._log.error("Bookings cannot be written to the database, they wait in memory: %s", error)
                self._failing = True
                return
            self._failing = False
            self._checkpoint_due = True
            # What came in meanwhile stays; an overflow may have taken some of these already.
            while self._waiting and self._waiting[0][0] <= last:
                self._waiting.popleft()

    async def run(self) -> None:
        """Write batches, keep the disk in step and history within its bounds. Sleeps while nothing is booked."""
        loop = asyncio.get_running_loop()
        checkpoint_at = loop.time() + CHECKPOINT_SECONDS
        while True:
            try:
                async with asyncio.timeout(CHECKPOINT_SECONDS if self._checkpoint_due else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await asyncio.sleep(BATCH_SECONDS)
            await loop.run_in_executor(None, self._journal.sync)
            await self.flush()
            if self._waiting:
                # The database does not take them: try again before long, also where nothing new comes in.
                self._wake.set()
                await asyncio.sleep(RETRY_SECONDS if self._failing else 0)
            if loop.time() >= checkpoint_at:
                await self.tidy()
                checkpoint_at = loop.time() + CHECKPOINT_SECONDS

    async def tidy(self) -> None:
        """Move the WAL into the file, drop what the journal need not keep, and history beyond its bounds."""
        self._checkpoint_due = False
        self._journal.rotate()
        try:
            await self._retention.apply(self._database)
            applied = await self._database.read(books.applied)
            safe = await self._database.read(checkpoint)
        except sqlite3.Error as error:
            if not self._untidy:
                self._log.error("The database could not be tidied up: %s", error)
            self._untidy = True
            return
        self._untidy = False
        if safe and not self._database.volatile:
            self._journal.forget(applied)

    async def close(self) -> None:
        """Write everything, and leave nothing for the journal to replay where that succeeds."""
        await self.flush()
        await self.tidy()
        self._journal.close()

    def recent(self, limit: int) -> list[RequestRecord]:
        """The newest requests of this run, newest first, from memory: what there is without a database."""
        rows = list(self._recent)[-limit:]
        return [from_row(row) for row in reversed(rows)]
