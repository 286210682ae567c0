"""Streams without end, without content or of absurd parts: bounded in bytes, and nothing of them is kept."""

from __future__ import annotations

import tracemalloc

import orjson
import pytest

from cheaprouter.wire import events
from cheaprouter.wire.events import Extra, Text, Trouble, Where
from cheaprouter.wire.openai_chat.calls import MOST_CALLS
from cheaprouter.wire.openai_chat.canon import MOST_CHOICES
from cheaprouter.wire.openai_chat.decode import ChatStream
from cheaprouter.wire.openai_chat.encode import Assembler, assemble, to_stream
from cheaprouter.wire.openai_chat.one_text import OneText
from cheaprouter.wire.openai_chat.quirks import Quirks
from cheaprouter.wire.openai_chat.whole import WholeChat

READERS = [lambda: ChatStream(Quirks()), lambda: ChatStream(Quirks(), events=True), lambda: WholeChat(Quirks())]


def chunk(delta: object, index: int = 0, **more: object) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": None}
    return b"data: " + orjson.dumps({"id": "c", "choices": [choice], **more}) + b"\n\n"


NOTHING = {
    "comments": b": still here\n\n",
    "blank lines": b"\n",
    "empty deltas": chunk({}),
    "roles": chunk({"role": "assistant", "content": ""}),
    "no choices": b'data: {"choices": []}\n\n',
    "pings": b"event: ping\n\n",
}


@pytest.mark.parametrize("make", READERS)
@pytest.mark.parametrize("piece", NOTHING.values(), ids=NOTHING)
def test_what_says_nothing_for_ever_is_given_up_before_the_first_content(make, piece, monkeypatch):
    monkeypatch.setattr(events, "MOST_BEFORE", 100_000)
    reader, many, size = make(), piece * (1 + 4096 // len(piece)), 0
    while reader.trouble is None:
        reader.feed(many)
        size += len(many)
        assert size < 300_000
    assert reader.trouble is Trouble.ENDLESS


@pytest.mark.parametrize("make", READERS)
def test_and_after_it(make, monkeypatch):
    monkeypatch.setattr(events, "MOST_MUTE", 50_000)
    reader = make()
    reader.feed(chunk({"content": "Hello"}))
    for _ in range(40):
        reader.feed(NOTHING["empty deltas"] * 50)
    assert reader.trouble is Trouble.ENDLESS


@pytest.mark.parametrize("make", READERS)
def test_an_answer_in_between_begins_the_count_anew(make, monkeypatch):
    monkeypatch.setattr(events, "MOST_MUTE", 50_000)
    reader = make()
    for turn in range(100):
        reader.feed(chunk({"content": "word "}, n=turn))
        reader.feed(NOTHING["comments"] * 1000)
    assert reader.trouble is None


@pytest.mark.parametrize("make", READERS)
def test_of_what_says_nothing_nothing_is_kept(make, monkeypatch):
    monkeypatch.setattr(events, "MOST_BEFORE", 10**9)
    reader = make()
    reader.feed(NOTHING["comments"])
    tracemalloc.start()
    for piece in NOTHING.values():
        reader.feed(piece * (200_000 // len(piece)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000


@pytest.mark.parametrize("make", READERS)
def test_more_calls_than_anybody_makes_break_a_reply(make):
    reader = make()
    for number in range(MOST_CALLS + 1):
        reader.feed(
            chunk({"tool_calls": [{"index": number, "id": f"c{number}", "function": {"name": "f", "arguments": "{}"}}]})
        )
        assert (reader.trouble is None) is (number < MOST_CALLS)


@pytest.mark.parametrize("make", READERS)
def test_more_choices_than_anybody_may_ask_for_break_a_reply(make):
    reader = make()
    for number in range(MOST_CHOICES + 1):
        reader.feed(chunk({"content": "a"}, index=number * 10**6))
    assert reader.trouble is Trouble.BROKEN


@pytest.mark.parametrize("depth", [250, 900])
def test_json_without_a_bottom_never_reaches_a_client(depth):
    reader = ChatStream(Quirks(), want_usage=True)
    told = reader.feed(chunk({"content": "Hello"}))
    told += reader.feed(chunk({"content": "a"})[:-5] + b',"x":' + b"[" * depth + b"]" * depth + b"}]}\n\n")
    told += reader.feed(b'data: {"choices": [], "x": ' + b"[" * depth + b"]" * depth + b"}\n\n")
    assert b"[" * 250 not in b"".join(piece for piece in told if isinstance(piece, bytes))


ODD = [["stop"], {"a": 1}, 5, True]


@pytest.mark.parametrize("reason", ODD)
def test_a_reason_that_is_no_word_is_no_crash(reason):
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":%s}]}\n\ndata: [DONE]\n\n' % orjson.dumps(reason)
    assert OneText(Quirks()).read(chunk({"content": "Hello"}) + end) is None


@pytest.mark.parametrize("make", READERS)
def test_chunks_in_an_array_are_read_for_as_long_as_they_come(make):
    reader = make()
    for _ in range(20):
        reader.feed(b"data: [" + chunk({"content": "a"})[6:-2] + b"]\n\n")
    assert reader.trouble is None


def test_texts_that_take_turns_are_each_put_together():
    pieces = [
        event
        for n in range(1000)
        for event in (Text(f"{n},"), Extra(Where.MESSAGE, {"other": f"{n};"}), Text("b", choice=1))
    ]
    reply = assemble(pieces)
    said = reply["choices"][0]["message"]
    assert said["content"] == "".join(f"{n}," for n in range(1000))
    assert said["other"] == "".join(f"{n};" for n in range(1000))
    assert reply["choices"][1]["message"]["content"] == "b" * 1000


def test_putting_together_copies_nothing_twice():
    whole = Assembler()
    tracemalloc.start()
    for _ in range(20_000):
        whole.add(Text("x" * 100))
        whole.add(Extra(Where.MESSAGE, {"annotations": [{"a": 1}]}))
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    whole.add(Text("x"))
    whole.add(Extra(Where.MESSAGE, {"annotations": [{"a": 1}]}))
    assert tracemalloc.get_traced_memory()[1] - before < 10_000
    tracemalloc.stop()
    assert len(whole.completion()["choices"][0]["message"]["content"]) == 2_000_001


@pytest.mark.parametrize("first", ["x", {"a": 1}, 5])
def test_details_that_are_no_list_at_first_are_no_crash(first):
    fields = [
        {"reasoning_details": first},
        {"reasoning_details": [{"index": [1], "text": "a"}, {"index": 0, "text": "b"}]},
    ]
    reply = assemble(Extra(Where.MESSAGE, each) for each in fields)
    assert [row["text"] for row in reply["choices"][0]["message"]["reasoning_details"]] == ["a", "b"]


def test_what_is_large_of_a_whole_reply_is_told_once_in_its_stream():
    head = events.Start("i" * 10_000, "m", 1, {"large": "x" * 100_000, "small": "y"})
    made = [*to_stream([head, *[Text("a", choice=n) for n in range(100)]], want_usage=True)]
    assert sum(b"x" * 100 in event for event in made) == 1
    assert sum(map(len, made)) < 250_000
    assert all(b'"small":"y"' in event for event in made if event.startswith(b"data: {"))
