from __future__ import annotations

import contextlib
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config import fields
from cheaprouter.core.errors import CheapRouterError
from cheaprouter.mqtt.messages import Incoming
from cheaprouter.mqtt.pacing import Once
from cheaprouter.mqtt.requests import DEVICE_COMMANDS, HUB_COMMANDS, Commands

SETTINGS = {"profile", "model", "rpm", "tpm", "parallel", "daily_budget", "monthly_budget", "enabled"}


@pytest.fixture
async def desk(home):
    home.add("kitchen")
    shown: list[str | None] = []
    return home, Commands(home.control, shown.append, Once(logging.getLogger("t"))), shown


def send(desk, slug, setting, payload, *, retain=False):
    place = "cheaprouter" if slug is None else f"cheaprouter/device/{slug}"
    desk[1].take(slug, setting, Incoming(f"{place}/{setting}/set", payload, retain=retain))


def test_every_setting_of_a_device_can_be_set():
    assert set(DEVICE_COMMANDS) >= SETTINGS


@pytest.mark.parametrize(
    ("setting", "payload", "value"),
    [
        ("profile", b"eco", "eco"),
        ("model", b"lab/big", "lab/big"),
        ("model", b"auto", "auto"),
        ("rpm", b"7", 7),
        ("tpm", b" 1000.0 ", 1000),
        ("parallel", b"0", None),
        ("rpm", b"unlimited", None),
        ("daily_budget", b"0.5", 0.5),
        ("daily_budget", b"0", 0),
        ("monthly_budget", b"-1", None),
        ("monthly_budget", b"-1.0", None),
        ("rpm", b"default", None),
        ("enabled", b"OFF", False),
        ("enabled", b"true", True),
    ],
)
async def test_a_good_value_is_set_and_shown(desk, setting, payload, value):
    desk[0].control.set_device_many("kitchen", {"rpm": 99, "parallel": 9, "monthly_budget": 9, "model": "lab/small"})
    send(desk, "kitchen", setting, payload)
    assert desk[0].state("kitchen")[setting] == value
    assert desk[2] == ["kitchen"]


@pytest.mark.parametrize(
    ("setting", "payload"),
    [
        ("profile", b"cheapest"),
        ("model", b"no/such"),
        ("model", b"a\nb"),
        ("rpm", b"-1"),
        ("rpm", b"1.5"),
        ("rpm", b"many"),
        ("rpm", b"1e99"),
        ("rpm", b"NaN"),
        ("rpm", "٣".encode()),
        ("daily_budget", b"Infinity"),
        ("daily_budget", b"-2"),
        ("daily_budget", b"1_000"),
        ("daily_budget", b"9" * 200),
        ("enabled", b"maybe"),
        ("enabled", b"\xff\xfe"),
        ("model", b"x" * 257),
        ("api_key", b"sk-stolen"),
        ("admin_key", b"x"),
        ("reset_today", b"yes"),
        ("reset_today", b"default"),
    ],
)
async def test_a_bad_value_changes_nothing_is_logged_and_the_true_state_is_shown(desk, setting, payload, caplog):
    before = desk[0].state("kitchen")
    send(desk, "kitchen", setting, payload)
    assert desk[0].state("kitchen") == before
    assert desk[2] == ["kitchen"]
    assert f"Refused what was published on cheaprouter/device/kitchen/{setting}/set" in caplog.text


async def test_the_same_bad_value_is_logged_once(desk, caplog):
    for _ in range(100):
        send(desk, "kitchen", "rpm", b"many")
    assert len(caplog.records) == 1


async def test_a_retained_command_is_stale_and_refused(desk, caplog):
    send(desk, "kitchen", "rpm", b"7", retain=True)
    assert desk[0].state("kitchen")["rpm"] is None
    assert "retained" in caplog.text


async def test_an_unknown_device_is_refused(desk, caplog):
    send(desk, "nobody", "rpm", b"7")
    assert "no such device" in caplog.text


async def test_the_hub_has_settings_of_its_own(desk):
    send(desk, None, "cloud_paused", b"ON")
    send(desk, None, "cost_quality", b"7.5")
    send(desk, None, "monthly_budget", b"20")
    hub = desk[0].control.hub_state()
    assert (hub["cloud_paused"], hub["cost_quality"], hub["monthly_budget"]) == (True, 7.5, 20)
    assert desk[2] == [None, None, None]


async def test_a_device_setting_is_none_of_the_hub(desk, caplog):
    send(desk, None, "rpm", b"7")
    assert "no such setting" in caplog.text


async def test_buttons_are_pressed(desk, monkeypatch):
    pressed = []
    for name in ("reset_budget", "clear_cooldowns", "acknowledge_problems"):
        monkeypatch.setattr(desk[0].control, name, lambda *of, name=name: pressed.append((name, *of)))
    send(desk, "kitchen", "reset_today", b"PRESS")
    send(desk, None, "reset_today", b"PRESS")
    send(desk, None, "clear_cooldowns", b"PRESS")
    send(desk, None, "acknowledge_problems", b"PRESS")
    assert pressed == [
        ("reset_budget", "kitchen", "day"),
        ("reset_budget", None, "day"),
        ("clear_cooldowns",),
        ("acknowledge_problems",),
    ]


@given(st.text(max_size=40))
def test_a_setting_gives_a_value_or_says_what_is_allowed(text):
    for command in {**HUB_COMMANDS, **DEVICE_COMMANDS}.values():
        with contextlib.suppress(CheapRouterError):
            value = command.value(text)
            if value is not None and command.field is not None:
                fields.read({"it": command.field}, "it", value)


@given(st.decimals(0, 1_000_000, places=4))
def test_money_is_read_exactly(amount):
    budget = fields.DEVICE["daily_budget"]
    assert budget.read(budget.published(str(amount))) == amount


@pytest.mark.parametrize("slug", [None, "kitchen"])
def test_a_retained_command_that_is_cleared_changes_and_logs_nothing(desk, caplog, slug):
    home, _, shown = desk
    send(desk, slug, "profile", b"eco")
    send(desk, slug, "profile", b"")
    send(desk, "nobody", "profile", b"")
    state = home.control.hub_state() if slug is None else home.state(slug)
    assert state["profile"] == "eco"
    assert shown == [slug, slug]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
