from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest

from cheaprouter.core.events import (
    BudgetReached,
    BudgetWarning,
    FallbackUsed,
    ModelsChanged,
    ProviderDown,
    ProviderUp,
    RateLimited,
)
from cheaprouter.home_assistant.topics import Topics
from cheaprouter.mqtt.payloads import QUIET_SECONDS, Notices, encode, hub_details, provider_states, visible
from tests.builders import NOON


def test_money_is_a_number_and_time_is_iso_8601():
    value = {
        "cost": Decimal("0.000012"),
        "whole": Decimal("2.00"),
        "at": datetime(2026, 11, 22, tzinfo=UTC),
        "none": None,
    }
    assert encode(value) == b'{"cost":0.000012,"whole":2,"at":"2026-11-22T00:00:00Z","none":null}'


def test_a_budget_without_end_is_null():
    assert encode({"b": Decimal("Infinity")}) == b'{"b":null}'


def test_providers_tell_their_state_and_nothing_else():
    providers = [
        {"name": "a", "state": "down", "api_key": "sk-1"},
        {"name": "b", "state": "odd"},
        {"name": "c", "state": "available"},
    ]
    assert provider_states(providers) == {"a": "down", "b": "unknown", "c": "available"}
    assert hub_details("hub", "1", providers, None)["providers_down"] == ["a"]


def test_the_latest_version_is_the_stores_where_it_is_known():
    assert hub_details("hub", "1", [], None)["latest_version"] == "1"
    assert hub_details("hub", "1", [], None, "2")["latest_version"] == "2"


def test_the_mock_is_shown_only_while_there_is_nothing_else():
    mock, real = {"name": "mock", "kind": "mock"}, {"name": "lab", "kind": "openai"}
    assert visible([mock, real]) == [real]
    assert visible([mock]) == [mock]


@pytest.fixture
def notices():
    return Notices(Topics("cheaprouter", "homeassistant"), str.lower, str.title, lambda: ("EUR", Decimal(2)))


def test_a_device_event_to_the_byte(notices):
    hub, device = notices.messages(RateLimited("Kitchen", "requests", 7.5, NOON), 0.0)
    assert (hub.topic, device.topic) == ("cheaprouter/event", "cheaprouter/device/kitchen/event")
    assert (
        hub.payload
        == device.payload
        == (
            b'{"event_type":"rate_limited","limit":"requests","retry_after":7.5,"timestamp":"2026-11-22T12:00:00Z",'
            b'"device":"Kitchen","device_name":"Kitchen"}'
        )
    )
    assert (hub.qos, hub.retain) == (1, False)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (BudgetWarning("k", "daily", Decimal("0.8"), Decimal(1), 80.04, NOON),
         {"event_type": "budget_warning", "period": "daily", "spent": 1.6, "budget": 2, "percent": 80.0, "currency": "EUR"}),
        (BudgetReached("k", "monthly", Decimal(5), Decimal(4), "eco", NOON),
         {"event_type": "budget_reached", "period": "monthly", "spent": 10, "budget": 8, "percent": 125.0, "action": "eco", "currency": "EUR"}),
        (FallbackUsed("k", "a/x", "b/y", "upstream_error", NOON),
         {"event_type": "fallback_used", "from_model": "a/x", "to_model": "b/y", "code": "upstream_error", "repeats": 0}),
    ],
)  # fmt: skip
def test_what_an_automation_needs_is_there(notices, event, fields):
    payload = orjson.loads(notices.messages(event, 0.0)[1].payload)
    assert payload == {**fields, "timestamp": "2026-11-22T12:00:00Z", "device": "k", "device_name": "K"}


def test_providers_are_the_hubs_business(notices):
    down = notices.messages(ProviderDown("lab", "timeout", 30.0, NOON), 0.0)
    up = notices.messages(ProviderUp("lab", 12.0, NOON), 0.0)
    assert [m.topic for m in (*down, *up)] == ["cheaprouter/event"] * 2
    assert orjson.loads(down[0].payload)["reason"] == "timeout"
    assert orjson.loads(up[0].payload)["downtime"] == 12.0


def test_the_budget_above_all_has_no_device(notices):
    messages = notices.messages(BudgetReached(None, "daily", Decimal(1), Decimal(1), "refuse", NOON), 0.0)
    assert len(messages) == 1
    assert "device" not in orjson.loads(messages[0].payload)


def test_a_fallback_in_a_row_is_told_once_a_minute_with_the_number_of_those_kept_quiet(notices):
    event = FallbackUsed("k", "a/x", "b/y", "timeout", NOON)
    told = [bool(notices.messages(event, t)) for t in (0.0, 1.0, 59.0)]
    assert told == [True, False, False]
    assert orjson.loads(notices.messages(event, QUIET_SECONDS)[0].payload)["repeats"] == 2


def test_other_events_are_no_messages(notices):
    assert notices.messages(ModelsChanged(), 0.0) == ()
