"""Whatever is in a record, its row fits into the journal and into SQLite, and reading never trips over one."""

from __future__ import annotations

import sqlite3
import sys
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books import totals as books
from cheaprouter.books.migrations import migrate
from cheaprouter.books.rows import COLUMNS, INDEX, SHAPE, from_disk, from_row, make_row
from cheaprouter.core.models import Profile
from tests.builders import a_record, row_values, to_row

stored = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.integers()),
    st.sampled_from([10**5000, -(10**5000), "\ud83d", "x" * 100_000, Profile.AUTO, {"code": 1}, float("nan"), 2**63]),
)
numbers = {
    int: st.integers() | st.sampled_from([10**5000, -(10**5000), 2**63, -1]),
    float: st.floats() | st.integers(),
    str: st.text() | st.sampled_from(["\ud83d", "x" * 100_000]),
}


def of(name, kind, least, most, empty):
    """A text, a count or a time of the right type, and nothing else is sure; whole numbers of our own are within bounds."""
    ours = kind is int and name != "at" and not name.endswith("_tokens")
    values = st.integers(least, most) if ours else numbers[kind]
    return values if empty is not None else st.none() | values


hostile = st.tuples(*(of(name, *rule) for name, rule in list(SHAPE.items())[1:]))


@given(hostile)
def test_no_booking_gives_a_row_that_a_disk_refuses(values):
    row = make_row(7, values)
    assert tuple(orjson.loads(orjson.dumps(row))) == row
    assert len(orjson.dumps(row)) < 10_000
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    books.apply(connection, [row])
    assert books.recent(connection, 1) == [row]
    assert books.totals(connection)
    connection.close()
    assert from_disk(row) == row
    assert to_row(7, row[INDEX["day"]], from_row(row)) == row


def test_a_usual_row_is_taken_as_it_is_and_an_unusual_one_bounded():
    usual = to_row(7, 20261122, a_record())
    for name, value, kept in (
        ("requested_model", "\u00e9", "\u00e9"),
        ("requested_model", "x" * 257, "x" * 256),
        ("prompt_tokens", 2**53 + 1, 2**53),
        ("prompt_tokens", -1, 0),
        ("first_token_ms", float("nan"), None),
        ("latency_ms", float("nan"), 0.0),
        ("score", 1.5, 1.0),
    ):
        values = list(usual)
        values[INDEX[name]] = value
        wanted = list(usual)
        wanted[INDEX[name]] = kept
        assert make_row(7, tuple(values[1:])) == tuple(wanted)


@given(st.lists(stored, min_size=len(COLUMNS), max_size=len(COLUMNS)))
def test_what_is_read_back_is_a_row_of_ours_or_nothing(values):
    row = from_disk(values)
    assert row is None or from_disk(row) == row


@pytest.mark.parametrize(
    ("name", "longest"),
    [("error", 64), ("provider", 256), ("model_id", 256), ("profile", 64), ("tier", 64), ("via", 64), ("reason", 500)],
)
def test_texts_are_bounded_in_rows(office, name, longest):
    office = office()
    office.book(**{name: "x" * 262_144})
    assert office.recorder.recent(1)[0].__getattribute__(name) == "x" * longest


@pytest.mark.parametrize(("sent", "kept"), [(float("nan"), 0.0), (float("inf"), 1e12), (-1.0, 0.0), (10**400, 1e12)])
async def test_times_are_finite(office, sent, kept):
    office = office()
    office.book(latency_ms=sent)
    await office.recorder.flush()
    assert (await office.reports.audit(1))[0]["latency_ms"] == kept
    assert office.metrics.snapshot(None)["latency_p50_ms"] == kept


async def test_an_error_code_of_256_kb_is_64_characters_in_the_audit(office):
    office = office()
    office.book(status=502, error="e" * 262_144)
    assert (await office.reports.audit(1))[0]["error"] == "e" * 64


def test_a_row_that_cannot_even_be_looked_at_is_told_and_the_next_one_is_booked(office, caplog):
    office = office()
    office.recorder.record(("req_1",))
    office.book()
    assert "could not be booked: ('req_1',)" in caplog.text
    assert [r.id for r in office.recorder.recent(5)] == ["req_1"]
    assert len(office.recorder._waiting) == 1


def test_a_row_of_an_older_version_is_told_by_its_columns_names():
    old = [name for name in COLUMNS if name not in {"sub_identity", "attempts"}]
    row = from_disk([SHAPE[name][3] if name != "seq" else 5 for name in old], old)
    assert row is not None
    assert (row[0], row[INDEX["sub_identity"]], row[INDEX["attempts"]]) == (5, "", 0)


def test_a_booking_is_counted_to_the_day_it_is_given_and_no_clock_or_calendar_is_asked(office, monkeypatch):
    office = office(at="2026-11-22T23:59:59.9999")
    monkeypatch.setattr(type(office.calendar), "day", lambda *_: pytest.fail("the calendar is asked"))
    monkeypatch.setattr(type(office.time), "at", property(lambda _: pytest.fail("the clock is asked")))
    office.recorder.record(row_values(a_record(timestamp=datetime(2026, 11, 22, 23, 30, tzinfo=UTC)), 20261122))
    assert office.recorder._waiting[0][INDEX["day"]] == 20261122


def test_booking_one_request_takes_few_calls(office):
    office = office()
    calls = []

    def note(frame, event, _argument):
        if event == "call" and "/cheaprouter/" in frame.f_code.co_filename:
            calls.append(frame.f_code.co_name)

    values = row_values(office.book(), 20261122)
    sys.setprofile(note)
    office.recorder.record(values)
    sys.setprofile(None)
    assert len(calls) <= 5, calls
