"""What was under way when the process died is booked at the next start, once."""

from __future__ import annotations

import shutil
from decimal import Decimal

import pytest

from cheaprouter.books import totals as books
from cheaprouter.core.models import Usage
from tests.books.conftest import Office


def intend(office, name="req_long", **changes):
    values = {
        "id": name, "at": round(office.time.at.timestamp() * 1_000_000), "day": 20261122, "device_id": "kitchen",
        "requested_model": "blockrun/auto", "model_id": "lab/small", "provider": "lab", "prompt_tokens": 10,
        "completion_tokens": 20, "cost": 3 * 10**9, "stream": 1, "attempts": 2, "profile": "auto", "via": "http", "sub_identity": "", "began": 5, "rate": 0, "usual": 0, "most": 0, "each": 10**6,
    }  # fmt: skip
    office.recorder.intend(tuple((values | changes).values()))


def crash(office):
    """Start again with what is on disk, as after kill -9."""
    office.database.close_sync()
    office.open()


def spend(office, since=20261101):
    return {day: cost for _, day, cost in office.database.read_sync(lambda c: books.spend(c, since))}


async def test_an_orphan_is_booked_at_its_estimate_in_its_own_day(office):
    office = office()
    intend(office)
    began = office.time.at
    office.later(86_400)
    crash(office)
    assert len(await office.reports.audit()) == 1
    audit = (await office.reports.audit())[0]
    assert (audit["status"], audit["error"], audit["cost_usd"]) == (500, "interrupted", 0.003)
    assert audit["timestamp"].startswith(began.isoformat()[:19])
    assert spend(office) == {20261122: 3 * 10**9}
    assert office.metrics.total.cost == 3 * 10**9


async def test_it_is_booked_once_however_often_the_router_starts(office):
    office = office()
    intend(office)
    for _ in range(3):
        crash(office)
    assert len(await office.reports.audit()) == 1
    await office.restart()
    assert spend(office) == {20261122: 3 * 10**9}


async def test_what_was_booked_is_no_orphan_also_where_its_line_in_the_journal_is_damaged(office):
    office = office()
    intend(office, "req_1")
    office.book(usage=Usage(1, 1), cost=Decimal("0.001"))
    await office.recorder.flush()
    path = next((office.folder / "journal").glob("*.log"))
    head, told, row = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + told + row.replace(b"kitchen", b"kitchex"))
    crash(office)
    assert [row["error"] for row in await office.reports.audit()] == [None]


async def test_it_is_booked_once_where_the_database_cannot_take_it_at_first(office, monkeypatch):
    office = office()
    intend(office)
    applied = books.apply

    def broken(*_):
        raise books.sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(books, "apply", broken)
    crash(office)
    monkeypatch.setattr(books, "apply", applied)
    await office.recorder.flush()
    assert len(await office.reports.audit()) == 1
    for _ in range(2):
        crash(office)
    assert len(await office.reports.audit()) == 1


@pytest.mark.parametrize("name", ["m" * 100_000, "ü" * 300, "\ud83d"])
async def test_whatever_a_client_calls_its_model_its_intent_is_kept(office, name):
    office = office()
    intend(office, requested_model=name)
    crash(office)
    assert len(await office.reports.audit()) == 1


async def test_an_intent_of_a_model_without_a_price_is_booked_as_unknown(office):
    office = office()
    intend(office, cost=None)
    crash(office)
    row = office.database.read_sync(lambda c: books.recent(c, 1))[0]
    assert books.values(row)[-1] == 1


async def test_what_was_written_meanwhile_is_told_by_the_time_until_the_process_died(office):
    office = office()
    began = round(office.time.at.timestamp() * 1_000_000)
    intend(office, began=began, rate=10, usual=40, most=100)
    office.later(3)
    office.journal.beat(round(office.time.at.timestamp() * 1_000_000))
    office.later(3600)
    crash(office)
    row = (await office.reports.audit())[0]
    assert row["completion_tokens"] == pytest.approx(20 + 30, abs=5)
    assert row["cost_usd"] == pytest.approx(0.003 + (row["completion_tokens"] - 20) * 1e-6)


@pytest.mark.parametrize(("rate", "written"), [(0, 40), (1000, 100)])
async def test_it_is_no_more_than_can_be_and_all_of_what_nobody_stops(office, rate, written):
    office = office()
    began = round(office.time.at.timestamp() * 1_000_000)
    intend(office, began=began, rate=rate, usual=40, most=100)
    office.later(3)
    office.book()
    crash(office)
    row = next(row for row in await office.reports.audit() if row["error"] == "interrupted")
    assert row["completion_tokens"] == 20 + written


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("how", ["deleted", "emptied", "replaced"])
async def test_a_journal_that_is_gone_is_damage_where_the_router_was_killed(tmp_path, killed, how):
    office = Office(tmp_path / "first")
    office.book(usage=Usage(1, 1), cost=Decimal("0.001"))
    await office.recorder.flush()
    if not killed:
        await office.recorder.close()
        office.database.close_sync()
    folder = shutil.copytree(tmp_path / "first", tmp_path / "second")
    if killed:
        office.journal.close()
        office.database.close_sync()
    journal = folder / "journal"
    if how == "emptied":
        next(journal.glob("*.log")).unlink()
    else:
        shutil.rmtree(journal)
    if how == "replaced":
        journal.write_text("not a folder")
    again = Office(folder)
    assert ["is gone" in words for words in again.database.damage] == [True] * killed
    assert len(await again.reports.audit()) == 1
    again.journal.close()
    again.database.close_sync()
