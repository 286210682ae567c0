"""Every number and host is held within what the rest of the house can take, at every door through which it comes in."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from cheaprouter.config.loader import load
from cheaprouter.config.schema import build
from cheaprouter.core.errors import ConfigurationError


def problems(raw: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        build(raw)
    return caught.value.problems


def model(**price: object) -> dict:
    table = {"id": "a", "price": {"input": 1, "output": 1, **price}}
    return {"providers": {"lab": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "models": [table]}}}


def lab(**extra: object) -> dict:
    return {"providers": {"lab": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "models": [{"id": "a", **extra}]}}}  # fmt: skip


PRICE = "providers.lab.models[0].price"


@pytest.mark.parametrize("name", ["(forgotten)", "hub", "everyone", "Others", "ADMIN"])
def test_no_device_of_the_file_is_called_as_the_router_calls_something_else(name):
    (told,) = problems({"devices": {name: {"rpm": 1}}})
    assert (
        told
        == f"devices.{name}: the name must be another one: `{name}` is a name of the router's own, and no device can be called so"
    )


def test_for_the_routers_own_devices_the_file_may_say_something():
    assert set(build({"devices": {"others": {"rpm": 1}, "admin": {}, "mqtt": {}, "defaults": {}}}).devices) == {
        "others",
        "admin",
        "mqtt",
    }


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"http": {"max_new_devices_per_hour": -1}}, "http.max_new_devices_per_hour: expected a whole number from 0 to"),
        ({"storage": {"retention_days": 999999999}}, "storage.retention_days: expected a whole number from 1 to 36500"),
        ({"storage": {"max_mb": 10**9}}, "storage.max_mb: expected a whole number from 5 to 1000000"),
        ({"cache": {"max_mb": 10**400}}, "cache.max_mb: expected a whole number from 1 to 100000"),
        ({"http": {"trusted_proxies": ["proxy.lan"]}}, "http.trusted_proxies[0]: expected an address such as 172.30.33.2"),
        ({"http": {"trusted_proxies": ["0.0.0.0/0"]}}, "http.trusted_proxies[0]: expected an address such as 172.30.33.2"),
        ({"http": {"trusted_proxies": ["10.0.0.1/24"]}}, "http.trusted_proxies[0]: expected an address such as 172.30.33.2"),
        ({"max_devices": 10**9}, "max_devices: expected a whole number from 1 to 100000"),
        (lab(context=10**12), "providers.lab.models[0].context: expected a whole number from 1 to 1000000000"),
        (lab(max_output=1e300), "providers.lab.models[0].max_output: expected a whole number"),
        (model(input="1e999999"), f"{PRICE}.input: expected an amount in USD from 0 to 1000000"),
        (model(input=1e300), f"{PRICE}.input: expected an amount in USD from 0 to 1000000"),
        (model(output=1_000_001), f"{PRICE}.output: expected an amount in USD from 0 to 1000000"),
        (model(cached_input="1e-999999"), f"{PRICE}.cached_input: expected an amount in USD"),
        (model(per_request="0." + "0" * 90 + "1"), f"{PRICE}.per_request: expected an amount in USD"),
        (model(tiers=[{"above": 10**10, "input": 1, "output": 1}]), f"{PRICE}.tiers[0].above: expected a whole number"),
        ({"currency": "EUR", "usd_rate": "1e-400"}, "usd_rate: expected units of the currency for one USD from 0.000001"),
        ({"currency": "EUR", "usd_rate": 1e12}, "usd_rate: expected units of the currency for one USD from 0.000001"),
        ({"budget": {"daily": 1_000_000_001}}, "budget.daily: expected an amount in USD from 0 to 1000000000"),
        ({"devices": {"defaults": {"rpm": 10**13}}}, "devices.defaults.rpm: expected a whole number from 1 to 1000000000000"),
        ({"aliases": {"a": {"target": "b", "max_first_token_ms": 1e300}}}, "aliases.a.max_first_token_ms: expected"),
        ({"aliases": {"a": {"target": "b", "max_cost": "9e99"}}}, "aliases.a.max_cost: expected an amount in USD"),
    ],
)  # fmt: skip
def test_a_number_out_of_bounds_is_refused_naming_the_key_and_the_bounds(raw, words):
    assert problems(raw)[0].startswith(words)


@pytest.mark.parametrize("amount", ["1e6", 1e-6, "0.000000000001", 0, "0e300", "0e-300"])
def test_a_price_within_bounds_is_kept_exactly(amount):
    found = build(model(input=amount)).providers[0].models[0].price.rates.input
    assert found == Decimal(str(amount))
    assert len(f"{found:f}") < 64


def test_a_number_too_long_to_be_written_is_a_problem_like_any_other():
    assert problems({"max_devices": 16**5000})[0].startswith("max_devices: expected a whole number")


@pytest.mark.parametrize("value", [999999999, 0, -5])
def test_options_and_variables_have_the_same_bounds(value, tmp_path):
    (tmp_path / "options.json").write_text(json.dumps({"retention_days": value}))
    told = load(None, tmp_path, {}, lenient=True)
    assert told.settings.storage.retention_days == 90
    assert "storage.retention_days: expected a whole number from 1 to 36500" in told.problems[0]
    told = load(None, tmp_path / "none", {"CHEAPROUTER_RETENTION_DAYS": str(value)}, lenient=True)
    assert told.settings.storage.retention_days == 90
    assert "environment variable CHEAPROUTER_RETENTION_DAYS" in told.problems[0]


HOSTS = ["core..mosquitto", ".lan", "a" * 64, f"x.{'b' * 64}.lan", "ä" * 80]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("mqtt.host", lambda host: {"mqtt": {"host": host}}),
        ("mqtt.url", lambda host: {"mqtt": {"url": f"mqtt://u:p@{host}:1883"}}),
        ("http.host", lambda host: {"http": {"host": host}}),
        ("providers.lab.base_url", lambda host: {"providers": {"lab": {"kind": "openai", "base_url": f"http://{host}/v1"}}}),
    ],
)  # fmt: skip
def test_a_host_that_no_resolver_takes_is_refused_naming_the_key(key, raw, host):
    assert problems(raw(host))[0].startswith(f"{key}: expected a")


@pytest.mark.parametrize(
    "host", ["core-mosquitto", "my_broker.lan", "broker.lan.", "192.168.1.5", "fe80::1%eth0", "::1", "bröker.lan", ""]
)
def test_a_host_that_can_be_asked_for_is_taken(host):
    assert build({"mqtt": {"host": host}, "http": {"host": host}}).mqtt.host == host


@pytest.mark.parametrize("address", ["http://[::1]:8080/v1", "https://llm.example.com", "http://nas_1:11434/v1"])
def test_an_address_that_can_be_asked_is_taken(address):
    assert build({"providers": {"lab": {"kind": "openai", "base_url": address}}}).providers[0].base_url == address
