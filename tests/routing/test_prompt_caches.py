"""A conversation leaves its model only for more than its lost cache costs, by real prices."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from cheaprouter.core.models import Rates
from cheaprouter.routing.candidate import Candidate
from cheaprouter.routing.sticky import MOST_TURNS, StickyStore, affinity, over_the_turns
from cheaprouter.wire import prompt_cache
from tests.builders import a_chat, a_model, saying
from tests.routing.helpers import context, router
from tests.routing.test_sticky import decision

LONG = "word " * 8000
TALK = (LONG, "ok", "and more of it, please")


def priced(name: str, quality: float, **rates: str):
    """A model with all its rates."""
    model = a_model(name, quality)
    return replace(model, prices=(replace(model.prices[0], rates=Rates(**{n: Decimal(v) for n, v in rates.items()})),))


HELD = priced("lab/held", 60, input="1", output="4", cached_input="0.1", cache_write="1.25")
CHEAPER = priced("other/cheaper", 60, input="0.5", output="4", cached_input="0.05")
MUCH_CHEAPER = priced("other/much", 60, input="0.02", output="0.1", cached_input="0.002")


def after(routes, *answers, texts=TALK, now=1000.0):
    """The model of the next turn, after those models answered."""
    for model in answers:
        made = routes.decide(a_chat(messages=saying(*texts)), context(now=now))
        routes.served("kitchen", made, model)
    return routes.decide(a_chat(messages=saying(*texts, "ok", "go on")), context(now=now)).model


def test_a_model_at_half_the_price_does_not_pay_for_the_lost_cache_of_a_short_conversation():
    routes = router(HELD, CHEAPER, routing={"cost_quality": 0})
    assert routes.decide(a_chat(messages=saying(*TALK)), context()).model is CHEAPER
    assert after(routes, HELD) is HELD


def test_a_model_at_a_fiftieth_does():
    assert after(router(HELD, MUCH_CHEAPER, routing={"cost_quality": 0}), HELD) is MUCH_CHEAPER


def test_what_is_saved_in_the_turns_to_come_counts():
    # Once: 12 to read anew against 1. Each turn after it: .5 against 1.
    assert over_the_turns([1.0, 12.0], [1.0, 0.5], 0, 2) == [1.0, 11.0]
    assert over_the_turns([1.0, 5.0], [1.0, 0.5], 0, 10) == [1.0, 0.0]


def test_a_turn_on_a_dearer_model_costs_no_more_than_itself():
    assert over_the_turns([1.0, 3.0], [1.0, 2.0], 0, 10) == [1.0, 3.0]


def test_where_the_model_is_gone_the_whole_rest_counts():
    assert over_the_turns([1.0, 3.0], [1.0, 0.5], None, 10) == [11.0, 8.0]


def test_the_longer_a_conversation_was_the_longer_it_is_expected_to_be():
    store = StickyStore()
    for _ in range(3):
        store.remember("a", decision(estimated_prompt=5000), HELD, 0)
    pin = store.find("a", "k", 1)
    assert pin.outlook(1, lambda _: prompt_cache.UNKNOWN).turns == 3
    for _ in range(30):
        store.remember("a", decision(estimated_prompt=5000), HELD, 0)
    assert store.find("a", "k", 1).outlook(1, lambda _: prompt_cache.UNKNOWN).turns == MOST_TURNS


def test_a_model_that_the_conversation_was_on_before_still_has_it_in_its_cache():
    store = StickyStore()
    store.remember("a", decision(estimated_prompt=4000), HELD, 0)
    store.remember("a", decision(estimated_prompt=5000), CHEAPER, 100)
    outlook = store.find("a", "k", 200).outlook(200, lambda _: prompt_cache.UNKNOWN)
    assert outlook.warm == {"lab/held": 4000, "other/cheaper": 5000}
    assert store.find("a", "k", 350).outlook(350, lambda _: prompt_cache.UNKNOWN).warm == {"other/cheaper": 5000}


@pytest.mark.parametrize(("kind", "stays"), [("openai", False), ("groq", True)])
def test_each_vendor_keeps_prompts_for_its_own_time(kind, stays):
    routes = router(HELD, CHEAPER, routing={"cost_quality": 0}, providers={"lab": {"kind": kind, "base_url": "http://127.0.0.1:9/v1"}})  # fmt: skip
    made = routes.decide(a_chat(messages=saying(*TALK)), context())
    routes.served("kitchen", made, HELD)
    later = routes.decide(a_chat(messages=saying(*TALK, "ok", "go on")), context(now=1000.0 + 400))
    assert (later.model is HELD) is stays


def test_a_prompt_too_short_to_be_kept_holds_nobody():
    routes = router(HELD, CHEAPER, routing={"cost_quality": 0})
    assert after(routes, HELD, texts=("hello " * 300, "ok", "more")) is CHEAPER


def test_what_is_new_in_a_conversation_costs_what_writing_does():
    assert Candidate(HELD, HELD.prices[0]).in_talk(1000, 0, 400) == pytest.approx((600 * 1.25 + 400 * 0.1) / 1e6)


def test_storage_beside_the_input_makes_nothing_cheaper():
    stored = priced("openrouter/gemini", 60, input="0.3", output="2.5", cache_write="0.08")
    assert Candidate(stored, stored.prices[0]).in_talk(1000, 0, 0) == pytest.approx(0.3e-3)


def test_one_hard_turn_is_no_reason_to_pay_for_a_better_model_in_all_that_come():
    small = priced("lab/nano", 60, input="0.2", output="1", cached_input="0.02")
    large = priced("other/large", 80, input="5", output="30", cached_input="0.5")
    routes = router(small, large)
    # What one hard turn is worth, as a request of its own decides it.
    routes._difficulty.value = 0.5
    alone = router(small, large, difficulty=0.5, routing={"sticky": False})
    texts = (*TALK, "ok", "now prove it")
    fresh = alone.decide(a_chat(messages=saying(*texts)), context()).model
    for _ in range(12):
        made = routes.decide(a_chat(messages=saying(*TALK)), context())
        routes.served("kitchen", made, small)
    held = routes.decide(a_chat(messages=saying(*texts)), context()).model
    assert (fresh is large) or held is small


class TestAffinity:
    def test_a_conversation_has_one_whatever_is_said_later(self):
        routes = router(HELD, CHEAPER)
        found = {
            routes.decide(a_chat(messages=saying(*TALK, *more)), context()).affinity
            for more in ((), ("yes", "go on"), ("no", "why?", "because", "and?"))
        }
        assert len(found) == 1
        assert None not in found

    def test_another_device_with_the_same_words_has_another(self):
        assert affinity("kitchen", LONG, "hi") != affinity("bath", LONG, "hi")

    def test_long_instructions_make_alike_all_that_begins_with_them(self):
        assert affinity("kitchen", LONG, "one") == affinity("kitchen", LONG, "two")
        assert affinity("kitchen", "short", "one") != affinity("kitchen", "short", "two")

    def test_a_model_asked_for_by_name_has_one_too(self):
        routes = router(HELD, CHEAPER)
        assert routes.decide(a_chat(messages=saying(*TALK), model="lab/held"), context()).affinity is not None

    def test_short_prompts_have_none(self):
        assert router(HELD, CHEAPER).decide(a_chat(), context()).affinity is None

    def test_it_can_be_turned_off(self):
        routes = router(HELD, CHEAPER, routing={"sticky": False})
        assert routes.decide(a_chat(messages=saying(*TALK)), context()).affinity is None


class TestTable:
    @pytest.mark.parametrize(
        ("name", "least"),
        [
            ("claude-sonnet-4-5", 1024),
            ("claude-opus-4-1-20250805", 1024),
            ("claude-sonnet-4-6", 2048),
            ("claude-haiku-4-5-20251001", 4096),
            ("claude-opus-4-8", 4096),
            ("claude-3-5-haiku-latest", 2048),
            ("anthropic/claude-3.7-sonnet", 1024),
            ("claude-fable-5", 4096),
            ("google/gemini-2.5-flash", 2048),
            ("gemini-3.1-pro-preview", 4096),
            ("gpt-5", None),
        ],
    )
    def test_the_least_length_goes_by_the_model(self, name, least):
        assert prompt_cache.least_of(name) == least

    def test_every_row_has_its_source(self):
        assert all(row.source and row.seconds > 0 for row in prompt_cache.VENDORS.values())

    def test_a_name_without_end_is_looked_at_no_further_than_names_go(self):
        assert prompt_cache.least_of("x" * 1_000_000 + "claude") is None
