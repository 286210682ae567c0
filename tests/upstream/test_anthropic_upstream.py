"""An Anthropic upstream behind the pool, over a real connection, in its own wire format."""

from __future__ import annotations

import json

import pytest

from cheaprouter.upstream.outcome import UpstreamFailed
from tests.builders import joined, text_of
from tests.fakes.fault_server import Close, Stall, reply, stream
from tests.fakes.faults import SECRET
from tests.providers.test_anthropic_reply import events, message, text, thinking, tool
from tests.upstream.conftest import chat, read


def refusal(kind: str, words: str = "No.") -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": f"{words} {SECRET}"}, "request_id": "req_1"}


async def test_a_whole_answer(make_bench):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", reply(200, message(thinking(), text("Hi"), tool(), stop="tool_use")))
    got = await bench.pool.send([bench.faulty], chat())
    choice = json.loads(got.body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hi", "tool_calls")
    assert got.usage is not None
    assert got.usage.cached_tokens == 1000
    sent = bench.server.requests[0]
    assert (sent.path, sent.headers["x-api-key"], sent.json["max_tokens"]) == ("/v1/messages", SECRET, 8192)


async def test_a_stream(make_bench):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", stream(*events(message(thinking(), text("Hello there")))))
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    frames = await read(got)
    assert text_of(frames) == "Hello there"
    assert joined(frames)[-1] == "[DONE]"
    assert got.usage is not None
    assert (got.usage.total_tokens, got.finish_reason) == (1152, "stop")


async def test_a_stream_that_breaks_off(make_bench):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", stream(*events(message(text("Hello there")))[:4], then=(Close(),)))
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    assert joined(await read(got))[-1]["error"]["code"] == "upstream_truncated"


async def test_a_stream_that_was_not_asked_for(make_bench):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", stream(*events(message(text("Hello"), tool(), stop="tool_use"))))
    got = await bench.pool.send([bench.faulty], chat())
    answer = json.loads(got.body)
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "light"
    assert answer["usage"]["total_tokens"] == 1152


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, "authentication_error", "upstream_authentication"),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (529, "overloaded_error", "upstream_overloaded"),
        (404, "not_found_error", "model_not_found"),
    ],
)
async def test_its_errors_make_room_for_another_model(make_bench, status, kind, code):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", reply(status, refusal(kind)))
    got = await bench.pool.send([bench.faulty, bench.spare], chat())
    assert [attempt.outcome for attempt in got.attempts] == [code, "ok"]
    assert SECRET not in got.attempts[0].message


async def test_what_it_has_nothing_like_is_said(make_bench):
    bench = make_bench(kind="anthropic")
    with pytest.raises(UpstreamFailed) as caught:
        await bench.pool.send([bench.faulty], chat(n=2))
    assert (caught.value.error.status, caught.value.error.code) == (400, "unsupported_content")
    assert not bench.server.requests


@pytest.mark.parametrize("breaks", [False, True])
async def test_what_was_said_by_a_stream_that_did_not_finish_is_estimated(make_bench, breaks):
    """Anthropic counts the output at the end; at the beginning it tells a token or so."""
    bench = make_bench(kind="anthropic")
    begun = events(message(text("word " * 400)))[:5]
    bench.server.script("faulty", stream(*begun, then=(Close(),) if breaks else (Stall(),)))
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    await anext(got.chunks)
    if breaks:
        await read(got)
    else:
        await anext(got.chunks)
        got.close()
    assert got.usage is not None
    assert got.usage.estimated
    assert (got.usage.prompt_tokens, got.usage.cached_tokens) == (1110, 1000)
    assert got.usage.completion_tokens >= got.output_characters // 4 > 200


async def test_what_a_finished_stream_counts_is_never_estimated(make_bench):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", stream(*events(message(text("word " * 400)))))
    got = await bench.pool.send([bench.faulty], chat(stream=True))
    await read(got)
    assert got.usage is not None
    assert (got.usage.estimated, got.usage.completion_tokens) == (False, 42)
