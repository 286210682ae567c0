"""Events in OpenAI's wire: as the chunks of a stream, or put together as one completion; and errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from ...core.errors import CheapRouterError
from ...core.models import Json
from .. import events as ev
from .. import sse
from .chunks import chunk_event

HEARTBEAT = b": keep-alive\n\n"


class ChunkEncoder:
    """One stream. `want_usage`: the client asked for a usage chunk at the end."""

    def __init__(self, *, want_usage: bool) -> None:
        self._want_usage = want_usage
        self._base: Json = {"object": "chat.completion.chunk"}
        self._prefix = b""
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
        self._base |= fields
        self._prefix = b"data: " + orjson.dumps(self._base)[:-1] + b',"choices":[{"index":'

    def _chunk(self, choice: int, delta: Json, logprobs: Any = None, finish: str | None = None) -> bytes:
        return b"".join((
            self._prefix, b"%d" % choice, b',"delta":', orjson.dumps(delta), b',"logprobs":', orjson.dumps(logprobs),
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
    _merge(call, dict(start.extra))
    return call


class Assembler:
    """Events put together as one completion, however many choices it has."""

    def __init__(self) -> None:
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
                _merge(self._choice(index), fields, grows=False)
            case _:
                choice = self._choice(event.choice)
                _merge(choice["message"], _fields(event))
                if isinstance(event, ev.Text) and event.logprobs is not None:
                    _merge(choice, {"logprobs": event.logprobs})

    def _choice(self, index: int) -> Json:
        new = {"index": index, "message": {"role": "assistant"}, "finish_reason": None}
        return self._choices.setdefault(index, new)

    def completion(self) -> Json:
        return {**self._reply, "choices": [_closed(self._choices[index]) for index in sorted(self._choices)]}


def _closed(choice: Json) -> Json:
    message = dict(choice["message"])
    message.setdefault("content", None if "tool_calls" in message or "refusal" in message else "")
    if "tool_calls" in message:
        message["tool_calls"] = [{n: v for n, v in call.items() if n != "index"} for call in message["tool_calls"]]
    return {**choice, "message": message}


_REPLACED = frozenset({"role", "id", "type", "name", "finish_reason", "index", "format"})


_BY_INDEX = frozenset({"tool_calls", "reasoning_details"})


def _merge(target: Json, delta: Json, *, grows: bool = True) -> None:
    """Arrays grow, tool calls and details by their index, and so do strings where they do; anything else is replaced.

    `grows`: strings do, as in messages. What is said of a choice (a filter's verdict, say) is said anew each time.
    """
    for name, value in delta.items():
        old = target.get(name)
        if name in _BY_INDEX and isinstance(value, list):
            _merge_by_index(target.setdefault(name, []), value)
        elif grows and isinstance(old, str) and isinstance(value, str) and name not in _REPLACED:
            target[name] = old + value
        elif isinstance(old, list) and isinstance(value, list):
            target[name] = [*old, *value]
        elif isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value, grows=grows)
        elif value is not None:
            target[name] = dict(value) if isinstance(value, dict) else value


def _merge_by_index(known: list[Json], deltas: list[Any]) -> None:
    for delta in (delta for delta in deltas if isinstance(delta, dict)):
        index = delta.get("index")
        one = next((item for item in known if item["index"] == index), None) if index is not None else None
        if one is None:
            known.append(one := {"index": len(known) if index is None else index})
        _merge(one, delta)


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
    return orjson.dumps(error_object(error))


def error_event(error: CheapRouterError) -> bytes:
    """The same as one server-sent event, for a stream that has begun: SDKs raise on it."""
    return sse.event(error_body(error))
