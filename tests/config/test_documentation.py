"""The documented settings are all there are, and all valid."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from cheaprouter.config import schema, settings, strict_yaml
from cheaprouter.config.fields import ENVIRONMENT
from cheaprouter.config.references import put_in

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "configuration.md").read_text()
FULL = yaml.safe_load(re.search(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)[1])


def test_the_reference_is_a_valid_configuration():
    raw = FULL | {"time_zone": "Europe/Berlin"}
    assert schema.build(raw).providers[0].name == "lab"


def names(section: type) -> set[str]:
    return {field.name for field in dataclasses.fields(section)}


@pytest.mark.parametrize(
    ("section", "documented", "elsewhere"),
    [
        (settings.Settings, FULL, {"device_defaults"}),
        (settings.ProviderSettings, FULL["providers"]["lab"], {"name", "api_keys"}),
        (settings.ModelSettings, FULL["providers"]["lab"]["models"][0], set()),
        (settings.Timeouts, FULL["providers"]["lab"]["timeouts"], set()),
        (settings.Alias, FULL["aliases"]["fast"], set()),
        (settings.DeviceSettings, FULL["devices"]["kids-tablet"], set()),
        (settings.BudgetSettings, FULL["budget"], set()),
        (settings.RoutingSettings, FULL["routing"], set()),
        (settings.MqttSettings, FULL["mqtt"], {"host", "port", "username", "password", "tls"}),
        (settings.StorageSettings, FULL["storage"], set()),
        (settings.CacheSettings, FULL["cache"], set()),
        (settings.PricesSettings, FULL["prices"], set()),
        (settings.HttpSettings, FULL["http"], set()),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_every_setting_is_documented(section, documented, elsewhere):
    assert names(section) - elsewhere <= set(documented)


@pytest.mark.parametrize("section", ["storage", "cache", "prices", "routing"])
def test_the_documented_defaults_are_the_defaults(section):
    raw = {key: value for key, value in FULL[section].items() if key != "max_cost"}
    assert getattr(schema.build({section: raw}), section) == getattr(settings.Settings(), section)


@pytest.mark.parametrize("option", ENVIRONMENT[-6:], ids=lambda o: o.variable)
def test_variables_that_are_no_options_are_documented(option):
    assert option.variable in REFERENCE or option.variable.endswith("_API_KEY")


@pytest.mark.parametrize("page", ["DOCS.md", "README.md", "docs/configuration.md", "docs/providers.md"])
def test_every_configuration_shown_to_users_is_valid(page):
    for block in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        shown = strict_yaml._load(block.replace("sk-…", "sk-test"))
        variables = dict.fromkeys(re.findall(r"api_key_env: (\w+)|\$\{(\w+)\}", block), "sk-test")
        variables = {name: value for names, value in variables.items() for name in names if name}
        secrets = dict.fromkeys(re.findall(r"!secret (\w+)", block), "sk-test")
        if isinstance(shown, dict):
            shown = put_in(shown, variables, secrets).raw
        if isinstance(shown, dict) and shown.keys() <= schema._SETTINGS.keys():
            assert schema.build(shown, variables)
