"""What the publisher notes of events: whatever they hold, however many, wherever from."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cheaprouter.config.settings import MqttSettings
from cheaprouter.core.calendar import Clock
from cheaprouter.core.events import (
    BudgetReached,
    BudgetWarning,
    FallbackUsed,
    ProviderDown,
    ProviderUp,
    RateLimited,
    RequestCompleted,
    SettingsChanged,
)
from cheaprouter.mqtt.inbox import AT_ONCE, Inbox
from cheaprouter.mqtt.messages import KEEP_AT_MOST, Incoming
from cheaprouter.mqtt.pacing import Once
from cheaprouter.mqtt.publisher import Publisher
from cheaprouter.mqtt.retained import Memory
from tests.builders import NOON
from tests.builders_house import completed


@pytest.fixture
def publisher(home):
    return Publisher(MqttSettings("b"), home.control, Memory(None), Clock(), lambda when: None)


@pytest.mark.parametrize(
    "event",
    [
        RateLimited("stranger", "requests", float("inf"), NOON),
        RateLimited("stranger", "requests", 1e20, NOON),
        RateLimited("stranger", "requests", None, NOON),
        BudgetReached("stranger", "daily", Decimal(1), Decimal("Infinity"), "refuse", NOON),
        BudgetWarning(None, "monthly", Decimal("1e30"), Decimal(0), 0.0, NOON),
        FallbackUsed("stranger", "a/b", "c/d", "x" * 100_000, NOON),
        ProviderDown("\N{PILE OF POO}", "timeout", float("inf"), NOON),
        ProviderUp("p", float("nan"), NOON),
        SettingsChanged("stranger", ("rpm",)),
        completed("stranger", latency_ms=float("nan"), first_token_ms=float("-inf")),
    ],
)
async def test_no_event_is_too_odd(publisher, event):
    (publisher.on_request if isinstance(event, RequestCompleted) else publisher.on_event)(event)
    sent = []

    async def send(message):
        sent.append(message)

    await publisher.open(send, "b:1883")
    assert "cheaprouter/status" in [m.topic for m in sent]


async def test_nothing_is_kept_of_events_of_strangers(publisher, home):
    home.add("kitchen")
    for number in range(5000):
        publisher.on_event(RateLimited(f"stranger {number}", "requests", 1.0, NOON))
    assert publisher._sender.limit_resets == {}
    assert list(publisher._states._due) == []
    assert len(publisher.outbox) == KEEP_AT_MOST


async def test_many_devices_are_not_gone_through_with_each_request(publisher, home, monkeypatch):
    for number in range(300):
        home.add(f"d{number}")
    asked = []
    monkeypatch.setattr(home.control.accounts.known, "recent", lambda: asked.extend(range(300)) or [])
    monkeypatch.setattr(type(publisher._places), "__iter__", lambda places: asked.extend(range(300)) or iter(()))
    for number in range(4000):
        publisher.on_request(completed(f"d{number % 300}"))
    assert asked == []


async def test_questions_beyond_a_few_are_told_to_wait_and_none_piles_up(publisher, home):
    inbox = Inbox(MqttSettings("b"), home.control, home.gateway, publisher, Clock(), Once(None))
    for _ in range(1000):
        inbox.take(Incoming("cheaprouter/request/health", b""))
    assert len(inbox._jobs) == AT_ONCE
    assert len(publisher.outbox) == KEEP_AT_MOST
    await inbox.close()


async def test_a_state_asks_for_no_list_of_all_devices(publisher, home, monkeypatch):
    home.add("kitchen")
    sent = []

    async def send(message):
        sent.append(message.topic)

    await publisher.open(send, "b:1883")
    sent.clear()
    monkeypatch.setattr(home.control, "device_ids", lambda: 1 / 0)
    home.control.set_device("kitchen", "rpm", 5)
    publisher.on_event(SettingsChanged("kitchen", ("rpm",)))
    await publisher.flush(send)
    assert sent == ["cheaprouter/device/kitchen/state"]
