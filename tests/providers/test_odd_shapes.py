"""Upstreams and clients may send any JSON at all: what comes of it is an answer or a judged failure, never a crash."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config import kinds
from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.errors import InvalidRequestError
from cheaprouter.core.models import Model
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.completion import Completion
from cheaprouter.wire import UntranslatableError
from cheaprouter.wire.openai_chat.chunks import explode
from cheaprouter.wire.openai_chat.encode import ChunkEncoder, assemble, to_stream
from cheaprouter.wire.openai_chat.request import parse
from tests.builders import a_chat

MODEL = Model("p/claude-sonnet-4-5", "p", "claude-sonnet-4-5")
PLAIN = a_chat("x", "m")
STREAM = a_chat("x", "m", stream=True)
ADAPTERS = [
    adapter_for(ProviderSettings("p", kind, api_keys=("k",)))
    for kind in ("anthropic", "gemini", "mistral", "qwen", "groq")
]


def odd(*names: str) -> st.SearchStrategy[Any]:
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-1, 3),
        st.sampled_from(["", "x", "text", "tool_use", "thinking", "stop", "{}"]),
    )
    return st.recursive(
        leaves,
        lambda x: st.one_of(st.lists(x, max_size=2), st.dictionaries(st.sampled_from(names), x, max_size=4)),
        max_leaves=15,
    )


REPLY = odd(
    "choices",
    "message",
    "delta",
    "content",
    "tool_calls",
    "function",
    "arguments",
    "finish_reason",
    "usage",
    "error",
    "index",
    "id",
)
MESSAGE = odd(
    "content",
    "type",
    "text",
    "input",
    "name",
    "thinking",
    "stop_reason",
    "usage",
    "input_tokens",
    "error",
    "model",
    "id",
)
EVENT = odd(
    "type",
    "message",
    "delta",
    "content_block",
    "index",
    "usage",
    "text",
    "partial_json",
    "stop_reason",
    "error",
    "input",
    "thinking",
    "signature",
)
KINDS = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
]
DELTAS = ["text_delta", "thinking_delta", "signature_delta", "input_json_delta"]


@given(st.one_of(REPLY, MESSAGE))
def test_any_whole_reply(value):
    for adapter in ADAPTERS:
        got = adapter.complete(json.dumps(value).encode(), PLAIN)
        if isinstance(got, Completion):
            list(to_stream(explode(json.loads(got.body)), want_usage=True))


@given(st.lists(REPLY, max_size=4))
def test_any_stream(values):
    data = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)
    for adapter in ADAPTERS:
        decoder = adapter.reader(STREAM, "events")
        pieces = decoder.feed(data) + decoder.finish()
        events = [piece for piece in pieces if not isinstance(piece, bytes)]
        assert len(events) == len(pieces)
        ChunkEncoder(want_usage=True).encode(events)
        if adapter.judge_stream(decoder) is None:
            assemble(events)
        decoder = adapter.reader(STREAM, "openai_chat")
        assert all(isinstance(piece, bytes) for piece in decoder.feed(data) + decoder.finish())


@given(st.lists(st.tuples(st.sampled_from(KINDS), EVENT, EVENT, st.sampled_from(DELTAS)), max_size=6))
def test_any_anthropic_stream(values):
    decoder = ADAPTERS[0].reader(STREAM, "openai_chat")
    for kind, value, inner, delta in values:
        event = {**(value if isinstance(value, dict) else {}), "type": kind}
        if isinstance(inner, dict):
            event |= {"delta": {**inner, "type": delta}, "content_block": inner, "message": inner}
        decoder.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    decoder.finish()


FIELDS = odd(
    "type",
    "text",
    "image_url",
    "url",
    "function",
    "name",
    "arguments",
    "id",
    "json_schema",
    "schema",
    "parameters",
    "role",
    "content",
)
NAMES = (
    "tools",
    "tool_choice",
    "response_format",
    "functions",
    "function_call",
    "stop",
    "thinking",
    "reasoning_effort",
    "user",
    "stream_options",
    "parallel_tool_calls",
    "output_config",
)


@given(
    st.dictionaries(st.sampled_from(NAMES), FIELDS, max_size=4),
    st.lists(st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool", "function"])}, optional={"content": FIELDS, "tool_calls": FIELDS, "tool_call_id": FIELDS, "function_call": FIELDS, "thinking_blocks": FIELDS, "refusal": FIELDS, "name": FIELDS}), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["seed", "messages.name", "stop"]), st.none()),
)  # fmt: skip
def test_any_request_that_passed_the_front_door(fields, messages, learned):
    try:
        request = parse({"model": "m", "messages": messages, **fields})
    except InvalidRequestError:
        return
    for adapter in ADAPTERS:
        with contextlib.suppress(UntranslatableError):
            adapter.prepare(request, MODEL, "k", learned)


def test_kinds_are_many():
    assert len(kinds.KINDS) >= 22
