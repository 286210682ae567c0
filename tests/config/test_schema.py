from __future__ import annotations

from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.kinds import kind_of
from cheaprouter.config.schema import build
from cheaprouter.config.settings import Auth, BudgetAction, Settings
from cheaprouter.core.errors import ConfigurationError
from cheaprouter.core.models import PIECES, RATES, Capability, Profile

CONTRACT = """
auth: open
providers:
  lab:
    kind: openai
    base_url: http://127.0.0.1:9100/v1
    api_key: sk-test
    headers: {}
    timeouts: {connect: 5, first_token: 30, idle: 60, total: 600}
    models:
      - {id: lab/small, upstream: small-v1, price: {input: 0.10, output: 0.40}, context: 128000, quality: 40, capabilities: [tools, vision, json_schema]}
aliases: {"home/assist": blockrun/eco, "*": lab/small}
fallbacks: {lab/small: [lab/big]}
devices: {defaults: {rpm: 60, tpm: 100000}}
mqtt: {url: "mqtt://user:password@host:1883", base_topic: cheaprouter}
"""


def lab(**extra: object) -> dict:
    return {"providers": {"lab": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", **extra}}}


def problems(raw: object, environ: dict | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        build(raw, environ)
    return caught.value.problems


def only_problem(raw: object) -> str:
    found = problems(raw)
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="module")
def contract() -> Settings:
    return build(yaml.safe_load(CONTRACT))


def test_nothing_at_all_is_the_demo():
    assert build({}) == Settings() == build(None)
    assert build({}).demo


def test_the_documented_example_is_understood(contract):
    assert contract.auth is Auth.OPEN
    assert contract.aliases["home/assist"].target == "blockrun/eco"
    assert contract.fallbacks["lab/small"] == ("lab/big",)
    assert contract.device_defaults.tpm == 100_000


def test_a_model_keeps_what_the_user_said_of_it(contract):
    model = contract.providers[0].models[0]
    assert (model.id, model.upstream, model.context, model.quality) == ("lab/small", "small-v1", 128000, 40)
    assert model.capabilities == {Capability.TOOLS, Capability.VISION, Capability.JSON_SCHEMA}


def test_a_price_written_as_a_float_is_the_decimal_it_looks_like(contract):
    assert contract.providers[0].models[0].price.rates.input == Decimal("0.10")


@given(st.decimals(0, 10_000, places=6))
def test_a_price_is_the_same_quoted_or_not(amount):
    raw = lab(models=[{"id": "a", "price": {"input": str(amount), "output": 1}}])
    assert build(raw).providers[0].models[0].price.rates.input == amount


def test_a_broker_address_is_taken_apart(contract):
    mqtt = contract.mqtt
    assert (mqtt.host, mqtt.port, mqtt.username, mqtt.password, mqtt.tls) == ("host", 1883, "user", "password", False)


def test_mqtts_means_tls_on_its_own_port():
    mqtt = build({"mqtt": {"url": "mqtts://broker"}}).mqtt
    assert (mqtt.tls, mqtt.port) == (True, 8883)


def test_a_broker_password_may_hold_escaped_characters():
    assert build({"mqtt": "mqtt://u:p%40ss@h"}).mqtt.password == "p@ss"


def test_a_broker_may_be_given_in_parts():
    mqtt = build({"mqtt": {"host": "h", "port": 1884, "username": "u", "password": "p"}}).mqtt
    assert (mqtt.host, mqtt.port, mqtt.username, mqtt.password) == ("h", 1884, "u", "p")


def test_a_url_and_parts_that_contradict_it_are_refused():
    assert "not two that differ" in only_problem({"mqtt": {"url": "mqtt://a", "host": "b"}})


def test_the_word_embedded_asks_for_our_own_broker():
    assert build({"mqtt": "embedded"}).mqtt.embedded


def test_false_turns_mqtt_off():
    assert not build({"mqtt": False}).mqtt.enabled


def test_a_bare_model_id_gets_its_providers_name():
    ids = [m.id for m in build(lab(models=["a", {"id": "lab/b"}, "meta/c"])).providers[0].models]
    assert ids == ["lab/a", "lab/b", "lab/meta/c"]


def test_a_known_providers_name_is_its_kind():
    assert build({"providers": {"groq": {"api_key": "k"}}}).providers[0].kind == "groq"


def test_a_local_server_is_local_unless_told_otherwise():
    assert build({"providers": {"ollama": {}}}).providers[0].local is True


@pytest.mark.parametrize("keys", [{"api_key": "a"}, {"api_keys": ["a"]}, {"api_key_env": "NAME"}])
def test_a_key_can_be_given_in_three_ways(keys):
    assert build({"providers": {"openai": keys}}, {"NAME": "a"}).providers[0].api_keys == ("a",)


def test_a_variable_that_is_not_set_is_named():
    assert "the environment variable NAME is not set" in problems({"providers": {"openai": {"api_key_env": "NAME"}}})[0]


def test_a_hosted_provider_without_a_key_is_told_so():
    assert only_problem({"providers": {"openai": {}}}).startswith("providers.openai.api_key: missing")


def test_devices_have_defaults_and_their_own_settings():
    settings = build(
        {"devices": {"defaults": {"rpm": 5}, "kids": {"profile": "blockrun/eco", "budget_action": "free"}}}
    )
    assert settings.device_defaults.rpm == 5
    assert settings.devices["kids"].profile is Profile.ECO
    assert settings.devices["kids"].budget_action is BudgetAction.FREE


def test_an_alias_may_carry_rules():
    alias = build(
        {"aliases": {"fast": {"target": "blockrun/eco", "max_first_token_ms": 800, "max_cost": "0.01"}}}
    ).aliases["fast"]
    assert (alias.max_first_token_ms, alias.max_cost) == (800, Decimal("0.01"))


def test_a_name_with_nothing_behind_it_is_a_section_of_defaults():
    settings = build({"providers": {"ollama": None}, "devices": {"kid": None}, "mqtt": None, "aliases": None})
    assert settings.providers[0].kind == "ollama"
    assert settings.devices["kid"].rpm is None


@pytest.mark.parametrize("target", ["blockrun/auto:7", "blockrun/auto:2.5", "blockrun/eco", "blockrun/x:y", "lab/a:7"])
def test_an_alias_may_stand_for(target):
    assert build({"aliases": {"a": target}}).aliases["a"].target == target


def test_every_kind_of_price_can_be_set():
    rates = dict.fromkeys(RATES, 0.5)
    price = (
        build(lab(models=[{"id": "a", "price": {**rates, **dict.fromkeys(PIECES, "0.25")}}]))
        .providers[0]
        .models[0]
        .price
    )
    assert {getattr(price.rates, name) for name in RATES} == {Decimal("0.5")}
    assert {getattr(price, name) for name in PIECES} == {Decimal("0.25")}


@pytest.mark.parametrize("piece", ["per_second", "per_character", "per_image"])
def test_what_is_paid_by_the_piece_needs_no_price_of_tokens(piece):
    price = build(lab(models=[{"id": "a", "price": {piece: 0.04}}])).providers[0].models[0].price
    assert (price.rates.input, getattr(price, piece), price.nothing) == (0, Decimal("0.04"), False)


@pytest.mark.parametrize("price", [{"per_request": 1}, {"input": 1}, {"per_image": -1}, {"per_image": 1, "audio": 2}])
def test_other_prices_are_incomplete_or_wrong(price):
    with pytest.raises(ConfigurationError):
        build(lab(models=[{"id": "a", "price": price}]))


def test_price_zero_is_free():
    assert build(lab(models=[{"id": "a", "price": 0}])).providers[0].models[0].price.rates.output == 0


def test_long_context_tiers_are_kept_in_order():
    tiers = [{"above": 200000, "input": 3, "output": 3}, {"above": 1000, "input": 2, "output": 2}]
    price = (
        build(lab(models=[{"id": "a", "price": {"input": 1, "output": 1, "tiers": tiers}}]))
        .providers[0]
        .models[0]
        .price
    )
    assert [t.above_prompt_tokens for t in price.tiers] == [1000, 200000]


def test_every_problem_is_reported_at_once():
    raw = {"auth": "opn", "http": {"port": "abc"}, "devices": {"kid": {"rpm": -1}}, **lab(timeouts={"connect": "x"})}
    assert {p.split(":")[0] for p in problems(raw)} == {
        "auth", "http.port", "devices.kid.rpm", "providers.lab.timeouts.connect",
    }  # fmt: skip


def test_a_problem_names_key_type_and_what_is_allowed():
    assert only_problem({"http": {"port": "abc"}}) == (
        "http.port: expected a whole number from 0 to 65535, got the string 'abc'"
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"log_level": True}, "log_level: expected one of debug, info, warning, error, critical, got the boolean true"),
        ({"max_devices": 0}, "max_devices: expected a whole number from 1 to 100000, got the number 0"),
        ({"max_devices": 1.5}, "got the number 1.5"),
        ({"max_devices": float("nan")}, "max_devices: expected a whole number"),
        ({"devices": {"a": {"daily_budget": float("inf")}}}, "devices.a.daily_budget: expected an amount in USD"),
        ({"devices": {"a": {"daily_budget": True}}}, "got the boolean true"),
        ({"devices": {"a": {"schedule": ["25:00-26:00"]}}}, "devices.a.schedule[0]: expected a span"),
        ({"budget": [1]}, "budget: expected a mapping of settings, got a list of 1"),
        ({"time_zone": "Mars/Base"}, "time_zone: expected a time zone such as Europe/Berlin"),
        ({"routing": {"cost_quality": 11}}, "routing.cost_quality: expected a number from 0 to 10"),
        ({"providers": {"Lab": {"kind": "openai"}}}, "providers.Lab: the name must be"),
        ({"providers": {"lab": {}}}, "providers.lab.kind: missing"),
        ({"providers": {"azure": {"api_key": "k"}}}, "providers.azure.base_url: missing"),
        ({"providers": {"mock": {"kind": "openai", "api_key": "k"}}}, "providers.mock.kind"),
        (lab(models=[{"quality": 1}]), "providers.lab.models[0].id: missing"),
        (lab(models=["a", "lab/a"]), "providers.lab.models[1].id: `lab/a` is listed twice"),
        (lab(models=[{"id": "a", "price": {"input": 1}}]), "providers.lab.models[0].price.output: missing"),
        (lab(models=[{"id": "a", "capabilities": ["sight"]}]), "capabilities[0]: expected one of tools, vision"),
        (lab(headers={"x": "a\nb"}), "providers.lab.headers.x: expected a header value"),
        ({"aliases": {"a": "b", "b": "a"}}, "leads in a circle"),
        ({"fallbacks": {"a/b": ["a/b"]}}, "fallbacks.a/b: lists the model itself"),
        ({"currency": "EUR"}, "usd_rate: missing"),
        ({"aliases": {"a": "blockrun/auto:12"}}, "aliases.a.target: expected a model id, or a profile id"),
        ({"aliases": {"a": "blockrun/eco:3"}}, "aliases.a.target: expected a model id, or a profile id"),
        ({"aliases": {"a": None}}, "aliases.a.target: missing"),
        ([], "expected a mapping of settings"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(raw, words):
    assert any(words in problem for problem in problems(raw)), problems(raw)


def test_an_unknown_key_is_an_error_with_the_nearest_one():
    assert only_problem({"mqtt": {"prot": 1}}) == "mqtt.prot: unknown key; did you mean `port`?"


def test_an_unknown_key_deep_down_is_found():
    assert only_problem(lab(models=[{"id": "a", "qualty": 1}])).startswith(
        "providers.lab.models[0].qualty: unknown key"
    )


@pytest.mark.parametrize(
    "raw",
    [
        {"providers": {"openai": {"api_key": 123456789}}},
        {"providers": {"openai": {"api_key": "sk-se\x00cret-value"}}},
        {"mqtt": {"url": "http://user:secret-value@x"}},
        {"mqtt": {"password": 123456789}},
        {"admin_key": 123456789},
        lab(headers={"Authorization": "secret-value\n"}),
        lab(base_url="http://user:secret-value@host/v1"),
        lab(base_url="http://host/v1?key=secret-value"),
    ],
)
def test_a_problem_never_repeats_a_secret(raw):
    told = " ".join(problems(raw))
    assert "secret-value" not in told
    assert "123456789" not in told


def test_an_address_with_a_login_is_refused_since_addresses_are_shown():
    assert "a login goes into `headers`" in only_problem(lab(base_url="http://user:secret-value@host/v1"))


def test_an_alias_of_a_profile_to_itself_only_adds_rules():
    assert (
        build({"aliases": {"blockrun/auto": {"target": "blockrun/auto", "max_cost": 1}}})
        .aliases["blockrun/auto"]
        .max_cost
        == 1
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "providers",
                        "lab",
                        "models",
                        "id",
                        "price",
                        "input",
                        "mqtt",
                        "url",
                        "devices",
                        "defaults",
                        "aliases",
                        "target",
                        "kind",
                        "x",
                    ]
                ),
                c,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_a_file_holds_it_is_settings_or_a_list_of_problems(raw):
    assert isinstance(tried(raw), Settings | list)


def tried(raw: object) -> object:
    try:
        return build(raw)
    except ConfigurationError as error:
        return error.problems


class TestAllAtOnce:
    """What is wrong alone and what is wrong together is told in one go."""

    def test_what_does_not_go_together_is_told_beside_what_is_wrong_alone(self):
        told = problems(
            {
                "auth": "maybe",
                "currency": "EUR",
                "aliases": {"a": "b", "b": "a", "c": 5},
                "fallbacks": {"x/a": ["x/a"]},
                "providers": {
                    "house": {"kind": "azure", "api_key": "k"},
                    "openai": {"api_key_env": "NOT_THERE"},
                    "lab": {"rpm": 5},
                },
            }
        )
        begun = [line.partition(": ")[0] for line in told]
        alone = ["auth", "aliases.c", "providers.lab.rpm"]
        between = ["providers.house.base_url", "providers.openai.api_key_env", "aliases.a", "aliases.b"]
        assert sorted(begun) == sorted([*alone, *between, "fallbacks.x/a", "usd_rate"])

    @pytest.mark.parametrize(
        "raw",
        [
            {"currency": 5},
            {"currency": "EUR", "usd_rate": "x"},
            {"aliases": {"a": "b", "b": {"target": [5]}}},
            {"providers": {"openai": {"api_key": 5}}},
            {"providers": {"house": {"kind": "azur"}}},
            {"providers": {"azure": {"api_key": "k", "base_url": "htp:/x"}}},
            lab(models=[{"id": "a", "price": "x"}, "b", "b"]),
            {"providers": [1]},
            [],
        ],
        ids=str,
    )
    def test_what_only_follows_from_something_wrong_is_not(self, raw):
        only_problem(raw)


@pytest.mark.parametrize(
    ("provider", "first_token"),
    [
        ({"kind": "ollama"}, 180),
        ({"kind": "openai", "base_url": "http://10.0.0.5:5000/v1", "local": True}, 180),
        ({"kind": "openai", "base_url": "https://llm.example.org/v1"}, 30),
        ({"kind": "openai", "api_key": "sk-1"}, 60),
        ({"kind": "groq", "api_key": "sk-1"}, 30),
    ],
)
def test_a_limit_that_is_set_leaves_the_others_as_they_are_for_its_kind(provider, first_token):
    settings = build({"providers": {"lab": {**provider, "timeouts": {"connect": 7}}}}, {})
    limits = settings.providers[0].timeouts
    assert limits is not None
    assert (limits.connect, limits.first_token) == (7, first_token)
    assert kind_of(settings.providers[0]).timeouts.first_token == first_token
