"""What the dial would have done with recorded requests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.routing.candidate import Candidate
from cheaprouter.routing.choose import Field
from cheaprouter.routing.dial import fitted, typical_home
from cheaprouter.routing.forecast import FEW, Past, forecast
from cheaprouter.routing.shortlist import moves
from tests.routing.helpers import BIG, LOCAL, MIDDLE, SMALL

HARD, EASY = Past(0.7, 0.6, 400, 500), Past(0.02, 0.01, 20, 40)


def told(past, *models, requests=None, now=5.0):
    field = Field([Candidate(model, model.prices[0]) for model in models or (SMALL, BIG)])
    dial = fitted([moves(field, one) for one in typical_home()])
    return forecast(field, dial, past, len(past) if requests is None else requests, now)


past = st.builds(Past, st.floats(0, 1), st.floats(0, 1), st.integers(0, 100_000), st.integers(0, 10_000))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(past, min_size=FEW, max_size=40), st.sampled_from([(SMALL, BIG), (SMALL, BIG, MIDDLE, LOCAL), (LOCAL,)])
)
def test_more_quality_is_never_forecast_to_be_worse_or_cheaper(some, models):
    steps = told(some, *models)["steps"]
    for name in ("answers_percent", "price_percent"):
        found = [row[name] for row in steps]
        assert found == sorted(found)
        assert found[-1] == 100


def test_the_sentence_says_what_it_stands_on():
    found = told([HARD] * 60 + [EASY] * 40, requests=1000, now=6)
    assert found["text"].startswith("at 6: about ")
    assert found["text"].endswith(" of its price, on 100 of your last 1,000 requests, whose difficulty is known")
    assert told([HARD] * 1000, now=6)["text"].endswith("on your last 1,000 requests")


def test_of_too_few_nothing_is_said():
    found = told([HARD] * (FEW - 1), requests=500)
    assert found["text"] == f"at 5: too few of your last 500 requests have a score ({FEW - 1}) to say what to expect"
    assert {row["answers_percent"] for row in found["steps"]} == {None}


def test_where_the_dial_is_between_two_steps_that_is_told_too():
    found = told([HARD] * 30, now=6.5)
    assert [row["cost_quality"] for row in found["steps"]] == [*range(7), 6.5, 7, 8, 9, 10]
    assert found["text"].startswith("at 6.5: ")


def test_it_counts_each_requests_own_tokens():
    short, long = told([HARD] * 30), told([Past(0.7, 0.6, 40_000, 50)] * 30)
    assert short["steps"][3] != long["steps"][3]


@pytest.mark.parametrize("models", [(LOCAL,)])
def test_what_is_free_is_all_of_its_price(models):
    assert {row["price_percent"] for row in told([HARD] * 30, *models)["steps"]} == {100}
