"""Marks of what to cache, in OpenAI's wire, for a gateway that hands them on to vendors which want them: OpenRouter."""

from __future__ import annotations

from typing import Any, Final

import orjson

from ...core.models import Json
from ..prompt_cache import LONGEST_NAME, least_of

_BYTES_PER_TOKEN: Final = 4
_MARK: Final = {"type": "ephemeral"}
_SYSTEM: Final = ("system", "developer")
_ASKS: Final = ("user", "tool", "function")


def mark_cache(body: Json, upstream: str) -> None:
    """Mark where that pays, in a body that is ours to change and in which the client has marked nothing.

    Claude: the end of the instructions, of this request and of the one before, as in `wire.anthropic.cache`. Gemini: the end of
    the instructions alone; a beginning that grows would be stored anew, and paid for, with each turn, and is kept without a
    mark. Texts that may carry a mark are written as parts whether they do or not, so that a beginning stays what it was, byte
    by byte (https://openrouter.ai/docs/features/prompt-caching, 2026-06).
    """
    name = upstream[:LONGEST_NAME]
    claude = "claude" in name
    if not (claude or "gemini" in name):
        return
    messages = body["messages"]
    least = _BYTES_PER_TOKEN * (least_of(name) or 0)
    tools = len(orjson.dumps(body["tools"])) if body.get("tools") else 0
    size = tools + len(orjson.dumps(messages))
    if size < least:
        return
    body["messages"] = marked = [_in_parts(message, claude=claude) for message in messages]
    talk = any(message["role"] == "assistant" for message in messages)
    if not (talk or tools):
        return
    last = next((i for i in range(len(messages) - 1, -1, -1) if messages[i]["role"] in _SYSTEM), None)
    if last is not None and tools + len(orjson.dumps(messages[: last + 1])) >= least:
        marked[last] = _with_mark(marked[last])
    if claude and talk:
        for place in _ends(messages):
            marked[place] = _with_mark(marked[place])


def _ends(messages: list[Json]) -> list[int]:
    """The places of the last message, and of the one that the request before ended with."""
    asked = len(messages) - 1
    while asked >= 0 and messages[asked]["role"] != "assistant":
        asked -= 1
    before = [place for place in range(asked) if messages[place]["role"] in _ASKS]
    return [len(messages) - 1, *before[-1:]]


def _in_parts(message: Json, *, claude: bool) -> Json:
    """A message whose text is a list of parts, where it may carry a mark: instructions, and for Claude what the user says."""
    text = message.get("content")
    if (
        not isinstance(text, str)
        or not text
        or not (message["role"] in _SYSTEM or (claude and message["role"] == "user"))
    ):
        return message
    return {**message, "content": [{"type": "text", "text": text}]}


def _with_mark(message: Json) -> Json:
    """The message with a mark at its end: of its last part, or beside its text, where that is a tool's."""
    parts: Any = message.get("content")
    if isinstance(parts, list) and parts and isinstance(parts[-1], dict):
        return {**message, "content": [*parts[:-1], {**parts[-1], "cache_control": _MARK}]}
    return {**message, "cache_control": _MARK} if message["role"] in _ASKS and parts else message
