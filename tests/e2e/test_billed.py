"""What a provider bills is what is booked, whatever clients, upstreams and our own process do."""

from __future__ import annotations

import asyncio
import signal
from decimal import Decimal

import aiohttp
import pytest
import yaml

from cheaprouter.core.models import Caller
from cheaprouter.wire.openai_chat.request import parse
from tests.builders import a_body, until
from tests.fakes.biller import Way, biller
from tests.fakes.process import serve
from tests.fakes.router import router

ASK = "/v1/chat/completions"
SAY = "Tell me something about lamps, please, and say it in such a way that a child understands it."


def a_house(bill, *, kind="openai", timeouts=None, fallbacks=None, **more):
    models = [{"id": name, "price": {"input": 1, "output": 10}, "context": 100_000} for name in bill.ways]
    lab = {"kind": kind, "base_url": bill.url, "api_key": "k", "models": models}
    if timeouts:
        lab["timeouts"] = timeouts
    return {"auth": "open", "providers": {"lab": lab}, "fallbacks": fallbacks or {}, **more}


async def ask(client, model, *, stream=False, patience=20.0, text=SAY, **body):
    """The reply's status and headers; None where we left before."""
    try:
        async with asyncio.timeout(patience):
            sent = a_body(text, f"lab/{model}", stream=stream, **body)
            async with client.http.post(client.url + ASK, json=sent, headers={"X-Device-ID": "kid"}) as reply:
                await reply.read()
                return reply.status, reply.headers
    except TimeoutError:
        return None


async def booked(client, bill, count=1):
    """The newest booking, once all are there and nothing is under way."""
    await client.app.house.gateway.idle()
    await bill.done()
    rows = await client.audit()
    assert len(rows) == count
    return rows[0]


async def audit(http, process):
    async with http.get(f"{process.url}/v1/audit?limit=100", headers=process.admin()) as reply:
        return (await reply.json())["data"]


