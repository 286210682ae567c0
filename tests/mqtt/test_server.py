"""The whole router as a process of its own, with a real broker and a real upstream: what MQTT shows is what HTTP does."""

from __future__ import annotations

import contextlib
import re
import signal

import aiohttp
import orjson
import pytest
import yaml

from tests.builders import a_body, a_provider
from tests.fakes.fault_server import fault_server
from tests.fakes.faults import error
from tests.fakes.mosquitto import watching
from tests.fakes.process import serve

SECRET = "sk-very-secret-provider-key"
STATE = "cheaprouter/device/kitchen/state"
SETTINGS = {"profile", "model", "rpm", "tpm", "parallel", "daily_budget", "monthly_budget", "enabled"}
FIGURES = {
    "requests", "input_tokens", "output_tokens", "cached_tokens", "errors", "limit_hits", "cost_today", "cost_month",
    "cost_total", "saved_month", "saved_cache_month", "cached_percent", "latency_p50_ms", "first_token_p50_ms", "requests_remaining", "tokens_remaining",
    "budget_percent", "rate_limited", "last_model", "last_reason", "last_seen",
}  # fmt: skip
CONNECTED = re.compile(rb"Connected to the MQTT broker")


def model(name, cost, quality):
    return {"id": name, "price": {"input": cost, "output": cost * 4}, "context": 32000, "quality": quality}


@contextlib.asynccontextmanager
async def house(broker, upstream, folder):
    """The router with a cheap and a dear model, connected, and someone who sees every message."""
    config = {
        "auth": "open",
        "providers": {
            "lab": a_provider(upstream.url, model("lab/small", 0.05, 40), api_key=SECRET),
            "other": a_provider(upstream.url, model("other/big", 5, 90)),
        },
        "fallbacks": {"lab/small": ["other/big"]},
        "mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"},
    }
    folder.mkdir(exist_ok=True)
    (folder / "cheaprouter.yaml").write_text(yaml.safe_dump(config))
    async with watching(broker.port) as seen, serve(folder) as router, aiohttp.ClientSession() as http:
        await seen.online()

        async def ask(wanted="blockrun/auto", text="turn on the light"):
            body = a_body(text, wanted)
            url = f"{router.url}/v1/chat/completions"
            async with http.post(url, json=body, headers={"X-Device-ID": "kitchen"}) as reply:
                return reply.status, reply.headers.get("x-cheaprouter-model"), await reply.json()

        async def command(setting, value, shown):
            await seen.client.publish(f"cheaprouter/device/kitchen/{setting}/set", value, qos=1)
            await seen.until(lambda: STATE in seen.retained and orjson.loads(seen.retained[STATE])[setting] == shown)

        router.seen, router.ask, router.command, router.http = seen, ask, command, http
        yield router


@pytest.fixture
async def live(broker, tmp_path):
    async with fault_server() as upstream, house(broker, upstream, tmp_path / "data") as router:
        router.upstream = upstream
        yield router


async def test_a_request_is_seen_with_every_key_of_the_state(live):
    await live.ask()
    await live.seen.until(lambda: b'"requests":1' in live.seen.retained.get(STATE, b""))
    for topic in (STATE, "cheaprouter/state"):
        assert orjson.loads(live.seen.retained[topic]).keys() >= FIGURES
    assert orjson.loads(live.seen.retained[STATE]).keys() >= SETTINGS
    assert orjson.loads(live.seen.retained[STATE])["last_model"] == "lab/small"


async def test_a_model_set_over_mqtt_answers_the_next_request(live):
    assert (await live.ask())[1] == "lab/small"
    await live.command("model", b"other/big", "other/big")
    assert (await live.ask())[1] == "other/big"
    await live.command("model", b"auto", "auto")
    assert (await live.ask())[1] == "lab/small"


async def test_a_limit_set_over_mqtt_holds_and_tells_itself(live):
    await live.ask()
    await live.command("rpm", b"1", 1)
    codes = [(await live.ask())[0] for _ in range(3)]
    assert 429 in codes
    await live.seen.until(lambda: live.seen.on("cheaprouter/device/kitchen/event"))
    event = orjson.loads(live.seen.on("cheaprouter/device/kitchen/event")[0])
    assert (event["event_type"], event["limit"], event["device"]) == ("rate_limited", "requests", "kitchen")
    await live.seen.until(lambda: b'"rate_limited":true' in live.seen.retained[STATE])


async def test_a_device_switched_off_over_mqtt_is_refused(live):
    await live.ask()
    await live.command("enabled", b"OFF", False)
    assert (await live.ask())[0] == 429
    await live.command("enabled", b"ON", True)
    assert (await live.ask())[0] == 200


async def test_a_budget_set_over_mqtt_holds(live):
    await live.ask()
    await live.command("daily_budget", b"0", 0)
    status, _, body = await live.ask()
    assert (status, body["error"]["code"]) == (429, "insufficient_quota")
    await live.command("daily_budget", b"-1", None)
    assert (await live.ask())[0] == 200


