"""A whole reply that tells no usage says how long it is, so that it can be estimated."""

from __future__ import annotations

import json

import pytest

from cheaprouter.config.settings import ProviderSettings
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.completion import Completion
from tests.providers.test_anthropic_reply import message, request, text

OPENAI = adapter_for(ProviderSettings("lab", "openai", "http://127.0.0.1:1/v1"))
ANTHROPIC = adapter_for(ProviderSettings("claude", "anthropic"))


def size(adapter, reply) -> int:
    done = adapter.complete(json.dumps(reply).encode(), request())
    assert isinstance(done, Completion)
    return done.output_characters


def chat(*messages, **more):
    choices = [{"index": i, "message": m, "finish_reason": "stop"} for i, m in enumerate(messages)]
    return {"id": "c", "choices": choices, **more}


LONG = {"role": "assistant", "content": "x" * 10_000}
CALL = {"id": "c1", "type": "function", "function": {"name": "light", "arguments": '{"on": true}'}}


@pytest.mark.parametrize(
    "usage", [{}, {"usage": None}, {"usage": {}}, {"usage": {"prompt_tokens": 5, "completion_tokens": 0}}]
)
def test_without_counts_of_its_output_a_reply_tells_its_length(usage):
    assert size(OPENAI, chat(LONG, **usage)) == 10_000


def test_all_choices_and_calls_count():
    assert size(OPENAI, chat(LONG, {"role": "assistant", "content": None, "tool_calls": [CALL]})) == 10_017


def test_with_counts_nothing_is_measured():
    assert size(OPENAI, chat(LONG, usage={"prompt_tokens": 5, "completion_tokens": 2500})) == 0


def test_a_message_without_usage_tells_its_length_too():
    reply = {**message(text("x" * 10_000)), "usage": None}
    assert size(ANTHROPIC, reply) == 10_000
