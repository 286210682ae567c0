"""The stream decoder: what is passed on untouched, what is changed, and what is found wrong."""

from __future__ import annotations

import contextlib
import itertools
import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.kinds import KINDS
from cheaprouter.config.settings import ProviderSettings
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.completion import Completion
from cheaprouter.providers.failures import Failure
from cheaprouter.providers.openai_compatible import OpenAICompatible
from cheaprouter.wire.events import Piece, Trouble, WireEvent
from cheaprouter.wire.openai_chat.alike import alike_to, is_text, run_of
from cheaprouter.wire.openai_chat.chunks import explode
from cheaprouter.wire.openai_chat.decode import ChatStream
from cheaprouter.wire.openai_chat.encode import assemble, to_stream
from cheaprouter.wire.openai_chat.quirks import Quirks
from tests.builders import a_chat, joined, sse, text_of
from tests.fakes.fault_server import DONE, FINISH, ROLE, USAGE, completion, delta, words

PLAIN = a_chat("x", "m")


def adapter(kind: str = "openai") -> OpenAICompatible:
    url = "http://lab:1/v1" if kind == "openai" else ""
    made = adapter_for(ProviderSettings("lab", kind, url, api_keys=("sk-secret",)))
    assert isinstance(made, OpenAICompatible)
    return made


def failure_of(stream: ChatStream) -> Failure | None:
    return adapter().judge_stream(stream)


def decoder(quirks: Quirks = Quirks(), *, events: bool = False) -> ChatStream:  # noqa: B008 - frozen
    numbers = itertools.count()
    return ChatStream(quirks, events=events, make_id=lambda: f"made_{next(numbers)}")


def push(stream: ChatStream, data: bytes) -> bytes:
    """What goes on, which is one write at most."""
    pieces = as_bytes(stream.feed(data))
    assert len(pieces) <= 1
    return b"".join(pieces)


def as_bytes(pieces: list[Piece]) -> list[bytes]:
    return [piece for piece in pieces if isinstance(piece, bytes)]


def run(data: bytes, size: int = 10**9, quirks: Quirks = Quirks()) -> tuple[ChatStream, list[bytes]]:  # noqa: B008 - frozen
    """As the pool does it: `feed` what comes, then `finish`."""
    stream = decoder(quirks)
    out = [push(stream, data[start : start + size]) for start in range(0, len(data), size)]
    return stream, out + as_bytes(stream.finish())


def events_of(data: bytes, size: int = 10**9) -> tuple[ChatStream, list[WireEvent]]:
    """The same as events."""
    stream = decoder(events=True)
    pieces = [piece for start in range(0, len(data), size) for piece in stream.feed(data[start : start + size])]
    pieces += stream.finish()
    assert not as_bytes(pieces)
    return stream, [piece for piece in pieces if not isinstance(piece, bytes)]


def test_bytes_after_the_first_content_are_the_upstreams_own():
    stream = decoder()
    stream.feed(ROLE + words("a")[0])
    data = b"".join(words("b", "c"))
    assert stream.feed(data)[0] is data


@pytest.mark.parametrize(
    "text",
    [
        '"finish_reason":"stop"',
        '"usage":{',
        "data: [DONE]",
        '{"error": 1}',
        '"tool_calls":[{',
        "data: {",
        "}\n\n",
        "\n\ndata: x",
    ],
)
def test_texts_that_look_like_events_are_only_texts(text):
    data = ROLE + b"".join(words("a", text, "b")) + FINISH + DONE
    stream, out = run(data, 60)
    assert text_of(out) == f"a{text}b"
    assert failure_of(stream) is None
    assert stream.trouble is None


BROKEN_EVENTS = [
    b"data: {nope\n\n",
    b"data: nope\n\n",
    b'data: {"choices":[{]}\n\n',
    b'data: "text"\n\n',
    b"data: 7\n\n",
    words("NOT")[0].replace(b'"delta":', b'"delta" '),
    words("NOT")[0].replace(b"NOT", b"NO\xff"),
    b"ta: NOT\n\n",
    b"<html>Bad gateway</html>\n\n",
    sse({**delta(), "choices": "NOT"}),
    sse({**delta(), "choices": ["NOT"]}),
    sse({**delta(), "choices": [{"index": 0, "delta": ["NOT"]}]}),
    sse(delta(tool_calls=["NOT"])),
]