def near(amount, least=0.995, most=1.05):
    """About what was billed."""
    return pytest.approx(float(amount) * (least + most) / 2, rel=(most - least) / 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_an_answer_is_booked_what_was_billed(tmp_path, stream):
    async with biller(slow=Way(wait=0.4)) as bill, router(tmp_path, a_house(bill)) as client:
        assert await ask(client, "slow", stream=stream, patience=0.2) is None
        row = await booked(client, bill)
    assert (row["status"], row["error"], row["routed_model"]) == (499, "client_disconnected", "lab/slow")
    assert (row["prompt_tokens"], row["completion_tokens"]) == (bill.items[0].prompt, 40)
    assert row["cost_usd"] == pytest.approx(float(bill.billed))


async def test_what_takes_too_long_after_a_client_left_is_estimated(tmp_path):
    async with biller(slow=Way(tokens=1000, rate=100)) as bill, router(tmp_path, a_house(bill)) as client:
        client.app.house.gateway.left_behind._seconds = 0.5
        await ask(client, "slow", patience=0.2)
        row = await booked(client, bill)
    assert row["status"] == 499
    assert row["cost_usd"] == near(bill.billed, 0.7, 1.4)
    assert bill.items[0].output < 200  # it was dropped then


async def test_a_model_that_costs_nothing_is_dropped_at_once(tmp_path):
    async with biller(slow=Way(tokens=1000, rate=10)) as bill:
        settings = a_house(bill)
        settings["providers"]["lab"]["models"][0]["price"] = {"input": 0, "output": 0}
        async with router(tmp_path, settings) as client:
            await ask(client, "slow", patience=0.2)
            await until(lambda: not bill.items[0].open)
            row = await booked(client, bill)
    assert (row["status"], row["cost_usd"]) == (499, 0)
    assert bill.items[0].output < 10


async def test_an_impatient_client_cannot_pass_its_budget(tmp_path):
    devices = {"defaults": {"daily_budget": 0.005, "budget_action": "refuse"}}
    async with (
        biller(slow=Way(tokens=100, wait=0.3)) as bill,
        router(tmp_path, a_house(bill, devices=devices)) as client,
    ):
        await ask(client, "slow")
        for _ in range(30):
            await ask(client, "slow", patience=0.05, max_tokens=100)
        await client.app.house.gateway.idle()
        await bill.done()
        spent = sum(row["cost_usd"] for row in await client.audit())
    assert bill.billed <= Decimal("0.005")
    assert spent == near(bill.billed)


async def make_known(client, bill, model):
    """Let guests ask a model some times, by which it is known to hide nothing and how long it writes; they are not counted."""
    guest = a_body(SAY, f"lab/{model}", stream=True, max_tokens=40)
    for _ in range(3):
        async with client.http.post(client.url + ASK, json=guest) as reply:
            await reply.read()
    await client.app.house.gateway.idle()
    bill.items.clear()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", [{"daily_budget": 0.005, "budget_action": "refuse"}, {"tpm": 500}])
async def test_what_is_read_on_is_dropped_where_a_limit_is_reached(tmp_path, stream, limit):
    async with (
        biller(slow=Way(tokens=4000, wait=0.3, rate=800)) as bill,
        router(tmp_path, a_house(bill, devices={"kid": limit})) as client,
    ):
        await make_known(client, bill, "slow")
        await asyncio.gather(*(ask(client, "slow", stream=stream, patience=0.15) for _ in range(4)))
        await client.app.house.gateway.idle()
        await bill.done()
        spent = sum(row["cost_usd"] for row in await client.audit() if row["device_id"] == "kid")
    assert len(bill.items) == 4
    assert 0.003 < bill.billed <= Decimal("0.005") + 800 * Decimal("0.00001")  # and a second of one request
    assert spent == near(bill.billed, 0.8, 1.3)


async def test_a_client_that_left_may_ask_again_at_once(tmp_path):
    devices = {"defaults": {"parallel": 1}}
    async with biller(slow=Way(wait=0.5)) as bill, router(tmp_path, a_house(bill, devices=devices)) as client:
        await ask(client, "slow", patience=0.1)
        status, _ = await ask(client, "slow")
    assert status == 200


@pytest.mark.parametrize("fault", ["empty", "cut", "not_json", "silent"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_try_that_is_thrown_away_is_paid_beside_the_answer(tmp_path, fault, stream):
    ways = {"bad": Way(fault=fault, tokens=60, rate=100), "good": Way()}
    timeouts = {"first_token": 1.0}
    async with (
        biller(**ways) as bill,
        router(tmp_path, a_house(bill, timeouts=timeouts, fallbacks={"lab/bad": ["lab/good"]})) as client,
    ):
        await ask(client, "good")
        status, headers = await ask(client, "bad", stream=stream)
        row = await booked(client, bill, 2)
    _before, *tries = bill.items
    assert status == (200 if fault != "cut" or not stream else status)
    told = Decimal(str(row["cost_usd"]))
    exact = fault == "empty" or (fault == "not_json" and not stream)
    assert float(told) == near(sum(item.cost for item in tries), *((0.999, 1.001) if exact else (0.6, 2.5)))
    if not stream:
        assert Decimal(headers["x-cheaprouter-cost-usd"]) == told


async def test_a_filtered_answer_is_returned_as_it_is_and_booked(tmp_path):
    async with biller(bad=Way(fault="filter")) as bill, router(tmp_path, a_house(bill)) as client:
        status, _ = await ask(client, "bad")
        row = await booked(client, bill)
    assert (status, row["status"]) == (200, 200)
    assert row["cost_usd"] == pytest.approx(float(bill.billed))


async def test_a_filtered_answer_that_another_model_replaces_is_booked_too(tmp_path):
    more = {"fallbacks": {"lab/bad": ["lab/good"]}, "routing": {"fallback_on_content_filter": True}}
    async with biller(bad=Way(fault="filter"), good=Way()) as bill, router(tmp_path, a_house(bill, **more)) as client:
        await ask(client, "bad")
        row = await booked(client, bill)
    assert row["routed_model"] == "lab/good"
    assert row["cost_usd"] == pytest.approx(float(bill.billed))


async def test_what_an_upstream_refuses_costs_nothing(tmp_path):
    async with biller(bad=Way(fault="refuse")) as bill, router(tmp_path, a_house(bill)) as client:
        await ask(client, "bad")
        row = await booked(client, bill)
    assert (row["status"], row["cost_usd"], row["prompt_tokens"]) == (503, 0, 0)


@pytest.mark.parametrize("hidden", [0, 200])
async def test_a_stream_that_is_left_is_cut_and_booked_by_what_was_written(tmp_path, hidden):
    async with (
        biller(m=Way(tokens=hidden + 400, rate=200, hidden=hidden)) as bill,
        router(tmp_path, a_house(bill)) as client,
    ):
        for _ in range(3):
            await ask(client, "m", max_tokens=hidden + 60)
        billed = bill.billed
        await ask(client, "m", stream=True, patience=hidden / 200 + 1.0)
        row = await booked(client, bill, 4)
    assert row["status"] == 499
    assert bill.items[-1].output < hidden + 300
    assert row["cost_usd"] == near(bill.billed - billed, 0.7, 1.4)


async def test_what_was_under_way_at_a_kill_is_booked_once_at_the_next_start(tmp_path):
    async with biller(slow=Way(wait=0.02, tokens=20), never=Way(fault="silent", tokens=60)) as bill:
        (tmp_path / "cheaprouter.yaml").write_text(yaml.safe_dump(a_house(bill)))
        async with serve(tmp_path) as process, aiohttp.ClientSession() as http:
            async with http.post(process.url + ASK, json=a_body(SAY, "lab/slow")) as reply:
                assert reply.status == 200
            assert len(await audit(http, process)) == 1
            body, headers = a_body(SAY, "lab/never", max_tokens=60), {"X-Device-ID": "kid"}
            sent = [asyncio.ensure_future(http.post(process.url + ASK, json=body, headers=headers)) for _ in range(5)]
            await until(lambda: len(bill.items) == 6 and all(item.output for item in bill.items))
            await asyncio.sleep(1)
            process.signal(signal.SIGKILL)
            await process.ended()
            await asyncio.gather(*sent, return_exceptions=True)
        for _ in range(2):
            async with serve(tmp_path) as process, aiohttp.ClientSession() as http:
                rows = await audit(http, process)
                async with http.get(f"{process.url}/router/devices/kid", headers=process.admin()) as reply:
                    state = (await reply.json())["state"]
                process.signal(signal.SIGKILL)
                await process.ended()
    orphans = [row for row in rows if row["error"] == "interrupted"]
    assert (len(rows), len(orphans)) == (6, 5)
    assert {(row["device_id"], row["status"], row["routed_model"]) for row in orphans} == {("kid", 500, "lab/never")}
    assert sum(row["cost_usd"] for row in orphans) == near(sum(item.cost for item in bill.items[1:]), 0.7, 1.3)
    assert state["cost_today"] == pytest.approx(sum(row["cost_usd"] for row in orphans))


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_long_answer_that_a_kill_interrupts_is_booked_by_what_was_written_of_it(tmp_path, stream, n):
    ways = {"long": Way(tokens=40 * n, rate=800.0 * n)}
    async with biller(**ways) as bill:
        (tmp_path / "cheaprouter.yaml").write_text(yaml.safe_dump(a_house(bill)))
        async with serve(tmp_path) as process, aiohttp.ClientSession() as http:
            for _ in range(4):
                async with http.post(process.url + ASK, json=a_body(SAY, "lab/long", stream=True)) as reply:
                    await reply.read()
            bill.ways["long"] = Way(tokens=9000, rate=800.0 * n)
            sent = asyncio.ensure_future(http.post(process.url + ASK, json=a_body(SAY, "lab/long", stream=stream, n=n)))
            await until(lambda: bill.items[-1].output > 3000)  # more than is set aside for each of its `n` at first
            process.signal(signal.SIGKILL)
            await process.ended()
            await asyncio.gather(sent, return_exceptions=True)
        async with serve(tmp_path) as process, aiohttp.ClientSession() as http:
            row = (await audit(http, process))[0]
    assert row["error"] == "interrupted"
    assert row["cost_usd"] == near(bill.items[-1].cost, 0.7, 1.5)


async def test_a_stream_at_a_vendor_that_goes_on_writing_is_booked_as_a_whole_answer(tmp_path):
    async with (
        biller(m=Way(tokens=200, rate=200, stops=False)) as bill,
        router(tmp_path, a_house(bill, kind="groq")) as client,
    ):
        for _ in range(4):
            await ask(client, "m")
        billed = bill.billed
        await ask(client, "m", stream=True, patience=0.5)
        row = await booked(client, bill, 5)
    assert row["status"] == 499
    assert row["cost_usd"] == near(bill.billed - billed, 0.5, 1.5)


@pytest.mark.parametrize("aiohttps_road", [False, True])
async def test_a_stream_that_goes_on_without_its_client_is_read_to_what_it_cost(tmp_path, aiohttps_road):
    async with (
        biller(m=Way(tokens=400, rate=400, stops=False)) as bill,
        router(tmp_path, a_house(bill, kind="groq")) as client,
    ):
        sent = a_body(SAY, "lab/m", stream=True)
        async with client.http.post(client.url + ASK, json=sent, expect100=aiohttps_road) as reply:
            await reply.content.readuntil(b"abc")
            reply.close()
        row = await booked(client, bill)
    assert (row["status"], row["error"], row["completion_tokens"]) == (499, "client_disconnected", 400)
    assert row["cost_usd"] == pytest.approx(float(bill.billed))


async def test_streams_that_cannot_be_ended_stay_within_a_budget(tmp_path):
    devices = {"kid": {"daily_budget": 0.005, "budget_action": "refuse"}}
    async with (
        biller(m=Way(tokens=1000, rate=1000, stops=False)) as bill,
        router(tmp_path, a_house(bill, kind="groq", devices=devices)) as client,
    ):
        await make_known(client, bill, "m")
        await asyncio.gather(*(ask(client, "m", stream=True, patience=0.3) for _ in range(8)))
        await client.app.house.gateway.idle()
        await bill.done()
    assert 0.001 < bill.billed <= Decimal("0.005")


async def test_what_a_stop_cuts_off_is_booked_at_its_estimate(tmp_path, monkeypatch):
    monkeypatch.setattr("cheaprouter.main.app.DRAIN_SECONDS", 0.01)
    async with biller(slow=Way(tokens=400, rate=100)) as bill:
        async with router(tmp_path, a_house(bill)) as client:
            asked = asyncio.ensure_future(ask(client, "slow"))
            await until(lambda: bill.items and bill.items[0].output > 50)
            await client.app.drain()
        await asyncio.gather(asked, return_exceptions=True)
        async with router(tmp_path, a_house(bill)) as client:
            row = await booked(client, bill)
    assert (row["status"], row["error"]) == (503, "shutting_down")
    assert row["cost_usd"] == near(bill.billed, 0.5, 2)


async def test_what_is_read_on_is_estimated_at_a_stop(tmp_path):
    async with biller(slow=Way(tokens=400, rate=100)) as bill:
        async with router(tmp_path, a_house(bill)) as client:
            await ask(client, "slow", patience=0.6)
        async with router(tmp_path, a_house(bill)) as client:
            row = await booked(client, bill)
    assert (row["status"], row["error"]) == (499, "client_disconnected")  # its client left before we did
    assert row["cost_usd"] == near(bill.billed, 0.5, 2)


async def test_only_so_many_answers_are_read_on_for_one_device(tmp_path):
    async with biller(slow=Way(tokens=100, rate=50)) as bill, router(tmp_path, a_house(bill)) as client:
        await asyncio.gather(*(ask(client, "slow", patience=0.3) for _ in range(12)))
        await until(lambda: len(bill.items) == 12)
        await until(lambda: sum(item.open for item in bill.items) == 8)
        await booked(client, bill, 12)
    assert sorted(item.output == 100 for item in bill.items) == [False] * 4 + [True] * 8


async def test_the_prompts_of_those_that_are_dropped_at_once_are_booked(tmp_path):
    async with biller(slow=Way(tokens=20, wait=0.5)) as bill, router(tmp_path, a_house(bill)) as client:
        await asyncio.gather(*(ask(client, "slow", patience=0.2) for _ in range(12)))
        await until(lambda: len(bill.items) == 12)
        await booked(client, bill, 12)
        rows = await client.audit()
    assert min(row["prompt_tokens"] for row in rows) == bill.items[0].prompt
    assert sum(row["cost_usd"] for row in rows) == near(bill.billed, 0.995, 2)  # nothing is known of the model yet


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_that_are_neither_shown_nor_counted_are_booked_by_the_time_they_took(tmp_path, stream):
    ways = {"quick": Way(tokens=80, rate=250), "deep": Way(tokens=300, hidden=200, rate=200, usage=False)}
    async with biller(**ways) as bill:
        settings = a_house(bill)
        settings["providers"]["lab"]["models"][1]["capabilities"] = ["reasoning"]
        async with router(tmp_path, settings) as client:
            for _ in range(5):
                await ask(client, "quick", stream=stream)
            before = bill.billed
            for _ in range(2):
                await ask(client, "deep", stream=stream)
            await booked(client, bill, 7)
            spent = sum(row["cost_usd"] for row in (await client.audit())[:2])
    assert spent == near(bill.billed - before, 0.85, 1.25)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_over_mqtt_that_is_given_up_is_booked_what_was_billed(tmp_path, stream):
    async with biller(slow=Way(wait=0.4)) as bill, router(tmp_path, a_house(bill)) as client:
        asked = parse(a_body(SAY, "lab/slow", stream=stream), wire="events")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.app.house.gateway.serve(asked, Caller("esp", source="mqtt"), via="mqtt")
        row = await booked(client, bill)
    assert (row["status"], row["device_id"]) == (499, "esp")
    assert row["cost_usd"] == pytest.approx(float(bill.billed))
