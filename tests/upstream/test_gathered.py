"""Plain requests, which are asked for as streams and gathered, wherever an upstream can stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cheaprouter.config.kinds import Timeouts
from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.models import Usage
from cheaprouter.providers.adapter import header_limit
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.failures import Action
from cheaprouter.providers.gathering import Gathering
from cheaprouter.providers.transport import Response, TransportError
from cheaprouter.upstream.call import Asker, transport_failure
from cheaprouter.upstream.health import Health, Observer
from cheaprouter.upstream.outcome import StreamReply, UpstreamFailed, WholeReply
from cheaprouter.upstream.reply import Reply
from tests.builders import HandClock, sse, text_of
from tests.fakes.fault_server import (
    DONE,
    FINISH,
    GOOD,
    ROLE,
    USAGE,
    Close,
    Reset,
    Stall,
    completion,
    delta,
    good_stream,
    reply,
    stream,
    words,
)
from tests.fakes.faults import error
from tests.providers.test_anthropic_reply import text as said
from tests.providers.test_anthropic_server_tools import FOUND, SEARCH, USE, stream_of
from tests.upstream.conftest import chat, read

BRISK = Timeouts(connect=1, first_token=0.05, idle=0.05, total=9)


def body(reply: WholeReply | StreamReply) -> Any:
    assert isinstance(reply, WholeReply)
    return json.loads(reply.body)


async def test_a_plain_request_is_asked_for_as_a_stream_and_answered_whole(bench):
    bench.server.script("faulty", good_stream("Hello ", "you."))
    got = await bench.pool.send([bench.faulty], chat())
    assert bench.server.requests[0].json["stream"] is True
    assert body(got)["object"] == "chat.completion"
    assert body(got)["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello you."},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body(got)["usage"]["total_tokens"] == 18
    assert (got.usage.total_tokens, got.finish_reason) == (18, "stop")


async def test_who_answers_whole_nevertheless_is_understood(bench):
    bench.server.script("faulty", reply(200, completion("Hi")))
    assert body(await bench.pool.send([bench.faulty], chat()))["choices"][0]["message"]["content"] == "Hi"


async def test_who_answers_whole_whatever_is_asked_is_given_the_time_to_write_from_then_on(bench):
    bench.server.script("faulty", reply(200, completion("Hi")))
    for _ in range(2):
        await bench.pool.send([bench.faulty], chat())
    assert [request.json.get("stream", False) for request in bench.server.requests] == [True, False]
    await bench.pool.send([bench.faulty], chat(stream=True))
    assert bench.server.requests[2].json["stream"] is True


async def test_a_stream_longer_than_is_kept_raw_is_gathered_too(bench):
    texts = [f"{number} " * 40 for number in range(2000)]
    bench.server.script("faulty", good_stream(*texts))
    got = await bench.pool.send([bench.faulty], chat())
    assert body(got)["choices"][0]["message"]["content"] == "".join(texts)


@pytest.mark.parametrize("sent", [(), stream()[:1], stream(ROLE, then=())], ids=["nothing", "headers", "role"])
async def test_a_silent_upstream_is_given_up_as_soon_as_a_streams_would_be(make_bench, sent):
    bench = make_bench(timeouts=BRISK)
    bench.server.script("faulty", (*sent, Stall()))
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert got.model == bench.spare
    assert "within 0.05 s" in got.attempts[0].message
    assert len(bench.server.asked("faulty")) == 1


async def test_who_falls_silent_in_the_middle_makes_room_for_the_next(make_bench):
    bench = make_bench(timeouts=BRISK)
    bench.server.script("faulty", stream(ROLE, *words("Hello "), then=(Stall(),)))
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert (got.model, got.attempts[0].outcome) == (bench.spare, "upstream_timeout")


@pytest.mark.parametrize("end", [Close(), Reset()])
async def test_half_an_answer_is_none(bench, end):
    bench.server.script("faulty", stream(ROLE, *words("Hello "), then=(end,)))
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert got.model == bench.spare
    assert "Hello from upstream." in body(got)["choices"][0]["message"]["content"]


async def test_an_error_after_some_text_makes_room_for_the_next(bench):
    bench.server.script(
        "faulty", stream(ROLE, *words("Hello "), sse({"error": {"message": "Overloaded", "code": 503}}))
    )
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert got.model == bench.spare


async def test_the_same_silent_model_is_not_asked_again_under_another_id(make_bench):
    bench = make_bench(timeouts=BRISK)
    twin = bench.model("twin")
    object.__setattr__(twin, "upstream", "faulty")
    bench.server.script("faulty", (Stall(),))
    got = await bench.pool.send([bench.faulty, twin, bench.spare], chat())
    assert got.model == bench.spare
    assert len(bench.server.asked("faulty")) == 1


@pytest.mark.parametrize(("silent", "action"), [(True, Action.NEXT), (False, Action.RETRY)])
def test_who_lets_a_connection_wait_is_not_asked_for_another(silent, action):
    adapter = adapter_for(ProviderSettings("lab", "openai", "http://127.0.0.1:9/v1"))
    failure = transport_failure(adapter, TransportError("upstream_unreachable", "No.", silent=silent))
    assert (failure.action, failure.code) == (action, "upstream_unreachable")


async def test_what_hangs_after_its_end_is_not_waited_for(make_bench):
    bench = make_bench(timeouts=Timeouts(connect=1, first_token=5, idle=60, total=60))
    bench.server.script("faulty", stream(ROLE, *words("Hi"), FINISH, USAGE, DONE, then=(Stall(),)))
    got = await bench.pool.send([bench.faulty], chat())
    assert body(got)["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize("transport", ["pushed", "pulled"])
async def test_an_answer_that_is_whole_counts_though_nobody_says_that_it_is(make_bench, transport, monkeypatch):
    if transport == "pulled":
        monkeypatch.setattr(Reply, "pipe", Response.pipe)
    bench = make_bench(timeouts=BRISK)
    bench.server.script("faulty", stream(ROLE, *words("Hi"), FINISH, then=(Stall(),)))
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert (got.model, got.finish_reason) == (bench.faulty, "stop")
    assert body(got)["choices"][0]["message"]["content"] == "Hi"
    assert bench.pool.healthy(bench.faulty)


async def test_one_choice_that_is_whole_is_not_the_answer(make_bench):
    bench = make_bench(timeouts=BRISK)
    other = sse({**delta(), "choices": [{"index": 1, "delta": {"content": "Oh"}, "finish_reason": None}]})
    bench.server.script("faulty", stream(ROLE, *words("Hi"), other, FINISH, then=(Stall(),)))
    got = await bench.pool.send([bench.faulty, bench.spare], chat(n=2))
    assert got.model == bench.spare


@pytest.mark.parametrize("cut", range(1, len(DONE)))
def test_an_end_that_comes_in_two_pieces_is_one(cut):
    adapter = adapter_for(ProviderSettings("lab", "openai", "http://127.0.0.1:9/v1"))
    gathering = Gathering(adapter, chat(), None, think=False)
    for piece in (ROLE, *words("Hi"), FINISH, DONE[:cut]):
        gathering.feed(piece)
        assert not gathering.over
    gathering.feed(DONE[cut:])
    assert gathering.over


async def test_tool_calls_are_gathered(bench):
    call = {"id": "call_1", "type": "function", "function": {"name": "light", "arguments": ""}}
    pieces = [
        sse(delta(tool_calls=[{"index": 0, **call}])),
        sse(delta(tool_calls=[{"index": 0, "function": {"arguments": '{"on":'}}])),
        sse(delta(tool_calls=[{"index": 0, "function": {"arguments": " true}"}}])),
        sse(delta("tool_calls")),
    ]
    bench.server.script("faulty", stream(ROLE, *pieces, USAGE, DONE))
    choice = body(await bench.pool.send([bench.faulty], chat()))["choices"][0]
    assert choice["message"]["tool_calls"] == [{**call, "function": {"name": "light", "arguments": '{"on": true}'}}]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")


async def test_a_whole_answer_of_anthropics_is_gathered(make_bench):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", stream(stream_of(said("Hello there"))))
    got = await bench.pool.send([bench.faulty], chat())
    assert bench.server.requests[0].json["stream"] is True
    assert body(got)["choices"][0]["message"]["content"] == "Hello there"
    assert got.usage.total_tokens == 1152


# --- where it is asked plainly


@pytest.mark.parametrize(
    ("kind", "more", "streamed"),
    [
        ("groq", {"response_format": {"type": "json_object"}}, False),
        ("groq", {}, True),
        ("cerebras", {"tools": [{"type": "function", "function": {"name": "f"}}]}, False),
        ("openai", {"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}}, False),
        ("openai", {"n": 2}, True),
    ],
)
async def test_what_cannot_be_streamed_is_asked_plainly(make_bench, kind, more, streamed):
    bench = make_bench(kind=kind)
    await bench.pool.send([bench.faulty], chat(**more))
    assert bench.server.requests[0].json.get("stream", False) is streamed


async def test_who_refuses_to_stream_is_asked_plainly_from_then_on(bench):
    bench.server.script("faulty", error(400, "Your organization must be verified to stream this model."), GOOD)
    for _ in range(2):
        assert body(await bench.pool.send([bench.faulty], chat()))["choices"]
    assert [request.json.get("stream", False) for request in bench.server.requests] == [True, False, False]


@pytest.mark.parametrize(
    "words", ["Streaming is not currently supported.", "stream must be false", "Unknown field: stream"]
)
async def test_a_plain_request_fails_over_no_stream_that_nobody_asked_for(bench, words):
    bench.server.script("faulty", error(400, words), reply(200, completion("Hi")))
    got = await bench.pool.send([bench.faulty], chat())
    assert body(got)["choices"][0]["message"]["content"] == "Hi"
    assert [request.json.get("stream", False) for request in bench.server.requests] == [True, False]


async def test_who_cannot_stream_tools_is_not_taken_for_one_who_has_none(bench):
    tools = [{"type": "function", "function": {"name": "f"}}]
    refused = error(400, "tool use is not supported in streaming mode")
    bench.server.script("faulty", refused, reply(200, completion("Hi")))
    await bench.pool.send([bench.faulty], chat(tools=tools))
    assert bench.pool.pool.learned.lacking == {}
    assert [request.json.get("stream", False) for request in bench.server.requests] == [True, False]


async def test_a_client_that_wants_a_stream_gets_one_of_who_refuses_to_stream(bench):
    bench.server.script("faulty", error(400, "This model does not support streaming."), reply(200, completion("Hi")))
    got = await bench.pool.send([bench.faulty], chat(stream=True, stream_options={"include_usage": True}))
    assert text_of(await read(got)) == "Hi"
    assert "stream_options" not in bench.server.requests[1].json


async def test_options_of_a_stream_go_out_with_a_stream_alone(make_bench):
    bench = make_bench(kind="groq")
    options = {"stream_options": {"include_usage": True}}
    await bench.pool.send([bench.faulty], chat(response_format={"type": "json_object"}, **options))
    assert "stream_options" not in bench.server.requests[0].json


async def test_tools_are_asked_for_plainly_where_only_they_cannot_be_streamed(bench):
    tools = [{"type": "function", "function": {"name": "f"}}]
    bench.server.script("faulty", error(500 - 100, "Cannot use tools with stream"), reply(200, completion("Hi")))
    await bench.pool.send([bench.faulty], chat(tools=tools))
    await bench.pool.send([bench.faulty], chat())
    assert [request.json.get("stream", False) for request in bench.server.requests] == [True, False, True]


async def test_streams_that_count_nothing_are_asked_for_plainly_so_that_the_bill_is_true(bench):
    bench.server.script("faulty", stream(ROLE, *words("Hi"), FINISH, DONE), reply(200, completion("Hi")))
    got = [await bench.pool.send([bench.faulty], chat()) for _ in range(2)]
    assert [reply.usage.estimated for reply in got] == [True, False]
    assert [request.json.get("stream", False) for request in bench.server.requests] == [True, False]


async def test_where_nothing_is_ever_counted_it_is_streams_again(bench):
    silent = completion("Hi")
    del silent["usage"]
    bench.server.script("faulty", stream(ROLE, *words("Hi"), FINISH, DONE), reply(200, silent), good_stream())
    for _ in range(3):
        await bench.pool.send([bench.faulty], chat())
    assert [request.json.get("stream", False) for request in bench.server.requests] == [True, False, True]


@pytest.mark.parametrize(
    ("limits", "stream", "writing", "seconds"),
    [
        (Timeouts(first_token=30, total=600), True, 50, 30),
        (Timeouts(first_token=30, total=600), False, 50, 80),
        (Timeouts(first_token=30, total=60), False, 50, 60),
        (Timeouts(first_token=30, total=600, headers=7), False, 50, 7),
    ],
)
def test_a_plain_reply_has_the_time_it_takes_to_be_written(limits, stream, writing, seconds):
    assert header_limit(limits, stream=stream, writing=writing) == seconds


def test_how_fast_a_model_writes_is_learned_from_replies_that_tell():
    observer = Observer(Health(), None, HandClock().clock())  # type: ignore[arg-type]
    assert (observer.rate("lab/a", local=False), observer.rate("lab/a", local=True)) == (20, 5)
    observer.wrote("lab/a", Usage(completion_tokens=5), 10)
    observer.wrote("lab/a", Usage(completion_tokens=500), 0.1)
    assert observer.rate("lab/a", local=False) == 20
    observer.wrote("lab/a", Usage(completion_tokens=500, reasoning_tokens=100), 10)
    assert observer.rate("lab/a", local=False) == 40
    observer.wrote("lab/a", Usage(completion_tokens=900), 10)
    assert observer.rate("lab/a", local=False) == 50


async def test_a_plain_reply_is_given_up_by_what_its_model_needs(make_bench):
    bench = make_bench(kind="groq", timeouts=Timeouts(connect=1, first_token=0.02, idle=9, total=9))
    bench.server.script("faulty", (Stall(),))
    asked = chat(response_format={"type": "json_object"})
    got = await bench.pool.send([bench.faulty, bench.spare], asked, asker=Asker("tablet", expected_output=1))
    assert got.model == bench.spare
    assert "did not answer within 0.07 s" in got.attempts[0].message


# --- thoughts that are wanted back

CALL = {"id": "call_1", "type": "function", "function": {"name": "light", "arguments": "{}"}}
HISTORY = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "on"},
]
THOUGHT = stream(
    ROLE,
    sse(delta(reasoning_content="Let me ")),
    sse(delta(reasoning_content="see.")),
    sse(delta(tool_calls=[{"index": 0, **CALL}])),
    sse(delta("tool_calls")),
    USAGE,
    DONE,
)
WHOLE = reply(200, completion(None, "tool_calls", reasoning_content="Let me see.", tool_calls=[CALL]))


@pytest.mark.parametrize("script", [THOUGHT, WHOLE], ids=["stream", "whole"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_thoughts_go_back_with_their_calls_for_the_device_that_had_them(make_bench, script, streamed):
    bench = make_bench(kind="moonshot")
    model = bench.model("kimi-k2.6")
    bench.server.script("kimi-k2.6", script, GOOD)
    await read(await bench.pool.send([model], chat(stream=streamed), asker=Asker("tablet")))
    for device in ("tablet", "phone"):
        await read(await bench.pool.send([model], chat(messages=HISTORY), asker=Asker(device)))
    told = [request.json["messages"][1].get("reasoning_content") for request in bench.server.requests[1:]]
    assert told == ["Let me see.", "(not kept)"]


async def test_who_wants_thoughts_back_is_learned(bench):
    words_ = "The `reasoning_content` in the thinking mode must be passed back to the API."
    bench.server.script("faulty", error(400, words_), THOUGHT, GOOD)
    for _ in range(2):
        await bench.pool.send([bench.faulty], chat(messages=HISTORY), asker=Asker("tablet"))
    told = [request.json["messages"][1].get("reasoning_content") for request in bench.server.requests]
    assert told == [None, "(not kept)", "Let me see."]


# --- turns that are paused

PAUSE = stream(stream_of(said("One moment. "), USE, FOUND, stop="pause_turn"))
REST = stream(stream_of(said("Sunny.")))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("poured", [False, True])
async def test_a_paused_turn_goes_on(make_bench, streamed, poured):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", PAUSE, REST)
    got = await bench.pool.send([bench.faulty], chat(stream=streamed, tools=[SEARCH]))
    pieces = await read(got, pour=poured)
    text = text_of(pieces) if streamed else json.loads(pieces[0])["choices"][0]["message"]["content"]
    assert text == "One moment. Sunny."
    assert len(bench.server.requests) == 2
    assert bench.server.requests[1].json["messages"][-1]["role"] == "assistant"
    assert got.usage.completion_tokens == 84
    assert streamed or len(got.attempts) == 2


async def test_a_paused_turn_that_cannot_go_on_ends_in_an_error(make_bench):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", PAUSE, error(400, "No."))
    got = await bench.pool.send([bench.faulty], chat(stream=True, tools=[SEARCH]))
    assert b'"error"' in (await read(got))[-1]
    bench.server.script("faulty", PAUSE, error(400, "No."))
    with pytest.raises(UpstreamFailed):
        await bench.pool.send([bench.faulty], chat(tools=[SEARCH]))
