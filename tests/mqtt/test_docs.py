"""What the documentation promises about MQTT is what is announced and understood."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
import yaml

from cheaprouter.config.schema import build
from cheaprouter.config.settings import MqttSettings
from cheaprouter.home_assistant.discovery import HUB_EVENTS, SHOWN, SHOWN_OF_HUB, Choices, announce_device, announce_hub
from cheaprouter.home_assistant.names import names
from cheaprouter.home_assistant.topics import Topics
from cheaprouter.mqtt.requests import DEVICE_COMMANDS, HUB_COMMANDS

TEXT = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
AUTOMATIONS = [block for block in BLOCKS if "triggers" in block]
CARD = next(block for block in BLOCKS if block.get("type") == "vertical-stack")
DOMAINS = "sensor|binary_sensor|select|number|switch|button|event|update"


def announced():
    topics, choices = (
        Topics("cheaprouter", "homeassistant"),
        Choices(("auto",), ("auto",), "EUR", commands=True, names=names("en")),
    )
    hub = announce_hub(topics, "0" * 32, "1", choices, ("name",), {})
    tablet = announce_device(topics, "0" * 32, "1", "kids_tablet", "Tablet", choices, {})
    entities = [*orjson.loads(hub.payload)["cmps"].values(), *orjson.loads(tablet.payload)["cmps"].values()]
    return {
        entity["default_entity_id"]: entity.get("enabled_by_default", True) for entity in entities if "name" in entity
    }


def test_there_are_five_automations():
    assert len(AUTOMATIONS) == 5


@pytest.mark.parametrize("block", [*AUTOMATIONS, CARD], ids=lambda b: b.get("alias", "card"))
def test_every_entity_that_an_example_uses_is_announced(block):
    used = set(re.findall(rf"\b(?:{DOMAINS})\.cheaprouter_[a-z0-9_]+", str(block)))
    assert used or "cheaprouter/event" in str(block)
    assert used <= {entity for entity, enabled in announced().items() if enabled}


def test_every_entity_is_in_the_table():
    table = TEXT[TEXT.index("| entity |") : TEXT.index("Settings made here")]
    for entity in announced():
        key = re.sub(r"^[a-z_]+\.cheaprouter_(kids_tablet_)?", "", entity)
        assert f"_{key}`" in table or key == "provider_name", entity


def test_the_settings_example_is_valid():
    settings = build(next(block for block in BLOCKS if "mqtt" in block))
    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.username) == ("192.168.1.10", 1883, "user")


def test_every_setting_of_mqtt_is_explained_with_its_default():
    table = TEXT[TEXT.index("| key |") : TEXT.index("The router starts")]
    inside_url = {"host", "port", "username", "password", "tls", "embedded", "enabled"}
    for name in MqttSettings.__dataclass_fields__.keys() - inside_url:
        assert f"`{name}`" in table


def test_every_command_and_event_is_named():
    for name in (*HUB_COMMANDS, *DEVICE_COMMANDS, *HUB_EVENTS):
        assert f"`{name}`" in TEXT


def test_what_is_enabled_at_first_is_listed():
    listed = set(
        re.findall(r"`(\w+)`", TEXT[TEXT.index("Of a client ten are enabled") : TEXT.index("The rest you find")])
    )
    buttons = {"reset_today", "clear_cooldowns", "acknowledge_problems"}
    assert listed == (SHOWN | SHOWN_OF_HUB) - buttons
