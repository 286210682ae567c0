from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.dashboard.status import Reach, language, status
from tests.dashboard.home import NOW, Home

REACH = Reach(4000, "homeassistant.local", "local-cheaprouter", keys=True)


async def test_a_provider_is_told_in_short() -> None:
    page = await status(Home(), REACH, NOW)
    assert page["providers"] == [
        {
            "name": "openrouter",
            "kind": "openrouter",
            "state": "available",
            "local": False,
            "models": 2,
            "latency_ms": 420.0,
            "cooldown": None,
            "message": "",
        },
        {
            "name": "groq",
            "kind": "groq",
            "state": "down",
            "local": False,
            "models": 1,
            "latency_ms": None,
            "cooldown": 42.0,
            "message": "groq: 429 Rate limit reached for model",
        },
        {
            "name": "ollama",
            "kind": "ollama",
            "state": "available",
            "local": True,
            "models": 1,
            "latency_ms": 900.0,
            "cooldown": None,
            "message": "",
        },
    ]


async def test_devices_that_called_last_come_first() -> None:
    page = await status(Home(), REACH, NOW)
    assert [device["id"] for device in page["devices"]] == [
        "home-assistant",
        "kitchen-tablet",
        "kids-laptop",
        "old-phone",
    ]


async def test_very_many_devices_are_cut() -> None:
    home = Home()
    home.devices = {f"d{i}": {"last_seen": None} for i in range(200)}
    assert len((await status(home, REACH, NOW))["devices"]) == 50


async def test_of_very_many_devices_none_is_asked_for_that_is_not_shown(monkeypatch) -> None:
    """With ten thousand, a page that was open took more than half of every second."""
    home, asked = Home(), []
    home.devices = {f"d{i}": {"last_seen": None} for i in range(200)}
    state = home.device_state
    monkeypatch.setattr(home, "device_state", lambda name: asked.append(name) or state(name))
    await status(home, REACH, NOW)
    assert len(asked) == 50


async def test_nothing_gets_on_the_page_that_was_not_picked() -> None:
    home = Home()
    secret = {"api_key": "sk-leaked-by-mistake", "headers": {"authorization": "sk-leaked-by-mistake"}}
    home.state = home.state | secret
    home.hub |= secret
    home.table = [m | secret for m in home.table]
    home.requests = [r | secret for r in home.requests]
    home.upstreams = [p | secret for p in home.upstreams]
    home.devices = {k: v | secret for k, v in home.devices.items()}
    assert "leaked" not in json.dumps(await status(home, REACH, NOW))


async def test_an_empty_home_is_a_page_too() -> None:
    home = Home(hub={}, devices={}, upstreams=[], table=[], requests=[])
    page = await status(home, Reach(None), NOW)
    assert page["devices"] == page["providers"] == page["models"] == page["recent"] == []
    assert page["reach"]["port"] is None


async def test_problems_of_the_settings_are_shown() -> None:
    home = Home()
    home.state["problems"] = ("routing.profile: expected one of auto, eco",)
    assert (await status(home, REACH, NOW))["health"]["problems"] == ["routing.profile: expected one of auto, eco"]


KNOWN = ("en", "de", "fr", "es", "nl")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"), ("de", "de"), ("de-CH,de;q=0.9,en;q=0.8", "de"), ("da, en-GB;q=0.8, nl;q=0.9", "nl"), ("ja", "en"), ("*", "en"),
        ("fr;q=0, es", "es"), ("NL-be", "nl"), ("fr;q=x, de", "de"), ("en;q=0.5,es;q=0.5", "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_readers(header: str, expected: str) -> None:
    assert language(header, KNOWN) == expected


@given(st.text())
def test_any_language_header_gives_a_language(header: str) -> None:
    assert language(header, KNOWN) in KNOWN


async def test_budgets_are_shown_in_the_currency_of_the_costs() -> None:
    home = Home(usd_rate=0.5)
    home.hub |= {"daily_budget": 3.0, "monthly_budget": None}
    hub = (await status(home, REACH, NOW))["hub"]
    assert (hub["daily_budget"], hub["monthly_budget"]) == (1.5, None)


MOCK = {"name": "mock", "kind": "mock", "state": "available", "local": True}
MOCK_MODEL = {"id": "mock/default", "provider": "mock"}


async def test_the_stand_in_is_out_of_sight_once_there_is_a_real_provider() -> None:
    home = Home()
    home.upstreams.append(MOCK)
    home.table.append(MOCK_MODEL)
    page = await status(home, REACH, NOW)
    assert "mock" not in json.dumps([page["providers"], page["models"]])


async def test_in_the_demo_the_stand_in_is_shown() -> None:
    home = Home(upstreams=[MOCK], table=[MOCK_MODEL])
    home.state["demo"] = True
    page = await status(home, REACH, NOW)
    assert [p["name"] for p in page["providers"]] == ["mock"]
    assert [m["id"] for m in page["models"]] == ["mock/default"]


async def test_a_local_server_that_told_no_models_is_not_called_ready() -> None:
    home = Home(table=[])
    assert {p["name"]: p["state"] for p in (await status(home, REACH, NOW))["providers"]} == {
        "openrouter": "empty",
        "groq": "down",
        "ollama": "empty",
    }
