"""A ceiling that somebody's budget puts on a reply."""

from __future__ import annotations

import pytest

from cheaprouter.core.models import Model
from cheaprouter.wire.anthropic.request import to_messages
from cheaprouter.wire.openai_chat.ceiling import capped
from cheaprouter.wire.openai_chat.request import parse
from tests.builders import saying


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, {"max_tokens": 500}),
        ({"max_tokens": None}, {"max_tokens": 500}),
        ({"max_tokens": 64_000}, {"max_tokens": 500}),
        ({"max_tokens": 20}, {"max_tokens": 20}),
        ({"max_completion_tokens": 900}, {"max_completion_tokens": 500}),
        ({"max_completion_tokens": 900, "max_tokens": 10}, {"max_completion_tokens": 500, "max_tokens": 10}),
        ({"max_tokens": 900.0}, {"max_tokens": 500}),
    ],
)
def test_the_field_that_the_client_chose_is_lowered(given, made):
    before = dict(given)
    assert capped(given, 500) == made
    assert given == before


@pytest.mark.parametrize(
    ("name", "field"), [("thinking", "budget_tokens"), ("reasoning", "max_tokens")], ids=["anthropic", "openrouter"]
)
def test_thoughts_leave_room_for_an_answer_or_are_left_out(name, field):
    body = {"max_tokens": 20_000, name: {"type": "enabled", field: 10_000}}
    assert capped(body, 5000)[name] == {"type": "enabled", field: 2500}
    assert capped(body, 12_000)[name] == body[name]
    assert name not in capped(body, 1500)


@pytest.mark.parametrize("most", [100, 1500, 3000])
@pytest.mark.parametrize(
    "asked", [{"reasoning_effort": "high"}, {"thinking": {"type": "enabled", "budget_tokens": 9000}}]
)
def test_anthropic_is_never_asked_for_more_thoughts_than_tokens(most, asked):
    model = Model("a/claude", "a", "claude-3-7-sonnet-20250219", max_output=64_000)
    request = parse({"model": "a/claude", "messages": saying("Hi"), "max_tokens": 10_000, **asked}).capped(most)
    wire = to_messages(request.body, model)
    assert wire["max_tokens"] == request.max_tokens == most
    budget = wire.get("thinking", {}).get("budget_tokens")
    assert budget is None or 1024 <= budget < most
