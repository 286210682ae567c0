from __future__ import annotations

from types import SimpleNamespace

import pytest

from cheaprouter.config.settings import BudgetAction
from cheaprouter.core.errors import (
    BudgetError,
    InvalidRequestError,
    ModelNotFoundError,
    NoCandidateError,
    PermissionDeniedError,
)
from cheaprouter.core.models import Capability, Profile
from cheaprouter.routing.reasons import ascii_line
from cheaprouter.routing.shortlist import Shortlist
from tests.builders import a_chat, a_model
from tests.routing.helpers import BIG, LOCAL, MIDDLE, SMALL, FixedDifficulty, context, router

IMAGE = [{"role": "user", "content": [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "https://h/i.png"}}]}]  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "light", "parameters": {"type": "object"}}}]


def decide(routes, asked="blockrun/auto", text="turn on the light", *, body=None, **given):
    return routes.decide(a_chat(text, asked, **(body or {})), context(**given))


class TestNames:
    def test_a_model_asked_for_by_name_is_served_as_is(self):
        made = decide(router(), "lab/big")
        assert (made.model, made.fallbacks, made.named, made.profile) == (BIG, (), True, None)
        assert made.reason == "lab/big was asked for by name"

    def test_a_named_model_keeps_its_place_even_if_it_lacks_an_ability(self):
        blind = a_model("lab/blind", capabilities=frozenset())
        assert decide(router(blind, BIG), "lab/blind", body={"messages": IMAGE}).model is blind

    def test_a_named_model_without_a_price_is_served(self):
        odd = a_model("lab/odd", price=None)
        assert decide(router(odd, BIG), "lab/odd").model is odd

    def test_a_named_model_that_is_cooling_is_still_served(self):
        assert decide(router(), "lab/big", down=frozenset({"lab/big"})).model is BIG

    def test_only_its_own_fallbacks_stand_in(self):
        made = decide(router(SMALL, BIG, MIDDLE, fallbacks={"lab/small": ["lab/big"]}), "lab/small")
        assert made.fallbacks == (BIG,)

    def test_a_fallback_that_cannot_do_it_is_left_out(self):
        blind = a_model("x/blind", capabilities=frozenset())
        routes = router(SMALL, BIG, blind, fallbacks={"lab/small": ["x/blind", "lab/big"]})
        assert decide(routes, "lab/small", body={"messages": IMAGE}).fallbacks == (BIG,)

    def test_a_fallback_whose_window_is_too_small_is_left_out(self):
        tiny = a_model("x/tiny", context=50)
        routes = router(SMALL, BIG, tiny, fallbacks={"lab/small": ["x/tiny", "lab/big"]})
        assert decide(routes, "lab/small", "word " * 200).fallbacks == (BIG,)

    def test_a_fallback_above_the_price_ceiling_is_left_out(self):
        routes = router(SMALL, BIG, fallbacks={"lab/small": ["lab/big"]}, routing={"max_cost": "0.0005"})
        assert decide(routes, "lab/small").fallbacks == ()

    def test_a_fallback_that_nobody_knows_is_left_out(self):
        assert decide(router(fallbacks={"lab/small": ["gone/model"]}), "lab/small").fallbacks == ()

    def test_an_unknown_name_is_not_found_with_near_ones(self):
        with pytest.raises(ModelNotFoundError, match="Did you mean `lab/small`") as caught:
            decide(router(), "lab/smal")
        assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")

    def test_the_wildcard_takes_unknown_names(self):
        made = decide(router(aliases={"*": "lab/small"}), "gpt-4o-mini")
        assert made.model is SMALL
        assert "unknown" in made.reason

    def test_the_wildcard_may_stand_for_a_profile(self):
        assert decide(router(aliases={"*": "blockrun/premium"}), "whatever").profile is Profile.PREMIUM

    def test_the_wildcard_takes_nothing_that_exists(self):
        assert decide(router(aliases={"*": "lab/small"}), "lab/big").model is BIG

    def test_an_alias_stands_for_a_model(self):
        made = decide(router(aliases={"home/assist": "lab/big"}), "home/assist")
        assert made.model is BIG
        assert made.reason == "home/assist stands for lab/big"

    def test_aliases_come_before_models(self):
        assert decide(router(aliases={"lab/small": "lab/big"}), "lab/small").model is BIG

    def test_aliases_may_lead_to_aliases(self):
        assert decide(router(aliases={"a": "b", "b": "lab/big"}), "a").model is BIG

    def test_a_profile_may_be_given_rules_by_an_alias_of_its_own_name(self):
        routes = router(aliases={"blockrun/auto": {"target": "blockrun/auto", "models": ["lab/big"]}})
        assert decide(routes).model is BIG

    def test_fallbacks_belong_to_the_resolved_name(self):
        routes = router(aliases={"x": "lab/small"}, fallbacks={"lab/small": ["lab/big"]})
        assert decide(routes, "x").fallbacks == (BIG,)

    def test_profiles_win_over_a_provider_of_that_name(self):
        assert decide(router(a_model("blockrun/auto", 99), SMALL), "blockrun/auto").profile is Profile.AUTO

    def test_a_provider_of_that_name_serves_its_other_models(self):
        assert decide(router(a_model("blockrun/x"), SMALL), "blockrun/x").model.id == "blockrun/x"

    @pytest.mark.parametrize(
        "name", ["blockrun/auto:11", "blockrun/auto:x", "blockrun/auto:nan", "blockrun/eco:5", "blockrun/best"]
    )
    def test_profiles_that_do_not_exist_are_not_found(self, name):
        with pytest.raises(ModelNotFoundError):
            decide(router(), name)

    def test_a_suffix_moves_the_slider(self):
        routes = router(difficulty=0.3)
        assert decide(routes, "blockrun/auto:0").model is SMALL
        assert decide(routes, "blockrun/auto:10").model is BIG


