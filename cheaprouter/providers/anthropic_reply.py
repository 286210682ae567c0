"""Anthropic's answers as OpenAI's: whole messages, usage, stop reasons."""

from __future__ import annotations

from typing import Any, Final

import orjson

from ..core.models import Json, Usage
from .anthropic_format import WRAPPED

_REASONS: Final = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter", "model_context_window_exceeded": "length",
}  # fmt: skip

JsonTool = tuple[str, bool] | None
"""The tool that carries the answer and whether it is wrapped, see `anthropic_format.json_tool`."""


def finish_reason(stop_reason: Any, *, calls: bool) -> str:
    """OpenAI's word for it. A call of the answer-carrying tool is no call to the client."""
    reason = _REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"
    return "stop" if reason == "tool_calls" and not calls else reason


def to_completion(message: Json, *, created: int, tool: JsonTool) -> Json:
    """A Messages reply as a chat completion."""
    texts: list[str] = []
    thoughts: list[str] = []
    blocks: list[Json] = []
    calls: list[Json] = []
    for block in message.get("content") or ():
        if not isinstance(block, dict):
            continue
        kind = block.get("type")
        if kind == "text":
            texts.append(text_in(block, "text"))
        elif kind in ("thinking", "redacted_thinking"):
            thoughts.append(text_in(block, "thinking"))
            blocks.append(block)
        elif kind == "tool_use" and tool is not None and block.get("name") == tool[0]:
            texts = [answer_text(block.get("input"), wrapped=tool[1])]
        elif kind == "tool_use":
            calls.append(call(block))
    reply: Json = {"role": "assistant", "content": "".join(texts) or (None if calls else "")}
    if reasoning := "".join(thoughts):
        reply["reasoning_content"] = reasoning
    if blocks:
        reply["thinking_blocks"] = blocks
    if calls:
        reply["tool_calls"] = calls
    finish = finish_reason(message.get("stop_reason"), calls=bool(calls))
    return {
        "id": message.get("id", ""),
        "object": "chat.completion",
        "created": created,
        "model": message.get("model", ""),
        "choices": [{"index": 0, "message": reply, "logprobs": None, "finish_reason": finish}],
        "usage": usage_json(message.get("usage")),
    }


def text_in(block: Json, name: str) -> str:
    """A text in a block, or nothing."""
    value = block.get(name)
    return value if isinstance(value, str) else ""


def call(block: Json) -> Json:
    """A tool_use block as a tool call."""
    text = orjson.dumps(block.get("input") or {}).decode()
    return {
        "id": block.get("id", ""),
        "type": "function",
        "function": {"name": block.get("name", ""), "arguments": text},
    }


def answer_text(value: Any, *, wrapped: bool) -> str:
    """The answer that a client asked for in a given shape, as text."""
    if wrapped and isinstance(value, dict):
        value = value.get(WRAPPED)
    return orjson.dumps(value).decode()


def to_usage(usage: Any) -> Usage:
    """Tokens; Anthropic counts what is read from and written to the cache apart from the rest of the prompt."""
    told = usage if isinstance(usage, dict) else {}
    read, written = _count(told, "cache_read_input_tokens"), _count(told, "cache_creation_input_tokens")
    details = told.get("output_tokens_details")
    return Usage(
        prompt_tokens=_count(told, "input_tokens") + read + written,
        completion_tokens=_count(told, "output_tokens"),
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=_count(details, "thinking_tokens") if isinstance(details, dict) else 0,
    )


def usage_json(usage: Any) -> Json:
    """The same as OpenAI's clients read it."""
    tokens = to_usage(usage)
    return {
        "prompt_tokens": tokens.prompt_tokens,
        "completion_tokens": tokens.completion_tokens,
        "total_tokens": tokens.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached_tokens,
            "cache_write_tokens": tokens.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning_tokens},
    }


def _count(told: Json, name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) and value > 0 else 0
