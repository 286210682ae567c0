"""What a provider takes, gives and calls differently, as data; and the one place that applies it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from ...core.models import Json
from ...core.records import dataclass
from .chunks import answers, reasoning_of

_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Further changes for models whose upstream id matches `pattern` (a regular expression, searched).

    `signatures`: tool calls must carry a thought signature. `thoughts`: and their `reasoning_content`, see `thoughts`.
    """

    pattern: str
    rename: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    drop: frozenset[str] = frozenset()
    only: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    signatures: bool = False
    thoughts: bool = False


@dataclass(frozen=True, slots=True)
class Quirks:
    """Deviations from OpenAI's wire. Empty: none.

    Requests. `rename`: parameter to its name here. `drop`: parameters not taken. `allow`: the only ones that are taken.
    `clamp`: parameter to its range. `only`: parameter to the one value taken, others are left out. `add`: set where the
    client did not. `roles`: role to its name here. `drop_message`, `drop_call`: fields of messages and of tool calls in
    the history that are refused. `call_id`: tool call ids must have this many letters and digits. `stream_usage`: takes
    `stream_options.include_usage`. `obfuscates`: pads its streams unless told not to. `plain`: with any of these fields it
    cannot stream; None: it is never asked to, unless the client wants it. `models`: rules for some models.

    Replies. `finish`: finish_reason to ours; "error" makes it a failure. `finish_calls`: "stop" after tool calls means
    "tool_calls". `answer_in_reasoning`: the answer may sit in reasoning_content. `cost_header`: USD of the request.
    """

    rename: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    drop: frozenset[str] = frozenset()
    allow: frozenset[str] | None = None
    clamp: Mapping[str, tuple[float, float]] = field(default_factory=lambda: _NOTHING)
    only: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    add: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    roles: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    drop_message: frozenset[str] = frozenset()
    drop_call: frozenset[str] = frozenset()
    call_id: int | None = None
    stream_usage: bool = True
    obfuscates: bool = False
    plain: frozenset[str] | None = frozenset()
    models: tuple[ModelRule, ...] = ()
    finish: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    finish_calls: bool = False
    answer_in_reasoning: bool = False
    cost_header: str = ""


DUMMY_SIGNATURE: Final = "skip_thought_signature_validator"
"""What Google documents for tool calls that another model made: https://ai.google.dev/gemini-api/docs/thought-signatures"""


def apply(body: Json, quirks: Quirks, upstream_id: str) -> None:
    """Change a body that is ours to change into what this provider takes for this model."""
    _parameters(body, quirks.rename, quirks.drop, quirks.only)
    signatures = False
    for rule in quirks.models:
        if re.search(rule.pattern, upstream_id):
            _parameters(body, rule.rename, rule.drop, rule.only)
            signatures = signatures or rule.signatures
    for name, (low, high) in quirks.clamp.items():
        if isinstance(value := body.get(name), int | float):
            body[name] = min(high, max(low, value))
    for name, value in quirks.add.items():
        body.setdefault(name, value)
    if quirks.allow is not None:
        for name in body.keys() - quirks.allow:
            del body[name]
    if signatures or quirks.roles or quirks.drop_message or quirks.drop_call or quirks.call_id:
        body["messages"] = [_message(message, quirks, signatures) for message in body["messages"]]


def _parameters(body: Json, rename: Mapping[str, str], drop: frozenset[str], only: Mapping[str, Any]) -> None:
    for name, new in rename.items():
        if name in body:
            body.setdefault(new, body.pop(name))
    for name in drop:
        body.pop(name, None)
    for name, value in only.items():
        if name in body and body[name] != value:
            del body[name]


def _message(message: Json, quirks: Quirks, signatures: bool) -> Json:  # noqa: FBT001 - internal, one caller
    changed = {name: value for name, value in message.items() if name not in quirks.drop_message}
    changed["role"] = quirks.roles.get(message["role"], message["role"])
    if isinstance(calls := message.get("tool_calls"), list) and calls:
        changed["tool_calls"] = _calls(calls, quirks, signatures)
    if isinstance(call := message.get("tool_call_id"), str):
        changed["tool_call_id"] = short_id(call, quirks.call_id)
    return changed


def _calls(calls: Sequence[Any], quirks: Quirks, signatures: bool) -> list[Any]:  # noqa: FBT001 - internal, one caller
    changed = list(calls)
    for position, call in enumerate(calls):
        if isinstance(call, dict):
            kept = changed[position] = {name: value for name, value in call.items() if name not in quirks.drop_call}
            if isinstance(kept.get("id"), str):
                kept["id"] = short_id(kept["id"], quirks.call_id)
            if signatures and not position and not _signed(kept):  # the first of parallel calls carries it
                kept["extra_content"] = {"google": {"thought_signature": DUMMY_SIGNATURE}}
    return changed


def _signed(call: Json) -> bool:
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    return isinstance(google, dict) and bool(google.get("thought_signature"))


def short_id(call_id: str, length: int | None) -> str:
    """The id itself where it fits, else letters and digits of that length that are always the same for it."""
    if length is None or (len(call_id) == length and call_id.isascii() and call_id.isalnum()):
        return call_id
    return hashlib.blake2b(call_id.encode(), digest_size=16).hexdigest()[:length]


def finish_reason(reason: Any, quirks: Quirks, *, calls: bool) -> Any:
    """A vendor's finish_reason in OpenAI's words."""
    if isinstance(reason, str):
        reason = quirks.finish.get(reason, reason)
        if calls and quirks.finish_calls and reason == "stop":
            return "tool_calls"
    return reason


def put_right(choice: Json, quirks: Quirks) -> bool:
    """Change one choice of a whole reply into what OpenAI would say; says whether anything had to change."""
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
