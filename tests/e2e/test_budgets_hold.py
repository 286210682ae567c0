"""Budgets and tokens a minute hold while answers run: measured by what a provider bills, over real connections."""

from __future__ import annotations

import asyncio

import openai
import pytest

from tests.builders import a_house, a_model_row, saying, until
from tests.fakes.billing_server import billing_server
from tests.fakes.router import router

SECOND = 400
"""Tokens that one request may be over by: what is on the way when it is stopped."""

ROUGH = 0.1
"""Of an estimate, where four characters are a token: some more is taken to come until a drop is noticed, and some more does."""

ROW = a_model_row("lab/paid", price={"input": 1, "output": 10}, capabilities=["tools"])
THINKER = a_model_row("lab/paid", price={"input": 1, "output": 10}, capabilities=["reasoning"])
NICKEL = {"devices": {"defaults": {"daily_budget": 0.05}}}
HOUSE = {"budget": {"daily": 0.05}}


@pytest.fixture(autouse=True)
def no_rests(monkeypatch):
    """A reply that took long rests for as long, so that others are served: on a busy machine for many turns of this upstream's."""
    monkeypatch.setattr("cheaprouter.upstream.reply._LONGEST_REST", 0.0)


async def ask(client, device="test", **fields):
    """How it ended: the reply's finish_reason, or the error's code."""
    headers = {"X-Device-ID": device}
    asked = {"model": "lab/paid", "messages": saying("Write a long text."), "extra_headers": headers, **fields}
    try:
        reply = await client.sdk.chat.completions.create(**asked)
        if not fields.get("stream"):
            return reply.choices[0].finish_reason
        reason = None
        async for chunk in reply:
            reason = chunk.choices[0].finish_reason if chunk.choices else reason
    except openai.APIError as error:
        return error.code
    return reason


async def idle(client):
    await until(lambda: not client.app.house.gateway.running)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("obeys", "together", "budget"), [(True, 1, NICKEL), (False, 1, NICKEL), (False, 20, HOUSE)])
async def test_long_answers_in_parallel_stay_within_a_budget(tmp_path, stream, obeys, together, budget):
    async with billing_server() as server:
        server.together, server.obeys = together, obeys
        server.word = "abc "
        async with router(tmp_path, a_house(server.url, ROW, **budget)) as client:
            ends = await asyncio.gather(*(ask(client, stream=stream, max_tokens=8000) for _ in range(8)))
            await idle(client)
            booked = sum(row["cost_usd"] or 0 for row in await client.audit())
    assert server.billed <= 0.05 + SECOND * 10 / 1e6
    assert server.billed > 0.03  # and what there was was of use
    assert set(ends) <= {"length", "insufficient_quota"}
    assert booked == pytest.approx(server.billed, rel=ROUGH)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("obeys", [True, False])
async def test_a_hundred_replies_at_once_stay_within_a_budget(tmp_path, stream, obeys):
    async with billing_server() as server:
        server.tokens, server.obeys = 500, obeys
        async with router(tmp_path, a_house(server.url, ROW, **NICKEL)) as client:
            await ask(client, stream=stream, n=100)
            await ask(client, stream=stream, n=20)
            await idle(client)
    # Each of its turns is a hundred tokens, one of each reply.
    assert server.billed <= 0.05 + SECOND * 10 / 1e6 + 1000 * 10 / 1e6


@pytest.mark.parametrize("stream", [True, False])
async def test_an_endless_answer_is_ended_by_its_budget(tmp_path, stream):
    async with billing_server() as server:
        server.tokens, server.obeys, server.word = 10**9, False, "abc "
        async with router(tmp_path, a_house(server.url, ROW, **NICKEL)) as client:
            end = await ask(client, stream=stream)
            await idle(client)
            row = (await client.audit())[0]
    assert server.billed <= 0.05 + SECOND * 10 / 1e6
    assert end == ("insufficient_quota" if stream else "length")
    assert row["cost_usd"] == pytest.approx(server.billed, rel=ROUGH)
    assert (row["status"], row["error"]) == ((429, "insufficient_quota") if stream else (200, None))


