"""What devices and models had used by the end of a day: any span says what the days say, whatever was booked, folded or damaged."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.books import rollups, standings
from cheaprouter.books import totals as books
from cheaprouter.books.migrations import migrate
from cheaprouter.books.sums import SUMS
from cheaprouter.core.ids import FORGOTTEN
from cheaprouter.core.models import Usage
from tests.builders import a_record, to_row

START = datetime(2026, 10, 20, tzinfo=UTC)
COLUMNS = {standings.DEVICE: "device_id, ''", standings.MODEL: "model_id, provider"}


def fresh():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


def day_of(offset):
    at = START + timedelta(days=offset)
    return at.year * 10000 + at.month * 100 + at.day


def book(connection, offset, device, model="lab/small", cost=5):
    seq = books.applied(connection) + 1
    record = a_record(
        id=f"req_{seq}", timestamp=START + timedelta(days=offset), device_id=device, model_id=model,
        provider=model.partition("/")[0], usage=Usage(seq, cost),
    )  # fmt: skip
    books.apply(connection, [to_row(seq, day_of(offset), record)])


def fill(connection):
    for kind in standings.KINDS:
        while (made := standings.make(connection, kind)) is not None:
            assert standings.keep(connection, made)


def used(connection, kind, first, last):
    """Sums by line; None: there is no answer. Names are in order, each once."""
    found = standings.between(connection, kind, first, last)
    if found is None:
        return None
    assert list(found.names) == sorted(set(found.names))
    names = [(name, "") if kind == standings.DEVICE else name for name in found.names]
    return dict(zip(names, zip(*found.sums, strict=True), strict=True))


def said(connection, kind, first, last):
    query = f"SELECT {COLUMNS[kind]}, {SUMS} FROM daily WHERE day BETWEEN ? AND ? GROUP BY 1, 2"
    return {(row[0], row[1]): row[2:] for row in connection.execute(query, (first, last))}


def assert_all_agree(connection, *, all_there=True):
    days = [day_of(n) for n in (-1, 0, 3, 9, 11, 12, 20, 30, 41, 60)]
    for kind in standings.KINDS:
        for first in days:
            for last in [day for day in days if day >= first]:
                found = used(connection, kind, first, last)
                assert found == said(connection, kind, first, last) or (found is None and not all_there)


bookings = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["den", "kids", "attic"]), st.sampled_from(["lab/a", "hub/b"])),
    max_size=30,
)


@settings(deadline=None, max_examples=40)
@given(bookings, bookings)
def test_any_span_says_what_its_days_say(before, after):
    connection = fresh()
    for offset, device, model in sorted(before):
        book(connection, offset, device, model)
    fill(connection)
    assert_all_agree(connection)
    for offset, device, model in after:  # late ones, too
        book(connection, offset, device, model)
    assert_all_agree(connection, all_there=False)
    fill(connection)
    assert_all_agree(connection)


@pytest.mark.parametrize("again", [True, False])
def test_a_forgotten_device_counts_to_the_forgotten_and_begins_anew_where_it_returns(again):
    connection = fresh()
    for offset in range(5):
        book(connection, offset, "den")
        book(connection, offset, "kids")
    fill(connection)
    books.fold(connection, ["kids"])
    assert_all_agree(connection)
    if again:
        book(connection, 5, "kids")
        book(connection, 6, "kids")
        fill(connection)
        assert_all_agree(connection)
    assert used(connection, standings.DEVICE, day_of(0), day_of(4))[FORGOTTEN, ""][0] == 5


def test_days_that_were_added_up_by_month_count_as_they_do_in_the_totals():
    connection = fresh()
    for offset in range(40):
        book(connection, offset, "den")
        book(connection, offset, "kids", "hub/b")
    fill(connection)
    while books.by_month(connection, day_of(20), 1):
        pass
    assert_all_agree(connection)


def test_totals_that_are_made_anew_take_their_standings_along():
    connection = fresh()
    for offset in range(4):
        book(connection, offset, "den")
    fill(connection)
    connection.execute("UPDATE daily SET cost = 7")
    rollups.rebuild_days(connection)
    fill(connection)
    assert_all_agree(connection)


@pytest.mark.parametrize("sums", [b"", b"junk", 7, "text"])
def test_a_damaged_standing_is_no_answer_and_is_made_anew(sums):
    connection = fresh()
    for offset in range(4):
        book(connection, offset, "den")
    fill(connection)
    connection.execute("UPDATE standing SET sums = ? WHERE day = ?", (sums, day_of(2)))
    assert standings.between(connection, standings.DEVICE, day_of(3), day_of(5)) is None
    book(connection, 4, "den")
    book(connection, 5, "den")
    for _ in range(3):
        fill(connection)
    assert_all_agree(connection)


def test_a_booking_to_a_day_that_is_over_keeps_what_was_made_of_it_from_being_written():
    connection = fresh()
    for offset in range(3):
        book(connection, offset, "den")
    made = standings.make(connection, standings.DEVICE)
    book(connection, 0, "den")
    assert not standings.keep(connection, made)
    fill(connection)
    assert_all_agree(connection)


async def test_reports_by_device_and_model_are_read_from_standings(office, monkeypatch):
    office = office(at="2026-11-01T12:00:00")
    for _ in range(4):
        office.book()
        office.book(device_id="den", model_id="hub/b", provider="hub")
        office.later(days=1)
    await office.recorder.flush()
    groups = ("device", "model", "provider", "provider,model")
    query = {"from": "2026-11-02", "to": "2026-11-03"}
    slow = [await office.usage({"group_by": group, **query}) for group in groups]
    await office.recorder.tidy()
    monkeypatch.setattr("cheaprouter.books.usage._select", None)
    assert [await office.usage({"group_by": group, **query}) for group in groups] == slow
    assert slow[0]["total"]["requests"] == 4
