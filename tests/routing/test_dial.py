"""The dial: each step moves a like share of a typical home's requests, whatever the models are. No dead ends."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.routing.candidate import Candidate
from cheaprouter.routing.choose import Field
from cheaprouter.routing.dial import NO_CHOICE, STEPS, fitted, turns, typical_home
from cheaprouter.routing.shortlist import moves
from tests.builders import a_model
from tests.routing.helpers import BIG, SMALL


def field(*models):
    return Field([Candidate(model, model.prices[0]) for model in models])


def a_ladder(count):
    """Models each better and dearer than the one before, 200 times the price at the top."""
    return [
        a_model(f"lab/{n:02}", 30 + 55 * n / (count - 1), (f"{0.1 * 200 ** (n / (count - 1)):.4f}",) * 2)
        for n in range(count)
    ]


def curve(of):
    """At each whole step: how many requests of a typical home go elsewhere than at the step before; and who they go to."""
    every = [moves(of, one) for one in typical_home()]
    dial = fitted(every)
    places = [[bisect_right(worths, dial.worth(step)) for worths in every] for step in range(STEPS + 1)]
    changed = [sum(a != b for a, b in zip(*two, strict=True)) / len(every) for two in pairwise(places)]
    return changed, places, every


def test_two_models_a_hundred_times_apart_share_the_requests_evenly():
    of = field(a_model("lab/small", 40, ("0.1", "0.4")), a_model("lab/big", 80, ("10", "40")))
    changed, places, every = curve(of)
    assert changed == pytest.approx([0.1] * STEPS, abs=0.03)
    assert [sum(at) for at in (places[0], places[-1])] == [0, len(every)]


@pytest.mark.parametrize("count", [3, 10, 30])
def test_many_models_make_steps_of_like_size(count):
    changed, places, every = curve(field(*a_ladder(count)))
    assert max(changed) - min(changed) < 0.3
    assert places[0] == [0] * len(every)
    assert places[-1] == [len(worths) for worths in every]


@pytest.mark.parametrize("models", [[SMALL], [BIG, a_model("lab/free", 95, ("0", "0"))]])
def test_where_there_is_nothing_to_choose_nothing_counts(models):
    of = field(*models)
    assert fitted([moves(of, one) for one in typical_home()]) is NO_CHOICE


worths = st.lists(st.floats(1e-9, 1e6), max_size=6, unique=True).map(sorted)


@settings(max_examples=200, deadline=None)
@given(st.lists(worths, min_size=1, max_size=40), st.floats(0, 10), st.floats(0, 10))
def test_further_on_a_failure_never_counts_for_less(requests, one, two):
    dial = fitted(requests)
    low, high = sorted((one, two))
    assert dial.worth(low) <= dial.worth(high) * (1 + 1e-12)


@settings(max_examples=200, deadline=None)
@given(st.lists(worths, min_size=1, max_size=40))
def test_it_begins_with_the_cheapest_and_ends_with_the_best(requests):
    dial = fitted(requests)
    assert (dial.worth(0), dial.worth(10)) == (0, inf)
    assert dial.worths[-1] == max((moves[-1] for moves in requests if moves), default=0)


def test_between_two_steps_there_is_no_jump():
    dial = fitted([moves(field(SMALL, BIG), one) for one in typical_home()])
    for step in range(1, STEPS):
        assert dial.worth(step - 1e-9) == pytest.approx(dial.worth(step), rel=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-10, 1.2)), min_size=1, max_size=12), st.floats(0, 100))
def test_a_turn_is_where_another_becomes_the_better_buy(models, weight):
    costs, shares = [cost for cost, _ in models], [share for _, share in models]
    found = turns(costs, shares)
    place = [place for least, place in found if least <= weight][-1]
    losses = [cost - weight * share for cost, share in models]
    assert losses[place] <= min(losses) + 1e-9 * (1 + weight)
    assert [least for least, _ in found] == sorted(least for least, _ in found)
    assert shares[found[-1][1]] == max(shares)


def test_a_typical_home_asks_for_little_and_for_much():
    gains = sorted(one.gain for one in typical_home())
    assert len(gains) >= 150
    assert gains[len(gains) // 4] < 0.1
    assert gains[-len(gains) // 10] > 0.25
