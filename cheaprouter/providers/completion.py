"""A whole reply in OpenAI's wire, judged: whether it is an answer, and what it says of itself."""

from __future__ import annotations

from typing import Any, Final

import orjson

from ..core.models import Json
from .base import Completion, Failure
from .chunks import answers, has_content, reasoning_of
from .failures import degraded, in_band
from .quirks import Quirks
from .usage import parse_usage

TINY_LIMIT: Final = 16
"""With so few tokens allowed, an empty answer is no surprise: clients probe with 1 or 3."""


def judge_completion(  # noqa: PLR0911 - one return for each way not to be an answer
    name: str, body: bytes, quirks: Quirks, *, max_tokens: int | None, secrets: tuple[str, ...]
) -> Completion | Failure:
    """Read a reply of status 200. Its bytes are handed on as they are unless a quirk needs them changed."""
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return degraded("invalid_reply", f"{name} answered with something that is not JSON.")
    if isinstance(reply, list) and reply and isinstance(reply[0], dict) and reply[0].get("error"):
        reply = reply[0]
    if not isinstance(reply, dict):
        return degraded("invalid_reply", f"{name} answered with JSON that is no completion.")
    if reply.get("error"):
        return in_band(name, reply, 0.0, secrets)
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return degraded("no_choices", f"{name} answered without choices.")
    changed = [_apply(choice, quirks) for choice in choices if isinstance(choice, dict)]
    first = choices[0]
    reason = first.get("finish_reason")
    if reason == "error":
        return degraded("upstream_error", f"{name} broke off with an error.")
    if is_empty([c.get("message") for c in choices if isinstance(c, dict)], reason, max_tokens):
        return degraded("empty_reply", f"{name} answered with nothing.")
    model = reply.get("model")
    return Completion(
        body=orjson.dumps(reply) if any(changed) else body,
        usage=parse_usage(reply.get("usage")),
        finish_reason=reason if isinstance(reason, str) else None,
        model=model if isinstance(model, str) else None,
    )


def is_empty(messages: list[Any], reason: Any, max_tokens: int | None) -> bool:
    """Whether a finished reply holds no answer at all, though nothing explains that."""
    if any(has_content(message) for message in messages):
        return False
    return reason in (None, "stop", "tool_calls", "") and (max_tokens is None or max_tokens > TINY_LIMIT)


def finish_reason(reason: Any, quirks: Quirks, *, calls: bool) -> Any:
    """A vendor's finish_reason in OpenAI's words."""
    if isinstance(reason, str):
        reason = quirks.finish.get(reason, reason)
        if calls and quirks.finish_calls and reason == "stop":
            return "tool_calls"
    return reason


def _apply(choice: Json, quirks: Quirks) -> bool:
    """Put one choice right in place; says whether anything had to change."""
    message = choice.get("message")
    calls = isinstance(message, dict) and bool(message.get("tool_calls"))
    reason = choice.get("finish_reason")
    ours = finish_reason(reason, quirks, calls=calls)
    changed = bool(ours != reason)
    if changed:
        choice["finish_reason"] = ours
    if not quirks.answer_in_reasoning or not isinstance(message, dict) or answers(message) or ours == "length":
        return changed
    if text := reasoning_of(message):
        message["content"] = text
    return changed or bool(text)
