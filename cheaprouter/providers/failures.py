"""What an upstream's error means, whatever its shape: status, code and words in, one Failure out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from ..core.models import Json
from .base import Action, Failure
from .retry_after import retry_after
from .unsupported import adaptation

LONGEST_MESSAGE: Final = 500
OVERLOAD_COOLDOWN: Final = 15.0
ABSENT_COOLDOWN: Final = 60.0
"""A model that a provider does not have, or not for this key, is not asked for by every single request."""

_CONTEXT: Final = re.compile(
    r"context[ _](?:length|window|size)|maximum (?:context|prompt|input)|prompt is too long|too many (?:input )?tokens"
    r"|input (?:is too long|length)|exceed\w* (?:the )?(?:available )?(?:context|maximum|model'?s? (?:context|max))"
    r"|reduce the length|token count .*exceeds|input token",
    re.IGNORECASE,
)
_FILTER: Final = re.compile(
    r"content[ _-]?(?:filter|policy|management)|responsible ?ai|safety system|flagged|moderation", re.IGNORECASE
)
_QUOTA: Final = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|funds)|credit balance|billing|payment required", re.IGNORECASE
)
_MODEL_ACCESS: Final = re.compile(
    r"(?:access|permission|permitted|allowed|entitled|subscri\w+|enabled).{0,40}\bmodel"
    r"|\bmodel\b.{0,60}(?:access|permission|permitted|allowed|entitled|subscri|gated)",
    re.IGNORECASE,
)
_OVERLOAD: Final = re.compile(r"overloaded|at capacity|high demand|temporarily unavailable", re.IGNORECASE)
_BAD_KEY: Final = re.compile(
    r"(?:invalid|incorrect|expired|revoked|not valid).{0,20}api[ _-]?key|api[ _-]?key.{0,20}(?:invalid|not valid|expired)",
    re.IGNORECASE,
)
_CREDENTIAL: Final = re.compile(
    r"(?i:\bbearer\s+)[^\s\"',;]{6,}|\b(?:cr|sk|gsk|brk_live|xai|nvapi|AIza|rk|pk|hf|r8)[-_]?[A-Za-z0-9][A-Za-z0-9_*.\-]{10,}"
)

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
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {**{k: v for k, v in decoded.items() if k != "error"}, "message": error}
    return decoded


def error_message(error: Json, decoded: Any) -> str:
    """The vendor's own words, or nothing."""
    message = error.get("message")
    if isinstance(message, str):
        return message
    for value in (message, error.get("detail"), decoded.get("detail") if isinstance(decoded, dict) else None):
        if isinstance(value, str):
            return value
        if value:
            return orjson.dumps(value).decode()
    return ""


def judge(
    name: str, status: int, headers: Mapping[str, str], body: bytes, *, now: float, secrets: tuple[str, ...]
) -> Failure:
    """Say what a reply with an error status means. `name`: the provider's, for messages."""
    error, decoded = error_payload(body)
    words = error_message(error, decoded)
    message = clean_message(words, secrets) or f"{name} answered with status {status}."
    failure = classify(status, error, words, decoded)
    wait = retry_after(headers, error, words, now)
    return Failure(
        action=failure.action,
        code=failure.code,
        message=message,
        status=status,
        retry_after=wait,
        error_type=_text(error.get("type")),
        param=_text(error.get("param")),
        adapt=failure.adapt,
        cooldown=_cooldown(failure, wait),
    )


def _cooldown(failure: Failure, wait: float | None) -> float | None:
    """Seconds that this failure alone is reason enough to leave the target alone for."""
    if failure.action is Action.COOL:
        return max(OVERLOAD_COOLDOWN, wait or 0.0)
    return ABSENT_COOLDOWN if failure.code in ("model_not_found", "model_not_allowed") else None


def classify(status: int, error: Json, words: str, decoded: Any) -> Failure:
    """The action and code alone; the message is the caller's to add."""
    code = _text(error.get("code")) or _text(error.get("type")) or ""
    action, ours = _BY_STATUS.get(status, (Action.RETRY if status >= 500 else Action.NEXT, "upstream_error"))
    adapt: Mapping[str, str | None] = {}
    if status in (400, 404, 413, 422, 500) and (code == "context_length_exceeded" or _CONTEXT.search(words)):
        action, ours = Action.CONTEXT, "context_length_exceeded"
    elif status in (400, 403, 422) and (
        code in ("content_filter", "content_policy_violation") or _FILTER.search(words)
    ):
        action, ours = Action.FINAL, "content_filter"
    elif status == 403 and _MODEL_ACCESS.search(words):
        action, ours = Action.NEXT, "model_not_allowed"
    elif status in (400, 429) and (_QUOTA.search(code) or _QUOTA.search(words)):
        action, ours = Action.KEY, "upstream_payment"
    elif status == 400 and _BAD_KEY.search(words):
        action, ours = Action.KEY, "upstream_authentication"
    elif adapt := adaptation(status, error, words, decoded):
        action, ours = Action.ADAPT, "unsupported_parameter"
    elif status in (500, 502) and _OVERLOAD.search(words):
        action, ours = Action.COOL, "upstream_overloaded"
    elif status in (400, 422):
        ours = _text(error.get("code")) or "invalid_value"
    return Failure(action=action, code=ours, message="", status=status, adapt=adapt)


def in_band(name: str, decoded: Any, now: float, secrets: tuple[str, ...]) -> Failure:
    """Judge an error that came inside a reply of status 200, or as a stream's event."""
    error = error_object(decoded)
    code = error.get("code", error.get("status"))
    status = int(code) if isinstance(code, int | float | str) and str(code).isdigit() else _status_of_type(error)
    if not 400 <= status <= 599:
        status = 502
    return judge(name, status, {}, orjson.dumps({"error": error}), now=now, secrets=secrets)


def _status_of_type(error: Json) -> int:
    kind = f"{error.get('type') or ''} {error.get('code') or ''}".lower()
    for word, status in _TYPES.items():
        if word in kind:
            return status
    return 502


_TYPES: Final = {
    "rate_limit": 429, "insufficient_quota": 429, "overloaded": 529, "authentication": 401, "permission": 403,
    "not_found": 404, "invalid_request": 400, "context_length": 400, "content_filter": 400, "timeout": 408,
}  # fmt: skip


def degraded(code: str, message: str) -> Failure:
    """A reply of status 200 that is no answer: the next candidate."""
    return Failure(action=Action.NEXT, code=code, message=message, status=502)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