class TestKinds:
    EMBED = a_model("lab/embed", 99, ("0", "0"), kind="embedding")

    @pytest.mark.parametrize("profile", list(Profile))
    def test_a_profile_never_chooses_a_model_of_another_kind(self, profile):
        made = decide(router(SMALL, LOCAL, self.EMBED), profile.model_id, budget_action=BudgetAction.ECO)
        assert self.EMBED not in made.chain

    def test_by_name_it_is_refused_and_told_what_it_is(self):
        with pytest.raises(InvalidRequestError) as caught:
            decide(router(SMALL, self.EMBED), "lab/embed")
        assert (caught.value.status, caught.value.param) == (400, "model")
        assert caught.value.message == "`lab/embed` is an embedding model, and this request needs a chat model."

    def test_it_stands_in_for_nobody(self):
        routes = router(SMALL, self.EMBED, fallbacks={"lab/small": ["lab/embed"]})
        assert decide(routes, "lab/small").fallbacks == ()

    def test_a_profile_chooses_within_the_kind_that_is_asked_for(self):
        routes = router(SMALL, BIG, self.EMBED)
        wanted = SimpleNamespace(kind="embedding", model="blockrun/auto", body={"input": "a lamp"}, n=1)
        assert routes.decide(wanted, context()).chain == (self.EMBED,)
        assert decide(routes).model is SMALL

    def test_where_there_is_none_of_the_kind_the_error_says_so(self):
        with pytest.raises(NoCandidateError, match="1 x it is an embedding model"):
            decide(router(self.EMBED))

    def test_savings_are_counted_against_a_chat_model(self):
        assert router(SMALL, a_model("lab/embed", 99, kind="embedding")).baseline is SMALL


