from __future__ import annotations

import asyncio
import uuid

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cheaprouter.core.errors import BudgetError, LimitError
from cheaprouter.mqtt import chat, messages
from tests.builders import sse
from tests.fakes.fault_server import DONE, FINISH, ROLE, USAGE, Close, delta, stream, words
from tests.fakes.mosquitto import watching

REQUEST = "cheaprouter/device/esp32/chat/request"
RESPONSE = "cheaprouter/device/esp32/chat/response"
STREAM = "cheaprouter/device/esp32/chat/stream"
MINE = "cheaprouter/response/esp32"


@pytest.fixture
def asked(home):
    with home.asked() as seen:
        yield seen


@pytest.fixture
async def talk(broker, run, home):
    async with watching(broker.port) as seen, run(broker):
        await seen.online()

        async def ask(payload, topic=REQUEST, answer=RESPONSE, **options):
            return await seen.ask(topic, payload, answer, **options)

        ask.seen = seen
        yield ask


async def test_plain_text_is_a_prompt(talk, asked):
    answer = await talk("Wie spät ist es?".encode())
    assert (answer["status"], answer["error"], answer["transaction"]) == ("ok", None, None)
    assert answer["data"]["text"] == "Hello"
    assert answer["data"]["choices"][0]["message"]["content"] == "Hello"
    request, caller, via = asked[0]
    assert request.messages == [{"role": "user", "content": "Wie spät ist es?"}]
    assert (request.model, caller.device_id, caller.source, via) == ("blockrun/auto", "esp32", "mqtt", "mqtt")


async def test_a_prompt_object_may_carry_options_and_a_transaction(talk, asked):
    answer = await talk({"prompt": "hi", "model": "lab/big", "temperature": 0, "transaction": "t-1"})
    assert answer["transaction"] == "t-1"
    assert asked[0][0].body == {
        "model": "lab/big",
        "temperature": 0,
        "messages": [{"role": "user", "content": "hi"}],
    }


async def test_a_chat_body_is_passed_on_as_it_is(talk, asked):
    body = {
        "model": "lab/big",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "odd": 1,
    }
    await talk(body)
    assert asked[0][0].body == body


async def test_the_devices_profile_is_the_default_model(talk, home, asked):
    home.add("esp32", profile="eco")
    await talk(b"hi")
    assert asked[0][0].model == "blockrun/eco"


@pytest.mark.parametrize("text", ["[note] buy milk", "[1, 2, 3]: which is largest?", '"quoted"', "a {b}"])
async def test_text_with_brackets_that_is_no_json_is_a_prompt(talk, asked, text):
    await talk(text.encode())
    assert asked[0][0].messages[0]["content"] == text


async def test_the_hubs_own_topic_needs_no_device(talk, asked):
    answer = await talk(b"hi", "cheaprouter/chat/request", "cheaprouter/chat/response")
    assert answer["status"] == "ok"
    assert asked[0][1].device_id == "mqtt"


async def test_a_streamed_answer_comes_in_pieces_and_as_a_whole(talk, home, monkeypatch):
    monkeypatch.setattr("cheaprouter.mqtt.chat.PIECE_SECONDS", 0.0)
    home.say("Hel", "lo", stream=True)
    answer = await talk({"prompt": "hi", "stream": True})
    assert talk.seen.on(STREAM) == [b"Hel", b"lo", chat.DONE]
    assert answer["data"]["text"] == "Hello"
    assert answer["data"]["usage"]["total_tokens"] == 18
    assert answer["data"]["choices"][0]["finish_reason"] == "stop"
    assert home.gateway.running == 0


async def test_a_stream_that_breaks_is_an_error(talk, home):
    for model in ("small", "big"):
        home.upstream.script(model, stream(ROLE, *words("Hel"), then=(Close(),)))
    answer = await talk({"prompt": "hi", "stream": True})
    assert (answer["status"], answer["data"]) == ("error", None)
    assert answer["error"]["code"] == "upstream_truncated"
    assert talk.seen.on(STREAM)[-1] == chat.DONE
    assert home.gateway.running == 0


