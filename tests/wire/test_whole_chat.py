"""A completion that was asked for as a stream is the one that a plain request would have been answered with."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.wire.events import Piece
from cheaprouter.wire.openai_chat.chunks import explode
from cheaprouter.wire.openai_chat.decode import ChatStream
from cheaprouter.wire.openai_chat.encode import assemble
from cheaprouter.wire.openai_chat.lenient import loads
from cheaprouter.wire.openai_chat.one_text import OneText
from cheaprouter.wire.openai_chat.quirks import Quirks
from cheaprouter.wire.openai_chat.whole import WholeChat

PLAIN = Quirks()
SEEN = OneText(PLAIN)
"""It has seen all the streams of these tests."""


def one_text(data: bytes, quirks: Quirks = PLAIN) -> tuple[Any, str] | None:
    """What is made of it: the first time, the second, and after many others."""
    reader = OneText(quirks)
    first = reader.read(data)
    assert reader.read(data) == first
    assert SEEN.read(data) == first
    return first


def sse(chunk: Any) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


MORE = {
    "system_fingerprint": "fp_1",
    "service_tier": "default",
    "provider": "Somebody",
    "citations": ["https://example.org/a", "https://example.org/b"],
    "usage": {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12, "cost": 0.5},
}

# --- completions, and the streams in which upstreams would have told them

words = st.text(min_size=1, max_size=8)
texts = st.lists(words, max_size=12)
logprobs = st.builds(lambda token: {"content": [{"token": token, "logprob": -0.5, "top_logprobs": []}]}, words)


@st.composite
def calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    count = draw(st.integers(1, 3))
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {
                "name": draw(st.sampled_from(["light", "fan"])),
                "arguments": json.dumps({"x": "".join(draw(texts))}),
            },
        }
        for number in range(count)
    ]


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """What a choice says: text, thoughts, a refusal, calls, and what some vendors add."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(draw(texts))}
    if draw(st.booleans()):
        message["reasoning_content"] = "".join(draw(texts)) or "Hmm."
    if draw(st.integers(0, 4)) == 0:
        message["refusal"] = "".join(draw(texts)) or "No."
    if draw(st.booleans()):
        message["tool_calls"] = draw(calls())
    if draw(st.integers(0, 4)) == 0:
        message["annotations"] = [{"type": "url_citation", "url_citation": {"url": "https://example.org"}}]
    if not message["content"]:
        message["content"] = None if "tool_calls" in message or "refusal" in message else ""
    return message


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    choices = []
    for index in range(draw(st.integers(1, 3))):
        message = draw(messages())
        choice: dict[str, Any] = {"index": index, "message": message, "logprobs": None}
        choice["finish_reason"] = "tool_calls" if "tool_calls" in message else draw(st.sampled_from(["stop", "length"]))
        if message["content"] and draw(st.integers(0, 3)) == 0:
            choice["logprobs"] = draw(logprobs)
        if draw(st.integers(0, 4)) == 0:
            choice["native_finish_reason"] = "end_turn"
        if draw(st.integers(0, 4)) == 0:
            choice["content_filter_results"] = {"hate": {"filtered": False, "severity": "safe"}}
        choices.append(choice)
    reply: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "served",
        "choices": choices,
    }
    return reply | {name: value for name, value in MORE.items() if draw(st.booleans())}


