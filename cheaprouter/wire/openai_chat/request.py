"""A chat completion request: checked where we act on it, otherwise passed on as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, ClassVar, Final

from ...core.errors import InvalidRequestError
from ...core.models import Json
from ...core.records import dataclass
from . import repair
from .ceiling import capped
from .from_responses import to_chat

_NUMBER: Final = (int, float)
_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "stream": ((bool,), "a boolean"),
    "max_tokens": (_NUMBER, "an integer"),
    "max_completion_tokens": (_NUMBER, "an integer"),
    "temperature": (_NUMBER, "a number"),
    "top_p": (_NUMBER, "a number"),
    "presence_penalty": (_NUMBER, "a number"),
    "frequency_penalty": (_NUMBER, "a number"),
    "top_k": (_NUMBER, "an integer"),
    "top_logprobs": (_NUMBER, "an integer"),
    "n": (_NUMBER, "an integer"),
    "seed": (_NUMBER, "an integer"),
    "tools": ((list,), "an array"),
    "functions": ((list,), "an array"),
    "tool_choice": ((str, dict), "a string or an object"),
    "response_format": ((dict,), "an object"),
    "stream_options": ((dict,), "an object"),
    "user": ((str,), "a string"),
    "stop": ((str, list), "a string or an array"),
    "logit_bias": ((dict,), "an object"),
    "metadata": ((dict,), "an object"),
    "reasoning_effort": ((str,), "a string"),
    "service_tier": ((str,), "a string"),
    "modalities": ((list,), "an array"),
}
_WHOLE: Final = ("max_tokens", "max_completion_tokens", "n", "seed")
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_SPEAKERS: Final = frozenset({"system", "developer", "user", "assistant"})
_USUAL_PARTS: Final = frozenset({"text", "image_url", "input_audio", "file"})
"""Parts that hold one thing, under the name of their type."""

_KEYS_OF_A_TOOL: Final = 2
_MOST_TOKENS: Final = 2**53
"""What every JSON parser reads exactly, and no model writes."""

_RANGES: Final = {
    "max_tokens": (1, _MOST_TOKENS),
    "max_completion_tokens": (1, _MOST_TOKENS),
    "n": (1, 128),
    "seed": (-(2**63), 2**64 - 1),
    **dict.fromkeys(
        ("temperature", "top_p", "top_k", "top_logprobs", "presence_penalty", "frequency_penalty"),
        (-(2**63), 2**64 - 1),
    ),
}
"""OpenAI's own bound for `n` (https://platform.openai.com/docs/api-reference/chat/create); what fits into 64 bits for others."""

_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_NO_LIMIT: Final = -1
"""As local servers have it, LM Studio's own examples among them."""

_EMPTY_IS_NONE: Final = frozenset({
    "tools", "functions", "tool_choice", "response_format", "stop", "logit_bias", "metadata", "user", "reasoning_effort",
    "service_tier", "modalities",
})  # fmt: skip
"""An empty one says nothing, and is refused by some."""
_PLAIN: Final = {
    name: frozenset({type(None), *types} - ({float} if name in _WHOLE else set()))
    for name, (types, _) in _TYPES.items()
}
"""For each field the types of which every value is right, if it is within `_RANGES`: only the rest need be looked at."""

_OF_ANY: Final = frozenset({type(None), bool, int, str, list, dict})
"""The same for fields that nobody here knows."""


@dataclass(slots=True)  # not frozen, for that takes three times as long to make; and it is made for every request
class ChatRequest:
    """A checked request, not to be changed. `body` is the client's own object, unknown fields included.

    Where something in it wanted putting right (see `repair`), it is a copy that has that done.

    `model`: as asked for. `include_usage`: the client wants a usage chunk at the end of its stream. `marked`: some of it
    carries `cache_control`. `wire`: what that stream is to be made of, see `core.models`.
    """

    kind: ClassVar[str] = "chat"
    body: Json
    model: str
    messages: list[Json]
    stream: bool
    include_usage: bool
    max_tokens: int | None
    n: int
    wire: str = "openai_chat"
    marked: bool = False

    def capped(self, most: int) -> ChatRequest:
        """The same, each of whose replies may have at most so many tokens."""
        limit = most if self.max_tokens is None else min(most, self.max_tokens)
        return replace(self, body=capped(self.body, most), max_tokens=limit)


