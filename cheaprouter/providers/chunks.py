"""What is in a chat completion chunk or message, whichever vendor's words it uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from ..core.models import Json
from .sse import event

_TEXTS: Final = ("content", "reasoning_content", "reasoning", "refusal")


def choices_of(chunk: Json) -> list[Json]:
    """The choices in a chunk that are any."""
    choices = chunk.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def has_content(message: Any) -> bool:
    """Whether a delta or message holds text, a tool call, reasoning, a refusal, sound or a picture."""
    if not isinstance(message, dict):
        return False
    get = message.get
    return bool(
        answers(message)
        or get("reasoning_content")
        or get("reasoning")
        or get("reasoning_details")
        or get("thinking_blocks")
    )


def answers(message: Any) -> bool:
    """The same without reasoning: something that a user came for."""
    if not isinstance(message, dict):
        return False
    get = message.get
    return bool(
        get("content") or get("tool_calls") or get("refusal") or get("function_call") or get("audio") or get("images")
    )


def reasoning_of(message: Json) -> str:
    """The reasoning text in a delta or message, or nothing."""
    text = message.get("reasoning_content") or message.get("reasoning")
    return text if isinstance(text, str) else ""


def characters(message: Any) -> int:
    """Characters of text, reasoning and tool arguments in a delta or message."""
    if not isinstance(message, dict):
        return 0
    count = 0
    for name in _TEXTS:
        value = message.get(name)
        if isinstance(value, str):
            count += len(value)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            count += sum(len(function[name]) for name in ("name", "arguments") if isinstance(function.get(name), str))
    return count


def chunk_event(chunk: Json) -> bytes:
    """A chunk as one server-sent event."""
    return event(orjson.dumps(chunk))


def needs_split(choice: Any) -> bool:
    """Whether simple clients would lose part of it: several tool calls at once, or content beside the finish."""
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
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
            finished.append(
                {**choice, "delta": {}, "logprobs": None} if "logprobs" in choice else {**choice, "delta": {}}
            )
    last = {**base, "choices": finished}
    if "usage" in chunk:
        last["usage"] = chunk["usage"]
    if finished or chunk.get("usage"):
        yield last


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
