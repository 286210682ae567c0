from __future__ import annotations

import asyncio
import gc
import logging
import socket
from decimal import Decimal
from pathlib import Path

import aiomqtt
import orjson
import pytest

from cheaprouter.config.settings import MqttSettings
from cheaprouter.core.events import BudgetReached, DeviceRemoved, RateLimited
from cheaprouter.mqtt import shown
from cheaprouter.mqtt.connection import Connector
from cheaprouter.mqtt.embedded import embedded_broker
from cheaprouter.mqtt.messages import Outgoing, encode
from cheaprouter.mqtt.retained import HUB
from tests.builders import NOON, free_port, until
from tests.builders_house import completed
from tests.fakes.mosquitto import mosquitto, watching

ACL = """
user router
topic readwrite cheaprouter/#
topic write homeassistant/device/#
topic read homeassistant/status
user watcher
topic readwrite #
"""
USERS = {"router": "router-pw", "watcher": "watcher-pw"}


async def test_state_and_status_are_retained_and_say_online(broker, run):
    async with run(broker) as running, watching(broker.port) as seen:
        await seen.online()
        state = orjson.loads(seen.retained["cheaprouter/state"])
        assert state == orjson.loads(encode(shown.state(running.home.control, None)))
        await until(lambda: running.bridge.state == "connected")  # a moment after the broker has heard it


async def test_a_clean_stop_publishes_offline(broker, run):
    async with watching(broker.port) as seen:
        async with run(broker):
            await seen.until(lambda: b"online" in seen.on("cheaprouter/status"))
        await seen.until(lambda: seen.on("cheaprouter/status")[-1] == b"offline")


async def test_a_cancelled_bridge_still_says_offline(broker, run):
    async with watching(broker.port) as seen, run(broker) as running:
        await seen.until(lambda: b"online" in seen.on("cheaprouter/status"))
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
        await seen.until(lambda: seen.on("cheaprouter/status")[-1] == b"offline")


async def test_it_connects_once_the_broker_appears(tmp_path, run):
    async with mosquitto(tmp_path / "b") as broker:
        await broker.stop()
        async with run(broker) as running:
            await until(lambda: running.bridge.state == "disconnected")
            await broker.start()
            await until(lambda: running.bridge.state == "connected")


async def test_what_changed_while_the_broker_was_away_is_there_afterwards(broker, run):
    async with run(broker) as running:
        await until(lambda: running.bridge.state == "connected")
        await broker.kill()
        await until(lambda: running.bridge.state == "disconnected")
        await running.home.serve("kitchen")
        running.home.bus.publish(RateLimited("kitchen", "requests", 7.0, NOON))
        async with asyncio.timeout(10):
            await broker.start()
            async with watching(broker.port) as seen:
                await seen.until(lambda: seen.retained.get("cheaprouter/device/kitchen/state"))
                await seen.online()
        assert orjson.loads(seen.retained["cheaprouter/device/kitchen/state"])["requests"] == 1


async def test_an_event_told_while_the_broker_was_away_arrives_once_it_is_back(tmp_path, run, home):
    async with mosquitto(tmp_path / "b", persistence=True) as broker:
        subscriber = aiomqtt.Client("127.0.0.1", broker.port, identifier="lasting", clean_session=False)
        async with subscriber:
            await subscriber.subscribe("cheaprouter/event", qos=1)
        home.add("kitchen")
        async with run(broker) as running:
            await until(lambda: running.bridge.state == "connected")
            await broker.stop()
            await until(lambda: running.bridge.state == "disconnected")
            home.bus.publish(RateLimited("kitchen", "requests", 7.0, NOON))
            await broker.start()
            async with aiomqtt.Client("127.0.0.1", broker.port, identifier="lasting", clean_session=False) as client:
                async with asyncio.timeout(10):
                    message = await anext(client.messages)
        assert orjson.loads(message.payload)["event_type"] == "rate_limited"


