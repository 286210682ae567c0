"""Which time holds when the machine's clock is behind, ahead, or jumps: with a clock, a stopwatch and a time server of our own."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.worldtime import BACK, EARLIEST, JUMP, LATEST, WorldTime, kernel_says

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
HOUR, DAY, YEAR = 3600.0, 86_400.0, 365 * 86_400.0


class Machine:
    """`wall`: what its clock says; `uptime`: what nobody can set; `server`: whether a time server stands behind the clock."""

    def __init__(self, wall: float = NOW, newest: float = NOW, ran: float | None = None) -> None:
        self.wall, self.uptime, self.server = wall, 1000.0, False
        self.time = WorldTime(lambda: self.wall, lambda: self.uptime, lambda _: self.server)
        self.time.anchor(newest, newest if ran is None else ran)

    def later(self, seconds: float, times: int = 1) -> None:
        """Both go on, and somebody asks."""
        for _ in range(times):
            self.wall += seconds / times
            self.uptime += seconds / times
            self.time.unix()

    @property
    def now(self) -> float:
        return self.time.unix()


def test_a_clock_that_goes_on_as_time_does_is_the_time() -> None:
    machine = Machine()
    for _ in range(100):
        machine.later(1234.5)
        assert machine.now == machine.wall
        assert machine.time.problems() == ()


def test_the_usual_look_at_the_clock_asks_for_nothing_else() -> None:
    asked = []
    world = WorldTime(lambda: NOW, lambda: asked.append(1) or 5.0, lambda _: False)
    world.anchor(NOW, NOW)
    before = len(asked)
    assert [world.unix() for _ in range(10)] == [NOW] * 10
    assert len(asked) == before


@pytest.mark.parametrize("wall", [0.0, -5.0, NOW - 2 * DAY, NOW - YEAR, EARLIEST])
def test_a_clock_that_is_behind_the_books_at_the_start_goes_on_from_the_newest_booking(wall) -> None:
    machine = Machine(wall)
    assert machine.now == NOW
    machine.later(90)
    assert machine.now == NOW + 90
    assert "before the newest known time" in machine.time.problems()[0]
    assert not machine.time.settled()


def test_a_clock_less_than_a_day_behind_the_books_is_believed() -> None:
    machine = Machine(NOW - BACK + 60)
    assert machine.now == machine.wall
    assert machine.time.problems() == ()


def test_behind_it_is_never_believed_for_going_on_evenly() -> None:
    machine = Machine(0.0)
    machine.later(30 * DAY, 1000)
    assert machine.now == pytest.approx(NOW + 30 * DAY)
    assert machine.time.problems()


def test_once_it_is_set_right_it_is_believed_at_once() -> None:
    machine = Machine(0.0)
    machine.later(40)
    machine.wall = NOW + 7 * HOUR  # the machine was off for seven hours
    assert machine.now == NOW + 7 * HOUR
    assert machine.time.problems() == ()


def test_off_for_less_than_a_day_is_nothing_special() -> None:
    machine = Machine(NOW + 23 * HOUR)
    assert machine.now == machine.wall
    assert machine.time.problems() == ()


@pytest.mark.parametrize("ahead", [2 * DAY, 40 * DAY, 399 * DAY])
def test_ahead_of_the_books_by_days_it_is_believed_after_an_hour(ahead) -> None:
    machine = Machine(NOW + ahead)
    assert machine.now == NOW
    assert "after the newest known time" in machine.time.problems()[0]
    machine.later(HOUR - 10, 100)
    assert machine.now == pytest.approx(NOW + HOUR - 10)
    machine.later(20)
    assert machine.now == machine.wall
    assert machine.time.problems() == ()


def test_ahead_by_decades_it_is_not_believed_for_going_on_evenly() -> None:
    machine = Machine(NOW + 73 * YEAR)
    machine.later(30 * DAY, 1000)
    assert machine.now == pytest.approx(NOW + 30 * DAY)
    assert "2099" in machine.time.problems()[0]


def test_books_that_do_not_say_when_a_router_was_there_may_be_old() -> None:
    machine = Machine(NOW + 300 * DAY, ran=0.0)  # of a version that did not write it down
    assert machine.now == machine.wall
    assert machine.time.problems() == ()
    assert Machine(NOW + 73 * YEAR, ran=0.0).now == NOW
    assert Machine(NOW - 300 * DAY, ran=0.0).now == NOW


@pytest.mark.parametrize("wall", [NOW + 30 * DAY, NOW + 3 * YEAR])
def test_a_time_server_settles_it_at_once(wall) -> None:
    machine = Machine(wall)
    machine.server = True
    machine.later(20)  # the kernel is asked every ten seconds
    assert machine.now == machine.wall
    assert machine.time.problems() == ()
    assert machine.time.settled()


def test_a_time_server_that_is_before_the_books_is_believed_and_that_is_told() -> None:
    machine = Machine(NOW, newest=NOW + 2 * YEAR)
    assert machine.now == NOW + 2 * YEAR
    machine.server = True
    machine.later(20)
    assert machine.now == machine.wall
    assert "ahead once" in machine.time.problems()[0]
    machine.time.believe()
    assert machine.time.problems() == ()


@pytest.mark.parametrize("wall", [0.0, NOW - 3 * DAY, NOW + 3 * DAY, NOW + 73 * YEAR])
def test_so_does_somebody_who_says_that_it_is_right(wall) -> None:
    machine = Machine(wall)
    machine.time.believe()
    assert machine.now == machine.wall
    assert machine.time.problems() == ()
    machine.later(500)
    assert machine.now == machine.wall


@pytest.mark.parametrize("step", [11 * 60.0, 5 * HOUR, 40 * DAY])
def test_a_jump_ahead_while_it_runs_waits_for_an_hour(step) -> None:
    machine = Machine()
    machine.later(5 * HOUR)
    machine.wall += step
    assert machine.now == NOW + 5 * HOUR
    assert machine.time.problems()
    machine.later(HOUR + 1, 50)
    assert machine.now == machine.wall


def test_a_jump_ahead_that_is_taken_back_leaves_nothing() -> None:
    machine = Machine()
    machine.wall += 40 * DAY
    assert machine.now == NOW
    machine.wall -= 40 * DAY
    machine.later(5)
    assert machine.now == machine.wall
    assert machine.time.problems() == ()


def test_small_steps_back_add_up_to_no_more_than_a_day() -> None:
    machine = Machine()
    for _ in range(100):
        machine.wall -= 6 * HOUR
        assert machine.now >= NOW - BACK


def test_a_suspended_machine_has_not_jumped() -> None:
    machine = Machine()
    machine.later(9 * DAY)  # by the clock since boot, which counts sleep
    assert machine.now == machine.wall
    assert machine.time.problems() == ()


def test_history_is_deleted_once_the_clock_went_on_evenly_for_an_hour() -> None:
    machine = Machine()
    assert not machine.time.settled()
    machine.later(HOUR + 1)
    assert machine.time.settled()
    machine.wall += JUMP + 1
    machine.time.unix()
    assert not machine.time.settled()
    machine.wall -= JUMP + 1
    assert not machine.time.settled()
    machine.later(HOUR + 1)
    assert machine.time.settled()


def test_empty_books_believe_any_clock_but_one_from_before_there_was_a_router() -> None:
    assert Machine(NOW + 73 * YEAR, newest=0.0).now == NOW + 73 * YEAR
    machine = Machine(0.0, newest=0.0)
    assert machine.now == EARLIEST
    machine.wall = NOW
    assert machine.now == NOW


@pytest.mark.parametrize("newest", [LATEST + 1, 1e18, -1e18, 253_402_300_799.0])
def test_a_booking_of_no_time_at_all_is_no_anchor(newest) -> None:
    assert Machine(NOW, newest=newest).now == NOW


def test_a_clock_may_say_anything() -> None:
    for wall in (1e300, -1e300, float("inf"), 1e12):
        machine = Machine(wall)
        assert machine.now == NOW
        assert machine.time.utcnow().year == 2026
        assert machine.time.problems()


jumps = st.tuples(st.sampled_from(["later", "jump"]), st.floats(-100 * DAY, 100 * DAY))


@given(st.lists(jumps, max_size=30))
def test_without_a_server_time_never_falls_back_by_more_than_a_day_nor_leaps_within_an_hour(steps) -> None:
    machine = Machine()
    highest = last = machine.now
    for what, amount in steps:
        if what == "jump":
            machine.wall += amount
            assert machine.now - last <= JUMP
        else:
            machine.later(abs(amount) / 100_000)
            assert machine.now - last <= abs(amount) / 100_000 + JUMP
        last = machine.now
        highest = max(highest, last)
        assert last >= highest - BACK - 1


def test_the_kernel_does_not_vouch_for_a_time_that_is_not_its_own() -> None:
    assert kernel_says(time.time() + DAY) is False
    assert kernel_says(0.0) is False


def test_a_clock_that_was_set_back_by_hours_is_believed_once_it_is_put_right() -> None:
    machine = Machine()
    machine.wall -= 12 * HOUR
    machine.later(HOUR)
    assert machine.now == machine.wall
    machine.wall += 12 * HOUR
    assert machine.now == machine.wall == NOW + HOUR
    assert machine.time.problems() == ()


def test_a_clock_that_was_set_back_and_then_ahead_of_what_was_known_is_not() -> None:
    machine = Machine()
    machine.wall -= 12 * HOUR
    machine.later(HOUR)
    machine.wall += 14 * HOUR
    assert machine.now == NOW - 11 * HOUR
    assert machine.time.problems()
