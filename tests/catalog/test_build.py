from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar

import pytest

from cheaprouter.catalog.build import build_models
from cheaprouter.config.schema import build
from cheaprouter.core.models import Capability


def table(catalog, raw, discovered=None, **kwargs):
    return build_models(build(raw), discovered or {}, catalog, **kwargs)


def lab(*models, **more):
    return {
        "providers": {"lab": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "models": list(models), **more}}
    }


KEY = {"api_key": "k"}


def test_with_nothing_configured_the_mock_stands_behind_profiles(catalog):
    assert table(catalog, {}).ids() == ["mock/default"]


def test_once_a_real_provider_exists_the_mock_answers_only_to_its_name(catalog):
    models = table(catalog, lab("a"))
    assert models.get("mock/default").hidden
    assert "mock/default" not in models.ids()


def test_a_configured_mock_keeps_the_demo(catalog):
    assert not table(catalog, {"providers": {"mock": {"kind": "mock"}}}).get("mock/default").hidden


def test_a_key_alone_brings_the_catalogues_models(catalog):
    models = table(catalog, {"providers": {"anthropic": KEY}})
    assert "anthropic/claude-haiku-5-5" in models.ids()
    assert all(models.get(model_id).priced for model_id in models.ids())


def test_the_users_word_wins_over_the_catalogue(catalog):
    model = {
        "id": "gpt-5.4",
        "price": {"input": 7, "output": 8},
        "quality": 12,
        "context": 100,
        "capabilities": ["audio"],
    }
    found = table(catalog, {"providers": {"openai": {**KEY, "models": [model]}}}).get("openai/gpt-5.4")
    assert found.prices[0].rates.input == 7
    assert (found.quality.value, found.quality.source) == (12, "configured")
    assert found.context == 100
    assert found.capabilities == {Capability.AUDIO}


def test_what_the_user_leaves_out_the_catalogue_knows(catalog):
    found = table(catalog, {"providers": {"openai": {**KEY, "models": ["gpt-5.4"]}}}).get("openai/gpt-5.4")
    assert found.prices[0].rates.input == Decimal("2.5")
    assert found.context == 1_050_000


def test_listed_models_are_the_only_ones(catalog):
    models = table(catalog, {"providers": {"openai": {**KEY, "models": ["gpt-5.4"]}}})
    assert models.ids() == ["openai/gpt-5.4"]


def test_a_model_nobody_knows_has_no_price_and_a_note_says_so(catalog):
    models = table(catalog, lab("secret-sauce"))
    assert not models.get("lab/secret-sauce").priced
    assert "No price is known for lab/secret-sauce" in models.notes[0]


def test_an_openai_model_at_another_address_has_no_price_of_openais(catalog):
    model = table(catalog, lab("gpt-5.4")).get("lab/gpt-5.4")
    assert not model.priced
    assert Capability.VISION in model.capabilities


def test_a_model_at_home_is_free(catalog):
    assert table(catalog, lab("llama3.2:3b", local=True)).get("lab/llama3.2:3b").free


def test_a_local_servers_own_list_is_used(catalog):
    models = table(catalog, {"providers": {"ollama": {}}}, {"ollama": [{"id": "qwen3:8b", "context": 8192}]})
    model = models.get("ollama/qwen3:8b")
    assert (model.free, model.local, model.context, model.hidden) == (True, True, 8192, False)


def test_a_catalogued_model_that_the_provider_does_not_list_is_left_out(catalog):
    models = table(catalog, {"providers": {"openai": KEY}}, {"openai": [{"id": "gpt-5.4"}]})
    assert models.ids() == ["openai/gpt-5.4"]


def test_a_list_that_matches_nothing_does_not_empty_the_catalogue(catalog):
    assert "openai/gpt-5.4" in table(catalog, {"providers": {"openai": KEY}}, {"openai": [{"id": "x"}]}).ids()