async def test_a_day_without_a_broker_keeps_a_bounded_number_of_events(run, home):
    home.add("kitchen")
    async with run(free_port()) as running:
        await until(lambda: running.bridge.state == "disconnected")
        for _ in range(5000):
            home.bus.publish(RateLimited("kitchen", "requests", 7.0, NOON))
            home.bus.publish(completed("kitchen"))
        assert len(running.bridge._publisher.outbox) == 256
        assert running.bridge._publisher.outbox.dropped == 2 * 5000 - 256


async def test_callers_that_are_no_devices_do_not_pile_up_while_the_broker_is_away(run, home):
    async with run(free_port()) as running:
        await until(lambda: running.bridge.state == "disconnected")
        for number in range(5000):
            home.bus.publish(completed(f"stranger {number}"))
            home.bus.publish(DeviceRemoved(f"gone {number}"))
        publisher = running.bridge._publisher
        assert kept_of_devices(publisher) == {HUB}


def kept_of_devices(publisher):
    """All devices' ids that anything is noted of."""
    parts = (publisher._states._due, publisher._states._last, publisher._states._touched, publisher._active,
             publisher._announcements._due, publisher._sender.speed, publisher._sender.limit_resets,
             publisher._sender._sent, publisher._gone, publisher._places)  # fmt: skip
    return set().union(*parts)


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_request_is_not_told_to_anyone_while_no_broker_is_connected(run, home, enabled):
    async with run(free_port(), mqtt={"enabled": enabled}) as running:
        await until(lambda: hasattr(running.bridge, "_publisher"))
        if enabled:
            await until(lambda: running.bridge.state == "disconnected")
        for _ in range(3):
            await home.serve("kitchen")
        home.bus.publish(completed("kitchen"))
        assert "kitchen" not in running.bridge._publisher._states
        assert HUB not in running.bridge._publisher._states


async def test_nothing_is_kept_for_a_broker_where_mqtt_is_off(run, home):
    async with run(free_port(), mqtt={"enabled": False}) as running:
        await until(lambda: hasattr(running.bridge, "_publisher"))
        home.bus.publish(RateLimited("kitchen", "requests", 7.0, NOON))
        assert len(running.bridge._publisher.outbox) == 0


async def test_an_answer_that_is_ready_at_the_stop_is_still_sent(broker, run):
    async with watching(broker.port) as seen, run(broker) as running:
        await until(lambda: running.bridge.state == "connected")
        running.bridge._publisher.say(Outgoing("cheaprouter/response/x", b"last"))
        await running.bridge.stop()
        await seen.until(
            lambda: seen.on("cheaprouter/response/x") and seen.on("cheaprouter/status")[-1:] == [b"offline"]
        )


async def test_a_wiped_broker_gets_everything_again(tmp_path, run, home):
    home.add("kitchen")
    async with mosquitto(tmp_path / "b", persistence=True) as broker, run(broker) as running:
        await until(lambda: running.bridge.state == "connected")
        await broker.stop()
        broker.wipe()
        await broker.start()
        async with watching(broker.port) as seen:
            await seen.online()
        assert len([t for t in seen.retained if t.endswith("/config")]) == 2
        assert seen.retained["cheaprouter/device/kitchen/availability"] == b"online"


async def test_the_last_will_says_offline_when_the_connection_dies(broker, run):
    async with watching(broker.port) as seen, Proxy(broker.port) as proxy, run(proxy.port):
        await seen.online()
        proxy.drop()
        await seen.until(lambda: seen.on("cheaprouter/status")[2:4] == [b"offline", b"online"])


async def test_a_stop_does_not_wait_for_a_broker_that_never_answers(run):
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server, run(server.sockets[0].getsockname()[1], timeout=3600.0) as running:
        await until(lambda: running.bridge.state == "connecting")
        async with asyncio.timeout(5):
            await running.bridge.stop()


async def test_a_half_open_connection_is_noticed_and_replaced(broker, run):
    async with Proxy(broker.port) as proxy, run(proxy.port, timeout=0.3) as running:
        await until(lambda: running.bridge.state == "connected")
        proxy.swallow()
        await running.home.serve("kitchen")
        async with watching(broker.port) as seen:
            await seen.until(lambda: seen.retained.get("cheaprouter/device/kitchen/state"))