@pytest.mark.parametrize("junk", BROKEN_EVENTS)
@pytest.mark.parametrize("size", [1, 10**9])
def test_what_follows_an_event_that_cannot_be_read_is_not_told(junk, size):
    data = ROLE + b"".join(words("Do ", "as ", "you ")) + junk + words("unlock")[0] + FINISH + DONE
    stream, out = run(data, size)
    assert text_of(out) == "Do as you "
    assert b"[DONE]" not in b"".join(out)
    assert stream.trouble is Trouble.BROKEN
    failure = failure_of(stream)
    assert failure is not None
    assert failure.code == "invalid_reply"


@given(
    st.lists(st.text(max_size=5), min_size=1, max_size=6),
    st.integers(0, 10**6),
    st.sampled_from([b"", b"\xff", b"x", b"\x00"]),
    st.integers(1, 400),
)
def test_whatever_is_spoilt_of_an_event_the_answer_is_never_told_as_whole(texts, place, junk, size):
    spoilt, after = words("NOT", "unlock")
    at = [n for n, byte in enumerate(spoilt) if byte in b'{}[]":,'][place % sum(byte in b'{}[]":,' for byte in spoilt)]
    event = spoilt[:at] + junk + spoilt[at + 1 :]
    if at > len("data:"):
        with contextlib.suppress(ValueError):
            json.loads(event[5:])
            return
    stream, out = run(b"".join((ROLE, *words("Do ", *texts), event, after, FINISH, USAGE, DONE)), size)
    assert stream.trouble is Trouble.BROKEN
    assert text_of(out) == "Do " + "".join(texts)
    assert b"[DONE]" not in b"".join(out)


@pytest.mark.parametrize("junk", BROKEN_EVENTS)
def test_once_the_answer_is_whole_nothing_can_break_it(junk):
    stream, out = run(ROLE + words("Done.")[0] + FINISH + junk + USAGE + DONE)
    assert (text_of(out), stream.trouble, stream.done) == ("Done.", None, True)


def test_null_usage_in_every_chunk_is_no_usage():
    events = [sse({**delta(content=text), "usage": None}) for text in "abc"]
    stream = decoder()
    push(stream, ROLE + events[0])
    assert [stream.feed(event)[0] for event in events[1:]] == events[1:]
    assert stream.usage is None


def test_output_is_counted_without_reading_it():
    texts = ["Hello "] * 50
    stream, _ = run(ROLE + words(*texts)[0] + b"".join(words(*texts)[1:]) + FINISH + DONE)
    assert stream.output_characters == 300
    stream, _ = run(ROLE + b"".join(words(*texts)) + FINISH + DONE, len(ROLE) + len(words("Hello ")[0]))
    assert 280 <= stream.output_characters <= 320


