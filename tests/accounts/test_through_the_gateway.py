"""What is set at run time, and what a budget asks for, as the whole router obeys it."""

from __future__ import annotations

import openai
import pytest

from tests.builders import a_house, a_model_row, saying
from tests.fakes.fault_server import fault_server
from tests.fakes.router import router

HELLO = saying("Say hello, please.")


async def ask(client, model_id="blockrun/auto"):
    raw = await client.sdk.chat.completions.with_raw_response.create(model=model_id, messages=HELLO, max_tokens=5)
    return raw.headers["x-cheaprouter-model"]


def lab(server, **settings):
    models = [
        a_model_row("lab/good"),
        a_model_row("lab/cheap", price={"input": 0.01, "output": 0.02}, quality=20),
        a_model_row("lab/gift", price={"input": 0, "output": 0}, quality=5),
    ]
    return a_house(server.url, *models, **settings)


async def change(client, path, **changes):
    async with client.http.patch(client.url + path, json=changes, headers=client.admin()) as reply:
        assert reply.status == 200, await reply.text()


async def test_a_profile_set_at_run_time_holds_for_everyone_and_after_a_restart(tmp_path):
    async with fault_server() as server:
        async with router(tmp_path, lab(server)) as client:
            await change(client, "/router/settings", profile="free")
            assert client.app.house.gateway.world.policies.hub.profile == "free"
        async with router(tmp_path) as client:
            assert client.app.house.gateway.world.policies.hub.profile == "free"


async def test_with_the_cloud_paused_only_local_models_answer(tmp_path):
    async with fault_server() as server, router(tmp_path, lab(server)) as client:
        await change(client, "/router/settings", cloud_paused=True)
        with pytest.raises(openai.APIStatusError):
            await ask(client, "lab/good")
        await change(client, "/router/settings", cloud_paused=False)
        assert await ask(client, "lab/cheap")


async def test_once_the_rest_of_a_budget_is_too_small_a_free_model_answers(tmp_path):
    defaults = {"daily_budget": 0.000001, "budget_action": "free"}
    async with fault_server() as server, router(tmp_path, lab(server, devices={"defaults": defaults})) as client:
        assert await ask(client, "lab/good") == "lab/gift"
        row = (await client.audit())[0]
        state = client.app.house.control.device_state("test")
    assert (row["status"], row["routed_model"], row["cost_usd"]) == (200, "lab/gift", 0.0)
    assert state["limit_hits"] == 0


async def test_a_model_without_a_price_is_refused_under_a_budget(tmp_path):
    async with fault_server() as server:
        settings = lab(server, budget={"monthly": 100})
        settings["providers"]["lab"]["models"].append({"id": "lab/mystery", "upstream": "good"})
        async with router(tmp_path, settings) as client:
            with pytest.raises(openai.RateLimitError) as caught:
                await ask(client, "lab/mystery")
    assert caught.value.code == "insufficient_quota"


async def test_spend_is_known_again_after_a_restart(tmp_path):
    async with fault_server() as server:
        async with router(tmp_path, lab(server, devices={"defaults": {"daily_budget": 0.001}})) as client:
            await ask(client, "lab/good")
            before = client.app.house.control.device_state("test")
        async with router(tmp_path) as client:
            assert client.app.house.control.device_state("test") == before
    assert before["budget_percent"] > 0
    assert before["cost_today"] > 0


async def test_an_answer_from_memory_takes_no_tokens_of_the_limit(tmp_path):
    defaults = {"tpm": 1000, "cache": True}
    async with fault_server() as server, router(tmp_path, lab(server, devices={"defaults": defaults})) as client:
        for _ in range(3):
            await ask(client, "lab/good")
        left = client.app.house.accounts.ledger.balances["test"].tokens.level
        rows = await client.audit()
        report = await client.get("/router/devices/test")
    used = rows[-1]["total_tokens"]
    assert used > 0
    assert left >= 1000 - used
    assert report["usage"]["today"]["requests"] == 3
    assert report["usage"]["latency_ms"]["p95"] > 0
