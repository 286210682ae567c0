"""A report never holds up bookings, short looks or itself: it ends in time, and says so."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from cheaprouter.books import reader, wal
from cheaprouter.books.reader import Reader, TooLongError, within
from cheaprouter.core.errors import BooksBusyError

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def endless(connection):
    return connection.execute(ENDLESS).fetchone()


async def test_a_look_that_would_never_end_is_ended_and_the_next_one_is_answered(database):
    database._reports = Reader("reports", most_seconds=0.01)
    with pytest.raises(TooLongError, match="longer than"):
        await database.look(endless)
    assert await database.look(lambda c: c.execute("SELECT 1").fetchone()) == (1,)


async def test_a_look_that_takes_too_long_is_never_done_by_whoever_writes(database, monkeypatch):
    database._reports = Reader("reports", most_seconds=0.01)
    monkeypatch.setattr(database, "read", None)
    with pytest.raises(TooLongError):
        await database.look(endless)


def test_in_memory_too_a_look_ends(monkeypatch):
    connection = sqlite3.connect(":memory:")
    with pytest.raises(TooLongError), within(connection, 0.01):
        connection.execute(ENDLESS).fetchone()
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(("waited", "worked", "ended"), [(1, 1, False), (3, 1, False), (3, 3, True), (11, 1, True)])
def test_a_look_that_waits_for_a_slow_disk_has_longer(monkeypatch, waited, worked, ended):
    """The first report after a start reads a file that nothing is in memory of: it was refused once."""
    monkeypatch.setattr(reader, "_STEPS", 1)
    moments = {"monotonic": [0], "thread_time": [0]}
    monkeypatch.setattr(
        reader.time, "monotonic", lambda: moments["monotonic"].pop() if moments["monotonic"] else waited
    )
    monkeypatch.setattr(
        reader.time, "thread_time", lambda: moments["thread_time"].pop() if moments["thread_time"] else worked
    )
    connection = sqlite3.connect(":memory:")
    try:
        with within(connection, 2):
            connection.execute("SELECT 1").fetchone()
    except TooLongError:
        assert ended
    else:
        assert not ended


async def test_the_newest_requests_are_told_while_a_report_is_read(office):
    office = office()
    office.book()
    held, asked = threading.Event(), threading.Event()

    def long(_connection):
        asked.set()
        held.wait(10)

    report = asyncio.create_task(office.database.look(long))
    await asyncio.to_thread(asked.wait, 10)
    assert len(await office.reports.audit(5)) == 1
    assert not report.done()
    held.set()
    await report


async def test_only_so_many_reports_wait_and_the_next_one_is_told(database, monkeypatch):
    monkeypatch.setattr(reader, "MOST_WAITING", 2)
    held = threading.Event()
    waiting = [asyncio.create_task(database.look(lambda _: held.wait(10))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooLongError, match="too many"):
        await database.look(lambda _: None)
    held.set()
    await asyncio.gather(*waiting)
    assert await database.look(lambda _: 7) == 7


@pytest.mark.parametrize("ask", ["usage", "usage_csv", "summary"])
async def test_a_report_that_is_not_there_in_time_is_a_503_that_says_when_to_ask_again(office, ask, monkeypatch):
    office = office()

    async def late(_work, **_how):
        raise TooLongError("it would take longer than 2 seconds")

    monkeypatch.setattr(office.database, "look", late)
    with pytest.raises(BooksBusyError, match="fewer days") as caught:
        await getattr(office.reports, ask)(*([] if ask == "summary" else [{}]))
    assert caught.value.status == 503
    assert int(caught.value.headers["retry-after"]) > 0


async def test_while_the_writer_is_busy_for_long_the_newest_requests_are_told_too(office, monkeypatch):
    monkeypatch.setattr("cheaprouter.books.reports.PATIENCE", 0.01)
    office = office()
    office.book()
    held = threading.Event()
    busy = asyncio.create_task(office.database.read(lambda _: held.wait(10)))
    await asyncio.sleep(0)
    assert len(await office.reports.audit(5)) == 1
    held.set()
    await busy
    await office.recorder.flush()
    assert len(await office.reports.audit(5)) == 1


# --- the write-ahead log -----------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """A log of a megabyte at most."""
    monkeypatch.setattr("cheaprouter.books.recorder.MOST_BOOKED_AT_ONCE", 10)
    monkeypatch.setattr("cheaprouter.books.space.log_share", lambda _: MOST)


MOST = 2**20


async def test_the_log_stays_short_however_much_is_booked(office, small):
    office, longest = office(), 0
    for n in range(40):
        for m in range(25):
            office.book(device_id=f"device {n * 25 + m}")
        await office.recorder.flush()
        longest = max(longest, wal.length(office.database.path))
    assert longest < MOST * 5 // 8
    assert not office.recorder.problems()


async def test_another_program_that_reads_for_ever_stops_neither_requests_nor_lets_the_log_grow(office, small):
    office, longest = office(), 0
    other = sqlite3.connect(office.database.path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM request").fetchone()
    for n in range(40):
        for m in range(25):
            office.book(device_id=f"device {n * 25 + m}")
        await office.recorder.flush()
        longest = max(longest, wal.length(office.database.path))
    assert longest < MOST
    assert "another program" in office.recorder.problems()[0]
    other.close()
    await office.recorder.flush()
    assert office.recorder.problems() == ()
    assert await office.database.read(lambda c: c.execute("SELECT count(*) FROM request").fetchone()) == (1000,)
    assert wal.length(office.database.path) < MOST * 5 // 8


def test_one_transaction_fits_in_what_is_left_of_the_log():
    pages = 10 * wal.MOST_BOOKED_AT_ONCE
    assert wal.MOST_BYTES * 5 // 8 + pages * (4096 + 24) < wal.MOST_BYTES