def test_what_a_provider_lists_beyond_the_catalogue_answers_to_its_name_only(catalog):
    found = table(catalog, {"providers": {"openai": KEY}}, {"openai": [{"id": "gpt-99"}]}).get("openai/gpt-99")
    assert (found.hidden, found.priced) == (True, False)


def test_a_dated_twin_costs_what_the_model_costs(catalog):
    models = table(
        catalog, {"providers": {"openai": KEY}}, {"openai": [{"id": "gpt-5.4"}, {"id": "gpt-5.4-2026-03-05"}]}
    )
    assert models.get("openai/gpt-5.4-2026-03-05").prices == models.get("openai/gpt-5.4").prices


def test_a_model_that_is_retired_by_today_is_left_out(catalog):
    raw = {"providers": {"anthropic": KEY}}
    assert "anthropic/claude-sonnet-4-5" in table(catalog, raw, today=date(2026, 11, 29)).ids()
    assert "anthropic/claude-sonnet-4-5" not in table(catalog, raw, today=date(2026, 11, 30)).ids()


def test_an_unknown_model_is_taken_to_do_text_and_tools(catalog):
    assert table(catalog, lab("mystery")).get("lab/mystery").capabilities == {Capability.TOOLS, Capability.JSON_SCHEMA}


def test_a_disabled_provider_brings_nothing(catalog):
    models = table(catalog, lab("a", enabled=False))
    assert models.get("lab/a") is None
    assert models.ids() == ["mock/default"]


class TestBaseline:
    def baseline(self, catalog, raw):
        settings = build(raw)
        return build_models(settings, {}, catalog).baseline(settings)

    def test_it_is_the_best_measured_model_in_use(self, catalog):
        assert self.baseline(catalog, {"providers": {"anthropic": KEY}}).id == "anthropic/claude-fable-5"

    def test_it_can_be_named(self, catalog):
        raw = {"providers": {"anthropic": KEY}, "routing": {"baseline_model": "anthropic/claude-opus-5"}}
        assert self.baseline(catalog, raw).id == "anthropic/claude-opus-5"

    def test_it_need_not_be_in_use(self, catalog):
        found = self.baseline(
            catalog, {"providers": {"anthropic": KEY}, "routing": {"baseline_model": "openai/gpt-5.4"}}
        )
        assert found.prices[0].rates.input == Decimal("2.5")

    def test_a_name_nobody_knows_is_no_baseline(self, catalog):
        assert self.baseline(catalog, {"routing": {"baseline_model": "openai/none-such"}}) is None


@pytest.mark.parametrize("typo", ["lab/smal", "small", "lab/smalll"])
def test_near_names_are_offered(catalog, typo):
    assert "lab/small" in table(catalog, lab("small", "big")).near(typo)


