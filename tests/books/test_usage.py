"""What a report costs those who wait for something else, and how much is read for it."""

from __future__ import annotations

import csv
import io
import sqlite3
import threading
from decimal import Decimal
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books import rollups, standings, tables, usage
from cheaprouter.books.migrations import MIGRATIONS, migrate
from cheaprouter.books.sums import SUMS, TOTALS
from cheaprouter.books.usage import Query
from cheaprouter.config.settings import StorageSettings
from cheaprouter.core.calendar import Calendar

ROWS = 60_000


@pytest.fixture(scope="module")
def connection():
    """Hours of 100 models of 7 providers."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, MIGRATIONS)
    columns = ("kind", "day", "at", "device_id", "model_id", "provider", *TOTALS)
    connection.execute(
        f"""INSERT INTO rollup ({", ".join(columns)})
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS - 1})
            SELECT {rollups.HOUR_MODEL}, 20261101 + i / 10000, 1793484000 + i / 100 * 900, '', 'm' || (i % 100),
                   'p' || (i % 100 % 7), 1, 1, 1, 0, 0, 0, 1, 0, 0 FROM n"""
    )
    return connection


@pytest.mark.parametrize(
    "groups", [("hour", "provider"), ("provider", "hour"), ("hour", "model"), ("hour", "day", "provider")]
)
def test_by_the_hour_no_more_is_read_than_is_shown(connection, groups):
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(step, 100)
    query = usage._select(connection, Query(20261101, 20261130, groups), usage.MOST_COMBINED)
    rows = connection.execute(*query).fetchall()
    connection.set_progress_handler(None, 0)
    assert len(rows) == usage.MOST_COMBINED
    assert steps < ROWS * 10 / 100  # a sort of all takes some 50 steps for each


def test_by_the_hour_and_provider_the_models_of_a_provider_are_one_row(connection):
    found = usage.answer(connection, Query(20261101, 20261130, ("hour", "provider")), Calendar(ZoneInfo("UTC")))
    assert sorted(found.sums[0][:7]) == [4 * 14] * 5 + [4 * 15] * 2


@pytest.mark.parametrize(("ask", "made"), [("usage", "as_json"), ("usage_csv", "as_csv")])
async def test_what_is_sent_is_made_beside_the_event_loop(office, ask, made, monkeypatch):
    """Ten thousand rows as CSV took a fifth of a second, in which nobody else was served."""
    office = office()
    office.book()
    makers = []
    make = getattr(tables, made)

    def watched(*args):
        makers.append(threading.current_thread())
        return make(*args)

    monkeypatch.setattr(tables, made, watched)
    assert await getattr(office.reports, ask)({})
    assert makers
    assert threading.main_thread() not in makers


# --- what is told where there is more ------------------------------------------------------------------------------

BERLIN = Calendar(ZoneInfo("Europe/Berlin"))
HOUR = 3600


def booked(keys):
    """Books with one request for each (day, Unix seconds, device, model)."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, MIGRATIONS)
    rollups.book(connection, {(*key, "lab"): (1,) * len(TOTALS) for key in keys})
    columns = ", ".join(("day", "device_id", "model_id", "provider", *TOTALS))
    connection.execute(
        f"""INSERT INTO daily ({columns}) SELECT day, device_id, model_id, 'lab', {SUMS} FROM rollup
            WHERE kind = {rollups.HOUR_DEVICE} GROUP BY day, device_id, model_id"""
    )
    return connection


def told(connection, *groups, **picked):
    found = usage.answer(connection, Query(20261101, 20261130, groups, **picked), BERLIN)
    return found, {
        key: requests for *key, requests in zip(*found.labels, found.sums[0], strict=True) for key in [tuple(key)]
    }


def test_no_hour_is_told_in_part(monkeypatch):
    """It goes on where no more is read: its sums were those of its first quarters."""
    monkeypatch.setattr(usage, "MOST_COMBINED", 10)
    start = 1793484000
    keys = [(20261101, start + n * 900, f"device {m}", "a") for n in range(12) for m in range(2)]
    found, rows = told(booked(keys), "hour", "device")
    assert found.partial
    assert set(rows.values()) == {4}
    assert found.whole[0] == len(keys)


