from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from cheaprouter.core.models import RouteDecision
from cheaprouter.routing.sticky import MEMORY, StickyStore
from tests.builders import HandClock, a_chat, a_model, saying
from tests.routing.helpers import BIG, SMALL, context, router

FIRST = ("hello there", "hi, what can I do?", "tell me about light bulbs")
OTHER = ("hello there", "good evening", "tell me about light bulbs")
NEAR = a_model("other/near", 40.5, ("0.098", "0.39"))
TOOL_LOOP = [
    {"role": "user", "content": "dim the lights"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "dim", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "done"},
]  # fmt: skip


def decision(key="k", chosen=SMALL, **more) -> RouteDecision:
    return RouteDecision(chosen, (), "because", conversation_key=key, prompt_tokens=100, **more)


class TestStore:
    def test_a_conversation_is_found_again(self):
        store = StickyStore()
        store.remember("a", decision(), BIG, 0)
        assert store.find("a", "k", 1).model_id == "lab/big"

    def test_another_device_with_the_same_words_is_not(self):
        store = StickyStore()
        store.remember("a", decision(), BIG, 0)
        assert store.find("b", "k", 1) is None

    def test_an_old_conversation_is_forgotten(self):
        store = StickyStore()
        store.remember("a", decision(), BIG, 0)
        assert store.find("a", "k", MEMORY + 1) is None

    def test_it_never_grows_without_bound(self):
        store = StickyStore(most=10)
        for number in range(100):
            store.remember("a", decision(str(number)), BIG, number)
        assert len(store) == 10
        assert store.find("a", "99", 100) is not None

    def test_what_its_provider_has_seen_is_measured_as_the_next_prompt_will_be(self):
        store = StickyStore()
        store.remember("a", decision(estimated_prompt=50), BIG, 0)
        assert store.find("a", "k", 1).prompt_tokens == 50

    def test_a_model_asked_for_by_name_pins_nothing(self):
        store = StickyStore()
        store.remember("a", decision(named=True), BIG, 0)
        assert len(store) == 0


class TestRouting:
    def served(self, routes, texts, by, device="kitchen"):
        made = routes.decide(a_chat(messages=saying(*texts)), context(device_id=device))
        routes.served(device, made, by)

    def test_a_conversation_stays_where_switching_gains_little(self):
        routes = router(SMALL, NEAR)
        assert routes.decide(a_chat(messages=saying(*FIRST)), context()).model is NEAR
        self.served(routes, FIRST, SMALL)
        made = routes.decide(a_chat(messages=saying(*FIRST, "ok", "and candles?")), context())
        assert made.model is SMALL
        assert "stays on lab/small" in made.reason

    def test_a_conversation_leaves_a_model_that_cools(self):
        routes = router(SMALL, NEAR)
        self.served(routes, FIRST, SMALL)
        made = routes.decide(
            a_chat(messages=saying(*FIRST, "ok", "and candles?")), context(down=frozenset({"lab/small"}))
        )
        assert made.model is NEAR
        assert "stays" not in made.reason

    def test_another_device_is_not_drawn_along(self):
        routes = router(SMALL, NEAR)
        self.served(routes, FIRST, SMALL, device="bath")
        assert routes.decide(a_chat(messages=saying(*FIRST)), context()).model is NEAR

    def test_another_conversation_with_the_same_opening_is_not_drawn_along(self):
        routes = router(SMALL, NEAR)
        self.served(routes, FIRST, SMALL)
        assert routes.decide(a_chat(messages=saying(*OTHER)), context()).model is NEAR

    def test_a_fresh_hello_is_not_drawn_along(self):
        routes = router(SMALL, NEAR)
        self.served(routes, ("hello",), SMALL)
        assert routes.decide(a_chat("hello"), context()).model is NEAR

    def test_a_hard_turn_leaves_the_small_model(self):
        routes = router(SMALL, BIG)
        self.served(routes, FIRST, SMALL)
        routes._difficulty.value = 0.9
        assert routes.decide(a_chat(messages=saying(*FIRST, "ok", "prove it")), context()).model is BIG

    def test_a_tool_loop_keeps_its_model_whatever_the_score(self):
        routes = router(SMALL, BIG, difficulty=0.9)
        opening = routes.decide(a_chat("dim the lights"), context())
        routes.served("kitchen", opening, opening.model)
        routes._difficulty.value = 0.01
        assert routes.decide(a_chat(messages=TOOL_LOOP), context()).model is opening.model

    def test_a_question_that_comes_back_goes_to_a_better_model(self):
        routes = router(SMALL, BIG)
        self.served(routes, FIRST, SMALL)
        again = routes.decide(a_chat(messages=saying(*FIRST, "hm", FIRST[-1])), context())
        assert again.model is BIG

    def test_a_retry_after_a_failure_goes_to_a_better_model(self):
        routes = router(SMALL, BIG)
        first = routes.decide(a_chat(), context())
        routes.failed("kitchen", first)
        assert first.model is SMALL
        assert routes.decide(a_chat(), context(now=1010.0)).model is BIG

    def test_another_devices_failure_is_no_reason(self):
        routes = router(SMALL, BIG)
        routes.failed("bath", routes.decide(a_chat(), context()))
        assert routes.decide(a_chat(), context(now=1010.0)).model is SMALL

    def test_a_retry_counts_while_others_fail_after_it(self):
        routes = router(SMALL, BIG)
        routes.failed("kitchen", routes.decide(a_chat(), context()))
        routes.failed("bath", routes.decide(a_chat("something else"), context()))
        assert routes.decide(a_chat(), context(now=1010.0)).model is BIG

    def test_an_old_failure_is_no_reason(self):
        routes = router(SMALL, BIG)
        routes.failed("kitchen", routes.decide(a_chat(), context()))
        assert routes.decide(a_chat(), context(now=1200.0)).model is SMALL

    def test_after_the_better_model_served_the_failure_is_over(self):
        clock = HandClock()
        routes = router(SMALL, BIG, clock=clock)
        routes.failed("kitchen", routes.decide(a_chat(), context()))
        routes.served("kitchen", routes.decide(a_chat(), context()), BIG)
        assert routes.decide(a_chat(), context()).model is SMALL

    def test_what_the_cache_saves_counts_for_the_model_that_has_it(self):
        cached = a_model("lab/cached", 50, ("1", "1"))
        rival = a_model("other/rival", 50, ("0.8", "1"))
        rates = replace(cached.prices[0].rates, cached_input=Decimal("0.1"))
        cached = replace(cached, prices=(replace(cached.prices[0], rates=rates),))
        routes = router(cached, rival, routing={"cost_quality": 0})
        long = ("word " * 4000, "ok", "more")
        assert routes.decide(a_chat(messages=saying(*long)), context()).model.id == "other/rival"
        self.served(routes, long, cached)
        assert routes.decide(a_chat(messages=saying(*long, "ok", "go on")), context()).model.id == "lab/cached"

    def test_it_can_be_turned_off(self):
        routes = router(SMALL, NEAR, routing={"sticky": False})
        self.served(routes, FIRST, SMALL)
        assert routes.decide(a_chat(messages=saying(*FIRST, "ok", "and?")), context()).model is NEAR