def test_several_choices_are_followed():
    one = {
        **delta(content="x"),
        "choices": [
            {"index": 0, "delta": {"content": "a"}, "finish_reason": None},
            {"index": 1, "delta": {"content": "b"}, "finish_reason": None},
        ],
    }
    second = sse({**delta(), "choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]})
    stream, out = run(sse(one) + FINISH + second + DONE)
    assert failure_of(stream) is None
    assert joined(out)[0] == one


@pytest.mark.parametrize("end", [DONE, b""])
def test_one_choices_end_is_not_the_end_of_all(end):
    two = [{"index": index, "delta": {"content": "a"}, "finish_reason": None} for index in (0, 1)]
    stream, out = run(sse({**delta(), "choices": two}) + FINISH + end)
    assert stream.trouble is Trouble.EARLY
    assert b"[DONE]" not in b"".join(out)


def test_the_word_done_is_no_end_where_no_choice_has_ended():
    stream, out = run(ROLE + words("Do not ")[0] + DONE)
    assert (text_of(out), stream.trouble, b"[DONE]" in b"".join(out)) == ("Do not ", Trouble.EARLY, False)


def test_a_finish_with_its_text_becomes_two_chunks():
    _, out = run(
        ROLE + sse({**delta("stop", content="x"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}}) + DONE
    )
    frames = joined(out)
    assert [(f["choices"][0]["delta"], f["choices"][0]["finish_reason"]) for f in frames[1:-1]] == [
        ({"content": "x"}, None),
        ({}, "stop"),
    ]
    assert frames[2]["usage"]["prompt_tokens"] == 3


def test_geminis_finish_after_calls():
    call = {
        "index": 0,
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "s"}},
    }
    stream, out = run(sse(delta("stop", role="assistant", tool_calls=[call])) + DONE, quirks=KINDS["gemini"].quirks)
    frames = joined(out)
    assert frames[-2]["choices"][0]["finish_reason"] == "tool_calls" == stream.finish_reason
    assert [c for f in frames[:-1] for c in f["choices"][0]["delta"].get("tool_calls", ())] == [call]


def test_an_answer_hidden_in_the_reasoning_comes_before_the_finish():
    data = ROLE + sse(delta(reasoning_content="4")) + sse(delta(reasoning_content="2")) + FINISH + DONE
    _, out = run(data, 100, KINDS["minimax"].quirks)
    assert text_of(out) == "42"
    _, out = run(data[: -len(FINISH + DONE)] + words("real")[0] + FINISH + DONE, 100, KINDS["minimax"].quirks)
    assert text_of(out) == "real"


def test_a_finish_that_means_an_error_is_one():
    stream, _ = run(ROLE + words("x")[0] + sse(delta("network_error")), quirks=KINDS["zai"].quirks)
    assert failure_of(stream) is not None


def test_groqs_usage_is_found():
    stream, _ = run(
        ROLE
        + words("x")[0]
        + sse({**delta("stop"), "x_groq": {"usage": {"prompt_tokens": 4, "completion_tokens": 2}}})
        + DONE
    )
    assert stream.usage is not None
    assert stream.usage.total_tokens == 6


@pytest.mark.parametrize("blank", range(2, 8))
@pytest.mark.parametrize("size", [1, 3, 10**9])
def test_any_number_of_blank_lines_parts_events(blank, size):
    pieces = (ROLE, *words("a", "b"), FINISH, DONE)
    stream, out = run(b"".join(piece.rstrip(b"\n") + b"\n" * blank for piece in pieces), size)
    assert text_of(out) == "ab"
    assert (stream.done, stream.trouble) == (True, None)


def test_nothing_comes_after_done():
    stream = decoder()
    stream.feed(ROLE + words("a")[0])
    assert push(stream, FINISH + DONE + words("late")[0]).endswith(DONE)
    assert push(stream, words("later")[0]) == b""


def test_an_error_event_keeps_what_came_before_and_drops_what_comes_after():
    stream = decoder()
    stream.feed(ROLE + words("a")[0])
    out = push(stream, words("b")[0] + sse({"error": {"message": "sk-secret", "code": 429}}) + words("c")[0])
    assert text_of([out]) == "b"
    failure = failure_of(stream)
    assert failure is not None
    assert (failure.status, "secret" in failure.message) == (429, False)


deltas = st.one_of(
    st.text(max_size=12).map(lambda text: delta(content=text)),
    st.text(max_size=12).map(lambda text: delta(reasoning_content=text)),
    st.builds(
        lambda i, text: delta(tool_calls=[{"index": i, "function": {"arguments": text}}]),
        st.integers(0, 2),
        st.text(max_size=6),
    ),
)


