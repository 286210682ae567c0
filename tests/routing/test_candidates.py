from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.catalog.prices import cost
from cheaprouter.catalog.table import ModelTable
from cheaprouter.core.models import Capability, Price, PriceTier, Rates, Usage
from cheaprouter.routing.candidate import Candidate
from cheaprouter.routing.candidates import Bounds, Constraints, Needs, ceiling, matches, select
from tests.builders import NOON, a_model
from tests.routing.helpers import BIG, LOCAL, SMALL


def out(table_model, needs=Needs(), constraints=Constraints(), **latency) -> str:  # noqa: B008 - nobody changes them
    kept, dropped = select(ModelTable([table_model]), needs, constraints, NOON, latency)
    return dropped[0].reason if dropped else f"kept {kept[0].id}"


@pytest.mark.parametrize("need", list(Capability))
def test_a_model_that_lacks_an_ability_is_out(need):
    assert out(a_model("a/b", capabilities=frozenset()), Needs(frozenset({need}))) == f"it cannot do {need.value}"


def test_an_unpriced_model_is_out():
    assert out(a_model("a/b", price=None)) == "its price is unknown"


def test_a_hidden_model_is_out():
    assert out(a_model("a/b", hidden=True)) == "it answers only to its own name"


@pytest.mark.parametrize(("prompt", "fits"), [(8000, True), (8100, False)])
def test_a_prompt_has_to_fit_with_a_margin(prompt, fits):
    told = out(a_model("a/b", context=10_000), Needs(prompt_tokens=prompt, output_tokens=800))
    assert told.startswith("kept") is fits


def test_the_clients_own_ceiling_on_the_reply_has_to_fit():
    assert "too small" in out(
        a_model("a/b", context=10_000), Needs(prompt_tokens=100, output_tokens=1, max_tokens=9990)
    )


def test_a_ceiling_above_what_the_model_can_write_counts_as_what_it_can():
    told = out(a_model("a/b", context=10_000, max_output=4000), Needs(prompt_tokens=100, max_tokens=99_999))
    assert told == "kept a/b"


def test_an_unknown_window_keeps_nobody_out():
    assert out(a_model("a/b", context=None), Needs(prompt_tokens=10**7)) == "kept a/b"


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        (Bounds(free_only=True), "it costs money"),
        (Bounds(only_local=True), "it is not at home, and cloud models are paused"),
        (Bounds(allow=("lab/other",)), "this device may not use it"),
        (Bounds(alias_models=("x/*",)), "the alias does not name it"),
        (Bounds(exclude=("lab/*",)), "it is excluded"),
        (Bounds(kind="embedding"), "it is a chat model"),
    ],
)
def test_rules_keep_models_out(bounds, reason):
    assert out(SMALL, constraints=Constraints(bounds)) == reason


@pytest.mark.parametrize("allow", [("lab/small",), ("lab/*",), ("*",), ("x", "lab/s*")])
def test_allowed_models_are_kept(allow):
    assert out(SMALL, constraints=Constraints(Bounds(allow=allow))) == "kept lab/small"


def test_a_ceiling_on_cost_is_kept_to():
    assert "above the ceiling" in out(BIG, Needs(prompt_tokens=1000, output_tokens=1000), Constraints(max_cost=0.001))


def test_a_model_that_is_usually_too_slow_is_out():
    assert "900 ms" in out(SMALL, constraints=Constraints(max_first_token_ms=800), **{"lab/small": 900.0})


def test_a_model_that_was_never_seen_is_not_called_slow():
    assert out(SMALL, constraints=Constraints(max_first_token_ms=800)) == "kept lab/small"


def test_free_and_local_models_pass_where_only_those_may():
    assert out(LOCAL, constraints=Constraints(Bounds(free_only=True, only_local=True))) == "kept home/llama"


def test_everyone_is_either_kept_or_dropped():
    table = ModelTable([SMALL, BIG, LOCAL])
    kept, dropped = select(table, Needs(), Constraints(Bounds(exclude=("lab/big",))), NOON, {})
    assert {m.id for m in kept} | {d.model_id for d in dropped} == {m.id for m in table.models}


def test_patterns_name_models_or_providers():
    assert matches(("home/*",), LOCAL)
    assert not matches(("homes/*", "llama"), LOCAL)


def test_the_lowest_ceiling_counts():
    assert ceiling(None, Decimal("0.5"), Decimal("0.1")) == 0.1
    assert ceiling(None, None) is None


TIERED = replace(
    SMALL,
    prices=(
        Price(
            Rates(Decimal(1), Decimal(4), Decimal("0.1")),
            tiers=(PriceTier(1000, Rates(Decimal(2), Decimal(8), Decimal("0.2"))),),
        ),
    ),
)


@given(st.integers(1, 5000), st.integers(0, 5000), st.integers(0, 5000))
def test_quick_sums_agree_with_the_books(prompt, output, cached):
    cached = min(cached, prompt)
    quick = Candidate(TIERED, TIERED.prices[0]).cost(prompt, output, cached)
    assert quick == pytest.approx(float(cost(Usage(prompt, output, cached_tokens=cached), TIERED, NOON)))
