"""Thoughts that a vendor wants back with the tool calls that they led to, since clients mostly drop them.

Moonshot (from K2.5 on) and DeepSeek (V4, thinking) refuse a history whose calls have lost their `reasoning_content`:
https://platform.kimi.ai/docs/guide/use-kimi-k2-thinking-model, https://api-docs.deepseek.com/guides/thinking_mode, 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from ...core.models import Json
from .chunks import choices_of

FIELDS: Final = ("reasoning_content", "reasoning_details", "reasoning", "thinking_blocks")
"""Fields of messages that carry thoughts, in one vendor's way or another."""

PLACEHOLDER: Final = "(not kept)"
"""Stands for thoughts that are lost: an empty text is refused, too."""

Keep = Callable[[str, str], None]
"""Told a tool call's id and the thoughts that led to it."""

Recall = Callable[[str], str | None]
"""The thoughts that led to a tool call, by its id, where they are known."""


def give_back(body: Json, recall: Recall) -> None:
    """Put thoughts beside the calls of a body that is ours to change; nothing where thinking is off or nothing was called."""
    thinking = body.get("thinking")
    messages = body["messages"]
    if (isinstance(thinking, dict) and thinking.get("type") == "disabled") or not any(
        message.get("tool_calls") for message in messages
    ):
        return
    body["messages"] = [
        message
        if message.get("role") != "assistant" or _told(message, "reasoning_content")
        else {**message, "reasoning_content": _found(message, recall)}
        for message in messages
    ]


def _told(message: Json, name: str) -> bool:
    text = message.get(name)
    return isinstance(text, str) and bool(text.strip())


def _found(message: Json, recall: Recall) -> str:
    if _told(message, "reasoning"):
        return str(message["reasoning"])
    return next(filter(None, map(recall, _ids(message))), PLACEHOLDER)


def _ids(message: Json) -> Iterator[str]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call_id := call.get("id"), str) and call_id:
            yield call_id


def hear(body: bytes, keep: Keep) -> None:
    """Hear a whole reply."""
    listener = Listener(keep)
    for choice in choices_of(orjson.loads(body)):
        listener.hear({"finish_reason": "stop", **choice})


class Listener:
    """Hears the choices of a reply, whole or in pieces, and tells of the calls in each once it is complete."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._thoughts: dict[Any, list[str]] = {}
        self._calls: dict[Any, dict[str, None]] = {}

    def hear(self, choice: Json) -> None:
        """A choice of a chunk or of a whole reply, put right before."""
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        said = choice.get("delta") or choice.get("message")
        if isinstance(said, dict):
            if isinstance(text := said.get("reasoning_content"), str) and text:
                self._thoughts.setdefault(index, []).append(text)
            self._calls.setdefault(index, {}).update(dict.fromkeys(_ids(said)))
        if choice.get("finish_reason"):
            thoughts = "".join(self._thoughts.pop(index, ()))
            for call_id in self._calls.pop(index, ()):
                if thoughts.strip():
                    self._keep(call_id, thoughts)