class TestProfiles:
    def test_eco_skips_no_cheaper_model_that_would_do(self):
        cheaper = a_model("x/cheaper", 41, ("0.05", "0.2"))
        assert decide(router(SMALL, BIG, cheaper), "blockrun/eco").model is cheaper

    def test_premium_is_the_best_for_any_prompt(self):
        routes = router(SMALL, BIG, MIDDLE)
        for text in ("hi", "What is 2+2?", "Prove that there are infinitely many primes.", "word " * 500):
            assert decide(routes, "blockrun/premium", text).model is BIG

    def test_free_means_free_and_so_do_its_fallbacks(self):
        other = a_model("x/free", 30, ("0", "0"))
        made = decide(router(SMALL, LOCAL, other), "blockrun/free")
        assert [m.id for m in made.chain] == ["home/llama", "x/free"]

    def test_free_without_a_free_model_says_so(self):
        with pytest.raises(NoCandidateError, match="No model that costs nothing"):
            decide(router(), "blockrun/free")

    def test_free_falls_back_when_its_first_choice_cannot_do_it(self):
        blind = a_model("x/free", 80, ("0", "0"), capabilities=frozenset())
        assert decide(router(LOCAL, blind), "blockrun/free", body={"messages": IMAGE}).model is LOCAL

    def test_an_unpriced_model_is_never_chosen(self):
        assert decide(router(a_model("x/odd", 99, None), SMALL), "blockrun/premium").model is SMALL

    def test_a_hidden_model_is_never_chosen(self):
        assert decide(router(a_model("mock/default", 99, ("0", "0"), hidden=True), SMALL)).model is SMALL

    @pytest.mark.parametrize("profile", list(Profile))
    def test_fallbacks_mix_providers(self, profile):
        zero = ("0", "0")
        models = [
            a_model("a/1", 50, zero),
            a_model("a/2", 49, zero),
            a_model("a/3", 48, zero),
            a_model("b/1", 47, zero),
        ]
        made = decide(router(*models), profile.model_id)
        assert made.fallbacks[0].provider != made.model.provider

    def test_a_chain_is_no_longer_than_the_attempts(self):
        models = [a_model(f"p{i}/m", 50) for i in range(20)]
        assert len(decide(router(*models, routing={"max_attempts": 4})).chain) == 4

    def test_every_fallback_can_do_what_is_asked(self):
        blind = a_model("x/blind", 60, capabilities=frozenset({Capability.TOOLS}))
        made = decide(router(SMALL, BIG, blind), body={"messages": IMAGE})
        assert blind not in made.chain

    def test_every_fallback_holds_the_prompt(self):
        tiny = a_model("x/tiny", 60, context=300)
        assert tiny not in decide(router(SMALL, BIG, tiny), text="word " * 400).chain

    def test_what_none_can_do_is_said_with_the_reason(self):
        blind = a_model("x/blind", capabilities=frozenset())
        with pytest.raises(NoCandidateError, match="1 x it cannot do vision"):
            decide(router(blind), body={"messages": IMAGE})

    def test_a_model_that_cools_goes_last(self):
        made = decide(router(SMALL, BIG), down=frozenset({"lab/small"}))
        assert made.chain == (BIG, SMALL)

    def test_where_all_cool_the_best_is_tried_all_the_same(self):
        made = decide(router(SMALL, BIG), down=frozenset({"lab/small", "lab/big"}))
        assert made.model is SMALL
        assert "cooling down" in made.reason

    def test_the_price_ceiling_is_kept_to_by_the_whole_chain(self):
        made = decide(router(SMALL, BIG, routing={"max_cost": "0.0005"}), "blockrun/premium")
        assert made.chain == (SMALL,)

    def test_tools_go_where_tools_are_known(self):
        plain = a_model("x/plain", 95, ("0.01", "0.01"), capabilities=frozenset())
        assert decide(router(plain, SMALL), body={"tools": TOOLS}).model is SMALL

    def test_excluded_models_are_never_chosen_but_answer_to_their_name(self):
        routes = router(routing={"exclude": ["lab/small"]})
        assert decide(routes).chain == (BIG,)
        assert decide(routes, "lab/small").model is SMALL

    def test_latency_alone_never_decides(self):
        slow = {"lab/small": 5000.0, "lab/big": 10.0}
        assert decide(router(), latency=slow).model is SMALL

    def test_an_aliass_latency_ceiling_does(self):
        routes = router(aliases={"fast": {"target": "blockrun/eco", "max_first_token_ms": 800}})
        assert decide(routes, "fast", latency={"lab/small": 5000.0, "lab/big": 10.0}).model is BIG

    def test_an_aliass_rules_bind_its_profile(self):
        rules = {"target": "blockrun/premium", "models": ["lab/*", "other/*"], "exclude": ["lab/big"]}
        assert decide(router(SMALL, BIG, MIDDLE, LOCAL, aliases={"x": rules}), "x").model is MIDDLE

    def test_the_clock_changes_nothing_but_prices(self):
        routes = router(SMALL, BIG, MIDDLE, difficulty=0.4)
        at = context().at
        made = {decide(routes, at=at.replace(hour=hour)).model.id for hour in range(24)}
        assert len(made) == 1

    def test_the_same_request_gets_the_same_answer(self):
        assert len({decide(router(SMALL, BIG, MIDDLE), text="abc").chain for _ in range(5)}) == 1

    def test_max_completion_tokens_counts_for_the_ceiling_too(self):
        routes = router(a_model("a/b", 50, ("0", "100")), SMALL, routing={"max_cost": "0.02"})
        text = "Write me a long story about a lighthouse keeper and a storm that does not end for a hundred days."
        short = decide(routes, "blockrun/premium", text, body={"max_completion_tokens": 100})
        long = decide(routes, "blockrun/premium", text, body={"max_completion_tokens": 10_000})
        assert (short.model.id, long.model.id) == ("a/b", "lab/small")

    def test_more_text_in_front_changes_the_cost_and_not_the_difficulty(self):
        system = [{"role": "system", "content": "You are a home. " * 200}, {"role": "user", "content": "light on"}]
        made = decide(router(), body={"messages": system})
        assert made.model is SMALL
        assert made.prompt_tokens > 500


