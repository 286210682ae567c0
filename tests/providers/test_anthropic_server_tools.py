"""Tools that Anthropic runs itself: what they are given is no text, and a turn that they make long goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cheaprouter.core.models import Model
from cheaprouter.wire.anthropic.pause import added
from cheaprouter.wire.anthropic.reply import MessageStream
from tests.builders import joined, text_of
from tests.providers.test_anthropic_reply import (
    ADAPTER,
    event,
    events,
    message,
    request,
    streamed,
    text,
    thinking,
    whole,
)

MODEL = Model("anthropic/claude-opus-4-8", "anthropic", "claude-opus-4-8")
SEARCH = {"type": "web_search_20260209", "name": "web_search"}
USE = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "weather"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result"}]}


def stream_of(*content: dict[str, Any], stop: str = "end_turn") -> bytes:
    """The stream of a message in which a server's tool is given its input in pieces."""
    made = []
    for frame in events(message(*content, stop=stop)):
        told = json.loads(frame.split(b"data: ")[1])
        block = told.get("content_block", {})
        if block.get("type") != "server_tool_use":
            made.append(frame)
            continue
        index = told["index"]
        made.append(event("content_block_start", index=index, content_block={**block, "input": {}}))
        for part in ('{"query": ', '"weather"}'):
            piece = {"type": "input_json_delta", "partial_json": part}
            made.append(event("content_block_delta", index=index, delta=piece))
    return b"".join(made)


def test_what_a_servers_tool_is_given_is_no_text():
    frames = streamed(stream_of(text("Let me see. "), USE, FOUND, text("Sunny.")))
    assert text_of(frames) == "Let me see. Sunny."
    assert whole(message(text("Let me see. "), USE, FOUND, text("Sunny.")))["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Let me see. Sunny.",
    }


def reader(**body: Any) -> MessageStream:
    made = ADAPTER.reader(request(stream=True, stream_options={"include_usage": True}, **body), "openai_chat")
    assert isinstance(made, MessageStream)
    return made


def test_a_paused_turn_goes_on_where_what_was_said_is_sent_back():
    asked = request(stream=True, tools=[SEARCH])
    stream = reader(tools=[SEARCH])
    first = stream.feed(stream_of(thinking(), text("One moment. "), USE, FOUND, stop="pause_turn")) + stream.finish()
    assert (stream.paused, stream.finish_reason, stream.trouble) == (True, None, None)
    out = ADAPTER.go_on(stream, asked, MODEL, "sk-ant-secret", {})
    assert out is not None
    sent = json.loads(out.body or b"")["messages"]
    assert sent[-1] == {"role": "assistant", "content": [thinking(), text("One moment. "), USE, FOUND]}
    rest = stream.feed(stream_of(text("Sunny."))) + stream.finish()
    frames = [frame for frame in (*first, *rest) if isinstance(frame, bytes)]
    assert text_of(frames) == "One moment. Sunny."
    told = joined(frames)
    assert [chunk for chunk in told if chunk == "[DONE]"] == ["[DONE]"]
    assert len([c for c in told if c != "[DONE]" and c["choices"] and c["choices"][0]["delta"].get("role")]) == 1
    assert told[-2]["usage"]["completion_tokens"] == 84
    assert (stream.usage and stream.usage.completion_tokens, stream.finish_reason) == (84, "stop")


def test_a_turn_that_pauses_twice_sends_all_of_it_back():
    stream = reader(tools=[SEARCH])
    for piece in ("a", "b"):
        stream.feed(stream_of(text(piece), stop="pause_turn"))
        out = ADAPTER.go_on(stream, request(tools=[SEARCH]), MODEL, "sk-ant-secret", {})
    assert out is not None
    assert json.loads(out.body or b"")["messages"][-1]["content"] == [text("a"), text("b")]


def test_where_no_tool_of_the_servers_was_asked_for_a_pause_is_an_end():
    frames = streamed(stream_of(text("Hm."), stop="pause_turn"))
    assert joined(frames)[-3]["choices"][0]["finish_reason"] == "stop"


def test_a_stream_that_did_not_pause_does_not_go_on():
    stream = reader(tools=[SEARCH])
    stream.feed(stream_of(text("Sunny.")))
    assert ADAPTER.go_on(stream, request(tools=[SEARCH]), MODEL, "sk-ant-secret", {}) is None


def test_citations_go_back_with_their_text():
    stream = reader(tools=[SEARCH])
    told = stream_of(text("Sunny."), stop="pause_turn")
    cite = event("content_block_delta", index=0, delta={"type": "citations_delta", "citation": {"url": "u"}})
    place = told.index(b"event: content_block_stop")
    stream.feed(told[:place] + cite + told[place:])
    assert stream.said_blocks is not None
    assert stream.said_blocks.content() == [{**text("Sunny."), "citations": [{"url": "u"}]}]


SHAPE = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def test_an_answer_of_the_wanted_shape_that_comes_as_text_flows():
    stream = reader(response_format=SHAPE)
    frames = events(message(text('{"a": 1}')))
    first = [piece for frame in frames[:4] for piece in stream.feed(frame) if isinstance(piece, bytes)]
    assert text_of(first) == '{"a"'
    rest = [piece for frame in frames[4:] for piece in stream.feed(frame) if isinstance(piece, bytes)]
    assert text_of(rest) == ": 1}"


@pytest.mark.parametrize(
    ("before", "more", "both"),
    [
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 3, "b": 3}),
        ({"a": {"c": 1}}, {"a": {"c": 2}}, {"a": {"c": 3}}),
        ({"a": "x"}, {"a": "y"}, {"a": "y"}),
    ],
)
def test_counts_of_both_parts_are_added(before, more, both):
    assert added(before, more) == both