class TestListedPrices:
    """What a reseller's own list of models says they cost."""

    LISTED: ClassVar = {"id": "openai/gpt-5.4", "price": {"input": "2", "output": "9", "cached_input": "0.2"}}

    def test_a_reseller_without_a_catalogue_serves_what_it_lists_with_a_price(self, catalog):
        models = table(catalog, {"providers": {"blockrun": KEY}}, {"blockrun": [self.LISTED]})
        found = models.get("blockrun/openai/gpt-5.4")
        assert models.ids() == ["blockrun/openai/gpt-5.4"]
        assert found.prices[0].rates.output == 9
        assert found.prices[0].source == "listed by blockrun"
        assert Capability.VISION in found.capabilities

    def test_a_listed_model_that_nobody_else_knows_answers_to_its_name_only(self, catalog):
        listed = self.LISTED | {"id": "new/thing"}
        found = table(catalog, {"providers": {"blockrun": KEY}}, {"blockrun": [listed]}).get("blockrun/new/thing")
        assert (found.hidden, found.priced) == (True, True)

    def test_a_newer_listed_price_replaces_the_catalogues(self, catalog):
        found = table(catalog, {"providers": {"openrouter": KEY}}, {"openrouter": [self.LISTED]})
        assert found.get("openrouter/openai/gpt-5.4").prices[0].rates.output == 9

    def test_a_listed_price_that_agrees_keeps_the_catalogues_tiers(self, catalog):
        entry = catalog.lookup("openrouter", "openai/gpt-5.4")
        rates = entry.prices[-1].rates
        listed = {"id": entry.id, "price": {"input": str(rates.input), "output": str(rates.output)}}
        found = table(catalog, {"providers": {"openrouter": KEY}}, {"openrouter": [listed]})
        assert found.get("openrouter/openai/gpt-5.4").prices == entry.prices

    def test_the_users_price_still_wins(self, catalog):
        raw = {
            "providers": {
                "openrouter": {**KEY, "models": [{"id": "openai/gpt-5.4", "price": {"input": 1, "output": 1}}]}
            }
        }
        found = table(catalog, raw, {"openrouter": [self.LISTED]}).get("openrouter/openai/gpt-5.4")
        assert found.prices[0].rates.output == 1

    @pytest.mark.parametrize(
        "price",
        [
            {"input": "1e999999", "output": "9"},
            {"input": "1e-999999", "output": "9"},
            {"input": "2", "output": "-9"},
            {"input": "nan", "output": "9"},
            {"input": "2", "output": "9", "per_request": "1e12"},
            {"input": "much", "output": "9"},
            {"input": None, "output": "9"},
            {"input": "2"},
            {"input": "2", "output": "9", "on_sundays": "1"},
            ["2", "9"],
            "cheap",
        ],
    )
    def test_a_price_that_is_none_is_passed_over_and_told(self, catalog, price):
        listed = [{"id": "openai/gpt-5.4", "price": price}, {"id": "new/thing", "price": price}]
        models = table(catalog, {"providers": {"openrouter": KEY}}, {"openrouter": listed})
        entry = catalog.lookup("openrouter", "openai/gpt-5.4")
        assert models.get("openrouter/openai/gpt-5.4").prices == entry.prices
        assert not models.get("openrouter/new/thing").priced
        told = [note for note in models.notes if "What openrouter lists" in note]
        assert len(told) == 1
        assert "openai/gpt-5.4, new/thing" in told[0]

    def test_a_server_of_unknown_making_is_not_believed(self, catalog):
        raw = {"providers": {"lab": {"kind": "openai", "base_url": "http://h/v1"}}}
        models = table(catalog, raw, {"lab": [self.LISTED]})
        assert not models.get("lab/openai/gpt-5.4").priced
        assert "No model of lab has a known price" in models.notes[0]


class TestNotes:
    RAW = lab("small", local=True)

    @pytest.mark.parametrize(
        ("more", "note"),
        [
            ({"aliases": {"x": "lab/smal"}}, "alias `x`: no provider has a model `lab/smal`."),
            (
                {"fallbacks": {"lab/small": ["gone/big"]}},
                "fallbacks of `lab/small`: no provider has a model `gone/big`.",
            ),
            ({"devices": {"kid": {"model": "gone/x"}}}, "device `kid`: no provider has a model `gone/x`."),
            ({"routing": {"baseline_model": "gone/x"}}, "`routing.baseline_model`: no provider has a model `gone/x`."),
        ],
    )
    def test_a_name_that_leads_nowhere_is_noted(self, catalog, more, note):
        assert note in table(catalog, self.RAW | more).notes

    @pytest.mark.parametrize(
        "more",
        [
            {"aliases": {"x": "lab/small", "y": "x", "z": "blockrun/auto:7"}},
            {"devices": {"kid": {"model": "auto"}}},
            {"routing": {"baseline_model": "openai/gpt-5.4"}},
        ],
    )
    def test_names_that_lead_somewhere_are_not(self, catalog, more):
        assert table(catalog, self.RAW | more).notes == ()

    def test_a_provider_that_lists_its_own_models_may_still_bring_it(self, catalog):
        models = table(catalog, {"providers": {"ollama": {}}, "aliases": {"x": "ollama/llama3.2"}})
        assert not any("alias" in note for note in models.notes)

    def test_a_provider_without_models_is_noted(self, catalog):
        assert "Provider nvidia has no models yet" in table(catalog, {"providers": {"nvidia": KEY}}).notes[0]