class TestSpeed:
    def test_a_single_candidate_is_not_scored(self):
        routes = router(SMALL)
        made = decide(routes)
        assert routes._difficulty.asked == 0
        assert made.difficulty is None
        assert "only model" in made.reason

    def test_a_named_model_is_not_scored(self):
        routes = router()
        decide(routes, "lab/big")
        assert routes._difficulty.asked == 0

    def test_a_big_table_gives_the_choice_that_looking_at_all_gives(self):
        models = [
            a_model(f"p{i % 7}/m{i}", 20 + (i * 37) % 70, (str(0.01 + (i * 13) % 50), str(0.1 + (i * 29) % 90)))
            for i in range(150)
        ]
        full = router(*models, difficulty=0.5)
        full._shortlists.made = lambda c, b, at, old=full._shortlists.made: Shortlist(
            (every := old(c, b, at).every.candidates), every
        )
        for asked in ("blockrun/auto", "blockrun/eco", "blockrun/premium", "blockrun/auto:2", "blockrun/auto:8"):
            assert decide(router(*models, difficulty=0.5), asked).model.id == decide(full, asked).model.id

    def test_where_the_short_list_does_not_fit_the_rest_is_looked_at(self):
        tiny = [a_model(f"p{i}/m", 80 + i * 0.1, (f"0.{i + 1}", "0.1"), context=200) for i in range(40)]
        wide = a_model("wide/m", 20, ("90", "90"))
        assert decide(router(*tiny, wide), text="word " * 900).model is wide


