from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books import totals as books
from cheaprouter.books.migrations import migrate
from cheaprouter.books.rows import from_row
from cheaprouter.core.ids import FORGOTTEN
from cheaprouter.core.models import RequestRecord, Usage
from tests.builders import a_record, to_row


@pytest.fixture
def connection():
    made = sqlite3.connect(":memory:", isolation_level=None)
    migrate(made)
    return made


texts = st.text(max_size=50)
records = st.builds(
    RequestRecord,
    id=texts,
    timestamp=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
    device_id=texts,
    requested_model=texts,
    model_id=st.none() | texts,
    provider=st.none() | texts,
    usage=st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 100), estimated=st.booleans()),
    status=st.integers(100, 599),
    latency_ms=st.floats(0, 1e6),
    stream=st.booleans(),
    first_token_ms=st.none() | st.floats(0, 1e6),
    error=st.none() | texts,
    cost=st.none() | st.decimals(0, 1000, places=12),
    baseline_cost=st.none() | st.decimals(0, 1000, places=12),
    attempts=st.integers(0, 9),
    score=st.none() | st.floats(0, 1),
    cached=st.booleans(),
)


@given(records)
def test_a_record_survives_its_row(made):
    assert from_row(to_row(1, 20261122, made)) == made


def test_a_megabyte_of_a_models_name_is_cut():
    assert len(from_row(to_row(1, 20261122, a_record(requested_model="x" * 10**6))).requested_model) == 256


def test_half_a_surrogate_pair_is_replaced():
    assert from_row(to_row(1, 20261122, a_record(requested_model="\ud83d half"))).requested_model == "? half"


@pytest.mark.parametrize(("sent", "kept"), [(-5, 0), (10**30, 2**53)])
def test_impossible_token_counts_are_cut(sent, kept):
    assert from_row(to_row(1, 20261122, a_record(usage=Usage(sent, 0)))).usage.prompt_tokens == kept


def test_booking_twice_counts_once(connection):
    rows = [to_row(n, 20261122, a_record(id=f"req_{n}")) for n in (1, 2, 3)]
    books.apply(connection, rows[:2])
    books.apply(connection, rows)
    books.apply(connection, rows)
    assert books.totals(connection)["kitchen"][0] == 3
    assert books.applied(connection) == 3


@given(st.lists(st.integers(1, 30), max_size=60), st.integers(1, 7))
def test_however_batches_overlap_each_row_is_booked_once(seqs, size):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    rows = [to_row(n, 20261122, a_record(cost=Decimal(n))) for n in range(1, 31)]
    done = 0
    for seq in sorted(seqs):
        books.apply(connection, rows[max(0, seq - size) : seq])
        done = max(done, seq)
    booked = [row[0] for row in books.recent(connection, 100)]
    assert len(booked) == len(set(booked))
    assert books.totals(connection).get("kitchen", (0,))[0] == len(booked)


def test_refusals_failures_and_cancellations_are_told_apart(connection):
    books.apply(
        connection,
        [
            to_row(
                1, 20261122, a_record(status=429, attempts=0, model_id=None, provider=None, error="rate_limit_exceeded")
            ),
            to_row(2, 20261122, a_record(status=429, attempts=2)),
            to_row(3, 20261122, a_record(status=502)),
            to_row(4, 20261122, a_record(status=499)),
            to_row(5, 20261122, a_record(cost=None)),
        ],
    )
    totals = dict(zip(books.TOTALS, books.totals(connection)["kitchen"], strict=True))
    assert (totals["requests"], totals["limit_hits"], totals["errors"], totals["unpriced"]) == (5, 1, 2, 1)


def test_spend_is_by_device_and_day(connection):
    books.apply(
        connection,
        [
            to_row(1, 20261121, a_record()),
            to_row(2, 20261122, a_record()),
            to_row(3, 20261122, a_record(device_id="den", cost=Decimal("0.5"))),
        ],
    )
    assert sorted(books.spend(connection, 20261122, 202611)) == [
        ("den", 20261100, 0),
        ("den", 20261122, 5 * 10**11),
        ("kitchen", 20261100, 10**9),
        ("kitchen", 20261122, 10**9),
    ]


def test_forgetting_devices_keeps_the_sums(connection):
    rows = [to_row(n, 20261120 + n % 3, a_record(device_id=f"spoof-{n}")) for n in range(1, 1200)]
    books.apply(connection, rows)
    books.fold(connection, [f"spoof-{n}" for n in range(1, 1000)])
    books.fold(connection, [f"spoof-{n}" for n in range(1000, 1200)])
    totals = books.totals(connection)
    assert list(totals) == [FORGOTTEN]
    assert totals[FORGOTTEN][0] == 1199
    assert connection.execute("SELECT count(*) FROM daily").fetchone()[0] == 3


amounts = st.integers(0, 10**9).map(Decimal)


def some(statuses, costs):
    """Bookings as `a_record` takes them."""
    usage = st.builds(Usage, st.integers(0, 99), st.integers(0, 99), cached_tokens=st.integers(0, 9))
    values = {"status": statuses, "attempts": st.integers(0, 1), "cost": costs, "baseline_cost": costs, "usage": usage}
    return st.lists(st.fixed_dictionaries(values), min_size=1, max_size=6)


@given(some(st.just(200), amounts) | some(st.sampled_from([200, 429, 499, 502]), st.none() | amounts))
def test_what_many_bookings_add_together_is_the_sum_of_what_each_adds(found):
    """Of those that all went well and have a price, which is the short road, and of any others."""
    rows = [to_row(seq, 20261122, a_record(**values)) for seq, values in enumerate(found, 1)]
    assert books.summed(rows) == tuple(map(sum, zip(*map(books.values, rows), strict=True)))
