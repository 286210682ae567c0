"""A chat completion request: checked where we act on it, otherwise passed on as it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from ...core.errors import InvalidRequestError
from ...core.models import Json
from ...core.records import dataclass

_NUMBER: Final = (int, float)
_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "stream": ((bool,), "a boolean"),
    "max_tokens": (_NUMBER, "an integer"),
    "max_completion_tokens": (_NUMBER, "an integer"),
    "temperature": (_NUMBER, "a number"),
    "top_p": (_NUMBER, "a number"),
    "presence_penalty": (_NUMBER, "a number"),
    "frequency_penalty": (_NUMBER, "a number"),
    "n": (_NUMBER, "an integer"),
    "seed": (_NUMBER, "an integer"),
    "tools": ((list,), "an array"),
    "tool_choice": ((str, dict), "a string or an object"),
    "response_format": ((dict,), "an object"),
    "stream_options": ((dict,), "an object"),
    "user": ((str,), "a string"),
    "stop": ((str, list), "a string or an array"),
    "logit_bias": ((dict,), "an object"),
    "metadata": ((dict,), "an object"),
    "reasoning_effort": ((str,), "a string"),
}
_WHOLE: Final = ("max_tokens", "max_completion_tokens", "n", "seed")
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_LEAST: Final = {"max_tokens": 1, "max_completion_tokens": 1, "n": 1}
_PLAIN: Final = {
    name: frozenset({type(None), *types} - ({float} if name in _WHOLE else set()))
    for name, (types, _) in _TYPES.items()
}
"""For each field the types of which every value is right, if it is not below `_LEAST`: only the rest need be looked at."""


@dataclass(slots=True)  # not frozen, for that takes three times as long to make; and it is made for every request
class ChatRequest:
    """A checked request, not to be changed. `body` is the client's own object, unknown fields included.

    `model`: as asked for. `include_usage`: the client wants a usage chunk at the end of its stream. `wire`: what that
    stream is to be made of, see `core.models`.
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


def parse(body: Any, *, default_model: str | None = None, wire: str = "openai_chat") -> ChatRequest:
    """Check a decoded body.

    `default_model` stands in where none is named; HTTP gives none, MQTT the device's profile.
    Raises InvalidRequestError naming the field in `param`.
    """
    if not isinstance(body, dict):
        raise InvalidRequestError("The request body must be a JSON object.")
    model = _model(body.get("model", default_model))
    messages: Any = body.get("messages")
    _check_messages(messages)
    for name, value in body.items():
        if (plain := _PLAIN.get(name)) is None:
            continue
        if type(value) not in plain or (name in _LEAST and value is not None and value < 1):
            _check_field(name, value, *_TYPES[name])
    get = body.get
    limit = get("max_tokens") if (most := get("max_completion_tokens")) is None else most
    options, stream = get("stream_options"), get("stream") is True
    return ChatRequest(
        body,
        model,
        messages,
        stream,
        bool(options and options.get("include_usage")),
        None if limit is None else int(limit),
        int(get("n") or 1),
        wire,
    )


def _model(model: Any) -> str:
    if model is None:
        raise _missing("model")
    if not isinstance(model, str) or not model.strip():
        raise _wrong("model", "a non-empty string", model)
    return model.strip()


def _check_messages(messages: Any) -> None:
    if messages is None:
        raise _missing("messages")
    if not isinstance(messages, list):
        raise _wrong("messages", "an array", messages)
    if not messages:
        raise InvalidRequestError("`messages` must hold at least one message.", param="messages", code="empty_array")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _wrong(f"messages[{index}]", "an object", message)
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            allowed, where = ", ".join(sorted(_ROLES)), f"messages[{index}].role"
            raise InvalidRequestError(f"`{where}` must be one of: {allowed}.", param=where)
        content = message.get("content")
        if type(content) is not str and content is not None:
            _check_parts(f"messages[{index}].content", content)


def _check_parts(where: str, content: Any) -> None:
    if not isinstance(content, list):
        raise _wrong(where, "a string or an array of parts", content)
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidRequestError(f"`{where}[{index}]` must be an object with a `type`.", param=f"{where}[{index}]")


def _check_field(name: str, given: Any, types: tuple[type, ...], words: str) -> None:
    if not isinstance(given, types) or (isinstance(given, bool) and bool not in types):
        raise _wrong(name, words, given)
    value: Any = given
    if name in _WHOLE and value != value // 1:
        raise _wrong(name, words, value)
    if name in _LEAST and value < _LEAST[name]:
        raise InvalidRequestError(f"`{name}` must be at least {_LEAST[name]}, got {value}.", param=name)


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
