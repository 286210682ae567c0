from __future__ import annotations

import pytest

from cheaprouter.config.fields import ENVIRONMENT, OPTIONS, defaults, from_options
from cheaprouter.config.kinds import CLOUD
from cheaprouter.config.schema import build
from cheaprouter.config.settings import BudgetAction
from cheaprouter.core.models import Profile

SAMPLES = {
    "password": "secret-1", "str": "Europe/Berlin", "url": "http://h:11434", "bool": False, "port": 1234, "int": 7,
    "float": 3,
}  # fmt: skip


def sample(option) -> object:
    if option.name == "mqtt.tls":
        return True
    if option.name == "currency":
        return "EUR"
    if option.type.startswith("list("):
        return option.type[5:].split(")")[0].split("|")[-1]
    if option.name.endswith(("base_topic", "discovery_prefix")):
        return "home/x"
    return SAMPLES[option.type.split("(")[0].rstrip("?")]


def nested(name: str, value: object) -> dict:
    head, _, tail = name.partition(".")
    return {head: {tail: value}} if tail else {head: value}


def at(raw: dict, path: str) -> object:
    for part in path.split("."):
        raw = raw[part]
    return raw


def test_what_ships_is_a_valid_configuration():
    shipped = from_options(defaults())
    assert shipped.problems == ()
    assert build(shipped.raw).device_defaults.rpm == 60


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: o.name)
def test_each_option_reaches_a_setting(option):
    given = nested(option.name, sample(option))
    given |= {
        "local_kind": {"local_url": "http://h"},
        "currency": {"usd_rate": 1},
        "usd_rate": {"currency": "EUR"},
    }.get(option.name, {})
    translated = from_options(given)
    assert translated.problems == ()
    assert build(translated.raw) != build({})
    for path in option.paths:
        assert at(translated.raw, path) == sample(option)


@pytest.mark.parametrize("option", ENVIRONMENT, ids=lambda o: o.name)
def test_each_option_has_a_variable_of_its_own(option):
    assert [o.variable for o in ENVIRONMENT].count(option.variable) == 1


def test_every_hosted_provider_with_a_fixed_address_has_a_key_option():
    names = {option.name for option in OPTIONS}
    assert {f"{name}_api_key" for name in CLOUD if name != "azure"} <= names


def test_empty_options_count_as_left_out():
    assert from_options({"openai_api_key": "", "local_url": None, "mqtt": {"host": ""}}).raw == {}


def test_auth_auto_leaves_it_to_the_providers():
    assert build(from_options({"auth": "auto"}).raw).auth is None


def test_one_action_serves_devices_and_the_whole_home():
    settings = build(from_options({"budget_action": "free"}).raw)
    assert settings.budget.action is settings.device_defaults.budget_action is BudgetAction.FREE


def test_the_default_profile_is_the_routers():
    assert build(from_options({"default_profile": "eco"}).raw).routing.profile is Profile.ECO


@pytest.mark.parametrize(
    ("given", "name", "kind", "base_url"),
    [
        ({"local_url": "http://nas:11434"}, "ollama", "ollama", "http://nas:11434/v1"),
        ({"local_url": "http://nas:1234/v1/"}, "lmstudio", "lmstudio", "http://nas:1234/v1"),
        ({"local_url": "nas:8080"}, "llamacpp", "llamacpp", "http://nas:8080/v1"),
        ({"local_url": "http://nas:9999"}, "local", "openai", "http://nas:9999/v1"),
        ({"local_url": "http://nas:9999", "local_kind": "vllm"}, "vllm", "vllm", "http://nas:9999/v1"),
    ],
)
def test_a_local_servers_api_is_told_by_its_port(given, name, kind, base_url):
    provider = build(from_options(given).raw).providers[0]
    assert (provider.name, provider.kind, provider.base_url, provider.local) == (name, kind, base_url, True)


def test_an_unknown_option_is_named_with_the_nearest():
    assert from_options({"rmp": 1}).problems[0] == "option rmp: unknown option; did you mean `rpm`?"


def test_options_that_are_no_mapping_are_a_problem():
    assert from_options([1]).problems
