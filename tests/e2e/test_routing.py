"""Which model answers, through the whole router: profiles, names, aliases, fallbacks, budgets and pauses."""

from __future__ import annotations

import openai
import pytest
import yaml

from tests.builders import a_body, a_house, a_provider, saying, until
from tests.fakes.fault_server import completion, fault_server, reply
from tests.fakes.faults import error
from tests.fakes.router import router

EASY = saying("turn on the light")
HARD = saying(
    "Prove that every finite integral domain is a field, then characterise exactly which finite rings have a "
    "cyclic group of units, deriving each step rigorously."
)


def small(**fields):
    return {"id": "lab/small", "price": {"input": 0.05, "output": 0.2}, "context": 32000, "quality": 40, **fields}


def big(**fields):
    return {
        "id": "other/big",
        "price": {"input": 5, "output": 20},
        "context": 200000,
        "quality": 90,
        "capabilities": ["tools", "vision"],
        **fields,
    }


def house(server, **more):
    """Two providers: a small cheap model and a big dear one."""
    providers = {"lab": a_provider(server.url, small()), "other": a_provider(server.url, big())}
    return {"auth": "open", "providers": providers, **more}


async def served(client, model="blockrun/auto", messages=EASY, **fields):
    raw = await client.sdk.chat.completions.with_raw_response.create(model=model, messages=messages, **fields)
    return raw.headers["x-cheaprouter-model"]


