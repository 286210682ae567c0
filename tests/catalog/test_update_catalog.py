from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "script" / "update-catalog"
TODAY = "2026-11-22"
GENAI = """
providers: list[Provider] = [
    Provider(
        id='openai',
        models=[
            ModelInfo(
                id='gpt-9',
                match=ClauseOr(or_=[ClauseEquals(equals='gpt-9'), ClauseRegex(regex='^gpt-9-\\\\d{8}$')]),
                context_window=1000,
                prices=[
                    ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('9'), output_mtok=Decimal('9'))),
                    ConditionalPrice(
                        constraint=StartDateConstraint(start_date=datetime.date(2026, 1, 1)),
                        prices=ModelPrice(
                            input_mtok=TieredPrices(base=Decimal('1'), tiers=[Tier(start=500, price=Decimal('2'))]),
                            cache_read_mtok=Decimal('0.1'),
                            output_mtok=Decimal('4'),
                        ),
                    ),
                    ConditionalPrice(
                        constraint=TimeOfDateConstraint(start_time=datetime.time(1, 30), end_time=datetime.time(4)),
                        prices=ModelPrice(input_mtok=Decimal('3'), output_mtok=Decimal('5')),
                    ),
                ],
                price_variants=[
                    PriceVariant(when={'service_tier': 'default'}, prices=ModelPrice(), constraint=None),
                    PriceVariant(when={'speed': 'fast'}, prices=ModelPrice(input_mtok=Decimal('2'), output_mtok=Decimal('12'))),
                    PriceVariant(when={'processing': 'batch'}, prices=ModelPrice(input_mtok=Decimal('0.5'))),
                    PriceVariant(when={'moon': 'full'}, prices=ModelPrice(input_mtok=Decimal('9'))),
                ],
            ),
        ],
    ),
]
"""


def chat(price: float | None, **more: object) -> dict:
    given = {} if price is None else {"input_cost_per_token": price, "output_cost_per_token": price}
    return {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_input_tokens": 1000,
        "supports_vision": True,
        **given,
        **more,
    }


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("update_catalog", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("update_catalog", loader))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@pytest.fixture
def built(script, tmp_path):
    def build(**litellm: dict) -> dict:
        with zipfile.ZipFile(tmp_path / "genai_prices-9.9.9-py3-none-any.whl", "w") as wheel:
            wheel.writestr("genai_prices/data.py", GENAI)
        with zipfile.ZipFile(tmp_path / "litellm-8.8.8-py3-none-any.whl", "w") as wheel:
            wheel.writestr(
                "litellm/model_prices_and_context_window_backup.json", json.dumps({"sample_spec": {}, **litellm})
            )
        return script.build(tmp_path, TODAY)

    return build


def test_what_ships_passes_its_own_check():
    assert subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, check=False).returncode == 0


def test_prices_keep_dates_hours_and_tiers(built):
    entry = built(**{"gpt-9": chat(9e-6)})["models"]["openai"]["gpt-9"]
    assert entry["prices"] == [
        {"input": "9", "output": "9"},
        {"input": "1", "output": "4", "cached_input": "0.1", "tiers": [{"above": 500, "input": "2", "output": "4", "cached_input": "0.1"}], "from": "2026-01-01"},
        {"input": "3", "output": "5", "daily": [90, 240]},
    ]  # fmt: skip


def test_a_price_says_which_source_it_is_from(built):
    models = built(**{"gpt-9": chat(1e-6), "gpt-8": chat(2e-7)})["models"]["openai"]
    assert (models["gpt-9"]["source"], models["gpt-8"]["source"]) == ("genai", "litellm")


def test_costs_by_the_token_become_exact_prices_by_the_million(built):
    assert built(**{"gpt-8": chat(2e-7)})["models"]["openai"]["gpt-8"]["prices"] == [{"input": "0.2", "output": "0.2"}]


def test_sources_that_disagree_are_marked(built):
    models = built(**{"gpt-9": chat(7e-6)})["models"]["openai"]
    assert models["gpt-9"]["disputed"] == {"input": "7", "output": "7"}


def test_a_model_without_a_price_does_not_ship(built):
    assert built(**{"gpt-8": chat(None)})["models"]["openai"] == {}


def test_a_price_of_nothing_is_not_believed(built):
    assert built(**{"gpt-8": chat(0.0)})["models"]["openai"] == {}


def test_retired_models_do_not_ship(built):
    gone, going = chat(1e-6, deprecation_date=TODAY), chat(1e-6, deprecation_date="2026-12-31")
    models = built(**{"gpt-8": gone, "gpt-7": going})["models"]["openai"]
    assert list(models) == ["gpt-7"]
    assert models["gpt-7"]["retires"] == "2026-12-31"


def test_models_that_do_not_chat_do_not_ship(built):
    assert built(**{"gpt-8-tts": chat(1e-6), "gpt-8": chat(1e-6, mode="embedding")})["models"]["openai"] == {}


def test_a_dated_twin_does_not_ship_beside_the_plain_one(built):
    assert list(built(**{"gpt-8": chat(1e-6), "gpt-8-2026-05-05": chat(1e-6)})["models"]["openai"]) == ["gpt-8"]


def test_brackets_of_prompt_length_become_tiers(built):
    brackets = [
        {"range": [0, 100], "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
        {"range": [100, 1000], "input_cost_per_token": 3e-6, "output_cost_per_token": 4e-6},
    ]
    prices = built(**{"gpt-8": chat(None, tiered_pricing=brackets)})["models"]["openai"]["gpt-8"]["prices"]
    assert prices == [{"input": "1", "output": "2", "tiers": [{"above": 100, "input": "3", "output": "4"}]}]


def test_the_check_fails_on_an_entry_without_a_price(script, capsys):
    snapshot = {"version": TODAY, "models": {"openai": {"gpt-8": {"prices": []}}}}
    assert script.report(snapshot) == 1
    assert "openai/gpt-8: no price" in capsys.readouterr().err


def test_the_file_is_the_same_for_the_same_sources(script, built):
    assert script.rendered(built(**{"gpt-8": chat(1e-6)})) == script.rendered(built(**{"gpt-8": chat(1e-6)}))


def test_sound_has_its_price_and_such_models_are_used_only_on_request(built):
    spoken = chat(1e-6, input_cost_per_audio_token=4e-5, output_cost_per_audio_token=8e-5)
    entry = built(**{"gpt-8-audio": spoken})["models"]["openai"]["gpt-8-audio"]
    assert entry["prices"] == [{"input": "1", "output": "1", "audio_input": "40", "audio_output": "80"}]
    assert entry["on_request"]


@pytest.mark.parametrize(("priority", "kept"), [(3.5e-6, {"priority": "1.75"}), (4e-6, None)])
def test_a_service_tier_is_kept_where_it_costs_what_others_do_not(built, priority, kept):
    fact = chat(2e-6, input_cost_per_token_priority=priority, output_cost_per_token_flex=1e-6)
    assert built(**{"gpt-8": fact})["models"]["openai"]["gpt-8"].get("services") == kept


def test_the_dearest_rate_of_a_variant_tells_what_it_costs(built):
    assert built(**{"gpt-9": chat(9e-6)})["models"]["openai"]["gpt-9"]["services"] == {"fast": "3"}
