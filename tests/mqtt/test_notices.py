from __future__ import annotations

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
from cheaprouter.mqtt.payloads import QUIET_SECONDS, Notices
from tests.builders_house import NOW


@pytest.fixture
def notices():
    return Notices(Topics("cheaprouter", "homeassistant"), str.lower, str.title)


def test_a_device_event_to_the_byte(notices):
    hub, device = notices.messages(RateLimited("Kitchen", "requests", 7.5, NOW), 0.0)
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
        (BudgetWarning("k", "daily", Decimal("0.8"), Decimal(1), 80.04, NOW),
         {"event_type": "budget_warning", "period": "daily", "spent": 0.8, "budget": 1, "percent": 80.0}),
        (BudgetReached("k", "monthly", Decimal(5), Decimal(4), "eco", NOW),
         {"event_type": "budget_reached", "period": "monthly", "spent": 5, "budget": 4, "percent": 125.0, "action": "eco"}),
        (FallbackUsed("k", "a/x", "b/y", "upstream_error", NOW),
         {"event_type": "fallback_used", "from_model": "a/x", "to_model": "b/y", "code": "upstream_error", "repeats": 0}),
    ],
)  # fmt: skip
def test_what_an_automation_needs_is_there(notices, event, fields):
    payload = orjson.loads(notices.messages(event, 0.0)[1].payload)
    assert payload == {**fields, "timestamp": "2026-11-22T12:00:00Z", "device": "k", "device_name": "K"}


def test_providers_are_the_hubs_business(notices):
    down = notices.messages(ProviderDown("lab", "timeout", 30.0, NOW), 0.0)
    up = notices.messages(ProviderUp("lab", 12.0, NOW), 0.0)
    assert [m.topic for m in (*down, *up)] == ["cheaprouter/event"] * 2
    assert orjson.loads(down[0].payload)["reason"] == "timeout"
    assert orjson.loads(up[0].payload)["downtime"] == 12.0


def test_the_budget_above_all_has_no_device(notices):
    messages = notices.messages(BudgetReached(None, "daily", Decimal(1), Decimal(1), "refuse", NOW), 0.0)
    assert len(messages) == 1
    assert "device" not in orjson.loads(messages[0].payload)


def test_a_fallback_in_a_row_is_told_once_a_minute_with_the_number_of_those_kept_quiet(notices):
    event = FallbackUsed("k", "a/x", "b/y", "timeout", NOW)
    told = [bool(notices.messages(event, t)) for t in (0.0, 1.0, 59.0)]
    assert told == [True, False, False]
    assert orjson.loads(notices.messages(event, QUIET_SECONDS)[0].payload)["repeats"] == 2


def test_other_events_are_no_messages(notices):
    assert notices.messages(ModelsChanged(), 0.0) == ()
