from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books.habits import Habits
from cheaprouter.core.models import Usage


def test_an_average_needs_a_few_replies_and_then_follows_them():
    habits = Habits()
    habits.observe("lab/small", 100, Usage(120, 50))
    assert "lab/small" not in habits.outputs
    assert "lab/small" not in habits.corrections
    for _ in range(3):
        habits.observe("lab/small", 100, Usage(120, 50))
    assert habits.outputs["lab/small"] == 50
    assert habits.corrections["lab/small"] == pytest.approx(1.2)
    for _ in range(200):
        habits.observe("lab/small", 100, Usage(80, 500))
    assert habits.outputs["lab/small"] == 500
    assert habits.corrections["lab/small"] == pytest.approx(0.8, abs=0.01)


def test_our_own_estimates_teach_nothing():
    habits = Habits()
    for _ in range(10):
        habits.observe("lab/small", 100, Usage(100, 50, estimated=True))
    assert "lab/small" not in habits.outputs


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9), st.integers(0, 10**9)), max_size=50))
def test_no_report_of_an_upstream_makes_a_correction_absurd(reports):
    habits = Habits()
    for estimate, prompt, output in reports:
        habits.observe("lab/small", estimate, Usage(prompt, output))
    assert 0.25 <= habits.corrections.get("lab/small", 1) <= 4


def test_models_that_come_and_go_take_bounded_memory():
    habits = Habits()
    for n in range(3000):
        for _ in range(3):
            habits.observe(f"lab/{n}", 100, Usage(100, 5))
    assert len(habits._means) == len(habits.outputs) == len(habits.long) == len(habits._last) == 1000


def test_a_long_reply_is_one_that_few_are_longer_than():
    habits = Habits()
    for size in range(1, 3):
        habits.observe("lab/small", 0, Usage(10, size))
    assert habits.long == {}
    for size in range(3, 41):
        habits.observe("lab/small", 0, Usage(10, size))
    assert habits.long == {("lab/small", "chat", False): 39 + 9 + 32}
    for _ in range(40):
        habits.observe("lab/small", 0, Usage(10, 8))
    assert habits.long == {("lab/small", "chat", False): 8 + 2 + 32}


def test_replies_of_several_choices_are_known_apart_and_each_by_itself():
    habits = Habits()
    for _ in range(3):
        habits.observe("lab/small", 0, Usage(10, 100), n=5)
        habits.observe("lab/small", 0, Usage(10, 400), kind="image")
    assert habits.long == {("lab/small", "chat", True): 20 + 5 + 32, ("lab/small", "image", False): 400 + 100 + 32}


def test_a_model_that_bills_more_than_it_shows_keeps_its_thoughts_until_it_shows_everything_for_long():
    habits = Habits()
    habits.observe("lab/small", 0, Usage(10, 500))
    assert habits.hiding == {}
    habits.observe("lab/small", 0, Usage(10, 500), seen=480)
    assert habits.hiding == {"lab/small": 0}
    habits.observe("lab/small", 0, Usage(10, 500), seen=20)
    for _ in range(19):
        habits.observe("lab/small", 0, Usage(10, 500), seen=480)
    assert habits.hiding["lab/small"] > 0
    habits.observe("lab/small", 0, Usage(10, 500), seen=480)
    assert habits.hiding["lab/small"] == 0


@pytest.mark.parametrize("truth", [0.5, 1.3, 2.5])
def test_a_correction_settles_at_the_truth_where_it_is_fed_raw_estimates(truth):
    habits = Habits()
    for prompt in range(100, 400):
        corrected = prompt * habits.corrections.get("lab/small", 1.0)
        habits.observe("lab/small", prompt, Usage(round(prompt * truth), 1))
    assert habits.corrections["lab/small"] == pytest.approx(truth, rel=0.02)
    assert corrected == pytest.approx(prompt * truth, rel=0.02)


async def test_after_a_restart_outputs_are_known_from_the_books(office):
    office = office()
    for _ in range(3):
        office.book()
    office.book(cached=True, model_id="lab/kept")
    await office.restart()
    habits = Habits()
    habits.restore(office.database)
    assert habits.outputs == {"lab/small": 20}
    assert habits.corrections == {}


def test_by_how_much_our_count_of_replies_is_over_is_learned_and_never_too_high():
    habits = Habits()
    habits.observe("lab/small", 0, Usage(10, 1000), seen=1250)
    assert habits.dense == {"lab/small": 1.25}
    habits.observe("lab/small", 0, Usage(10, 1000), seen=9000)
    assert habits.dense["lab/small"] == pytest.approx(1.2625)
    habits.observe("lab/small", 0, Usage(10, 5), seen=5)  # too short to say anything
    assert habits.dense["lab/small"] == pytest.approx(1.2625)
    habits.observe("lab/small", 0, Usage(10, 1000), seen=400)
    assert habits.dense["lab/small"] == 1