def cut(text: str, sizes: list[int]) -> list[str]:
    """A text in pieces."""
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [piece for piece in (*pieces, text) if piece]


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A completion, and the bytes of its stream: head repeated in each chunk, texts and arguments in pieces."""
    reply = draw(completions())
    head = {name: value for name, value in reply.items() if name not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    sizes = draw(st.lists(st.integers(1, 4), max_size=8))
    chunks: list[dict[str, Any]] = []

    def tell(index: int, delta: dict[str, Any], **more: Any) -> None:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        chunks.append({**head, "choices": [choice]})

    for choice in reply["choices"]:
        index, message = choice["index"], choice["message"]
        extra = {name: choice[name] for name in ("content_filter_results",) if name in choice}
        tell(index, {"role": "assistant", "content": ""}, **extra)
        for piece in cut(message.get("reasoning_content", ""), sizes):
            tell(index, {"reasoning_content": piece}, **extra)
        said = cut(message["content"] or "", [] if choice["logprobs"] else sizes)
        for piece in said:
            tell(index, {"content": piece}, **({"logprobs": choice["logprobs"]} if choice["logprobs"] else {}), **extra)
        for piece in cut(message.get("refusal", ""), sizes):
            tell(index, {"refusal": piece})
        for place, call in enumerate(message.get("tool_calls", ())):
            arguments = call["function"]["arguments"]
            opened = {**call, "index": place, "function": {**call["function"], "arguments": ""}}
            tell(index, {"tool_calls": [opened]})
            for piece in cut(arguments, sizes):
                tell(index, {"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
        if "annotations" in message:
            tell(index, {"annotations": message["annotations"]})
        native = {name: choice[name] for name in ("native_finish_reason",) if name in choice}
        tell(index, {}, finish_reason=choice["finish_reason"], **extra, **native)
    if "usage" in reply:
        chunks.append({**head, "choices": [], "usage": reply["usage"]})
    return reply, b"".join(map(sse, chunks)) + b"data: [DONE]\n\n"


def read(data: bytes, size: int = 0) -> tuple[dict[str, Any], WholeChat]:
    reader = WholeChat(PLAIN)
    pieces: list[Piece] = []
    for place in range(0, len(data), size or len(data) or 1):
        pieces += reader.feed(data[place : place + (size or len(data))])
    pieces += reader.finish()
    return assemble(piece for piece in pieces if not isinstance(piece, bytes)), reader


def closed(reply: dict[str, Any]) -> dict[str, Any]:
    """With what a plain reply says where there is nothing to say."""
    return {**reply, "choices": [{"logprobs": None, **choice} for choice in reply["choices"]]}


@given(streams(), st.integers(0, 200))
@settings(max_examples=300, deadline=None)
def test_what_a_stream_tells_is_the_completion_it_was_made_of(made, size):
    reply, data = made
    got, reader = read(data, size)
    assert closed(got) == reply
    assert (reader.usage is not None) == ("usage" in reply)


def test_a_text_without_its_end_is_read_once_and_no_more():
    assert one_text(b'data: {"content":"' + b"a\\n" * 20_000 + b"\n\ndata: [DONE]\n\n") is None


def test_a_text_that_begins_with_thoughts_is_read_event_by_event():
    assert one_text(bad(text("<think>"), text("Hm.</think>Yes"), END)) is None


@given(streams())
@settings(max_examples=200, deadline=None)
def test_at_once_or_event_by_event_it_is_the_same(made):
    reply, data = made
    if (found := one_text(data)) is not None:
        assert found[0] == reply


one = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=30)


@given(one, st.booleans(), st.sampled_from(["stop", "length"]))
def test_a_stream_of_one_text_is_made_at_once(pieces, spaced, reason):
    head = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        data = sse({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        return data.replace(b'"content":', b'"content": ') if spaced else data

    data = chunk({"role": "assistant", "content": ""}) + b"".join(chunk({"content": piece}) for piece in pieces)
    data += chunk({}, reason) + sse({**head, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    data += b"data: [DONE]\n\n"
    found = one_text(data)
    assert found is not None
    reply, said = found
    assert reply["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(pieces)},
        "logprobs": None,
        "finish_reason": reason,
    }
    assert said == "".join(pieces)
    assert closed(read(data)[0]) == reply


HEAD = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def text(content: str, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None, **more}]}


END = {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def bad(*chunks: Any) -> bytes:
    return b"".join(chunk if isinstance(chunk, bytes) else sse(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "data",
    [
        bad(text("a"), text("b")),  # no finish
        bad(text("a"), END, text("b")),
        bad(text("a"), b'data: {"id"\n\n', text("b"), END),
        bad(text("a"), {"error": {"message": "x"}}, text("b"), END),
        bad(text("a"), b"event: error\ndata: {}\n\n", END),
        bad(text("a"), {**text("b"), "id": "other"}, END),
        bad(text("a"), text("b", index=1), END),
        bad(text("a"), b": keep-alive\n\n", text("b"), END),
        bad(text("a"), sse(text("X")).replace(b"X", b"\xff"), END),
        bad(text("a"), sse(text("X")).replace(b"X", b'b"},"c":{"d":"'), END),
        bad(END),
        b"",
        sse(text("a")) + sse(END),
    ],
)
def test_whatever_is_unusual_is_read_event_by_event(data):
    found = one_text(data)
    pieces: list[Piece] = []
    slow = ChatStream(PLAIN, events=True)
    pieces += slow.feed(data)
    pieces += slow.finish()
    if found is not None:
        assert slow.trouble is None
        assert found[0] == closed(assemble(piece for piece in pieces if not isinstance(piece, bytes)))
    got, reader = read(data)
    assert reader.trouble == slow.trouble
    assert got == assemble(piece for piece in pieces if not isinstance(piece, bytes))


@given(st.binary(max_size=300))
def test_any_bytes_are_borne(data):
    one_text(data + b"data: [DONE]\n\n")
    reader = WholeChat(PLAIN)
    reader.feed(data)
    reader.finish()


def test_what_filters_say_in_every_chunk_is_said_once():
    verdict = {"hate": {"filtered": False, "severity": "safe"}}
    data = bad(*(text(letter, content_filter_results=verdict) for letter in "abc"), END)
    assert read(data)[0]["choices"][0]["content_filter_results"] == verdict


def test_pieces_of_one_thought_are_one_in_the_details_too():
    def detail(**fields: Any) -> dict[str, Any]:
        delta = {"reasoning_details": [{"type": "reasoning.text", "index": 0, **fields}]}
        return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    data = bad(detail(text="Let ", format="f"), detail(text="me."), detail(signature="s"), text("Yes"), END)
    assert read(data)[0]["choices"][0]["message"]["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "Let me.", "format": "f", "signature": "s"}
    ]


def test_padding_is_no_part_of_the_reply():
    data = bad(*({**text(letter), "obfuscation": letter * 3} for letter in "abc"), END)
    assert "obfuscation" not in read(data)[0]


@given(completions())
def test_a_completion_taken_apart_is_put_together_again(reply):
    assert closed(assemble(explode(reply))) == reply


@pytest.mark.parametrize("odd", ["1e999999", "-1e999999", "9" * 5000])
def test_a_number_beyond_all_bounds_does_not_spoil_what_stands_beside_it(odd):
    value, as_it_is = loads(b'{"text":"hello","small":[7,2.5,12345678901234567890],"odd":' + odd.encode() + b"}")
    assert value == {"text": "hello", "small": [7, 2.5, 12345678901234567890.0], "odd": None}
    assert not as_it_is
    orjson.dumps(value)


def test_a_usage_of_nothing_takes_none_back_that_was_told_before():
    told = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [
        {**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}]},
        {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**base, "choices": [], "usage": told},
        {**base, "choices": [], "usage": dict.fromkeys(told, 0)},
    ]
    made = one_text(b"".join(map(sse, chunks)) + b"data: [DONE]\n\n")
    assert made is not None
    assert made[0]["usage"] == told


@pytest.mark.parametrize("number", range(3))
def test_only_what_stands_before_the_choices_and_the_counts_may_differ_where_it_is_known(number):
    reader, head = OneText(PLAIN), {**HEAD, "id": f"chatcmpl-{number}", "created": 7 + number}
    end = {"choices": [], "usage": {"prompt_tokens": 1 + number, "completion_tokens": 2, "total_tokens": 3 + number}}
    for told in (HEAD, head):
        chunks = [{**told, "choices": chunk["choices"]} for chunk in (text("a"), text("b"), END)]
        found = reader.read(bad(*chunks, {**told, **end}))
        assert found is not None
        assert found[0] == closed(read(bad(*chunks, {**told, **end}))[0])
        assert (found[0]["id"], found[1]) == (told["id"], "ab")


def test_what_is_told_again_behind_the_choices_counts():
    chunks = [{**text("a"), "model": "other"}, {**END, "id": "later"}]
    swapped = [sse(chunk).replace(b'"model":"m",', b"").replace(b"}\n\n", b',"model":"m"}\n\n') for chunk in chunks]
    data = b"".join(swapped) + b"data: [DONE]\n\n"
    if (found := one_text(data)) is not None:
        assert found[0] == closed(read(data)[0])
