"""Small slips of clients put right where every vendor would mean the same by it; whatever else they send stays as it came.

`slipped` is the cheap look at an assistant's message that holds more than a text; the rest is done only where it, or the check,
saw a slip.
What is changed is copied first: a body is its client's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from ...core.errors import InvalidRequestError
from ...core.models import Json

_PARTS_BY_KEY: Final = ("text", "image_url", "input_audio", "file", "refusal")
"""Parts that are named like the field that holds what they carry."""

_PARTS_OF_RESPONSES: Final[Mapping[str, str]] = {
    "input_text": "text",
    "output_text": "text",
    "input_image": "image_url",
}
"""What the Responses API calls them, which some clients mix in."""

_WITHOUT_TOOLS: Final = ("tools", "tool_choice", "parallel_tool_calls")
_WITHOUT_FUNCTIONS: Final = ("functions", "function_call")
_TOOL_TYPES: Final = ("function", "custom")  # no set: what is looked for may be anything


def slipped(message: Json) -> bool:
    """Whether something in an assistant's message wants putting right."""
    calls = message.get("tool_calls")
    if not calls or type(calls) is not list:
        return "tool_calls" in message or None in message.values()
    for call in calls:
        if type(call) is not dict or call.get("type") not in _TOOL_TYPES or not call.get("id"):
            return True
        function = call.get("function")
        if function is None and "name" in call and call["type"] == "function":
            return True
        if function is not None and (type(function) is not dict or _empty_arguments(function.get("arguments"))):
            return True
    return False


def _empty_arguments(arguments: Any) -> bool:
    return type(arguments) is not str or not arguments


def history(messages: list[Json]) -> list[Json]:
    """The messages with what is empty left out, types and ids filled in, arguments and contents as text.

    A result without an id belongs to the first call before it that has none yet. Raises InvalidRequestError.
    """
    done: list[Json] = []
    waiting: list[str] = []
    for place, given in enumerate(messages):
        role = given["role"]
        message = _assistant(given, place) if role == "assistant" else given
        if role == "assistant":
            waiting = [call["id"] for call in message.get("tool_calls") or () if isinstance(call, dict)]
        elif role == "tool":
            message = _result(given, waiting)
        done.append(_with_content(message))
    return done


def may_be_content(content: Any, role: str) -> bool:
    """Whether a content that is neither a text nor parts is plain all the same: a part alone, or a tool's result as data."""
    if role == "tool":
        return not (isinstance(content, list) and all(map(_is_part, content)))
    return isinstance(content, dict) and _is_part(content)


def _is_part(given: Any) -> bool:
    return part(given) is not None


def _with_content(message: Json) -> Json:
    content = message.get("content")
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, list):
        return {**message, "content": [part(one) or one for one in content]}
    if content is None and not message.get("tool_calls") and not message.get("function_call"):
        return {**message, "content": ""}
    return message


def _assistant(message: Json, place: int) -> Json:
    kept = {name: value for name, value in message.items() if value is not None or name == "content"}
    calls = kept.get("tool_calls")
    if calls == []:
        del kept["tool_calls"]
    elif calls is not None:
        if not isinstance(calls, list):
            where = f"messages[{place}].tool_calls"
            raise InvalidRequestError(f"`{where}` must be an array.", param=where, code="invalid_type")
        kept["tool_calls"] = [_call(call, f"call_{place}_{number}") for number, call in enumerate(calls)]
    return kept


def _call(call: Any, made_up: str) -> Any:
    if not isinstance(call, dict):
        return call
    if "function" not in call and call.get("type") in (None, "", "function") and isinstance(call.get("name"), str):
        inner = {name: call[name] for name in ("name", "arguments") if name in call}
        call = {name: value for name, value in call.items() if name not in inner} | {"function": inner}
    whole = {**call, "id": call.get("id") or made_up, "type": call.get("type") or "function"}
    if isinstance(function := call.get("function"), dict):
        whole["function"] = {**function, "arguments": as_text(function.get("arguments")) or "{}"}
    return whole


def _result(message: Json, waiting: list[str]) -> Json:
    content, answered = message.get("content"), message.get("tool_call_id")
    if content is not None and not isinstance(content, str) and may_be_content(content, "tool"):
        message = {**message, "content": as_text(content)}
    if answered in waiting:
        waiting.remove(answered)
    elif not answered and waiting:
        return {**message, "tool_call_id": waiting.pop(0)}
    return message


def as_text(value: Any) -> str:
    """Text as it is, nothing as nothing, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def part(given: Any) -> Json | None:
    """A part of a message's content with its type; None where nobody can tell what it is."""
    if isinstance(given, str):
        return {"type": "text", "text": given}
    if not isinstance(given, dict):
        return None
    kind = given.get("type")
    if not isinstance(kind, str) or not kind:
        found = next((name for name in _PARTS_BY_KEY if name in given), None)
        return None if found is None else {**given, "type": found}
    if (ours := _PARTS_OF_RESPONSES.get(kind)) is None:
        return given
    if ours == "image_url" and isinstance(given.get("image_url"), str):
        detail = {"detail": given["detail"]} if isinstance(given.get("detail"), str) else {}
        return {"type": ours, "image_url": {"url": given["image_url"], **detail}}
    return {**given, "type": ours}


def of_responses(kind: str) -> bool:
    """Whether a part's type is one that chat has another word for."""
    return kind in _PARTS_OF_RESPONSES


def tools(given: list[Any]) -> list[Any]:
    """Tools with their type, and what they are called and take in its place."""
    return [_tool(one) if isinstance(one, dict) else one for one in given]


def _tool(tool: Json) -> Json:
    kind = tool.get("type") or "function"
    if kind != "function":
        return tool
    if isinstance(tool.get("function"), dict):
        return {**tool, "type": kind}
    if not isinstance(tool.get("name"), str):
        return tool
    return {"type": kind, "function": {name: value for name, value in tool.items() if name != "type"}}


def without(body: Json, empty: list[str]) -> Json:
    """The body without those fields, and without what means nothing once they are gone."""
    gone = set(empty)
    if not body.get("tools"):
        gone.update(_WITHOUT_TOOLS)
    if not body.get("functions"):
        gone.update(_WITHOUT_FUNCTIONS)
    if body.get("stream") is not True:
        gone.add("stream_options")
    return {name: value for name, value in body.items() if name not in gone}
