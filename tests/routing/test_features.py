"""What a request needs, how big it is, and what it asks: in any shape that clients send."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.core.models import Capability
from cheaprouter.routing.features import extract, walked
from tests.builders import saying


def user(content):
    return {"messages": saying(content)}


@pytest.mark.parametrize(
    "body",
    [None, [], "x", 5, {}, {"messages": None}, {"messages": "hello"}, {"messages": [None, 3, [], "x"]},
     {"messages": [{"role": "user"}]}, {"messages": [{"content": None, "role": None}]},
     {"messages": [{"role": "user", "content": [None, 4, {"type": None}, {"type": "text", "text": None}]}]},
     {"tools": "x", "response_format": 3, "max_tokens": "many", "messages": [{"role": "assistant", "tool_calls": 5}]}],
)  # fmt: skip
def test_junk_is_measured_without_an_error(body):
    assert extract(body).needs <= set(Capability)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "tools", "messages", "tool_calls", "image_url"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.fixed_dictionaries({"messages": json_values, "tools": json_values, "response_format": json_values}))
def test_no_json_value_breaks_it(body):
    features = extract(body)
    assert features.prompt_tokens >= 0
    assert isinstance(features.ask, str)


def test_array_content_counts_as_its_text():
    parts = extract(user([{"type": "text", "text": "word " * 400}]))
    assert parts.prompt_tokens == pytest.approx(extract(user("word " * 400)).prompt_tokens, abs=5)


def test_image_bytes_are_never_text():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    features = extract(user([{"type": "text", "text": "What is this?"}, image]))
    assert features.prompt_tokens < 2000
    assert features.needs == {Capability.VISION}


def test_base64_inside_a_text_is_not_what_is_asked():
    assert extract(user("What is this? data:image/png;base64," + "QUJD" * 1000)).ask == "What is this"


def test_a_wide_script_counts_a_token_a_character():
    assert extract(user("证" * 300)).prompt_tokens == pytest.approx(307, abs=2)


def test_the_newer_name_of_the_output_limit_wins():
    assert extract({**user("hi"), "max_completion_tokens": 7, "max_tokens": 900}).max_tokens == 7


@pytest.mark.parametrize("value", [0, -3, True, "5", 2.5, None])
def test_an_output_limit_that_is_none_is_none(value):
    assert extract({**user("hi"), "max_tokens": value}).max_tokens is None


def test_expected_output_never_exceeds_the_clients_limit():
    assert extract({**user("Write an essay on rivers. " * 20), "max_tokens": 30}).expected_output_tokens == 30


def test_a_tools_result_means_a_tool_loop():
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}],
    }
    body = {"messages": [{"role": "user", "content": "weather?"}, call, {"role": "tool", "content": "12 C"}]}
    features = extract(body)
    assert features.in_tool_loop
    assert Capability.TOOLS in features.needs


def test_a_new_question_ends_the_tool_loop():
    body = {"messages": [{"role": "tool", "content": "12 C"}, {"role": "user", "content": "and tomorrow?"}]}
    assert not extract(body).in_tool_loop


def test_a_json_schema_is_a_need_and_json_mode_is_not():
    assert extract({**user("x"), "response_format": {"type": "json_schema"}}).needs == {Capability.JSON_SCHEMA}
    assert extract({**user("x"), "response_format": {"type": "json_object"}}).needs == frozenset()


def test_speech_needs_a_model_that_hears():
    assert extract(user([{"type": "input_audio", "input_audio": {"data": "AAAA"}}])).needs == {Capability.AUDIO}


def test_the_same_question_again_is_a_repeat():
    messages = [
        {"role": "user", "content": "Is the door  locked?"},
        {"role": "assistant", "content": "Maybe."},
        {"role": "user", "content": "is the door locked?"},
    ]
    assert extract({"messages": messages}).repeats


def test_thanks_twice_is_no_repeat():
    messages = [
        {"role": "user", "content": "Thanks!"},
        {"role": "assistant", "content": "Sure."},
        {"role": "user", "content": "thanks!"},
    ]
    assert not extract({"messages": messages}).repeats


def test_two_chats_that_began_with_hello_part_at_the_first_reply():
    def chat(reply):
        return extract(
            {
                "messages": [
                    {"role": "user", "content": "hello"},
                    {"role": "assistant", "content": reply},
                    {"role": "user", "content": "go"},
                ]
            }
        )

    assert chat("Hi!").conversation_key != chat("Good day.").conversation_key
    assert chat("Hi!").opening_key == extract(user("hello")).conversation_key


def test_a_conversation_keeps_its_key_as_it_grows():
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": "go"},
    ]
    longer = [*messages, {"role": "assistant", "content": "Gone."}, {"role": "user", "content": "back"}]
    assert extract({"messages": messages}).conversation_key == extract({"messages": longer}).conversation_key


@pytest.mark.parametrize(
    ("said", "ask"),
    [
        ("Hello! Could you please turn on the lamp? Thanks!", "turn on the lamp?"),
        ('What does the word "derive" mean?', "What does the word x mean?"),
        ("Summarise this:\n```\nprove prove prove\n```", "Summarise this:"),
        ("Is it open? Is it open? Is it open?", "Is it open?"),
        ("lights off lights off lights off", "lights off"),
    ],
)  # fmt: skip
def test_the_ask_is_what_is_left_without_trimmings(said, ask):
    assert extract(user(said)).ask.rstrip("?:. ") == ask.rstrip("?:. ")


plain_messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "user", "assistant", "developer", "tool"]),
            "content": st.text("ab c", max_size=90) | st.text(max_size=5) | st.none(),
        },
        optional={"name": st.just("bob"), "tool_calls": st.just([{"id": "c", "function": {"arguments": "{}"}}])},
    )
    | st.just("hello"),
    max_size=8,
)
more = st.fixed_dictionaries(
    {"messages": plain_messages},
    optional={
        "max_tokens": st.sampled_from([-1, 0, 1, 40, True, None, "5", 2.5]),
        "max_completion_tokens": st.sampled_from([0, 7, None]),
        "tools": st.sampled_from([[], [{"type": "function"}]]),
        "functions": st.just([{"name": "f"}]),
        "response_format": st.just({"type": "json_schema"}),
        "modalities": st.just(["text", "audio"]),
        "temperature": st.just(0.2),
    },
)


@settings(max_examples=400, deadline=None)
@given(more)
def test_the_short_look_and_the_long_one_measure_the_same(body):
    assert repr(extract(body)) == repr(walked(body))
    assert extract(body).conversation_key == walked(body).conversation_key
