"""Recorded requests by other settings: cost, who answers, and how well."""

from __future__ import annotations

from collections import Counter

import pytest

from cheaprouter.core.models import Profile
from cheaprouter.routing.rehearse import Recorded, as_recorded, rehearse, table
from tests.builders import NOON
from tests.routing.helpers import BIG, SMALL, router

EASY = Recorded("lab/small", 1000, 100, 0, 0.00014, 0.02, chosen=True)
HARD = Recorded("lab/big", 1000, 1000, 0, 0.018, 0.9, chosen=True)
NAMED = Recorded("lab/big", 10, 10, 0, 0.5, None, chosen=False)


def outcome(profile: Profile, past, cost_quality: float | None = None):
    return rehearse(router(SMALL, BIG).scenario("x", NOON, profile, cost_quality), past)


def test_premium_takes_the_best_for_all_and_costs_what_that_costs():
    got = outcome(Profile.PREMIUM, [EASY, HARD])
    assert got.models == Counter({"lab/big": 2})
    assert got.usd == pytest.approx((2000 * 3 + 1100 * 15) / 1e6)


def test_cost_alone_takes_the_cheapest_for_all_and_answers_fewer_well():
    cheap, best = outcome(Profile.AUTO, [EASY, HARD], 0), outcome(Profile.AUTO, [EASY, HARD], 10)
    assert cheap.models == Counter({"lab/small": 2})
    assert best.models == Counter({"lab/big": 2})
    assert cheap.usd < best.usd
    assert cheap.good < best.good


def test_what_was_read_from_a_cache_is_so_again():
    model = router(SMALL, BIG)
    half = EASY._replace(cached=500)
    plain, cached = (rehearse(model.scenario("x", NOON, Profile.ECO), [one]).usd for one in (EASY, half))
    assert cached <= plain


def test_a_model_asked_for_by_name_stays_at_what_it_cost():
    got = outcome(Profile.ECO, [NAMED])
    assert (got.models, got.usd) == (Counter({"lab/big": 1}), 0.5)


def test_what_has_no_score_counts_as_the_mean_of_those_that_have():
    blank = EASY._replace(score=None)
    assert outcome(Profile.PREMIUM, [blank, HARD]).good == pytest.approx(outcome(Profile.PREMIUM, [HARD, HARD]).good)


def test_without_candidates_all_stays_as_it_was():
    got = outcome(Profile.FREE, [EASY])
    assert got.models == Counter({"lab/small": 1})


def test_what_was_is_told_beside_it():
    was = as_recorded([EASY, HARD, NAMED._replace(model_id="gone/model")], router(SMALL, BIG).chance)
    assert was.usd == pytest.approx(0.51814)
    assert 0 < was.good < 1
    lines = table([was, outcome(Profile.ECO, [EASY, HARD])])
    assert len(lines) == 3
    assert "gone/model 33 %" in lines[1]
