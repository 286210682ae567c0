"""Sums kept beside the bookings say what the bookings say, however those came in, and whatever happened to the file."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.books import rollups
from cheaprouter.books import totals as books
from cheaprouter.books.database import Database
from cheaprouter.books.migrations import MIGRATIONS, migrate
from cheaprouter.books.rows import COLUMNS
from cheaprouter.books.sums import REQUEST_SUMS
from cheaprouter.core.ids import FORGOTTEN
from cheaprouter.core.models import Usage
from tests.books.test_damage import pages_of, spoil
from tests.builders import NOON, a_record, to_row

DAY = 20261122
DEVICES = ("kitchen", "den", "attic")
MODELS = (None, "lab/small", "hub/big")
QUARTER = "(at - (at % 900000000 + 900000000) % 900000000) / 1000000"

bookings = st.lists(
    st.tuples(
        st.integers(0, 3 * 86_400),
        st.sampled_from(DEVICES),
        st.sampled_from(MODELS),
        st.sampled_from([200, 429, 499, 502]),
        st.none() | st.integers(0, 10**6),
        st.integers(0, 2),
    ),
    max_size=40,
)


def fresh(steps=MIGRATIONS):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, steps)
    return connection


def rows_of(made, first=1):
    found = []
    for seq, (seconds, device, model, status, cost, attempts) in enumerate(made, first):
        at = datetime(2026, 11, 30, tzinfo=UTC) + timedelta(seconds=seconds)
        record = a_record(
            id=f"req_{seq}",
            timestamp=at,
            device_id=device,
            model_id=model,
            provider=model and model.partition("/")[0],
            status=status,
            cost=None if cost is None else Decimal(cost) / 10**6,
            attempts=attempts,
            usage=Usage(seq, 2 * seq),
        )
        found.append(to_row(seq, at.year * 10000 + at.month * 100 + at.day, record))
    return found


def asked(connection, query):
    return sorted(connection.execute(query).fetchall())


def of_requests(connection, columns):
    names = {"at": QUARTER, "model_id": "coalesce(model_id, '')", "month": "day / 100 * 100"}
    picked = ", ".join(names.get(column, column) for column in columns)
    places = ", ".join(str(n + 1) for n in range(len(columns)))
    return asked(connection, f"SELECT {picked}, {REQUEST_SUMS} FROM request GROUP BY {places}")


def of_rollups(connection, kind, columns):
    picked = ", ".join("day" if column == "month" else column for column in columns)
    return asked(connection, f"SELECT {picked}, {', '.join(books.TOTALS)} FROM rollup WHERE kind = {kind}")


KEPT = {
    rollups.HOUR: ("day", "at"),
    rollups.HOUR_MODEL: ("day", "at", "model_id"),
    rollups.HOUR_DEVICE: ("day", "at", "device_id", "model_id"),
    rollups.DAY_MODEL: ("day", "model_id"),
    rollups.MONTH_DEVICE: ("month", "device_id"),
}


def assert_in_step(connection):
    for kind, columns in KEPT.items():
        assert of_rollups(connection, kind, columns) == of_requests(connection, columns)


@given(bookings, st.integers(1, 10))
def test_each_kind_says_what_the_requests_say(made, size):
    connection, rows = fresh(), rows_of(made)
    for start in range(0, len(rows), size):
        books.apply(connection, rows[start : start + size])
    assert_in_step(connection)


@settings(deadline=None)
@given(bookings, bookings, st.integers(1, 10))
def test_books_of_an_older_version_are_filled_in_while_new_bookings_come(before, after, size):
    connection = fresh(MIGRATIONS[:3])
    old, new = rows_of(before), rows_of(after, len(before) + 1)
    connection.executemany(f"INSERT INTO request VALUES ({', '.join('?' * len(COLUMNS))})", old)
    connection.execute(
        f"""INSERT INTO daily SELECT day, device_id, coalesce(model_id, ''), coalesce(max(provider), ''), {REQUEST_SUMS}
            FROM request GROUP BY 1, 2, 3"""
    )
    migrate(connection)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollups, "FILLED_AT_ONCE", size)
        more = True
        while more or new:
            books.apply(connection, [new.pop(0)] if new else [])
            for columns in (("day", "at"), ("day", "at", "model_id"), ("day", "at", "device_id", "model_id")):
                source = rollups.source(rollups.choose(columns), (), rollups.unfilled(connection))
                found = connection.execute(
                    f"SELECT {', '.join(columns)}, sum(requests) FROM ({source}) GROUP BY {', '.join(columns)}",
                    {"first": 0, "last": 99991231},
                )
                assert sorted(found) == [row[: len(columns) + 1] for row in of_requests(connection, columns)]
            more = rollups.fill(connection)
    assert rollups.unfilled(connection) == 0
    assert_in_step(connection)


@given(bookings, st.sets(st.sampled_from(DEVICES)))
def test_forgotten_devices_are_folded_and_every_sum_stays(made, gone):
    connection = fresh()
    books.apply(connection, rows_of(made))
    books.fold(connection, gone)
    connection.executemany("UPDATE request SET device_id = ? WHERE device_id = ?", [(FORGOTTEN, d) for d in gone])
    assert_in_step(connection)
    assert not gone & books.devices(connection)


@given(bookings, st.data())
def test_every_report_adds_up_to_the_same_from_whatever_it_is_read(made, data):
    connection = fresh()
    books.apply(connection, rows_of(made))
    names = ("day", "at", "device_id", "model_id", "provider")
    columns = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    wanted = {
        "device_id": data.draw(st.sampled_from([None, *DEVICES])),
        "model_id": data.draw(st.sampled_from([*MODELS])),
    }
    filters = [name for name, value in wanted.items() if value is not None]
    source = rollups.source(rollups.choose({"day", *columns, *filters}), filters, 0)
    span = {"first": 20261130, "last": 20261201}
    grouped = ", ".join(columns)
    found = asked_with(connection, f"SELECT {grouped}, {sums()} FROM ({source}) GROUP BY {grouped}", span | wanted)
    where = " AND ".join(["day BETWEEN :first AND :last", *(f"{name} = :{name}" for name in filters)])
    renamed = f"""SELECT day, {QUARTER} AS at, device_id, coalesce(model_id, '') AS model_id, coalesce(provider, '') AS provider,
                  {with_names()} FROM request GROUP BY seq"""
    expected = asked_with(
        connection, f"SELECT {grouped}, {sums()} FROM ({renamed}) WHERE {where} GROUP BY {grouped}", span | wanted
    )
    assert found == expected


def sums():
    return ", ".join(f"sum({name})" for name in books.TOTALS)


def with_names():
    depth, parts, part = 0, [], ""
    for letter in REQUEST_SUMS:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append(part)
            part = ""
        else:
            part += letter
    return ", ".join(f"{one} AS {name}" for one, name in zip([*parts, part], books.TOTALS, strict=True))


def asked_with(connection, query, values):
    return sorted(connection.execute(query, values).fetchall())


def test_hours_go_with_the_requests_of_their_day_and_days_stay():
    connection = fresh()
    books.apply(connection, rows_of([(hour * 3600, "kitchen", "lab/small", 200, 1, 1) for hour in range(72)]))
    connection.execute("DELETE FROM request WHERE day < 20261202")
    while rollups.drop_hours(connection, 5):
        pass
    kept = asked(connection, "SELECT kind, min(day), sum(requests) FROM rollup GROUP BY kind")
    assert kept == [(0, 20261202, 24), (1, 20261202, 24), (2, 20261202, 24), (3, 20261130, 72), (4, 20261100, 72)]


# --- damage --------------------------------------------------------------------------------------------------------


def filled(path, count=50):
    database = Database(path)
    database.open()
    rows = rows_of([(n * 600, DEVICES[n % 3], "lab/small", 200, 5, 1) for n in range(count)])
    database.run_sync(lambda c: books.apply(c, rows))
    database.close_sync()
    return path


@pytest.mark.parametrize("value", ["'x'", "x'00'", "1.5", "9223372036854775807"])
async def test_a_sum_that_cannot_be_is_made_anew_and_nothing_is_lost(tmp_path, value):
    path = filled(tmp_path / "cheaprouter.db")
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE rollup SET cost = {value} WHERE device_id IN ('', 'den')")
    connection.close()
    database = Database(path)
    database.open()
    await database.look_through()
    await database.look(assert_in_step)
    assert database.damage == ()
    await database.close()


async def test_sums_lost_with_a_damaged_file_are_made_anew_from_what_was_saved(tmp_path):
    path = filled(tmp_path / "cheaprouter.db")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE rollup")
        connection.execute("UPDATE migration SET name = 'nonsense' WHERE name = 'devices_and_their_settings'")
    connection.close()
    database = Database(path)
    database.open()
    assert database.moved_aside is not None
    await database.look_through()
    await database.look(assert_in_step)
    await database.close()


# --- a connection of its own ---------------------------------------------------------------------------------------


async def test_bookings_go_on_while_a_report_is_read_which_sees_one_state(database):
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection):
        before = connection.execute("SELECT count(*) FROM request").fetchone()[0]
        begun.set()
        assert go_on.wait(10)
        return before, connection.execute("SELECT count(*) FROM request").fetchone()[0]

    await database.run(lambda c: books.apply(c, [to_row(1, DAY, a_record())]))
    report = asyncio.create_task(database.look(slow))
    await asyncio.to_thread(begun.wait, 10)
    await database.run(lambda c: books.apply(c, [to_row(2, DAY, a_record())]))
    assert not report.done()
    go_on.set()
    assert await report == (1, 1)
    assert await database.look(lambda c: c.execute("SELECT count(*) FROM request").fetchone()[0]) == 2


async def test_a_report_is_read_while_bookings_are_written(database):
    await database.look(lambda _: None)
    writing, go_on = threading.Event(), threading.Event()

    def slow(connection):
        books.apply(connection, [to_row(1, DAY, a_record())])
        writing.set()
        assert go_on.wait(10)

    booking = asyncio.create_task(database.run(slow))
    await asyncio.to_thread(writing.wait, 10)
    assert await database.look(lambda c: c.execute("SELECT count(*) FROM request").fetchone()[0]) == 0
    go_on.set()
    await booking


async def test_a_report_cannot_write(database):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database._reports.look(database.path, database._connection, lambda c: c.execute("DELETE FROM request"))


async def test_a_report_that_takes_for_ever_does_not_hold_up_the_end(database):
    begun = threading.Event()

    def endless(connection):
        connection.create_function("begin", 0, begun.set)
        return connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT begin() UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"
        ).fetchone()

    report = asyncio.create_task(database.look(endless))
    await asyncio.to_thread(begun.wait, 10)
    await database.close()
    with pytest.raises(sqlite3.Error):
        await report


async def test_books_in_memory_are_read_where_they_are_written():
    database = Database(None)
    database.open()
    await database.run(lambda c: books.apply(c, [to_row(1, DAY, a_record())]))
    assert await database.look(books.applied) == 1
    await database.close()


async def test_damage_that_a_report_meets_is_mended_and_reports_go_on_with_the_new_file(office):
    office = office()
    for _ in range(400):
        office.book(reason="x" * 300)
    await office.recorder.flush()
    await office.reports.audit(1)
    await office.database.read(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    path = office.database.path
    spoil(path, pages_of(path, "request")[:3])
    for ask in (office.database.read, office.database.look):
        await ask(lambda c: c.execute("PRAGMA cache_size=1").fetchone())
    for _ in range(3):
        office.book()
        await office.reports.audit(1000)
    assert office.database.moved_aside is not None
    assert [row["id"] for row in await office.reports.audit(3)] == ["req_403", "req_402", "req_401"]
    assert (await office.usage({}))["total"]["requests"] == 403
    by_hour = await office.usage({"group_by": "hour"})
    assert await office.database.look(rollups.unfilled)
    await office.recorder.tidy()
    assert not await office.database.look(rollups.unfilled)
    assert await office.usage({"group_by": "hour"}) == by_hour


def test_noon_is_a_quarter():
    assert rollups.quarter(int(NOON.timestamp() * 10**6) + 899_999_999) == NOON.timestamp()
