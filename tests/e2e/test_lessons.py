"""What the systems before this one got wrong, each held against the whole router with a real upstream."""

import dataclasses
import inspect
import re
from pathlib import Path

import openai
import pytest

import cheaprouter
from cheaprouter.config import settings as all_settings
from tests.builders import a_house, a_model_row, saying
from tests.fakes.fault_server import GOOD, fault_server, reply
from tests.fakes.router import router

ROOT = Path(cheaprouter.__file__).parent
ASK = saying("What is the capital of Japan?")


@pytest.fixture
async def upstream():
    async with fault_server() as server:
        yield server


async def test_a_model_whose_name_is_not_ascii_does_not_break_a_reply_that_was_paid_for(upstream, tmp_path):
    async with router(tmp_path, a_house(upstream.url, a_model_row("lab/modèle-大"))) as client:
        raw = await client.sdk.chat.completions.with_raw_response.create(model="lab/modèle-大", messages=ASK)
    assert raw.parse().choices[0].message.content
    assert all(value.isascii() for value in raw.headers.values())


async def test_an_asked_for_name_cannot_add_a_header(upstream, tmp_path):
    aliases = {"*": "lab/small"}
    async with router(tmp_path, a_house(upstream.url, a_model_row("lab/small"), aliases=aliases)) as client:
        raw = await client.sdk.chat.completions.with_raw_response.create(model="a\r\nx-evil: 1", messages=ASK)
    assert "x-evil" not in raw.headers


async def test_a_429_says_when_to_come_back_and_is_audited_and_counted(upstream, tmp_path):
    devices = {"defaults": {"rpm": 1}}
    async with router(tmp_path, a_house(upstream.url, a_model_row("lab/small"), devices=devices)) as client:
        await client.sdk.chat.completions.create(model="lab/small", messages=ASK)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.sdk.chat.completions.create(model="lab/small", messages=ASK)
        newest = (await client.audit())[0]
        state = (await client.get("/router/devices/test"))["state"]
    assert int(refused.value.response.headers["retry-after"]) in range(1, 61)
    assert (newest["status"], newest["error"]) == (429, "rate_limit_exceeded")
    assert (state["requests"], state["limit_hits"]) == (2, 1)


async def test_a_denial_by_policy_never_falls_back(upstream, tmp_path):
    devices = {"test": {"models": ["lab/small"]}}
    fallbacks = {"lab/big": ["lab/small"]}
    settings = a_house(
        upstream.url, a_model_row("lab/small"), a_model_row("lab/big"), devices=devices, fallbacks=fallbacks
    )
    async with router(tmp_path, settings) as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.sdk.chat.completions.create(model="lab/big", messages=ASK)
    assert [request for request in upstream.requests if request.method == "POST"] == []


async def test_a_failure_is_not_remembered_where_answers_are(upstream, tmp_path):
    upstream.script("small", reply(400, {"error": {"message": "no", "type": "invalid_request_error"}}), GOOD)
    async with router(tmp_path, a_house(upstream.url, a_model_row("lab/small"), cache={"enabled": True})) as client:
        with pytest.raises(openai.BadRequestError):
            await client.sdk.chat.completions.create(model="lab/small", messages=ASK)
        again = await client.sdk.chat.completions.create(model="lab/small", messages=ASK)
    assert again.choices[0].message.content


async def test_a_history_is_never_cut(upstream, tmp_path):
    history = saying(*(f"turn {i}" for i in range(101)))
    async with router(tmp_path, a_house(upstream.url, a_model_row("lab/small"))) as client:
        await client.sdk.chat.completions.create(model="lab/small", messages=history, extra_body={"x_new": {"a": [1]}})
    sent = upstream.asked("small")[0].json
    assert (sent["messages"], sent["x_new"]) == (history, {"a": [1]})


async def test_free_goes_on_to_the_next_free_model_when_one_refuses(upstream, tmp_path):
    gone = {
        "error": {"message": "The model does not exist", "type": "invalid_request_error", "code": "model_not_found"}
    }
    free = {"price": {"input": 0, "output": 0}}
    upstream.script("first", reply(404, gone))
    settings = a_house(
        upstream.url, a_model_row("lab/first", **free, quality=60), a_model_row("lab/second", **free, quality=50)
    )
    async with router(tmp_path, settings) as client:
        raw = await client.sdk.chat.completions.with_raw_response.create(model="blockrun/free", messages=ASK)
    assert raw.headers["x-cheaprouter-model"] == "lab/second"
    assert raw.headers["x-cheaprouter-cost-usd"] == "0"


async def test_a_cost_ceiling_reads_the_newer_name_of_the_output_limit(upstream, tmp_path):
    devices = {"test": {"daily_budget": 0.0001}}
    settings = a_house(upstream.url, a_model_row("lab/small", price={"input": 0, "output": 1}), devices=devices)
    async with router(tmp_path, settings) as client:
        for asked in (1000, 50):
            await client.sdk.chat.completions.create(model="lab/small", messages=ASK, max_completion_tokens=asked)
    sent = [request.json for request in upstream.asked("small")]
    assert [body["max_completion_tokens"] for body in sent] == [100, 50]
    assert not any("max_tokens" in body for body in sent)


def test_every_setting_is_read_by_something():
    code = "\n".join(path.read_text() for path in ROOT.rglob("*.py") if path.parent.name != "config")
    unread = [
        f"{name}.{field.name}"
        for name, kind in inspect.getmembers(all_settings, inspect.isclass)
        if dataclasses.is_dataclass(kind)
        for field in dataclasses.fields(kind)
        if not re.search(rf"\.{field.name}\b", code)
    ]
    assert unread == []
