"""Newer prices: which are taken, and that whatever was kept can be lived with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.catalog.catalog import Catalog, shipped
from cheaprouter.catalog.prices import price_at
from cheaprouter.catalog.quality import QualityTable
from cheaprouter.catalog.refreshed import FILE, keep, kept, refreshed
from cheaprouter.core.models import Model

TODAY = "2026-11-28"
NOW = 1_796_000_000.0
SNAPSHOT = {
    "version": "2026-11-22",
    "sources": {"genai": "genai-prices 0"},
    "models": {
        "openai": {
            "gpt-9": {"prices": [{"input": "1", "output": "4", "cache_write_1h": "2"}], "source": "genai", "services": {"priority": "1.75"}},
            "gpt-8": {"prices": [{"input": "1", "output": "4"}], "source": "genai", "capabilities": ["audio"]},
        },
        "openrouter": {"x/y:free": {"prices": [{"input": "0", "output": "0"}], "source": "genai", "on_request": True}},
    },
}  # fmt: skip


def published(**prices) -> bytes:
    models = [
        {"id": name, "match": {"equals": name.replace("_", "-")}, "prices": told} for name, told in prices.items()
    ]
    return json.dumps([{"id": "openai", "models": models}, {"id": "openrouter", "models": models}]).encode()


def taken(**prices) -> dict:
    return refreshed(published(**prices), SNAPSHOT, NOW, TODAY)["models"]


def test_a_changed_price_is_taken():
    assert taken(gpt_9={"input_mtok": 2, "output_mtok": 8}) == {"openai": {"gpt-9": [{"input": "2", "output": "8"}]}}


def test_a_price_that_says_nothing_new_leaves_what_shipped_with_all_its_kinds():
    assert taken(gpt_9={"input_mtok": 1, "output_mtok": 4}) == {}


def test_a_new_kind_at_the_same_price_is_new():
    told = {"input_mtok": 1, "output_mtok": 4, "cache_read_mtok": 0.1}
    assert taken(gpt_9=told)["openai"]["gpt-9"] == [{"input": "1", "output": "4", "cached_input": "0.1"}]


def test_sound_costs_what_text_does_where_nothing_else_is_said():
    assert taken(gpt_8={"input_mtok": 2, "output_mtok": 4})["openai"]["gpt-8"][0]["audio_input"] == "2"


@pytest.mark.parametrize(("input_rate", "output_rate"), [(0, 0), (0, 4), (11, 4), (1, 0.3), (0.09, 4)])
def test_a_price_of_nothing_or_ten_times_another_is_a_mistake(input_rate, output_rate):
    assert taken(gpt_9={"input_mtok": input_rate, "output_mtok": output_rate}) == {}


def test_models_that_are_not_in_the_catalogue_stay_out():
    assert taken(gpt_7={"input_mtok": 2, "output_mtok": 8}) == {}


def test_what_is_free_by_its_name_stays_free():
    free = [{"id": "y", "match": {"contains": "y"}, "prices": {"input_mtok": 1, "output_mtok": 1}}]
    told = json.dumps([{"id": "openrouter", "models": free}]).encode()
    assert refreshed(told, SNAPSHOT, NOW, TODAY)["models"] == {}


@pytest.mark.parametrize(
    "told", [b"", b"<html>", b"[]", b"{}", b"[1, 2]", b'[{"id": "nobody", "models": [{}]}]', b'{"a": NaN}']
)
def test_what_is_no_price_list_is_refused(told):
    with pytest.raises(ValueError):  # noqa: PT011 - any kind will do
        refreshed(told, SNAPSHOT, NOW, TODAY)


def catalog(newer: dict | None) -> Catalog:
    return Catalog(SNAPSHOT, QualityTable({}), newer)


def rate(newer: dict | None, name: str = "gpt-9") -> Decimal:
    entry = catalog(newer).lookup("openai", name)
    model = Model("a/b", "a", "b", prices=entry.prices)
    return price_at(model, datetime(2026, 11, 28, tzinfo=UTC), 1).input


def test_newer_prices_hold_and_say_where_they_are_from():
    newer = refreshed(published(gpt_9={"input_mtok": 2, "output_mtok": 8}), SNAPSHOT, NOW, TODAY)
    price = catalog(newer).lookup("openai", "gpt-9").prices[0]
    assert (price.rates.input, price.source) == (2, "genai-prices as published, read 2026-11-28")
    assert dict(price.services)["priority"] == Decimal("1.75")
    assert rate(newer, "gpt-8") == 1


leaves = st.none() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["models", "openai", "gpt-9", "source", "input", "output", "tiers", "daily", "from"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(anything)
def test_whatever_is_damaged_what_shipped_holds(damaged):
    newer = damaged if isinstance(damaged, dict) else {"models": {"openai": {"gpt-9": damaged}}, "source": "x"}
    assert rate(newer) == 1


def test_what_was_kept_is_read_again(tmp_path):
    newer = refreshed(published(gpt_9={"input_mtok": 2, "output_mtok": 8}), SNAPSHOT, NOW, TODAY)
    keep(tmp_path, newer)
    assert kept(tmp_path) == newer


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"models": 1, "read": 1}', '{"models": {}, "read": "x"}'])
def test_a_damaged_file_is_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert kept(tmp_path) is None


def test_no_file_is_none(tmp_path):
    assert kept(tmp_path) is None


def test_the_shipped_catalogue_is_the_snapshot():
    assert Catalog.load().version == shipped()["version"]


ABSURD = ["1e999999", "NaN", "sNaN", "-5", "Infinity", "9" * 5000, 1e300, ["x"], {"a": 1}, None, True, ""]


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("where", ["input", "tier", "above", "daily", "per_request", "reasoning"])
def test_what_was_kept_is_checked_as_what_comes_from_outside(value, where):
    """A figure that cannot be neither ends a start nor makes a model free: the shipped price holds."""
    kind, models = next(iter(shipped()["models"].items()))
    model_id = next(iter(models))
    price = {"input": "1", "output": "1"}
    if where in {"tier", "above"}:
        price |= {
            "tiers": [
                {
                    "above": 5,
                    "input": "1",
                    "output": "1",
                    **({"above": value} if where == "above" else {"input": value}),
                }
            ]
        }
    else:
        price |= {where: [value, value] if where == "daily" else value}
    kept = {"read": 1, "source": "x", "models": {kind: {model_id: [price]}}}
    assert Catalog.load(kept).lookup(kind, model_id) == Catalog.load().lookup(kind, model_id)