async def test_an_easy_request_goes_to_the_cheap_model_and_a_hard_one_to_the_good_one(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        assert await served(client, messages=EASY) == "lab/small"
        assert await served(client, messages=HARD) == "other/big"


async def test_premium_takes_the_best_and_eco_the_cheapest(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        assert await served(client, "blockrun/premium", HARD) == "other/big"
        assert await served(client, "blockrun/premium", EASY) == "lab/small"  # a lamp
        assert await served(client, "blockrun/eco") == "lab/small"


async def test_the_slider_in_the_name_moves_the_choice(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        assert await served(client, "blockrun/auto:0", HARD) == "lab/small"
        assert await served(client, "blockrun/auto:10", EASY) == "other/big"


async def test_free_without_a_free_model_says_so(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await served(client, "blockrun/free")
    assert caught.value.code == "no_suitable_model"


async def test_what_a_request_needs_comes_before_its_price(tmp_path):
    picture = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        assert await served(client, "blockrun/eco", saying(picture)) == "other/big"
        assert await served(client, "blockrun/eco", saying("word " * 40000)) == "other/big"


async def test_once_a_real_provider_exists_the_mock_answers_only_to_its_own_name(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        assert await served(client, "mock/default") == "mock/default"
        assert not (await client.get("/health"))["demo"]


async def test_a_name_is_served_as_it_is_without_a_fallback_of_its_own(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("small", error(503))
        with pytest.raises(openai.APIStatusError) as caught:
            await served(client, "lab/small")
    assert caught.value.status_code == 503


async def test_a_profile_falls_over_to_the_next_candidate_and_tells_of_it(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("small", error(503))
        events = client.app.house.bus.subscribe()
        assert await served(client, "blockrun/eco") == "other/big"
        told = [type(e).__name__ for e in events.drain()]
    assert {"FallbackUsed", "ProviderDown", "RequestCompleted"} <= set(told)


async def test_aliases_resolve_first_and_fallbacks_are_keyed_by_what_they_resolve_to(tmp_path):
    more = {"aliases": {"home/assist": "lab/small"}, "fallbacks": {"lab/small": ["other/big"]}}
    async with fault_server() as server, router(tmp_path, house(server, **more)) as client:
        assert await served(client, "home/assist") == "lab/small"
        server.script("small", error(503))
        assert await served(client, "home/assist") == "other/big"
        assert "home/assist" in [m.id async for m in client.sdk.models.list()]


async def test_a_star_takes_any_unknown_name(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server, aliases={"*": "lab/small"})) as client:
        assert await served(client, "gpt-4o-mini") == "lab/small"


async def test_a_model_without_a_price_is_served_by_name_only(tmp_path):
    settings = {"auth": "open", "providers": {}}
    async with fault_server() as server:
        settings["providers"] = {
            "lab": a_provider(server.url, {"id": "lab/odd"}),
            "other": a_provider(server.url, big()),
        }
        async with router(tmp_path, settings) as client:
            assert await served(client, "lab/odd") == "lab/odd"
            assert await served(client, "blockrun/eco") == "other/big"
            row = (await client.audit())[1]
    assert row["cost_usd"] is None


async def test_a_price_ceiling_holds_for_fallbacks_too(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server, routing={"max_cost": 0.0001})) as client:
        server.script("small", error(503))
        with pytest.raises(openai.APIStatusError):
            await served(client)
        assert not server.asked("big")


async def test_a_devices_profile_and_fixed_model_are_followed(tmp_path):
    devices = {"kitchen": {"profile": "premium"}, "study": {"model": "other/big"}}
    async with fault_server() as server, router(tmp_path, house(server, devices=devices)) as client:
        assert await served(client, messages=HARD, extra_headers={"X-Device-ID": "kitchen"}) == "other/big"
        assert await served(client, "lab/small", extra_headers={"X-Device-ID": "study"}) == "other/big"
        assert await served(client, extra_headers={"X-Device-ID": "bath"}) == "lab/small"


async def test_a_spent_budget_that_says_free_drops_to_the_local_model(tmp_path):
    async with fault_server() as server:
        local = a_provider(server.url, {"id": "local/llama", "context": 8000, "price": {"input": 0, "output": 0}})
        settings = house(server, devices={"defaults": {"daily_budget": 0.000001, "budget_action": "free"}})
        settings["providers"]["local"] = local
        async with router(tmp_path, settings) as client:
            assert await served(client, "blockrun/premium") == "local/llama"
            assert await served(client, "other/big") == "local/llama"


async def test_pausing_the_cloud_leaves_local_models_only(tmp_path):
    async with fault_server() as server:
        settings = house(server)
        settings["providers"]["ollama"] = {
            "kind": "ollama",
            "base_url": server.url,
            "models": [{"id": "ollama/tiny", "context": 8000}],
        }
        async with router(tmp_path, settings) as client:
            url = f"{client.url}/router/settings"
            async with client.http.patch(url, json={"cloud_paused": True}, headers=client.admin()) as reply:
                assert reply.status == 200
            assert await served(client, "blockrun/premium") == "ollama/tiny"


async def test_what_the_dial_means_is_told_before_it_is_set(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        for number in range(24):
            await served(
                client, messages=[{"role": "user", "content": f"Why is the sky of planet {'x' * number} blue?"}]
            )
        await served(client, "lab/small")  # nobody chose
        async with client.http.get(f"{client.url}/router/forecast") as reply:
            told = await reply.json()
        assert (told["cost_quality"], told["requests"], told["scored"]) == (5, 24, 24)
        assert [row["cost_quality"] for row in told["steps"]] == list(range(11))
        answers, prices = ([row[name] for row in told["steps"]] for name in ("answers_percent", "price_percent"))
        assert answers == sorted(answers)
        assert prices == sorted(prices)
        assert (answers[-1], prices[-1]) == (100, 100)
        assert told["text"].startswith("at 5: about ")
        assert told["text"].endswith(" of its price, on your last 24 requests")


async def test_the_routers_own_profile_changes_the_next_request(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        url = f"{client.url}/router/settings"
        async with client.http.patch(url, json={"profile": "premium"}, headers=client.admin()) as reply:
            assert (await reply.json())["profile"] == "premium"
        assert await served(client, messages=HARD) == "other/big"


async def test_an_explanation_calls_nobody_and_agrees_with_what_happens(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        body = {"model": "blockrun/auto", "messages": HARD}
        async with client.http.post(f"{client.url}/router/route", json=body) as reply:
            told = await reply.json()
        assert server.requests == []
        assert told["model"] == await served(client, messages=HARD)
        assert told["reason"]
        assert 0 <= told["score"] <= 1
    assert {row["id"] for row in told["candidates"]} == {"lab/small", "other/big"}


async def test_a_changed_file_holds_without_a_restart(tmp_path):
    async with fault_server() as server:
        settings = house(server)
        async with router(tmp_path, settings) as client:

            async def known(model_id):
                return model_id in [m["id"] for m in (await client.get("/v1/models"))["data"]]

            async def degraded():
                return (await client.get("/health"))["status"] == "degraded"

            settings["aliases"] = {"home/new": "lab/small"}
            (tmp_path / "cheaprouter.yaml").write_text(yaml.safe_dump(settings))
            await until(lambda: known("home/new"), timeout=15, every=0.1)
            assert await served(client, "home/new") == "lab/small"
            (tmp_path / "cheaprouter.yaml").write_text("auth: nonsense")
            await until(degraded, timeout=15, every=0.1)
            assert await served(client, "home/new") == "lab/small"


async def test_what_was_saved_is_counted_against_the_baseline(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        await served(client)
        row = (await client.audit())[0]
        state = client.app.house.control.hub_state()
    dear = (5 * row["prompt_tokens"] + 20 * row["completion_tokens"]) / 1e6
    assert state["saved_month"] == pytest.approx(dear - row["cost_usd"], rel=1e-3)


async def test_a_conversation_with_tools_stays_with_its_model(tmp_path):
    tools = [{"type": "function", "function": {"name": "light", "parameters": {"type": "object", "properties": {}}}}]
    call = {"id": "call_1", "type": "function", "function": {"name": "light", "arguments": "{}"}}
    async with fault_server() as server:
        settings = house(server)
        settings["providers"]["lab"] = a_provider(server.url, small(capabilities=["tools"]))
        async with router(tmp_path, settings) as client:
            first = await served(client, messages=HARD, tools=tools)
            turns = [
                *HARD,
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "on"},
            ]
            assert await served(client, messages=turns, tools=tools) == first


async def expected_cost(client):
    """What `lab/small` would be expected to take for one question; its output is free here."""
    body = a_body("word " * 60, "lab/small")
    async with client.http.post(f"{client.url}/router/route", json=body, headers=client.admin()) as answer:
        return (await answer.json())["expected_cost_usd"]


async def test_an_estimate_is_held_against_the_count_and_not_against_its_own_correction(tmp_path):
    priced = small(price={"input": 1, "output": 0})
    asked = saying("word " * 60)
    async with fault_server() as server:
        settings = a_house(server.url, priced)
        async with router(tmp_path, settings) as client:
            first = await expected_cost(client)
            counted = 4 * round(first * 1_000_000)
            usage = {"prompt_tokens": counted, "completion_tokens": 7, "total_tokens": counted + 7}
            server.script("small", *[reply(200, {**completion(), "usage": usage})] * 40)
            for _ in range(40):
                await client.sdk.chat.completions.create(model="lab/small", messages=asked)
            assert await expected_cost(client) == pytest.approx(4 * first)
