"""Errors of upstreams of which nobody has heard, by what such sentences have in common; and sentences that share it by accident."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.providers.failures import NOT_KNOWN, Action, Asked, Failure, Meaning, judge
from cheaprouter.providers.failures.likeness import about_ability, about_window
from cheaprouter.providers.failures.words import plain

M = Meaning


def judged(message: str, status: int = 400, asked: Asked = NOT_KNOWN, **more: Any) -> Failure:
    body = json.dumps({"error": {"message": message, "type": "x", **more}}).encode()
    return judge("lab", status, {}, body, now=0.0, secrets=(), asked=asked)


@pytest.mark.parametrize(
    "words",
    [
        "The prompt contains 9000 tokens, more than the 8192 this model can take",
        "tokens in request more than the limit: 131072",
        "Prompt length (9000) exceeds what this deployment takes (8192)",
        "Your conversation is too long. Start a new one.",
        "12000 tokens will overflow the window",
        "context of 9000 is bigger than 8192",
        "input is longer than the model can read",
        "Tokenized prompt is too large",
        "Conversation history is too long, please start a new chat",
        "prompt length 9000 > n_ctx 8192",
        "Prompt has 50210 tokens, but this model supports 32768.",
        "上下文长度超过限制",
    ],
)
def test_a_prompt_that_is_too_long_is_known_in_new_words(words):
    assert judged(words).meaning is M.CONTEXT


STREAMED = Asked(body=b'{"stream": true, "stream_options": {"include_usage": true}, "temperature": 1}')


@pytest.mark.parametrize(
    "words",
    [
        "Streaming is not currently supported for this model.",
        "stream: true is not supported",
        "`stream` parameter is not supported with this deployment",
        "'stream' is unsupported for this model",
        "Streaming mode unavailable",
        "stream must be false",
        "Extra inputs are not permitted: stream",
        "Unrecognized request argument supplied: stream",
        "Streaming responses are disabled for this endpoint",
        "This deployment cannot stream.",
    ],
)
def test_that_it_may_not_be_asked_for_a_stream_is_known_in_new_words(words):
    failure = judged(words, asked=STREAMED)
    assert (failure.meaning, failure.mode, failure.action) == (M.MODE, "whole", Action.ADAPT)
    assert "stream" in failure.adapt


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("stream_options is not supported", STREAMED),
        ("Unknown field: stream_options. Allowed with stream only.", STREAMED),
        ("temperature is not supported with upstream provider", STREAMED),
        ("The upstream refused: not available", STREAMED),
        ("This model only supports streaming, not whole replies.", STREAMED),
        ("Non-streaming requests are not supported.", Asked(body=b"{}")),
        ("Streaming is not currently supported for this model.", Asked(body=b'{"temperature": 1}')),
    ],
)
def test_what_only_names_a_stream_does_not_end_streams(words, asked):
    assert "stream" not in judged(words, asked=asked).adapt


@pytest.mark.parametrize(
    "words",
    [
        "Your request was flagged by our content moderation system.",
        "The response was blocked by the safety filter",
        "Content blocked: SAFETY",
        "Input rejected: violates usage policy",
        "This prompt contains sensitive words that violate Google's Responsible AI practices.",
        "We refused this prompt as it asks for harmful content.",
        "内容包含敏感信息",
    ],
)
def test_a_filter_is_known_in_new_words(words):
    assert judged(words).meaning is M.FILTER
    assert judged("x", code="moderation_blocked").meaning is M.FILTER


@pytest.mark.parametrize(
    "words",
    [
        "Invalid tool call: comment_moderation arguments must be an object",
        "Tool 'moderation' was rejected: its schema is not valid",
        "Unknown field: safety_settings",
        "safety: blocked is no valid value for this parameter",
        "moderation must be a boolean",
        "messages[0].content was rejected: it is empty",
        "The function safety_filter was blocked by its schema",
    ],
)
def test_what_only_speaks_of_a_filter_is_none(words):
    assert judged(words).meaning in (M.REQUEST, M.PARAMETER)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_what_a_gateway_wraps_counts_under_its_own_status(status):
    inner = {"error": {"message": "Too much.", "code": "context_length_exceeded"}}
    wrapped = json.dumps({"detail": json.dumps(inner)}).encode()
    assert judge("lab", status, {}, wrapped, now=0.0, secrets=()).meaning is M.CONTEXT
    inner = {"error": {"message": "No.", "code": "content_filter"}}
    wrapped = json.dumps({"detail": json.dumps(inner)}).encode()
    assert judge("lab", status, {}, wrapped, now=0.0, secrets=()).meaning is M.FILTER


def test_a_firewall_that_speaks_json_knows_nothing_of_the_key():
    told = {
        "title": "Error 1010: Access denied", "status": 403, "error_code": 1010, "cloudflare_error": True,
        "detail": "The site owner has blocked access based on your browser's signature.",
    }  # fmt: skip
    failure = judge("lab", 403, {}, json.dumps(told).encode(), now=0.0, secrets=())
    assert (failure.meaning, failure.action) == (M.WALL, Action.COOL)
    limit = {**told, "status": 429, "error_code": 1015, "retry_after": 30}
    failure = judge("lab", 429, {}, json.dumps(limit).encode(), now=0.0, secrets=())
    assert (failure.meaning, failure.retry_after) == (M.RATE_LIMIT, 30)


@pytest.mark.parametrize("code", ["model_not_supported", "unsupported_model"])
def test_a_model_that_is_not_supported_is_not_there(code):
    assert judged("The requested model is not supported.", code=code).meaning is M.NO_MODEL


@pytest.mark.parametrize(
    "words",
    [
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude-3",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "Thinking tokens budget too large",
        "Invalid 'tools': array too long. Expected an array with maximum length 128.",
        "too many images in request: 30 (limit 20)",
        "Input image is too large: 50 MB",
        "logit_bias: token id 999999 exceeds vocabulary",
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        "temperature must be at most 2",
        "invalid request: context must be an object",
        "The file context.txt has more than 9 tokens",
    ],
)
def test_what_is_too_long_in_other_ways_is_not_about_the_window(words):
    assert judged(words).meaning in (M.REQUEST, M.PARAMETER)


@pytest.mark.parametrize(
    ("words", "capability"),
    [
        ("This model does not support tool calling", "tools"),
        ('model "x" does not support function calls', "tools"),
        ("Tool use is unsupported here", "tools"),
        ("This model can't use tools", "tools"),
        ("Tool use is unavailable for model phi-2", "tools"),
        ("Unknown parameter: 'tools'.", "tools"),
        ("Unrecognized request argument supplied: tools", "tools"),
        ("This model doesn't support vision", "vision"),
        ("Content type image_url is not supported", "vision"),
        ("this backend is text-only: images were given", "vision"),
        ("model does not accept audio", "audio"),
        ("structured outputs are not available for this deployment", "json_schema"),
        ("the json_schema response format is not supported by this model", "json_schema"),
    ],
)
def test_what_a_model_lacks_is_known_in_new_words(words, capability):
    failure = judged(words)
    assert (failure.meaning, failure.capability) == (M.CAPABILITY, capability)


@pytest.mark.parametrize(
    "words",
    [
        "messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
        "Invalid image data: could not process image",
        "Invalid value: 'tool'. Supported values are: 'system', 'assistant', 'user'.",
        "This model does not support assistant message prefill.",
        "The tool 'moderation_check' has no description",
        "tool name get_insufficient_balance_report is invalid",
        "Function name 'rate_limit_exceeded' invalid",
        "Unknown parameter: 'tools[0].function.colour'.",
        "tools.0.function.parameters: Extra inputs are not permitted",
        "A tool cannot use that name",
    ],
)
def test_a_word_alone_is_no_missing_ability(words):
    assert judged(words).meaning in (M.REQUEST, M.PARAMETER)


def test_a_parameter_that_is_refused_is_left_out_before_a_model_is_thought_to_lack_anything():
    assert judged('"parallel_tool_calls" is not supported with this model').meaning is M.PARAMETER


def test_the_field_that_is_blamed_says_what_is_lacking():
    assert judged("This is not supported.", param="response_format").capability == "json_schema"


@pytest.mark.parametrize("status", [401, 402, 403, 429, 503])
def test_only_what_may_be_the_requests_fault_is_judged_so(status):
    assert judged("more than 8192 tokens; no tool support: it is not supported", status).meaning not in (
        M.CONTEXT,
        M.CAPABILITY,
    )


@given(st.text(max_size=300))
def test_any_text_may_be_looked_at(text):
    about_window(plain(text))
    about_ability(plain(text), text)
