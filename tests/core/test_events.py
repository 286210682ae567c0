from __future__ import annotations

import logging

import pytest

from cheaprouter.core.events import DeviceAdded, EventBus, ModelsChanged


@pytest.fixture
def bus():
    return EventBus()


def raising(_event):
    raise ZeroDivisionError


def test_every_listener_is_told(bus):
    heard, queue = [], bus.subscribe()
    bus.on(heard.append)
    bus.publish(ModelsChanged())
    assert heard == queue.drain() == [ModelsChanged()]


def test_a_raising_listener_reaches_neither_the_publisher_nor_the_others(bus):
    heard, queue = [], bus.subscribe()
    bus.on(raising)
    bus.on(heard.append)
    bus.publish(ModelsChanged())
    assert heard == queue.drain() == [ModelsChanged()]


def test_its_failure_is_logged_once_for_each_kind_of_event(bus, caplog):
    caplog.set_level(logging.ERROR)
    bus.on(raising)
    for event in (ModelsChanged(), ModelsChanged(), DeviceAdded("a"), DeviceAdded("b")):
        bus.publish(event)
    assert [r.getMessage() for r in caplog.records] == [
        "raising could not take in ModelsChanged",
        "raising could not take in DeviceAdded",
    ]


def test_a_listener_may_leave_while_it_is_told(bus):
    heard = []

    def once(event):
        heard.append(event)
        leave()

    leave = bus.on(once)
    bus.on(heard.append)
    bus.publish(ModelsChanged())
    bus.publish(ModelsChanged())
    assert len(heard) == 3


def test_leaving_twice_is_no_mistake(bus):
    leave, queue = bus.on(raising), bus.subscribe()
    for _ in range(2):
        leave()
        queue.close()
    bus.publish(ModelsChanged())
    assert queue.drain() == []


def test_a_full_queue_loses_its_oldest_event_and_counts_it(bus):
    queue = bus.subscribe(limit=2)
    for name in "abc":
        bus.publish(DeviceAdded(name))
    assert [e.device_id for e in queue.drain()] == ["b", "c"]
    assert queue.dropped == 1
