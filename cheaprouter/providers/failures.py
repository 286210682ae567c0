"""What an upstream's error means, whatever its shape: status, code and words in, one Failure out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from math import isnan
from typing import Any, Final

import orjson

from ..core.models import Json
from ..core.records import dataclass
from .unsupported import Changes, adaptation

LONGEST_MESSAGE: Final = 500
LONGEST_CODE: Final = 64
LONGEST_PARAM: Final = 200
LONGEST_WAIT: Final = 24 * 3600.0
"""Seconds. More than a day is taken for a mistake and cut to it."""

OVERLOAD_COOLDOWN: Final = 15.0
ABSENT_COOLDOWN: Final = 60.0
"""A model that a provider does not have, or not for this key, is not asked for by every single request."""


class Action(StrEnum):
    """What a failure asks for. See `upstream.pool` for how each is done."""

    RETRY = "retry"  # once more, the same model, after a moment
    NEXT = "next"  # the next candidate, at once
    COOL = "cool"  # next, and leave this one alone for a while
    WAIT = "wait"  # rate limited: wait if that is short, else next, and cool for just as long
    KEY = "key"  # this key is no good: disable it, use another or the next candidate
    ADAPT = "adapt"  # the request can be changed to what this model takes: once more
    CONTEXT = "context"  # too long for this model: only larger windows
    FINAL = "final"  # the client's own fault, or the model's last word: hand it on


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed try, judged. `retry_after` in seconds; `message` is clean of secrets; `adapt`: the learned change."""

    action: Action
    code: str
    message: str
    status: int | None = None
    retry_after: float | None = None
    error_type: str | None = None
    param: str | None = None
    adapt: Changes = field(default_factory=dict)
    cooldown: float | None = None


_said: Final = partial(re.compile, flags=re.IGNORECASE)
_CONTEXT: Final = _said(
    r"context[ _](?:length|window|size)|maximum (?:context|prompt|input)|prompt is too long|too many (?:input )?tokens"
    r"|input (?:is too long|length)|exceed\w* (?:the )?(?:available )?(?:context|maximum|model'?s? (?:context|max))"
    r"|reduce the length|token count .*exceeds|input token"
)
_FILTER: Final = _said(r"content[ _-]?(?:filter|policy|management)|responsible ?ai|safety system|flagged|moderation")
_QUOTA: Final = _said(r"insufficient[_ ](?:quota|balance|credit|funds)|credit balance|billing|payment required")
_MODEL_ACCESS: Final = _said(
    r"(?:access|permission|permitted|allowed|entitled|subscri\w+|enabled).{0,40}\bmodel"
    r"|\bmodel\b.{0,60}(?:access|permission|permitted|allowed|entitled|subscri|gated)"
)
_OVERLOAD: Final = _said(r"overloaded|at capacity|high demand|temporarily unavailable")
_BAD_KEY: Final = _said(
    r"(?:invalid|incorrect|expired|revoked|not valid).{0,20}api[ _-]?key|api[ _-]?key.{0,20}(?:invalid|not valid|expired)"
)
_CREDENTIAL: Final = re.compile(
    r"(?i:\bbearer\s+)[^\s\"',;]{6,}|\b(?:cr|sk|gsk|brk_live|xai|nvapi|AIza|rk|pk|hf|r8)[-_]?[A-Za-z0-9][A-Za-z0-9_*.\-]{10,}"
)

_NO_CODE: Final = re.compile(r"(?!)")
_TOO_LONG: Final = re.compile("^context_length_exceeded$")
_FILTERED: Final = re.compile("^content_(?:filter|policy_violation)$")
_RULES: Final = (
    ((400, 404, 413, 422, 500), _TOO_LONG, _CONTEXT, Action.CONTEXT, "context_length_exceeded"),
    ((400, 403, 422), _FILTERED, _FILTER, Action.FINAL, "content_filter"),
    ((403,), _NO_CODE, _MODEL_ACCESS, Action.NEXT, "model_not_allowed"),
    ((400, 429), _QUOTA, _QUOTA, Action.KEY, "upstream_payment"),
    ((400,), _NO_CODE, _BAD_KEY, Action.KEY, "upstream_authentication"),
    ((500, 502), _NO_CODE, _OVERLOAD, Action.COOL, "upstream_overloaded"),
)
"""Statuses, and what the upstream's code or words look like: what to do, and our code for it. The first that fits."""

