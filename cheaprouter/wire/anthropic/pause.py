"""A turn that Anthropic paused: it goes on where what was said so far is sent back, block by block.

Anthropic pauses a turn in which its own tools (web search, code execution, MCP) run for long: `stop_reason: pause_turn`,
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons, 2026.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from ...core.models import Json

PAUSED: Final = "pause_turn"


def may_pause(body: Json) -> bool:
    """Whether a chat request asks for tools that Anthropic runs itself: none that are functions of the client's."""
    if body.get("mcp_servers"):
        return True
    tools = body.get("tools")
    return isinstance(tools, list) and any(isinstance(tool, dict) and "function" not in tool for tool in tools)


class SaidBlocks:
    """The blocks of a message, kept as they have to be sent back."""

    def __init__(self) -> None:
        self._said: list[Json] = []
        self._open: dict[Any, Json] = {}
        self._parts: dict[Any, dict[str, list[str]]] = {}  # what came since a block began: joined once, at its end

    def start(self, index: Any, block: Json) -> None:
        """A block begins."""
        self._put_together(index)
        self._open[index] = made = dict(block)
        self._said.append(made)

    def delta(self, index: Any, delta: Json) -> None:
        """Some more of a block."""
        block = self._open.get(index)
        if block is None:
            return
        kind = delta.get("type")
        if kind == "citations_delta":
            if not isinstance(told := block.get("citations"), list):
                block["citations"] = told = []
            told.append(delta.get("citation"))
        elif kind in _GROWS and isinstance(more := delta.get(_GROWS[kind]), str):
            self._parts.setdefault(index, {}).setdefault(_KEEPS.get(kind, _GROWS[kind]), []).append(more)

    def stop(self, index: Any) -> None:
        """A block is whole."""
        self._put_together(index)
        block = self._open.pop(index, None)
        if block is not None and (text := block.pop(_INPUT, "")):
            block["input"] = orjson.loads(text)

    def _put_together(self, index: Any) -> None:
        block = self._open.get(index, {})
        for name, parts in self._parts.pop(index, {}).items():
            old = block.get(name)
            block[name] = (old if isinstance(old, str) else "") + "".join(parts)

    def content(self) -> list[Json]:
        """What goes back. Empty texts are refused there."""
        for index in [*self._parts]:
            self._put_together(index)
        return [block for block in self._said if block.get("type") != "text" or block.get("text")]


_INPUT: Final = "\0input"
_GROWS: Final = {
    "text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature", "input_json_delta": "partial_json",
}  # fmt: skip
_KEEPS: Final = {"input_json_delta": _INPUT}


def added(before: Json, more: Json) -> Json:
    """The counts of a turn's parts together; what is no number is as it was told last."""
    made = dict(before)
    for name, value in more.items():
        old = made.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            made[name] = added(old, value)
        elif isinstance(value, int | float) and isinstance(old, int | float):
            made[name] = old + value
        else:
            made[name] = value
    return made
