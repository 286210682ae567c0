from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.mqtt.pacing import Throttle


def test_the_first_change_is_due_at_once():
    throttle = Throttle(10.0)
    throttle.touch("a", 5.0)
    assert throttle.take(5.0) == ["a"]


def test_a_change_soon_after_is_due_one_interval_later():
    throttle = Throttle(10.0)
    throttle.touch("a", 5.0)
    throttle.take(5.0)
    throttle.touch("a", 6.0)
    assert throttle.take(14.9) == []
    assert throttle.next_due() == 15.0
    assert throttle.take(15.0) == ["a"]


def test_an_urgent_change_does_not_wait():
    throttle = Throttle(10.0)
    throttle.touch("a", 5.0)
    throttle.take(5.0)
    throttle.touch("a", 6.0)
    throttle.touch_at("a", 7.0)
    assert throttle.take(7.0) == ["a"]


def test_an_urgent_change_does_not_delay_the_next_figures():
    throttle = Throttle(10.0)
    throttle.touch_at("a", 5.0)
    throttle.take(5.0)
    throttle.touch("a", 6.0)
    assert throttle.take(6.0) == ["a"]


def test_the_longest_waiting_comes_first():
    throttle = Throttle(10.0)
    throttle.touch_at("late", 3.0)
    throttle.touch_at("early", 1.0)
    assert throttle.take(4.0) == ["early", "late"]


def test_a_forgotten_key_is_not_due():
    throttle = Throttle(10.0)
    throttle.touch("a", 1.0)
    throttle.forget("a")
    assert throttle.next_due() is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_the_last_change_is_always_published_and_never_too_often(times):
    throttle, published, version, shown = Throttle(7.0), [], 0, None
    for now in sorted(times):
        while (due := throttle.next_due()) is not None and due <= now:
            if throttle.take(due):
                published.append(due)
                shown = version
        version += 1
        throttle.touch("a", now)
    while (due := throttle.next_due()) is not None:
        throttle.take(due)
        published.append(due)
        shown = version
    assert shown == version
    assert all(later - earlier >= 7.0 - 1e-9 for earlier, later in itertools.pairwise(published))