async def test_a_broker_that_only_speaks_the_older_protocol_gets_it(run, home):
    async with embedded_broker(0) as port, run(port, timeout=0.5) as running:
        await until(lambda: running.bridge.state == "connected")
        assert running.bridge._connector.speaks is aiomqtt.ProtocolVersion.V311
        async with watching(port, "cheaprouter/#", protocol=aiomqtt.ProtocolVersion.V311) as seen:
            await seen.online()


async def test_a_broker_that_hangs_up_on_the_newer_protocol_gets_the_older(run):
    versions: list[int] = []

    async def old_broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packet = await reader.read(500)
        versions.append(packet[packet.index(b"MQTT") + 4])
        if versions[-1] == 5:
            writer.close()
            return
        writer.write(b"\x20\x02\x00\x00")
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(old_broker, "127.0.0.1", 0)
    async with server, run(server.sockets[0].getsockname()[1], timeout=0.5):
        await until(lambda: versions[:2] == [5, 4])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400\r\n\r\n",
        bytes(range(256)) * 16,
        b"\x20\x02\x00\x00" + b"\xff" * 3000,
        b"\x20\x03\x00\x00\x00\x30\xff\xff\xff\x7f",
        b"\x20\x03\x00\x00\x00\x30\x05\x00\xff\xff\xff\xff",
    ],
    ids=["web-server", "bytes", "older-then-garbage", "endless-message", "topic-beyond-the-packet"],
)
async def test_what_is_no_broker_leaves_no_failure_that_nobody_looked_at(run, answer):
    tries = 0
    unseen: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    async def no_broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await reader.read(500)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(no_broker, "127.0.0.1", 0)
    async with server, run(server.sockets[0].getsockname()[1], timeout=0.5):
        await until(lambda: tries > 3)
    gc.collect()
    assert [context for context in unseen if "never retrieved" in context["message"]] == []


async def test_an_attempt_may_be_given_up_while_the_broker_hangs_up():
    unseen: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = MqttSettings("127.0.0.1", listener.getsockname()[1])
        attempt = asyncio.create_task(Connector("me", 60, 30.0).connect(broker, Outgoing("status", b"")).__aenter__())
        connection, _ = await asyncio.to_thread(listener.accept)
        await asyncio.to_thread(connection.recv, 500)
        connection.close()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    assert unseen == []


async def test_it_speaks_tls_and_logs_in(tmp_path, run):
    async with mosquitto(tmp_path / "b", users=USERS, acl=ACL, tls=True) as broker:
        options = {"port": broker.tls_port, "host": "localhost", "tls": True, "ca_file": str(broker.ca)}
        login = {"username": "router", "password": "router-pw"}
        async with run(broker, mqtt=options | login):
            async with watching(broker.port, "cheaprouter/#", "watcher", "watcher-pw") as seen:
                await seen.online()


# paho leaves the socket of a failed handshake to the collector
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
async def test_an_unknown_authority_is_refused_unless_insecure(tmp_path, run):
    async with mosquitto(tmp_path / "b", tls=True) as broker:
        async with run(broker, mqtt={"port": broker.tls_port, "tls": True}) as running:
            await until(lambda: running.bridge.state == "disconnected")
        async with run(broker, mqtt={"port": broker.tls_port, "tls": True, "tls_insecure": True}) as running:
            await until(lambda: running.bridge.state == "connected")


async def test_a_wrong_password_is_said_once_and_without_the_password(tmp_path, run, caplog):
    async with mosquitto(tmp_path / "b", users=USERS) as broker:
        async with run(broker, mqtt={"username": "router", "password": "wrong-password"}) as running:
            await until(lambda: running.bridge._backoff._failures > 3)
            assert running.bridge.state in {"unauthorized", "connecting"}
    said = [r.getMessage() for r in caplog.records if "No connection" in r.getMessage()]
    assert len(said) == 1
    assert "Not authorized" in said[0]
    assert "wrong-password" not in caplog.text


