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
