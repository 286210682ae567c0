"""A process that is killed in the middle of booking, for real, again and again."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cheaprouter.books import totals as books
from cheaprouter.books.database import Database
from cheaprouter.books.journal import Journal
from cheaprouter.books.metrics import Metrics
from cheaprouter.books.recorder import Recorder, Retention
from cheaprouter.config.settings import StorageSettings
from cheaprouter.core.calendar import Calendar, Clock

BOOKKEEPER = """
import asyncio, os, sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from cheaprouter.core.calendar import Clock
from cheaprouter.config.settings import StorageSettings
from cheaprouter.core.models import RequestRecord, Usage
from tests.builders import row_values
from cheaprouter.books import journal
from cheaprouter.core.calendar import Calendar
from cheaprouter.books.database import Database
from cheaprouter.books import recorder as module
from cheaprouter.books.metrics import Metrics

module.BATCH_SECONDS, module.CHECKPOINT_SECONDS, journal.SEGMENT_BYTES = 0.005, 0.02, 4000

async def main(folder, prefix):
    clock, calendar = Clock(), Calendar(UTC)
    database = Database(folder / "cheaprouter.db")
    database.open()
    recorder = module.Recorder(database, journal.Journal(folder / "journal"), Metrics(calendar, clock),
                               module.Retention(StorageSettings(), clock))
    recorder.restore()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run())
        for n in range(100_000):
            recorder.record(row_values(RequestRecord(
                id=f"{prefix}-{n}", timestamp=datetime.now(UTC), device_id="kitchen", requested_model="m",
                model_id="lab/small", provider="lab", usage=Usage(3, 1), status=200, latency_ms=1.0, cost=Decimal("0.000001")),
                calendar.day(clock.utcnow().timestamp())))
            os.write(1, f"{prefix}-{n}\\n".encode())
            if n % 7 == 0:
                await asyncio.sleep(0.001)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def test_kill_9_loses_nothing_that_was_booked_and_books_nothing_twice(tmp_path):
    told = []
    for life in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", BOOKKEEPER, str(tmp_path), f"life{life}"],
            stdout=subprocess.PIPE,
            cwd=Path.cwd(),
            text=True,
        )
        assert process.stdout is not None
        told += [process.stdout.readline().strip() for _ in range(150 + 70 * life)]
        process.send_signal(signal.SIGKILL)
        told += [line for line in process.stdout.read().split("\n") if line]
        process.stdout.close()
        process.wait()

    clock, calendar = Clock(), Calendar(UTC)
    database = Database(tmp_path / "cheaprouter.db")
    database.open()
    metrics = Metrics(calendar, clock)
    Recorder(database, Journal(tmp_path / "journal"), metrics, Retention(StorageSettings(), clock)).restore()
    ids = database.read_sync(lambda c: [r[0] for r in c.execute("SELECT id FROM request")])
    since = calendar.day(datetime.now(UTC).timestamp() - 86_400)
    spend = sum(cost for _, _, cost in database.read_sync(lambda c: books.spend(c, since)))
    database.close_sync()

    assert len(ids) == len(set(ids))
    assert set(told) <= set(ids)
    # At most one booking of each life was written to disk and not told before the kill.
    assert len(ids) <= len(told) + 4
    assert spend == len(ids) * 10**6
    assert metrics.total.requests == len(ids)