@given(st.lists(deltas, min_size=1, max_size=8), st.integers(1, 90), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_wherever_the_network_cuts_the_client_gets_the_same(chunks, size, end, spaces):
    separators = (", ", ": ") if spaces else (",", ":")
    events = [sse(json.dumps(c, separators=separators).encode()) for c in (delta(content="!"), *chunks)]
    data = (b"".join((ROLE, *events, FINISH, USAGE, DONE))).replace(b"\n", end)
    _, expected = run(data)
    stream, out = run(data, size)
    assert joined(out) == joined(expected)
    assert failure_of(stream) is None
    assert stream.usage is not None
    assert stream.usage.total_tokens == 18


texts = st.one_of(
    st.text(max_size=12), st.sampled_from(["error", 'a "b"', "}{[", "\\", "event:", "\n\ndata: [DONE]", "\ud83d"])
)


@given(
    st.lists(
        st.one_of(
            texts.map(lambda text: delta(content=text)), texts.map(lambda text: delta(content=text, n=1)), deltas
        ),
        max_size=12,
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_an_event_at_a_time_the_client_gets_what_it_gets_of_all_at_once(chunks, spaces, to_ascii, late):
    def encoded(chunk: dict[str, Any]) -> bytes:
        text = json.dumps(chunk, separators=(", ", ": ") if spaces else (",", ":"), ensure_ascii=to_ascii)
        return sse(text.encode(errors="replace"))

    events = [ROLE, *map(encoded, (delta(content="!"), delta(content="?"), *chunks)), FINISH, USAGE, DONE]
    expected, whole = run(b"".join(events))
    stream = decoder()
    cut = 1 if late else 0  # each event's last line end comes with the next event
    data = b"".join(events)
    ends = [0, *(sum(map(len, events[: n + 1])) - cut for n in range(len(events))), len(data)]
    out = [push(stream, data[start:end]) for start, end in pairwise(ends)]
    out += as_bytes(stream.finish())
    assert joined(out) == joined(whole)
    assert (stream.trouble, stream.usage, stream.finish_reason) == (
        expected.trouble, expected.usage, expected.finish_reason,
    )  # fmt: skip


@given(
    st.lists(
        st.one_of(texts.map(lambda text: delta(content=text)), deltas, st.just({"created": 1, **delta(content="x")})),
        max_size=30,
    ),
    st.integers(100, 2000),
    st.booleans(),
)
def test_many_events_in_one_read_are_what_they_are_one_by_one(chunks, size, to_ascii):
    def encoded(chunk: dict[str, Any]) -> bytes:
        return sse(json.dumps(chunk, separators=(",", ":"), ensure_ascii=to_ascii).encode(errors="replace"))

    events = [ROLE, *map(encoded, (delta(content="!"), delta(content="?"), *chunks)), FINISH, USAGE, DONE]
    stream, single = decoder(), decoder()
    data = b"".join(events)
    out = [push(stream, data[place : place + size]) for place in range(0, len(data), size)]
    alone = [push(single, event) for event in events]
    assert joined(out + as_bytes(stream.finish())) == joined(alone + as_bytes(single.finish()))
    assert (stream.trouble, stream.usage, stream.finish_reason) == (
        single.trouble, single.usage, single.finish_reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "run"),
    [
        (b"<a|>\n<b|>\n", (2, 10)),
        (b"<|>\n<b|>\n<c|", (2, 9)),
        (b"<a|>\n<b|>\n(c|>\n", (2, 10)),
        (b"<a|>\n<b)>\n", (1, 5)),
        (b'<a|>\n<"|>\n', (0, 0)),
        (b"<a\\|>\n<n|>\n", (0, 0)),
        (b"(a|>\n<b|>\n", (0, 0)),
        (b"<", (0, 0)),
    ],
)
@pytest.mark.parametrize("more", [b"", b"-" * 100])
def test_a_run_ends_where_more_than_a_text_is_another(data, run, more):
    before, after = more + b"<", b"|>" + more + b"\n"
    data = data.replace(b"<", before).replace(b"|>\n", after)
    count, size = run_of(data, before, after)
    assert (count, size) == (run[0], run[1] + 2 * len(more) * run[0])


@given(
    st.lists(
        st.sampled_from(["a", "é", "\n", "\\", '"', "\\n", "\\u", "00e9", "d83d", "\x7f", "/", "x"]), max_size=8
    ).map("".join)
)
def test_a_text_is_what_json_takes_for_the_inside_of_a_string(text):
    inside = text.encode()
    try:
        good = isinstance(orjson.loads(b'"%b"' % inside), str)
    except orjson.JSONDecodeError:
        good = False
    found = is_text(b"before" + inside + b"after", 6, 6 + len(inside))
    assert bool(found) == good or (good and "d83d" in text)  # halves of characters are left to whoever reads


@pytest.mark.parametrize(
    "changed",
    [
        lambda event: event.replace(b"null", b'"stop"'),
        lambda event: event.replace(b'"b"', b'"b\\"'),
        lambda event: event.replace(b'"b"', b'"b", "tool_calls":[{"index":0}]'),
        lambda event: event.replace(b'"b"', b'"b","x":{"content":"y"}'),
        lambda event: event.replace(b'"b"', b'"b\n"'),
        lambda event: event + event,
        lambda event: event[:-2],
    ],
)
def test_only_a_text_may_be_another_where_an_event_is_passed_on_unread(changed):
    stream, fresh = decoder(), decoder()
    for data in (ROLE, *words("!", "a", "a")):
        push(stream, data)
    for data in (ROLE, *words("!")):
        push(fresh, data)
    event = changed(words("b")[0])
    assert (push(stream, event), stream.trouble) == (push(fresh, event), fresh.trouble)
    assert stream.finish_reason == fresh.finish_reason
    assert stream.finish() == fresh.finish()


@pytest.mark.parametrize(
    "event",
    [
        words("b")[0].replace(b"b", b""),
        sse(delta(content="b", reasoning_content="c")),
        sse({**delta(content="b"), "obfuscation": "xyz"}),
    ],
)
def test_what_stands_around_a_text_is_found(event):
    alike = alike_to(event)
    assert alike is not None
    assert (alike.before[-11:], alike.after[:1]) == (b'"content":"', b'"')
    assert alike.told(event, 0, len(event)) <= 1
    assert alike.told(b"ab" + event + b"c", 2, 2 + len(event)) <= 1


@pytest.mark.parametrize(
    "event",
    [
        sse({**delta(content="b"), "usage": {"prompt_tokens": 1}}),
        sse({**delta(content="b"), "error": {"message": "x"}}),
        sse(delta("stop", content="b")),
        sse(delta(content="b", tool_calls=[{"index": 0}])),
        sse({**delta(content="b"), "choices": [{"index": 0, "message": {"content": "b"}}]}),
        sse({**delta(), "choices": delta(content="b")["choices"] * 2}),
        sse({"content": "x", **delta(content="b")}),
        words("b")[0].replace(b"{", b"{\n", 1),
        words("b")[0].replace(b"}\n", b"\n"),
        words("b")[0].replace(b'"b"', b'"b","content":"c"'),
        b"id: 1\n" + words("b")[0],
    ],
)
def test_around_a_text_that_is_not_all_there_is_to_know_nothing_is_found(event):
    assert alike_to(event) is None


messages = st.fixed_dictionaries(
    {"content": st.text(min_size=1, max_size=20)},
    optional={
        "reasoning_content": st.text(min_size=1, max_size=10),
        "refusal": st.text(min_size=1, max_size=5),
        "tool_calls": st.lists(
            st.builds(
                lambda i, args: {"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": args}},
                st.integers(0, 9),
                st.text(max_size=5).map(lambda text: json.dumps({"to": text})),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda call: call["id"],
        ),
    },
)


@given(messages, st.sampled_from(["stop", "length"]))
def test_a_reply_made_a_stream_and_a_reply_again_is_the_same(message, finish):
    finish = "tool_calls" if finish == "stop" and "tool_calls" in message else finish
    reply: dict[str, Any] = completion("", finish)
    reply["choices"][0]["message"] = {"role": "assistant", **message}
    body = json.dumps(reply).encode()
    assert assemble(explode(reply)) == reply
    assert assemble(events_of(b"".join(to_stream(explode(reply), want_usage=True)))[1]) == reply
    assert isinstance(adapter().complete(body, PLAIN), Completion)


@given(st.binary(max_size=80))
def test_any_bytes_can_be_read(data):
    stream = decoder()
    stream.feed(data)
    stream.feed(data)
    stream.finish()
    assert failure_of(stream) is not None


@given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)), lambda x: st.one_of(st.lists(x, max_size=3), st.dictionaries(st.sampled_from(["choices", "delta", "message", "finish_reason", "usage", "error", "tool_calls", "content", "index", "function", "model"]), x, max_size=5)), max_leaves=20))  # fmt: skip
def test_any_json_can_be_read(value):
    body = json.dumps(value).encode()
    adapter("gemini").complete(body, PLAIN)
    stream = decoder(KINDS["qwen"].quirks)
    stream.feed(sse(value))
    stream.feed(sse(value))
    stream.finish()


