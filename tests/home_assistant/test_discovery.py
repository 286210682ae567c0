from __future__ import annotations

import re
from dataclasses import replace

import orjson
import pytest

from cheaprouter.config.settings import LANGUAGES
from cheaprouter.home_assistant.discovery import (
    DEVICE_EVENTS,
    HUB_EVENTS,
    SHOWN,
    SHOWN_OF_HUB,
    Choices,
    announce_device,
    announce_hub,
    slug_of,
)
from cheaprouter.home_assistant.names import names
from cheaprouter.home_assistant.topics import Topics

TOPICS = Topics("cheaprouter", "homeassistant")
INSTANCE = "0123456789abcdef0123456789abcdef"
CHOICES = Choices(("auto", "eco"), ("auto", "lab/small"), "EUR", commands=True, names=names("en"))
READ_ONLY = Choices(("auto",), ("auto",), "EUR", commands=False, names=names("en"))


def hub(choices=CHOICES, providers=("lab",), gone=None):
    return announce_hub(TOPICS, INSTANCE, "0.1.0", choices, providers, gone or {})


def device(choices=CHOICES, gone=None, name="Kitchen tablet"):
    return announce_device(TOPICS, INSTANCE, "0.1.0", "kitchen", name, choices, gone or {})


def components(announcement):
    """The entities; triggers have neither names nor ids."""
    found = orjson.loads(announcement.payload)["cmps"]
    return {key: entity for key, entity in found.items() if entity["p"] != "device_automation"}


def triggers(announcement):
    found = orjson.loads(announcement.payload)["cmps"].values()
    return [entity for entity in found if entity["p"] == "device_automation"]


@pytest.fixture(params=["hub", "device"])
def announced(request):
    return hub() if request.param == "hub" else device()


def test_the_hub_frame_to_the_byte():
    payload = hub(Choices((), (), "EUR", commands=False, names=names("en")), ()).payload
    assert payload.startswith(
        b'{"dev":{"identifiers":["cheaprouter_0123456789ab"],"name":"CheapRouter","manufacturer":"CheapRouter",'
        b'"model":"LLM router","sw_version":"0.1.0"},"o":{"name":"CheapRouter","sw":"0.1.0",'
        b'"url":"https://github.com/cheaprouter/cheaprouter"},"availability":[{"topic":"cheaprouter/status"}],'
        b'"availability_mode":"all","qos":1,"state_topic":"cheaprouter/state","cmps":{"requests":{"p":"sensor",'
        b'"name":"Requests","state_class":"total_increasing","unit_of_measurement":"requests","icon":"mdi:counter",'
        b'"value_template":"{{ value_json.get(\'requests\') }}","unique_id":"cheaprouter_0123456789ab_requests",'
        b'"default_entity_id":"sensor.cheaprouter_requests"},'
    )


def test_a_select_to_the_byte():
    assert orjson.dumps(components(device())["model"]) == (
        b'{"p":"select","name":"Model","icon":"mdi:brain","command_topic":"cheaprouter/device/kitchen/model/set",'
        b'"entity_category":"config","options":["auto","lab/small"],'
        b"\"value_template\":\"{{ value_json.get('model') or 'auto' }}\","
        b'"unique_id":"cheaprouter_0123456789ab_kitchen_model","default_entity_id":"select.cheaprouter_kitchen_model"}'
    )


def test_a_budget_to_the_byte():
    assert orjson.dumps(components(device())["daily_budget"]) == (
        b'{"p":"number","name":"Daily budget","icon":"mdi:piggy-bank-outline",'
        b'"command_topic":"cheaprouter/device/kitchen/daily_budget/set","entity_category":"config","mode":"box",'
        b'"min":-1,"max":1000000000,"step":0.01,"value_template":"{% set b = value_json.get(\'daily_budget\') %}'
        b'{{ b if b is number else -1 }}","unit_of_measurement":"EUR",'
        b'"unique_id":"cheaprouter_0123456789ab_kitchen_daily_budget",'
        b'"default_entity_id":"number.cheaprouter_kitchen_daily_budget"}'
    )


def test_a_device_is_reached_through_the_hub_and_available_only_with_it():
    payload = orjson.loads(device().payload)
    assert payload["dev"]["via_device"] == "cheaprouter_0123456789ab"
    assert payload["availability"] == [
        {"topic": "cheaprouter/status"},
        {"topic": "cheaprouter/device/kitchen/availability"},
    ]
    assert payload["availability_mode"] == "all"


def test_unique_ids_hold_neither_host_nor_name_nor_version(announced):
    for key, entity in components(announced).items():
        assert re.fullmatch(r"cheaprouter_0123456789ab(_kitchen)?_" + key, entity["unique_id"])
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", entity["default_entity_id"])


def test_the_same_things_keep_their_ids_when_the_device_is_renamed():
    before, after = components(device()), components(device(name="Other"))
    assert before == after


