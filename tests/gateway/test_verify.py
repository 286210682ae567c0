"""Answers looked at before they leave, through a whole router: caught, replaced once, booked, and told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from decimal import Decimal
from typing import Any

import openai
import pytest

from cheaprouter.core.events import AnswerCaught
from tests.builders import a_house, a_model_row, a_provider, saying, sse, until
from tests.fakes.fault_server import (
    DONE,
    ROLE,
    USAGE,
    Close,
    Send,
    Stall,
    delta,
    fault_server,
    http_chunk,
    stream,
    words,
)
from tests.fakes.faults import error
from tests.fakes.router import router

LIST = """Static Context: An overview of the areas and the devices in this smart home:
- names: Kitchen Light
  domain: light
  areas: Kitchen
"""
TOOL = {
    "type": "function",
    "function": {
        "name": "HassTurnOn",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}
RIGHT, WRONG = {"name": "Kitchen Light"}, {"name": "lamp.kitchen"}
CALLED = sse(delta("tool_calls"))


def call(arguments: Any, name: str = "HassTurnOn", index: int = 0, choice: int = 0) -> list[bytes]:
    """A tool call as a stream tells it: its beginning, and its arguments in two pieces."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    one = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = [[one], *([{"index": index, "function": {"arguments": part}}] for part in (text[:5], text[5:]))]
    made = [delta(tool_calls=piece) for piece in pieces]
    for each in made:
        each["choices"][0]["index"] = choice
    return [sse(each) for each in made]


def calling(arguments: Any, name: str = "HassTurnOn") -> tuple:
    return stream(ROLE, *call(arguments, name), CALLED, USAGE, DONE)


def saying_that(*texts: str, finish: str = "stop") -> tuple:
    return stream(ROLE, *words(*texts), sse(delta(finish)), USAGE, DONE)


def house(server, **settings: Any) -> dict[str, Any]:
    """A small model that is asked first, and a good one that is dear."""
    models = [
        a_model_row("lab/small", upstream="small", quality=30, price={"input": 1, "output": 2}),
        a_model_row("lab/big", upstream="big", quality=80, price={"input": 100, "output": 200}),
    ]
    return a_house(server.url, *models, routing={"profile": "eco"}, **settings)


async def ask(client, **fields: Any):
    fields = {
        "model": "blockrun/eco",
        "messages": [{"role": "system", "content": LIST}, *saying("Turn on the kitchen light.")],
        "tools": [TOOL],
        **fields,
    }
    return await client.sdk.chat.completions.with_raw_response.create(**fields)


async def streamed(client, **fields: Any) -> tuple[Any, list[Any], str, list[tuple[str, str]]]:
    """A stream's headers, chunks, text, and calls put together."""
    raw = await ask(client, stream=True, **fields)
    chunks = [chunk async for chunk in raw.parse()]
    calls: dict[int, list[str]] = {}
    text = ""
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        text += choice.delta.content or ""
        for one in choice.delta.tool_calls or ():
            made = calls.setdefault(one.index, ["", ""])
            made[0] += one.function.name or ""
            made[1] += one.function.arguments or ""
    return raw.headers, chunks, text, [(name, arguments) for name, arguments in calls.values()]


async def last_reason(client) -> str:
    """As the status page tells it."""
    return (await client.app.house.control.reports.recent(1))[0]["reason"]


class Told(list):
    """The faults that were published."""

    def __init__(self, client) -> None:
        super().__init__()
        client.app.house.bus.on(self.append, AnswerCaught)

    @property
    def words(self) -> list[tuple[str, str, bool]]:
        return [(one.model_id, one.fault, one.replaced) for one in self]