def test_only_what_matters_of_a_full_packet_is_read(monkeypatch):
    read: list[bytes] = []
    plain = ChatStream._read

    def counting(self: ChatStream, event: bytes) -> Any:
        read.append(event)
        return plain(self, event)

    monkeypatch.setattr(ChatStream, "_read", counting)
    _, out = run(ROLE + b"".join(words(*"abcdefghij")) + FINISH + USAGE + DONE)
    assert text_of(out) == "abcdefghij"
    assert len(read) == 5  # the role, the first word, the finish, usage and the end


@given(
    st.lists(st.sampled_from(["a", "é", '"', "\\", "\n", "}]}\n\ndata: ", "x" * 70]), min_size=1, max_size=30),
    st.integers(0, 10**6),
    st.sampled_from([b"\xff", b'"', b"\\", b"\x00", b""]),
)
def test_in_a_read_of_many_events_alike_what_is_spoilt_is_found(texts, place, junk):
    good = words("!", *texts)
    stream = decoder()
    push(stream, ROLE + good[0])
    whole = b"".join(good[1:])
    assert push(stream, whole) == whole
    place %= len(whole)
    spoilt, fresh = decoder(), decoder()
    push(spoilt, ROLE + good[0])
    push(fresh, ROLE + good[0])
    data = whole[:place] + junk + whole[place + len(junk) :]
    events = data.split(b"\n\n")
    one_by_one = b"".join(push(fresh, event + b"\n\n") for event in events[:-1]) + push(fresh, events[-1])
    assert joined([push(spoilt, data)]) == joined([one_by_one])
    assert spoilt.trouble == fresh.trouble