class TestDevices:
    def test_a_fixed_model_is_always_used(self):
        made = decide(router(), "lab/small", policy={"model": "lab/big"})
        assert made.model is BIG
        assert made.reason == "this device always uses lab/big"

    def test_a_fixed_model_may_be_an_alias_or_a_profile(self):
        routes = router(aliases={"x": "blockrun/premium"})
        assert decide(routes, "lab/small", policy={"model": "x"}).profile is Profile.PREMIUM

    def test_auto_fixes_nothing(self):
        assert decide(router(), "lab/small", policy={"model": "auto"}).model is SMALL

    def test_its_profile_stands_in_where_the_choice_is_left_open(self):
        assert decide(router(), policy={"profile": Profile.PREMIUM}).profile is Profile.PREMIUM

    def test_its_profile_does_not_change_what_was_asked_for(self):
        assert decide(router(), "blockrun/eco", policy={"profile": Profile.PREMIUM}).profile is Profile.ECO

    def test_the_homes_profile_is_the_default(self):
        assert decide(router(routing={"profile": "premium"})).profile is Profile.PREMIUM

    def test_the_homes_profile_may_change_at_run_time(self):
        routes = router(routing={"profile": "premium"})
        assert decide(routes, profile=Profile.ECO).profile is Profile.ECO
        assert decide(routes, profile=Profile.AUTO).profile is Profile.AUTO

    def test_the_homes_slider_may_change_at_run_time(self):
        routes = router(difficulty=0.3)
        assert decide(routes, cost_quality=0.0).model is SMALL
        assert decide(routes, cost_quality=10.0).model is BIG

    def test_a_changed_policy_holds_at_once(self):
        routes = router()
        assert decide(routes, policy={"models": ("lab/small",)}).chain == (SMALL,)
        assert decide(routes, policy={"models": ("lab/big",)}).chain == (BIG,)

    def test_its_slider_counts_before_the_homes(self):
        assert decide(router(difficulty=0.3, routing={"cost_quality": 10}), policy={"cost_quality": 0}).model is SMALL

    def test_a_model_off_its_list_is_denied_and_not_replaced(self):
        with pytest.raises(PermissionDeniedError, match="may not use `lab/big`") as caught:
            decide(router(), "lab/big", policy={"models": ("lab/small",)})
        assert caught.value.status == 403

    def test_a_profile_chooses_among_its_models(self):
        assert decide(router(), "blockrun/premium", policy={"models": ("lab/small",)}).chain == (SMALL,)

    def test_a_profile_on_its_list_is_open(self):
        assert decide(router(), "blockrun/premium", policy={"models": ("blockrun/premium",)}).model is BIG

    def test_a_profile_off_a_list_of_profiles_is_denied(self):
        with pytest.raises(PermissionDeniedError):
            decide(router(), "blockrun/premium", policy={"models": ("blockrun/eco",)})

    def test_an_alias_on_its_list_opens_what_it_stands_for(self):
        routes = router(aliases={"x": "lab/big"})
        assert decide(routes, "x", policy={"models": ("x",)}).model is BIG

    def test_an_empty_list_allows_nothing(self):
        with pytest.raises(PermissionDeniedError, match="nothing"):
            decide(router(), policy={"models": ()})

    def test_an_excluded_model_is_denied_by_name_and_not_chosen(self):
        with pytest.raises(PermissionDeniedError):
            decide(router(), "lab/small", policy={"exclude": ("lab/small",)})
        assert decide(router(), policy={"exclude": ("lab/small",)}).chain == (BIG,)

    def test_fallbacks_keep_to_its_list(self):
        routes = router(fallbacks={"lab/small": ["lab/big"]})
        assert decide(routes, "lab/small", policy={"models": ("lab/small",)}).fallbacks == ()


class TestBudget:
    def test_free_replaces_a_paid_model_by_a_free_one(self):
        made = decide(router(SMALL, LOCAL), "lab/small", budget_action=BudgetAction.FREE)
        assert made.chain == (LOCAL,)
        assert "budget is spent" in made.reason

    def test_free_leaves_a_free_model_alone(self):
        assert decide(router(SMALL, LOCAL), "home/llama", budget_action=BudgetAction.FREE).named

    def test_free_without_a_free_model_is_an_empty_purse(self):
        with pytest.raises(BudgetError) as caught:
            decide(router(), budget_action=BudgetAction.FREE)
        assert (caught.value.status, caught.value.code) == (429, "insufficient_quota")
        assert caught.value.headers == {"x-should-retry": "false"}

    def test_eco_replaces_a_dear_model_by_a_cheap_one(self):
        made = decide(router(), "lab/big", budget_action=BudgetAction.ECO)
        assert (made.model, made.profile) == (SMALL, Profile.ECO)

    def test_eco_takes_the_place_of_premium(self):
        assert decide(router(), "blockrun/premium", budget_action=BudgetAction.ECO).profile is Profile.ECO

    def test_a_denied_model_stays_denied(self):
        with pytest.raises(PermissionDeniedError):
            decide(router(SMALL, LOCAL), "lab/small", policy={"models": ("home/*",)}, budget_action=BudgetAction.FREE)


class TestPause:
    def test_profiles_choose_among_local_models(self):
        assert decide(router(SMALL, LOCAL), "blockrun/premium", only_local=True).chain == (LOCAL,)

    def test_a_cloud_model_by_name_is_denied(self):
        with pytest.raises(PermissionDeniedError, match="paused"):
            decide(router(SMALL, LOCAL), "lab/small", only_local=True)

    def test_fallbacks_stay_at_home(self):
        routes = router(SMALL, LOCAL, fallbacks={"home/llama": ["lab/small"]})
        assert decide(routes, "home/llama", only_local=True).fallbacks == ()


