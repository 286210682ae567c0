from __future__ import annotations

import logging

import orjson
import pytest

from cheaprouter.core.calendar import Clock
from cheaprouter.mqtt import watch
from cheaprouter.mqtt.messages import Incoming
from cheaprouter.mqtt.pacing import Once
from cheaprouter.mqtt.retained import Memory
from cheaprouter.mqtt.watch import Watch
from tests.builders_house import make_house
from tests.fakes.mosquitto import watching

HUB = "homeassistant/device/cheaprouter_0123456789ab/config"
KITCHEN = "homeassistant/device/cheaprouter_0123456789ab_kitchen/config"
STATUS = "cheaprouter/status"
THERE = "cheaprouter/device/kitchen/availability"
STATE = "cheaprouter/device/kitchen/state"
OTHER = b'{"router":"cheaprouter_fedcba987654"}'


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr("cheaprouter.mqtt.publisher.HEAL_SECONDS", 0.01)
    monkeypatch.setattr("cheaprouter.mqtt.publisher.WIPE_SECONDS", 0.2)
    monkeypatch.setattr("cheaprouter.mqtt.publisher.DEBOUNCE_SECONDS", 0.01)


@pytest.fixture
async def seen(broker, run, home, quickly):
    home.add("kitchen")
    async with watching(broker.port) as watcher, run(broker):
        await watcher.online()
        yield watcher


@pytest.mark.parametrize("payload", [b"offline", b"", b"gone"])
@pytest.mark.parametrize("topic", [STATUS, THERE])
async def test_whoever_says_that_we_are_not_there_is_corrected(seen, topic, payload):
    await seen.client.publish(topic, payload, qos=1, retain=True)
    await seen.until(lambda: seen.on(topic)[-2:] == [payload, b"online"])


async def test_what_somebody_emptied_while_we_are_connected_comes_back(seen):
    ours = {topic: payload for topic, payload in seen.retained.items() if topic.startswith("cheaprouter/")}
    for topic in ours:
        await seen.client.publish(topic, b"", qos=1, retain=True)
    await seen.until(lambda: seen.on("cheaprouter/device/kitchen/details")[1:] == [b""])
    await seen.until(lambda: ours.keys() <= seen.retained.keys())


async def test_home_assistants_start_hears_once_more_that_all_are_there(seen, monkeypatch):
    monkeypatch.setattr("cheaprouter.mqtt.bridge.BIRTH_DELAY", (0.0, 0.0))
    before = len(seen.on(STATUS)), len(seen.on(THERE))
    await seen.client.publish("homeassistant/status", b"online", qos=1)
    await seen.until(lambda: len(seen.on(STATUS)) > before[0] and len(seen.on(THERE)) > before[1])


async def test_somebody_who_never_stops_is_corrected_only_so_often(home):
    publisher = Corrected()
    one = Watch(publisher, "us", Clock(), Once(logging.getLogger("t")))
    for _ in range(3):
        assert one.take(Incoming(STATUS, b"offline"))
    assert publisher.healed == [(None, False)] * 3


class Corrected:
    """Notes what it is told."""

    def __init__(self):
        from cheaprouter.home_assistant.topics import Topics

        self.topics = Topics("cheaprouter", "homeassistant")
        self.healed, self.gone, self.repeated = [], [], 0

    def heal(self, slug, *, wiped):
        self.healed.append((slug, wiped))

    def deleted(self, discovery_id):
        self.gone.append(discovery_id)

    def repeat_details(self):
        self.repeated += 1


async def test_a_device_deleted_in_home_assistant_comes_back_with_its_next_request(seen, home):
    home.add("tablet")
    await seen.until(lambda: "cheaprouter/device/tablet/state" in seen.retained)
    await seen.client.publish(KITCHEN, b"", qos=1, retain=True)
    await seen.until(lambda: STATE not in seen.retained and THERE not in seen.retained)
    await home.serve("tablet")
    await seen.until(lambda: b'"requests":1' in seen.retained.get("cheaprouter/device/tablet/state", b""))
    assert KITCHEN not in seen.retained
    await home.serve("kitchen")
    await seen.until(lambda: {KITCHEN, STATE, THERE} <= seen.retained.keys())


async def test_one_that_was_deleted_stays_away_over_a_restart_until_it_asks(broker, run, home, quickly):
    home.add("kitchen")
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.online()
            await seen.client.publish(KITCHEN, b"", qos=1, retain=True)
            await seen.until(lambda: STATE not in seen.retained)
        said = len(seen.seen)
        async with run(broker):
            await seen.until(lambda: [m for m in seen.seen[said:] if str(m.topic) == HUB])
            assert not [m for m in seen.seen[said:] if "kitchen" in str(m.topic) and m.payload]
            await home.serve("kitchen")
            await seen.until(lambda: {KITCHEN, STATE} <= seen.retained.keys())