async def test_of_several_answers_the_first_is_published_and_all_are_told(talk, home):
    pieces = [sse({**delta(), "choices": [{"index": i, "delta": {"content": text}} for i in (0, 1)]}) for text in "ab"]
    second = sse({**delta(), "choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]})
    for model in ("small", "big"):
        home.upstream.script(model, stream(ROLE, *pieces, FINISH, second, USAGE, DONE))
    answer = await talk({"prompt": "hi", "stream": True, "n": 2})
    assert b"".join(talk.seen.on(STREAM)) == b"ab" + chat.DONE
    assert [choice["message"]["content"] for choice in answer["data"]["choices"]] == ["ab", "ab"]


async def test_pieces_are_gathered_so_that_the_broker_is_not_flooded(talk, home):
    home.say(*["x"] * 1000, stream=True)
    answer = await talk({"prompt": "hi", "stream": True})
    assert len(answer["data"]["text"]) == 1000
    assert b"".join(talk.seen.on(STREAM)) == b"x" * 1000 + chat.DONE
    assert len(talk.seen.on(STREAM)) < 20


@pytest.mark.parametrize(
    ("error", "code", "type_", "status"),
    [
        (LimitError("slow down", retry_after=2.1, limit="requests"), "rate_limit_exceeded", "rate_limit_error", 429),
        (BudgetError("spent", retry_after=2.1, limit="daily_budget"), "insufficient_quota", "insufficient_quota", 429),
    ],
)
async def test_limits_hold_and_say_how_long_to_wait(talk, home, monkeypatch, error, code, type_, status):
    async def refuse(*args, **options):
        raise error

    monkeypatch.setattr(home.gateway, "serve", refuse)
    answer = await talk({"prompt": "hi", "transaction": 5})
    assert answer["status"] == "error"
    assert answer["data"] is None
    assert answer["transaction"] == 5
    assert answer["error"] == {
        "message": error.message,
        "type": type_,
        "param": None,
        "code": code,
        "status": status,
        "retry_after": 3,
    }


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        (b"", None),
        (b"  \n", None),
        (b"\xff\xfe", None),
        (b'{"prompt": 5}', "prompt"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": [{"role": "king"}]}', "messages[0].role"),
        (b'{"prompt": "x", "stream": "yes"}', "stream"),
        (b'{"prompt": "turn on the lamp"', None),
        (b' {"prompt": turn on the lamp}', None),
        (b'{"promt": "turn on the lamp"}', "prompt"),
        (b'[{"role": "user", "content": "hi"}]', "prompt"),
        (b"{{ states('sensor.x') }}", None),
    ],
)
async def test_what_cannot_be_understood_is_an_error_and_asks_nobody(talk, asked, payload, param):
    answer = await talk(payload)
    assert (answer["status"], answer["error"]["type"], answer["error"]["param"]) == (
        "error",
        "invalid_request_error",
        param,
    )
    assert asked == []


async def test_a_wrong_body_is_booked_as_refused(talk, home):
    await talk(b'{"messages": []}')
    row = (await home.control.reports.audit(10))[0]
    assert (row["device_id"], row["status"], row["error"]) == ("esp32", 400, "empty_array")


async def test_a_message_that_is_too_large_is_refused(talk, home):
    answer = await talk(b"x" * (messages.LARGEST + 1))
    assert answer["error"]["code"] == "request_too_large"


async def test_mqtt_5_response_topic_and_correlation_data_are_used(talk):
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = MINE
    properties.CorrelationData = uuid.uuid4().bytes
    answer = await talk(b"hi", answer=MINE, properties=properties)
    assert answer["data"]["text"] == "Hello"
    last = next(m for m in talk.seen.seen if str(m.topic) == MINE)
    assert last.properties.CorrelationData == properties.CorrelationData
    assert talk.seen.on(RESPONSE) == []


async def test_pieces_of_a_stream_follow_the_response_topic(talk, home):
    home.say("Hel", "lo", stream=True)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = MINE
    await talk({"prompt": "hi", "stream": True}, answer=MINE, properties=properties)
    assert b"".join(talk.seen.on(f"{MINE}/stream")) == b"Hello" + chat.DONE
    assert talk.seen.on(STREAM) == []


@pytest.mark.parametrize(
    "topic",
    [
        "cheaprouter/status",
        "homeassistant/device/x/config",
        REQUEST,
        "cheaprouter/device/esp32/rpm/set",
        "zigbee2mqtt/lamp/set",
    ],
)
async def test_a_response_topic_that_would_borrow_our_rights_is_not_used(talk, topic):
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = topic
    before = list(talk.seen.on(topic))
    assert (await talk(b"hi", properties=properties))["status"] == "ok"
    assert [p for p in talk.seen.on(topic) if p not in before] in ([], [b"hi"])


async def test_more_than_a_few_at_once_are_told_to_wait(talk, home, monkeypatch):
    gate = asyncio.Event()
    real = home.gateway.serve

    async def slow(*args, **options):
        await gate.wait()
        return await real(*args, **options)

    monkeypatch.setattr(home.gateway, "serve", slow)
    for _ in range(8):
        await talk.seen.client.publish("cheaprouter/device/a/chat/request", b"hi", qos=1)
    answer = await talk(b"one too many")
    assert answer["error"]["code"] == "busy"
    gate.set()
    await talk.seen.until(lambda: len(talk.seen.on("cheaprouter/device/a/chat/response")) == 8)


async def test_a_retained_prompt_is_stale_and_asks_nobody(broker, run, asked, caplog):
    async with watching(broker.port) as seen:
        await seen.client.publish(REQUEST, b"old", qos=1, retain=True)
        async with run(broker):
            await seen.online()
            await seen.client.publish("cheaprouter/request/health", b"", qos=1)
            await seen.until(lambda: seen.on("cheaprouter/response/health"))
    assert asked == []
    assert "stale" in caplog.text


async def test_chat_can_be_switched_off(broker, run, asked):
    async with watching(broker.port) as seen, run(broker, mqtt={"chat": False}):
        await seen.online()
        await seen.client.publish(REQUEST, b"hi", qos=1)
        await seen.client.publish("cheaprouter/request/health", b"", qos=1)
        await seen.until(lambda: seen.on("cheaprouter/response/health"))
        assert asked == []


@pytest.mark.parametrize("name", ["others", "(forgotten)", "admin", "hub", "Everyone", "defaults"])
async def test_nobody_chats_under_a_name_of_the_routers_own(talk, home, asked, name):
    topic = f"cheaprouter/device/{name}/chat/{{}}"
    answer = await talk("hi", topic.format("request"), topic.format("response"))
    assert "a name of the router's own" in answer["error"]["message"]
    assert answer["error"]["status"] == 400
    assert asked == []
    assert home.control.device_ids() == []


async def test_the_slug_of_those_who_count_together_is_not_theirs_to_chat_under(talk, home, asked):
    home.control.accounts.known.seen("others", 1)
    answer = await talk("hi", "cheaprouter/device/others/chat/request", "cheaprouter/device/others/chat/response")
    assert answer["status"] == "error"
    assert asked == []


async def test_publishers_add_so_many_devices_an_hour_and_the_rest_are_others(talk, home, asked):
    await home.reconfigure(http={"max_new_devices_per_hour": 2})
    topic = "cheaprouter/device/spoof{}/chat/{}"
    for n in range(4):
        await talk("hi", topic.format(n, "request"), topic.format(n, "response"))
        await talk({"messages": 1}, topic.format(n, "request"), topic.format(n, "response"))
    assert [caller.device_id for _, caller, _ in asked] == ["spoof0", "spoof1", "others", "others"]
    assert home.control.device_ids() == ["others", "spoof0", "spoof1"]
    assert {row["device_id"] for row in await home.control.reports.audit()} == {"others", "spoof0", "spoof1"}
    await talk("hi", "cheaprouter/chat/request", "cheaprouter/chat/response")
    assert asked[-1][1].device_id == "mqtt"