@pytest.mark.parametrize("obeys", [True, False])
async def test_fifty_devices_stay_within_one_budget_of_the_house(tmp_path, obeys):
    async with billing_server() as server:
        server.obeys = obeys
        async with router(tmp_path, a_house(server.url, ROW, **HOUSE)) as client:
            for _ in range(3):
                await asyncio.gather(*(ask(client, f"device-{i}", stream=i % 2 == 0) for i in range(50)))
            await idle(client)
    assert server.billed <= 0.05 + SECOND * 10 / 1e6


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("streams", [True, False])
async def test_models_that_think_unseen_stay_within_a_budget(tmp_path, stream, streams):
    async with billing_server() as server:
        server.tokens, server.hides, server.streams = 8000, 7900, streams
        async with router(tmp_path, a_house(server.url, THINKER, **NICKEL)) as client:
            for _ in range(3):
                await asyncio.gather(*(ask(client, stream=stream, max_tokens=8000) for _ in range(8)))
            await idle(client)
    assert server.billed <= 0.05 + SECOND * 10 / 1e6


@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_that_answers_whole_is_never_allowed_more_than_there_is(tmp_path, stream):
    async with billing_server() as server:
        server.streams = False
        async with router(tmp_path, a_house(server.url, ROW, **NICKEL)) as client:
            for _ in range(3):
                await asyncio.gather(*(ask(client, stream=stream, max_tokens=8000) for _ in range(8)))
            await idle(client)
    assert server.billed <= 0.05 + SECOND * 10 / 1e6


async def test_tokens_a_minute_hold_while_answers_run(tmp_path):
    async with billing_server() as server:
        server.obeys = False
        house = a_house(server.url, ROW, devices={"defaults": {"tpm": 3000}})
        async with router(tmp_path, house) as client:
            ends = await asyncio.gather(*(ask(client, stream=True, max_tokens=8000) for _ in range(8)))
            await idle(client)
    assert sum(server.written) <= 3000 + SECOND
    assert set(ends) == {"rate_limit_exceeded"}


async def test_a_client_that_always_allows_very_much_is_not_refused_for_it(tmp_path):
    async with billing_server() as server:
        server.tokens = 40
        async with router(tmp_path, a_house(server.url, ROW, devices={"defaults": {"daily_budget": 0.01}})) as client:
            ends = [await ask(client, stream=i % 2 == 0, max_tokens=64_000) for i in range(15)]
    assert set(ends) == {"stop"}
    assert all(body["max_tokens"] <= 1000 for body in server.asked)
    allowed = [body["max_tokens"] for body in server.asked]
    assert allowed == sorted(allowed, reverse=True)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_first_answer_of_usual_length_is_not_cut_short_where_the_budget_has_room_for_it(tmp_path, stream):
    async with billing_server() as server:
        server.tokens = 3500
        async with router(tmp_path, a_house(server.url, ROW, **NICKEL)) as client:
            assert await ask(client, stream=stream) == "stop"


async def test_an_answer_that_keeps_to_what_it_was_allowed_is_not_ended_for_our_count_of_it(tmp_path):
    async with billing_server() as server:
        server.tokens = 1500
        async with router(tmp_path, a_house(server.url, ROW, **NICKEL)) as client:
            ends = [await ask(client, stream=True, max_tokens=8000) for _ in range(4)]
            [last] = server.asked[3:]
    assert ends == ["stop", "stop", "stop", "length"]
    assert server.written[3] == last["max_tokens"] > 400


async def test_without_a_budget_in_the_way_nothing_is_added_to_a_request(tmp_path):
    async with billing_server() as server:
        server.tokens = 20
        house = a_house(server.url, ROW, devices={"defaults": {"daily_budget": 5, "tpm": 100_000}})
        async with router(tmp_path, house) as client:
            await ask(client)
            await ask(client, max_tokens=64_000)
    assert "max_tokens" not in server.asked[0]
    assert server.asked[1]["max_tokens"] == 64_000


@pytest.mark.parametrize(
    ("at_first", "tokens", "begun", "then", "end"),
    [({}, 10**9, 100, 0.0001, "insufficient_quota"), (NICKEL, 10**9, 100, 0.0001, "insufficient_quota"), (NICKEL, 6000, 1000, 5, "stop")],
    ids=["set", "lowered", "raised"],
)  # fmt: skip
async def test_a_budget_that_changes_while_an_answer_runs_holds_for_it(tmp_path, at_first, tokens, begun, then, end):
    async with billing_server() as server:
        server.tokens, server.obeys, server.together = tokens, False, 10
        async with router(tmp_path, a_house(server.url, ROW, **at_first)) as client:
            asked = asyncio.create_task(ask(client, stream=True))
            await until(lambda: server.written and server.written[0] > begun)
            url = f"{client.url}/router/devices/test"
            async with client.http.patch(url, json={"daily_budget": then}, headers=client.admin()) as reply:
                assert reply.status == 200
            assert await asked == end
            await idle(client)
            assert client.app.house.accounts.ledger.reserved("test") == 0
