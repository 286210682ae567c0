"""Anthropic's answers, as OpenAI's clients read them; whole and streamed must say the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.kinds import KINDS
from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.models import Usage
from cheaprouter.providers.anthropic import Anthropic
from cheaprouter.providers.completion import Completion
from cheaprouter.providers.failures import Action, Failure
from cheaprouter.wire.events import WireEvent
from cheaprouter.wire.openai_chat.chunks import ChunkReader
from cheaprouter.wire.openai_chat.encode import assemble
from cheaprouter.wire.openai_chat.request import ChatRequest
from tests.builders import a_chat, joined, text_of

ADAPTER = Anthropic(
    ProviderSettings("anthropic", "anthropic", api_keys=("sk-ant-secret",)),
    KINDS["anthropic"],
    lambda: 1_700_000_000.5,
)
USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 42}


def request(**body: Any) -> ChatRequest:
    return a_chat("hi", "m", **body)


def message(*content: Any, stop: str = "end_turn") -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
    }


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def tool(name: str = "light", value: Any = None, call_id: str = "toolu_1") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": value if value is not None else {"on": True}}


def thinking(value: str = "Hmm.") -> dict[str, Any]:
    return {"type": "thinking", "thinking": value, "signature": "sig=="}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}\n\n".encode()


def halves(value: str) -> list[str]:
    return [part for part in (value[: len(value) // 2], value[len(value) // 2 :]) if part]


def events(reply: dict[str, Any]) -> list[bytes]:
    """The stream that Anthropic would have sent for a message."""
    usage = {**USAGE, "output_tokens": 1}
    made = [
        event("message_start", message={**reply, "content": [], "stop_reason": None, "usage": usage}),
        event("ping"),
    ]
    for index, block in enumerate(reply["content"]):
        kind = block["type"]
        empty = {
            **block,
            **{"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}.get(
                kind, {}
            ),
        }
        made.append(event("content_block_start", index=index, content_block=empty))
        deltas: list[dict[str, Any]] = []
        if kind == "text":
            deltas = [{"type": "text_delta", "text": part} for part in halves(block["text"])]
        elif kind == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": part} for part in halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif kind == "tool_use" and block["input"]:
            deltas = [
                {"type": "input_json_delta", "partial_json": part} for part in ("", *halves(json.dumps(block["input"])))
            ]
        made += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        made.append(event("content_block_stop", index=index))
    delta = {"stop_reason": reply["stop_reason"], "stop_sequence": None}
    made += [event("message_delta", delta=delta, usage={"output_tokens": 42}), event("message_stop")]
    return made


def whole(reply: dict[str, Any], **body: Any) -> dict[str, Any]:
    done = ADAPTER.complete(json.dumps(reply).encode(), request(**body))
    assert isinstance(done, Completion), done
    return dict(json.loads(done.body))


def streamed(data: bytes, size: int = 0, **body: Any) -> list[bytes]:
    decoder = ADAPTER.reader(request(stream=True, stream_options={"include_usage": True}, **body), "openai_chat")
    pieces = [data[i : i + size] for i in range(0, len(data), size)] if size else [data]
    frames = [frame for piece in pieces for frame in decoder.feed(piece)] + decoder.finish()
    assert ADAPTER.judge_stream(decoder) is None
    return [frame for frame in frames if isinstance(frame, bytes)]


def test_text_and_usage():
    got = whole(message(text("Hello "), text("there")))
    assert got["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert got["usage"]["prompt_tokens"] == 1110
    assert got["usage"]["prompt_tokens_details"] == {"cached_tokens": 1000, "cache_write_tokens": 100}
    assert (got["model"], got["id"], got["created"]) == ("claude-sonnet-4-5-20250929", "msg_1", 1_700_000_000)


def test_usage_is_read_with_its_cache_tokens():
    done = ADAPTER.complete(json.dumps(message(text("x"))).encode(), request())
    assert isinstance(done, Completion)
    assert done.usage == Usage(prompt_tokens=1110, completion_tokens=42, cached_tokens=1000, cache_write_tokens=100)


@pytest.mark.parametrize("count", [10**18, -5, True, None])
def test_counts_beyond_all_bounds_are_none(count):
    done = ADAPTER.complete(json.dumps({**message(text("x")), "usage": {"input_tokens": count}}).encode(), request())
    assert isinstance(done, Completion)
    assert done.usage == Usage()


def test_parallel_tool_calls():
    got = whole(message(text("Sure."), tool(), tool("fan", {}, "toolu_2"), stop="tool_use"))["choices"][0]
    assert got["finish_reason"] == "tool_calls"
    assert [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in got["message"]["tool_calls"]
    ] == [
        ("toolu_1", "light", {"on": True}),
        ("toolu_2", "fan", {}),
    ]


def test_thinking_is_reasoning_content_and_can_be_sent_back():
    got = whole(message(thinking(), text("42")))["choices"][0]["message"]
    assert (got["reasoning_content"], got["content"]) == ("Hmm.", "42")
    assert got["thinking_blocks"] == [thinking()]


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
    ],
)
def test_stop_reasons(stop, finish):
    assert whole(message(text("x"), stop=stop))["choices"][0]["finish_reason"] == finish


SHAPE = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
LIST = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}


def test_the_answer_tools_input_is_the_content():
    got = whole(message(text("Here:"), tool("json_response", {"a": 1}), stop="tool_use"), response_format=SHAPE)[
        "choices"
    ][0]
    assert (json.loads(got["message"]["content"]), got["finish_reason"], got["message"].get("tool_calls")) == (
        {"a": 1},
        "stop",
        None,
    )


def test_a_wrapped_answer_is_unwrapped():
    reply = message(tool("json_response", {"value": [1, 2]}), stop="tool_use")
    assert json.loads(whole(reply, response_format=LIST)["choices"][0]["message"]["content"]) == [1, 2]
    assert json.loads(text_of(streamed(b"".join(events(reply)), response_format=LIST))) == [1, 2]


def test_an_answer_of_a_given_shape_streams_as_text():
    data = b"".join(events(message(text("Here:"), tool("json_response", {"a": "x" * 50}), stop="tool_use")))
    frames = streamed(data, response_format=SHAPE)
    assert json.loads(text_of(frames)) == {"a": "x" * 50}
    assert [c["choices"][0]["finish_reason"] for c in joined(frames)[:-2]][-1] == "stop"


def test_the_stream_as_openai_sends_it():
    frames = joined(streamed(b"".join(events(message(text("Hello"), tool(), stop="tool_use")))))
    assert frames[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert frames[-1] == "[DONE]"
    assert frames[-2]["choices"] == []
    assert frames[-2]["usage"]["total_tokens"] == 1152
    assert frames[-3]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "tool_calls"}
    assert {frame["id"] for frame in frames[:-1]} == {"msg_1"}


def test_no_usage_chunk_unless_asked_for():
    decoder = ADAPTER.reader(request(stream=True), "openai_chat")
    frames = decoder.feed(b"".join(events(message(text("Hi")))))
    assert all(frame["choices"] for frame in joined([f for f in frames if isinstance(f, bytes)])[:-1])
    assert decoder.usage == Usage(1110, 42, 1000, 100)


def test_an_error_event_is_a_failure():
    decoder = ADAPTER.reader(request(stream=True), "openai_chat")
    error = {"type": "overloaded_error", "message": "Overloaded, sk-ant-secret"}
    decoder.feed(events(message())[0] + event("error", error=error))
    assert decoder.said is False
    failure = ADAPTER.judge_stream(decoder)
    assert failure is not None
    assert (failure.action, failure.status, "secret" in failure.message) == (
        Action.COOL,
        529,
        False,
    )


@pytest.mark.parametrize("cut", [1, 4])
def test_a_stream_without_its_end_is_a_failure(cut):
    decoder = ADAPTER.reader(request(stream=True), "openai_chat")
    decoder.feed(b"".join(events(message(text("Hello")))[:cut]))
    decoder.finish()
    failure = ADAPTER.judge_stream(decoder)
    assert failure is not None
    assert failure.code == ("empty_reply" if cut == 1 else "upstream_truncated")


@pytest.mark.parametrize(
    ("status", "kind", "words", "action"),
    [
        (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", Action.CONTEXT),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", Action.KEY),
        (401, "authentication_error", "invalid x-api-key", Action.KEY),
        (404, "not_found_error", "model: claude-9", Action.NEXT),
        (429, "rate_limit_error", "Number of request tokens has exceeded your rate limit", Action.WAIT),
        (529, "overloaded_error", "Overloaded", Action.COOL),
        (400, "invalid_request_error", "temperature: Extra inputs are not permitted", Action.ADAPT),
        (400, "invalid_request_error", "`temperature` is deprecated for this model.", Action.ADAPT),
    ],
)
def test_errors(status, kind, words, action):
    body = json.dumps({"type": "error", "error": {"type": kind, "message": words}}).encode()
    assert ADAPTER.judge(status, {}, body, 0.0).action is action


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"nope", "invalid_reply"),
        (b"[]", "invalid_reply"),
        (json.dumps(message()).encode(), "empty_reply"),
        (b'{"type": "message"}', "no_choices"),
        (b'{"type": "error", "error": {"type": "overloaded_error", "message": "x"}}', "upstream_overloaded"),
    ],
)
def test_a_200_that_is_no_answer(body, code):
    failure = ADAPTER.complete(body, request())
    assert isinstance(failure, Failure)
    assert failure.code == code


names = st.sampled_from(["light", "fan"])
values = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(-5, 5), st.text(max_size=5), st.booleans()), max_size=3
)
blocks = st.one_of(
    st.text(min_size=1, max_size=30).map(text),
    st.text(min_size=1, max_size=30).map(thinking),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, st.text(max_size=5)),
    st.builds(tool, names, values, st.integers(0, 99).map("toolu_{}".format)),
)


@given(
    st.lists(blocks, min_size=1, max_size=5),
    st.sampled_from(["end_turn", "tool_use", "max_tokens"]),
    st.integers(1, 80),
)
def test_streamed_and_whole_say_the_same_wherever_the_network_cuts(content, stop, size):
    reply = message(*content, stop=stop)
    got = assemble(as_events(streamed(b"".join(events(reply)), size)))
    expected = whole(reply)
    assert _comparable(got) == _comparable(expected)


def as_events(frames: list[bytes]) -> list[WireEvent]:
    """Our own chunks read again."""
    reader = ChunkReader()
    return [event for chunk in joined(frames)[:-1] for event in reader.read(chunk)]


def _comparable(reply: dict[str, Any]) -> Any:
    choice = reply["choices"][0]
    said = {name: value for name, value in choice["message"].items() if value}
    for call in said.get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return said, choice["finish_reason"], reply["usage"], reply["model"], reply["id"]


@pytest.mark.parametrize("odd", ["1e999999", "NaN", "Infinity", "9" * 4301])
def test_a_number_beyond_all_bounds_does_not_cost_the_answer(odd):
    data = b"".join(events(message(text("Hello")))).replace(b'"input_tokens": 10', b'"input_tokens": ' + odd.encode())
    assert odd.encode() in data
    assert text_of(streamed(data)) == "Hello"


@pytest.mark.parametrize("odd", ["1e999999", "NaN", "Infinity", "9" * 4301])
def test_nor_does_it_in_a_whole_message(odd):
    body = json.dumps(message(text("Hello"))).replace('"input_tokens": 10', f'"input_tokens": {odd}')
    done = ADAPTER.complete(body.encode(), request())
    assert isinstance(done, Completion)
