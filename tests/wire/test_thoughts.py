"""Thoughts that go back to the vendor who wants them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.wire.openai_chat.decode import ChatStream
from cheaprouter.wire.openai_chat.quirks import Quirks
from cheaprouter.wire.openai_chat.thoughts import PLACEHOLDER, Listener, give_back
from tests.builders import sse


def call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "light", "arguments": "{}"}}


def called(*ids: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call(i) for i in ids], **more}


def nothing_known(call_id: str) -> None:
    """Remembers nothing."""


def given_back(*messages: dict[str, Any], recall: Any = nothing_known, **body: Any) -> list[Any]:
    asked = {"messages": list(messages), **body}
    give_back(asked, recall)
    return [message.get("reasoning_content") for message in asked["messages"]]


USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "done"}


def test_remembered_thoughts_go_back_with_their_call():
    assert given_back(USER, called("a", "b"), recall={"b": "Hmm."}.get) == [None, "Hmm."]


def test_where_they_are_lost_something_stands_for_them():
    assert given_back(USER, called("a"), ANSWER, USER) == [None, PLACEHOLDER, PLACEHOLDER, None]


@pytest.mark.parametrize("own", [{"reasoning_content": "Mine."}, {"reasoning": "Mine."}])
def test_what_the_client_sends_back_goes_before(own):
    assert given_back(USER, called("a", **own), recall={"a": "Hmm."}.get) == [None, "Mine."]


def test_an_empty_text_is_none():
    assert given_back(USER, called("a", reasoning_content=" "), recall={"a": "Hmm."}.get) == [None, "Hmm."]


def test_nothing_is_added_where_nothing_was_called_or_thinking_is_off():
    assert given_back(USER, ANSWER) == [None, None]
    assert given_back(USER, called("a"), thinking={"type": "disabled"}) == [None, None]


def test_the_clients_messages_stay_as_they_are():
    message = called("a")
    give_back({"messages": [message]}, nothing_known)
    assert "reasoning_content" not in message


def test_a_whole_reply_is_heard():
    kept: dict[str, str] = {}
    Listener(kept.__setitem__).hear(
        {"index": 0, "message": called("a", "b", reasoning_content="Hmm."), "finish_reason": "tool_calls"}
    )
    assert kept == {"a": "Hmm.", "b": "Hmm."}


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> bytes:
    return sse({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


@given(st.text(min_size=1, max_size=40).filter(str.strip), st.integers(1, 60), st.booleans())
def test_a_stream_is_heard_wherever_it_is_cut(text, size, events):
    data = b"".join(
        [
            chunk({"role": "assistant", "content": ""}),
            *(chunk({"reasoning_content": letter}) for letter in text),
            chunk({"content": "I will. "}),
            chunk({"tool_calls": [{"index": 0, **call("a")}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}),
            chunk({}, "tool_calls"),
            b"data: [DONE]\n\n",
        ]
    )
    kept: dict[str, str] = {}
    stream = ChatStream(Quirks(), keep=kept.__setitem__, events=events)
    for place in range(0, len(data), size):
        stream.feed(data[place : place + size])
    assert kept == {"a": text}


def test_choices_are_heard_apart():
    kept: dict[str, str] = {}
    stream = ChatStream(Quirks(), keep=kept.__setitem__)
    for index, name in enumerate("ab"):
        stream.feed(chunk({"reasoning_content": name * 3}, index=index))
        stream.feed(chunk({"tool_calls": [{"index": 0, **call(name)}]}, index=index))
    for index in range(2):
        stream.feed(chunk({}, "tool_calls", index))
    assert kept == {"a": "aaa", "b": "bbb"}
