"""What is in a chat completion, its chunks and its usage, whichever vendor's words it uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from ...core.models import Json
from .. import events as ev
from ..events import size_of
from ..sse import event
from ..usage import parse_usage, usage_in

_TEXTS: Final = ("content", "reasoning_content", "refusal")


def choices_of(chunk: Json) -> list[Json]:
    choices = chunk.get("choices")
    if type(choices) is list and len(choices) == 1 and type(choices[0]) is dict:
        return choices  # as nearly all are
    return _objects(choices)


def _objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


_ANSWERS: Final = ("content", "tool_calls", "refusal", "function_call", "audio", "images")
_CONTENT: Final = (*_ANSWERS, "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks")


def answers(message: Any) -> bool:
    """Whether a delta or message holds something that a user came for: content without reasoning."""
    return has_content(message, _ANSWERS)


def has_content(message: Any, names: tuple[str, ...] = _CONTENT) -> bool:
    """Whether a delta or message holds text, a tool call, reasoning, a refusal, sound or a picture."""
    if isinstance(message, dict):
        for name in names:
            if message.get(name):
                return True
    return False


def characters(message: Any) -> int:
    """Characters of text, reasoning and tool arguments in a delta or message; bytes, where they are not ASCII."""
    if not isinstance(message, dict):
        return 0
    count = 0
    for name in _TEXTS:
        if isinstance(text := message.get(name), str):
            count += size_of(text)
    if calls := message.get("tool_calls"):
        for call in _objects(calls):
            if isinstance(function := call.get("function"), dict):
                told = function.get("name"), function.get("arguments")
                count += sum([size_of(text) for text in told if isinstance(text, str)])
    if "function_call" in message and isinstance(call := message["function_call"], dict):
        count += size_of(call["arguments"]) if isinstance(call.get("arguments"), str) else 0
    return count


def chunk_event(chunk: Json) -> bytes:
    return event(orjson.dumps(chunk))


def needs_split(choice: Any) -> bool:
    """Whether simple clients would lose part of it: several tool calls at once, or content beside the finish."""
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict):
        return False
    calls = delta.get("tool_calls")
    return (isinstance(calls, list) and len(calls) > 1) or bool(choice.get("finish_reason") and has_content(delta))


def split_chunk(chunk: Json) -> Iterator[Json]:
    """The same as chunks of one tool call each and a bare finish, for clients that read no more of a chunk."""
    choices = chunk["choices"]
    if not any(needs_split(choice) for choice in choices):
        yield chunk
        return
    base = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
    finished: list[Json] = []
    for choice in choices:
        for part in _parts(choice):
            yield {**base, "choices": [part]}
        if choice.get("finish_reason"):
            finished.append({**choice, "delta": {}, **({"logprobs": None} if "logprobs" in choice else {})})
    if finished or chunk.get("usage"):
        yield {**base, "choices": finished, **({"usage": chunk["usage"]} if "usage" in chunk else {})}


def _parts(choice: Json) -> Iterator[Json]:
    """A choice's delta in pieces, none with a finish_reason."""
    delta = choice.get("delta") or {}
    calls = delta.get("tool_calls")
    rest = {name: value for name, value in delta.items() if name != "tool_calls"}
    bare = {**choice, "finish_reason": None}
    if rest and (has_content(rest) or rest.get("role") or not calls):
        yield {**bare, "delta": rest}
    for call in calls or ():
        yield {**bare, "delta": {"tool_calls": [call]}}