async def test_one_that_was_deleted_stays_away_for_good_where_that_is_set(broker, run, home, quickly):
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker, mqtt={"deleted_devices": "stay_away"}):
        await seen.online()
        await seen.client.publish(KITCHEN, b"", qos=1, retain=True)
        await seen.until(lambda: STATE not in seen.retained)
        await home.serve("kitchen")
        await home.serve("tablet")
        await seen.until(lambda: "cheaprouter/device/tablet/state" in seen.retained)
        assert KITCHEN not in seen.retained
        assert STATE not in seen.retained


async def test_the_hub_comes_back_with_anybodys_next_request(seen, home):
    await seen.client.publish(HUB, b"", qos=1, retain=True)
    await seen.until(lambda: HUB not in seen.retained)
    await home.serve("kitchen")
    await seen.until(lambda: HUB in seen.retained)


async def test_what_others_announce_is_none_of_our_business(seen):
    before = len(seen.seen)
    await seen.client.publish("homeassistant/device/zigbee_lamp/config", b"{}", qos=1, retain=True)
    await seen.client.publish("homeassistant/device/zigbee_lamp/config", b"", qos=1, retain=True)
    await seen.client.publish("cheaprouter/request/health", b"", qos=1)
    await seen.until(lambda: seen.on("cheaprouter/response/health"))
    topics = {str(m.topic) for m in seen.seen[before:]}
    assert topics == {
        "homeassistant/device/zigbee_lamp/config",
        "cheaprouter/request/health",
        "cheaprouter/response/health",
    }


async def test_two_routers_on_one_base_topic_both_tell(broker, run, home, tmp_path, quickly):
    async with (
        watching(broker.port) as seen,
        run(broker) as mine,
        make_house(tmp_path / "two", instance="fedcba9876543210fedcba9876543210") as other,
    ):
        await seen.online()
        async with run(broker, other, data_dir=tmp_path / "two") as theirs:
            details = "cheaprouter/details"
            await seen.until(lambda: len({orjson.loads(p)["router"] for p in seen.on(details)}) == 2)
            await seen.until(lambda: mine.bridge.problems() and theirs.bridge.problems())
            assert "cheaprouter_fedcba987654" in mine.bridge.problems()[0]
            assert "cheaprouter_0123456789ab" in theirs.bridge.problems()[0]


def rival(payload, **options):
    publisher, now, log = Corrected(), [0.0], logging.getLogger("t")
    one = Watch(publisher, "cheaprouter_0123456789ab", Clock(monotonic=lambda: now[0]), Once(log))
    one.take(Incoming("cheaprouter/details", payload, **options))
    return one, publisher, now


def test_another_router_is_forgotten_once_it_has_been_silent_for_a_while():
    one, _, now = rival(OTHER)
    now[0] = watch.RIVAL_SECONDS
    assert one.problems()
    now[0] += 1
    assert one.problems() == ()


def test_each_goes_on_telling_the_other_that_it_is_there_but_not_all_the_time():
    one, publisher, now = rival(OTHER)
    one.take(Incoming("cheaprouter/details", OTHER))
    assert publisher.repeated == 1
    now[0] = watch.ANSWER_SECONDS
    one.take(Incoming("cheaprouter/details", OTHER))
    assert publisher.repeated == 2


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"{}", b'{"router":5}', b'{"router":"cheaprouter_0123456789ab"}']
)
def test_what_names_no_other_router_is_none(payload):
    one, publisher, _ = rival(payload)
    assert one.problems() == ()
    assert publisher.repeated == 0


def test_what_a_router_left_behind_is_none():
    one, _, _ = rival(OTHER, retain=True)
    assert one.problems() == ()


def test_who_was_deleted_and_what_is_still_to_be_emptied_is_remembered(tmp_path):
    memory = Memory(tmp_path / "m.json")
    memory.load()
    from cheaprouter.mqtt.retained import Place

    memory.place = Place("b:1", "cheaprouter", "homeassistant", "cheaprouter_1")
    memory.deleted["kitchen"] = None
    memory.leaving["old/state"] = None
    memory.save()
    again = Memory(tmp_path / "m.json")
    again.load()
    assert (list(again.deleted), list(again.leaving)) == (["kitchen"], ["old/state"])
