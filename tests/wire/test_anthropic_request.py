"""OpenAI chat requests, as Anthropic is asked."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.models import Capability, Model
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.wire import UntranslatableError
from cheaprouter.wire.anthropic.cache import mark_cache
from cheaprouter.wire.anthropic.request import to_messages
from cheaprouter.wire.anthropic.shape import JSON_TOOL
from cheaprouter.wire.anthropic.turns import tool_id
from cheaprouter.wire.openai_chat.request import parse

OLD = Model("anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5-20250929", max_output=64_000)
OLDER = Model("anthropic/claude-3-7-sonnet", "anthropic", "claude-3-7-sonnet-20250219", max_output=64_000)
NEWEST = Model("anthropic/claude-opus-4-8", "anthropic", "claude-opus-4-8", max_output=128_000)
NEW = Model("anthropic/claude-opus-4-6", "anthropic", "claude-opus-4-6", max_output=128_000)
CALL = {"id": "call_1", "type": "function", "function": {"name": "light", "arguments": '{"on": true}'}}
TOOL = {"type": "function", "function": {"name": "light", "description": "Switch it", "parameters": {"type": "object"}}}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def wire(*messages: Any, model: Model = OLD, **body: Any) -> dict[str, Any]:
    return to_messages({"model": "x", "messages": list(messages) or [user("hi")], **body}, model)


def test_system_and_developer_messages_become_the_system_blocks():
    got = wire(
        {"role": "system", "content": "Be brief."},
        user("hi"),
        {"role": "developer", "content": [{"type": "text", "text": "In Dutch."}]},
    )
    assert [block["text"] for block in got["system"]] == ["Be brief.", "In Dutch."]
    assert got["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]


def test_max_tokens_is_the_clients_or_what_the_model_can():
    assert wire(max_tokens=5)["max_tokens"] == 5
    assert wire(max_tokens=5, max_completion_tokens=7)["max_tokens"] == 7
    assert wire(max_tokens=10**6)["max_tokens"] == 64_000
    assert wire()["max_tokens"] == 32_000
    assert wire(model=Model("a/b", "a", "claude-x"))["max_tokens"] == 8192


def test_parallel_calls_and_their_results_are_one_turn_each():
    second = {"id": "call_2", "type": "function", "function": {"name": "light", "arguments": "{}"}}
    got = wire(
        user("lights"),
        {"role": "assistant", "content": None, "tool_calls": [CALL, second]},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "failed"}]},
        user("thanks"),
    )["messages"]
    assert [turn["role"] for turn in got] == ["user", "assistant", "user"]
    assert [(b["type"], b["id"], b["input"]) for b in got[1]["content"]] == [
        ("tool_use", "call_1", {"on": True}),
        ("tool_use", "call_2", {}),
    ]
    assert [b["type"] for b in got[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert got[2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "call_1",
        "content": [{"type": "text", "text": "done"}],
    }


def test_a_call_keeps_its_id_its_name_and_its_arguments():
    nameless = {**CALL, "id": "call_2", "function": {"arguments": "[1]"}}
    got = wire(user("x"), {"role": "assistant", "content": None, "tool_calls": [CALL, nameless]})
    assert got["messages"][1]["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "light", "input": {"on": True}},
        {"type": "tool_use", "id": "call_2", "name": "unknown", "input": {"arguments": [1]}},
    ]


def test_the_old_function_messages_are_calls_too():
    got = wire(
        user("x"),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    )["messages"]
    assert got[1]["content"][0]["id"] == got[2]["content"][0]["tool_use_id"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "light"}}, {"type": "tool", "name": "light"}),
    ],
)
def test_tool_choice_has_a_word_for_each(choice, expected):
    assert wire(tools=[TOOL], tool_choice=choice)["tool_choice"] == expected


def test_tools_keep_their_schema_and_parallel_calls_can_be_forbidden():
    got = wire(tools=[TOOL, {"type": "function", "function": {"name": "bare"}}], parallel_tool_calls=False)
    assert got["tools"][0] == {"name": "light", "description": "Switch it", "input_schema": {"type": "object"}}
    assert got["tools"][1]["input_schema"] == {"type": "object", "properties": {}}
    assert got["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_images_as_data_and_as_addresses():
    got = wire(
        user(
            [
                {"type": "text", "text": "what is this"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}},
            ]
        )
    )["messages"][0]["content"]
    assert got[1] == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    assert got[2] == {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.jpg"}}
    assert got[3]["source"]["media_type"] == "application/pdf"


@pytest.mark.parametrize(
    "part",
    [{"type": "input_audio", "input_audio": {}}, {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
)
def test_what_has_no_equal_is_refused(part):
    with pytest.raises(UntranslatableError):
        wire(user([part]))


def test_several_choices_are_refused():
    with pytest.raises(UntranslatableError):
        wire(n=2)


def test_empty_text_is_left_out_and_a_prefill_is_trimmed():
    got = wire(user(""), user("go on"), {"role": "assistant", "content": "Once upon a time \n"})["messages"]
    assert got == [
        {"role": "user", "content": [{"type": "text", "text": "go on"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Once upon a time"}]},
    ]


def test_temperature_is_clamped_and_wins_over_top_p():
    got = wire(temperature=1.7, top_p=0.5, stop=["\n", "END"], user="me")
    assert (got["temperature"], got.get("top_p"), got["stop_sequences"], got["metadata"]) == (
        1.0,
        None,
        ["END"],
        {"user_id": "me"},
    )


def test_effort_is_a_budget_for_older_models_and_adaptive_for_newer_ones():
    assert wire(reasoning_effort="medium", temperature=0.2)["thinking"] == {"type": "enabled", "budget_tokens": 8192}
    assert "temperature" not in wire(reasoning_effort="medium", temperature=0.2)
    new = wire(model=NEW, reasoning_effort="high")
    assert (new["thinking"], new["output_config"]) == ({"type": "adaptive"}, {"effort": "high"})


@pytest.mark.parametrize(
    ("effort", "budget", "word"),
    [
        ("minimal", 1024, "low"),
        ("low", 2048, "low"),
        ("medium", 8192, "medium"),
        ("high", 16_384, "high"),
        ("xhigh", 32_768, "max"),
        ("max", 32_768, "max"),
    ],
)
def test_each_effort_has_its_budget_and_its_word(effort, budget, word):
    roomy = dataclasses.replace(OLD, max_output=128_000)
    assert wire(model=roomy, reasoning_effort=effort, max_tokens=100_000)["thinking"]["budget_tokens"] == budget
    assert wire(model=NEW, reasoning_effort=effort)["output_config"] == {"effort": word}


def test_a_budget_leaves_half_of_the_tokens_for_the_answer():
    assert wire(reasoning_effort="high", max_tokens=10_000)["thinking"]["budget_tokens"] == 5000


@pytest.mark.parametrize(
    ("model", "more"),
    [
        (OLD, {"reasoning_effort": "none"}),
        (OLD, {"reasoning_effort": "high", "max_tokens": 1000}),
        (OLD, {"reasoning_effort": "high", "tools": [TOOL], "tool_choice": "required"}),
        (OLD, {"thinking": {"type": "disabled"}}),
        (Model("a/b", "a", "claude-3-5-haiku-20241022"), {"reasoning_effort": "high"}),
        (
            Model("a/b", "a", "claude-haiku-4-5", capabilities=frozenset({Capability.TOOLS})),
            {"reasoning_effort": "high"},
        ),
    ],
)
def test_no_thinking_where_it_cannot_be(model, more):
    assert "thinking" not in wire(model=model, **more)


def test_a_clients_own_thinking_passes():
    assert wire(thinking={"type": "enabled", "budget_tokens": 5000})["thinking"]["budget_tokens"] == 5000


def test_signed_thinking_goes_back_before_its_calls():
    thought = {"type": "thinking", "thinking": "Hmm", "signature": "abc"}
    messages = [
        user("x"),
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Hmm",
            "thinking_blocks": [thought],
            "tool_calls": [CALL],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
    ]
    got = wire(*messages, reasoning_effort="low")
    assert got["messages"][1]["content"][0] == thought
    assert got["thinking"]["type"] == "enabled"


def test_lost_thinking_switches_thinking_off_in_a_tool_loop():
    messages = [
        user("x"),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
    ]
    assert "thinking" not in wire(*messages, reasoning_effort="low")
    assert "thinking" in wire(*messages, {"role": "assistant", "content": "done"}, user("more"), reasoning_effort="low")


def schema(inner: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": inner}}


def test_a_schema_is_a_tool_that_must_be_called():
    got = wire(model=OLDER, response_format=schema({"type": "object", "properties": {"a": {"type": "string"}}}))
    assert got["tools"][0]["name"] == JSON_TOOL
    assert got["tools"][0]["input_schema"]["properties"] == {"a": {"type": "string"}}
    assert got["tool_choice"] == {"type": "tool", "name": JSON_TOOL}


def test_beside_other_tools_any_may_be_called():
    got = wire(model=OLDER, response_format=schema({"type": "object"}), tools=[TOOL])
    assert [tool["name"] for tool in got["tools"]] == ["light", JSON_TOOL]
    assert got["tool_choice"] == {"type": "any"}


def test_no_parallel_calls_stay_forbidden_beside_a_schema():
    more = {"tool_choice": "required", "parallel_tool_calls": False}
    got = wire(model=OLDER, response_format=schema({"type": "object"}), tools=[TOOL], **more)
    assert got["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


def test_a_schema_of_an_array_is_wrapped():
    got = wire(model=OLDER, response_format=schema({"type": "array"}))
    assert got["tools"][0]["input_schema"]["properties"] == {"value": {"type": "array"}}


OBJECT = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"]}


def test_a_schema_is_asked_for_by_the_api_own_means_where_the_model_has_them():
    got = wire(response_format=schema(OBJECT), tools=[TOOL], reasoning_effort="high")
    said = got["output_config"]["format"]["schema"]
    assert got["output_config"]["format"]["type"] == "json_schema"
    assert said == {
        "type": "object",
        "properties": {"a": {"type": "string", "description": "(maxLength: 9)"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert [tool["name"] for tool in got["tools"]] == ["light"]
    assert "thinking" in got


def test_what_the_client_and_the_effort_say_of_the_output_stays_beside_its_format():
    got = wire(model=NEW, response_format=schema(OBJECT), reasoning_effort="low", output_config={"task_budget": 1})
    assert (got["output_config"]["effort"], got["output_config"]["task_budget"]) == ("low", 1)
    assert "format" in got["output_config"]


LOOP = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/a"}},
    "$defs": {"a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/a"}}}},
}


@pytest.mark.parametrize(
    "unsaid",
    [
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
        {**OBJECT, "additionalProperties": True},
        {**OBJECT, "if": {}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        LOOP,
    ],
)
def test_a_schema_that_cannot_be_said_there_is_a_tool(unsaid):
    got = wire(response_format=schema(unsaid))
    assert got["tools"][0]["name"] == JSON_TOOL
    assert "output_config" not in got


def test_definitions_that_lead_to_others_are_taken():
    chain = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}}}, "b": {"type": "string"}},
    }
    assert "format" in wire(response_format=schema(chain))["output_config"]


def test_a_model_that_refused_the_format_is_asked_by_a_tool():
    got = to_messages(
        {"model": "x", "messages": [user("hi")], "response_format": schema(OBJECT)}, OLD, {"output_config.format"}
    )
    assert got["tools"][0]["name"] == JSON_TOOL


@pytest.mark.parametrize(("model", "kept"), [(OLD, True), (NEW, True), (NEWEST, False), (Model("a/b", "a", "x"), True)])
def test_no_temperature_where_it_is_refused(model, kept):
    got = wire(model=model, temperature=0.3, top_k=5)
    assert ("temperature" in got, "top_k" in got) == (kept, kept)


def test_the_newest_models_take_the_highest_effort_and_tell_their_thoughts():
    got = wire(model=NEWEST, reasoning_effort="xhigh")
    assert got["output_config"] == {"effort": "xhigh"}
    assert got["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_a_clients_own_way_of_showing_thoughts_passes():
    shown = {"type": "adaptive", "display": "omitted"}
    assert wire(model=NEWEST, thinking=shown)["thinking"] == shown


def test_a_budget_becomes_adaptive_where_there_are_none_any_more_and_the_other_way_round():
    assert wire(model=NEWEST, thinking={"type": "enabled", "budget_tokens": 5000})["thinking"] == {"type": "adaptive"}
    assert wire(thinking={"type": "adaptive"})["thinking"] == {"type": "enabled", "budget_tokens": 8192}


def test_refused_ways_of_thinking_are_left():
    asked = {"model": "x", "messages": [user("hi")], "reasoning_effort": "low"}
    budget = to_messages(asked, NEW, {"thinking.adaptive"})
    assert (budget["thinking"], budget.get("output_config")) == ({"type": "enabled", "budget_tokens": 2048}, None)
    assert to_messages(asked, OLD, {"thinking.enabled"})["thinking"] == {"type": "adaptive"}
    assert "output_config" not in to_messages(asked, NEW, {"output_config.effort"})


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def said(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in texts]


ANSWER = {"role": "assistant", "content": "ok"}


@pytest.mark.parametrize(
    ("messages", "first", "turns"),
    [
        ([system("a"), user("b")], ["a"], ["user"]),
        ([user("b"), system("a")], None, ["user", "system"]),
        ([system("s"), user("b"), ANSWER, system("a"), user("c")], ["s"], ["user", "assistant", "user", "system"]),
        ([user("b"), system("a"), system("d"), ANSWER], None, ["user", "system", "assistant"]),
        ([user("b"), system("a"), user("c"), ANSWER], None, ["user", "system", "assistant"]),
        ([user("b"), ANSWER, system("a")], ["a"], ["user", "assistant"]),
    ],
)
def test_instructions_in_the_middle_stand_after_a_users_turn(messages, first, turns):
    got = wire(*messages, model=NEWEST)
    assert [turn["role"] for turn in got["messages"]] == turns
    assert [block["text"] for block in got.get("system", ())] == (first or [])
    assert all(turn["content"] == said(*[b["text"] for b in turn["content"]]) for turn in got["messages"])


def test_instructions_in_the_middle_join_the_first_where_they_are_refused():
    asked = {"model": "x", "messages": [user("b"), system("a")]}
    assert [turn["role"] for turn in to_messages(asked, NEWEST, {"messages.system"})["messages"]] == ["user"]


def call(call_id: str) -> dict[str, Any]:
    return {**CALL, "id": call_id}


def result(call_id: str, text: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def ids_of(got: dict[str, Any], kind: str, name: str) -> list[str]:
    return [block[name] for turn in got["messages"] for block in turn["content"] if block["type"] == kind]


@pytest.mark.parametrize("call_id", ["call_0", "", "functions.light:0"])
def test_an_id_that_comes_again_is_another_calls(call_id):
    turn = [{"role": "assistant", "content": None, "tool_calls": [call(call_id), call(call_id)]}]
    turn += [result(call_id), result(call_id), user("again")]
    got = wire(user("x"), *turn, *turn)
    made = ids_of(got, "tool_use", "id")
    assert len(set(made)) == 4
    assert ids_of(got, "tool_result", "tool_use_id") == made
    assert made[0] == tool_id(call_id)


@given(st.lists(st.sampled_from(["a", "b", "", "toolu_1", None]), max_size=12))
def test_calls_have_ids_of_their_own_whatever_a_client_sends(given_ids):
    messages = [user("x")]
    for call_id in given_ids:
        messages += [{"role": "assistant", "content": None, "tool_calls": [call(call_id)]}, result(call_id)]
    got = wire(*messages)
    made = ids_of(got, "tool_use", "id")
    assert len(set(made)) == len(given_ids)
    assert ids_of(got, "tool_result", "tool_use_id") == made


def test_many_calls_of_one_id_take_no_longer_each():
    calls = [call("x") for _ in range(3000)]
    got = wire(user("x"), {"role": "assistant", "content": None, "tool_calls": calls})
    assert len(set(ids_of(got, "tool_use", "id"))) == 3000


@pytest.mark.parametrize("who", ["anna.muster@example.org", "+43 660 1234567"])
def test_nobodys_address_is_a_user_id(who):
    told = wire(user=who)["metadata"]["user_id"]
    assert who not in told
    assert told == wire(user=who)["metadata"]["user_id"] != wire(user=who + "1")["metadata"]["user_id"]


def test_a_json_object_is_asked_for_in_words():
    assert "JSON object" in wire(response_format={"type": "json_object"})["system"][-1]["text"]


def cached(**body: Any) -> list[str]:
    got = wire(**body) if "messages" not in body else to_messages({"model": "x", **body}, OLD)
    mark_cache(got)
    places = [name for name in ("system", "tools") if any("cache_control" in block for block in got.get(name, ()))]
    return places + [
        str(i) for i, turn in enumerate(got["messages"]) if any("cache_control" in b for b in turn["content"])
    ]


LONG = "word " * 5000


def test_caching_is_for_long_beginnings_that_come_again():
    system = {"role": "system", "content": LONG}
    talk = [system, user("a"), {"role": "assistant", "content": "b"}, user("c")]
    assert cached(messages=[system, user("hi")]) == []
    assert cached(messages=[system, user("hi")], tools=[TOOL]) == ["system"]
    assert cached(messages=talk) == ["system", "0", "2"]
    assert cached(messages=[user("a"), {"role": "assistant", "content": "b"}, user("c")]) == []


def test_a_clients_own_breakpoints_are_the_only_ones():
    mine = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert cached(
        messages=[{"role": "system", "content": [mine]}, user("a"), {"role": "assistant", "content": "b"}, user("c")]
    ) == ["system"]


def test_the_request_on_the_wire():
    adapter = adapter_for(
        ProviderSettings("anthropic", "anthropic", api_keys=("sk-ant-1",), headers={"anthropic-beta": "x"})
    )
    request = parse({"model": "m", "messages": [user("hi")], "stream": True, "temperature": 0.3})
    out = adapter.prepare(request, OLD, "sk-ant-1", {"temperature": None, "max_tokens": "max_completion_tokens"})
    assert out.url == "https://api.anthropic.com/v1/messages"
    assert (out.headers["x-api-key"], out.headers["anthropic-version"], out.headers["anthropic-beta"]) == (
        "sk-ant-1",
        "2023-06-01",
        "x",
    )
    assert json.loads(out.body or b"") == {
        "model": OLD.upstream,
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream": True,
    }


texts = st.text(max_size=20)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(min_size=1, max_size=50),
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {"name": st.sampled_from(["a", "b"]), "arguments": st.one_of(st.just("{}"), st.just('{"x": 1}'), texts)}
            ),
        }
    ),
    max_size=3,
    unique_by=lambda call: call["id"],
)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 6))):
        role = draw(st.sampled_from(["system", "developer", "user", "assistant"]))
        message: dict[str, Any] = {
            "role": role,
            "content": draw(st.one_of(texts, st.none(), st.just([{"type": "text", "text": "p"}]))),
        }
        made = draw(calls) if role == "assistant" else []
        if made:
            message["tool_calls"] = made
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts)} for call in made]
    return messages


@given(conversations())
def test_any_conversation_becomes_one_that_anthropic_takes(messages):
    got = wire(*messages)["messages"]
    roles = [turn["role"] for turn in got]
    assert roles[0] == "user"
    assert all(a != b for a, b in itertools.pairwise(roles))
    blocks = [block for turn in got for block in turn["content"]]
    assert all(turn["content"] for turn in got)
    assert all(block["text"].strip() for block in blocks if block["type"] == "text")
    assert all(isinstance(block["input"], dict) for block in blocks if block["type"] == "tool_use")
    made = [block["id"] for block in blocks if block["type"] == "tool_use"]
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    assert made == answered
    assert made == [tool_id(call["id"]) for m in messages for call in m.get("tool_calls", ())]


@given(conversations())
def test_nothing_that_was_said_is_lost(messages):
    before = [
        text
        for m in messages
        if isinstance(text := m["content"], str) and text.strip() and m["role"] in ("system", "user")
    ]
    got = wire(*messages)
    after = json.dumps(got)
    assert all(json.dumps(text)[1:-1] in after for text in before)


@given(st.text(max_size=80))
def test_a_tool_id_is_always_the_same_and_always_allowed(given_id):
    made = tool_id(given_id)
    assert made == tool_id(given_id)
    assert 1 <= len(made) <= 64
    assert made.replace("-", "_").replace("_", "a").isalnum()
    assert made.isascii()


def test_a_breakpoint_may_stand_inside_of_a_tools_function():
    mark = {"type": "ephemeral"}
    tool = {"type": "function", "function": {"name": "f", "cache_control": mark}}
    assert wire(messages=[user("hi")], tools=[tool])["tools"][0]["cache_control"] == mark
