"""What a provider takes, gives and calls differently, as data; and the one place that applies it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from ...core.models import Json
from ...core.records import dataclass

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
    `clamp`: parameter to its range. `only`: parameter to the one value taken, others are left out. `values`: parameter to
    what others' values are called here. `add`: set where the client did not. `cache_control`: takes marks of what to cache,
    which many refuse. `roles`: role to its name here. `drop_message`, `drop_call`: fields of messages and of tool calls in
    the history that are refused. `call_id`: tool call ids must have this many letters and digits. `stream_usage`: takes
    `stream_options.include_usage`. `obfuscates`: pads its streams unless told not to. `plain`: with any of these fields it
    cannot stream; None: it is never asked to, unless the client wants it. `models`: rules for some models.

    Replies. `finish`: a finish_reason of its own to ours; "error" makes it a failure. `answer_in_reasoning`: the answer may
    sit in reasoning_content. `cost_header`: USD of the request.
    """

    rename: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    drop: frozenset[str] = frozenset()
    allow: frozenset[str] | None = None
    clamp: Mapping[str, tuple[float, float]] = field(default_factory=lambda: _NOTHING)
    only: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NOTHING)
    add: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    roles: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    drop_message: frozenset[str] = frozenset()
    drop_call: frozenset[str] = frozenset()
    call_id: int | None = None
    stream_usage: bool = True
    cache_control: bool = False
    obfuscates: bool = False
    plain: frozenset[str] | None = frozenset()
    models: tuple[ModelRule, ...] = ()
    finish: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
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
    _values(body, quirks)
    for name, value in quirks.add.items():
        body.setdefault(name, value)
    if quirks.allow is not None:
        for name in body.keys() - quirks.allow:
            del body[name]
    if signatures or quirks.roles or quirks.drop_message or quirks.drop_call or quirks.call_id:
        body["messages"] = [_message(message, quirks, signatures) for message in body["messages"]]


def _values(body: Json, quirks: Quirks) -> None:
    for name, (low, high) in quirks.clamp.items():
        if isinstance(value := body.get(name), int | float):
            body[name] = min(high, max(low, value))
    for name, words in quirks.values.items():
        if isinstance(value := body.get(name), str):
            body[name] = words.get(value, value)


def unmark(body: Json) -> None:
    """Take the marks of what to cache off a body that is ours to change."""
    body.pop(_MARK, None)
    body["messages"] = [_unmarked(message) for message in body["messages"]]
    if isinstance(tools := body.get("tools"), list):
        body["tools"] = [_unmarked(tool) for tool in tools]


def _unmarked(node: Any) -> Any:
    """A message, call or tool without a mark, and without those of its parts."""
    if not isinstance(node, dict):
        return node
    kept = {name: value for name, value in node.items() if name != _MARK}
    for name in ("content", "tool_calls"):
        if isinstance(parts := kept.get(name), list):
            kept[name] = [_unmarked(part) for part in parts]
    if isinstance(inner := kept.get("function"), dict):
        kept["function"] = {name: value for name, value in inner.items() if name != _MARK}
    return kept


_MARK: Final = "cache_control"


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


_ENDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "tools", "function_call", "function_calls"), "stop"),
    **dict.fromkeys(
        (
            "length", "max_tokens", "max_length", "model_length", "max_output_tokens", "max_new_tokens", "token_limit",
            "length_limit", "model_context_window_exceeded", "context_length_exceeded", "max_context_length",
        ),
        "length",
    ),
    **dict.fromkeys(
        (
            "content_filter", "content-filter", "content_filtered", "filtered", "filter", "safety", "image_safety", "sensitive",
            "blocked", "blocklist", "prohibited_content", "recitation", "spii", "refusal", "guardrail_intervened", "moderation",
            "content_policy", "content_policy_violation",
        ),
        "content_filter",
    ),
    **dict.fromkeys(("", "null", "none"), ""),
}  # fmt: skip
"""Vendors' words for the end, in small letters. Any other is one for `stop` (`eos`, `end_turn`, `stop_sequence`), or tells of a failure."""

_BROKE_OFF: Final = re.compile("error|fail|abort|cancel|timeout|timed_out|interrupt|malformed|insufficient|unavailable")


def finish_reason(reason: Any, quirks: Quirks, *, calls: bool, call: bool = False) -> str | None:
    """A vendor's finish_reason in OpenAI's words; "error" where it broke off, None where there is none yet.

    `calls`: tools are called, `call`: a function is, in the manner of before: that is then why it ended.
    """
    if not isinstance(reason, str):
        return None
    ours = quirks.finish.get(reason)
    if ours is None:
        word = reason.strip().lower()
        ours = _ENDS.get(word)
        if ours is None:
            ours = "error" if _BROKE_OFF.search(word) else "stop"
    if ours == "stop" and (calls or call):
        return "tool_calls" if calls else "function_call"
    return ours or None
