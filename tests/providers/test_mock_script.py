"""The mock's answers, planned from the request alone."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.errors import InvalidRequestError
from cheaprouter.providers.mock import MockTransport
from cheaprouter.providers.mock_script import example, plan, read_marker
from cheaprouter.wire.openai_chat.request import parse
from tests.builders import a_wire_request, saying


def ask(text, **fields):
    return plan({"messages": saying(text), **fields})


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "turn_on",
            "parameters": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "level": {"type": "integer"}},
                "required": ["name"],
            },
        },
    }
]


def test_the_same_request_gets_the_same_answer():
    assert ask("hello") == ask("hello")


def test_a_plain_prompt_is_echoed_with_a_hint():
    assert 'You said: "hello there"' in "".join(ask("hello there").tokens)


def test_the_tokens_put_together_are_the_text():
    assert "".join(ask("[[say=a  b\nc, and done]]").tokens) == "a  b\nc, and done"


def test_n_sets_the_number_of_events():
    assert len(ask("[[n=100 d=20]]").tokens) == 100


def test_delays_are_milliseconds():
    answer = ask("[[n=3 d=20 f=500]]")
    assert (answer.first_delay, answer.delay) == (0.5, 0.02)


def test_max_tokens_cuts_and_says_so():
    answer = ask("[[n=10]]", max_tokens=3)
    assert (len(answer.tokens), answer.finish) == (3, "length")


def test_a_stop_sequence_ends_the_text():
    assert "".join(ask("[[say=one END two]]", stop=["END"]).tokens) == "one "


def test_a_marker_calls_a_tool_with_its_arguments():
    answer = ask('[[tool=turn_on args={"name": "lamp"}]]', tools=TOOLS)
    assert (answer.tool, answer.finish) == (("turn_on", '{"name": "lamp"}'), "tool_calls")


def test_a_required_tool_gets_arguments_made_from_its_schema():
    assert ask("hello", tools=TOOLS, tool_choice="required").tool == ("turn_on", '{"name":"mock"}')


def test_a_named_tool_choice_is_followed():
    choice = {"type": "function", "function": {"name": "turn_on"}}
    assert ask("hello", tools=TOOLS, tool_choice=choice).tool is not None


def test_offered_tools_alone_are_not_called():
    assert ask("hello", tools=TOOLS).tool is None


def test_no_tool_is_called_right_after_a_tools_answer():
    messages = [
        {"role": "user", "content": "[[tool=turn_on]]"},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    ]
    assert plan({"messages": messages, "tools": TOOLS}).tool is None


def test_a_schema_gets_an_instance_of_itself():
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "array", "items": {"type": "number"}}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    assert orjson.loads("".join(ask("hello", response_format=wanted).tokens)) == {"a": "x", "b": [1.5]}


def test_usage_counts_what_is_said():
    answer = ask("[[n=10 cached=2]]")
    assert answer.usage["completion_tokens"] == 10
    assert answer.usage["prompt_tokens_details"] == {"cached_tokens": 2}
    assert answer.usage["total_tokens"] == answer.usage["prompt_tokens"] + 10


def test_usage_can_be_left_out():
    assert ask("[[n=10 usage=0]]").usage is None


@pytest.mark.parametrize(
    "text", ["", "no marker", "[[broken", "[[n=x]]", "[[n=-1]]", "[[=]]", "[[n=99999999999999999999]]"]
)
def test_a_bad_marker_is_no_error(text):
    assert ask(text).tokens is not None


def test_only_the_last_user_message_steers():
    messages = [
        {"role": "user", "content": "[[n=5]]"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "hello"},
    ]
    assert "You said" in "".join(plan({"messages": messages}).tokens)


def test_say_takes_all_to_the_end_of_the_marker():
    assert read_marker("[[d=5 say=a b=c]]").words == {"say": "a b=c"}


def test_an_endless_schema_ends():
    schema: dict = {"type": "object", "properties": {}}
    schema["properties"]["again"] = schema
    assert isinstance(example(schema), dict)


def test_a_number_without_an_end_is_only_a_large_one():
    assert ask("[[n=2 retry_after=" + "9" * 5000 + "]]").numbers["retry_after"] == 999_999_999_999


@given(
    st.dictionaries(
        st.sampled_from(["tools", "tool_choice", "response_format", "stop", "stream_options", "n", "max_tokens"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.just("required"),
            lambda x: st.lists(x, max_size=2) | st.dictionaries(
                st.sampled_from(["function", "json_schema", "schema", "type", "enum", "anyOf", "properties", "required",
                                 "parameters", "name", "items"]), x, max_size=3),
            max_leaves=8,
        ),
        max_size=3,
    )
)  # fmt: skip
def test_any_request_that_passed_the_front_door_gets_an_answer(fields):
    try:
        request = parse({"model": "m", "messages": [{"role": "user", "content": "x"}], **fields})
    except InvalidRequestError:
        return
    sent = a_wire_request("mock://", orjson.dumps(request.body))
    response = asyncio.run(MockTransport().open(sent, 1.0))
    assert response.status in (200, 400)
