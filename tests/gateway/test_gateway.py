"""The line of a request, through a whole router and against scripted upstreams."""

from __future__ import annotations

import asyncio

import openai
import pytest
import yaml

from cheaprouter.config import loader
from cheaprouter.core.events import RequestCompleted
from cheaprouter.core.models import Caller
from tests.builders import a_chat, a_house, a_model_row, a_provider, saying, until
from tests.fakes.fault_server import GOOD, ROLE, Stall, completion, fault_server, reply, stream, words
from tests.fakes.faults import error
from tests.fakes.router import router

HELLO = saying("Say hello, please.")


def two(server, **settings):
    """A good model, and a spare one that stands in for it."""
    models = [
        a_model_row("lab/good", upstream="good", quality=80),
        a_model_row("lab/spare", upstream="spare", quality=20),
    ]
    return a_house(server.url, *models, fallbacks={"lab/good": ["lab/spare"]}, **settings)


async def ask(client, **fields):
    fields = {"model": "lab/good", "messages": HELLO, "max_tokens": 50, **fields}
    return await client.sdk.chat.completions.with_raw_response.create(**fields)


async def test_a_stand_ins_answer_is_not_replayed_as_the_chosen_models(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server, cache={"enabled": True})) as client:
        server.script("good", error(404), GOOD)
        server.script("spare", reply(200, completion("from the spare one")))
        first = await ask(client)
        client.app.house.control.clear_cooldowns()
        second = await ask(client)
        third = await ask(client)
    served = [raw.headers["x-cheaprouter-model"] for raw in (first, second, third)]
    assert served == ["lab/spare", "lab/good", "lab/good"]
    assert third.headers["x-cheaprouter-cache"] == "hit"


async def test_an_answer_from_memory_names_the_model_that_gave_it(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server, cache={"enabled": True})) as client:
        await ask(client, model="lab/spare")
        again = await ask(client, model="lab/spare")
        row = (await client.audit())[0]
    assert again.headers["x-cheaprouter-cache"] == "hit"
    assert again.headers["x-cheaprouter-model"] == row["routed_model"] == "lab/spare"


async def reload(client, folder, settings):
    """What the watcher does once the file has changed."""
    (folder / "cheaprouter.yaml").write_text(yaml.safe_dump(settings))
    await client.app.house.reload(loader.load(None, folder, {}))


async def test_a_reload_that_removes_its_provider_lets_a_waiting_stream_end_and_books_it(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server)) as client:
        asking = asyncio.create_task(client.sdk.chat.completions.create(model="lab/good", messages=HELLO, stream=True))
        await until(lambda: server.asked("good"))
        await reload(
            client, tmp_path, {"auth": "open", "providers": {"other": a_provider(server.url, a_model_row("other/a"))}}
        )
        text = [chunk.choices[0].delta.content or "" async for chunk in await asking if chunk.choices]
        row = (await client.audit())[0]
    assert "".join(text)
    assert (row["status"], row["routed_model"]) == (200, "lab/good")
    assert row["cost_usd"] > 0


async def test_a_listener_that_raises_costs_nobody_an_answer_and_holds_up_no_stop(tmp_path):
    def listener(event):
        if isinstance(event, RequestCompleted):
            raise RuntimeError("a bug in a listener")  # noqa: TRY004 - any exception will do

    async with fault_server() as server, router(tmp_path, two(server)) as client:
        client.app.house.bus.on(listener)
        raw = await ask(client)
        assert raw.headers["x-cheaprouter-model"] == "lab/good"
        await asyncio.wait_for(client.app.house.gateway.idle(), 5)
        assert (await client.audit())[0]["status"] == 200


