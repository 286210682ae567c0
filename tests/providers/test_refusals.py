"""Refusals in vendors' own words, and what is done about them next time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.models import Model
from cheaprouter.providers.adapter import Adapter
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.complaints import KNOWN, ROLE
from cheaprouter.providers.failures import Action
from cheaprouter.providers.refusals import REQUIRED, refusal
from tests.builders import a_chat

MODEL = Model("lab/x", "lab", "x-1")
PLAIN = adapter_for(ProviderSettings("lab", "openai", "http://127.0.0.1:9/v1"))
CLAUDE = adapter_for(ProviderSettings("anthropic", "anthropic", api_keys=("sk-ant-1",)))
EFFORT = {"output_config.effort": None, "reasoning_effort": None}
WANTED = {"messages.reasoning_content": REQUIRED}


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("Model grok-4-0709 does not support parameter reasoningEffort.", {"reasoning_effort": None}),
        ("Argument not supported on this model: presencePenalty", {"presence_penalty": None}),
        ("This model does not support the effort parameter.", EFFORT),
        ("`reasoning_effort` must be one of `none` or `default`", {"reasoning_effort": None}),
        ('"qwen2.5:7b" does not support thinking', {"think": None, "thinking": None, "reasoning_effort": None}),
        ("Validation: Unsupported parameter(s): thinking, seed", {"thinking": None, "seed": None}),
        ("adaptive thinking is not supported on this model", {"thinking.adaptive": None}),
        (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" instead.',
            {"thinking.enabled": None},
        ),
        ("output_config.format: Extra inputs are not permitted", {"output_config.format": None}),
        ("role 'system' is not supported on this model", {"messages.system": None}),
        ("messages.3.role: Input should be 'user' or 'assistant'", {"messages.system": None}),
        ("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.", {"temperature": None}),
        ("invalid temperature: only 0.6 is allowed for this model", {"temperature": None}),
        ("`temperature` and `top_p` cannot both be specified for this model.", {"top_p": None}),
        ("temperature must be 1 for this model", {"temperature": None}),
        ("Only temperature=1 is supported with this model", {"temperature": None}),
        ("Invalid value for reasoning_effort: high. Supported: minimal, low", {"reasoning_effort": None}),
        ("reasoning_effort: value 'high' not in ['low', 'none']", {"reasoning_effort": None}),
        ("reasoning_effort should be one of low, high", {"reasoning_effort": None}),
        ("thinking is enabled but reasoning_content is missing in assistant tool call message at index 2", WANTED),
        ("The `reasoning_content` in the thinking mode must be passed back to the API.", WANTED),
        ("Your organization must be verified to stream this model.", {"stream": None}),
        ("streaming is not supported for this model", {"stream": None}),
        ("This model does not support streaming.", {"stream": None}),
        ("Cannot use tools with stream", {"stream.tools": None}),
        ("messages.1.reasoning_content: Extra inputs are not permitted", {"messages.reasoning_content": None}),
        ("property 'messages[2].thinking_blocks' is unsupported", {"messages.thinking_blocks": None}),
    ],
)
def test_a_refusal_is_understood_in_the_words_of_whoever_refuses(words, change):
    assert refusal(words, KNOWN) == change


@pytest.mark.parametrize(
    ("words", "most"),
    [
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 2000]", 2000),
        ("max_tokens is too large: 6000. This model supports at most 4096 completion tokens, whereas you", 4096),
        ("The parameter max_tokens is not valid: integer above maximum value, expected a value <= 32768, but got", 32768),
        ("max_tokens (current value: 4096) must be between 0 and 4000 ", 4000),
        ("`max_completion_tokens` must be less than or equal to `8192`, the maximum value for this model", 8192),
        ("max_tokens: 999999 > 64000, which is the maximum allowed number of output tokens for claude-x", 64000),
        ("too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model - received 8192.", 4096),
        ("The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower", 4096),
        ("max_tokens (100000) exceeds limit of 16384 for completion", 16384),
        ("max_tokens参数非法。请限制在[1,98304]", 98304),
        ("Unable to submit: maxOutputTokens value of 9 but the supported range is from 1 (inclusive) to 8193 (exclusive)", 8192),
    ],
)  # fmt: skip
def test_a_ceiling_is_read_where_one_is_told(words, most):
    assert refusal(words, KNOWN) == {"max_tokens.most": str(most)}


@pytest.mark.parametrize(
    "words",
    [
        "",
        "Rate limit reached for max_tokens per minute",
        "The model developer has retired this model.",
        "Your developer account does not support this plan.",
        "messages: at least one message is required",
        "model is not one of ['a', 'b']",
        "tools is not supported",
        "stream_options is not supported",
        "only allowed when stream is enabled",
        "max_tokens must be between 1 and 0",
        "prompt and max_tokens exceed the model limit of 4096",
        "temperature must be between 0 and 2",
        "temperature must be 1 or less",
    ],
)
def test_other_words_are_none(words):
    assert refusal(words, KNOWN) == {}


@given(st.text(max_size=200))
def test_any_words_are_borne(words):
    change = refusal(words, KNOWN)
    assert all(value is None or isinstance(value, str) for value in change.values())


def sent(adapter: Adapter, change: dict[str, str | None], **body: Any) -> dict[str, Any]:
    out = adapter.prepare(a_chat("hi", "m", **body), MODEL, adapter.api_keys[0] if adapter.api_keys else None, change)
    return dict(json.loads(out.body or b""))


@pytest.mark.parametrize("adapter", [PLAIN, CLAUDE])
@pytest.mark.parametrize(("asked", "limit"), [(9000, 8192), (100, 100)])
def test_more_than_the_ceiling_is_not_asked_for_again(adapter, asked, limit):
    assert sent(adapter, {"max_tokens.most": "8192"}, max_tokens=asked)["max_tokens"] == limit


def test_a_limit_of_another_name_has_the_ceiling_too():
    change = {"max_tokens": "max_completion_tokens", "max_tokens.most": "8192"}
    got = sent(PLAIN, change, max_tokens=9000)
    assert (got.get("max_tokens"), got["max_completion_tokens"]) == (None, 8192)


def test_a_developers_message_is_the_systems_where_that_role_is_not_known():
    messages = [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}]
    got = sent(PLAIN, {ROLE: "system"}, messages=messages)["messages"]
    assert [message["role"] for message in got] == ["system", "user"]
    assert messages[0]["role"] == "developer"


def test_a_field_of_messages_that_is_refused_is_left_out():
    messages = [{"role": "assistant", "content": "a", "reasoning_content": "x"}, {"role": "user", "content": "b"}]
    got = sent(PLAIN, {"messages.reasoning_content": None}, messages=messages)["messages"]
    assert got == [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]


@pytest.mark.parametrize("kind", ["openai", "together", "deepseek", "ollama", "openrouter", "gemini"])
def test_what_anthropic_signed_is_for_nobody_else(kind):
    adapter = adapter_for(ProviderSettings("lab", kind, "" if kind != "openai" else "http://127.0.0.1:9/v1", ("sk-1",)))
    signed = {"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thinking", "signature": "x"}]}
    got = sent(adapter, {}, messages=[signed, {"role": "user", "content": "b"}])["messages"]
    assert got[0] == {"role": "assistant", "content": "a"}


def test_what_google_signed_is_for_nobody_else():
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    signed = {**call, "extra_content": {"google": {"thought_signature": "x"}}}
    messages = [
        {"role": "assistant", "content": "", "tool_calls": [signed]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]
    for kind in ("together", "deepseek", "moonshot", "zai", "qwen", "ollama"):
        got = sent(adapter_for(ProviderSettings("lab", kind, api_keys=("sk-1",))), {}, messages=messages)["messages"]
        assert got[0]["tool_calls"] == [call], kind


def test_a_refusal_is_learned_from_a_reply():
    body = json.dumps({"code": "invalid-argument", "error": "Model grok-4 does not support parameter reasoningEffort."})
    failure = PLAIN.judge(400, {}, body.encode(), 0.0)
    assert (failure.action, failure.adapt) == (Action.ADAPT, {"reasoning_effort": None})
