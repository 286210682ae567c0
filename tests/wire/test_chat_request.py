"""Checking a chat body: what is refused, and that nothing else is touched."""

import contextlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.errors import CheapRouterError, InvalidRequestError
from cheaprouter.wire.openai_chat import request as protocol
from cheaprouter.wire.openai_chat.encode import error_event, error_object
from cheaprouter.wire.openai_chat.request import parse

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
HELLO = [{"role": "user", "content": "hello"}]


def body(**fields):
    return {"model": "blockrun/auto", "messages": HELLO, **fields}


def test_a_plain_request_is_taken():
    request = parse(body())
    assert (request.model, request.stream, request.n, request.max_tokens) == ("blockrun/auto", False, 1, None)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"model": " "}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [3]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"texts": "x"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": 3}]}, "messages[0].tool_calls"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"max_tokens": float("inf")}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": {}}, "tools"),
        ({"stream_options": []}, "stream_options"),
        ({"n": 0}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": 129}, "n"),
        ({"n": 1e30}, "n"),
        ({"n": -1}, "n"),
        ({"max_tokens": 1e30}, "max_tokens"),
        ({"max_tokens": 2**53 + 1}, "max_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"max_completion_tokens": 10**30}, "max_completion_tokens"),
        ({"seed": 1e30}, "seed"),
        ({"mirostat_tau": 1e30}, "mirostat_tau"),
        ({"top_n": float(2**70)}, "top_n"),
        ({"nobody_knows": -1e300}, "nobody_knows"),
        ({"seed": -(2**63) - 1}, "seed"),
        ({"seed": float("nan")}, "seed"),
    ],
)
def test_a_wrong_field_is_named(wrong, param):
    with pytest.raises(InvalidRequestError) as caught:
        parse(body(**wrong))
    assert caught.value.param == param
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"temperature": "hot"}, "`temperature` must be a number, got a string."),
        ({"tools": {}}, "`tools` must be an array, got an object."),
        ({"max_completion_tokens": 1.5}, "`max_completion_tokens` must be an integer, got a number."),
        ({"max_tokens": True}, "`max_tokens` must be an integer, got a boolean."),
        ({"n": 0}, "`n` must be at least 1, got 0."),
        ({"model": " "}, "`model` must be a non-empty string, got ' '."),
    ],
)
def test_it_is_said_what_was_wanted_and_what_came(wrong, said):
    with pytest.raises(InvalidRequestError) as caught:
        parse(body(**wrong))
    assert caught.value.message == said


@pytest.mark.parametrize("junk", [None, [], "text", 3])
def test_a_body_that_is_no_object_is_refused(junk):
    with pytest.raises(InvalidRequestError):
        parse(junk)


def test_a_whole_number_may_be_written_as_a_float():
    assert parse(body(n=1.0, max_tokens=5.0)).n == 1


def test_null_fields_count_as_absent():
    assert parse(body(max_tokens=None, stream=None, tools=None)).stream is False


def test_max_completion_tokens_wins_over_max_tokens():
    assert parse(body(max_tokens=100, max_completion_tokens=7)).max_tokens == 7


def test_content_may_be_null_or_parts():
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    assert parse(body(messages=messages)).messages is messages


def test_unknown_fields_stay_in_the_body_untouched():
    tool = {"type": "function", "function": {"name": "f", "strict": True}}
    given_body = body(extra_body={"a": 1}, reasoning=None, top_a=0.5, tools=[tool], tool_choice="auto", stop=["x"])
    assert parse(given_body).body is given_body


def test_a_default_model_stands_in_only_where_one_is_given():
    assert parse({"messages": HELLO}, default_model="blockrun/eco").model == "blockrun/eco"


def test_a_usage_chunk_is_wanted_only_when_asked_for():
    assert parse(body(stream=True, stream_options={"include_usage": True})).include_usage
    assert not parse(body(stream=True)).include_usage


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["model", "messages", "stream", "max_tokens", "n", "tools", "stream_options", "seed", "stop", "temperature"]
)


@given(st.dictionaries(fields, json_values, max_size=6))
def test_whatever_comes_is_taken_or_refused_as_a_bad_request(junk):
    with contextlib.suppress(InvalidRequestError):
        parse(junk)


def test_an_error_has_openais_four_fields():
    error = CheapRouterError("broken")
    assert error_object(error)["error"] == {
        "message": "broken",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }


def test_an_error_event_is_one_data_frame():
    event = error_event(CheapRouterError("broken"))
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert orjson.loads(event[6:])["error"]["message"] == "broken"


VALUES = [None, True, False, 0, 1, -1, 7, 10**30, 0.0, 1.0, 0.5, -2.0, "", "x", [], ["x"], {}, {"include_usage": True}]


def refusal(check: Callable[..., Any], *given: Any) -> tuple[str, str | None] | None:
    """What a check says, if it refuses."""
    try:
        check(*given)
    except InvalidRequestError as error:
        return error.message, error.param
    return None


@pytest.mark.parametrize("name", protocol._TYPES)
@pytest.mark.parametrize("value", VALUES)
def test_a_field_that_is_not_looked_at_closely_is_one_that_would_pass(name, value):
    wanted = None if value is None else refusal(protocol._check_field, name, value)
    assert refusal(parse, body(**{name: value})) == wanted