def test_no_entity_name_holds_the_name_of_its_device():
    assert not [e for e in components(device()).values() if "kitchen" in e["name"].lower()]


def test_ten_entities_of_a_client_are_enabled_and_the_rest_is_off_and_out_of_the_way():
    enabled = {key for key, entity in components(device()).items() if entity.get("enabled_by_default", True)}
    assert enabled == SHOWN
    assert len(enabled) == 10
    assert {e["entity_category"] for k, e in components(device()).items() if k not in SHOWN} == {"diagnostic", "config"}


def test_what_is_enabled_of_the_router_is_what_it_has():
    enabled = {key for key, entity in components(hub()).items() if entity.get("enabled_by_default", True)}
    assert enabled == SHOWN_OF_HUB - {"model", "enabled"}


def test_a_provider_has_a_sensor_that_is_off_at_first():
    assert components(hub())["provider_lab"]["enabled_by_default"] is False


def test_entities_have_names_in_the_language_that_is_set_and_the_same_ids():
    german = replace(CHOICES, names=names("de"))
    for announced in (hub, device):
        english, other = components(announced()), components(announced(german))
        assert {k: v["unique_id"] for k, v in english.items()} == {k: v["unique_id"] for k, v in other.items()}
    assert components(device(german))["cost_today"]["name"] == "Kosten heute"
    assert components(hub(german))["provider_lab"]["name"] == "Anbieter lab"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_entity_has_a_name_in_every_language(language):
    choices = replace(CHOICES, names=names(language))
    assert all(entity["name"] for announced in (hub, device) for entity in components(announced(choices)).values())
    assert names(language).keys() == names("en").keys()


def test_the_connection_is_told_also_while_everything_else_is_unavailable():
    entity = components(hub())["connection"]
    assert entity["availability"] == []
    assert (entity["state_topic"], entity["payload_off"]) == ("cheaprouter/status", "offline")


def test_an_automation_may_begin_with_each_kind_of_event():
    assert [one["type"] for one in triggers(device())] == list(DEVICE_EVENTS)
    assert {one["topic"] for one in triggers(device())} == {"cheaprouter/device/kitchen/event"}
    assert [one["type"] for one in triggers(hub())] == list(HUB_EVENTS)


def test_a_device_links_to_the_page_where_home_assistant_can_open_it():
    page = "homeassistant://hassio/ingress/local_cheaprouter"
    for announced in (hub, device):
        assert orjson.loads(announced(replace(CHOICES, page=page)).payload)["dev"]["configuration_url"] == page
        assert "configuration_url" not in orjson.loads(announced().payload)["dev"]


def test_the_update_entity_links_to_what_is_new():
    assert "CHANGELOG.md" in components(hub())["version"]["value_template"]


def test_money_is_monetary_and_total_in_an_iso_currency(announced):
    money = [e for e in components(announced).values() if e.get("device_class") == "monetary"]
    assert len(money) == 5
    assert {(e["state_class"], e["unit_of_measurement"]) for e in money} == {("total", "EUR")}


def test_no_sensor_is_a_setting(announced):
    sensors = [e for e in components(announced).values() if e["p"] in {"sensor", "binary_sensor"}]
    assert not [e for e in sensors if e.get("entity_category") == "config"]


def test_all_keys_are_known_to_home_assistant(announced):
    known = {
        "p", "name", "icon", "unique_id", "default_entity_id", "value_template", "state_topic", "command_topic", "options",
        "state_class", "unit_of_measurement", "device_class", "entity_category", "suggested_display_precision",
        "last_reset_value_template", "enabled_by_default", "mode", "availability", "payload_on", "payload_off", "min", "max", "step", "payload_press", "event_types",
    }  # fmt: skip
    for entity in components(announced).values():
        assert entity.keys() <= known


def test_without_commands_nothing_can_be_changed():
    for announced in (hub(READ_ONLY), device(READ_ONLY)):
        assert not [e for e in components(announced).values() if "command_topic" in e]


def test_a_component_that_is_gone_is_taken_out_by_its_platform_alone():
    announced = hub(gone={"provider_old": "sensor", "requests": "sensor"})
    assert components(announced)["provider_old"] == {"p": "sensor"}
    assert "provider_old" not in announced.components
    assert components(announced)["requests"]["name"] == "Requests"


def test_the_update_entity_takes_no_command():
    assert "command_topic" not in components(hub())["version"]


def test_a_provider_with_an_odd_name_cannot_break_its_template():
    entity = components(hub(providers=("it's {{ x }}",)))[f"provider_{slug_of(chr(105) + 't' + chr(39) + 's {{ x }}')}"]
    assert "{{ x" not in entity["value_template"][2:]
    assert entity["value_template"].count("'") == 4


def test_names_that_would_collide_get_different_ids():
    assert len({slug_of(n) for n in ("a-b", "a_b", "a.b", "A_B")}) == 4
