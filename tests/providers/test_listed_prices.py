from __future__ import annotations

import orjson
import pytest

from cheaprouter.providers.listing import parse_listing


def price(**entry) -> dict | None:
    return parse_listing(orjson.dumps({"data": [{"id": "a/b", **entry}]}))[0].get("price")


def test_rates_by_the_token_become_rates_by_the_million():
    told = {
        "prompt": "0.0000025",
        "completion": "0.000015",
        "request": "0",
        "image": "0.1",
        "input_cache_read": "0.00000025",
    }
    assert price(pricing=told) == {"input": "2.5", "output": "15", "cached_input": "0.25", "per_request": "0"}


def test_prices_of_other_kinds_are_read_where_there_are_any():
    told = {
        "prompt": "0.000001",
        "completion": "0.00001",
        "input_cache_write_1h": "0.000002",
        "audio": "0.00004",
        "audio_output": "0",
        "internal_reasoning": "0.000003",
        "image_output": "0.04",
        "web_search": "0.01",
    }
    assert price(pricing=told) == {
        "input": "1",
        "output": "10",
        "cache_write_1h": "2",
        "audio_input": "40",
        "reasoning": "3",
        "per_image": "0.04",
    }


def test_rates_by_the_million_are_taken_as_they_are():
    assert price(pricing={"input": 0.1, "output": 8}, billing_mode="paid") == {"input": "0.1", "output": "8"}


def test_a_flat_price_is_for_each_request():
    assert price(pricing={"input": 0, "output": 0, "flat": 0.05}, billing_mode="flat")["per_request"] == "0.05"


@pytest.mark.parametrize(
    "told",
    [
        None, "free", {}, {"prompt": "0.1"}, {"prompt": "-1", "completion": "-1"}, {"input": True, "output": 1},
        {"prompt": "x", "completion": "1"}, {"input": "NaN", "output": "1"}, {"input": "Infinity", "output": "1"},
    ],
)  # fmt: skip
def test_anything_else_is_no_price(told):
    assert price(pricing=told) is None


@pytest.mark.parametrize("amount", ["1e999999", "1e999995", "1000001", 1e300, "1e-999999"])
@pytest.mark.parametrize("names", [("input", "output"), ("prompt", "completion")])
def test_a_price_beyond_all_bounds_is_no_price(amount, names):
    told = price(pricing={names[0]: amount, names[1]: "0.000001"})
    assert told is None or told["input"] == "0"


def test_the_highest_price_is_a_million_for_a_million():
    assert price(pricing={"input": "1000000", "output": 0}) == {"input": "1000000", "output": "0"}


@pytest.mark.parametrize("number", [10**15, 10**18, -1, 0, True, 1.5, "9"])
def test_limits_beyond_all_bounds_are_none(number):
    body = orjson.dumps({"data": [{"id": "a", "context_length": number, "max_output_tokens": number}]})
    assert parse_listing(body) == [{"id": "a"}]


def test_a_name_without_an_end_is_no_model():
    assert parse_listing(orjson.dumps({"data": [{"id": "a" * 10_000}, {"id": "b", "name": "n" * 10_000}]})) == [
        {"id": "b"}
    ]
