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


def test_each_kind_is_told_to_its_own_listeners_and_to_those_of_all(bus):
    added, all_kinds = [], []
    bus.on(added.append, DeviceAdded)
    assert bus.listeners(ModelsChanged) == ()
    bus.on(all_kinds.append)
    bus.publish(ModelsChanged())
    bus.publish(DeviceAdded("a"))
    assert added == [DeviceAdded("a")]
    assert all_kinds == [ModelsChanged(), DeviceAdded("a")]


def test_who_left_is_no_listener_of_any_kind(bus):
    leave = bus.on(raising)
    assert bus.listeners(ModelsChanged) == (raising,)
    leave()
    assert bus.listeners(ModelsChanged) == ()