async def test_with_books_in_doubt_paid_models_are_refused_until_it_is_acknowledged(tmp_path):
    settings = {"devices": {"defaults": {"daily_budget": 5}}}
    async with fault_server() as server, router(tmp_path, two(server, **settings)) as client:
        client.app.house.accounts.database.add_damage(["some rows are lost"])
        body = {"model": "lab/good", "messages": HELLO}
        async with client.http.post(f"{client.url}/v1/chat/completions", json=body) as refused:
            error_body = (await refused.json())["error"]
        assert (refused.status, error_body["code"]) == (429, "insufficient_quota")
        assert "problems/ack" in error_body["message"]
        assert (await client.get("/health", headers=client.admin()))["problems"] == ["some rows are lost"]
        async with client.http.post(f"{client.url}/router/problems/ack", headers=client.admin()) as acknowledged:
            assert acknowledged.status == 200
        assert (await ask(client)).headers["x-cheaprouter-model"] == "lab/good"


async def test_the_words_of_problems_are_for_admins_and_others_learn_that_there_are_some(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server)) as client:
        client.app.house.accounts.database.add_damage(["/data/secret-place: got the string 'sk-in-the-wrong-line'"])
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            state = await client.get("/health", headers=headers)
            assert (state["status"], len(state["problems"])) == ("degraded", 1)
            assert "secret-place" not in str(state)
            assert "admin key" in state["problems"][0]


async def test_only_an_admin_acknowledges_what_was_lost(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server)) as client:
        async with client.http.post(f"{client.url}/router/problems/ack") as refused:
            assert refused.status == 403


async def test_a_rate_limit_of_every_upstream_is_no_limit_of_the_device(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server)) as client:
        for name in ("good", "spare"):
            server.script(name, error(429, retry_after="60"))
        with pytest.raises(openai.RateLimitError):
            await ask(client)
        state = client.app.house.control.device_state("test")
    assert (state["limit_hits"], state["errors"]) == (0, 1)


async def test_an_answer_from_memory_is_booked_with_the_time_to_its_first_token(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server, cache={"enabled": True})) as client:
        for _ in range(2):
            await ask(client)
        replayed, first = client.app.house.recorder.recent(2)
    assert (first.cached, replayed.cached) == (False, True)
    assert replayed.first_token_ms is not None


async def test_a_free_model_that_a_budget_left_over_takes_its_tokens_of_the_limit(tmp_path):
    defaults = {"daily_budget": 0.000001, "budget_action": "free", "tpm": 1000}
    async with fault_server() as server:
        settings = two(server, devices={"defaults": defaults})
        settings["providers"]["lab"]["models"].append(a_model_row("lab/gift", price={"input": 0, "output": 0}))
        async with router(tmp_path, settings) as client:
            raw = await ask(client, stream=True)
            await raw.parse().close()
    assert raw.headers["x-cheaprouter-model"] == "lab/gift"
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 1000


async def test_a_budget_that_leaves_only_free_models_where_there_are_none_is_a_spent_budget(tmp_path):
    defaults = {"daily_budget": 0, "budget_action": "free"}
    async with fault_server() as server, router(tmp_path, two(server, devices={"defaults": defaults})) as client:
        with pytest.raises(openai.RateLimitError, match="no model that costs nothing") as caught:
            await ask(client)
    assert caught.value.code == "insufficient_quota"


async def test_a_bug_in_the_router_is_booked_as_its_own_error_and_leaves_nothing_running(tmp_path, monkeypatch):
    def decide(*_args):
        raise RuntimeError("a bug")

    async with fault_server() as server, router(tmp_path, two(server)) as client:
        monkeypatch.setattr(client.app.house.gateway.world.router, "decide", decide)
        with pytest.raises(openai.InternalServerError):
            await ask(client)
        row = (await client.audit())[0]
        assert client.app.house.gateway.running == 0
    assert (row["status"], row["error"]) == (500, "internal_error")


