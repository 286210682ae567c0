"""What genai-prices publishes, in the catalogue's words; and what it could publish one day."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.catalog.genai import MOST_RATE, listing, matches, prices_of, providers_in
from cheaprouter.core.models import RATES

TODAY = "2026-11-28"
PLAIN = {"input_mtok": 1, "output_mtok": 4}


def prices(told) -> list[dict]:
    return prices_of({"prices": told}, TODAY)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (PLAIN, {"input": "1", "output": "4"}),
        ({**PLAIN, "cache_read_mtok": 0.07, "cache_write_mtok": 1.25}, {"input": "1", "output": "4", "cached_input": "0.07", "cache_write": "1.25"}),
        ({**PLAIN, "cache_write_1h_mtok": 2}, {"input": "1", "output": "4", "cache_write_1h": "2"}),
        ({**PLAIN, "input_audio_mtok": 40, "output_audio_mtok": 80}, {"input": "1", "output": "4", "audio_input": "40", "audio_output": "80"}),
        ({**PLAIN, "output_reasoning_mtok": 3}, {"input": "1", "output": "4", "reasoning": "3"}),
        ({**PLAIN, "output_reasoning_mtok": 4}, {"input": "1", "output": "4"}),
        ({**PLAIN, "requests_kcount": 12}, {"input": "1", "output": "4", "per_request": "0.012"}),
        (
            {"input_mtok": {"base": 1, "tiers": [{"start": 500, "price": 2}]}, "output_mtok": 4},
            {"input": "1", "output": "4", "tiers": [{"above": 500, "input": "2", "output": "4"}]},
        ),
    ],
)  # fmt: skip
def test_each_kind_of_price_is_read(told, expected):
    assert prices(told) == [expected]


def test_conditions_are_dates_or_hours():
    told = [
        {"prices": PLAIN},
        {"constraint": {"start_date": "2026-03-13"}, "prices": {"input_mtok": 2, "output_mtok": 5}},
        {
            "constraint": {"start_time": "16:30:00Z", "end_time": "00:30:00Z"},
            "prices": {"input_mtok": 3, "output_mtok": 6},
        },
    ]
    assert prices(told) == [
        {"input": "1", "output": "4"},
        {"input": "2", "output": "5", "from": "2026-03-13"},
        {"input": "3", "output": "6", "daily": [990, 30]},
    ]


@pytest.mark.parametrize(
    "told",
    [
        [{"constraint": {"moon": "full"}, "prices": PLAIN}],
        [{"constraint": {"start_date": "soon"}, "prices": PLAIN}],
        [{"constraint": {"start_time": "noon", "end_time": "13:00"}, "prices": PLAIN}],
        {**PLAIN, "input_mtok": -1},
        {**PLAIN, "input_mtok": MOST_RATE + 1},
        {**PLAIN, "input_mtok": "1"},
        {**PLAIN, "input_mtok": True},
        {**PLAIN, "input_mtok": float("nan")},
        {**PLAIN, "input_mtok": 1e-30},
        {**PLAIN, "input_mtok": {"tiers": []}},
        {**PLAIN, "input_mtok": {"base": 1, "tiers": [{"start": -5, "price": 2}]}},
        {"input_mtok": 1},
        None,
        7,
        "free",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_no_price(told):
    assert prices(told) == []


@pytest.mark.parametrize(
    ("clause", "holds"),
    [
        ({"equals": "GPT-9"}, True),
        ({"equals": "gpt"}, False),
        ({"starts_with": "gpt"}, True),
        ({"ends_with": "-9"}, True),
        ({"contains": "t-"}, True),
        ({"or": [{"equals": "x"}, {"contains": "9"}]}, True),
        ({"and": [{"contains": "gpt"}, {"contains": "8"}]}, False),
        ({"regex": "^gpt-[0-9]$"}, True),
        ({"is": "ClauseOr", "or_": [{"is": "ClauseEquals", "equals": "gpt-9"}]}, True),
        ({"sounds_like": "gpt"}, False),
        ({"or": []}, False),
        ({}, False),
        (None, False),
    ],
)
def test_clauses(clause, holds):
    assert matches(clause, "gpt-9") is holds


def test_a_strangers_pattern_is_never_run():
    endless = {"regex": "^(a+)+$"}
    assert not matches(endless, "a" * 60 + "!", patterns=False)
    assert not matches({"or": [endless]}, "a" * 60 + "!", patterns=False)


def test_an_id_is_found_with_and_without_its_path():
    models = [{"id": "a", "match": {"equals": "a"}}, {"id": "b", "match": {"equals": "x/b"}}]
    assert listing("x/a", models)["id"] == "a"
    assert listing("x/b", models)["id"] == "b"
    assert listing("c", models) is None


@pytest.mark.parametrize(
    "published", [[{"id": "openai", "models": [{}, 7]}], {"providers": [{"id": "openai", "models": [{}]}, 7]}]
)
def test_both_published_shapes_are_read(published):
    assert providers_in(published) == {"openai": [{}]}


@pytest.mark.parametrize("published", [None, 7, {}, {"providers": 1}, "x"])
def test_anything_else_is_refused(published):
    with pytest.raises(ValueError, match="a list of providers"):
        providers_in(published)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["1", "2026-01-01", "10:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["base", "tiers", "start", "price", "prices", "constraint", "start_date", "start_time", "end_time", "input_mtok", "output_mtok"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(values, values, values)
def test_whatever_is_published_every_price_is_one(input_rate, output_rate, constraint):
    for price in prices([{"prices": {"input_mtok": input_rate, "output_mtok": output_rate}, "constraint": constraint}]):
        assert all(0 <= Decimal(price[name]) <= MOST_RATE for name in RATES if name in price)
