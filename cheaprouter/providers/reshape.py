"""A stream's chunks made one completion, and a completion made a stream: for upstreams that mix them up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from ..core.models import Json
from . import sse
from .chunks import choices_of, chunk_event


def assemble(frames: Iterable[bytes]) -> bytes:
    """One completion from the events of a complete stream in OpenAI's wire."""
    reply: Json = {"object": "chat.completion"}
    choices: dict[int, Json] = {}
    for frame in frames:
        for block in sse.split(frame):
            _, data = sse.parse(block)
            if data is None or data.strip() == b"[DONE]":
                continue
            chunk = orjson.loads(data)
            for name, value in chunk.items():
                if name not in ("object", "choices") and value is not None:
                    reply[name] = value
            for choice in choices_of(chunk):
                _merge_choice(choices, choice)
    reply["choices"] = [_closed(choices[index]) for index in sorted(choices)]
    return orjson.dumps(reply)


def _merge_choice(choices: dict[int, Json], choice: Json) -> None:
    index = choice.get("index")
    index = index if isinstance(index, int) else 0
    whole = choices.setdefault(index, {"index": index, "message": {"role": "assistant"}, "finish_reason": None})
    if isinstance(delta := choice.get("delta"), dict):
        _merge(whole["message"], delta)
    for name, value in choice.items():
        if name not in ("index", "delta") and value is not None:
            if name == "logprobs" and isinstance(whole.get(name), dict):
                _merge(whole[name], value)
            else:
                whole[name] = value


def _merge(target: Json, delta: Json) -> None:
    """Strings and arrays grow, tool calls by their index; anything else is replaced."""
    for name, value in delta.items():
        if value is None:
            continue
        old = target.get(name)
        if name == "tool_calls" and isinstance(value, list):
            _merge_calls(target.setdefault("tool_calls", []), value)
        elif isinstance(old, str) and isinstance(value, str) and name not in ("role", "id", "type", "name"):
            target[name] = old + value
        elif isinstance(old, list) and isinstance(value, list):
            target[name] = [*old, *value]
        elif isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        else:
            target[name] = dict(value) if isinstance(value, dict) else value


def _merge_calls(calls: list[Json], deltas: list[Any]) -> None:
    for delta in deltas:
        if not isinstance(delta, dict):
            continue
        index = delta.get("index", len(calls))
        whole = next((call for call in calls if call["index"] == index), None)
        if whole is None:
            whole = {"index": index}
            calls.append(whole)
        _merge(whole, {name: value for name, value in delta.items() if name != "index"})


def _closed(choice: Json) -> Json:
    message = choice["message"]
    message.setdefault("content", None)
    for call in message.get("tool_calls", ()):
        call.pop("index", None)
        call.setdefault("type", "function")
    return choice


def to_stream(body: bytes, *, include_usage: bool) -> list[bytes]:
    """The events that a stream of this completion would have had: text, each tool call, the finish, usage if asked."""
    reply = orjson.loads(body)
    base = {name: value for name, value in reply.items() if name not in ("object", "choices", "usage")}
    base["object"] = "chat.completion.chunk"
    events: list[bytes] = []
    for choice in reply["choices"]:
        message = choice.get("message") or {}
        rest = {name: value for name, value in choice.items() if name not in ("message", "finish_reason")}
        text = {name: value for name, value in message.items() if name != "tool_calls"}
        events.append(
            chunk_event({**base, "choices": [{**rest, "delta": {"role": "assistant", **text}, "finish_reason": None}]})
        )
        rest.pop("logprobs", None)
        for index, call in enumerate(message.get("tool_calls") or ()):
            delta = {"tool_calls": [{"index": index, **call}]}
            events.append(chunk_event({**base, "choices": [{**rest, "delta": delta, "finish_reason": None}]}))
        finish = choice.get("finish_reason") or "stop"
        events.append(chunk_event({**base, "choices": [{**rest, "delta": {}, "finish_reason": finish}]}))
    if include_usage and reply.get("usage"):
        events.append(chunk_event({**base, "choices": [], "usage": reply["usage"]}))
    events.append(sse.DONE)
    return events