def test_openais_filler_is_not_read_either(monkeypatch):
    events = [sse({**delta(content=text), "obfuscation": "x" * len(text)}) for text in ("a", "bc", "\\", "déf", "")]
    stream = decoder()
    push(stream, ROLE + events[0])
    monkeypatch.setattr(ChatStream, "_read", None)
    assert [push(stream, event) for event in events] == events
    assert push(stream, b"".join(events)) == b"".join(events)


def test_a_vendors_word_for_the_end_becomes_openais_and_openais_own_bytes_pass():
    quirks = Quirks(finish={"max_length": "length"})
    _, out = run(ROLE + b"".join(words("a", "b")) + sse(delta("max_length")) + DONE, quirks=quirks)
    assert [chunk["choices"][0]["finish_reason"] for chunk in joined(out)[:-1]][-1] == "length"
    stream = decoder(quirks)
    push(stream, ROLE + words("a")[0])
    spaced = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x":  1}\n\n'
    assert push(stream, spaced) == spaced


def test_how_it_was_served_may_be_told_before_the_usage_is():
    stream = ChatStream(Quirks())
    first = {**delta(content="a"), "service_tier": "priority"}
    stream.feed(sse(first) + FINISH + USAGE + DONE)
    assert stream.usage is not None
    assert stream.usage.special is not None
    assert stream.usage.special.service == ("priority",)
