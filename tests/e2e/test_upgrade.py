"""Data of every released version is opened by this one without loss.

The folders in tests/fixtures were made by the released versions themselves, and `*.expected.json` is what those said of
them; see the README there. Here they are copied, the present router is started on the copy, and asked the same again.
Only the command line and HTTP are used, so that these tests outlive whatever happens inside. Nothing depends on the date:
requests are kept for a hundred years in there, and sums are of whole months.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.builders import a_body
from tests.fakes.mosquitto import mosquitto, watching
from tests.fakes.process import run, serve
from tests.fakes.said import Asker, configured, everything

FIXTURES = Path(__file__).parents[1] / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
FOLDERS = [f"{version}/{kind}" for version in VERSIONS for kind in ("clean", "backup", "killed", "app")]
KILLED = [f"{version}/killed" for version in VERSIONS]
SETTINGS = sorted(str(path.relative_to(FIXTURES)) for path in FIXTURES.glob("*/settings/*.yaml"))
SERVED = [f"{version}/{name}" for version in VERSIONS for name in ("every-key", "short-forms")]
NAMED_IN_FILES = {"KEY_NAMED_BY_A_FIXTURE": "sk-test-worthless"}


@dataclass
class Opened:
    """A folder, what its own version said of it, and what this one says: at once and after one more start."""

    folder: Path
    expected: dict
    health: dict
    said: dict
    again: dict
    listed: str


def expectations(name: str) -> dict:
    return json.loads((FIXTURES / f"{name}.expected.json").read_text(encoding="utf-8"))


def copied(name: str, place: Path) -> Path:
    return shutil.copytree(FIXTURES / name, place / "data")


async def stopped(router) -> None:
    router.signal(signal.SIGTERM)
    assert await router.ended() == 0, router.log.decode()


async def open_twice(name: str, place: Path) -> Opened:
    expected, folder = expectations(name), copied(name, place)
    answers = []
    for _ in range(2):
        async with serve(folder) as router, aiohttp.ClientSession() as http:
            ask = Asker(http, router.url, expected["admin_key"])
            answers.append((await ask("/health"), await everything(ask, expected["from"], expected["to"])))
            await stopped(router)
    code, listed, err = await run("keys", "list", "--data", str(folder))
    assert code == 0, err
    (health, said), (_, again) = answers
    return Opened(folder, expected, health, said, again, listed.decode())


@pytest.fixture(scope="module", params=FOLDERS)
def opened(request, tmp_path_factory) -> Opened:
    return asyncio.run(open_twice(request.param, tmp_path_factory.mktemp("upgrade")))


def lost(expected, found, where: str = "") -> list[str]:
    """What is missing or different; more than was expected is no loss. Lists keep their order."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key, value in expected.items()
            for line in (lost(value, found[key], f"{where}.{key}") if key in found else [f"{where}.{key} is gone"])
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for at, (one, two) in enumerate(zip(expected, found, strict=True))
            for line in lost(one, two, f"{where}[{at}]")
        ]
    if isinstance(expected, float) and isinstance(found, int | float):
        return [] if found == pytest.approx(expected, rel=1e-9, abs=1e-15) else [f"{where}: {expected} became {found}"]
    return [] if expected == found else [f"{where}: {expected!r} became {found!r}"]


def by(rows: list[dict], key: str) -> dict[str, dict]:
    return {row[key]: row for row in rows}


def ids(rows: list[dict]) -> list[str]:
    return [row["id"] for row in rows]


# --- the books ---------------------------------------------------------------------------------------------------


def test_each_request_is_still_there_once_and_in_the_same_order(opened):
    assert ids(opened.said["audit"]) == ids(opened.expected["audit"])


def test_each_request_says_what_it_said(opened):
    assert lost(opened.expected["audit"], opened.said["audit"]) == []


def test_there_is_something_to_lose(opened):
    assert len(opened.expected["audit"]) > 5
    assert any(row["cost_usd"] for row in opened.expected["audit"])


def test_a_second_start_books_nothing_twice(opened):
    assert ids(opened.again["audit"]) == ids(opened.expected["audit"])
    assert lost(opened.expected["usage"], opened.again["usage"]) == []


def test_usage_adds_up_to_the_same(opened):
    assert lost(opened.expected["usage"], opened.said["usage"]) == []


def test_totals_of_all_of_models_and_of_devices_are_the_same(opened):
    assert lost(opened.expected["metrics"], opened.said["metrics"]) == []


@pytest.mark.parametrize("opened", KILLED, indirect=True)
def test_requests_that_were_only_in_the_journal_at_the_kill_are_booked_once(opened):
    only = opened.expected["only_in_the_journal"]
    assert only
    for said in (opened.said, opened.again):
        assert [ids(said["audit"]).count(request) for request in only] == [1] * len(only)


# --- devices and settings ----------------------------------------------------------------------------------------


def test_every_device_is_known(opened):
    assert set(by(opened.expected["devices"], "id")) == set(by(opened.said["devices"], "id"))


@pytest.mark.parametrize("part", ["slug", "name", "sources", "state", "usage"])
def test_each_device_keeps_its(opened, part):
    expected, found = by(opened.expected["devices"], "id"), by(opened.said["devices"], "id")
    assert lost({d: row[part] for d, row in expected.items()}, {d: row[part] for d, row in found.items()}) == []