@pytest.mark.parametrize(("named", "listed"), [("llama3.2", "llama3.2:latest"), ("llama3.2:latest", "llama3.2")])
def test_a_model_named_without_ollamas_default_tag_is_the_listed_one(catalog, named, listed):
    raw = {"providers": {"home": {"kind": "ollama", "models": [named], "discover": True}}}
    models = table(catalog, raw, {"home": [{"id": listed, "context": 4096}, {"id": "other"}]})
    assert models.ids() == [f"home/{named}", "home/other"]
    assert models.get(f"home/{listed}") is models.get(f"home/{named}")
    assert models.get(f"home/{named}").context == 4096


def priced(catalog, kind, model_id, **price):
    raw = {"providers": {kind: {**KEY, "models": [{"id": model_id, "price": price}]}}}
    return table(catalog, raw).get(f"{kind}/{model_id}").prices[0]


def test_a_price_like_the_catalogues_gets_the_rest_of_it(catalog):
    known = catalog.lookup("anthropic", "claude-haiku-5-5").prices[-1].rates
    found = priced(catalog, "anthropic", "claude-haiku-5-5", input=str(known.input), output=str(known.output))
    assert (found.rates.cached_input, found.rates.cache_write) == (known.cached_input, known.cache_write)


def test_what_the_user_says_of_a_kind_stays(catalog):
    known = catalog.lookup("anthropic", "claude-haiku-5-5").prices[-1].rates
    given = {"input": str(known.input), "output": str(known.output), "cached_input": 9}
    assert priced(catalog, "anthropic", "claude-haiku-5-5", **given).rates.cached_input == 9


def test_another_price_gets_what_vendors_charge_for_writing_to_a_cache(catalog):
    rates = priced(catalog, "anthropic", "claude-haiku-5-5", input=77, output=88).rates
    assert (rates.cached_input, rates.cache_write, rates.audio_input) == (None, Decimal("96.25"), None)


def test_a_vendors_service_tiers_have_its_own_prices(catalog):
    assert dict(priced(catalog, "groq", "x", input=1, output=2).services)["flex"] == 1
    assert dict(priced(catalog, "openai", "x", input=1, output=2).services)["flex"] == Decimal("0.5")


def test_a_free_variant_is_free_without_being_listed(catalog):
    raw = {"providers": {"openrouter": {**KEY, "models": ["vendor/small:free"]}}}
    assert table(catalog, raw).get("openrouter/vendor/small:free").free


def test_a_free_variant_that_only_the_list_has_is_not_chosen(catalog):
    raw = {"providers": {"lab": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", **KEY, "discover": True}}}
    found = table(catalog, raw, {"lab": [{"id": "qwen/qwen3.5-9b:free"}]}).get("lab/qwen/qwen3.5-9b:free")
    assert found.free
    assert found.hidden


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://api.groq.com/openai/v1", True),
        ("https://us.api.x.ai/v1", False),
        ("https://api.moonshot.cn/v1", False),
        ("http://10.0.0.5/v1", False),
    ],
)
def test_a_vendors_usual_address_has_its_prices_and_another_has_not(catalog, url, known):
    raw = {"providers": {"lab": {"kind": "openai", "base_url": url, **KEY}}}
    assert any(model.priced for model in table(catalog, raw).models if model.provider == "lab") is known


@pytest.mark.parametrize("kind", ["nvidia", "azure"])
def test_who_publishes_no_price_has_none(catalog, kind):
    url = {"base_url": "https://home.openai.azure.com/openai/v1"} if kind == "azure" else {}
    raw = {"providers": {kind: {**KEY, **url, "models": ["gpt-5.4"]}}}
    assert not table(catalog, raw).get(f"{kind}/gpt-5.4").priced
