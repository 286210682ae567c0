"""Files that break while the router runs, and files that are mended."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from cheaprouter.config import files
from tests.builders import a_house, a_model_row, free_port, until
from tests.fakes.fault_server import fault_server
from tests.fakes.router import Client, router

SETTINGS = a_house(f"http://127.0.0.1:{free_port()}/v1", a_model_row("lab/a"), auth="keys", devices={"kid": {"rpm": 7}})


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Files are looked at all the time."""
    monkeypatch.setattr(files, "SETTLE", 0.01)
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    monkeypatch.setattr(files.ConfigWatcher.__init__, "__kwdefaults__", {"interval": 0.02, "sleep": asyncio.sleep})


async def kid(client: Client) -> dict:
    return (await client.get("/router/devices/kid", headers=client.admin()))["state"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "# nothing\n", "auth: [", "auth: ope", "providers: &x\n  lab: *x\n", "a: " + "[" * 50_000, None),
        *("auth: keys\ndevices:\n  kid:\n    rpm: 7\n", "auth: keys\n", "log_level: info"),
    ],
    ids=["empty", "comment", "broken", "value", "anchor", "depth", "gone", "half", "one line", "another line"],
)
async def test_a_file_that_breaks_changes_nothing(tmp_path: Path, text):
    async with router(tmp_path, SETTINGS) as client:
        patch = f"{client.url}/router/devices/kid"
        async with client.http.patch(patch, json={"rpm": 3}, headers=client.admin()) as reply:
            assert reply.status == 200
        world, path = client.app.house.gateway.world, tmp_path / "cheaprouter.yaml"
        good = path.read_text()
        path.unlink() if text is None else path.write_text(text)
        await until(lambda: client.app.house.problems)
        health = await client.get("/health", headers=client.admin())
        assert (health["status"], health["demo"]) == ("degraded", False)
        assert health["tasks"]["config-watcher"] == "running"
        assert client.app.house.gateway.world is world
        assert (await kid(client))["rpm"] == 3
        async with client.http.get(f"{client.url}/v1/models") as reply:
            assert reply.status == 401
        path.write_text(good + "log_level: info\n")
        await until(lambda: not client.app.house.problems)
        assert (await kid(client))["rpm"] == 3


async def test_what_was_set_at_run_time_outlives_a_start_with_a_broken_file(tmp_path: Path):
    async with router(tmp_path, SETTINGS) as client:
        patch = f"{client.url}/router/devices/kid"
        async with client.http.patch(patch, json={"rpm": 3}, headers=client.admin()) as reply:
            assert reply.status == 200
        await client.app.house.recorder.flush()
    good = (tmp_path / "cheaprouter.yaml").read_text()
    (tmp_path / "last_good.json").unlink()
    (tmp_path / "cheaprouter.yaml").write_text("auth: [")
    async with router(tmp_path) as client:
        assert client.app.house.settings.locked
        (tmp_path / "cheaprouter.yaml").write_text(good)
        await until(lambda: not client.app.house.settings.locked)
        assert (await kid(client))["rpm"] == 3
        await until((tmp_path / "last_good.json").exists)


async def test_what_a_slow_writer_has_written_is_not_in_force_until_he_is_done(tmp_path: Path, monkeypatch):
    """Even where what he began with would do."""
    monkeypatch.setattr(files, "PATIENCE", 5)
    async with router(tmp_path, SETTINGS) as client:
        path, patch = tmp_path / "cheaprouter.yaml", f"{client.url}/router/devices/kid"
        async with client.http.patch(patch, json={"rpm": 3}, headers=client.admin()) as reply:
            assert reply.status == 200
        world = client.app.house.gateway.world
        whole = f"log_level: warning\n{path.read_text()}"
        path.write_text(whole.partition("devices:")[0] + "providers: {mock: {}}\n")
        await asyncio.sleep(0.3)
        assert client.app.house.gateway.world is world
        path.write_text(whole)
        monkeypatch.setattr(files, "PATIENCE", 0.05)
        await until(lambda: client.app.house.settings.log_level == "warning")
        assert (await kid(client))["rpm"] == 3


async def test_a_reloaded_log_level_takes_effect(tmp_path: Path):
    async with router(tmp_path, SETTINGS) as client:
        text = (tmp_path / "cheaprouter.yaml").read_text()
        (tmp_path / "cheaprouter.yaml").write_text(f"log_level: warning\n{text}")
        await until(lambda: logging.getLogger().level == logging.WARNING)
        assert client.app.house.settings.log_level == "warning"


async def test_a_server_that_a_reload_brings_is_asked_for_its_models_at_once(tmp_path: Path):
    async with fault_server() as upstream, router(tmp_path, {"auth": "open"}) as client:
        text = f"auth: open\nproviders:\n  lab: {{kind: openai, base_url: '{upstream.url}/v1', discover: true}}\n"
        (tmp_path / "cheaprouter.yaml").write_text(text)
        await until(lambda: "lab" in client.app.house.discovered)
