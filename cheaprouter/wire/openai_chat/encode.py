"""Events in OpenAI's wire: as the chunks of a stream, or put together as one completion; and errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from ...core.errors import CheapRouterError
from ...core.models import Json
from .. import events as ev
from .. import sse
from ..written import written
from .chunks import chunk_event

HEARTBEAT = b": keep-alive\n\n"


_SMALL = frozenset({"id", "object", "created", "model"})
_LONGEST_HEAD = 16 * 1024
_LONGEST_FIELD = 256
"""Bytes of what is told of a whole reply in each of its chunks: with more of them the chunks would take many times the reply."""


class ChunkEncoder:
    """One stream. `want_usage`: the client asked for a usage chunk at the end."""

    def __init__(self, *, want_usage: bool) -> None:
        self._want_usage = want_usage
        self._base: Json = {"object": "chat.completion.chunk"}
        self._prefix = b""
        self._large = False
        self._usage: Json | None = None

    def encode(self, events: Iterable[ev.WireEvent]) -> bytes:
        return b"".join(map(self.event, events))

    def end(self) -> bytes:
        """What closes a stream that finished."""
        usage = self._usage if self._want_usage else None
        return (chunk_event({**self._base, "choices": [], "usage": usage}) if usage else b"") + sse.DONE

    def event(self, event: ev.WireEvent) -> bytes:  # noqa: PLR0911 - one return for each kind of event
        """One event; nothing where OpenAI's clients need none for it."""
        match event:
            case ev.Start():
                head = {"id": event.id, "created": event.created, "model": event.model}
                self._open({**head, **event.extra})
                return self._chunk(0, {"role": "assistant", "content": ""})
            case ev.Extra(ev.Where.REPLY, fields):
                self._open(fields)
                return b""
            case ev.Extra(ev.Where.CHOICE, fields, choice):
                rest = {"index": choice, "delta": {}, "logprobs": None, "finish_reason": None, **fields}
                return chunk_event({**self._base, "choices": [rest]})
            case ev.Finish():
                return self._chunk(event.choice, {}, finish=event.reason)
            case ev.Used():
                self._usage = event.told
                return b""
            case ev.Failed():
                return error_event(event.error)
            case ev.Ping():
                return HEARTBEAT
            case _:
                return self._chunk(event.choice, _fields(event), event.logprobs if isinstance(event, ev.Text) else None)

    def _open(self, fields: Json) -> None:
        """What stands in every chunk; what is large is told once, in the next."""
        self._base |= fields
        self._prefix = b"data: " + orjson.dumps(self._base)[:-1] + b',"choices":[{"index":'
        self._large = len(self._prefix) > _LONGEST_HEAD

    def _slim(self) -> bytes:
        """What was told, and the beginning of what is told from now on."""
        prefix = self._prefix
        self._base = {n: v for n, v in self._base.items() if n in _SMALL or len(orjson.dumps(v)) <= _LONGEST_FIELD}
        for name in _SMALL & self._base.keys():
            if isinstance(text := self._base[name], str):
                self._base[name] = text[:_LONGEST_FIELD]
        self._open({})
        self._large = False
        return prefix

    def _chunk(self, choice: int, delta: Json, logprobs: Any = None, finish: str | None = None) -> bytes:
        return b"".join((
            self._slim() if self._large else self._prefix, b"%d" % choice, b',"delta":', orjson.dumps(delta), b',"logprobs":', orjson.dumps(logprobs),
            b',"finish_reason":', orjson.dumps(finish), b"}]}\n\n",
        ))  # fmt: skip


def _fields(event: ev.Part | ev.Extra) -> Json:  # noqa: PLR0911 - one return for each kind of event
    match event:
        case ev.Text():
            return {"content": event.text}
        case ev.Reasoning():
            return {event.name: event.text}
        case ev.Thinking():
            return {"thinking_blocks": [event.block]}
        case ev.RefusalText():
            return {"refusal": event.text}
        case ev.ToolArguments():
            return {"tool_calls": [{"index": event.index, "function": {"arguments": event.text}}]}
        case ev.ToolStart():
            return {"tool_calls": [_call(event)]}
        case ev.Extra():
            return event.fields