async def test_a_publish_that_the_acl_denies_is_logged_clearly(tmp_path, run, caplog):
    acl = ACL.replace("topic write homeassistant/device/#\n", "")
    async with mosquitto(tmp_path / "b", users=USERS, acl=acl) as broker:
        async with run(broker, mqtt={"username": "router", "password": "router-pw"}) as running:
            await until(lambda: running.bridge.state == "connected")
    said = [r.getMessage() for r in caplog.records if "refuses what we publish" in r.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("The MQTT broker refuses what we publish on homeassistant/device/cheaprouter_")
    assert "Not authorized" in said[0]


async def test_the_least_rights_are_enough(tmp_path, run, home, caplog):
    caplog.set_level(logging.WARNING)
    home.add("kitchen")
    async with mosquitto(tmp_path / "b", users=USERS, acl=ACL) as broker:
        async with run(broker, mqtt={"username": "router", "password": "router-pw"}) as running:
            await until(lambda: running.bridge.state == "connected")
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_credentials_are_asked_for_at_each_connection(tmp_path, run):
    asked = []
    async with mosquitto(tmp_path / "b", users=USERS) as broker:

        async def credentials() -> MqttSettings:
            asked.append("good" if asked else "bad")
            return MqttSettings(
                "127.0.0.1", broker.port, username="router", password=f"{USERS['router']}" if len(asked) > 1 else "x"
            )

        async with run(broker, mqtt={"host": ""}, credentials=credentials) as running:
            await until(lambda: running.bridge.state == "connected")
    assert asked == ["bad", "good"]


async def test_without_a_broker_it_is_disabled_and_can_be_stopped(run):
    async with run(1, mqtt={"host": ""}) as running:
        await until(lambda: not running.bridge._ended.is_set())
        assert running.bridge.state == "disabled"


async def test_other_settings_are_taken_while_running(broker, tmp_path, run):
    async with watching(broker.port) as seen, run(broker) as running:
        await seen.online()
        running.bridge.reconfigure(MqttSettings("127.0.0.1", broker.port, base_topic="other"))
        await seen.online("other")
        await seen.until(lambda: not [t for t in seen.retained if t.startswith("cheaprouter/")])


async def test_an_event_reaches_hub_and_device_and_is_not_retained(broker, run, home):
    home.add("kitchen")
    async with run(broker) as running, watching(broker.port) as seen:
        await until(lambda: running.bridge.state == "connected")
        home.bus.publish(BudgetReached("kitchen", "daily", Decimal(1), Decimal(1), "refuse", NOON))
        await seen.until(lambda: seen.on("cheaprouter/device/kitchen/event"))
        assert seen.on("cheaprouter/event") == seen.on("cheaprouter/device/kitchen/event")
        assert not any(m.retain for m in seen.seen if str(m.topic).endswith("/event"))


class Proxy:
    """Forwards to the broker until told to swallow everything, as a cut cable does."""

    def __init__(self, to: int) -> None:
        self._to, self._cut, self._tasks = to, False, set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._connections: list[list[bool]] = []
        self._writers: list[asyncio.StreamWriter] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def swallow(self) -> None:
        for connection in self._connections:
            connection[0] = False

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        open_ = [True]
        self._connections.append(open_)
        self._writers.append(writer)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                if open_[0]:
                    sink.write(data)

        try:
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        except OSError:
            pass
        finally:
            writer.close()
            up_writer.close()


async def test_the_embedded_broker_takes_and_gives(tmp_path: Path):
    async with embedded_broker(0) as port:
        async with watching(port, "x/#", protocol=aiomqtt.ProtocolVersion.V311) as seen:
            async with aiomqtt.Client("127.0.0.1", port) as client:
                await client.publish("x/y", b"1", qos=1, retain=True)
            await seen.until(lambda: seen.retained.get("x/y") == b"1")
