from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import voluptuous as vol
import yaml

from cheaprouter.config import fields as ours
from cheaprouter.config.loader import load
from cheaprouter.core.const import DEFAULT_PORT, VERSION

from .store_rules import BUILD, MANIFEST, REPOSITORY, check_option


def leaves(schema: dict, prefix: str = "") -> dict[str, str]:
    found = {}
    for name, kind in schema.items():
        found |= leaves(kind, f"{prefix}{name}.") if isinstance(kind, dict) else {prefix + name: kind}
    return found


def test_the_manifest_keeps_the_stores_rules(manifest: dict) -> None:
    MANIFEST(manifest)


def test_build_keeps_the_stores_rules(root: Path) -> None:
    BUILD(yaml.safe_load((root / "build.yaml").read_text()))


def test_repository_keeps_the_stores_rules(root: Path) -> None:
    REPOSITORY(yaml.safe_load((root / "repository.yaml").read_text()))


@pytest.mark.parametrize(
    "bad",
    [{"version": 0.1}, {"arch": ["armv7"]}, {"webui": "x"}, {"schema": {"a": [["str"]]}}, {"schema": {"a": "string"}}],
)
def test_the_rules_notice_mistakes(manifest: dict, bad: dict) -> None:
    with pytest.raises(vol.Invalid):
        MANIFEST(manifest | bad)


def test_no_right_is_asked_for_that_costs_trust(manifest: dict) -> None:
    costly = {
        "hassio_api",
        "hassio_role",
        "homeassistant_api",
        "auth_api",
        "host_network",
        "full_access",
        "privileged",
        "docker_api",
        "apparmor",
    }
    assert not costly & set(manifest)


def test_the_lan_port_is_open_and_the_ingress_port_is_not(manifest: dict) -> None:
    assert manifest["ports"] == {f"{DEFAULT_PORT}/tcp": DEFAULT_PORT}
    assert set(manifest["ports_description"]) == set(manifest["ports"])


def test_only_the_top_level_has_files_that_the_store_looks_for(root: Path) -> None:
    names = {f"{stem}.{ending}" for stem in ("config", "build", "repository") for ending in ("yaml", "yml", "json")}
    skipped = {".git", ".venv", "venv", "node_modules"}
    found = {
        p.relative_to(root) for p in root.rglob("*") if p.name in names and not skipped & set(p.relative_to(root).parts)
    }
    assert found == {Path("config.yaml"), Path("build.yaml"), Path("repository.yaml")}


def test_each_option_is_one_that_we_read_and_of_the_same_type(manifest: dict) -> None:
    assert leaves(manifest["schema"]) == {option.name: option.type for option in ours.OPTIONS}


def test_defaults_are_those_that_we_ship(manifest: dict) -> None:
    assert {name: value for name, value in manifest["options"].items() if value != {}} == ours.defaults()


def test_each_default_fits_its_type(manifest: dict) -> None:
    kinds = leaves(manifest["schema"])
    for name, value in manifest["options"].items():
        if value != {}:
            check_option(kinds[name], value)


def test_nothing_has_to_be_filled_in(manifest: dict) -> None:
    required = {name.partition(".")[0] for name, kind in leaves(manifest["schema"]).items() if not kind.endswith("?")}
    groups = {name for name, kind in manifest["schema"].items() if isinstance(kind, dict)}
    assert required | groups <= set(manifest["options"])


def test_secrets_are_passwords_at_the_top_and_never_in_a_list(manifest: dict) -> None:
    secret = re.compile(r"key$|password|token|secret")
    for name, kind in leaves(manifest["schema"]).items():
        assert bool(secret.search(name)) == kind.startswith("password"), name
    assert not any(isinstance(kind, list) for kind in manifest["schema"].values())


def test_the_defaults_load_without_a_problem(manifest: dict, tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text(json.dumps(manifest["options"]))
    loaded = load(None, tmp_path, {})
    assert not loaded.problems
    assert loaded.settings.demo


SAMPLES = {
    "language": "de",
    "str?": "sample", "password?": "sk-a-sample-of-a-key", "url?": "http://192.168.1.20:11434", "port?": 8883, "bool?": False,
    "baseline_model": "openai/gpt-4o", "time_zone": "Europe/Berlin", "currency": "EUR", "usd_rate": 0.92, "mqtt.host": "broker.lan",
    "default_profile": "eco", "cost_quality": 7, "auth": "keys", "budget_action": "free", "log_level": "debug", "retention_days": 30,
    "local_url": "192.168.1.20:11434",
    "mqtt.tls": True, "local_kind": "vllm", "verify": "on", "mqtt.base_topic": "second", "mqtt.discovery_prefix": "ha",
}  # fmt: skip
"""For each option, by name or by type, a value that differs from what holds without it."""

NEEDS = {
    "local_kind": {"local_url": "http://192.168.1.20:9999"}, "mqtt.port": {"mqtt": {"host": "broker.lan"}},
    "mqtt.username": {"mqtt": {"host": "broker.lan"}}, "mqtt.password": {"mqtt": {"host": "broker.lan", "username": "u"}},
    "mqtt.tls": {"mqtt": {"host": "broker.lan"}}, "currency": {"currency": "GBP", "usd_rate": 0.8},
    "usd_rate": {"currency": "GBP", "usd_rate": 0.8},
}  # fmt: skip
"""Options that say something only together with others."""


@pytest.mark.parametrize("option", ours.OPTIONS, ids=lambda option: option.name)
def test_each_option_reaches_a_setting(option: ours.Option, tmp_path: Path) -> None:
    sample = SAMPLES.get(option.name, SAMPLES.get(option.type, 11))
    without = NEEDS.get(option.name, {})
    group, _, field = option.name.rpartition(".")
    value = {group: {**without.get(group, {}), field: sample}} if group else {option.name: sample}

    def settings(options: dict, folder: str) -> object:
        data = tmp_path / folder
        data.mkdir()
        (data / "options.json").write_text(json.dumps(options))
        loaded = load(None, data, {})
        assert not loaded.problems
        return loaded.settings

    assert settings(without | value, "with") != settings(without, "without")


@pytest.mark.parametrize("name", ["rpm", "tpm"])
def test_zero_means_no_limit(name: str, tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text(json.dumps({name: 0}))
    assert getattr(load(None, tmp_path, {}).settings.device_defaults, name) is None


def test_the_version_is_the_same_everywhere(manifest: dict, root: Path) -> None:
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert manifest["version"] == VERSION == newest[1]


def test_the_base_image_is_the_same_in_both_places(root: Path) -> None:
    images = set(yaml.safe_load((root / "build.yaml").read_text())["build_from"].values())
    argument = re.search(r"^ARG BUILD_FROM=(\S+)$", (root / "Dockerfile").read_text(), re.MULTILINE)
    assert argument is not None
    assert images == {argument[1]}


def test_both_architectures_have_a_base_image(manifest: dict, root: Path) -> None:
    assert set(yaml.safe_load((root / "build.yaml").read_text())["build_from"]) == set(manifest["arch"])
