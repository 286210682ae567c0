"""Whatever an upstream makes of OpenAI's wire, a simple client reads the same reply: any slips in, in any mixture, however it is cut."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.settings import ProviderSettings
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.completion import Completion
from cheaprouter.wire.openai_chat.canon import Canon, is_usual
from cheaprouter.wire.openai_chat.decode import ChatStream
from cheaprouter.wire.openai_chat.encode import assemble
from cheaprouter.wire.openai_chat.quirks import Quirks
from cheaprouter.wire.openai_chat.think import ThinkSplitter, split_whole
from tests.builders import Json, a_chat, joined

USAGE = {"prompt_tokens": 4000, "completion_tokens": 3, "total_tokens": 4003}
WORDS = {
    "stop": ("stop", "eos", "end_turn", "STOP", "eos_token", "stop_sequence", "COMPLETE"),
    "length": ("length", "max_tokens", "MAX_TOKENS", "model_length"),
    "tool_calls": ("tool_calls", "stop", "tool_use", "function_call", "end_turn"),
    "content_filter": ("content_filter", "SAFETY", "sensitive"),
}


@dataclass(frozen=True)
class Said:
    """What a model said, in pieces."""

    thoughts: tuple[str, ...]
    content: tuple[str, ...]
    calls: tuple[tuple[str, Json], ...]
    cut: bool

    @property
    def finish(self) -> str:
        return "length" if self.cut else "tool_calls" if self.calls else "stop"

    @property
    def expected(self) -> Json:
        return {
            "content": "".join(self.content),
            "thoughts": "".join(self.thoughts),
            "calls": list(self.calls),
            "finish": self.finish,
        }


pieces = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=8), max_size=4)
arguments = st.dictionaries(st.sampled_from(["name", "to", "{", '"', "\\"]), st.text(max_size=4), max_size=2)
calls = st.lists(st.tuples(st.sampled_from(["turn_on", "turn_off"]), arguments), max_size=3)
said = st.builds(
    Said, pieces.map(tuple), pieces.map(lambda told: ("Well.", *told)), calls.map(tuple), st.booleans()
)  # the content never is empty, so that no answer is
slips = st.sets(
    st.sampled_from([
        "no index of the choice", "delta null", "empty choices first", "null choices", "no choices", "content as parts", "part alone",
        "finish empty", "finish again", "vendor's word", "usage in the choice", "usage with the finish", "all at once", "choice alone",
        "reasoning", "reasoning_details", "thinking in parts", "thinking_blocks", "message", "halves",
        "calls without index", "calls all at 0", "calls from 5", "calls without id", "empty ids", "number ids", "header again", "arguments whole",
        "arguments as object", "no type", "no function", "call alone", "no arguments", "prefilled",
        "BOM", "no space", "CRLF", "CR", "comments", "names", "several lines", "more blank lines", "in an array", "done bare", "done small", "no done",
        "bare json",
    ]),
    max_size=8,
)  # fmt: skip


# --- an upstream with slips


def chunks_of(reply: Said, slip: set[str]) -> list[Json]:
    deltas: list[Json] = [{"role": "assistant"}]
    deltas += [thoughts(text, slip) for text in reply.thoughts]
    deltas += [content(text, slip) for told in reply.content for text in halves(told, slip)]
    deltas += [{"tool_calls": entries} for entries in call_entries(reply.calls, slip)]
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    word = WORDS[reply.finish][len(reply.content) % len(WORDS[reply.finish]) if "vendor's word" in slip else 0]
    last: Json = {"index": 0, "delta": None if "delta null" in slip else {}, "finish_reason": word}
    if "all at once" in slip and not reply.calls and "message" not in slip:
        last = {**choices.pop(), "finish_reason": word}
    choices.append(last)
    if "finish again" in slip:
        choices.append({"index": 0, "delta": {}, "finish_reason": word})
    for choice in choices:
        if "finish empty" in slip and choice["finish_reason"] is None:
            choice["finish_reason"] = ""
        if "no index of the choice" in slip:
            del choice["index"]
    chunks: list[Json] = [{"id": "c1", "choices": choice if "choice alone" in slip else [choice]} for choice in choices]
    if "usage in the choice" in slip:
        last["usage"] = USAGE
    elif "usage with the finish" in slip:
        chunks[-1]["usage"] = USAGE
    else:
        chunks.append({"id": "c1", "choices": [], "usage": USAGE})
    for name, odd in (
        ("empty choices first", {"choices": []}),
        ("null choices", {"choices": None}),
        ("no choices", {}),
    ):
        if name in slip:
            chunks.insert(len(chunks) // 2 if name == "no choices" else 0, {"id": "", **odd})
    return chunks


def halves(text: str, slip: set[str]) -> list[str]:
    """A text in two pieces, its cut in the middle of a character where that has two halves."""
    units = text.encode("utf-16-le")
    if "halves" not in slip or len(units) < 4:
        return [text]
    cut = len(units) // 4 * 2
    return [part.decode("utf-16-le", "surrogatepass") for part in (units[:cut], units[cut:])]


def content(text: str, slip: set[str]) -> Json:
    parts = [{"type": "text", "text": text[:1]}, {"type": "text", "text": text[1:]}]
    if "content as parts" in slip:
        return {"content": parts}
    return {"content": {"type": "text", "text": text}} if "part alone" in slip else {"content": text}


def thoughts(text: str, slip: set[str]) -> Json:
    if "reasoning" in slip:
        return {"reasoning": text, "content": ""}
    if "reasoning_details" in slip:
        return {"reasoning_details": [{"type": "reasoning.text", "text": text}], "reasoning": None}
    if "thinking in parts" in slip:
        return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]}
    if "thinking_blocks" in slip:
        return {"thinking_blocks": [{"type": "thinking", "thinking": text}]}
    return {"reasoning_content": text}


def call_entries(told: tuple[tuple[str, Json], ...], slip: set[str]) -> list[Any]:
    """The lists of entries of all chunks that tell calls."""
    nameless = bool(slip & {"calls without id", "empty ids"})
    placeless = bool(slip & {"calls without index", "calls all at 0"})
    lists: list[Any] = []
    for number, (name, args) in enumerate(told):
        text = json.dumps(args)
        cuts = [text] if "arguments whole" in slip or "no function" in slip else [text[:5], text[5:]]
        if (not args and "no arguments" in slip and not (nameless and placeless)) or "arguments as object" in slip:
            cuts = [args if args or (nameless and placeless) else None]  # type: ignore[list-item]
        elif "prefilled" in slip and "header again" not in slip and not (nameless and placeless):
            cuts = ["{}", *cuts] if args else ["{}"]
        for place, piece in enumerate(cuts):
            function: Json = {"arguments": piece}
            entry: Json = {"index": number, "function": function}
            if place == 0 or "header again" in slip:
                entry |= {"id": f"call_{number}", "type": "function"}
                function["name"] = name
            lists.append([odd_entry(entry, slip)])
    return [entries[0] if "call alone" in slip else entries for entries in lists]


def odd_entry(entry: Json, slip: set[str]) -> Json:
    if "calls without index" in slip:
        del entry["index"]
    elif "calls all at 0" in slip:
        entry["index"] = 0
    elif "calls from 5" in slip:
        entry["index"] += 5
    if "calls without id" in slip:
        entry.pop("id", None)
    elif "empty ids" in slip:
        entry["id"] = ""
    elif "number ids" in slip and "id" in entry:
        entry["id"] = 7000 + int(entry["id"][5:])
    if "no type" in slip:
        entry.pop("type", None)
    if "no function" in slip:
        entry |= entry.pop("function")
    return entry


def stream_of(chunks: list[Json], slip: set[str]) -> bytes:
    events: list[bytes] = []
    for chunk in chunks:
        spread = "several lines" in slip
        raw = json.dumps([chunk] if "in an array" in slip else chunk, indent=1 if spread else None).encode()
        lines = [b"data:" + (b"" if "no space" in slip else b" ") + line for line in raw.split(b"\n")]
        if "names" in slip:
            lines = [b"event: message", b"id: 7", *lines]
        if "bare json" in slip and not spread and "names" not in slip:
            lines = [raw]
        events.append(b"\n".join(lines))
    if "no done" not in slip:
        events.append(
            b"[DONE]" if "done bare" in slip else b"data: [done]" if "done small" in slip else b"data: [DONE]"
        )
    if "comments" in slip:
        events = [part for event in events for part in (b": PROCESSING", event, b"data: ping")]
    data = (b"\n\n\n" if "more blank lines" in slip else b"\n\n").join([*events, b""])
    data = (b"\xef\xbb\xbf" if "BOM" in slip else b"") + data
    return data.replace(b"\n", b"\r\n") if "CRLF" in slip else data.replace(b"\n", b"\r") if "CR" in slip else data


# --- a simple client


def read_simply(data: bytes, *, want_usage: bool) -> Json:
    """Reads as simple clients do: one line an event, `choices[0].delta`, calls by their index, all strings joined."""
    told: Json = {"content": "", "thoughts": "", "finish": None}
    entries: dict[int, Json] = {}
    assert b"\n\n\n" not in data
    for event in data.decode().removesuffix("\n\n").split("\n\n"):
        assert event.startswith("data: ")
        if event == "data: [DONE]":
            told["done"] = True
            continue
        chunk = json.loads(event[6:])
        if chunk.get("usage") and not chunk["choices"]:
            assert want_usage
            continue
        choice = chunk["choices"][0]
        assert type(choice["index"]) is int
        told["content"] += choice["delta"].get("content") or ""
        told["thoughts"] += choice["delta"].get("reasoning_content") or ""
        for entry in choice["delta"].get("tool_calls") or ():
            known = entries.setdefault(entry["index"], {"id": "", "type": "", "name": "", "arguments": ""})
            for name in ("id", "type"):
                known[name] += entry.get(name) or ""
            for name in ("name", "arguments"):
                known[name] += entry["function"].get(name) or ""
        if told["finish"] is not None:
            assert not choice["delta"].get("tool_calls")
        assert choice.get("finish_reason") in (None, "stop", "length", "tool_calls", "content_filter")
        told["finish"] = told["finish"] or choice.get("finish_reason")
    assert told.pop("done")
    return {**told, "calls": checked_calls([entries[index] for index in range(len(entries))])}


def checked_calls(entries: list[Json]) -> list[tuple[str, Any]]:
    assert len({entry["id"] for entry in entries} - {""}) == len(entries)
    assert all(entry["type"] == "function" for entry in entries)
    return [(entry["name"], json.loads(entry["arguments"])) for entry in entries]


def read_whole(reply: Json) -> Json:
    choice = reply["choices"][0]
    message = choice["message"]
    flat = [{**call, **call["function"]} for call in message.get("tool_calls") or ()]
    return {
        "content": message["content"] or "",
        "thoughts": message.get("reasoning_content") or "",
        "calls": checked_calls(flat),
        "finish": choice["finish_reason"],
    }


@given(said, slips, st.lists(st.integers(1, 300), max_size=3), st.booleans())
def test_any_slips_in_a_stream_the_same_reply_out_wherever_it_is_cut(reply, slip, sizes, want_usage):
    data = stream_of(chunks_of(reply, slip), slip)
    for size in (*sizes, len(data)):
        stream = ChatStream(Quirks(), want_usage=want_usage)
        out = [piece for start in range(0, len(data), size) for piece in stream.feed(data[start : start + size])]
        if not stream.done:
            out += stream.finish()
        assert stream.trouble is None
        told = b"".join(piece for piece in out if isinstance(piece, bytes))
        assert read_simply(told, want_usage=want_usage) == reply.expected
        assert stream.usage is not None
        assert (stream.usage.prompt_tokens, stream.finish_reason) == (4000, reply.finish)


@given(said, slips)
def test_any_slips_in_a_stream_the_same_events_out(reply, slip):
    stream = ChatStream(Quirks(), events=True)
    pieces = stream.feed(stream_of(chunks_of(reply, slip), slip)) + stream.finish()
    whole = assemble(piece for piece in pieces if not isinstance(piece, bytes))
    assert stream.trouble is None
    assert read_whole(whole) == reply.expected


@given(said, slips)
def test_a_reply_without_slips_passes_byte_for_byte(reply, slip):
    data = stream_of(chunks_of(reply, set()), slip & {"no done"})
    stream = ChatStream(Quirks(), want_usage=True)
    plain = b"".join(piece for piece in stream.feed(data) + stream.finish() if isinstance(piece, bytes))
    silent = any(not given for _, given in reply.calls)  # its "{}" is told at the end
    assert silent or plain == data + (b"data: [DONE]\n\n" if "no done" in slip else b"")


PLAIN = a_chat("x", "m")
LAB = adapter_for(ProviderSettings("lab", "openai", "http://lab:1/v1"))


@given(said, slips)
def test_any_slips_in_a_whole_reply_the_same_reply_out(reply, slip):
    slip = slip - {"reasoning", "reasoning_details"} if "thinking in parts" in slip else slip
    message: Json = {"role": "assistant", **content("".join(reply.content), slip)}
    if reply.thoughts and "thinking in parts" in slip:
        parts = (
            message["content"]
            if isinstance(message["content"], list)
            else [{"type": "text", "text": "".join(reply.content)}]
        )
        message["content"] = [*thoughts("".join(reply.thoughts), slip)["content"], *parts]
    elif reply.thoughts:
        message = {**thoughts("".join(reply.thoughts), slip), **message}
    lists = call_entries(reply.calls, (slip | {"arguments whole"}) - {"call alone", "prefilled"})
    if reply.calls:
        message["tool_calls"] = [entry for entries in lists for entry in entries]
    word = WORDS[reply.finish][-1 if "vendor's word" in slip else 0]
    choice: Json = {"index": 0, "message": message, "finish_reason": word}
    if "no index of the choice" in slip:
        del choice["index"]
    if "finish empty" in slip and not reply.cut:
        choice["finish_reason"] = ""
    if "message" in slip:
        choice["delta"] = choice.pop("message")
    body: Json = {"id": "c1", "choices": choice if "choice alone" in slip else [choice]}
    (choice if "usage in the choice" in slip else body)["usage"] = USAGE
    raw = (b"\xef\xbb\xbf" if "BOM" in slip else b"") + json.dumps([body] if "in an array" in slip else body).encode()
    assert not (is_usual(body) and Canon(Quirks()).whole(json.loads(json.dumps(body))))
    done = LAB.complete(raw, PLAIN)
    assert isinstance(done, Completion)
    assert read_whole(json.loads(done.body)) == reply.expected
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.finish_reason) == (4000, reply.finish)


# --- calls, one by one


def told_calls(*entries: Any) -> list[tuple[str, str, str]]:
    """Id, name and arguments of the calls that a client reads, an entry a chunk."""
    numbers = itertools.count()
    canon = Canon(Quirks(), make_id=lambda: f"made_{next(numbers)}")
    found: dict[int, list[str]] = {}
    chunks: list[Json] = [{"choices": [{"delta": {"tool_calls": [entry]}}]} for entry in entries]
    for chunk in (*chunks, {"choices": [{"delta": {}, "finish_reason": "stop"}]}):
        canon.chunk(chunk)
        for call in chunk["choices"][0]["delta"].get("tool_calls", ()):
            known = found.setdefault(call["index"], ["", "", ""])
            for place, text in enumerate(
                (call.get("id"), call["function"].get("name"), call["function"].get("arguments"))
            ):
                known[place] += text or ""
    return [(call[0], call[1], call[2]) for call in found.values()]


def entry(index: int | None, call_id: str | None, name: str | None, text: Any) -> Json:
    return {"index": index, "id": call_id, "function": {"name": name, "arguments": text}}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([entry(0, "a", "f", ""), entry(0, None, None, "{}")], [("a", "f", "{}")]),
        ([entry(0, "a", "f", '{"x"'), entry(1, "b", "f", '{"y"'), entry(0, None, None, ":1}"), entry(1, None, None, ":2}")], [("a", "f", '{"x":1}'), ("b", "f", '{"y":2}')]),
        ([entry(None, "a", "f", ""), entry(None, "b", "f", ""), entry(None, "a", None, '{"x":1}')], [("a", "f", '{"x":1}'), ("b", "f", "{}")]),
        ([entry(0, None, "f", ""), entry(0, "late", None, '{"x":1}')], [("made_0", "f", '{"x":1}')]),
        ([entry(0, "same", "f", '{"x":1}'), entry(1, "same", "f", '{"y":2}'), entry(1, None, None, " ")], [("same", "f", '{"x":1}'), ("made_0", "f", '{"y":2} ')]),
        ([entry(None, None, "f", '{"x":1}'), entry(None, None, "f", '{"x":1}')], [("made_0", "f", '{"x":1}'), ("made_1", "f", '{"x":1}')]),
        ([entry(None, None, "f", '{"x":"}'), entry(None, None, "f", '"}')], [("made_0", "f", '{"x":"}"}')]),
        ([entry(None, None, "f", '{"x":"\\'), entry(None, None, "f", '""}')], [("made_0", "f", '{"x":"\\""}')]),
        ([entry(0, "a", None, ""), entry(0, None, "f", '{"x":1}')], [("a", "f", '{"x":1}')]),
        ([entry(0, "a", "f", "null")], [("a", "f", "{}")]),
        ([entry("1", "a", "f", "{"), entry("1", None, None, "}")], [("a", "f", "{}")]),
        ([entry(0, "a", "f", None), entry(0, "a", "f", None)], [("a", "f", "{}")]),
        ([entry(3, "a", "f", {"x": 1}), entry(3, "b", "g", [])], [("a", "f", '{"x":1}'), ("b", "g", "[]")]),
    ],
)  # fmt: skip
def test_which_call_a_piece_belongs_to(entries, expected):
    assert told_calls(*entries) == expected


def test_several_whole_calls_in_one_piece_without_ids_or_places_are_several():
    chunk: Json = {"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": ""}}] * 2}}]}
    Canon(Quirks()).chunk(chunk)
    assert [call["index"] for call in chunk["choices"][0]["delta"]["tool_calls"]] == [0, 1]


# --- thoughts between tags


tagged = st.sampled_from(
    ["<think>", "</think>", "<thinking>", "[THINK]", "[/THINK]", "<", "<th", "\n", " ", "a", "{}", "é"]
)


@given(st.lists(tagged, max_size=10).map("".join), st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_thoughts_are_told_apart_however_they_are_cut(text, sizes):
    def split(cuts: list[str]) -> tuple[str, str]:
        splitter = ThinkSplitter()
        told = [*map(splitter.feed, cuts), splitter.rest()]
        return "".join(thought for thought, _ in told), "".join(answer for _, answer in told)

    cuts, place = [], 0
    for size in itertools.cycle(sizes):
        if place >= len(text):
            break
        cuts.append(text[place : place + size])
        place += size
    assert split(cuts) == split([text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>Two.\n</think>\n\n4", ("Two.\n", "4")),
        ("\n <thinking>Two.</thinking>4 </thinking>", ("Two.", "4 </thinking>")),
        ("[THINK]Two.[/THINK]4", ("Two.", "4")),
        ("4 <think>no</think>", ("", "4 <think>no</think>")),
        ("<thin", ("", "<thin")),
        ("<think>Two. Two. Tw", ("Two. Two. Tw", "")),
        ("<think></think>4", ("", "4")),
        ("4", ("", "4")),
    ],
)
def test_what_is_thought_and_what_is_answer(text, expected):
    splitter = ThinkSplitter()
    (thoughts_told, answer), (more, rest) = splitter.feed(text), splitter.rest()
    assert (thoughts_told + more, answer + rest) == expected


def test_a_whole_text_whose_template_opened_the_tag_shows_only_its_end():
    assert split_whole("Two.</think>\n4") == ("Two.", "4")


JSON = a_chat("x", "m", response_format={"type": "json_object"})


@pytest.mark.parametrize(("request_", "think"), [(JSON, False), (PLAIN, True)])
def test_an_answer_in_json_or_of_a_model_that_thinks_aloud_is_not_led_by_thoughts(request_, think):
    text = '<think>\nHm.</think>\n\n{"on": true}'
    body: Json = {
        "id": "1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    }
    done = LAB.complete(json.dumps(body).encode(), request_, think=think)
    assert isinstance(done, Completion)
    assert json.loads(done.body)["choices"][0]["message"] == {
        "role": "assistant", "content": '{"on": true}', "reasoning_content": "\nHm.",
    }  # fmt: skip
    stream = LAB.reader(request_, "openai_chat", think=think)
    chunks: list[Json] = [
        {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in text
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    told = joined([piece for piece in stream.feed(stream_of(chunks, set())) if isinstance(piece, bytes)])
    deltas = [chunk["choices"][0]["delta"] for chunk in told[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == '{"on": true}'
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "\nHm."


def test_other_answers_keep_their_tags():
    body: Json = {
        "id": "1",
        "choices": [{"index": 0, "message": {"content": "<think>Hm.</think>4"}, "finish_reason": "stop"}],
    }
    done = LAB.complete(json.dumps(body).encode(), PLAIN)
    assert isinstance(done, Completion)
    assert json.loads(done.body)["choices"][0]["message"]["content"] == "<think>Hm.</think>4"


# --- errors under other names


@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        ({"error": {"message": "Slow down.", "code": 429}}, 429, "Slow down."),
        ({"error": "Slow down."}, 502, "Slow down."),
        ({"object": "error", "message": "Slow down.", "code": 429}, 429, "Slow down."),
        ({"type": "error", "message": "Slow down.", "code": 429}, 429, "Slow down."),
        ({"detail": "Slow down."}, 502, "Slow down."),
        ({"errors": [{"message": "Slow down.", "code": 429}]}, 429, "Slow down."),
        ({"code": "429", "message": "Slow down."}, 429, "Slow down."),
        ({"code": 429, "msg": "Slow down."}, 429, "Slow down."),
        ({"error_code": 429, "error_msg": "Slow down."}, 429, "Slow down."),
        ({"base_resp": {"status_code": 1002, "status_msg": "Slow down."}, "choices": None}, 429, "Slow down."),
        ({"success": False, "message": "Slow down."}, 502, "Slow down."),
        ({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "Slow down."}}]}, 429, "Slow down."),
    ],
)  # fmt: skip
def test_an_error_is_one_under_any_name(told, status, words):
    whole = LAB.complete(json.dumps(told).encode(), PLAIN)
    stream = LAB.reader(PLAIN, "openai_chat")
    stream.feed(stream_of([{"choices": [{"delta": {"content": "a"}}]}, told], set()))
    for failure in (whole, LAB.judge_stream(stream)):
        assert failure is not None
        assert not isinstance(failure, Completion)
        assert (failure.status, failure.message) == (status, words)


@pytest.mark.parametrize("told", [{"type": "ping"}, {"id": "x"}, {}, None, [], {"choices": [], "message": "x"}])
def test_what_says_nothing_is_no_error(told):
    stream = LAB.reader(PLAIN, "openai_chat")
    assert stream.feed(stream_of([told], {"no done"})) == []
    assert stream.trouble is None


@pytest.mark.parametrize("role", [None, "", "model", 5])
def test_who_answers_is_the_assistant(role):
    canon = Canon(Quirks())
    reply: Json = {"choices": [{"index": 0, "message": {"role": role, "content": "x"}, "finish_reason": "stop"}]}
    assert not is_usual(reply)
    assert canon.whole(reply)
    assert reply["choices"][0]["message"]["role"] == "assistant"
    stream = ChatStream(Quirks(), events=True)
    chunk = {"choices": [{"index": 0, "delta": {"role": role, "content": "x"}, "finish_reason": "stop"}]}
    pieces = stream.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert (
        assemble(piece for piece in pieces if not isinstance(piece, bytes))["choices"][0]["message"]["role"]
        == "assistant"
    )


FOREIGN = {"input_tokens": 5, "output_tokens": 3}


def test_a_whole_replys_counts_are_found_in_openais_words():
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]
    told = LAB.complete(json.dumps({"choices": choices, "usage": FOREIGN}).encode(), PLAIN)
    assert json.loads(told.body)["usage"] == {**FOREIGN, "prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def test_a_streams_counts_are_found_in_openais_words():
    events = [{"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": "stop"}]}]
    events.append({"choices": [], "usage": FOREIGN})
    stream = LAB.reader(replace(PLAIN, include_usage=True), "openai_chat")
    told = b"".join(stream.feed(stream_of(events, set())))
    assert b'"total_tokens":8' in told