async def test_the_routers_own_profile_and_pause_set_over_mqtt_hold_for_all(live):
    seen = live.seen
    await seen.client.publish("cheaprouter/profile/set", b"premium", qos=1)
    await seen.until(lambda: b'"profile":"premium"' in seen.retained["cheaprouter/state"])
    assert (await live.ask(text="Why did Rome fall?"))[1] == "other/big"
    await seen.client.publish("cheaprouter/cloud_paused/set", b"ON", qos=1)
    await seen.until(lambda: b'"cloud_paused":true' in seen.retained["cheaprouter/state"])
    assert (await live.ask())[0] == 400


async def test_a_setting_made_over_mqtt_lasts(broker, tmp_path):
    async with fault_server() as upstream:
        async with house(broker, upstream, tmp_path / "data") as router:
            await router.ask()
            await router.command("rpm", b"7", 7)
            router.signal(signal.SIGTERM)
            await router.ended()
        async with house(broker, upstream, tmp_path / "data") as router:
            await router.seen.until(lambda: b'"rpm":7' in router.seen.retained[STATE])


async def test_chat_over_mqtt_is_booked_like_any_other(live):
    seen = live.seen
    await seen.client.publish("cheaprouter/device/esp32/chat/request", b'{"prompt": "hi", "transaction": 1}', qos=1)
    await seen.until(lambda: seen.on("cheaprouter/device/esp32/chat/response"))
    answer = orjson.loads(seen.on("cheaprouter/device/esp32/chat/response")[0])
    assert (answer["status"], answer["transaction"]) == ("ok", 1)
    assert answer["data"]["text"] == answer["data"]["choices"][0]["message"]["content"] != ""
    async with live.http.get(f"{live.url}/v1/audit") as reply:
        row = (await reply.json())["data"][0]
    assert (row["device_id"], row["status"]) == ("esp32", 200)
    await seen.until(lambda: "cheaprouter/device/esp32/availability" in seen.retained)


async def test_streamed_chat_over_mqtt_is_the_text_of_the_stream(live):
    seen = live.seen
    await seen.client.publish("cheaprouter/device/esp32/chat/request", b'{"prompt": "hi", "stream": true}', qos=1)
    await seen.until(lambda: seen.on("cheaprouter/device/esp32/chat/response"))
    answer = orjson.loads(seen.on("cheaprouter/device/esp32/chat/response")[0])
    *pieces, last = seen.on("cheaprouter/device/esp32/chat/stream")
    assert b"".join(pieces).decode() == answer["data"]["text"] != ""
    assert orjson.loads(last) == {"done": True}


async def test_a_fallback_and_an_outage_are_told(live):
    seen = live.seen
    live.upstream.script("small", *[error(500)] * 8)
    for _ in range(4):
        await live.ask("lab/small")
    await seen.until(lambda: any(b"fallback_used" in p for p in seen.on("cheaprouter/event")))
    event = orjson.loads(next(p for p in seen.on("cheaprouter/event") if b"fallback_used" in p))
    assert (event["from_model"], event["to_model"], event["device"]) == ("lab/small", "other/big", "kitchen")


async def test_questions_are_answered_from_the_books(live):
    seen = live.seen
    await live.ask()
    await seen.client.publish("cheaprouter/request/usage", b'{"group_by": "device", "transaction": "u"}', qos=1)
    await seen.until(lambda: seen.on("cheaprouter/response/usage"))
    answer = orjson.loads(seen.on("cheaprouter/response/usage")[0])
    assert (answer["status"], answer["transaction"], answer["data"]["data"][0]["requests"]) == ("ok", "u", 1)


async def test_no_secret_is_on_any_topic_and_none_can_be_set(live, tmp_path):
    seen = live.seen
    for verb in ("providers", "health", "devices", "models", "usage", "keys"):
        await seen.client.publish(f"cheaprouter/request/{verb}", b"", qos=1)
    await seen.client.publish("cheaprouter/admin_key/set", b"mine", qos=1)
    await seen.client.publish("cheaprouter/request/set_hub", b'{"admin_key": "mine"}', qos=1)
    await seen.until(lambda: seen.on("cheaprouter/response/set_hub"))
    everything = b"".join(m.payload for m in seen.seen)
    admin_key = (tmp_path / "data" / "admin_key").read_bytes().strip()
    assert SECRET.encode() not in everything
    assert admin_key not in everything
    assert orjson.loads(seen.on("cheaprouter/response/set_hub")[0])["status"] == "error"


async def test_kill_9_is_told_by_the_last_will_and_sigterm_by_ourselves(broker, tmp_path):
    async with fault_server() as upstream:
        for number in (signal.SIGKILL, signal.SIGTERM):
            async with house(broker, upstream, tmp_path / "data") as router:
                router.signal(number)
                await router.seen.until(lambda seen=router.seen: seen.retained["cheaprouter/status"] == b"offline")
                await router.ended()
