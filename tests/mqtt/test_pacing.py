from __future__ import annotations

import asyncio
import itertools

from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.calendar import Clock
from cheaprouter.mqtt.pacing import Alarm, Throttle


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


def test_first_changes_wait_for_one_another():
    throttle = Throttle(10.0, gather=0.5)
    assert throttle.touch("a", 5.0) == 5.5
    assert throttle.take(5.4) == []
    throttle.take(5.5)
    assert throttle.touch("a", 6.0) == 15.5


def test_a_key_is_marked_from_its_first_touch_until_it_is_taken():
    throttle = Throttle(10.0)
    throttle.touch_at("a", 5.0)
    assert "a" not in throttle
    throttle.touch("a", 5.0)
    assert "a" in throttle
    throttle.take(5.0)
    assert "a" not in throttle


def test_no_more_are_taken_than_asked_for_and_the_rest_stays_due():
    throttle = Throttle(10.0)
    for number in range(5):
        throttle.touch_at(number, float(number))
    assert throttle.take(9.0, at_most=2) == [0, 1]
    assert throttle.take(9.0, at_most=2) == [2, 3]
    assert throttle.next_due() == 4.0


def test_nothing_is_kept_of_keys_that_were_quiet_for_an_interval():
    throttle = Throttle(10.0)
    for number in range(100):
        throttle.touch(number, 1.0)
    throttle.take(1.0)
    throttle.touch("a", 11.0)
    throttle.take(11.0)
    assert list(throttle._last) == ["a"]


def test_all_is_forgotten():
    throttle = Throttle(10.0)
    throttle.touch("a", 1.0)
    throttle.take(1.0)
    throttle.touch("b", 1.0)
    throttle.clear()
    assert throttle.next_due() is None
    assert "b" not in throttle
    assert throttle.touch("a", 2.0) == 2.0


async def ringing(*times, clear=False):
    """How often an alarm that is set to these times rings within the next turns of the loop, at 100."""
    rung = []
    alarm = Alarm(Clock(lambda: 100.0), lambda: rung.append(1))
    for when in times:
        alarm.at(when)
    if clear:
        alarm.clear()
    for _ in range(5):
        await asyncio.sleep(0)
    alarm.clear()
    return len(rung)


async def test_an_alarm_rings_once_at_the_earliest_of_its_times():
    assert await ringing(3700.0, 100.0, 3700.0) == 1
    assert await ringing(100.0, 99.0) == 1


async def test_an_alarm_for_later_does_not_ring_now():
    assert await ringing(3700.0) == 0


async def test_a_cleared_alarm_does_not_ring():
    assert await ringing(100.0, clear=True) == 0


async def test_an_alarm_that_rang_can_be_set_again():
    rung = []
    alarm = Alarm(Clock(lambda: 100.0), lambda: rung.append(1))
    for count in (1, 2):
        alarm.at(100.0)
        while len(rung) < count:
            await asyncio.sleep(0)


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
