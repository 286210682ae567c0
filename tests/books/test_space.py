"""Everything in the data folder fits `storage.max_mb`: copies and backups too, the oldest go first, and what cannot shrink is told."""

from __future__ import annotations

import asyncio
import os

import pytest

from cheaprouter.books import recorder, space, wal
from cheaprouter.books.space import MEGABYTE, shares, taken, trim
from cheaprouter.config.settings import StorageSettings

NOW = 1_800_000_000.0


def put(folder, name, size, age):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - age, NOW - age))
    return path


def test_the_oldest_copies_go_first_and_the_newest_stays(tmp_path):
    names = ("cheaprouter.db.corrupt-1", "cheaprouter.db.rows-2", "journal/1.log.damaged", "cheaprouter.db.corrupt-4")
    old, *kept = [put(tmp_path, name, MEGABYTE, 100 - n) for n, name in enumerate(names)]
    trim(tmp_path, 12, NOW)
    assert not old.exists()
    assert all(path.exists() for path in kept)


def test_many_small_copies_do_not_pile_up(tmp_path):
    for n in range(space.MOST_COPIES + 30):
        put(tmp_path, f"cheaprouter.db.rows-{n}", 10, 100 - n)
    trim(tmp_path, 500, NOW)
    assert len(list(tmp_path.iterdir())) == space.MOST_COPIES
    assert (tmp_path / f"cheaprouter.db.rows-{space.MOST_COPIES + 29}").exists()


def test_a_copy_that_leaves_no_room_for_books_goes(tmp_path):
    big = put(tmp_path, "cheaprouter.db.corrupt-1", 3 * MEGABYTE, 1)
    trim(tmp_path, 5, NOW)
    assert not big.exists()


@pytest.mark.parametrize(
    "name", [".keys_and_settings.json.77", "cheaprouter-backup.db.partial", "cheaprouter-backup.db"]
)
def test_what_a_command_left_behind_goes_after_a_day(tmp_path, name):
    path = put(tmp_path, name, 10, 3600)
    trim(tmp_path, 500, NOW)
    assert path.exists()
    put(tmp_path, name, 10, 90_000)
    trim(tmp_path, 500, NOW)
    assert not path.exists()


def test_the_database_gets_what_all_else_leaves_and_its_log_a_share(tmp_path):
    put(tmp_path, "cheaprouter.db", 50 * MEGABYTE, 1)
    put(tmp_path, "somebody's film.mkv", 90 * MEGABYTE, 1)
    assert shares(tmp_path, 500) == space.Shares(64 * MEGABYTE, (500 - 64 - 12) * MEGABYTE * 9 // 10)
    put(tmp_path, "cheaprouter.db.corrupt-1", 20 * MEGABYTE, 1)
    put(tmp_path, "journal/2.log", 5 * MEGABYTE, 1)
    put(tmp_path, "cache/prices.json", MEGABYTE, 1)
    assert shares(tmp_path, 500).database == (500 - 64 - 12 - 21) * MEGABYTE * 9 // 10
    assert shares(tmp_path, 8) == space.Shares(2 * MEGABYTE, 0)


async def test_all_of_it_fits_whatever_is_booked_and_damaged(office):
    office = office(storage=StorageSettings(max_mb=5))
    for n in range(6):
        for m in range(2500):
            office.book(device_id=f"device {m % 50}", reason="x" * 400)
            if m % 500 == 0:
                await office.recorder.flush()
        put(office.folder, f"cheaprouter.db.corrupt-{n}", MEGABYTE, 0)
        await office.recorder.flush()
        await office.recorder.tidy()
        await office.recorder.tidy()
        assert taken(office.folder) <= 5 * MEGABYTE
    assert len(await office.reports.audit(10)) == 10
    assert office.metrics.total.requests == 15_000


async def test_while_the_database_takes_nothing_the_journal_leaves_room_and_what_went_is_told(office, monkeypatch):
    """Another program reads for ever, and the bookings that wait are long."""
    monkeypatch.setattr("cheaprouter.books.journal.SEGMENT_BYTES", 64 * 1024)
    monkeypatch.setattr(recorder, "MOST_WAITING", 100)
    office = office(storage=StorageSettings(max_mb=5))
    monkeypatch.setattr(office.database, "run", refused)
    for _ in range(30):
        for _ in range(100):
            office.book(requested_model="\N{FIRE}" * 256, reason="x" * 500)
        await office.recorder.flush()
        assert taken(office.folder) <= 5 * MEGABYTE
    await office.recorder.flush()
    told = [words for words in office.recorder.problems() if "found no room" in words]
    monkeypatch.undo()
    await office.recorder.flush()
    (kept,) = await office.database.read(lambda c: c.execute("SELECT count(*) FROM request").fetchone())
    assert 1500 < kept < 3000
    assert (3000 - kept) / 2 < int(told[-1].split()[0]) <= 3000 - kept


async def refused(_work):
    raise wal.WalFullError("another program has been reading the database for a long time")


async def test_long_bookings_are_brought_into_the_file_before_the_journal_takes_more_than_its_share(
    office, monkeypatch
):
    monkeypatch.setattr(recorder, "BATCH_SECONDS", 0)
    office = office(storage=StorageSettings(max_mb=16))
    running = asyncio.create_task(office.recorder.work["bookings"]())
    for _ in range(40):
        for _ in range(100):
            office.book(requested_model="\N{FIRE}" * 256, reason="x" * 500)
        await office.recorder.flush()
        await asyncio.sleep(0.01)
        assert office.journal.size < 2 * space.journal_share(16)
    running.cancel()


def test_a_backup_that_is_being_taken_costs_no_history(tmp_path):
    before = shares(tmp_path, 500)
    put(tmp_path, "cheaprouter-backup.db", 300 * 1024, 1)
    put(tmp_path, "cheaprouter-backup.db.partial", 300 * 1024, 1)
    assert shares(tmp_path, 500) == before


async def test_a_database_that_cannot_be_made_to_fit_is_told(office, monkeypatch):
    monkeypatch.setattr(recorder, "_size", lambda _: 600 * MEGABYTE)
    office = office()
    office.book()
    await office.recorder.flush()
    await office.recorder.tidy()
    assert "storage.max_mb" in office.recorder.problems()[0]
    monkeypatch.undo()
    await office.recorder.tidy()
    assert office.recorder.problems() == ()


async def test_totals_of_days_are_added_up_sooner_where_they_alone_take_too_much(office, monkeypatch):
    monkeypatch.setattr(recorder, "_used", lambda _: 600 * MEGABYTE)
    office = office(at="2026-01-01T12:00:00")
    for _ in range(120):
        office.book()
        office.later(days=1)
        await office.recorder.flush()
    await office.recorder.tidy()
    days = await office.database.read(lambda c: [r[0] for r in c.execute("SELECT DISTINCT day FROM daily ORDER BY 1")])
    assert days[0] == 20260101
    assert len(days) < 70
    assert await office.database.read(lambda c: c.execute("SELECT sum(requests) FROM daily").fetchone()) == (120,)


async def test_bookings_lost_on_a_full_disk_are_told(office, monkeypatch):
    office = office()
    monkeypatch.setattr(recorder, "MOST_WAITING", 5)
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for _ in range(9):
        office.book()
    monkeypatch.undo()
    await office.recorder.flush()
    assert any("4 booking(s)" in words for words in office.recorder.problems())