class TestNumbers:
    @pytest.mark.parametrize("asked", ["lab/big", "blockrun/premium"])
    def test_the_cost_is_of_prompt_and_expected_reply(self, asked):
        routes, body = router(), {"model": asked, "messages": [{"role": "user", "content": "turn on the light"}]}
        made = decide(routes, asked)
        told = routes.explain(body, context())["expected_cost_usd"]
        assert told == pytest.approx((3 * made.prompt_tokens + 15 * made.expected_output) / 1_000_000)

    def test_the_cost_of_a_model_without_a_price_is_unknown(self):
        routes = router(a_model("lab/odd", price=None), BIG)
        body = {"model": "lab/odd", "messages": [{"role": "user", "content": "turn on the light"}]}
        assert routes.explain(body, context())["expected_cost_usd"] is None

    def test_a_models_usual_reply_is_taken_into_account(self):
        long = decide(router(SMALL), outputs={"lab/small": 2000}).expected_output
        assert long > decide(router(SMALL)).expected_output

    def test_several_replies_cost_several_times_the_output(self):
        one, three = decide(router(SMALL)), decide(router(SMALL), body={"n": 3})
        assert three.expected_output == 3 * one.expected_output

    def test_an_estimate_that_was_always_short_is_corrected(self):
        plain = decide(router(SMALL)).prompt_tokens
        assert decide(router(SMALL), corrections={"lab/small": 2.0}).prompt_tokens == 2 * plain

    def test_the_estimate_itself_is_told_too(self):
        plain = decide(router(SMALL))
        made = decide(router(SMALL), corrections={"lab/small": 2.0})
        assert made.estimated_prompt == plain.estimated_prompt == plain.prompt_tokens

    @pytest.mark.parametrize("profile", list(Profile))
    def test_the_reason_is_one_line_of_ascii(self, profile):
        routes = router(SMALL, BIG, LOCAL, aliases={"küche": profile.model_id})
        reason = decide(routes, "küche").reason
        assert reason.isascii()
        assert reason.isprintable()

    def test_the_baseline_is_known(self):
        assert router().baseline is BIG


class TestExplain:
    def explain(self, routes, **body):
        body.setdefault("messages", [{"role": "user", "content": "turn on the light"}])
        return routes.explain(body, context())

    def test_it_says_what_decide_says(self):
        told = self.explain(router())
        made = decide(router())
        assert (told["model"], told["reason"]) == (made.model.id, made.reason)
        assert told["fallbacks"] == ["lab/big"]

    def test_it_shows_candidates_and_who_is_out(self):
        told = self.explain(router(SMALL, BIG, a_model("x/odd", price=None)))
        assert [row["id"] for row in told["candidates"]] == ["lab/small", "lab/big"]
        assert told["dropped"] == [{"id": "x/odd", "reason": "its price is unknown"}]

    def test_it_shows_score_and_contributions(self):
        told = self.explain(router())
        assert (told["score"], told["contributions"]) == (0.01, {"wording": 0.01})

    @pytest.mark.parametrize("asked", ["blockrun/auto", "blockrun/premium"])
    def test_it_shows_each_candidates_chance_of_failing(self, asked):
        rows = self.explain(router(difficulty=0.5), model=asked)["candidates"]
        chances = {row["id"]: row["failure_probability"] for row in rows}
        assert 0 < chances["lab/big"] < chances["lab/small"] < 0.5

    def test_without_a_candidate_it_says_why(self):
        told = self.explain(router(), model="blockrun/free")
        assert told["model"] is None
        assert "costs nothing" in told["error"]

    def test_a_named_model_is_explained_too(self):
        assert self.explain(router(), model="lab/big")["named"]

    def test_nothing_is_remembered(self):
        routes = router()
        self.explain(routes)
        assert len(routes.sticky) == 0


def test_the_store_of_conversations_outlives_a_reload():
    first = router()
    assert type(first)(first.table, first.settings, FixedDifficulty(), sticky=first.sticky).sticky is first.sticky


@pytest.mark.parametrize("name", ["a\r\nx-evil: 1", "a\x00b", "é\n", "a\x7fb"])
def test_a_reason_is_one_line_of_ascii_whatever_was_asked_for(name):
    line = ascii_line(f"{name} is unknown here")
    assert line.isascii()
    assert line.isprintable()
