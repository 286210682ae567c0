"""Shapes that text, thoughts and errors come in, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ...core.models import Json


class BrokenError(ValueError):
    """What came is no part of a reply, whatever it is: the rest cannot be told as if it were whole."""


_THOUGHTS: Final = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "thoughts")
_DETAILS: Final = ("reasoning_details", "thinking_blocks")
THOUGHTS: Final = frozenset((*_THOUGHTS, *_DETAILS))
"""Fields in which vendors tell what a model thinks."""

_INNER: Final = ("text", "thinking", "summary", "content", "reasoning")
"""Fields of a part that hold its text, or parts of it."""

_DEEPEST: Final = 4


def thoughts_of(message: Json) -> str:
    """What a delta or message tells of the thoughts, in whatever field; each is told in one of them only."""
    for name in _THOUGHTS:
        if text := _text_in(message.get(name)):
            return text
    for name in _DETAILS:
        if text := _text_in(message.get(name)):
            return text
    return ""


def _text_in(value: Any, level: int = 0) -> str:
    """The text of a part, of parts, or of parts in parts."""
    if isinstance(value, str):
        return value
    if level > _DEEPEST:
        return ""
    if isinstance(value, list):
        return "".join(_text_in(item, level + 1) for item in value)
    if isinstance(value, dict):
        for name in _INNER:
            if text := _text_in(value.get(name), level + 1):
                return text
    return ""


def spread(message: Json) -> None:
    """Change content that is no text into what OpenAI has for it: text, thoughts, refusals and pictures, in their order."""
    content = message.pop("content")
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    pictures: list[Any] = []
    for part in _parts(content):
        kind = part.get("type")
        if kind in ("thinking", "reasoning", "thought"):
            thoughts.append(_text_in(part))
        elif kind == "refusal":
            refusals.append(_text_in(part.get("refusal")))
        elif kind in ("image_url", "image", "output_image"):
            pictures.append(part)
        else:
            texts.append(_text_in(part))
    message["content"] = "".join(texts)
    for name, found in (("reasoning_content", thoughts), ("refusal", refusals)):
        if (text := "".join(found)) and not message.get(name):
            message[name] = text
    if pictures:
        message["images"] = [*(old if isinstance(old := message.get("images"), list) else ()), *pictures]


def _parts(content: Any) -> Iterator[Json]:
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict):
            yield part
        elif isinstance(part, str):
            yield {"text": part}
        elif isinstance(part, bool) or not isinstance(part, int | float | None):
            raise BrokenError
        elif part is not None:
            yield {"text": str(part)}


_SIGNS: Final = ("code", "status", "type", "object", "status_code", "error_code")
"""What a `message` that stands for itself is an error beside."""


def error_in(reply: Json, name: str = "") -> Json | None:
    """What a reply or event of status 200 says of a failure, as an object with `error` or as it came; None where it is none.

    `name`: the event's.
    """
    if reply.get("error"):
        return reply
    base = reply.get("base_resp")  # MiniMax, beside choices or without
    if isinstance(base, dict) and base.get("status_code"):
        return {"error": {"message": base.get("status_msg"), "code": base["status_code"]}}
    if name == "error" or reply.get("object") == "error" or reply.get("type") == "error":
        return reply
    return None if reply.get("choices") else _bare_error(reply)


def _bare_error(reply: Json) -> Json | None:
    """An error under another name, in what holds no choices."""
    if errors := reply.get("errors"):
        first = errors[0] if isinstance(errors, list) else errors
        return {"error": first if isinstance(first, dict | str) else {"message": str(first)}}
    for words, code in (("error_msg", "error_code"), ("error_message", "error_code"), ("errorMessage", "errorCode")):
        if text := reply.get(words):
            return {"error": {"message": text, "code": reply.get(code)}}
    told = isinstance(text := reply.get("message") or reply.get("msg"), str) and any(sign in reply for sign in _SIGNS)
    if told and "message" not in reply:
        return {"error": {"message": text, "code": reply.get("code")}}
    failed = reply.get("success") is False or reply.get("status") in ("error", "failed")
    return reply if told or failed or reply.get("detail") or reply.get("error_code") else None