def test_devices_keep_everything_over_a_second_start_too(opened):
    assert lost(by(opened.expected["devices"], "id"), by(opened.again["devices"], "id")) == []


def test_the_routers_own_settings_hold(opened):
    assert lost(opened.expected["hub"], opened.said["hub"]) == []
    assert lost(opened.expected["hub"], opened.again["hub"]) == []


def test_every_setting_and_option_is_accepted_as_before(opened):
    assert opened.health.get("problems", []) == []


async def test_the_configuration_check_finds_nothing_wrong(opened):
    code, _, err = await run("check-config", "--data", str(opened.folder))
    assert (code, err) == (0, b"")


def test_models_of_the_file_and_profiles_can_still_be_asked_for(opened):
    assert set(opened.expected["models"]) <= set(opened.said["models"])


# --- keys --------------------------------------------------------------------------------------------------------


def test_the_admin_key_is_the_same(opened):
    """It also was what all of the above was asked with."""
    assert (opened.folder / "admin_key").read_text().strip() == opened.expected["admin_key"]


def test_the_instance_id_is_the_same(opened):
    assert (opened.folder / "instance_id").read_text().strip() == opened.expected["instance_id"]


def test_keys_are_listed_as_before(opened):
    assert lost(by(opened.expected["keys"], "id"), by(opened.said["keys"], "id")) == []
    assert len(opened.said["keys"]) == len(opened.expected["keys"])


def test_the_command_line_lists_each_key(opened):
    for key in opened.expected["keys"]:
        assert any(key["id"] in line and key["device"] in line for line in opened.listed.splitlines())


async def test_each_key_is_still_its_own_devices_and_no_other_key_is(opened, tmp_path):
    folder = shutil.copytree(opened.folder, tmp_path / "data")
    body = a_body("[[n=1]]")
    async with serve(folder) as router, aiohttp.ClientSession() as http:

        async def ask(key: str) -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {key}"}
            async with http.post(f"{router.url}/v1/chat/completions", json=body, headers=headers) as reply:
                return reply.status, reply.headers["x-request-id"]

        asked = {key: await ask(key) for key in opened.expected["device_keys"]}
        for wrong in ("cr-unknown", *opened.expected.get("revoked_keys", [])):
            assert (await ask(wrong))[0] == 401
        audit = by((await Asker(http, router.url, opened.expected["admin_key"])("/v1/audit"))["data"], "id")
    found = {key: audit[request]["device_id"] for key, (_, request) in asked.items()}
    assert found == opened.expected["device_keys"]
    assert 401 not in {status for status, _ in asked.values()}


# --- MQTT --------------------------------------------------------------------------------------------------------


def with_port(folder: Path, port: int) -> None:
    """Let settings and memory name the broker of this test."""
    for file in ("cheaprouter.yaml", "mqtt_topics.json"):
        text = (folder / file).read_text(encoding="utf-8")
        assert "18883" in text
        (folder / file).write_text(text.replace("18883", str(port)), encoding="utf-8")


@pytest.mark.parametrize("version", VERSIONS)
async def test_topics_that_it_left_at_the_broker_are_taken_away_when_the_name_changes(version, tmp_path):
    """Only `mqtt_topics.json` knows them."""
    topics, folder = expectations(f"{version}/clean")["topics"], copied(f"{version}/clean", tmp_path)
    assert len(topics) > 5
    async with mosquitto(tmp_path / "broker") as broker:
        with_port(folder, broker.port)
        async with watching(broker.port) as watcher:
            for topic in topics:
                await watcher.client.publish(topic, b"as it was", retain=True, qos=1)
            await watcher.until(lambda: set(topics) <= set(watcher.retained))
            async with serve(folder, CHEAPROUTER_MQTT_BASE_TOPIC="elsewhere"):
                await watcher.until(lambda: not set(topics) & set(watcher.retained))


# --- settings files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", SETTINGS)
async def test_a_settings_file_is_good_as_before(file, tmp_path):
    shutil.copy(FIXTURES / file, tmp_path / "cheaprouter.yaml")
    code, _, err = await run("check-config", "--data", str(tmp_path), **NAMED_IN_FILES)
    assert (code, err) == (0, b"")


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_options_that_the_app_began_with_are_good_as_before(version, tmp_path):
    shutil.copy(FIXTURES / version / "settings" / "options-at-first.json", tmp_path / "options.json")
    code, _, err = await run("check-config", "--data", str(tmp_path))
    assert (code, err) == (0, b"")


@pytest.mark.parametrize("name", SERVED)
async def test_a_settings_file_means_what_it_meant(name, tmp_path):
    version, _, file = name.partition("/")
    expected = json.loads((FIXTURES / version / "settings.expected.json").read_text(encoding="utf-8"))[file]
    shutil.copy(FIXTURES / version / "settings" / f"{file}.yaml", tmp_path / "cheaprouter.yaml")
    key = yaml.safe_load((tmp_path / "cheaprouter.yaml").read_text(encoding="utf-8")).get("admin_key")
    async with serve(tmp_path, "--ingress-port", "0", **NAMED_IN_FILES) as router, aiohttp.ClientSession() as http:
        key = key or (tmp_path / "admin_key").read_text().strip()
        found = await configured(Asker(http, router.url, key))
    assert lost(by(expected["devices"], "id"), by(found["devices"], "id")) == []
    assert lost(expected["hub"], found["hub"]) == []
    assert set(expected["models"]) <= set(found["models"])
