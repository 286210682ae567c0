from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.accounts.ledger import TokenBucket

capacities = st.integers(1, 100_000)


def test_it_starts_full():
    assert TokenBucket(60, 0).left(0)[0] == 60


def test_it_refills_evenly_not_at_the_minute():
    bucket = TokenBucket(60, 0)
    bucket.give(-60, 0)
    assert bucket.left(0.99)[0] == 0
    assert bucket.left(1.0)[0] == 1
    assert bucket.left(30)[0] == 30


def test_it_never_holds_more_than_a_minute():
    bucket = TokenBucket(60, 0)
    assert bucket.left(10_000)[0] == 60


def test_it_says_how_long_to_wait():
    bucket = TokenBucket(60, 0)
    bucket.give(-60, 0)
    assert bucket.draw(5, 0) == 5
    assert bucket.draw(5, 5) == 0


def test_more_than_it_ever_holds_is_for_ever():
    assert TokenBucket(60, 0).draw(61, 0) == float("inf")


def test_a_debt_is_paid_first():
    bucket = TokenBucket(60, 0)
    bucket.give(-90, 0)
    assert bucket.left(30)[0] == 0
    assert bucket.draw(1, 30) == 1


def test_what_is_given_back_never_overfills():
    bucket = TokenBucket(60, 0)
    bucket.give(1000, 0)
    assert bucket.left(0)[0] == 60


@given(st.lists(st.tuples(st.floats(-100, 200), st.integers(1, 50)), max_size=80), capacities)
def test_never_more_passes_than_capacity_and_time_allow(steps, capacity):
    """However the clock jumps, also backwards: a full bucket, and what flowed in since, is the most."""
    bucket, now, latest, passed = TokenBucket(capacity, 0.0), 0.0, 0.0, 0
    for step, amount in steps:
        now += step
        latest = max(latest, now)
        if bucket.draw(amount, now) == 0:
            passed += amount
        assert passed <= capacity * (1 + latest / 60) + 1e-3


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 50), st.integers(0, 80)), max_size=50))
def test_settling_never_leaks_nor_invents_tokens(steps):
    """After everything is settled and a long rest the bucket is full, and on the way its level is what was really used."""
    bucket, now = TokenBucket(100, 0.0), 0.0
    for step, reserved, used in steps:
        now += step
        before = bucket.left(now)[0]
        if bucket.draw(reserved, now) == 0:
            bucket.give(reserved - used, now)
            assert (
                bucket.left(now)[0] == max(0, min(100, before - used))
                or abs(bucket.left(now)[0] - (before - used)) <= 1
            )
    assert bucket.left(now + 10_000)[0] == 100


@given(capacities, st.integers(1, 200_000))
def test_waiting_as_long_as_told_is_enough(capacity, amount):
    bucket = TokenBucket(capacity, 0)
    bucket.give(-capacity, 0)
    wait = bucket.draw(amount, 0)
    if wait != float("inf"):
        assert bucket.draw(amount, wait) == 0
        assert wait <= 60.0001


@pytest.mark.parametrize(
    ("used", "new", "remaining"), [(0, 10, 10), (50, 120, 70), (55, 10, 0), (5, 30, 25), (0, 600, 600)]
)
def test_another_limit_keeps_what_was_used(used, new, remaining):
    bucket = TokenBucket(60, 0)
    bucket.give(-used, 0)
    bucket.resize(new, 0)
    assert bucket.left(0)[0] == remaining


def test_lowering_a_limit_again_and_again_makes_no_debt():
    bucket = TokenBucket(60, 0)
    bucket.give(-60, 0)
    for limit in (50, 60, 40, 60, 10):
        bucket.resize(limit, 0)
    assert bucket.draw(1, 0) <= 6.1


def test_full_in_is_the_time_to_a_full_bucket():
    bucket = TokenBucket(60, 0)
    bucket.give(-30, 0)
    assert bucket.left(0)[1] == 30
    assert bucket.left(30)[1] == 0
