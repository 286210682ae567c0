from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from cheaprouter.books import journal
from cheaprouter.books import recorder as module
from cheaprouter.books import totals as books
from cheaprouter.config.settings import StorageSettings
from cheaprouter.core.models import Usage
from tests.builders import until


def booked(connection):
    return connection.execute("SELECT count(*) FROM request").fetchone()[0]


async def test_a_booking_is_in_the_database_after_a_flush(office):
    office = office()
    office.book()
    await office.recorder.flush()
    assert await office.database.read(booked) == 1


async def test_batches_are_written_in_the_background(office, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SECONDS", 0.001)
    office = office()
    running = asyncio.create_task(office.recorder.run())
    office.book()
    await until(lambda: office.database.read_sync(booked) == 1)
    assert not office.journal.dirty
    running.cancel()


def deleted_segments(folder):
    """Journal files that are gone from the folder and that this process still holds open."""
    found = []
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them is gone by now
            found.append(str(file.readlink()))
    return [link for link in found if link.startswith(str(folder)) and link.endswith(".log (deleted)")]


async def test_a_segment_that_is_forgotten_is_let_go_though_nothing_more_is_booked(office, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SECONDS", 0.001)
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 300)
    office = office()
    running = asyncio.create_task(office.recorder.run())
    office.book()
    await until(lambda: office.database.read_sync(booked) == 1 and not office.journal.dirty)
    await office.recorder.tidy()
    await until(lambda: not deleted_segments(office.journal.folder))
    running.cancel()


async def test_a_crash_before_the_flush_loses_nothing(office):
    office = office()
    office.book()
    office.database.close_sync()
    office.open()
    assert await office.database.read(booked) == 1
    assert office.metrics.snapshot("kitchen")["requests"] == 1


async def test_a_crash_after_the_flush_books_nothing_twice(office):
    office = office()
    office.book()
    await office.recorder.flush()
    office.database.close_sync()
    office.open()
    assert office.metrics.snapshot("kitchen")["requests"] == 1
    assert await office.database.read(lambda c: books.totals(c)["kitchen"][0]) == 1


def judged(connection):
    return connection.execute("SELECT id, tier, score FROM request ORDER BY seq").fetchall()


async def test_a_score_that_comes_after_the_reply_is_booked_with_it(office):
    office = office()
    for _ in range(3):
        office.book()
    assert office.recorder.amend(office.recorder._waiting[1][0], "COMPLEX", 0.75)
    await office.recorder.flush()
    assert await office.database.read(judged) == [
        ("req_1", None, None),
        ("req_2", "COMPLEX", 0.75),
        ("req_3", None, None),
    ]
    assert [(r.tier, r.score) for r in office.recorder.recent(2)] == [(None, None), ("COMPLEX", 0.75)]


async def test_a_score_for_what_the_database_has_or_nobody_booked_is_left_out(office):
    office = office()
    assert not office.recorder.amend(1, "SIMPLE", 0.1)
    office.book()
    seq = office.recorder._waiting[0][0]
    assert not office.recorder.amend(seq + 1, "SIMPLE", 0.1)
    await office.recorder.flush()
    assert not office.recorder.amend(seq, "SIMPLE", 0.1)
    office.book()
    assert not office.recorder.amend(seq, "SIMPLE", 0.1)
    assert [r.score for r in office.recorder.recent(2)] == [None, None]


async def test_a_score_that_comes_while_its_booking_is_written_is_left_out(office):
    office = office()
    office.book()
    seq = office.recorder._waiting[0][0]
    writing = asyncio.create_task(office.recorder.flush())
    await asyncio.sleep(0)
    assert not office.recorder.amend(seq, "SIMPLE", 0.1)
    await writing
    assert await office.database.read(judged) == [("req_1", None, None)]


async def test_a_score_is_taken_again_where_the_database_refused_its_booking(office, monkeypatch):
    office = office()
    office.book()
    seq = office.recorder._waiting[0][0]

    def full(*_):
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(books, "apply", full)
        await office.recorder.flush()
    assert office.recorder.amend(seq, "SIMPLE", 0.1)
    await office.recorder.flush()
    assert await office.database.read(judged) == [("req_1", "SIMPLE", 0.1)]


async def test_a_booking_that_failed_shifts_no_score_to_another(office):
    office = office()
    office.book()
    failed = office.recorder.record(("no row",))
    office.book()
    assert not office.recorder.amend(failed, "SIMPLE", 0.1)
    assert [r.score for r in office.recorder.recent(5)] == [None, None]


async def test_the_journal_is_empty_after_a_stop_in_good_order(office):
    office = office()
    office.book()
    await office.restart()
    assert list(office.journal.replay()) == []
    assert await office.database.read(booked) == 1


async def test_long_journals_are_dropped_once_the_database_has_their_rows(office, monkeypatch):
    monkeypatch.setattr("cheaprouter.books.journal.SEGMENT_BYTES", 1000)
    office = office()
    for _ in range(20):
        office.book()
    await office.recorder.flush()
    await office.recorder.tidy()
    await office.recorder.tidy()
    assert len(list((office.folder / "journal").iterdir())) == 1
    office.book()
    office.database.close_sync()
    office.open()
    assert await office.database.read(booked) == 21


async def test_a_database_that_refuses_is_told_once_and_tried_again(office, monkeypatch, caplog):
    monkeypatch.setattr(module, "BATCH_SECONDS", 0.001)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    apply, tries = books.apply, []

    def full(_connection, _rows):
        tries.append(1)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(books, "apply", full)
    office = office()
    monkeypatch.setattr(books, "apply", full)
    running = asyncio.create_task(office.recorder.run())
    office.book()
    await until(lambda: len(tries) > 5)
    assert len([r for r in caplog.records if "cannot be written" in r.message]) == 1
    monkeypatch.setattr(books, "apply", apply)
    await until(lambda: office.database.read_sync(booked) == 1)
    running.cancel()


async def test_bookings_wait_in_bounded_memory_and_what_overflows_comes_from_the_journal(office, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 100)
    office = office()
    for _ in range(150):
        office.book()
    assert len(office.recorder._waiting) == 100
    await office.recorder.flush()
    assert await office.database.read(booked) == 150
    assert await office.database.read(lambda c: books.totals(c)["kitchen"][0]) == 150
    office.book()
    await office.recorder.flush()
    assert await office.database.read(booked) == 151


async def test_nothing_runs_while_nothing_is_booked(office, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SECONDS", 0)
    office = office()
    running = asyncio.create_task(office.recorder.run())
    monkeypatch.setattr(office.journal, "sync", lambda: pytest.fail("nothing to sync"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    running.cancel()


async def test_without_a_usable_place_everything_but_lasting_goes_on(office, tmp_path):
    (tmp_path / "data").write_text("in the way")
    office = office()
    await office.database.close()
    office.folder = tmp_path / "data"
    office.open()
    office.book()
    assert (await office.reports.audit(5))[0]["id"] == "req_1"


async def test_a_second_router_leaves_the_firsts_journal_alone(office):
    first = office()
    first.book()
    second = office()
    second.book(id="theirs")
    assert [r["id"] for r in await second.reports.audit(5)] == ["theirs"]
    await second.recorder.close()
    assert len(list(first.journal.replay())) == 1
    await first.recorder.flush()
    assert await first.database.read(booked) == 1


async def test_bookings_made_while_the_database_was_unusable_come_in_later(office):
    office = office()
    office.book()
    await office.restart()
    await office.database.close()
    path = office.folder / "cheaprouter.db"
    path.rename(office.folder / "elsewhere")
    path.mkdir()
    office.later(seconds=1)
    office.open()
    assert office.database.volatile
    office.book()
    await office.recorder.close()
    await office.database.close()
    path.rmdir()
    (office.folder / "elsewhere").rename(path)
    office.later(seconds=1)
    office.open()
    assert not office.database.volatile
    assert await office.database.read(booked) == 2


async def test_text_that_is_no_utf_8_is_no_reason_to_stop(office):
    office = office()
    office.book(requested_model="half a pair: \ud83d")
    await office.recorder.flush()
    assert (await office.reports.audit(1))[0]["model"] == "half a pair: ?"


async def test_no_data_ends_the_background_work(office, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SECONDS", 0.001)
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.001)
    office = office(storage=StorageSettings(retention_days=999_999_999, max_mb=10**30))
    running = asyncio.create_task(office.recorder.run())
    office.book(error="e" * 10**6, latency_ms=float("nan"), cost=Decimal("1e999999"), usage=Usage(10**30, -1))
    await until(lambda: office.database.read_sync(booked) == 1)
    await asyncio.sleep(0.05)
    assert not running.done()
    running.cancel()


async def test_what_is_not_expected_reaches_whoever_watches_and_the_next_run_goes_on(office, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SECONDS", 0.001)
    office = office()
    apply = books.apply

    def broken(_connection, _rows):
        raise ZeroDivisionError

    monkeypatch.setattr(books, "apply", broken)
    office.book()
    with pytest.raises(ExceptionGroup):
        await office.recorder.run()
    monkeypatch.setattr(books, "apply", apply)
    running = asyncio.create_task(office.recorder.run())
    await until(lambda: office.database.read_sync(booked) == 1)
    running.cancel()


async def test_a_damaged_journal_is_told_as_damage(office):
    office = office()
    for _ in range(3):
        office.book()
    office.database.close_sync()
    path = next((office.folder / "journal").glob("*.log"))
    path.write_bytes(path.read_bytes().replace(b"req_2", b"req_9"))
    office.open()
    assert [r["id"] for r in await office.reports.audit(5)] == ["req_3", "req_1"]
    assert "1 line(s) of the journal" in office.database.damage[0]
