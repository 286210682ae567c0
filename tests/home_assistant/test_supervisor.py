"""Against a real local HTTP server that plays the Supervisor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cheaprouter.config.settings import MqttSettings
from cheaprouter.home_assistant import supervisor as module
from cheaprouter.home_assistant.supervisor import AppInfo, MqttCredentials, Supervisor

BROKER = {
    "host": "core-mosquitto",
    "port": 1883,
    "ssl": False,
    "protocol": "3.1.1",
    "username": "addons",
    "password": "pa55word",
}


@dataclass
class FakeSupervisor:
    """Answers what is put into `answers`; a list is served one by one, its last entry for ever."""

    answers: dict[str, list[web.Response | dict]] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path, request.headers.get("Authorization", "")))
        answers = self.answers.get(request.path, [])
        answer = answers.pop(0) if len(answers) > 1 else answers[0] if answers else {"status": 404}
        if isinstance(answer, dict) and "status" in answer:
            return web.Response(status=answer["status"], text=answer.get("text", ""))
        return web.json_response({"result": "ok", "data": answer})


@dataclass
class House:
    fake: FakeSupervisor
    supervisor: Supervisor
    pauses: list[float]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    fake, pauses = FakeSupervisor(), []
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield House(fake, Supervisor("t0ken", session, base_url=str(server.make_url("/")), sleep=sleep), pauses)


async def test_broker_and_credentials_come_from_the_service(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [BROKER]
    assert await house.supervisor.mqtt() == MqttSettings(
        host="core-mosquitto", port=1883, username="addons", password="pa55word"
    )


async def test_the_token_is_sent_as_bearer(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [BROKER]
    await house.supervisor.mqtt()
    assert house.fake.seen == [("/services/mqtt", "Bearer t0ken")]


async def test_a_broker_with_tls_and_without_login(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [{"host": "broker.lan", "ssl": True}]
    assert await house.supervisor.mqtt() == MqttSettings(host="broker.lan", port=8883, tls=True)


async def test_no_broker_is_none_without_retry_or_complaint(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.fake.answers["/services/mqtt"] = [
        {"status": 400, "text": '{"result":"error","message":"Service not enabled"}'}
    ]
    assert await house.supervisor.mqtt() is None
    assert not house.pauses
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_broker_that_comes_later_is_found(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [{"status": 400}, BROKER]
    assert await house.supervisor.mqtt() is None
    assert (await house.supervisor.mqtt()).host == "core-mosquitto"


async def test_changed_credentials_are_seen(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [BROKER, BROKER | {"password": "new"}]
    assert [(await house.supervisor.mqtt()).password for _ in range(2)] == ["pa55word", "new"]


async def test_a_passing_fault_is_retried(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [{"status": 502}, {"status": 200, "text": "not json"}, BROKER]
    assert (await house.supervisor.mqtt()).host == "core-mosquitto"
    assert house.pauses == [1.0, 3.0]


async def test_a_lasting_fault_is_none_and_said_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.fake.answers["/services/mqtt"] = [{"status": 500}]
    with caplog.at_level(logging.WARNING):
        assert await house.supervisor.mqtt() is None
        assert await house.supervisor.mqtt() is None
    assert [r.getMessage() for r in caplog.records] == [
        "The Supervisor gave no answer for /services/mqtt: HTTP 500. Going on without; it is asked again."
    ]


async def test_a_refusal_is_not_retried(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [{"status": 403}]
    assert await house.supervisor.mqtt() is None
    assert not house.pauses


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"host": ""},
        {"host": 5},
        {"host": "h", "port": 99999},
        {"host": "h", "port": "x"},
        {"host": "h", "port": [1]},
    ],
)
async def test_a_senseless_service_record_is_no_broker(house: House, answer: dict) -> None:
    house.fake.answers["/services/mqtt"] = [answer]
    assert await house.supervisor.mqtt() is None


async def test_no_supervisor_at_all_is_none() -> None:
    async def sleep(_: float) -> None: ...

    async with aiohttp.ClientSession() as session:
        assert await Supervisor("t", session, base_url="http://127.0.0.1:9", sleep=sleep).mqtt() is None


async def test_the_token_never_reaches_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await house.supervisor.mqtt()
    assert "t0ken" not in caplog.text


async def test_info_says_where_we_are(house: House) -> None:
    house.fake.answers["/addons/self/info"] = [
        {
            "version": "0.1.0",
            "version_latest": "0.2.0",
            "hostname": "local-cheaprouter",
            "network": {"4000/tcp": 4010},
            "ingress_url": "/api/hassio_ingress/x/",
            "slug": "local_cheaprouter",
        }
    ]
    house.fake.answers["/info"] = [{"hostname": "homeassistant"}]
    page = "homeassistant://hassio/ingress/local_cheaprouter"
    assert await house.supervisor.info(4000) == AppInfo(
        "0.1.0", "0.2.0", "local-cheaprouter", "homeassistant", 4010, "/api/hassio_ingress/x/", page
    )


async def test_info_with_a_closed_port_and_an_unknown_machine(house: House) -> None:
    house.fake.answers["/addons/self/info"] = [{"version": "0.1.0", "network": {"4000/tcp": None}}]
    house.fake.answers["/info"] = [{"status": 403}]
    assert await house.supervisor.info(4000) == AppInfo(version="0.1.0")


async def test_credentials_fill_in_the_broker_and_keep_the_users_topics(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [BROKER]
    credentials = MqttCredentials(house.supervisor, lambda: MqttSettings(base_topic="second", discovery=False))
    assert await credentials() == MqttSettings(
        host="core-mosquitto", username="addons", password="pa55word", base_topic="second", discovery=False
    )


async def test_a_broker_typed_in_by_hand_wins_and_nobody_is_asked(house: House) -> None:
    mine = MqttSettings(host="10.0.0.2", username="me")
    assert await MqttCredentials(house.supervisor, lambda: mine)() is mine
    assert not house.fake.seen


async def test_a_login_typed_in_by_hand_goes_with_the_supervisors_broker(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [BROKER]
    found = await MqttCredentials(house.supervisor, lambda: MqttSettings(username="me", password="mine"))()
    assert (found.host, found.username, found.password) == ("core-mosquitto", "me", "mine")


async def test_without_a_broker_there_are_no_credentials(house: House) -> None:
    house.fake.answers["/services/mqtt"] = [{"status": 400}]
    assert await MqttCredentials(house.supervisor, MqttSettings)() is None


@pytest.mark.parametrize(
    ("environ", "expected"), [({}, None), ({"SUPERVISOR_TOKEN": " "}, None), ({"SUPERVISOR_TOKEN": "abc"}, "abc")]
)
def test_a_token_exists_only_inside_home_assistant(environ: dict, expected: str | None) -> None:
    assert module.token(environ) == expected


async def test_facts_about_us_are_asked_for_until_they_are_known(house: House) -> None:
    house.fake.answers["/addons/self/info"] = [{"status": 500}] * 3 + [{"version": "0.1.0"}]
    about, waits = module.About(), []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await about.learn(house.supervisor, 4000, sleep=sleep)
    assert about.info.version == "0.1.0"
    assert waits == [60.0, 6 * 3600.0]


async def test_a_new_version_in_the_store_is_told_once(house: House) -> None:
    answers = [{"version": "0.1.0", "version_latest": latest} for latest in ("0.1.0", "0.2.0", "0.2.0", "0.2.0")]
    house.fake.answers["/addons/self/info"] = answers
    told: list[str] = []
    about, waits = module.About(learned=lambda info: told.append(info.latest_version)), []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await about.learn(house.supervisor, 4000, sleep=sleep)
    assert told == ["0.1.0", "0.2.0"]