_COOLDOWNS: Final = {"model_not_found": ABSENT_COOLDOWN, "model_not_allowed": ABSENT_COOLDOWN}
_BY_STATUS: Final[Mapping[int, tuple[Action, str]]] = {
    401: (Action.KEY, "upstream_authentication"),
    402: (Action.KEY, "upstream_payment"),
    403: (Action.KEY, "upstream_forbidden"),
    404: (Action.NEXT, "model_not_found"),
    408: (Action.RETRY, "upstream_timeout"),
    409: (Action.RETRY, "upstream_conflict"),
    413: (Action.NEXT, "request_too_large"),
    425: (Action.RETRY, "upstream_too_early"),
    429: (Action.WAIT, "rate_limit_exceeded"),
    500: (Action.RETRY, "upstream_error"),
    502: (Action.RETRY, "upstream_error"),
    503: (Action.COOL, "upstream_overloaded"),
    504: (Action.NEXT, "upstream_timeout"),
    529: (Action.COOL, "upstream_overloaded"),
}


def clean_message(text: str, secrets: tuple[str, ...] = ()) -> str:
    """One line that a client may see: no key, registered or by its looks, no control characters, not too long."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _CREDENTIAL.sub("***", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def _word(value: Any, longest: int, secrets: tuple[str, ...] = ()) -> str | None:
    """An upstream's code, type or parameter, fit for books and headers: printable ASCII, no key, not too long."""
    if not isinstance(value, str):
        return None
    text = clean_message(value[: 4 * LONGEST_MESSAGE], secrets).encode("ascii", "ignore").decode()
    return text.strip()[:longest] or None


def error_payload(body: bytes) -> tuple[Json, Any]:
    """The error object of a reply and the whole decoded reply; both empty for anything that is not JSON."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}, None
    if isinstance(decoded, list):  # Gemini's OpenAI layer wraps its errors in an array
        decoded = next((item for item in decoded if isinstance(item, dict)), {})
    return error_object(decoded), decoded


def error_object(decoded: Any) -> Json:
    """The object with `message`, `code` and so on, wherever this vendor puts it."""
    if not isinstance(decoded, dict):
        return {}
    error = decoded.get("error")
    if isinstance(error, str):
        return {**{k: v for k, v in decoded.items() if k != "error"}, "message": error}
    return error if isinstance(error, dict) else decoded


def error_message(error: Json, decoded: Any) -> str:
    """The vendor's own words, or nothing."""
    whole = decoded if isinstance(decoded, dict) else {}
    for value in (error.get("message"), error.get("detail"), whole.get("detail")):
        if isinstance(value, str):
            return value
        if value:
            return _dumped(value)
    return ""


def _dumped(value: Any) -> str:
    """As JSON, or nothing where it is nested deeper than can be written."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return ""


def judge(
    name: str, status: int, headers: Mapping[str, str], body: bytes, *, now: float, secrets: tuple[str, ...]
) -> Failure:
    """Say what a reply with an error status means. `name`: the provider's, for messages."""
    error, decoded = error_payload(body)
    words = error_message(error, decoded)
    return _judged(name, status, error, words, decoded, retry_after(headers, error, words, now), secrets)