@pytest.mark.parametrize("plain", [True, False])
async def test_a_call_about_something_that_is_not_listed_is_made_by_a_better_model(tmp_path, plain):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        told = Told(client)
        server.script("small", calling(WRONG))
        server.script("big", calling(RIGHT))
        if plain:
            raw = await ask(client)
            headers = raw.headers
            arguments = raw.parse().choices[0].message.tool_calls[0].function.arguments
        else:
            headers, _, _, [(_, arguments)] = await streamed(client)
        row = (await client.audit())[0]
        reason = await last_reason(client)
        metrics = await (await client.http.get(client.url + "/metrics", headers=client.admin())).text()
    assert json.loads(arguments) == RIGHT
    assert headers["x-cheaprouter-model"] == row["routed_model"] == "lab/big"
    assert headers["x-cheaprouter-attempts"] == "2"
    assert "lamp.kitchen is not in the request's list" in headers["x-cheaprouter-reason"]
    assert told.words == [("lab/small", "unknown_entity", True)]
    # Both tries were answered, and are billed: 11 tokens in and 7 out each.
    assert Decimal(str(row["cost_usd"])) == Decimal("0.0025") + Decimal("0.000025")
    assert row["total_tokens"] == 36
    if plain:
        assert Decimal(headers["x-cheaprouter-cost-usd"]) == Decimal("0.002525")
    assert "lamp.kitchen" in reason
    assert 'cheaprouter_answers_caught_total{model="lab/small",fault="unknown_entity",replaced="true"} 1' in metrics