class ChunkReader:
    """Chunks as events. Remembers how the reply began, and which calls have."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._started = False
        self._calls: dict[tuple[int, int], ev.ToolStart] = {}

    def read(self, chunk: Json) -> Iterator[ev.WireEvent]:
        head = {n: v for n, v in chunk.items() if n not in _NOT_HEAD and v is not None and self._head.get(n) != v}
        self._head |= head
        choices, usage = choices_of(chunk), usage_in(chunk)
        if not choices and not isinstance(usage, dict):
            return
        if not self._started:
            self._started = True
            yield _start(dict(self._head))
        elif head:
            yield ev.Extra(ev.Where.REPLY, head)
        for choice in choices:
            yield from self._choice(choice)
        if isinstance(usage, dict):
            yield ev.Used(parse_usage(usage), usage)

    def _choice(self, choice: Json) -> Iterator[ev.WireEvent]:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        delta = choice.get("delta")
        more = {n: v for n, v in choice.items() if n not in _NOT_CHOICE and v is not None}
        if isinstance(delta, dict):
            yield from self._delta({n: v for n, v in delta.items() if v is not None}, index, more)
        if more:
            yield ev.Extra(ev.Where.CHOICE, more, index)
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            yield ev.Finish(reason, index)

    def _delta(self, delta: Json, index: int, more: Json) -> Iterator[ev.WireEvent]:
        """Each field that has an event of its own is taken out of the delta; thoughts told twice count once."""
        if text := _text_of(delta, "reasoning_content"):
            yield ev.Reasoning(text, index)
        elif text := _text_of(delta, "reasoning"):
            yield ev.Reasoning(text, index, "reasoning")
        for block in _objects(delta.pop("thinking_blocks", None)):
            yield ev.Thinking(block, index)
        if text := _text_of(delta, "content"):
            yield ev.Text(text, index, more.pop("logprobs", None))
        if text := _text_of(delta, "refusal"):
            yield ev.RefusalText(text, index)
        for call in _objects(delta.pop("tool_calls", None)):
            yield from self._call(call, index)
        delta.pop("role", None)  # there is one who answers
        if delta:
            yield ev.Extra(ev.Where.MESSAGE, delta, index)

    def _call(self, call: Json, choice: int) -> Iterator[ev.WireEvent]:
        index = call.get("index")
        if not isinstance(index, int):
            index = sum(1 for known, _ in self._calls if known == choice)
        function = call.get("function")
        function = dict(function) if isinstance(function, dict) else {}
        extra = {n: v for n, v in call.items() if n not in ("index", "id", "function") and v is not None}
        if extra.get("type") == "function":
            del extra["type"]
        call_id, name, text = call.get("id"), function.pop("name", None), _text_of(function, "arguments")
        if function := {n: v for n, v in function.items() if v is not None}:
            extra["function"] = function
        known = self._calls.get((choice, index))
        if known is None:
            known = self._calls[choice, index] = ev.ToolStart(index, str(call_id or ""), str(name or ""), choice, extra)
            yield known
        elif changed := _changed(known, call_id, name, extra):
            yield ev.Extra(ev.Where.MESSAGE, {"tool_calls": [{"index": index, **changed}]}, choice)
        if text:
            yield ev.ToolArguments(index, text, choice)


def _text_of(fields: Json, name: str) -> str:
    """A text, taken out of the fields; what is no text stays there."""
    text = fields.get(name)
    if not isinstance(text, str):
        return ""
    del fields[name]
    return text


def _changed(known: ev.ToolStart, call_id: Any, name: Any, extra: Json) -> Json:
    """What a later piece of a call says of it that is new."""
    changed = dict(extra)
    if call_id and call_id != known.id:
        changed["id"] = call_id
    if name and name != known.name:
        changed["function"] = {**changed.get("function", {}), "name": name}
    return changed


_NOT_HEAD: Final = frozenset({"object", "choices", "usage", "obfuscation"})
_NOT_CHOICE: Final = frozenset({"index", "delta", "message", "finish_reason"})


def _start(head: Json) -> ev.Start:
    """What is not as it should be stays where nothing has to be of a kind."""
    known: Json = {}
    for name, kind in (("id", str), ("model", str), ("created", int)):
        if isinstance(head.get(name), kind):
            known[name] = head.pop(name)
    return ev.Start(**known, extra=head)


def explode(reply: Json) -> Iterator[ev.WireEvent]:
    """A whole reply as the events that its stream would have had."""
    choices = []
    for place, choice in enumerate(choices_of(reply)):
        message = choice.get("message")
        delta = dict(message) if isinstance(message, dict) else {}
        if isinstance(calls := delta.get("tool_calls"), list):
            delta["tool_calls"] = [{**c, "index": i} if isinstance(c, dict) else c for i, c in enumerate(calls)]
        rest = {name: value for name, value in choice.items() if name != "message"}
        finish = choice.get("finish_reason") or "stop"
        choices.append({"index": place, **rest, "delta": delta, "finish_reason": finish})
    return ChunkReader().read({**reply, "choices": choices})