def parse(body: Any, *, default_model: str | None = None, wire: str = "openai_chat") -> ChatRequest:
    """Check a decoded body.

    `default_model` stands in where none is named; HTTP gives none, MQTT the device's profile.
    Raises InvalidRequestError naming the field in `param`.
    """
    if not isinstance(body, dict):
        raise InvalidRequestError("The request body must be a JSON object.")
    model = _model(body.get("model", default_model))
    get = body.get
    messages: Any = get("messages")
    if messages is None and get("input") is not None:
        return parse(to_chat(body), default_model=default_model, wire=wire)
    slips, marked = _check_messages(messages)
    empty: list[str] = []
    for name, value in body.items():
        if type(value) not in _PLAIN.get(name, _OF_ANY) or (
            name in _RANGES and value is not None and not (fits := _RANGES[name])[0] <= value <= fits[1]
        ):
            _check_field(name, value)
            if value == _NO_LIMIT and name in _LIMITS:
                empty.append(name)
        if not value and (name in _EMPTY_IS_NONE or (value is None and name in _PLAIN)):
            empty.append(name)
    stream, marks = get("stream") is True, False
    if "tools" in body and (tools := body["tools"]):
        odd, marks = _look_at_tools(tools)
    else:
        odd = "tool_choice" in body or "parallel_tool_calls" in body or "function_call" in body
    if slips or empty or odd or (not stream and "stream_options" in body):
        body, messages = _put_right(body, empty, slips=slips)
        get = body.get
    limit = get("max_tokens") if (most := get("max_completion_tokens")) is None else most
    options = get("stream_options")
    return ChatRequest(
        body,
        model,
        messages,
        stream,
        bool(options and options.get("include_usage")),
        None if limit is None else int(limit),
        int(get("n") or 1),
        wire,
        marked or marks or "cache_control" in body,
    )


def _look_at_tools(tools: list[Any]) -> tuple[bool, bool]:
    """Whether some want putting right, and whether some carry `cache_control`."""
    try:
        for tool in tools:
            if len(tool) != _KEYS_OF_A_TOOL or tool["type"] != "function" or "cache_control" in tool["function"]:
                break
        else:
            return False, False
    except (TypeError, KeyError):  # one of them is no object, or not whole
        pass
    objects = [tool for tool in tools if isinstance(tool, dict)]
    odd = any("type" not in tool or ("name" in tool and "function" not in tool) for tool in objects)
    return odd, any(_marked(tool, "function") for tool in objects)


def _marked(node: Json, inner: str) -> bool:
    """Whether it carries `cache_control`, or what is in it does: some write it there."""
    return "cache_control" in node or (isinstance(found := node.get(inner), dict) and "cache_control" in found)


def _put_right(body: Json, empty: list[str], *, slips: bool) -> tuple[Json, list[Json]]:
    """A copy of the body without the `empty` fields, and its messages."""
    body = repair.without(body, empty)
    if isinstance(tools := body.get("tools"), list):
        body["tools"] = repair.tools(tools)
    if slips:
        body["messages"] = repair.history(body["messages"])
    return body, body["messages"]


def _model(model: Any) -> str:
    if model is None:
        raise _missing("model")
    if not isinstance(model, str) or not model.strip():
        raise _wrong("model", "a non-empty string", model)
    return model.strip()


def _check_messages(messages: Any) -> tuple[bool, bool]:
    """Whether some want putting right, and whether some carry `cache_control`."""
    if messages is None:
        raise _missing("messages")
    if not isinstance(messages, list):
        raise _wrong("messages", "an array", messages)
    if not messages:
        raise InvalidRequestError("`messages` must hold at least one message.", param="messages", code="empty_array")
    slips = marked = False
    for index, message in enumerate(messages):
        try:
            size, role = len(message), message["role"]
            if size == 2 and role in _SPEAKERS and "content" in message and type(message["content"]) is str:
                continue  # as most are: a role and a text
            if role == "tool" and size == 3 and "tool_call_id" in message and type(message["content"]) is str:
                continue  # what a tool answered
            if role == "assistant" and size == 2 + ("content" in message) and _calls_are_usual(message):
                continue
            if size == 2 + (role == "tool") and _has_usual_parts(message, role):
                continue
        except (TypeError, KeyError, AttributeError):  # something in it is not there, or something else
            pass
        slip, mark = _look_closely(message, index)
        slips, marked = slips or slip, marked or mark
    return slips, marked


