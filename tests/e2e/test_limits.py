"""Limits, budgets and settings through the whole router, and the books after a storm of parallel streams."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import openai
import pytest
from openai import AsyncOpenAI

from tests.builders import a_house, a_model_row, saying, until
from tests.fakes.fault_server import fault_server
from tests.fakes.router import router

HELLO = saying("Say hello, please.")


async def ask(client, **fields):
    return await client.sdk.chat.completions.create(**{"model": "mock/default", "messages": HELLO, **fields})


async def test_successes_say_what_is_left(tmp_path):
    async with router(tmp_path, {"devices": {"defaults": {"rpm": 10, "tpm": 5000}}}) as client:
        raw = await client.sdk.chat.completions.with_raw_response.create(model="mock/default", messages=HELLO)
    assert raw.headers["x-ratelimit-limit-requests"] == "10"
    assert raw.headers["x-ratelimit-remaining-requests"] == "9"
    assert raw.headers["x-ratelimit-limit-tokens"] == "5000"
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 5000


async def test_over_the_limit_the_sdk_is_told_how_long_to_wait(tmp_path):
    async with router(tmp_path, {"devices": {"defaults": {"rpm": 2}}}) as client:
        for _ in range(2):
            await ask(client)
        with pytest.raises(openai.RateLimitError) as caught:
            await ask(client)
        row = (await client.audit())[0]
        state = await client.get("/router/devices/test")
    headers = caught.value.response.headers
    assert caught.value.code == "rate_limit_exceeded"
    assert 1 <= int(headers["retry-after"]) <= 30
    assert 0 < int(headers["retry-after-ms"]) <= 30_000
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert (row["status"], row["error"], row["device_id"]) == (429, "rate_limit_exceeded", "test")
    assert (state["state"]["limit_hits"], state["state"]["rate_limited"]) == (1, True)


async def test_one_devices_limit_is_not_anothers(tmp_path):
    async with router(tmp_path, {"devices": {"defaults": {"rpm": 1}}}) as client:
        for device in ("a", "b", "c"):
            await ask(client, extra_headers={"X-Device-ID": device})


async def test_a_request_that_can_never_fit_is_told_not_to_retry(tmp_path):
    async with router(tmp_path, {"devices": {"defaults": {"tpm": 50}}}) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await ask(client, messages=saying("word " * 500))
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_parallel_requests_are_counted(tmp_path):
    async with router(tmp_path, {"devices": {"defaults": {"parallel": 1}}}) as client:
        stream = await ask(client, messages=saying("[[n=3 d=60000]]"), stream=True)
        with pytest.raises(openai.RateLimitError):
            await ask(client)
        await stream.close()
        await until(lambda: not client.app.house.gateway.running)
        await ask(client)


async def test_a_spent_budget_refuses_with_insufficient_quota(tmp_path):
    async with fault_server() as server:
        settings = a_house(server.url, a_model_row("lab/good"), devices={"defaults": {"daily_budget": 0.00001}})
        async with router(tmp_path, settings) as client:
            with pytest.raises(openai.RateLimitError) as caught:
                await asyncio.gather(*(ask(client, model="lab/good", max_tokens=1) for _ in range(5)))
    assert caught.value.code == "insufficient_quota"


async def test_a_setting_changed_at_run_time_holds_for_the_next_request_and_after_a_restart(tmp_path):
    async with router(tmp_path) as client:
        await ask(client)
        url = f"{client.url}/router/devices/test"
        async with client.http.patch(url, json={"enabled": False}, headers=client.admin()) as reply:
            changed = await reply.json()
        assert (changed["state"]["enabled"], changed["sources"]["enabled"]) == (False, "run time")
        with pytest.raises(openai.RateLimitError):
            await ask(client)
    async with router(tmp_path) as client:
        with pytest.raises(openai.RateLimitError):
            await ask(client)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"rpm": "many"}, "rpm"),
        ({"rpm": -1}, "rpm"),
        ({"nonsense": 1}, "nonsense"),
        ({"profile": "best"}, "profile"),
        ({"model": "no/such"}, "model"),
    ],
)
async def test_a_bad_setting_is_refused_by_name(tmp_path, change, param):
    async with router(tmp_path) as client:
        async with client.http.patch(f"{client.url}/router/devices/test", json=change, headers=client.admin()) as reply:
            body = await reply.json()
    assert (reply.status, body["error"]["param"]) == (400, param)


async def test_nothing_changes_where_one_of_several_settings_is_bad(tmp_path):
    async with router(tmp_path) as client:
        await ask(client)
        url = f"{client.url}/router/devices/test"
        async with client.http.patch(url, json={"rpm": 5, "tpm": "x"}, headers=client.admin()) as reply:
            assert reply.status == 400
        assert (await client.get("/router/devices/test"))["state"]["rpm"] is None


async def test_a_key_holds_its_device_and_the_header_cannot_take_it(tmp_path):
    async with router(tmp_path) as client:
        async with client.http.post(
            f"{client.url}/router/keys", json={"device": "kitchen"}, headers=client.admin()
        ) as reply:
            key = (await reply.json())["key"]
        await ask(client, extra_headers={"X-Device-ID": "kitchen"})
        assert (await client.audit())[0]["device_id"].startswith("lan-")
        await ask(client, extra_headers={"Authorization": f"Bearer {key}", "X-Device-ID": "somebody-else"})
        row = (await client.audit())[0]
    assert row["device_id"] == "kitchen"


async def test_in_keys_mode_everything_but_health_and_the_root_needs_a_key(tmp_path):
    async with router(tmp_path, {"auth": "keys"}) as client:
        for path in (
            "/v1/models",
            "/v1/audit",
            "/v1/metrics",
            "/metrics",
            "/router/devices",
            "/router/usage",
            "/router/providers",
        ):
            async with client.http.get(client.url + path) as reply:
                assert reply.status == 401, path
        for path in ("/health", "/"):
            async with client.http.get(client.url + path) as reply:
                assert reply.status == 200, path


async def test_a_repeat_is_answered_from_memory_where_the_device_wants_that(tmp_path):
    async with fault_server() as server:
        settings = a_house(server.url, a_model_row("lab/good"), devices={"kitchen": {"cache": True}})
        async with router(tmp_path, settings) as client:
            create = client.sdk.chat.completions.with_raw_response.create
            kitchen = {"X-Device-ID": "kitchen"}
            first = await create(model="lab/good", messages=HELLO, extra_headers=kitchen)
            again = await create(model="lab/good", messages=HELLO, extra_headers=kitchen)
            await create(model="lab/good", messages=HELLO, extra_headers={"X-Device-ID": "bath"})
            streams = []
            for _ in range(2):
                raw = await create(model="lab/good", messages=HELLO, stream=True, extra_headers=kitchen)
                streams.append((raw.headers.get("x-cheaprouter-cache"), [c.model_dump() async for c in raw.parse()]))
            rows = (await client.audit())[::-1]
        asked = len(server.asked("good"))
    assert asked == 3
    assert "x-cheaprouter-cache" not in first.headers
    assert (again.headers["x-cheaprouter-cache"], again.headers["x-cheaprouter-cost-usd"]) == ("hit", "0")
    assert again.parse() == first.parse()
    assert [s[0] for s in streams] == [None, "hit"]
    assert streams[0][1] == streams[1][1]
    assert [row["cost_usd"] > 0 for row in rows] == [True, False, True, True, False]


async def test_after_a_storm_of_parallel_streams_the_books_balance_to_the_token(tmp_path):
    """Fifty devices, eight streams each, against limits that let some of them through."""
    price_in, price_out = Decimal(1), Decimal(2)
    settings = {"auth": "open", "devices": {"defaults": {"rpm": 6, "parallel": 4}}, "budget": {"daily": 1000}}
    settings["providers"] = {"sim": {"kind": "mock", "models": [{"id": "sim/m", "price": {"input": 1, "output": 2}}]}}
    seen: Counter[str] = Counter()
    used: Counter[str] = Counter()
    async with router(tmp_path, settings) as client:

        async def one(device: str, number: int, sdk: AsyncOpenAI) -> None:
            try:
                stream = await sdk.chat.completions.create(
                    model="sim/m",
                    messages=saying(f"[[n={number + 1}]] {device}"),
                    stream=True,
                    stream_options={"include_usage": True},
                    extra_headers={"X-Device-ID": device},
                )
            except openai.RateLimitError:
                seen["refused"] += 1
                return
            async for chunk in stream:
                if chunk.usage:
                    seen["served"] += 1
                    used["in"] += chunk.usage.prompt_tokens
                    used["out"] += chunk.usage.completion_tokens

        await asyncio.gather(*(one(f"device-{d}", n, client.sdk) for d in range(50) for n in range(8)))
        rows = await client.audit()
        hub = client.app.house.control.hub_state()
        report = await client.get("/router/usage?group_by=device", headers=client.admin())
        devices = [client.app.house.control.device_state(f"device-{d}") for d in range(50)]
        running = client.app.house.gateway.running
    cost = (price_in * used["in"] + price_out * used["out"]) / 1_000_000
    assert (seen["served"] + seen["refused"], running) == (400, 0)
    assert seen["refused"] >= 100
    assert Counter(row["status"] for row in rows) == {200: seen["served"], 429: seen["refused"]}
    assert sum(row["prompt_tokens"] for row in rows) == used["in"] == hub["input_tokens"]
    assert sum(row["completion_tokens"] for row in rows) == used["out"] == sum(d["output_tokens"] for d in devices)
    assert sum(Decimal(str(row["cost_usd"])) for row in rows) == cost
    assert Decimal(str(round(hub["cost_today"], 9))) == cost
    assert sum(row["output_tokens"] for row in report["data"]) == used["out"]
    assert all(d["requests"] == 8 for d in devices)
