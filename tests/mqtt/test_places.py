"""Which devices have topics of their own where there are more than so many."""

from __future__ import annotations

import pytest

from cheaprouter.mqtt.places import IDLE_SECONDS, LOOK_SECONDS, Places
from tests.builders import HandClock


@pytest.fixture
def hand(home, monkeypatch):
    hand = HandClock()
    monkeypatch.setattr(home.control.accounts, "clock", hand.clock())
    return hand


@pytest.fixture
def calls(home, hand):
    """A device calls, so many seconds after the last one."""

    def call(*device_ids, after=1.0):
        for device_id in device_ids:
            hand.later(after)
            home.control.accounts.known.seen(device_id, int(hand.at.timestamp()))

    return call


@pytest.fixture
def places(home, calls):
    """Two of them; `lost`: who was told to have lost theirs."""
    lost = []
    made = Places(2, home.control, lost.append)
    made.lost = lost
    return made


def test_devices_take_places_while_there_are_some(places, calls):
    calls("a", "b", "c")
    assert [places.take(device_id) for device_id in ("a", "b", "c")] == [True, True, False]
    assert list(places) == ["a", "b"]


def test_a_stranger_takes_none(places):
    assert not places.take("stranger")


def test_those_that_called_last_are_chosen(places, calls):
    calls("a", "b", "c", "a")
    places.choose(())
    assert list(places) == ["a", "c"]


def test_who_had_a_place_earlier_is_chosen_before_who_called_last(places, calls):
    calls("a", "b", "c")
    places.choose({"a", "gone"})
    assert list(places) == ["a", "c"]


def test_one_that_is_configured_is_always_chosen(places, calls, home):
    for name in ("x", "y", "z"):
        home.add(name)
    calls("a", "b")
    places.choose({"a", "b"})
    assert list(places) == ["x", "y", "z"]


def test_one_that_is_configured_later_gets_the_place_of_the_longest_idle(places, calls, home):
    calls("a", "b", "c")
    places.choose(())
    home.add("a")
    assert places.take("a")
    assert (list(places), places.lost) == (["c", "a"], ["b"])


def test_one_that_is_configured_has_a_place_where_nobody_can_give_up_theirs(places, home):
    for name in ("x", "y", "z"):
        home.add(name)
        assert places.take(name)
    assert (list(places), places.lost) == (["x", "y", "z"], [])


def test_a_device_that_was_silent_for_a_day_gives_up_its_place(places, calls):
    calls("a", "b")
    places.choose(())
    calls("b", "c", after=IDLE_SECONDS / 2)
    assert places.take("c")
    assert (list(places), places.lost) == (["b", "c"], ["a"])


def test_a_device_that_is_used_daily_keeps_its_place(places, calls):
    calls("a", "b")
    places.choose(())
    calls("b", "c", after=IDLE_SECONDS / 2 - 1)
    assert not places.take("c")


def test_after_nobody_was_found_nobody_is_looked_for_for_a_while(places, calls, hand):
    calls("a", "b", "c")
    places.choose(())
    hand.later(IDLE_SECONDS - LOOK_SECONDS / 2)
    assert not places.take("a")
    hand.later(LOOK_SECONDS - 1)
    assert not places.take("a")
    hand.later(1)
    assert places.take("a")


def test_the_place_of_one_that_left_is_free(places, calls):
    calls("a", "b", "c")
    places.choose(())
    places.leave("b")
    assert places.take("a")
    assert places.lost == []


def test_who_is_not_chosen_any_more_is_told(places, calls, home):
    calls("a", "b")
    places.choose(())
    home.add("x")
    places.choose(frozenset(places))
    assert (list(places), places.lost) == (["b", "x"], ["a"])


def test_the_log_says_once_that_the_number_is_reached(places, calls, caplog):
    calls("a", "b")
    places.choose(())
    assert caplog.text == ""
    calls("c", "d")
    places.take("c")
    places.take("d")
    places.choose(())
    assert caplog.text.count("mqtt.max_devices") == 1


def test_one_that_never_called_comes_last(places, calls, home):
    calls("a", "b")
    home.control.accounts.known.register(["never"])
    places.choose(())
    assert list(places) == ["a", "b"]


# --- strangers ------------------------------------------------------------------------------------------------------


async def test_who_spent_something_this_month_keeps_its_place_however_long_it_is_silent(places, calls, home):
    await home.serve("a")
    calls("b")
    places.choose(())
    calls("c", after=IDLE_SECONDS * 2)
    assert places.take("c")
    assert (list(places), places.lost) == (["a", "c"], ["b"])


def test_who_called_over_more_than_a_day_keeps_it_too(places, calls):
    calls("a")
    calls("a", after=IDLE_SECONDS)
    calls("b")
    places.choose(())
    calls("c", after=IDLE_SECONDS * 2)
    assert places.take("c")
    assert (list(places), places.lost) == (["a", "c"], ["b"])


def test_it_takes_the_place_of_one_that_did_not(places, calls):
    calls("a")
    calls("b", "c", after=IDLE_SECONDS)
    places.choose(())
    calls("a")
    assert list(places) == ["b", "c"]
    assert places.take("a")
    assert (list(places), places.lost) == (["c", "a"], ["b"])


async def test_a_device_with_a_key_always_has_one(places, calls, home):
    calls("a", "b")
    places.choose(())
    await home.control.accounts.add_key("keyed")
    assert places.take("keyed")
    assert (list(places), places.lost) == (["b", "keyed"], ["a"])


def test_those_who_count_together_have_one(places, calls, home):
    calls("a", "b", "others")
    places.choose(())
    assert list(places) == ["b", "others"]


def test_205_strangers_take_nobodys_place_at_once(places, calls):
    calls("tablet", "b")
    places.choose(())
    for n in range(205):
        calls(f"spoof {n}")
        assert not places.take(f"spoof {n}")
    assert list(places) == ["b", "tablet"]