FAULTS = {
    "unknown_tool": call({}, "HassOpenDoor"),
    "bad_arguments": call({"name": 5}),
    "missing": call({}),
    "no_json": call('{"name": "Kitc'),
    "second": [*call(RIGHT), *call(WRONG, index=1)],
    "other choice": [*call(RIGHT), *call(WRONG, choice=1)],
    "blank before": [*words("\n\n"), *call(WRONG)],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("plain", [True, False])
async def test_whatever_is_wrong_with_a_call_is_caught_before_anything_left(tmp_path, fault, plain):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        ends = [
            CALLED,
            sse({**delta("tool_calls"), "choices": [{"index": 1, "delta": {}, "finish_reason": "tool_calls"}]}),
        ]
        choices = {"n": 2} if fault == "other choice" else {}
        server.script("small", stream(ROLE, *FAULTS[fault], *ends[: 1 + len(choices)], USAGE, DONE))
        server.script("big", calling(RIGHT))
        raw = await ask(client, **choices) if plain else None
        headers = raw.headers if raw is not None else (await streamed(client, **choices))[0]
    assert headers["x-cheaprouter-model"] == "lab/big"
    assert len(server.asked("small")) == len(server.asked("big")) == 1


@pytest.mark.parametrize("plain", [True, False])
async def test_a_right_call_goes_out_from_the_small_model(tmp_path, plain):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("small", calling(RIGHT))
        raw = await ask(client) if plain else None
        headers = raw.headers if raw is not None else (await streamed(client))[0]
    assert headers["x-cheaprouter-model"] == "lab/small"
    assert headers["x-cheaprouter-attempts"] == "1"
    assert not server.asked("big")


@pytest.mark.parametrize("plain", [True, False])
async def test_a_model_asked_for_by_name_is_reported_and_never_replaced(tmp_path, plain):
    stand_ins = {"lab/small": ["lab/big"]}
    async with fault_server() as server, router(tmp_path, house(server, fallbacks=stand_ins)) as client:
        told = Told(client)
        server.script("small", calling(WRONG))
        if plain:
            raw = await ask(client, model="lab/small")
            call_made = raw.parse().choices[0].message.tool_calls[0].function.arguments
        else:
            _, _, _, [(_, call_made)] = await streamed(client, model="lab/small")
        reason = await last_reason(client)
    assert json.loads(call_made) == WRONG
    assert not server.asked("big")
    assert told.words == [("lab/small", "unknown_entity", False)]
    assert "lamp.kitchen is not in the request's list" in reason


async def test_a_named_models_call_is_not_held_back(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        begun = [ROLE, *call(RIGHT)[:2]]
        server.script(
            "small",
            stream(
                *begun,
                then=(
                    Stall(),
                    *(Send(http_chunk(piece)) for piece in [call(RIGHT)[2], CALLED, DONE]),
                    Send(b"0\r\n\r\n"),
                ),
            ),
        )
        raw = await ask(client, model="lab/small", stream=True)
        chunks = raw.parse().__aiter__()
        while not (await anext(chunks)).choices[0].delta.tool_calls:
            pass
        server.gate.set()
        rest = [chunk async for chunk in chunks]
    assert rest[-1].choices[0].finish_reason == "tool_calls"


async def test_a_call_is_held_back_until_it_is_whole_and_text_never_is(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        rest = [Send(http_chunk(piece)) for piece in [*call(WRONG), CALLED, USAGE, DONE]]
        server.script("small", stream(ROLE, *words("Let me see. "), then=(Stall(), *rest, Send(b"0\r\n\r\n"))))
        told = Told(client)
        raw = await ask(client, stream=True)
        chunks = raw.parse().__aiter__()
        while not (await anext(chunks)).choices[0].delta.content:
            pass  # the text has come although the call has not
        server.gate.set()
        later = [chunk async for chunk in chunks]
        reason = await last_reason(client)
    assert any(choice.delta.tool_calls for chunk in later for choice in chunk.choices)
    assert told.words == [("lab/small", "unknown_entity", False)]  # too late to be replaced, and told all the same
    assert "lamp.kitchen" in reason


async def test_off_looks_at_nothing(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server, verify=False)) as client:
        told = Told(client)
        server.script("small", calling(WRONG))
        _, _, _, [(_, arguments)] = await streamed(client)
    assert json.loads(arguments) == WRONG
    assert not told


@pytest.mark.parametrize("second", [error(500), error(429), calling(WRONG)])
@pytest.mark.parametrize("plain", [True, False])
async def test_there_is_one_escalation_and_an_answer_is_never_lost_for_it(tmp_path, second, plain):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("small", calling(WRONG))
        server.script("big", second)
        if plain:
            raw = await ask(client)
            headers, made = raw.headers, raw.parse().choices[0].message.tool_calls[0].function.arguments
        else:
            headers, _, _, [(_, made)] = await streamed(client)
        row = (await client.audit())[0]
        health = client.app.house.gateway.pool.status(client.app.house.gateway.world.upstreams)
    assert json.loads(made) == WRONG
    served = "lab/big" if second == calling(WRONG) else "lab/small"
    assert headers["x-cheaprouter-model"] == row["routed_model"] == served
    assert len(server.asked("small")) == len(server.asked("big")) == 1
    cost = Decimal("0.002525") if served == "lab/big" else Decimal("0.000025")
    assert Decimal(str(row["cost_usd"])) == cost
    assert row["status"] == 200
    assert [one["name"] for one in health if one["name"] == "lab"]


async def test_what_was_taken_back_is_in_no_budget(tmp_path):
    devices = {"test": {"daily_budget": 1}}
    async with fault_server() as server, router(tmp_path, house(server, devices=devices)) as client:
        server.script("small", calling(WRONG))
        server.script("big", error(500))
        await ask(client)
        spent = client.app.house.accounts.ledger.spent("test", client.app.house.accounts.calendar.current)
    assert spent[0] == 25_000_000  # pico-dollars: the small answer, once


async def test_a_better_model_that_no_budget_allows_is_not_asked(tmp_path):
    devices = {"test": {"daily_budget": 0.001}}
    async with fault_server() as server, router(tmp_path, house(server, devices=devices)) as client:
        server.script("small", calling(WRONG))
        raw = await ask(client, max_tokens=50)
    assert raw.headers["x-cheaprouter-model"] == "lab/small"
    assert "lamp.kitchen" in raw.headers["x-cheaprouter-reason"]
    assert not server.asked("big")


async def leave(client, server, model: str) -> dict[str, Any]:
    """Ask for a stream, and go once that model was asked; what was booked."""
    asked = asyncio.create_task(ask(client, stream=True, max_tokens=50))
    await until(lambda: server.asked(model))
    await asyncio.wait_for(server.waiting.wait(), 10)
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked
    server.gate.set()  # what is still read of it ends
    return (await until(client.audit))[0]


async def test_a_client_that_leaves_while_a_call_is_held_back_is_booked_for_it(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("small", stream(ROLE, *call(RIGHT)[:2], then=(Stall(), Close())))
        row = await leave(client, server, "small")
    assert row["status"] == 499
    assert row["routed_model"] == "lab/small"
    assert row["completion_tokens"] > 0


async def test_a_client_that_leaves_while_a_better_model_is_asked_pays_for_both(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("small", calling(WRONG))
        server.script("big", stream(ROLE, then=(Stall(), Close())))
        row = await leave(client, server, "big")
    assert row["status"] == 499
    assert row["cost_usd"] > 0.000025  # what the small one took, and what the better one may have


async def test_a_call_that_is_held_back_is_cut_where_its_budget_ends(tmp_path):
    devices = {"test": {"daily_budget": 0.002}}
    long = json.dumps({"name": "x" * 20_000})
    pieces = [
        sse(delta(tool_calls=[{"index": 0, "function": {"arguments": long[at : at + 200]}}]))
        for at in range(0, len(long), 200)
    ]
    begun = call({})[0]
    async with fault_server() as server, router(tmp_path, house(server, devices=devices)) as client:
        server.script("small", stream(ROLE, begun, *pieces, then=(Stall(), Close())))
        raw = await ask(client, stream=True)
        with pytest.raises(openai.APIError, match="budget"):
            async for _ in raw.parse():
                pass
        row = (await until(client.audit))[0]
    assert row["error"] == "insufficient_quota"
    assert not server.asked("big")


async def test_where_nothing_is_better_the_answer_goes_out_and_is_told(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("big", calling(WRONG))
        raw = await ask(client, model="blockrun/premium")
    assert raw.headers["x-cheaprouter-model"] == "lab/big"
    assert "lamp.kitchen" in raw.headers["x-cheaprouter-reason"]
    assert not server.asked("small")


async def test_the_device_may_not_use_the_better_model(tmp_path):
    devices = {"test": {"exclude": ["lab/big"]}}
    async with fault_server() as server, router(tmp_path, house(server, devices=devices)) as client:
        server.script("small", calling(WRONG))
        raw = await ask(client)
    assert raw.headers["x-cheaprouter-model"] == "lab/small"
    assert not server.asked("big")


async def test_a_stand_ins_answer_is_looked_at_like_the_first_ones(tmp_path):
    tiny = a_model_row("lab/tiny", upstream="tiny", quality=30, price={"input": 0.1, "output": 0.1})
    async with fault_server() as server:
        settings = house(server)
        settings["providers"]["lab"]["models"].insert(0, tiny)
        async with router(tmp_path, settings) as client:
            server.script("tiny", error(500))
            server.script("small", calling(WRONG))
            server.script("big", calling(RIGHT))
            raw = await ask(client)
    assert raw.headers["x-cheaprouter-model"] == "lab/big"


async def test_a_stream_that_breaks_off_while_it_is_held_is_anothers_turn(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        server.script("small", stream(ROLE, *call(RIGHT)[:2]))
        server.script("big", calling(RIGHT))
        headers, _, _, [(_, arguments)] = await streamed(client)
    assert json.loads(arguments) == RIGHT
    assert headers["x-cheaprouter-model"] == "lab/big"


SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "required": ["answer"]}}}


@pytest.mark.parametrize("mode", ["tools", "on"])
async def test_json_that_does_not_fit_is_written_by_a_better_model(tmp_path, mode):
    async with fault_server() as server, router(tmp_path, house(server, verify=mode)) as client:
        server.script("small", saying_that('{"reply": 1}'))
        server.script("big", saying_that('{"answer": 1}'))
        raw = await ask(client, response_format=SCHEMA, tools=None)
    assert raw.parse().choices[0].message.content == '{"answer": 1}'
    assert "`answer` is missing" in raw.headers["x-cheaprouter-reason"]


async def test_a_plain_answer_that_writes_its_call_down_is_replaced_and_a_stream_is_not_held_for_it(tmp_path):
    async with fault_server() as server, router(tmp_path, house(server)) as client:
        told = Told(client)
        server.script("small", saying_that("Use this: ", "HassTurnOn('Kitchen Light')"))
        server.script("big", calling(RIGHT))
        raw = await ask(client)
        rest = [Send(http_chunk(piece)) for piece in [*words("HassTurnOn('TV')"), sse(delta("stop")), DONE]]
        server.script("small", stream(ROLE, *words("Use this: "), then=(Stall(), *rest, Send(b"0\r\n\r\n"))))
        going = await ask(client, stream=True)
        server.gate.set()
        async for _ in going.parse():
            pass
    assert raw.headers["x-cheaprouter-model"] == "lab/big"
    assert going.headers["x-cheaprouter-model"] == "lab/small"
    assert told.words == [("lab/small", "written_call", True)]


REFUSAL = "I'm sorry, but I can't help with that. Please ask somebody else."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (REFUSAL, "refused_answer"),
        ("Es tut mir leid, aber ich kann dabei nicht helfen. ", "refused_answer"),
        (
            "Das Licht in der Küche ist nun an und wird von dir auch wieder ausgeschaltet, wenn du das möchtest. ",
            "wrong_language",
        ),
    ],
)
@pytest.mark.parametrize("plain", [True, False])
async def test_on_looks_at_the_first_sentence_too(tmp_path, text, fault, plain):
    async with fault_server() as server, router(tmp_path, house(server, verify=True)) as client:
        told = Told(client)
        server.script("small", saying_that(*(word + " " for word in text.split(" "))))
        server.script("big", saying_that("It is on now."))
        fields = {
            "tools": None,
            "messages": saying("What is the best way to turn on the light in the kitchen, and how do I do it?"),
        }
        if plain:
            said = (await ask(client, **fields)).parse().choices[0].message.content
        else:
            _, _, said, _ = await streamed(client, **fields)
        row = (await client.audit())[0]
    assert said == "It is on now."
    assert told.words == [("lab/small", fault, True)]
    assert row["cost_usd"] > 0.0025  # of the small one what was written until then


@pytest.mark.parametrize(
    ("words_at_first", "word_later", "held", "whole"),
    [
        (("It is on. ", "And "), "so on.", "It is on.", "It is on. And so on."),
        (("It is",), " on.", "It is", "It is on."),
    ],
    ids=["its first sentence", "its time"],
)
async def test_on_holds_a_text_no_longer_than(tmp_path, words_at_first, word_later, held, whole):
    async with fault_server() as server, router(tmp_path, house(server, verify="on")) as client:
        server.script(
            "small",
            stream(
                ROLE,
                *words(*words_at_first),
                then=(
                    Stall(),
                    Send(http_chunk(words(word_later)[0])),
                    Send(http_chunk(sse(delta("stop")))),
                    Send(http_chunk(DONE)),
                    Send(b"0\r\n\r\n"),
                ),
            ),
        )
        raw = await ask(client, tools=None, stream=True)
        chunks = raw.parse().__aiter__()
        said = ""
        while held not in said:
            said += (await anext(chunks)).choices[0].delta.content or ""
        server.gate.set()
        async for chunk in chunks:
            said += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert said == whole


@pytest.mark.parametrize("plain", [True, False])
async def test_a_refusal_that_nobody_betters_still_goes_out(tmp_path, plain):
    async with fault_server() as server, router(tmp_path, house(server, verify="on")) as client:
        server.script("small", saying_that(*(word + " " for word in REFUSAL.split(" "))))
        server.script("big", error(500))
        if plain:
            said = (await ask(client, tools=None)).parse().choices[0].message.content
        else:
            _, _, said, _ = await streamed(client, tools=None)
        row = (await client.audit())[0]
    assert said.strip() == REFUSAL
    assert Decimal(str(row["cost_usd"])) == Decimal("0.000025")


async def test_an_upstream_in_anthropics_words_is_looked_at_too(tmp_path):
    body = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "small",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "HassTurnOn", "input": WRONG}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 11, "output_tokens": 7},
    }  # fmt: skip
    start = {"type": "message_start", "message": {**body, "content": [], "stop_reason": None}}
    block = {"type": "tool_use", "id": "toolu_1", "name": "HassTurnOn", "input": {}}
    events = [
        start,
        {"type": "content_block_start", "index": 0, "content_block": block},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": json.dumps(WRONG)},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    told = [b"event: %b\n%b" % (one["type"].encode(), sse(one)) for one in events]
    async with fault_server() as server:
        settings = house(server)
        models = settings["providers"]["lab"]["models"]
        settings["providers"] = {
            "claude": a_provider(server.url, {**models[0], "id": "claude/small"}, kind="anthropic"),
            "lab": a_provider(server.url, models[1]),
        }
        async with router(tmp_path, settings) as client:
            server.script("small", stream(*told))
            server.script("big", calling(RIGHT))
            raw = await ask(client)
            headers, *_ = await streamed(client)
    assert raw.headers["x-cheaprouter-model"] == headers["x-cheaprouter-model"] == "lab/big"