def _call(start: ev.ToolStart) -> Json:
    call: Json = {"index": start.index, **({"id": start.id} if start.id else {}), "type": "function"}
    if start.name or "type" not in start.extra:
        call["function"] = {"name": start.name, "arguments": ""}
    for name, value in start.extra.items():  # `function` alone may be there already
        old = call.get(name)
        call[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return call


_REPLACED = frozenset({"role", "id", "type", "name", "finish_reason", "index", "format"})
_BY_INDEX = frozenset({"tool_calls", "reasoning_details"})


class Assembler:
    """Events put together as one completion, however many choices it has. Takes each in a time that does not grow with what was before.

    `_grown`: texts that go on, by the object that they are in and their name, with all their pieces; joined at the end.
    `_by_index`: entries of a list by their index.
    """

    def __init__(self) -> None:
        self._grown: dict[tuple[int, str], tuple[Json, list[str]]] = {}
        self._by_index: dict[int, tuple[list[Json], dict[Any, Json]]] = {}
        self._reply: Json = {"object": "chat.completion"}
        self._choices: dict[int, Json] = {}

    def add(self, event: ev.WireEvent) -> None:
        match event:
            case ev.Start():
                told = {"id": event.id, "created": event.created, "model": event.model}
                self._reply |= {**{name: value for name, value in told.items() if value}, **event.extra}
            case ev.Used():
                self._reply["usage"] = event.told
            case ev.Extra(ev.Where.REPLY, fields):
                self._reply |= fields
            case ev.Failed() | ev.Ping():
                return
            case ev.Finish():
                self._choice(event.choice)["finish_reason"] = event.reason
            case ev.Extra(ev.Where.CHOICE, fields, index):
                self._merge(self._choice(index), fields, grows=False)
            case _:
                choice = self._choice(event.choice)
                self._merge(choice["message"], _fields(event))
                if isinstance(event, ev.Text) and event.logprobs is not None:
                    self._merge(choice, {"logprobs": event.logprobs})

    def _choice(self, index: int) -> Json:
        new = {"index": index, "message": {"role": "assistant"}, "finish_reason": None}
        return self._choices.setdefault(index, new)

    def completion(self) -> Json:
        for (_, name), (target, parts) in self._grown.items():
            if isinstance(target.get(name), str):
                target[name] = "".join(parts)
        self._grown.clear()
        return {**self._reply, "choices": [_closed(self._choices[index]) for index in sorted(self._choices)]}

    def _merge(self, target: Json, delta: Json, *, grows: bool = True) -> None:
        """Arrays grow, tool calls and details by their index, and so do strings where they do; anything else is replaced.

        `grows`: strings do, as in messages. What is said of a choice (a filter's verdict, say) is said anew each time.
        """
        for name, value in delta.items():
            old = target.get(name)
            if name in _BY_INDEX and isinstance(value, list):
                if not isinstance(old, list):
                    target[name] = old = []
                self._merge_by_index(old, value)
            elif grows and isinstance(old, str) and isinstance(value, str) and name not in _REPLACED:
                self._grown.setdefault((id(target), name), (target, [old]))[1].append(value)
            elif isinstance(old, list) and isinstance(value, list):
                old.extend(value)
            elif isinstance(old, dict) and isinstance(value, dict):
                self._merge(old, value, grows=grows)
            elif value is not None:
                self._grown.pop((id(target), name), None)
                target[name] = (
                    dict(value) if isinstance(value, dict) else [*value] if isinstance(value, list) else value
                )

    def _merge_by_index(self, known: list[Json], deltas: list[Any]) -> None:
        _, places = self._by_index.setdefault(id(known), (known, {}))
        for delta in (delta for delta in deltas if isinstance(delta, dict)):
            index = delta.get("index")
            one = places.get(index) if isinstance(index, int | str) else None
            if one is None:
                known.append(one := {"index": len(known) if index is None else index})
                if isinstance(one["index"], int | str):
                    places[one["index"]] = one
            self._merge(one, delta)


def _closed(choice: Json) -> Json:
    message = dict(choice["message"])
    message.setdefault("content", None if "tool_calls" in message or "refusal" in message else "")
    if "tool_calls" in message:
        message["tool_calls"] = [{n: v for n, v in call.items() if n != "index"} for call in message["tool_calls"]]
    return {**choice, "message": message}


def assemble(events: Iterable[ev.WireEvent]) -> Json:
    whole = Assembler()
    for event in events:
        whole.add(event)
    return whole.completion()


def to_stream(events: Iterable[ev.WireEvent], *, want_usage: bool) -> Iterator[bytes]:
    """A complete reply's events as the stream that a client asked for."""
    encoder = ChunkEncoder(want_usage=want_usage)
    yield from filter(None, map(encoder.event, events))
    yield encoder.end()


def error_object(error: CheapRouterError) -> Json:
    """The object that clients read `message`, `type`, `param` and `code` from."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def error_body(error: CheapRouterError) -> bytes:
    return written(error_object(error))


def error_event(error: CheapRouterError) -> bytes:
    """The same as one server-sent event, for a stream that has begun: SDKs raise on it."""
    return sse.event(error_body(error))