def _calls_are_usual(message: Json) -> bool:
    """Whether an assistant's calls are as nearly all are, with nothing in them but what is needed: there is nothing to look for."""
    function, calls, content = None, message["tool_calls"], message.get("content")
    for call in calls:
        function = call["function"]
        if (
            call["type"] != "function"
            or type(arguments := function["arguments"]) is not str
            or not (arguments and call["id"])
            or len(call) != 3
            or len(function) != 2
        ):
            return False
    return function is not None and type(calls) is list and (content is None or type(content) is str)


def _has_usual_parts(message: Json, role: Any) -> bool:
    """The same of a message in parts."""
    parts = message["content"]
    if type(parts) is not list or not (role in _SPEAKERS or (role == "tool" and "tool_call_id" in message)):
        return False
    for part in parts:  # noqa: SIM110 - half of what `all` takes, and every message may come by here
        if len(part) != 2 or (kind := part["type"]) not in part or kind not in _USUAL_PARTS:
            return False
    return True


def _look_closely(message: Any, index: int) -> tuple[bool, bool]:
    """Whether a message wants putting right, and whether it carries `cache_control`."""
    if not isinstance(message, dict):
        raise _wrong(f"messages[{index}]", "an object", message)
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        allowed, where = ", ".join(sorted(_ROLES)), f"messages[{index}].role"
        raise InvalidRequestError(f"`{where}` must be one of: {allowed}.", param=where)
    return _look_at(message, role, message.get("content"), index)


def _look_at(message: Json, role: str, content: Any, index: int) -> tuple[bool, bool]:
    """The same for one message that is more than a role and a text."""
    slip = marked = False
    if type(content) is not str and content is not None:
        if repair.may_be_content(content, role):
            slip = True
        else:
            slip, marked = _check_parts(f"messages[{index}].content", content)
    if role == "assistant":
        slip = slip or repair.slipped(message)
        if type(calls := message.get("tool_calls")) is list:
            marked = marked or any(_marked(call, "function") for call in calls if type(call) is dict)
    elif content is None or (role == "tool" and "tool_call_id" not in message):
        slip = True
    return slip, marked or "cache_control" in message


def _check_parts(where: str, content: Any) -> tuple[bool, bool]:
    if not isinstance(content, list):
        raise _wrong(where, "a string or an array of parts", content)
    slips = marked = False
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str) or repair.of_responses(part["type"]):
            if repair.part(part) is None:
                place = f"{where}[{index}]"
                raise InvalidRequestError(f"`{place}` must be an object with a `type`.", param=place)
            slips = True
        elif "cache_control" in part:
            marked = True
    return slips, marked


def _check_field(name: str, given: Any) -> None:
    if name not in _TYPES:
        _check_unknown(name, given)
        return
    types, words = _TYPES[name]
    if not isinstance(given, types) or (isinstance(given, bool) and bool not in types):
        raise _wrong(name, words, given)
    value: Any = given
    if isinstance(value, float) and not isfinite(value):
        raise InvalidRequestError(f"`{name}` must be a finite number.", param=name, code="invalid_type")
    if name in _WHOLE and value != value // 1:
        raise _wrong(name, words, value)
    if name not in _RANGES or (value == _NO_LIMIT and name in _LIMITS):
        return
    least, most = _RANGES[name]
    if value < least:
        raise InvalidRequestError(f"`{name}` must be at least {least}, got {value}.", param=name)
    if value > most:
        raise InvalidRequestError(f"`{name}` must be at most {most}, got {value}.", param=name)


def _check_unknown(name: str, value: float) -> None:
    """A number of a field that nobody here knows: beyond 64 bits it has been read as another one."""
    if not -(2.0**63) <= value <= 2.0**64:
        raise InvalidRequestError(f"`{name}` must be a number of at most 64 bits.", param=name, code="invalid_value")


def _missing(name: str) -> InvalidRequestError:
    return InvalidRequestError(f"`{name}` is required.", param=name, code="missing_required_parameter")


_JSON_NAMES: Final = {
    "dict": "an object", "list": "an array", "str": "a string", "int": "an integer", "float": "a number",
    "bool": "a boolean", "NoneType": "null",
}  # fmt: skip


def _wrong(name: str, wanted: str, value: Any) -> InvalidRequestError:
    got = _JSON_NAMES.get(type(value).__name__, "something else")
    if wanted == got or (isinstance(value, str) and not value.strip()):
        got = f"{value!r}"[:60]
    return InvalidRequestError(f"`{name}` must be {wanted}, got {got}.", param=name, code="invalid_type")
