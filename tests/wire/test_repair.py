"""Slips of clients that mean the same to everybody are put right; the client's own object is never changed."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.errors import InvalidRequestError
from cheaprouter.wire.decode import decode
from cheaprouter.wire.openai_chat.request import parse

HELLO = {"role": "user", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def call(**changes: Any) -> dict[str, Any]:
    whole = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}, **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def sent(**fields: Any) -> dict[str, Any]:
    """What goes on of a body with these fields; the one that was given stays as it was."""
    body = {"model": "lab/a", "messages": [HELLO], **fields}
    before = copy.deepcopy(body)
    done = parse(body).body
    assert body == before
    return done


def said(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return sent(messages=list(messages))["messages"]


@pytest.mark.parametrize(
    "empty",
    [
        {"tools": []},
        {"tools": None, "tool_choice": "auto", "parallel_tool_calls": True},
        {"tools": [], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": "none"},
        {"parallel_tool_calls": False},
        {"functions": [], "function_call": "auto"},
        {"stream_options": {"include_usage": True}},
        {"stream": False, "stream_options": None},
        {"stop": []},
        {"stop": None, "temperature": None, "seed": None, "logit_bias": {}, "metadata": {}, "user": ""},
        {"response_format": {}, "tool_choice": {}, "reasoning_effort": "", "service_tier": "", "modalities": []},
        {"service_tier": None, "modalities": None},
        {"max_tokens": -1},
        {"max_tokens": -1.0, "max_completion_tokens": -1},
    ],
)
def test_what_says_nothing_is_left_out(empty):
    done = sent(**empty)
    assert {name: value for name, value in done.items() if name != "stream"} == {"model": "lab/a", "messages": [HELLO]}


def test_the_old_way_of_calling_functions_stays():
    fields = {"functions": [{"name": "g"}], "function_call": "auto"}
    assert sent(**fields) == {"model": "lab/a", "messages": [HELLO], **fields}


def test_minus_one_is_no_limit():
    assert parse({"model": "a/b", "messages": [HELLO], "max_tokens": -1}).max_tokens is None


def test_what_says_something_stays():
    fields = {
        "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False, "stream": True, "temperature": 0, "n": 1,
        "stream_options": {"include_usage": True}, "seed": 0, "unknown": None,
    }  # fmt: skip
    body = {"model": "lab/a", "messages": [HELLO], **fields}
    assert parse(body).body is body


@pytest.mark.parametrize(
    ("given_call", "right"),
    [
        (call(type=...), call()),
        (call(type=""), call()),
        (call(function={"name": "f", "arguments": {"a": 1}}), call(function={"name": "f", "arguments": '{"a":1}'})),
        (call(function={"name": "f", "arguments": ""}), call()),
        (call(function={"name": "f", "arguments": None}), call()),
        (call(function={"name": "f"}), call()),
        (call(id=""), call(id="call_1_0")),
        (call(id=...), call(id="call_1_0")),
        (call(index=0, type=None), call(index=0)),
    ],
)
def test_calls_in_the_history_are_made_whole(given_call, right):
    messages = said(HELLO, {"role": "assistant", "content": None, "tool_calls": [given_call]})
    assert messages[1]["tool_calls"] == [right]


def test_calls_that_are_whole_are_not_touched():
    messages = [HELLO, {"role": "assistant", "content": None, "tool_calls": [call()]}]
    assert said(*messages) == messages


def test_an_empty_list_of_calls_is_left_out():
    assert said({"role": "assistant", "content": "x", "tool_calls": []}) == [{"role": "assistant", "content": "x"}]


def test_what_is_null_in_an_answer_is_left_out_but_for_its_content():
    echoed = {"role": "assistant", "content": None, "refusal": None, "audio": None, "tool_calls": [call()], "x": 1}
    assert said(echoed, HELLO)[0] == echoed | {}
    plain = {"role": "assistant", "content": "x", "refusal": None, "function_call": None, "tool_calls": None}
    assert said(plain)[0] == {"role": "assistant", "content": "x"}


@pytest.mark.parametrize("role", ["assistant", "user", "system"])
def test_no_content_at_all_is_an_empty_one(role):
    assert said({"role": role, "content": None})[0] == {"role": role, "content": ""}


def test_results_without_an_id_are_those_of_the_calls_before_in_turn():
    calls = [call(id=...), call(id="own"), call(id="")]
    results = [{"role": "tool", "content": text} for text in "abc"]
    results[1]["tool_call_id"] = "own"
    messages = said(HELLO, {"role": "assistant", "content": "", "tool_calls": calls}, *results)
    assert [one["id"] for one in messages[1]["tool_calls"]] == ["call_1_0", "own", "call_1_2"]
    assert [one["tool_call_id"] for one in messages[2:]] == ["call_1_0", "own", "call_1_2"]


@pytest.mark.parametrize(
    ("part", "right"),
    [
        ("hi", {"type": "text", "text": "hi"}),
        ({"text": "hi"}, {"type": "text", "text": "hi"}),
        ({"type": "input_text", "text": "hi"}, {"type": "text", "text": "hi"}),
        ({"image_url": {"url": "data:x"}}, {"type": "image_url", "image_url": {"url": "data:x"}}),
        ({"type": "input_image", "image_url": "data:x", "detail": "low"}, {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}),
    ],
)  # fmt: skip
def test_parts_get_their_type(part, right):
    assert said({"role": "user", "content": [part]})[0]["content"] == [right]


@pytest.mark.parametrize(
    ("content", "right"),
    [
        ({"state": "on"}, '{"state":"on"}'),
        ([{"state": "on"}], '[{"state":"on"}]'),
        (21.5, "21.5"),
        (True, "true"),
        ([{"type": "text", "text": "on"}], [{"type": "text", "text": "on"}]),
        (["on"], [{"type": "text", "text": "on"}]),
        (None, ""),
    ],
)
def test_a_tools_result_may_be_data(content, right):
    assert said({"role": "tool", "tool_call_id": "c", "content": content})[0]["content"] == right


def test_a_part_alone_is_a_list_of_one():
    part = {"type": "text", "text": "x"}
    assert said({"role": "user", "content": part})[0]["content"] == [part]


@pytest.mark.parametrize("tool", [{"function": TOOL["function"]}, {"type": "function", **TOOL["function"]}])
def test_tools_get_their_shape(tool):
    assert sent(tools=[tool])["tools"] == [TOOL]


def test_other_kinds_of_tools_are_not_touched():
    body = {"model": "lab/a", "messages": [HELLO], "tools": [{"type": "web_search", "name": "search"}, 7]}
    assert parse(body).body["tools"] == body["tools"]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]},
        {"messages": [{"role": "user", "content": "x", "cache_control": {}}]},
        {"tools": [{**TOOL, "cache_control": {}}]},
        {"cache_control": {}},
    ],
)
def test_it_is_seen_whether_a_request_marks_what_to_cache(fields):
    assert parse({"model": "a", "messages": [HELLO], **fields}).marked
    assert not parse({"model": "a", "messages": [HELLO], "tools": [TOOL]}).marked


_VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=3)
_JSON = st.recursive(_VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "function", "name", "arguments", "text", "x"]), inner, max_size=4), max_leaves=8)  # fmt: skip


@given(calls=_JSON, content=_JSON, result=_JSON, tools=_JSON)
def test_whatever_the_history_holds_is_taken_or_refused(calls, content, result, tools):
    messages = [
        {"role": "assistant", "content": content, "tool_calls": calls},
        {"role": "tool", "content": result, "tool_call_id": calls if isinstance(calls, str) else None},
    ]
    try:
        done = parse({"model": "a", "messages": messages, "tools": tools})
    except InvalidRequestError:
        return
    again = parse(done.body)
    assert again.body == done.body or again.body != again.body  # NaN is unlike itself


@pytest.mark.parametrize(
    ("text", "param"),
    [
        (b'{"temperature": NaN}', "temperature"),
        (b'{"a": {"top_p":-Infinity}}', "top_p"),
        (b'{"seed": 1e999}', "seed"),
        (b'{"a": "x\\": NaN", "b": tru}', None),
        (b'{"a": [1, NaN]}', None),
        (b"NaN", None),
    ],
)
def test_a_number_that_is_none_is_named(text, param):
    with pytest.raises(InvalidRequestError) as caught:
        decode(text)
    assert (caught.value.param, caught.value.code) == (param, "invalid_json")


def test_a_body_of_the_responses_api_is_asked_as_a_chat():
    body = {
        "model": "lab/a",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Lamp on"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "g", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "output_text", "text": "done"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "f"},
        "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }
    done = parse(orjson.loads(orjson.dumps(body)))
    assert (done.stream, done.max_tokens) == (True, 50)
    assert done.body == {
        "model": "lab/a",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Lamp on"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    call(id="c1"),
                    call(id="c2", function={"name": "g", "arguments": '{"a":1}'}),
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "done"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "max_completion_tokens": 50,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": "hi", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": []}, "messages"),
        ({"input": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ],
)
def test_a_body_of_the_responses_api_that_cannot_be_asked_is_refused(fields, param):
    with pytest.raises(InvalidRequestError) as caught:
        parse({"model": "lab/a", **fields})
    assert caught.value.param == param


@given(_JSON)
def test_whatever_input_holds_is_taken_or_refused(value):
    try:
        parse({"model": "a", "input": value})
    except InvalidRequestError:
        return


def test_a_call_whose_name_is_not_wrapped_is_wrapped():
    flat = {"id": "a", "name": "lamp", "arguments": {"on": True}}
    for call in (flat, {**flat, "type": "function"}):
        body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
        assert parse(body).messages[0]["tool_calls"] == [
            {"id": "a", "type": "function", "function": {"name": "lamp", "arguments": '{"on":true}'}}
        ]


@pytest.mark.parametrize("number", [b"1180591620717411303424", b"1e30", b"-1e30", b"9" * 10_000])
@pytest.mark.parametrize("field", ["seed", "temperature", "top_k", "max_tokens"])
def test_a_number_beyond_64_bits_is_refused_by_its_fields_name(field, number):
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"%s":%s}' % (field.encode(), number)
    with pytest.raises(InvalidRequestError) as caught:
        parse(decode(body))
    assert caught.value.param == field
