"""Which devices are known, and who makes room: what a call costs does not depend on how many there are."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.accounts.known import MOST_PASSED, KnownDevices
from cheaprouter.config.settings import DeviceSettings
from cheaprouter.core.events import EventBus


class Store(KnownDevices):
    """Known devices with what must be kept and who is busy in sets, and a count of the questions."""

    def __init__(self, most):
        self.kept, self.running, self.asked, self.went = set(), set(), 0, []
        super().__init__(most, EventBus(), self._keep, self.running.__contains__, self.went.append)

    def _keep(self, device_id):
        self.asked += 1
        return device_id in self.kept


def calls(work):
    """How many Python functions something calls."""
    found = 0

    def count(_frame, event, _argument):
        nonlocal found
        found += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def full(most, *, kept=0):
    store = Store(most)
    store.kept.update(f"device {n}" for n in range(kept))
    for n in range(most):
        store.seen(f"device {n}", n)
    return store


@pytest.mark.parametrize("kept", [0, 100])
def test_a_newcomer_costs_the_same_however_many_are_known(kept):
    costs = []
    for most in (200, 5000):
        store = full(most, kept=kept)
        store.has_room()  # those kept are set aside once

        def come(store=store):
            for n in range(50):
                store.has_room()
                store.seen(f"newcomer {n}", 10_000 + n)

        costs.append(calls(come))
        assert len(store) == most
        assert store.went == [f"device {n}" for n in range(kept, kept + 50)]
    assert costs[0] == costs[1]


def test_where_nobody_can_be_forgotten_the_question_is_asked_once_of_each():
    store = full(3000, kept=3000)
    assert not store.has_room()
    before = store.asked
    for _ in range(100):
        assert not store.has_room()
    assert store.asked == before


def test_one_that_need_not_be_kept_any_more_makes_room_in_its_turn():
    store = full(5, kept=5)
    assert not store.has_room()
    store.kept -= {"device 3", "device 1"}
    store.reconsider()
    store.seen("newcomer", 100)
    store.seen("another", 101)
    assert store.went == ["device 1", "device 3"]


def test_devices_that_are_kept_may_be_more_than_there_is_room_for():
    store = full(3, kept=3)
    store.kept.add("printer")
    store.seen("printer", 100)
    assert sorted(store.ids()) == ["device 0", "device 1", "device 2", "printer"]


def test_more_running_than_are_looked_at_are_passed_over_for_the_next_newcomer():
    store = full(MOST_PASSED + 10)
    store.running.update(f"device {n}" for n in range(MOST_PASSED + 5))
    assert [store.has_room(), store.has_room()] == [False, True]


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.booleans()), max_size=80), st.integers(1, 6))
def test_never_more_than_there_is_room_for_and_the_longest_idle_go_first(steps, most):
    store, order = Store(most), []
    for now, (number, keep, run) in enumerate(steps):
        device_id = f"device {number}"
        (store.kept.add if keep else store.kept.discard)(device_id)
        store.reconsider()
        store.running.clear()
        if run:
            store.running.add(random.Random(now).choice(order or [device_id]))
        if device_id not in store and not keep and not store.has_room():
            assert len(store) >= most
            assert all(d in store.kept or d in store.running for d in order)
            continue
        known = device_id in store
        went = len(store.went)
        store.seen(device_id, now)
        order = [d for d in order if d != device_id] + [device_id]
        for gone in store.went[went:]:
            assert not known
            assert gone not in store.kept
            assert gone not in store.running
            order.remove(gone)
        assert sorted(order) == store.ids()
    store.kept.clear()
    store.running.clear()
    store.reconsider()
    store.trim()
    assert len(store) <= most


@pytest.mark.parametrize(
    ("headers", "peer", "counted"),
    [
        ({"x-device-id": "attic"}, "192.168.1.9", "others"),
        ({}, "192.168.1.9", "others"),
        ({"x-device-id": "attic"}, "127.0.0.1", "attic"),
        ({"x-device-id": "attic"}, "::1", "attic"),
        ({"x-device-id": "attic"}, "::ffff:172.30.32.2", "attic"),
        ({"x-device-id": "printer"}, "192.168.1.9", "printer"),
    ],
)
async def test_this_machine_the_supervisor_and_devices_of_the_file_are_never_others(home, headers, peer, counted):
    home = home(max_devices=1, devices={"kitchen": DeviceSettings(rpm=5), "printer": DeviceSettings(rpm=5)})
    assert home.identify(headers, peer).device_id == counted


async def test_a_device_with_a_key_is_never_others(home):
    home = home(max_devices=1, devices={"kitchen": DeviceSettings(rpm=5)}, admin_key="an admin key of the file")
    key = await home.accounts.add_key("attic")
    assert home.identify({"x-api-key": key}, "192.168.1.9").device_id == "attic"
    assert home.identify({"x-api-key": "an admin key of the file", "x-device-id": "den"}, "").device_id == "den"


async def test_at_the_end_only_those_are_written_that_called_since(home):
    home = home()
    for device in ("kitchen", "den"):
        home.ask(device)
    await home.accounts.tend()
    home.later(60)
    home.ask("den")
    written = []
    run = home.database.run

    async def watched(work):
        before = await home.database.read(lambda c: c.total_changes)
        found = await run(work)
        written.append(await home.database.read(lambda c: c.total_changes) - before)
        return found

    home.database.run = watched
    await home.accounts.close()
    assert written == [1]


async def test_thousands_of_new_devices_are_written_some_at_a_time(home):
    home = home(max_devices=10_000)
    home.accounts.known.register(f"device {n}" for n in range(2500))
    counts = []
    for _ in range(3):
        await home.accounts.tend()
        counts.append(await home.database.read(lambda c: c.execute("SELECT count(*) FROM device").fetchone()[0]))
    assert counts == [1000, 2000, 2500]
