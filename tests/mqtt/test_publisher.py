"""What the publisher notes of events: whatever they hold, however many, wherever from."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
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
from cheaprouter.mqtt import sender
from cheaprouter.mqtt.inbox import AT_ONCE, Inbox
from cheaprouter.mqtt.messages import KEEP_AT_MOST, Incoming
from cheaprouter.mqtt.pacing import Once
from cheaprouter.mqtt.publisher import BATCH, REFRESH_SECONDS, Publisher
from cheaprouter.mqtt.retained import HUB, Memory
from tests.builders import NOON, HandClock
from tests.builders_house import completed


@pytest.fixture
def hand(home, monkeypatch):
    hand = HandClock()
    monkeypatch.setattr(home.control.accounts, "clock", hand.clock())
    return hand


class Broker:
    """Takes every message, and knows when the publisher wants to be woken."""

    def __init__(self):
        self.sent, self.wakes = [], []

    async def send(self, message):
        self.sent.append(message.topic)

    def taken(self):
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def make(home, hand, broker):
    def make(**settings):
        return Publisher(MqttSettings("b", **settings), home.control, Memory(None), hand.clock(), broker.wakes.append)

    return make


@pytest.fixture
def publisher(make):
    return make()


@pytest.fixture(autouse=True)
def no_gap(monkeypatch):
    monkeypatch.setattr(sender, "GAP_SECONDS", 0)


def device(slug, part="state"):
    return f"cheaprouter/device/{slug}/{part}"


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


async def test_nothing_is_kept_of_requests_that_no_device_with_a_place_made(make, home, hand, broker):
    await home.serve("kitchen")
    publisher = make(max_devices=1)
    await home.serve("tablet")
    await publisher.open(broker.send, "b:1883")
    for number in range(100):
        publisher.on_request(completed(f"stranger {number}"))
        publisher.on_request(completed("tablet"))
    hand.later(1)
    while publisher.next_due() <= hand():
        await publisher.flush(broker.send)
    noted = (publisher._states._due, publisher._states._last, publisher._active, publisher._sender.speed)
    assert set().union(*noted) == {HUB}


async def test_many_devices_are_not_gone_through_with_each_request(publisher, home, monkeypatch):
    for number in range(300):
        home.control.accounts.known.restore(f"d{number}", 1, 1)
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


async def test_a_request_of_a_device_that_is_marked_wakes_nobody(publisher, home, broker):
    home.add("kitchen")
    await publisher.open(broker.send, "b:1883")
    broker.wakes.clear()
    for _ in range(100):
        publisher.on_request(completed("kitchen"))
    assert len(broker.wakes) == 1


async def test_the_state_after_the_first_request_comes_at_once_and_the_next_an_interval_later(
    publisher, home, hand, broker
):
    home.add("kitchen")
    await publisher.open(broker.send, "b:1883")
    came = []
    for step in range(400):
        if step % 10 == 0:
            await home.serve("kitchen")
            publisher.on_request(completed("kitchen", stream=False))
        hand.later(0.05)
        if hand() >= publisher.next_due():
            broker.taken()
            await publisher.flush(broker.send)
            came += [step * 0.05] if device("kitchen") in broker.sent else []
    assert came == pytest.approx([0.05, 10.05], abs=0.1)


async def test_a_mark_of_one_device_leaves_no_later_request_of_it_out_of_the_hubs_figures(
    publisher, home, hand, broker
):
    await publisher.open(broker.send, "b:1883")
    for name in ("kitchen", "tablet"):
        await home.serve(name)
        publisher.on_request(completed(name))
        hand.later(5)
        await publisher.flush(broker.send)
    await home.serve("kitchen")
    publisher.on_request(completed("kitchen"))
    for _ in range(3):
        hand.later(5)
        await publisher.flush(broker.send)
    broker.taken()
    await home.serve("kitchen")
    publisher.on_request(completed("kitchen"))
    for _ in range(3):
        hand.later(5)
        await publisher.flush(broker.send)
    assert "cheaprouter/state" in broker.sent


async def test_of_ten_thousand_devices_only_those_that_asked_are_looked_at(make, home, hand, broker, monkeypatch):
    known = home.control.accounts.known
    known.most = 20_000
    for number in range(10_000):
        known.restore(f"d{number}", 1, 1)
    publisher = make(max_devices=10_000)
    asked = []
    monkeypatch.setattr(publisher._sender, "_device", lambda device_id: asked.append(device_id) or ({}, {}))
    for device_id in ("d1", "d5000", "d9999"):
        publisher.on_request(completed(device_id))
    hand.later(1)
    await publisher.flush(broker.send)
    assert asked == ["d1", "d5000", "d9999"]


async def test_without_events_only_what_was_active_lately_is_compared_anew(publisher, home, hand, broker, monkeypatch):
    home.add("kitchen")
    home.add("attic")
    await publisher.open(broker.send, "b:1883")
    hand.later(300)
    await publisher.flush(broker.send)
    asked = []
    monkeypatch.setattr(publisher._sender, "_device", lambda device_id: asked.append(device_id) or ({}, {}))
    publisher.on_request(completed("kitchen"))
    for _ in range(10):
        hand.later(REFRESH_SECONDS)
        await publisher.flush(broker.send)
    assert set(asked) == {"kitchen"}
    assert 4 <= len(asked) <= 6


async def test_a_limit_that_refills_is_shown_without_a_request(publisher, home, hand, broker):
    home.add("kitchen", rpm=2)
    await publisher.open(broker.send, "b:1883")
    await home.serve("kitchen")
    publisher.on_request(completed("kitchen"))
    hand.later(1)
    await publisher.flush(broker.send)
    broker.taken()
    hand.later(60)
    await publisher.flush(broker.send)
    assert broker.taken() == [device("kitchen")]


async def test_a_new_day_is_shown_by_all(publisher, home, hand, broker):
    home.add("kitchen")
    await home.serve("kitchen")
    await publisher.open(broker.send, "b:1883")
    hand.later(600)
    await publisher.flush(broker.send)
    broker.taken()
    hand.later(days=1)
    asked = []
    publisher._sender._device = lambda device_id: asked.append(device_id) or ({}, {})
    await publisher.flush(broker.send)
    assert asked == ["kitchen"]


async def test_an_event_does_not_wait_until_all_are_announced(make, home, broker):
    for number in range(3 * BATCH):
        home.add(f"d{number}")
    publisher = make()
    opening = asyncio.create_task(publisher.open(broker.send, "b:1883"))
    while len(broker.sent) < 2:
        await asyncio.sleep(0)
    publisher.on_event(RateLimited("d1", "requests", 1.0, NOON))
    await opening
    assert (
        broker.sent.index(device("d1", "event")) < 4 * BATCH
    )  # a batch of devices: state, details and availability of each


async def test_online_is_said_first_and_every_state_before_the_first_announcement(make, home, broker):
    for number in range(3 * BATCH):
        home.add(f"d{number}")
    await make().open(broker.send, "b:1883")
    announced = [n for n, topic in enumerate(broker.sent) if topic.endswith("/config")]
    assert len(announced) == 3 * BATCH + 1
    assert broker.sent[0] == "cheaprouter/status"
    assert not [topic for topic in broker.sent[announced[0] :] if topic.endswith(("/state", "/availability"))]


async def test_what_is_kept_of_a_device_is_small(make, home, broker):
    known = home.control.accounts.known
    known.most = 300
    for number in range(300):
        known.restore(f"device-{number}", 1, 1)
    publisher = make(max_devices=300)
    tracemalloc.start()
    try:
        await publisher.open(broker.send, "b:1883")
        broker.taken()
        gc.collect()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept <= 550 * 300
    assert peak - kept <= 2_000_000
