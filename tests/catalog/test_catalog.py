from __future__ import annotations

import json
from importlib import resources

import pytest

from cheaprouter.catalog.quality import by_price, canonical, family, measured, parameters, sees
from cheaprouter.config.kinds import CLOUD
from cheaprouter.core.models import FREE, Capability

DATA = resources.files("cheaprouter.catalog").joinpath("data", "models.json")


def everything(catalog):
    raw = json.loads(DATA.read_text())["models"]
    return [(kind, model_id, catalog.lookup(kind, model_id)) for kind, models in raw.items() for model_id in models]


def test_every_entry_has_a_price_that_holds_all_day(catalog):
    unpriced = [name for _, name, entry in everything(catalog) if not any(p.daily is None for p in entry.prices)]
    assert unpriced == []


def test_no_price_is_nothing_by_accident(catalog):
    zero = [(kind, name) for kind, name, entry in everything(catalog) if not entry.prices[-1].rates.output]
    assert all(kind == "zai" or name.endswith(":free") for kind, name in zero), zero


def test_every_price_says_its_source_and_date(catalog):
    assert all(catalog.version in price.source for _, _, entry in everything(catalog) for price in entry.prices)


def test_every_entry_knows_its_window_and_family(catalog):
    assert all(entry.context and entry.family for _, _, entry in everything(catalog))


def test_the_snapshot_stays_small():
    assert 40_000 < len(DATA.read_bytes()) < 120_000


def test_entries_belong_to_providers_known_by_name(catalog):
    assert set(catalog.kinds()) <= set(CLOUD)


def test_retired_models_are_not_shipped(catalog):
    assert [name for _, name, entry in everything(catalog) if entry.retires and entry.retires <= catalog.version] == []


def test_free_variants_are_used_only_where_they_are_listed(catalog):
    assert not any(entry.id.endswith(":free") for entry in catalog.models("openrouter"))
    assert catalog.lookup("openrouter", "openai/gpt-oss-120b:free") is not None


def test_a_dated_id_finds_the_plain_one(catalog):
    assert catalog.lookup("openai", "gpt-5.4-2026-03-05").id == "gpt-5.4"


def test_a_prefixed_id_finds_the_plain_one(catalog):
    assert catalog.lookup("gemini", "models/gemini-2.5-pro").id == "gemini-2.5-pro"


def test_a_free_tag_never_finds_the_paid_price(catalog):
    assert catalog.lookup("openrouter", "anthropic/claude-opus-5:free") is None


def test_a_paid_id_never_finds_the_free_price(catalog):
    assert not catalog.lookup("openrouter", "openai/gpt-oss-120b").on_request


def test_a_model_nobody_knows_is_not_found(catalog):
    assert catalog.lookup("openai", "gpt-99-imaginary") is None


def test_another_providers_price_is_never_used(catalog):
    assert catalog.lookup("groq", "gpt-5.4") is None


def test_facts_are_the_same_everywhere(catalog):
    assert Capability.TOOLS in catalog.facts("gpt-oss:20b").capabilities


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("gpt-5.4-2026-03-05", "gpt-5-4"),
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("accounts/fireworks/models/glm-5p3", "glm-5-3"),
        ("zai-org/GLM-5.3", "glm-5-3"),
        ("models/gemini-3.1-pro-preview", "gemini-3-1-pro"),
        ("mistral-large-2512", "mistral-large"),
        ("mistral-small-latest", "mistral-small"),
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama-3-3-70b"),
        ("qwen3:8b", "qwen3-8b"),
        ("llama3.2:latest", "llama3-2"),
        ("", ""),
    ],
)
def test_one_model_has_one_canonical_name(name, plain):
    assert canonical(name) == plain


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("gpt-5.4", "gpt"),
        ("codestral-2508", "mistral"),
        ("Kimi-K3", "kimi"),
        ("x1", "x"),
    ],
)
def test_a_name_tells_its_family(name, line):
    assert family(name) == line


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("qwen3:8b", 8),
        ("qwen3-30b-a3b", 30),
        ("mixtral-8x7b", 56),
        ("llama3.2:1.5b", 1.5),
        ("Qwen3.8-2.4T-A95B", 2400),
        ("gpt-5", None),
    ],
)
def test_a_name_may_tell_the_size(name, size):
    assert parameters(name) == size


@pytest.mark.parametrize(
    "name",
    [
        "llava:7b",
        "qwen2.5vl:7b",
        "qwen2.5-vl-7b",
        "llama3.2-vision:11b",
        "gemma3:4b",
        "minicpm-v",
        "moondream",
        "Qwen3-VL-8B",
    ],
)
def test_a_name_may_tell_that_it_takes_pictures(name):
    assert sees(name)


@pytest.mark.parametrize(
    "name", ["qwen3:8b", "llama3.2:3b", "mistral-small", "gemma2:2b", "vllm-model", "evlm", "devl-1"]
)
def test_other_names_do_not(name):
    assert not sees(name)


class TestQuality:
    def test_a_measured_figure_says_where_and_when(self, catalog):
        quality = catalog.quality.of("claude-opus-4-8", ())
        assert quality.source == "LiveBench 2026-06-25"
        assert measured(quality)

    def test_a_newer_version_is_placed_by_its_predecessor(self, catalog):
        quality = catalog.quality.of("claude-opus-5-5", ())
        assert quality.source.startswith("estimated: not below its predecessor claude-opus-4-8")
        assert quality.value == catalog.quality.of("claude-opus-4-8", ()).value

    def test_an_older_version_is_placed_below_its_successor(self, catalog):
        assert catalog.quality.of("gpt-5", ()).value < catalog.quality.of("gpt-5.1", ()).value

    def test_a_sized_model_is_placed_by_its_size(self, catalog):
        assert catalog.quality.of("unheard-of:3b", ()).source == "estimated by its size"
        assert catalog.quality.of("unheard-of:3b", ()).value < catalog.quality.of("unheard-of:70b", ()).value

    def test_a_priced_model_is_placed_by_its_price(self, catalog):
        entry = catalog.lookup("openai", "gpt-6-luna")
        assert catalog.quality.of("unheard-of", entry.prices).source == "estimated by its price"

    def test_a_free_model_of_unknown_size_is_openly_unknown(self):
        assert by_price((FREE,)).source == "unknown"

    def test_a_guess_is_never_called_measured(self, catalog):
        guesses = [catalog.quality.of(n, catalog.lookup("openai", n).prices) for n in ("gpt-6-astra", "gpt-5.6-terra")]
        assert not any(measured(guess) for guess in guesses)

    def test_every_figure_is_between_0_and_100(self, catalog):
        values = [catalog.quality.of(name, entry.prices).value for _, name, entry in everything(catalog)]
        assert all(0 < value <= 100 for value in values)
