"""Marks of what to cache, and that what is sent of a conversation's beginning never changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.config.kinds import KINDS
from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.models import Model
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.wire.openai_chat.request import parse

LONG = "word " * 6000
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
}
SYSTEM = {"role": "system", "content": LONG}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
LOOP = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "b"},
]


def sent(kind: str, upstream: str, body: dict[str, Any], *, stream: bool = False) -> dict[str, Any]:
    """What goes upstream."""
    url = "http://127.0.0.1:9/v1" if KINDS[kind].needs_url else ""
    adapter = adapter_for(ProviderSettings("p", kind, base_url=url))
    wire = adapter.prepare(parse({"model": "m", **body}), Model("p/m", "p", upstream), None, {}, stream=stream)
    return json.loads(wire.body or b"")


def marked(body: dict[str, Any]) -> list[int]:
    """The places of messages with a mark."""
    return [place for place, message in enumerate(body["messages"]) if "cache_control" in json.dumps(message)]


class TestOpenRouter:
    def test_of_claude_the_instructions_and_the_ends_of_this_and_the_last_request_are_marked(self):
        got = sent("openrouter", "anthropic/claude-sonnet-4.5", {"messages": [SYSTEM, *LOOP], "tools": [TOOL]})
        assert marked(got) == [0, 1, 3]

    def test_of_gemini_the_instructions_alone(self):
        got = sent("openrouter", "google/gemini-2.5-flash", {"messages": [SYSTEM, *LOOP], "tools": [TOOL]})
        assert marked(got) == [0]

    def test_what_is_too_short_to_be_kept_is_sent_as_it_came(self):
        body = {"messages": [{"role": "system", "content": "short"}, *LOOP], "tools": [TOOL]}
        assert sent("openrouter", "anthropic/claude-sonnet-4.5", body)["messages"] == body["messages"]

    def test_what_will_hardly_come_again_is_not_marked(self):
        got = sent(
            "openrouter", "anthropic/claude-sonnet-4.5", {"messages": [SYSTEM, {"role": "user", "content": "a"}]}
        )
        assert marked(got) == []

    def test_a_clients_own_marks_are_the_only_ones(self):
        mine = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
        body = {"messages": [SYSTEM, {"role": "user", "content": [mine]}, *LOOP[1:]], "tools": [TOOL]}
        assert marked(sent("openrouter", "anthropic/claude-sonnet-4.5", body)) == [1]

    def test_other_models_get_none(self):
        got = sent("openrouter", "openai/gpt-5", {"messages": [SYSTEM, *LOOP], "tools": [TOOL]})
        assert marked(got) == []
        assert got["messages"][0] == SYSTEM


def test_tools_long_enough_are_kept_by_themselves():
    tools = [{"type": "function", "function": {**TOOL["function"], "description": LONG}}]
    got = sent(
        "anthropic", "claude-sonnet-4-5", {"messages": [{"role": "system", "content": "12:00"}, *LOOP], "tools": tools}
    )
    assert "cache_control" in got["tools"][-1]


def test_a_sonnet_is_marked_from_a_quarter_of_what_a_haiku_needs():
    body = {"messages": [{"role": "system", "content": "word " * 1500}, *LOOP], "tools": [TOOL]}
    assert "cache_control" in json.dumps(sent("anthropic", "claude-sonnet-4-5", body))
    assert "cache_control" not in json.dumps(sent("anthropic", "claude-haiku-4-5", body))


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)
ASKS = WORDS.map(lambda said: {"role": "user", "content": said + " ?"})
PARTS = WORDS.map(lambda said: {"role": "user", "content": [{"type": "text", "text": said + " ?"}]})
SAYS = WORDS.map(lambda said: {"role": "assistant", "content": said + " ."})


def _loop(number: int, result: str) -> list[dict[str, Any]]:
    call = {**CALL, "id": f"call_{number}"}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": result + "!"},
    ]


TURNS = st.lists(st.tuples(st.one_of(ASKS, PARTS), st.one_of(SAYS.map(lambda m: [m]), st.tuples(st.integers(0, 9), WORDS).map(lambda t: _loop(*t)))), min_size=2, max_size=6)  # fmt: skip
EVERY = [
    ("openai", "gpt-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-8"),
    ("openrouter", "anthropic/claude-sonnet-4.5"),
    ("openrouter", "google/gemini-2.5-flash"),
    ("gemini", "gemini-3.1-pro-preview"),
    ("mistral", "mistral-large"),
    ("deepseek", "deepseek-v4-pro"),
    ("groq", "openai/gpt-oss-120b"),
    ("llamacpp", "qwen3-8b"),
]


def beginning(body: dict[str, Any]) -> str:
    """Tools, instructions and messages as one text, without the marks, which are no part of a prompt."""
    plain = json.dumps([body.get("tools"), body.get("system"), body["messages"]], ensure_ascii=False)
    return plain.replace(', "cache_control": {"type": "ephemeral"}', "")


@pytest.mark.parametrize(("kind", "upstream"), EVERY)
@given(turns=TURNS, system=st.sampled_from(["short", LONG]))
@settings(max_examples=25, deadline=None)
def test_what_is_sent_again_is_the_same_to_the_last_byte(kind, upstream, turns, system):
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
    last = ""
    for number, (ask, answer) in enumerate(turns):
        messages.append(ask)
        body = {"messages": list(messages), "tools": [TOOL], "temperature": 0.1 * number, "max_tokens": 100 + number}
        now = beginning(sent(kind, upstream, body, stream=bool(number % 2)))
        assert now.startswith(last)
        # Two turns of one role become one for Anthropic: what is sure is all up to the end of the message.
        last = now.rstrip("]}")
        messages += answer