async def test_it_is_idle_once_the_last_of_several_has_ended(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server)) as client:
        server.script("good", stream(ROLE, *words("a"), then=(Stall(),)))
        first, second = [
            await client.sdk.chat.completions.create(model="lab/good", messages=HELLO, stream=True) for _ in range(2)
        ]
        waiting = asyncio.create_task(client.app.house.gateway.idle())
        await first.close()
        await until(lambda: client.app.house.gateway.running == 1)
        await asyncio.sleep(0)
        assert not waiting.done()
        await second.close()
        await asyncio.wait_for(waiting, 5)


async def test_an_answer_whose_price_nobody_knows_has_no_cost_in_its_headers(tmp_path):
    async with fault_server() as server:
        settings = two(server)
        settings["providers"]["lab"]["models"].append({"id": "lab/mystery", "upstream": "good"})
        async with router(tmp_path, settings) as client:
            raw = await ask(client, model="lab/mystery")
    assert raw.headers["x-cheaprouter-model"] == "lab/mystery"
    assert "x-cheaprouter-cost-usd" not in raw.headers


async def test_a_body_that_cannot_be_understood_is_booked_as_no_stream(tmp_path):
    seen = []
    async with fault_server() as server, router(tmp_path, two(server)) as client:
        client.app.house.bus.on(seen.append)
        with pytest.raises(openai.BadRequestError):
            await ask(client, temperature="hot")
        row = (await client.audit())[0]
    assert row["status"] == 400
    (event,) = [event for event in seen if isinstance(event, RequestCompleted)]
    assert not event.stream


async def test_answers_are_kept_over_a_reload_until_the_settings_of_the_memory_change(tmp_path):
    async def hit(client):
        return (await ask(client)).headers.get("x-cheaprouter-cache") == "hit"

    async with fault_server() as server, router(tmp_path, two(server, cache={"enabled": True})) as client:
        hits = [await hit(client)]
        await reload(client, tmp_path, two(server, cache={"enabled": True}, log_level="info"))
        hits.append(await hit(client))
        await reload(client, tmp_path, two(server, cache={"enabled": True, "max_mb": 7}))
        hits.append(await hit(client))
    assert hits == [False, True, False]


async def test_another_try_of_what_every_model_failed_goes_to_a_better_one(tmp_path):
    async with fault_server() as server:
        settings = two(server)
        small = a_model_row("lab/small", upstream="small", quality=30, price={"input": 0.01, "output": 0.01})
        settings["providers"]["lab"]["models"].append(small)
        async with router(tmp_path, settings) as client:
            for name in ("small", "good", "spare"):
                server.script(name, error(400), GOOD)
            with pytest.raises(openai.BadRequestError):
                await ask(client, model="blockrun/eco")
            assert server.requests[0].model == "small"
            again = await ask(client, model="blockrun/eco")
    assert again.headers["x-cheaprouter-model"] == "lab/good"


async def test_a_score_that_nobody_needed_is_worked_out_for_one_in_ten_once_the_reply_has_left(tmp_path):
    async with fault_server() as server, router(tmp_path, a_house(server.url, a_model_row("lab/only"))) as client:
        for _ in range(20):
            await ask(client, model="blockrun/auto")
        await asyncio.sleep(0)
        booked = client.app.house.recorder.recent(20)
    assert [record.tier for record in booked].count("SIMPLE") == 2
    assert [record.tier for record in booked].count(None) == 18


async def test_a_whole_reply_is_charged_when_it_is_there_and_booked_once_when_it_is_closed(tmp_path):
    async with fault_server() as server, router(tmp_path, two(server)) as client:
        house = client.app.house
        whole = await house.gateway.serve(a_chat("hi", "lab/good", max_tokens=20), Caller("test"))
        balance = house.accounts.ledger.balances["test"]
        assert (balance.running, balance.reserved, house.recorder.recent(5)) == (0, 0, [])
        assert float(whole.headers["x-cheaprouter-cost-usd"]) > 0
        whole.close()
        whole.close()
        assert [row.status for row in house.recorder.recent(5)] == [200]
        assert house.gateway.running == 0
