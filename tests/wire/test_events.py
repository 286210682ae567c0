"""What an upstream says as events: the same however it is cut, all of it, and the same again in OpenAI's wire."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.errors import UpstreamError
from cheaprouter.core.models import Usage
from cheaprouter.wire.anthropic.reply import MessageStream
from cheaprouter.wire.bill import parse_amount
from cheaprouter.wire.events import (
    Extra,
    Failed,
    Finish,
    Ping,
    Reasoning,
    RefusalText,
    Start,
    Text,
    Thinking,
    ToolArguments,
    ToolStart,
    Trouble,
    Used,
    Where,
    WireEvent,
    weight,
)
from cheaprouter.wire.openai_chat.chunks import ChunkReader, explode
from cheaprouter.wire.openai_chat.encode import Assembler, ChunkEncoder, assemble, to_stream
from tests.builders import joined, sse, text_of
from tests.fakes.fault_server import DONE, FINISH, ROLE, USAGE, delta, words
from tests.providers.test_anthropic_reply import blocks, message, text, thinking, tool
from tests.providers.test_anthropic_reply import events as anthropic_events
from tests.wire.test_openai_stream import deltas, events_of, run

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "light", "arguments": ""}}
HEAD = Start("chatcmpl-1", "served-model-2026", 1_700_000_000)
TOLD = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def test_an_openai_stream_as_a_door_of_another_wire_reads_it():
    data = b"".join((
        ROLE,
        sse(delta(reasoning_content="Hmm.")),
        *words("Turning ", "it on."),
        sse(delta(tool_calls=[CALL])),
        sse(delta(tool_calls=[{"index": 0, "function": {"arguments": '{"on":'}}])),
        sse(delta(tool_calls=[{"index": 0, "function": {"arguments": "true}"}}])),
        sse(delta("tool_calls")),
        USAGE,
        DONE,
    ))  # fmt: skip
    stream, events = events_of(data)
    assert events == [
        HEAD,
        Reasoning("Hmm."),
        Text("Turning "),
        Text("it on."),
        ToolStart(0, "c1", "light"),
        ToolArguments(0, '{"on":'),
        ToolArguments(0, "true}"),
        Finish("tool_calls"),
        Used(Usage(11, 7), TOLD),
    ]
    assert (stream.trouble, stream.done, stream.usage, stream.finish_reason) == (None, True, Usage(11, 7), "tool_calls")


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (delta(content="a") | {"system_fingerprint": "fp"}, [Start("chatcmpl-1", "served-model-2026", 1_700_000_000, {"system_fingerprint": "fp"}), Text("a")]),
        (delta(refusal="No."), [HEAD, RefusalText("No.")]),
        (delta(reasoning="Hm", reasoning_content="Hm"), [HEAD, Reasoning("Hm"), Extra(Where.MESSAGE, {"reasoning": "Hm"})]),
        (delta(reasoning="Hm"), [HEAD, Reasoning("Hm", name="reasoning")]),
        (delta(thinking_blocks=[{"signature": "s"}]), [HEAD, Thinking({"signature": "s"})]),
        (delta(audio={"data": "AA"}), [HEAD, Extra(Where.MESSAGE, {"audio": {"data": "AA"}})]),
        (delta(tool_calls=[{**CALL, "extra_content": {"g": 1}}]), [HEAD, ToolStart(0, "c1", "light", 0, {"extra_content": {"g": 1}})]),
        (delta("stop", content="a"), [HEAD, Text("a"), Finish("stop")]),
    ],
)  # fmt: skip
def test_nothing_that_a_chunk_holds_is_lost(chunk, expected):
    assert events_of(sse(chunk))[1] == expected


def test_logprobs_go_with_their_text_and_other_fields_with_their_choice():
    chunk = delta(content="a")
    chunk["choices"][0] |= {"logprobs": {"content": [1]}, "stop_reason": 7, "index": 2}
    events = events_of(sse(chunk))[1]
    assert events == [HEAD, Text("a", 2, {"content": [1]}), Extra(Where.CHOICE, {"stop_reason": 7}, 2)]
    whole = assemble([*events, Text("b", 2, {"content": [2]}), Finish("stop", 2)])["choices"]
    assert whole == [
        {
            "index": 2,
            "message": {"role": "assistant", "content": "ab"},
            "logprobs": {"content": [1, 2]},
            "stop_reason": 7,
            "finish_reason": "stop",
        }
    ]


def test_what_comes_late_of_a_call_or_a_reply_is_kept():
    late = {"index": 0, "id": "c9", "function": {"name": "lamp"}, "extra_content": {"g": 1}}
    data = b"".join(map(sse, (delta(tool_calls=[CALL]), delta(tool_calls=[late]) | {"model": "other", "x": [1]})))
    reply = assemble(events_of(data)[1])
    assert (reply["model"], reply["x"]) == ("other", [1])
    call = {"id": "c9", "type": "function", "function": {"name": "lamp", "arguments": ""}, "extra_content": {"g": 1}}
    assert reply["choices"][0]["message"]["tool_calls"] == [call]


def test_a_call_of_another_kind_is_no_function():
    call = {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    first, second = ({**call, "index": 0}, {"index": 0, "custom": {"input": " -l"}})
    reply = assemble(events_of(sse(delta(tool_calls=[first])) + sse(delta(tool_calls=[second])))[1])
    assert reply["choices"][0]["message"]["tool_calls"] == [{**call, "custom": {"name": "sh", "input": "ls -l"}}]


@given(st.lists(deltas, min_size=1, max_size=8), st.lists(st.integers(1, 90), min_size=1, max_size=4), st.booleans())
def test_wherever_the_network_cuts_the_events_are_the_same(chunks, sizes, usage):
    data = b"".join((ROLE, *map(sse, (delta(content="!"), *chunks)), FINISH, USAGE if usage else b"", DONE))
    expected = events_of(data)[1]
    for size in sizes:
        assert events_of(data, size)[1] == expected
    assert text_of([ChunkEncoder(want_usage=False).encode(expected)]) == text_of(run(data)[1])


@given(
    st.lists(blocks, min_size=1, max_size=4),
    st.sampled_from(["end_turn", "tool_use", "max_tokens"]),
    st.integers(1, 60),
)
def test_wherever_the_network_cuts_anthropics_events_are_the_same(content, stop, size):
    data = b"".join(anthropic_events(message(*content, stop=stop)))

    def read(step: int) -> list[Any]:
        stream = MessageStream(created=1, tool=None, encoder=None)
        pieces = [piece for start in range(0, len(data), step) for piece in stream.feed(data[start : start + step])]
        return pieces + stream.finish()

    assert read(size) == read(len(data))


@pytest.mark.parametrize(
    "junk", [b"data: {nope\n\n", b"data: 7\n\n", b'data: {"type": "content_block_delta", "delta": 7}\n\n']
)
def test_junk_in_anthropics_stream_is_left_out_and_counted(junk):
    first, *others = anthropic_events(message(text("Sure.")))
    stream = MessageStream(created=1, tool=None, encoder=None)
    pieces = stream.feed(b"".join((first, junk, *others)))
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == "Sure."
    assert (stream.malformed, stream.trouble, stream.done) == (1, None, True)


def test_all_that_anthropic_says_is_counted_for_an_estimate():
    said = message(thinking("Hmm."), text("Sure."), tool("light", {"on": True}), stop="tool_use")
    stream = MessageStream(created=1, tool=None, encoder=None)
    stream.feed(b"".join(anthropic_events(said)))
    assert stream.output_characters == len("Hmm.Sure.light") + len(json.dumps({"on": True}))


names = st.sampled_from(["a", "b"])
texts = st.text(min_size=1, max_size=6)
spoken = st.one_of(
    st.builds(Text, texts, st.integers(0, 1)),
    st.builds(Reasoning, texts, st.integers(0, 1), st.sampled_from(["reasoning_content", "reasoning"])),
    st.builds(RefusalText, texts, st.integers(0, 1)),
    st.builds(Thinking, st.dictionaries(names, texts, min_size=1), st.integers(0, 1)),
    st.builds(ToolStart, st.integers(0, 1), texts, texts, st.integers(0, 1)),
    st.builds(Extra, st.just(Where.MESSAGE), st.dictionaries(names, texts, min_size=1), st.integers(0, 1)),
    st.builds(Extra, st.just(Where.CHOICE), st.dictionaries(names, texts, min_size=1), st.integers(0, 1)),
)


@given(st.lists(spoken, max_size=8))
def test_events_made_chunks_and_read_again_are_the_same_events(said):
    begun: set[tuple[int, int]] = set()
    events: list[WireEvent] = [Start("i", "m", 7, {"x": 1})]
    for one in said:
        if isinstance(one, ToolStart):
            if (one.choice, one.index) not in begun:
                events += [one, ToolArguments(one.index, "{}", one.choice)]
            begun.add((one.choice, one.index))
        else:
            events.append(one)
    events += [Finish("stop"), Finish("length", 1), Used(Usage(3, 4), {"prompt_tokens": 3, "completion_tokens": 4})]
    reader = ChunkReader()
    chunks = joined(list(to_stream(events, want_usage=True)))
    assert chunks.pop() == "[DONE]"
    assert [found for chunk in chunks for found in reader.read(chunk)] == events
    assert assemble(explode(assemble(events))) == assemble(events)


def test_what_breaks_or_rests_is_told_in_each_wire():
    error = UpstreamError("Broke.", code="upstream_truncated")
    encoder = ChunkEncoder(want_usage=False)
    assert joined([encoder.event(Failed(error))])[0]["error"]["code"] == "upstream_truncated"
    assert encoder.event(Ping()) == b": keep-alive\n\n"
    whole = Assembler()
    for one in (HEAD, Text("a"), Ping(), Failed(error)):
        whole.add(one)
    assert whole.completion()["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (b"", Trouble.EARLY),
        (ROLE, Trouble.EARLY),
        (ROLE + words("a")[0], Trouble.EARLY),
        (ROLE + FINISH + DONE, Trouble.EMPTY),
        (ROLE + sse({"error": {"message": "x"}}), Trouble.ERROR),
        (ROLE + words("a")[0] + FINISH, None),
    ],
)
@pytest.mark.parametrize("reads", [events_of, run])
def test_a_reader_says_what_it_saw_and_judges_nothing(reads, data, trouble):
    stream = reads(data)[0]
    assert stream.trouble is trouble
    assert bool(stream.error) is (trouble is Trouble.ERROR)


def test_a_reply_that_nests_too_deep_to_be_written_is_broken():
    deep = b'{"choices":[{"delta":{"content":"a","x":' + b"[" * 600 + b"]" * 600 + b'},"finish_reason":"stop"}]}'
    stream, out = run(sse(deep) + FINISH + DONE)
    assert (stream.malformed, text_of(out)) == (1, "")


def test_events_can_be_weighed():
    assert weight(b"12345") == 5
    assert weight(Text("x" * 1000)) > 1000
    assert weight(Extra(Where.MESSAGE, json.loads('{"a": "' + "x" * 1000 + '"}'))) > 1000


def test_an_amount_may_be_as_long_as_anybody_would_write_it():
    longest = "0." + "1" * 62
    assert parse_amount(longest) == Decimal(longest) * 1  # rounded as all amounts are
    assert parse_amount(longest + "1") is None
