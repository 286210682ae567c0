"""The short way to a decision and the long one come to the same: winner, stand-ins, words. Nobody scores what changes nothing."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.core.models import PriceTier, Profile, Quality
from cheaprouter.routing.candidate import Candidate, factor, share
from cheaprouter.routing.candidates import Constraints, Needs
from cheaprouter.routing.choose import ECO_BAR, Field, failing, first, fitting, ranks, settled, sure
from cheaprouter.routing.dial import LEAST_GAIN
from tests.builders import a_chat, a_model, saying
from tests.routing.helpers import BIG, MIDDLE, SMALL, context, router, weighed

levels = st.floats(0, 1)
worths = st.just(0.0) | st.floats(1e-7, 1e3) | st.just(inf)
scored = st.sampled_from([Profile.AUTO, Profile.ECO])
prices = st.sampled_from(["0.05", "0.1", "0.4", "1", "3", "15"])
qualities = st.sampled_from([20, 50, 50.5, 65, 90]) | st.integers(0, 100)
guessed = st.sampled_from(["configured", "configured", "estimated by its price"])


@st.composite
def tables(draw, most=12):
    """Models of a few providers, some free, some with equal prices or qualities, some of a quality that was guessed."""
    models = []
    for number in range(draw(st.integers(1, most))):
        price = draw(st.just(("0", "0")) | st.tuples(prices, prices))
        quality = Quality(float(draw(qualities)), draw(guessed))
        models.append(a_model(f"{draw(st.sampled_from('abc'))}/{number}", quality, price))
    return models


def entered(models, outputs=None):
    field = Field([Candidate(model, model.prices[0]) for model in models])
    return fitting(field, Needs(prompt_tokens=200, output_tokens=300), Constraints(), outputs or {}, {})


@settings(max_examples=300, deadline=None)
@given(tables(), scored, levels, worths)
def test_the_first_is_the_least_of_all_ranks(models, profile, level, weight):
    entries = entered(models)
    order = ranks(entries, profile, weighed(level, weight))
    assert first(entries, profile, weighed(level, weight)) == order.index(min(order))


@settings(max_examples=200, deadline=None)
@given(tables(), levels, st.floats(0, 1e3))
def test_the_order_is_by_what_its_rule_says(models, level, weight):
    """The rules once more, straight from their definitions."""
    entries = entered(models)
    known = [model.quality.value for model in models if model.quality.source == "configured"]
    shaded = [
        max(known) - 0.01 if known and m.quality.value >= max(known) and m.quality.source != "configured" else m.quality.value
        for m in models
    ]  # fmt: skip
    fails = [failing(level, factor(quality)) for quality in shaded]
    most = max(share(quality) for quality in shaded)
    rows = list(zip(entries.costs, fails, shaded, [model.id for model in models], strict=True))
    weighed_so = weighed(level, weight)
    assert ranks(entries, Profile.AUTO, weighed_so) == [
        (c + weight * (most - share(q)), -q, name) for c, _, q, name in rows
    ]
    assert ranks(entries, Profile.ECO, weighed_so) == [
        (0, c, -q, name) if 1.0 - f >= ECO_BAR else (1, f, c, name) for c, f, q, name in rows
    ]
    best = [(-q, c, name) for c, _, q, name in rows]
    assert ranks(entries, Profile.PREMIUM, weighed_so) == ranks(entries, Profile.AUTO, weighed(level, inf)) == best


@settings(max_examples=400, deadline=None)
@given(tables(most=5), scored, st.lists(levels, min_size=1, max_size=30), worths, st.booleans())
def test_who_is_sure_to_win_wins_however_hard_it_is(models, profile, hard, worth, dear):
    if dear:  # else the cheapest is seldom the best
        models = [*models, a_model("z/best", 99, ("0.05", "0.05"))]
    entries = entered(models)
    place = settled(entries, Profile.AUTO, worth) if profile is Profile.AUTO else sure(entries)
    if place is not None:
        every = [weighed(level, worth * max(level, LEAST_GAIN)) for level in [0.0, 0.5, 1.0, *hard]]
        assert {first(entries, profile, one) for one in every} == {place}


def test_nobody_has_to_know_where_the_dial_is_at_its_ends():
    entries = entered([a_model("lab/small", 20, ("0.1", "0.4")), BIG])
    assert [entries.field.ids[settled(entries, Profile.AUTO, worth)] for worth in (0.0, inf)] == [
        "lab/small",
        "lab/big",
    ]
    assert settled(entries, Profile.AUTO, 0.01) is None


TEXTS = (
    "turn on the light",
    "What is 2+2?",
    "Prove that every prime p = 1 mod 4 is a sum of two squares.",
    "word " * 400,
)


@settings(max_examples=200, deadline=None)
@given(tables(), st.sampled_from(list(Profile)), levels, st.sampled_from(TEXTS), st.data())
def test_every_way_to_a_decision_comes_to_the_same(models, profile, level, text, data):
    """With a model that does not fit, with ceilings that nobody reaches, with somebody unknown who cools: the long way."""
    models = [*models, a_model("a/free", 10, ("0", "0"))]
    outputs = data.draw(st.dictionaries(st.sampled_from([m.id for m in models]), st.integers(0, 3000)))
    tiny = a_model("x/tiny", 5, ("0", "0"), context=10)  # one that would be the best changes what a failure counts for
    rules = {"aliases": {"late": {"target": profile.model_id, "max_first_token_ms": 800}}}

    def decided(routes, asked=profile.model_id, **given):
        made = routes.decide(a_chat(text, asked), context(outputs=outputs, **given))
        return made.chain, made.expected_output, made.reason.split(":", 1)[1]

    usual = decided(router(*models, difficulty=level))
    assert decided(router(*models, tiny, difficulty=level)) == usual
    assert decided(router(*models, difficulty=level, routing={"max_cost": "1000"})) == usual
    assert decided(router(*models, difficulty=level, **rules), "late") == usual
    assert decided(router(*models, difficulty=level), down=frozenset({"nobody/x"})) == usual
    explained = router(*models, difficulty=level).explain(a_chat(text, profile.model_id).body, context(outputs=outputs))
    assert [explained["model"], *explained["fallbacks"]] == [model.id for model in usual[0]]


sizes = st.lists(st.tuples(st.sampled_from([50, 900]), st.sampled_from([80, 320]), st.booleans(), levels), max_size=12)


@settings(max_examples=100, deadline=None)
@given(tables(), scored, sizes, worths)
def test_what_is_kept_of_requests_of_a_size_is_what_is_worked_out_anew(models, profile, asked, weight):
    usual = {models[0].id: 700}

    def found(field, prompt, output, level, known):
        entries = fitting(field, Needs(prompt_tokens=prompt, output_tokens=output), Constraints(), known, {})
        return entries.costs, entries.outputs, entries.sure, first(entries, profile, weighed(level, weight))

    candidates = [Candidate(model, model.prices[0]) for model in models]
    kept = Field(candidates)
    for prompt, output, knows, level in asked:
        known = usual if knows else {}
        assert found(kept, prompt, output, level, known) == found(Field(candidates), prompt, output, level, known)


def test_only_some_sizes_are_kept():
    field = Field([Candidate(model, model.prices[0]) for model in (SMALL, BIG)])
    for prompt in range(1000):
        fitting(field, Needs(prompt_tokens=prompt, output_tokens=80), Constraints(), {}, {})
    assert len(field._entries) <= 64


CHEAP_AND_BEST = a_model("home/best", 95, ("0", "0"))
LOOP = [
    {"role": "user", "content": "dim the lights"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "done"},
]


class TestSkipped:
    @pytest.mark.parametrize("profile", ["auto", "eco"])
    def test_nobody_scores_where_the_best_is_the_cheapest(self, profile):
        routes = router(SMALL, BIG, CHEAP_AND_BEST)
        made = routes.decide(a_chat(model=f"blockrun/{profile}"), context())
        assert (made.model, made.difficulty, routes._difficulty.asked) == (CHEAP_AND_BEST, None, 0)
        assert made.reason.endswith("of 3 candidates (quality 95, free)")

    def test_where_it_cools_the_others_are_weighed(self):
        routes = router(SMALL, BIG, CHEAP_AND_BEST)
        assert routes.decide(a_chat(), context(down=frozenset({"home/best"}))).difficulty is not None

    def test_nobody_scores_inside_a_tool_loop(self):
        routes = router(SMALL, BIG)
        opening = routes.decide(a_chat("dim the lights"), context())
        routes.served("kitchen", opening, BIG)
        asked = routes._difficulty.asked
        made = routes.decide(a_chat(messages=LOOP), context())
        assert (made.model, made.difficulty, routes._difficulty.asked) == (BIG, None, asked)
        assert "stays on lab/big" in made.reason

    def test_a_tool_loop_whose_model_cools_is_scored(self):
        routes = router(SMALL, BIG)
        routes.served("kitchen", routes.decide(a_chat("dim the lights"), context()), BIG)
        made = routes.decide(a_chat(messages=LOOP), context(down=frozenset({"lab/big"})))
        assert (made.model, made.difficulty.score) == (SMALL, 0.01)

    def test_a_conversation_on_another_model_is_scored(self):
        near = a_model("other/near", 94.5, ("0", "0"))
        routes = router(near, CHEAP_AND_BEST)
        chat = saying("tell me about light bulbs", "what about them?", "candles?")
        routes.served("kitchen", routes.decide(a_chat(messages=chat), context()), near)
        made = routes.decide(a_chat(messages=[*chat, *saying("ok", "x")[1:], *saying("and?")]), context())
        assert made.difficulty is not None
        assert "stays on other/near" in made.reason

    def test_the_stand_ins_of_a_skipped_score_are_those_of_the_score(self):
        routes = router(SMALL, BIG, MIDDLE, CHEAP_AND_BEST, difficulty=0.9)
        made = routes.decide(a_chat(), context())
        listed = routes.explain(a_chat().body, context())
        assert [model.id for model in made.chain] == [row["id"] for row in listed["candidates"]]
        assert made.difficulty is None

    def test_one_in_ten_is_scored_afterwards(self):
        routes = router(SMALL, BIG, CHEAP_AND_BEST)
        scores = [routes.score_skipped(routes.decide(a_chat(), context())) for _ in range(30)]
        assert [place for place, score in enumerate(scores) if score is not None] == [9, 19, 29]
        assert scores[9].score == 0.01

    @pytest.mark.parametrize("asked", ["blockrun/auto", "blockrun/premium", "lab/big"])
    def test_what_was_scored_or_never_would_be_is_not_scored_afterwards(self, asked):
        routes = router()
        made = routes.decide(a_chat(model=asked), context())
        before = routes._difficulty.asked
        assert [routes.score_skipped(made) for _ in range(20)] == [None] * 20
        assert routes._difficulty.asked == before


class TestStandIns:
    def test_they_are_those_of_the_moment_of_the_decision(self):
        routes, down = router(SMALL, BIG, MIDDLE, difficulty=0.5), {"other/middle": 1}
        outputs = {"lab/small": 10}
        now = context(down=frozenset(down), outputs=outputs)
        early, late = routes.decide(a_chat(), now), routes.decide(a_chat(), now)
        expected = early.chain
        outputs["lab/big"] = 100_000
        assert late.chain == expected

    def test_they_are_worked_out_once(self):
        made = router(SMALL, BIG, MIDDLE).decide(a_chat(), context())
        assert made.fallbacks is made.fallbacks

    def test_a_tiered_price_counts_from_its_threshold(self):
        price = SMALL.prices[0]
        tier = PriceTier(500, replace(price.rates, input=10 * BIG.prices[0].rates.input))
        tiered = replace(SMALL, prices=(replace(price, tiers=(tier,)),))
        routes = router(tiered, MIDDLE, routing={"cost_quality": 0})
        assert routes.decide(a_chat("word " * 100), context()).model is tiered
        assert routes.decide(a_chat("word " * 900), context()).model is MIDDLE
        assert routes.decide(a_chat("word " * 100), context()).model is tiered
