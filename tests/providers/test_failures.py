"""Real vendors' errors, and what each asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.providers import unsupported
from cheaprouter.providers.failures import (
    LONGEST_MESSAGE,
    Action,
    Asked,
    Failure,
    Meaning,
    clean_message,
    in_band,
    judge,
)


def judged(status: int, body: Any, headers: dict[str, str] | None = None, secrets: tuple[str, ...] = ()) -> Failure:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge("lab", status, headers or {}, data, now=1_000_000.0, secrets=secrets)


OPENAI_UNSUPPORTED = {
    "error": {
        "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "type": "invalid_request_error",
        "param": "max_tokens",
        "code": "unsupported_parameter",
    }
}
OPENAI_VALUE = {
    "error": {
        "message": "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_value",
    }
}
MISTRAL = {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 1}]}, "type": "invalid_request_error", "code": None}  # fmt: skip
FASTAPI = {
    "detail": [{"type": "extra_forbidden", "loc": ["body", "logit_bias"], "msg": "Extra inputs are not permitted"}]
}
GROQ_NAME = {"error": {"message": "'messages.0' : for 'role:user' the following must be satisfied[('messages.0' : property 'name' is unsupported)]", "type": "invalid_request_error"}}  # fmt: skip
GROQ = {"error": {"message": "property 'logprobs' is unsupported", "type": "invalid_request_error"}}


@pytest.mark.parametrize(
    ("status", "body", "change"),
    [
        (400, OPENAI_UNSUPPORTED, {"max_tokens": "max_completion_tokens"}),
        (400, OPENAI_VALUE, {"temperature": None}),
        (422, MISTRAL, {"seed": None}),
        (422, FASTAPI, {"logit_bias": None}),
        (400, GROQ, {"logprobs": None}),
        (400, {"error": {"message": "Unknown parameter: 'metadata'.", "param": "metadata", "code": "unknown_parameter"}}, {"metadata": None}),
        (400, {"error": {"message": "Unrecognized request argument supplied: parallel_tool_calls"}}, {"parallel_tool_calls": None}),
        (400, {"error": {"message": 'Invalid JSON payload received. Unknown name "frequency_penalty": Cannot find field.', "status": "INVALID_ARGUMENT"}}, {"frequency_penalty": None}),
        (400, {"error": {"message": "reasoning_effort is not supported by this model"}}, {"reasoning_effort": None}),
        (400, {"error": {"message": "`max_completion_tokens` is not permitted", "param": "max_completion_tokens"}}, {"max_completion_tokens": "max_tokens"}),
    ],
)  # fmt: skip
def test_a_complaint_about_a_parameter_is_learned_from(status, body, change):
    failure = judged(status, body)
    assert (failure.action, dict(failure.adapt)) == (Action.ADAPT, change)


@pytest.mark.parametrize("body", [MISTRAL, FASTAPI, OPENAI_VALUE, GROQ])
def test_also_when_a_gateway_hands_it_on(body):
    wrapped = {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": json.dumps(body)}}}
    assert dict(judged(400, wrapped).adapt) == dict(judged(400, body).adapt) != {}


def test_a_name_in_messages_is_learned_too():
    assert dict(judged(400, GROQ_NAME).adapt) == {"messages.name": None}


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: 'tools' is not supported with this model.",
        "'messages' has unsupported content",
        "response_format is not supported",
        "Invalid 'temperature': expected a number",
        "The model 'seed' does not exist",
    ],
)
def test_what_the_answer_depends_on_is_never_left_out(message):
    assert judged(400, {"error": {"message": message}}).action is Action.NEXT


def test_learned_changes_are_applied():
    body = {"max_tokens": 5, "seed": 1, "messages": [{"role": "user", "content": "x", "name": "bob"}], "keep": 1}
    unsupported.apply(
        body, {"max_tokens": "max_completion_tokens", "seed": None, "messages.name": None, "absent": None}
    )
    assert body == {"max_completion_tokens": 5, "messages": [{"role": "user", "content": "x"}], "keep": 1}


@pytest.mark.parametrize(
    ("status", "body", "action", "code"),
    [
        (400, {"error": {"code": "context_length_exceeded", "message": "x"}}, Action.CONTEXT, "context_length_exceeded"),
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000"}}, Action.CONTEXT, "context_length_exceeded"),
        (400, {"error": {"code": 400, "message": "request (9000 tokens) exceeds the available context size (4096 tokens)", "type": "exceed_context_size_error"}}, Action.CONTEXT, "context_length_exceeded"),
        (400, [{"error": {"code": 400, "message": "The input token count (1200000) exceeds the maximum number of tokens allowed", "status": "INVALID_ARGUMENT"}}], Action.CONTEXT, "context_length_exceeded"),
        (400, {"error": {"code": "content_filter", "message": "The response was filtered"}}, Action.FINAL, "content_filter"),
        (400, {"error": {"message": "filtered due to Azure OpenAI's content management policy"}}, Action.FINAL, "content_filter"),
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}, Action.KEY, "upstream_payment"),
        (402, {"error": {"message": "Insufficient Balance"}}, Action.KEY, "upstream_payment"),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}], Action.KEY, "upstream_authentication"),
        (404, {"error": {"message": "model 'x' not found, try pulling it first"}}, Action.NEXT, "model_not_found"),
        (500, {"error": {"message": "The model is overloaded. Please try again later."}}, Action.COOL, "upstream_overloaded"),
        (500, b"<html>oops</html>", Action.RETRY, "upstream_error"),
        (599, b"", Action.RETRY, "upstream_error"),
        (403, {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": ["violence"]}}}, Action.FINAL, "content_filter"),
        (403, {"error": {"message": "Project `x` does not have access to model `gpt-5`"}}, Action.NEXT, "model_not_allowed"),
        (418, {"error": "plain words"}, Action.NEXT, "upstream_error"),
    ],
)  # fmt: skip
def test_vendors_errors(status, body, action, code):
    failure = judged(status, body)
    assert (failure.action, failure.code, failure.status) == (action, code, status)


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdefghijkl****wxyz. You can find",
        "Authorization: Bearer abcdefghijklmnop",
        "key gsk_abcdefghijklmnop",
        "use brk_live_abcdefghijklmnop",
        "AIzaSyA-1234567890abcdefgh",
        "mine is my-own-secret",
        "cannot reach http://me:abcdefgh@10.0.0.1/v1",
    ],
)
def test_keys_are_blotted_out_of_messages(text):
    cleaned = clean_message(text, ("my-own-secret",))
    assert "***" in cleaned
    assert not any(part in cleaned for part in ("abcdefgh", "wxyz", "own-secret", "SyA-1"))


@given(st.text(max_size=2000))
def test_a_message_is_one_short_printable_line(text):
    cleaned = clean_message(text)
    assert len(cleaned) <= LONGEST_MESSAGE
    assert cleaned.isprintable()


@given(st.integers(400, 599), st.binary(max_size=60))
def test_any_reply_can_be_judged(status, body):
    assert judge("lab", status, {}, body, now=0.0, secrets=()).status == status


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 600), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "loc", "details", "param"]), inner, max_size=4)),
    max_leaves=12,
)  # fmt: skip


@given(st.integers(400, 599), json_values)
def test_any_shape_of_error_can_be_judged(status, value):
    assert judged(status, value).message
    assert in_band("lab", value, (), 5.0).message


@pytest.mark.parametrize("name", ["code", "type", "param"])
@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_an_upstreams_words_are_bounded(name, status):
    failure = judged(status, {"error": {"message": "No.", name: "ü\n\0" + "x" * 256_000}})
    for word, longest in ((failure.code, 64), (failure.error_type, 64), (failure.param, 200)):
        assert word is None or (word.isascii() and word.isprintable() and 0 < len(word) <= longest)


def test_keys_are_blotted_out_of_an_upstreams_words():
    error = dict.fromkeys(("code", "type", "param"), "my-own-secret")
    failure = judged(400, {"error": {**error, "message": "No."}}, secrets=("my-own-secret",))
    assert "secret" not in f"{failure.code} {failure.error_type} {failure.param}"


@pytest.mark.parametrize("code", ["9" * 5000, "²²²", "٤٠٤", 1e300, 10**18, True])
def test_an_odd_code_in_a_reply_of_status_200_is_no_status(code):
    assert in_band("lab", {"error": {"message": "x", "code": code}}, (), 5.0).status == 502


@pytest.mark.parametrize("where", ["message", "detail", "code", "metadata"])
def test_an_error_nested_too_deep_to_be_written_out_can_be_judged(where):
    deep: Any = "x"
    for _ in range(600):
        deep = [deep]
    assert in_band("lab", {"error": {where: deep}}, (), 5.0).status == 502
    body = b'{"error":{"%s":%s}}' % (where.encode(), b"[" * 600 + b"]" * 600)
    assert judge("lab", 400, {}, body, now=0.0, secrets=()).status == 400


@pytest.mark.parametrize("words", [
    "too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model - received 8192.",
    "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower.",
])  # fmt: skip
def test_a_ceiling_of_the_answer_is_not_the_window_where_more_was_asked_for(words):
    body = json.dumps({"message": words}).encode()
    greedy = Asked(body=b'{"max_tokens": 8192}')
    failure = judge("lab", 400, {}, body, now=0.0, secrets=(), asked=greedy)
    assert (failure.meaning, failure.adapt) == (Meaning.PARAMETER, {"max_tokens.most": "4096"})


@pytest.mark.parametrize("name", ["reasoning_effort", "verbosity"])
def test_a_grade_that_is_not_known_is_left_out(name):
    told = {
        "message": "Invalid value: 'xhigh'. Supported values are: 'low' and 'high'.",
        "param": name,
        "code": "invalid_value",
    }
    asked = Asked(body=json.dumps({name: "xhigh", "temperature": 1}).encode())
    body = json.dumps({"error": told}).encode()
    assert judge("lab", 400, {}, body, now=0.0, secrets=(), asked=asked).adapt == {name: None}
    other = json.dumps({"error": {**told, "param": "temperature"}}).encode()
    assert judge("lab", 400, {}, other, now=0.0, secrets=(), asked=asked).adapt == {}
