"""Whatever is in a record, its row fits into the journal and into SQLite, and reading never trips over one."""

from __future__ import annotations

import sqlite3
import sys
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books import totals as books
from cheaprouter.books.migrations import migrate
from cheaprouter.books.rows import COLUMNS, INDEX, SHAPE, from_disk, from_row, to_row
from cheaprouter.core.models import Profile, RequestRecord, Usage
from tests.builders import a_record

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
anything = stored | st.decimals()
money = st.none() | st.decimals() | st.sampled_from(list(map(Decimal, ("1e999999", "sNaN", "-Infinity", "0e99"))))
hostile = st.builds(
    RequestRecord,
    id=anything,
    timestamp=st.datetimes(timezones=st.just(UTC)),
    device_id=anything,
    requested_model=anything,
    model_id=anything,
    provider=anything,
    usage=st.builds(Usage, anything, anything, anything, anything, anything, estimated=anything, reported_cost=money),
    status=anything,
    latency_ms=anything,
    stream=anything,
    first_token_ms=anything,
    error=anything,
    cost=money,
    cost_source=anything,
    baseline_cost=money,
    attempts=anything,
    profile=anything,
    reason=anything,
    tier=anything,
    score=anything,
    cached=anything,
    via=anything,
    sub_identity=anything,
)


@given(hostile)
def test_no_record_gives_a_row_that_a_disk_refuses(record):
    row = to_row(7, 20261122, record)
    assert tuple(orjson.loads(orjson.dumps(row))) == row
    assert len(orjson.dumps(row)) < 10_000
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    books.apply(connection, [row])
    assert books.recent(connection, 1) == [row]
    assert books.totals(connection)
    connection.close()
    assert from_disk(row) == row
    assert to_row(7, 20261122, from_row(row)) == row


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


def test_a_record_that_cannot_even_be_looked_at_is_told_and_the_next_one_is_booked(office, caplog):
    office = office()
    office.book(usage=None)
    office.book()
    assert "could not be booked" in caplog.text
    assert [r.id for r in office.recorder.recent(5)] == ["req_2"]


def test_a_row_of_an_older_version_is_told_by_its_columns_names():
    old = [name for name in COLUMNS if name not in {"sub_identity", "attempts"}]
    row = from_disk([SHAPE[name][3] if name != "seq" else 5 for name in old], old)
    assert row is not None
    assert (row[0], row[INDEX["sub_identity"]], row[INDEX["attempts"]]) == (5, "", 0)


def test_a_booking_is_counted_to_the_day_it_is_given_and_no_clock_or_calendar_is_asked(office, monkeypatch):
    office = office(at="2026-11-22T23:59:59.9999")
    monkeypatch.setattr(type(office.calendar), "day", lambda *_: pytest.fail("the calendar is asked"))
    monkeypatch.setattr(type(office.time), "at", property(lambda _: pytest.fail("the clock is asked")))
    office.recorder.record(a_record(timestamp=datetime(2026, 11, 22, 23, 30, tzinfo=UTC)), 20261122)
    assert office.recorder._waiting[0][INDEX["day"]] == 20261122


def test_booking_one_request_takes_few_calls(office):
    office = office()
    calls = []

    def note(frame, event, _argument):
        if event == "call" and "/cheaprouter/" in frame.f_code.co_filename:
            calls.append(frame.f_code.co_name)

    record = office.book()
    sys.setprofile(note)
    office.recorder.record(record, 20261122)
    sys.setprofile(None)
    assert len(calls) <= 10, calls
