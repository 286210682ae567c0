from __future__ import annotations

import asyncio

import orjson
import pytest

from cheaprouter.config.settings import MqttSettings
from cheaprouter.core.calendar import Clock
from cheaprouter.core.errors import InvalidRequestError
from cheaprouter.core.events import RateLimited
from cheaprouter.core.models import Caller
from cheaprouter.home_assistant.topics import Topics
from cheaprouter.mqtt import publisher as publisher_module
from cheaprouter.mqtt.publisher import Publisher
from cheaprouter.mqtt.retained import Memory, Retained
from tests.builders import NOON
from tests.builders_house import completed, lab, make_house
from tests.fakes.mosquitto import watching

HUB = "homeassistant/device/cheaprouter_0123456789ab/config"
KITCHEN = "homeassistant/device/cheaprouter_0123456789ab_kitchen/config"


def device_config(slug):
    return f"homeassistant/device/cheaprouter_0123456789ab_{slug}/config"


def of_device(slug):
    return {
        device_config(slug),
        *(f"cheaprouter/device/{slug}/{part}" for part in ("state", "details", "availability")),
    }


def ours(seen):
    return {t for t in seen.retained if t.startswith(("cheaprouter/", "homeassistant/"))}


async def test_the_order_is_status_states_availability_hub_devices(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
    topics = [str(m.topic) for m in seen.seen]
    wanted = ["cheaprouter/status", "cheaprouter/state", "cheaprouter/device/kitchen/state", "cheaprouter/device/kitchen/availability", HUB, KITCHEN]  # fmt: skip
    assert [t for t in topics if t in wanted][:6] == wanted


async def test_a_device_appears_with_its_first_request(broker, run, home):
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        await home.serve("kitchen")
        await seen.until(lambda: KITCHEN in seen.retained)
        assert orjson.loads(seen.retained[KITCHEN])["dev"]["name"] == "kitchen"
        assert len(seen.on(KITCHEN)) == 1


async def test_devices_are_not_announced_where_that_is_switched_off(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.until(lambda: KITCHEN in seen.retained)
        async with run(broker, mqtt={"device_discovery": False}):
            await seen.until(lambda: KITCHEN not in seen.retained)
            assert HUB in seen.retained
            assert "cheaprouter/device/kitchen/state" in seen.retained


async def test_devices_beyond_the_number_have_no_topics_and_count_in_the_hubs_figures(broker, run, home):
    async with watching(broker.port) as seen, run(broker, mqtt={"max_devices": 2}):
        await seen.online()
        for name in ("a", "b", "c"):
            await home.serve(name)
            home.bus.publish(RateLimited(name, "requests", 7.0, NOON))
        await seen.until(lambda: b'"requests":3' in seen.retained["cheaprouter/state"])
        await seen.until(lambda: len(seen.on("cheaprouter/event")) == 3)
        await seen.until(lambda: {device_config("a"), device_config("b")} <= seen.retained.keys())
        assert not [str(m.topic) for m in seen.seen if "/c/" in str(m.topic) or "_c/" in str(m.topic)]
        assert seen.on("cheaprouter/device/a/event") != []
    assert home.control.device_ids() == ["a", "b", "c"]


async def test_a_device_that_loses_its_place_leaves_nothing_behind_and_comes_back_whole(broker, run, home):
    home.control.accounts.known.register(("a",))
    home.control.accounts.known.seen("b", 1)
    async with watching(broker.port) as seen, run(broker, mqtt={"max_devices": 1}):
        await seen.online()
        assert {t for t in ours(seen) if "/b/" in t or "_b/" in t} == of_device("b")
        home.add("a")
        await seen.until(lambda: of_device("a") <= ours(seen))
        await seen.until(lambda: not [t for t in ours(seen) if "/b/" in t or "_b/" in t])
        home.add("b")
        await seen.until(lambda: of_device("a") | of_device("b") <= ours(seen))


async def test_who_was_announced_keeps_the_place_over_a_restart(broker, run, home):
    for name in ("a", "b"):
        await home.serve(name)
    async with watching(broker.port) as seen:
        async with run(broker, mqtt={"max_devices": 1}):
            await seen.until(lambda: of_device("b") <= ours(seen))
        await home.serve("a")
        before = len(seen.seen)
        async with run(broker, mqtt={"max_devices": 1}):
            await seen.until(lambda: seen.on("cheaprouter/status")[3:] == [b"online", b"online"])
        assert not [m for m in seen.seen[before:] if "/a/" in str(m.topic)]
        async with run(broker, mqtt={"max_devices": 2}):
            await seen.until(lambda: of_device("a") | of_device("b") <= ours(seen))


async def test_fewer_places_take_the_topics_of_the_rest_away(broker, run, home):
    for name in ("a", "b", "c"):
        await home.serve(name)
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.until(lambda: of_device("a") | of_device("b") | of_device("c") <= ours(seen))
        async with run(broker, mqtt={"max_devices": 1}):
            await seen.until(lambda: not (of_device("a") | of_device("b")) & ours(seen))
            assert of_device("c") <= ours(seen)


async def test_without_discovery_nothing_is_announced(broker, run, home):
    async with watching(broker.port) as seen, run(broker, mqtt={"discovery": False}):
        await seen.online()
        assert not [t for t in seen.retained if t.startswith("homeassistant/")]


async def test_a_renamed_device_is_announced_by_its_new_name(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        home.rename("kitchen", "Kitchen panel")
        await seen.until(lambda: b'"name":"Kitchen panel"' in seen.retained[KITCHEN])


async def test_a_removed_device_leaves_nothing_behind(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        home.remove("kitchen")
        await seen.until(lambda: not [t for t in ours(seen) if "kitchen" in t])


async def test_a_device_that_was_removed_while_we_were_away_is_cleaned_up(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.online()
        home.remove("kitchen")
        async with run(broker):
            await seen.until(lambda: not [t for t in ours(seen) if "kitchen" in t])


async def test_another_base_topic_leaves_nothing_under_the_old_one(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.online()
        async with run(broker, mqtt={"base_topic": "home/llm"}):
            await seen.online("home/llm")
            await seen.until(lambda: not [t for t in seen.retained if t.startswith("cheaprouter/")])
            assert orjson.loads(seen.retained[KITCHEN])["state_topic"] == "home/llm/device/kitchen/state"
        assert b"" not in seen.on(KITCHEN)


async def test_another_discovery_prefix_leaves_nothing_under_the_old_one(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.online()
        async with run(broker, mqtt={"discovery_prefix": "ha"}):
            await seen.until(lambda: KITCHEN.replace("homeassistant", "ha") in seen.retained)
            await seen.until(lambda: not [t for t in seen.retained if t.startswith("homeassistant/")])


async def test_what_is_published_is_written_down_before_it_is_sent(home, tmp_path):
    home.add("kitchen")
    memory = Memory(tmp_path / "m.json")
    publisher = Publisher(MqttSettings("b"), home.control, memory, Clock(), lambda when: None)

    async def send(message):
        if message.topic == KITCHEN:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await publisher.open(send, "b:1883")
    after_a_crash = Memory(tmp_path / "m.json")
    after_a_crash.load()
    assert after_a_crash.known["kitchen"].slug == "kitchen"
    assert "requests" in after_a_crash.known["kitchen"].components


async def test_a_spoilt_memory_is_said_and_started_over(broker, run, tmp_path, caplog):
    (tmp_path / "mqtt_topics.json").write_bytes(b"{")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
    assert "cannot be used" in caplog.text


async def test_what_the_first_version_wrote_down_is_understood(broker, run, home, tmp_path):
    home.add("kitchen")
    place = {"broker": f"127.0.0.1:{broker.port}", "base": "old", "prefix": "ha"}
    known = {
        "": {"slug": None, "discovery_id": "cheaprouter_0123456789ab", "components": {"requests": "sensor"}},
        "kitchen": {"slug": "kitchen", "discovery_id": "cheaprouter_0123456789ab_kitchen", "components": {}},
    }
    (tmp_path / "mqtt_topics.json").write_bytes(orjson.dumps({"place": place, "known": known}))
    left = ["old/state", "old/device/kitchen/state", KITCHEN.replace("homeassistant", "ha")]
    async with watching(broker.port) as seen:
        for topic in left:
            await seen.client.publish(topic, b"{}", qos=1, retain=True)
        await seen.until(lambda: set(left) <= seen.retained.keys())
        async with run(broker):
            await seen.online()
            await seen.until(lambda: not set(left) & seen.retained.keys())


async def test_another_installation_id_leaves_no_entities_of_the_old_one(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.online()
        home.control.instance_id = "fedcba9876543210fedcba9876543210"
        async with run(broker):
            await seen.until(lambda: KITCHEN.replace("0123456789ab", "fedcba987654") in seen.retained)
            await seen.until(lambda: not {HUB, KITCHEN} & seen.retained.keys())


async def test_devices_with_the_same_components_share_them_also_in_the_file(home, tmp_path):
    for number in range(50):
        home.add(f"d{number}")
    memory = Memory(tmp_path / "m.json")
    publisher = Publisher(MqttSettings("b"), home.control, memory, Clock(), lambda when: None)

    async def send(message):
        pass

    await publisher.open(send, "b:1883")
    assert len({id(known.components) for known in memory.known.values()}) == 2
    assert (tmp_path / "m.json").stat().st_size < 5000
    again = Memory(tmp_path / "m.json")
    again.load()
    assert (again.place, again.known) == (memory.place, memory.known)


async def test_a_provider_that_is_gone_is_taken_out_once_and_then_left_out(broker, run, home, monkeypatch):
    monkeypatch.setattr(publisher_module, "DEBOUNCE_SECONDS", 0.02)
    providers = {"lab": lab(home.upstream.url)}
    await home.reconfigure(providers=providers | {"old": lab(home.upstream.url) | {"models": [{"id": "old/m"}]}})
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        await home.reconfigure(providers=providers)
        await seen.until(lambda: len(seen.on(HUB)) == 3)
        stubs = [orjson.loads(p)["cmps"].get("provider_old") for p in seen.on(HUB)]
        assert stubs[0] is not None
        assert stubs[1:] == [{"p": "sensor"}, None]


async def test_two_instances_share_a_broker(broker, run, home, tmp_path):
    home.add("kitchen")
    async with (
        watching(broker.port) as seen,
        run(broker),
        make_house(tmp_path / "two", instance="fedcba9876543210fedcba9876543210") as other,
    ):
        await seen.online()
        other.add("kitchen")
        async with run(broker, other, mqtt={"base_topic": "second"}, data_dir=tmp_path / "two"):
            await seen.online("second")
            assert len([t for t in seen.retained if t.endswith("/config")]) == 4
            assert seen.retained["cheaprouter/status"] == b"online"
        assert seen.retained["second/status"] == b"offline"


async def test_a_state_that_did_not_change_is_not_published_again(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker) as running:
        await seen.online()
        before = len(seen.seen)
        running.bridge._publisher.refresh(0.0)
        running.bridge._wake.set()
        await home.serve("other")
        await seen.until(lambda: "cheaprouter/device/other/state" in seen.retained)
        assert not [m for m in seen.seen[before:] if "kitchen" in str(m.topic)]


async def test_many_requests_are_few_messages_and_the_last_value_is_there(broker, run, home):
    async with watching(broker.port) as seen, run(broker, mqtt={"interval": 0.2}):
        await seen.online()
        home.add("kitchen")
        began = asyncio.get_running_loop().time()
        for _ in range(200):
            home.gateway.refused(InvalidRequestError("no"), Caller("kitchen"), "")
            await asyncio.sleep(0)
        await seen.until(lambda: b'"requests":200' in seen.retained.get("cheaprouter/device/kitchen/state", b""))
        intervals = (asyncio.get_running_loop().time() - began) / 0.2
        assert len(seen.on("cheaprouter/device/kitchen/state")) <= intervals + 2


async def test_home_assistants_start_gets_everything_again(broker, run, home, monkeypatch):
    monkeypatch.setattr("cheaprouter.mqtt.bridge.BIRTH_DELAY", (0.01, 0.02))
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        await seen.client.publish("homeassistant/status", b"online", qos=1)
        await seen.until(lambda: len(seen.on(KITCHEN)) == 2 and len(seen.on("cheaprouter/device/kitchen/state")) == 2)


async def test_a_command_changes_the_setting_and_shows_it(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        await seen.client.publish("cheaprouter/device/kitchen/rpm/set", b"7", qos=1)
        await seen.until(lambda: b'"rpm":7' in seen.retained["cheaprouter/device/kitchen/state"])


async def test_a_refused_command_shows_the_true_state_again(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        await seen.client.publish("cheaprouter/device/kitchen/rpm/set", b"many", qos=1)
        await seen.until(lambda: len(seen.on("cheaprouter/device/kitchen/state")) == 2)
        assert len(set(seen.on("cheaprouter/device/kitchen/state"))) == 1


async def test_with_commands_off_nothing_can_be_set(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker, mqtt={"commands": False}):
        await seen.online()
        await seen.client.publish("cheaprouter/device/kitchen/rpm/set", b"7", qos=1)
        await seen.client.publish("cheaprouter/request/set_device", b'{"device":"kitchen","rpm":7}', qos=1)
        await seen.until(lambda: seen.on("cheaprouter/response/set_device"))
        assert orjson.loads(seen.on("cheaprouter/response/set_device")[0])["error"]["code"] == "permission_denied"
        assert home.state("kitchen")["rpm"] is None


async def test_reset_today_forgives_the_day_and_keeps_the_month(broker, run, home):
    home.control.set_hub_many({"daily_budget": 1, "monthly_budget": 4})
    home.add("kitchen", daily_budget=1, monthly_budget=2)
    await home.serve("kitchen", "lab/big")

    def percent(topic):
        return orjson.loads(seen.retained[topic])["budget_percent"]

    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        assert (percent("cheaprouter/device/kitchen/state"), percent("cheaprouter/state")) == (18, 18)
        await seen.client.publish("cheaprouter/device/kitchen/reset_today/set", b"PRESS", qos=1)
        await seen.until(lambda: percent("cheaprouter/device/kitchen/state") != 18)
        assert (percent("cheaprouter/device/kitchen/state"), percent("cheaprouter/state")) == (9, 18)
        await seen.client.publish("cheaprouter/reset_today/set", b"PRESS", qos=1)
        await seen.until(lambda: percent("cheaprouter/state") != 18)
        assert (percent("cheaprouter/device/kitchen/state"), percent("cheaprouter/state")) == (9, 4.5)


async def test_the_speed_is_that_of_streams(broker, run, home):
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        home.add("whole")
        home.add("streamed")
        home.bus.publish(completed("whole", stream=False))
        home.bus.publish(completed("streamed", latency_ms=2500.0, first_token_ms=500.0))
        await seen.until(lambda: "cheaprouter/device/streamed/details" in seen.retained)
        await seen.until(lambda: "cheaprouter/device/whole/details" in seen.retained)
    assert orjson.loads(seen.retained["cheaprouter/device/streamed/details"])["tokens_per_second"] == 50.0
    assert orjson.loads(seen.retained["cheaprouter/device/whole/details"])["tokens_per_second"] is None


async def test_that_a_device_is_gone_is_said_again_when_home_assistant_starts(broker, run, home, monkeypatch):
    monkeypatch.setattr("cheaprouter.mqtt.bridge.BIRTH_DELAY", (0.0, 0.0))
    home.add("kitchen")
    async with watching(broker.port) as seen, run(broker):
        await seen.until(lambda: device_config("kitchen") in seen.retained)
        home.remove("kitchen")
        await seen.until(lambda: seen.on(device_config("kitchen"))[-1] == b"")
        await seen.client.publish("homeassistant/status", b"online", qos=1)
        await seen.until(lambda: seen.on(device_config("kitchen"))[-2:] == [b"", b""])


async def test_and_over_a_restart_but_not_once_it_is_back(broker, run, home):
    home.add("kitchen")
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.until(lambda: device_config("kitchen") in seen.retained)
            home.remove("kitchen")
            await seen.until(lambda: seen.on(device_config("kitchen"))[-1] == b"")
        async with run(broker):
            await seen.until(lambda: seen.on(device_config("kitchen"))[-2:] == [b"", b""])
            home.add("kitchen")
            await seen.until(lambda: device_config("kitchen") in seen.retained)
        said = len(seen.on(device_config("kitchen")))
        async with run(broker):
            await seen.until(lambda: len(seen.on(device_config("kitchen"))) > said)
        assert b"" not in seen.on(device_config("kitchen"))[said:]


async def test_after_some_days_nobody_is_told_any_more(home, tmp_path):
    memory = Memory(tmp_path / "topics.json")
    retained = Retained(Topics("cheaprouter", "homeassistant"), home.control, memory, ())
    now, sent = int(home.house.clock.unix()), []

    async def send(message):
        sent.append(message.topic)

    memory.gone = {"long_ago": now - 1, "lately": now + 60}
    await retained.repeat_gone(send)
    assert sent == [device_config("lately")]
    assert list(memory.gone) == ["lately"]
