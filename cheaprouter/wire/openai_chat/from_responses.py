"""A body of the Responses API as a chat body: some clients send one to the chat endpoint for some models' names.

Left out: what only a store of responses can answer (`previous_response_id`, item references), which is refused by name,
and what chat has nothing like (reasoning items, hosted tools).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...core.errors import InvalidRequestError
from ...core.models import Json
from .repair import as_text, part

_RENAMED: Final[Mapping[str, str]] = {"max_output_tokens": "max_completion_tokens"}
_GONE: Final = frozenset({
    "input", "instructions", "messages", "include", "truncation", "text", "reasoning", "tools", "tool_choice", "background",
    "max_tool_calls", "context_management", "prompt", "conversation", "previous_response_id", *_RENAMED,
})  # fmt: skip
"""What is told in other words, or not at all."""

_STORED: Final = ("previous_response_id", "conversation", "prompt")
_CALLS: Final[Mapping[str, str]] = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS: Final = ("function_call_output", "custom_tool_call_output")
_TOOL_FIELDS: Final = ("name", "description", "parameters", "strict")


def to_chat(body: Json) -> Json:
    """A chat body that asks the same. Raises InvalidRequestError where nobody could."""
    for name in _STORED:
        if body.get(name) is not None:
            raise InvalidRequestError(f"`{name}` needs stored responses, which there are none of here.", param=name)
    chat = {_RENAMED.get(name, name): value for name, value in body.items() if name not in _GONE or name in _RENAMED}
    chat["messages"] = [*_instructions(body.get("instructions")), *_of_items(body["input"])]
    if isinstance(tools := body.get("tools"), list):
        chat["tools"] = [tool for one in tools if isinstance(one, dict) and (tool := _tool(one)) is not None]
    if (choice := body.get("tool_choice")) is not None:
        chat["tool_choice"] = _choice(choice)
    if isinstance(reasoning := body.get("reasoning"), dict) and isinstance(reasoning.get("effort"), str):
        chat.setdefault("reasoning_effort", reasoning["effort"])
    if isinstance(text := body.get("text"), dict):
        _text(text, chat)
    return chat


def _instructions(text: Any) -> list[Json]:
    return [{"role": "system", "content": text}] if isinstance(text, str) and text else []


def _of_items(given: Any) -> list[Json]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise InvalidRequestError("`input` must be a string or an array.", param="input", code="invalid_type")
    messages: list[Json] = []
    for place, item in enumerate(given):
        if not isinstance(item, dict):
            raise InvalidRequestError(f"`input[{place}]` must be an object.", param=f"input[{place}]")
        kind = item.get("type") or "message"
        if kind == "message":
            messages.append(_message(item))
        elif kind in _CALLS:
            _add_call(messages, item, _CALLS[kind])
        elif kind in _RESULTS:
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": _result(item)})
    return messages


def _message(item: Json) -> Json:
    content = item.get("content")
    if isinstance(content, list):
        content = [part(one) or one for one in content]
    return {"role": item.get("role"), "content": content}


def _add_call(messages: list[Json], item: Json, field: str) -> None:
    """Calls that follow an answer belong to it: chat has them in one message."""
    function = {"name": item.get("name"), "arguments": as_text(item.get(field)) or "{}"}
    call = {"id": item.get("call_id") or item.get("id"), "type": "function", "function": function}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _result(item: Json) -> Any:
    output = item.get("output")
    return [part(one) or one for one in output] if isinstance(output, list) else as_text(output)


def _tool(tool: Json) -> Json | None:
    kind = tool.get("type")
    if isinstance(tool.get(str(kind)), dict):
        return tool  # in chat's shape already
    if kind == "function":
        return {"type": kind, "function": {name: tool[name] for name in _TOOL_FIELDS if name in tool}}
    if kind == "custom":
        return {"type": kind, "custom": {name: value for name, value in tool.items() if name != "type"}}
    return None


def _choice(choice: Any) -> Any:
    if isinstance(choice, dict) and choice.get("type") == "function" and isinstance(choice.get("name"), str):
        return {"type": "function", "function": {"name": choice["name"]}}
    return choice


def _text(text: Json, chat: Json) -> None:
    """How the answer is to look."""
    if isinstance(text.get("verbosity"), str):
        chat.setdefault("verbosity", text["verbosity"])
    wanted = text.get("format")
    if not isinstance(wanted, dict) or wanted.get("type") in (None, "text"):
        return
    schema = {name: value for name, value in wanted.items() if name != "type"}
    kind = wanted["type"]
    chat["response_format"] = {"type": kind, "json_schema": schema} if kind == "json_schema" else {"type": kind}
