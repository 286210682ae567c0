"""What a model cannot do costs one try: it is remembered, shown, worked around, and forgotten with the server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml

from cheaprouter.config import loader
from cheaprouter.core.events import ProviderUp
from tests.builders import NOON, a_house, a_model_row, saying
from tests.fakes.fault_server import completion, fault_server, reply
from tests.fakes.faults import error
from tests.fakes.router import router

TOOLS = [{"type": "function", "function": {"name": "turn_on", "parameters": {"type": "object"}}}]
NO_TOOLS = error(400, "registry.ollama.ai/library/deaf does not support tools")
WITH = {"tools": TOOLS}


def house(server: Any, **settings: Any) -> dict[str, Any]:
    models = [
        a_model_row("lab/deaf", upstream="deaf", quality=80, price={"input": 0, "output": 0}),
        a_model_row("lab/able", upstream="able", quality=20),
    ]
    return a_house(server.url, *models, fallbacks={"lab/deaf": ["lab/able"]}, **settings)


@asynccontextmanager
async def serving(tmp_path: Any):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("deaf", NO_TOOLS)
        server.script("able", reply(200, completion("able")))
        yield server, client


async def ask(client: Any, model: str = "lab/deaf", **fields: Any) -> str:
    fields = {"model": model, "messages": saying("Lamp on"), "max_tokens": 50, **fields}
    raw = await client.sdk.chat.completions.with_raw_response.create(**fields)
    return raw.headers["x-cheaprouter-model"]


def asked(server: Any) -> list[str]:
    return [request.json["model"] for request in server.requests]


@pytest.mark.parametrize("model", ["lab/deaf", "blockrun/auto:0"])
async def test_what_a_model_cannot_do_costs_one_try(tmp_path, model):
    async with serving(tmp_path) as (server, client):
        served = [await ask(client, model, **WITH) for _ in range(3)]
    assert served == ["lab/able"] * 3
    assert asked(server) == ["deaf", "able", "able", "able"]


async def test_what_needs_no_such_ability_is_still_asked_of_it(tmp_path):
    async with serving(tmp_path) as (server, client):
        server.script("deaf", NO_TOOLS, reply(200, completion("plain")))
        await ask(client, **WITH)
        assert await ask(client) == "lab/deaf"


async def test_it_is_shown_with_its_reason(tmp_path):
    async with serving(tmp_path) as (_, client):
        await ask(client, **WITH)
        providers = (await client.get("/router/providers", headers=client.admin()))["data"]
        lacking = next(p for p in providers if p["name"] == "lab")["lacking"]["deaf"]
        assert lacking.keys() == {"tools"}
        assert lacking["tools"].startswith("registry.ollama.ai/library/deaf does not support tools")
        assert "tools" not in client.app.house.gateway.world.table.get("lab/deaf").capabilities


async def test_the_list_of_models_tells_what_each_can_do(tmp_path):
    async with serving(tmp_path) as (_, client):
        await ask(client, **WITH)
        rows = {row["id"]: row["cheaprouter"] for row in (await client.get("/v1/models"))["data"]}
        one = await client.get("/v1/models/lab/able")
    deaf, able = rows["lab/deaf"], rows["lab/able"]
    assert "tools" not in deaf["capabilities"]
    assert deaf["abilities"]["tools"]["able"] is False
    assert "does not support tools" in deaf["abilities"]["tools"]["reason"]
    assert able["abilities"]["tools"] == {"able": True, "reason": None}
    assert (able["kind"], able["context"], one["cheaprouter"]) == ("chat", 128_000, able)
    assert (able["price"]["input"], able["price"]["output"], deaf["price"]["input"]) == (1.0, 2.0, 0.0)
    assert (rows["blockrun/auto"]["kind"], rows["blockrun/auto"]["price"]) == ("chat", None)


async def test_a_sole_model_is_asked_as_before_and_its_own_words_are_handed_on(tmp_path):
    async with serving(tmp_path) as (server, client):
        (tmp_path / "cheaprouter.yaml").write_text(yaml.safe_dump(house(server) | {"fallbacks": {}}))
        await client.app.house.reload(loader.load(None, tmp_path, {}))
        for _ in range(2):
            with pytest.raises(Exception, match="does not support tools"):
                await ask(client, **WITH)
    assert asked(server) == ["deaf", "deaf"]


def back(client: Any, _: Any) -> Any:
    client.app.house.bus.publish(ProviderUp("lab", 5.0, NOON))


def by_hand(client: Any, _: Any) -> Any:
    client.app.house.control.clear_cooldowns()


async def reloaded(client: Any, tmp_path: Any) -> Any:
    await client.app.house.reload(loader.load(None, tmp_path, {}))


@pytest.mark.parametrize("change", [back, by_hand, reloaded])
async def test_it_is_forgotten_when_the_server_may_be_another(tmp_path, change):
    async with serving(tmp_path) as (server, client):
        await ask(client, **WITH)
        if (waiting := change(client, tmp_path)) is not None:
            await waiting
        server.script("deaf", reply(200, completion("able now")))
        assert await ask(client, **WITH) == "lab/deaf"


async def test_another_providers_return_changes_nothing(tmp_path):
    async with serving(tmp_path) as (_, client):
        await ask(client, **WITH)
        client.app.house.bus.publish(ProviderUp("other", 5.0, NOON))
        assert await ask(client, **WITH) == "lab/able"


async def test_it_is_forgotten_when_the_server_lists_the_model_otherwise(tmp_path, monkeypatch):
    async with serving(tmp_path) as (_, client):
        house = client.app.house
        listed = [{"id": "deaf", "context": 1000}]

        async def discover(_: Any) -> Any:
            return {"lab": list(listed)}

        monkeypatch.setattr(house.gateway.pool, "discover", discover)
        await house.discover()
        await ask(client, **WITH)
        await house.discover()
        assert house.gateway.pool.learned.lacks("lab")
        listed[0] = {"id": "deaf", "context": 2000}
        await house.discover()
        assert not house.gateway.pool.learned.lacks("lab")
        assert "tools" in house.gateway.world.table.get("lab/deaf").capabilities