def test_where_one_hour_alone_is_more_than_is_told_its_rows_are_whole(monkeypatch):
    monkeypatch.setattr(usage, "MOST_COMBINED", 10)
    keys = [(20261101, 1793484000 + n * 900, f"device {m:02}", "a") for n in range(8) for m in range(30)]
    found, rows = told(booked(keys), "hour", "device")
    assert found.partial
    assert set(rows.values()) == {4}
    assert len(rows) == 10


@pytest.mark.parametrize(
    "groups", [("day", "device"), ("device", "day"), ("hour", "device"), ("day", "device", "provider")]
)
def test_one_model_is_not_searched_for_among_all(monkeypatch, groups):
    monkeypatch.setattr(usage, "MOST_PASSED", 50)
    keys = [(20261101 + n // 40, 1793484000 + n * HOUR, f"device {n % 7}", f"m{n % 3}") for n in range(120)]
    connection, steps = booked(keys), []
    connection.set_progress_handler(lambda: steps.append(1), 1)
    found, rows = told(connection, *groups, model="m1")
    assert found.partial
    assert 10 < len(rows) < 20
    assert found.whole[0] == 40


@pytest.mark.parametrize(
    "groups", [("device",), ("device", "provider"), ("month", "device"), ("month", "device", "model")]
)
def test_of_one_model_the_busiest_devices_are_told_and_all_where_there_are_few(groups):
    keys = [(20261101, 1793484000, f"device {n}", f"m{n % 2}") for n in range(6)]
    connection = booked(keys)
    for kind in standings.KINDS:
        while (made := standings.make(connection, kind)) is not None:
            standings.keep(connection, made)
    found, rows = told(connection, *groups, model="m1")
    assert not found.partial
    assert len(rows) == 3
    assert found.whole[0] == 3


@given(st.integers(-(2**62), 2**62))
def test_money_in_csv_is_exact(pico):
    answer = usage.Answer(
        [["kitchen"]], [[pico if name == "cost" else 0] for name in TOTALS], (0,) * len(TOTALS), partial=False
    )
    (row,) = csv.DictReader(io.StringIO(tables.as_csv(["device"], answer).decode()))
    assert Decimal(row["cost_usd"]) * 10**12 == pico
    assert "E" not in row["cost_usd"].upper()
    assert row["saved_usd"] == "0"


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_name_is_one_cell_and_one_value(names):
    answer = usage.Answer([names], [[1] * len(names) for _ in TOTALS], (0,) * len(TOTALS), partial=False)
    rows = [*csv.DictReader(io.StringIO(tables.as_csv(["device"], answer).decode(), newline=""))]
    shown = [name.encode("utf-8", "replace").decode() for name in names]
    assert [row["device"].removeprefix("'") for row in rows] == [name.removeprefix("'") for name in shown]
    assert [row["device"] for row in orjson.loads(tables.as_json(["device"], answer, {"to": 1}))["data"]] == shown


async def test_the_newest_requests_are_told_without_the_disk_and_without_another_thread(office, monkeypatch):
    office = office()
    for _ in range(30):
        office.book()
    await office.restart()
    for _ in range(30):
        office.book(device_id="den")
    monkeypatch.setattr(office.database, "look", None)
    monkeypatch.setattr(office.recorder, "flush", None)
    assert [row["id"] for row in await office.reports.audit(50)] == [f"req_{n}" for n in range(60, 10, -1)]
    assert {row["device_id"] for row in await office.reports.audit(20, "den")} == {"den"}


async def test_what_is_too_old_is_not_told_from_memory_either(office):
    office = office(storage=StorageSettings(retention_days=7))
    office.book()
    office.later(days=8)
    await office.recorder.flush()
    await office.recorder.tidy()
    assert await office.reports.audit(1) == []