def _judged(
    name: str, status: int, error: Json, words: str, decoded: Any, wait: float | None, secrets: tuple[str, ...]
) -> Failure:
    action, code, adapt = classify(status, error, words, decoded)
    return Failure(
        action=action,
        code=_word(code, LONGEST_CODE, secrets) or "invalid_value",
        message=clean_message(words, secrets) or f"{name} answered with status {status}.",
        status=status,
        retry_after=wait,
        error_type=_word(error.get("type"), LONGEST_CODE, secrets),
        param=_word(error.get("param"), LONGEST_PARAM, secrets),
        adapt=adapt,
        cooldown=max(OVERLOAD_COOLDOWN, wait or 0.0) if action is Action.COOL else _COOLDOWNS.get(code),
    )


def classify(status: int, error: Json, words: str, decoded: Any) -> tuple[Action, str, Changes]:
    """The action, the code, and what is to be learned."""
    told = _text(error.get("code"))
    code = told or _text(error.get("type")) or ""
    for statuses, by_code, by_words, action, ours in _RULES:
        if status in statuses and (by_code.search(code) or by_words.search(words)):
            return action, ours, {}
    if adapt := adaptation(status, error, words, decoded):
        return Action.ADAPT, "unsupported_parameter", adapt
    if status in (400, 422):
        return Action.NEXT, told or "invalid_value", {}
    return *_BY_STATUS.get(status, (Action.RETRY if status >= 500 else Action.NEXT, "upstream_error")), {}


def in_band(name: str, decoded: Any, secrets: tuple[str, ...]) -> Failure:
    """Judge an error that came inside a reply of status 200, or as a stream's event."""
    error = error_object(decoded)
    code = str(error.get("code", error.get("status")))
    status = int(code) if _STATUS.fullmatch(code) else _status_of_type(error)
    words = error_message(error, None)
    return _judged(name, status, error, words, {"error": error}, retry_after({}, error, words, 0.0), secrets)


def _status_of_type(error: Json) -> int:
    kind = " ".join(value for name in ("type", "code") if isinstance(value := error.get(name), str)).lower()
    for word, status in _TYPES.items():
        if word in kind:
            return status
    return 502


_STATUS: Final = re.compile("[45][0-9][0-9]")
_TYPES: Final = {
    "rate_limit": 429, "insufficient_quota": 429, "overloaded": 529, "authentication": 401, "permission": 403,
    "not_found": 404, "invalid_request": 400, "context_length": 400, "content_filter": 400, "timeout": 408,
}  # fmt: skip


def degraded(code: str, message: str) -> Failure:
    """A reply of status 200 that is no answer: the next candidate."""
    return Failure(action=Action.NEXT, code=code, message=message, status=502)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


_SPAN: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_WORDS: Final = re.compile(r"(?:try again|retry) in (\d+(?:\.\d+)?) ?(ms|s|m)\b", re.IGNORECASE)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


def retry_after(headers: Mapping[str, str], payload: Json, message: str, now: float) -> float | None:
    """Seconds to wait, from the most exact source there is; None where nothing says.

    `now`: seconds since the epoch, for dates. Read in this order: `retry-after-ms`, `retry-after` (seconds or an HTTP
    date), Google's RetryInfo detail, and "try again in 1.5s" in the message.
    """
    found = _number(headers.get("retry-after-ms"), 0.001)
    if found is None:
        found = _number(headers.get("retry-after"))
    if found is None:
        found = _date(headers.get("retry-after"), now)
    if found is None:
        found = _detail(payload)
    if found is None and (words := _WORDS.search(message)):
        found = float(words[1]) * _UNITS[words[2].lower()]
    return None if found is None else min(LONGEST_WAIT, max(0.0, found))


def span(text: str) -> float | None:
    """Seconds of a span such as `6m0s`, `250ms` or `34.5s`; None where it is none."""
    match = _SPAN.fullmatch(text.strip())
    if not match or not any(match.groups()):
        return None
    hours, minutes, seconds, millis = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def _number(value: str | None, scale: float = 1.0) -> float | None:
    try:
        number = float(value or "nan") * scale
    except ValueError:
        return None
    return None if isnan(number) else number


def _date(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return span(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() - now


def _detail(payload: Json) -> float | None:
    details: Any = payload.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):
            return span(delay)
    return None
