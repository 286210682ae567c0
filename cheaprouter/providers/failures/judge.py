"""Says what an upstream's error means: its status and codes first, then times it states, the vendors' sentences last."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ...core.models import Json
from ..refusals import Changes, adaptation
from . import times
from .clean import LONGEST_CODE, LONGEST_PARAM, clean_message, clean_word
from .codes import CODES, KINDS, STATUSES
from .sentences import Sentence
from .unwrap import Told, unwrap, unwrapped
from .verdict import DAY_COOLDOWN, OVERLOAD_COOLDOWN, VERDICTS, Action, Failure, Meaning
from .words import find, plain

FULL: Final = 0.8
"""From this part of a model's window on, by our own estimate, an error about length is one about the window, in whatever words."""

_LONG_WAIT: Final = 3.0
"""Seconds. A server in trouble that says to come back later than this is left alone for so long rather than asked once more."""

_LENGTH: Final = re.compile(r"token|length|too (?:long|large|many|big)|context|exceed|limit|maximum|size|长度|超")
_DAY: Final = re.compile(r"per[ -]?day|\((?:tpd|rpd)\)|daily|per 86400s")
_WRAPPERS: Final = (200, 400, 500, 502, 503)
"""Statuses under which gateways hand on what the vendor answered with another one."""

_PARAMETER_CODES: Final = ("unsupported_", "unknown_parameter", "extra_forbidden")
_CAPABILITY_PARAMS: Final = {
    "tools": "tools", "tool_choice": "tools", "functions": "tools", "response_format": "json_schema",
}  # fmt: skip

_BY_STATUS: Final[Mapping[int, tuple[Action, str]]] = {
    408: (Action.RETRY, "upstream_timeout"),
    409: (Action.RETRY, "upstream_conflict"),
    425: (Action.RETRY, "upstream_too_early"),
    504: (Action.NEXT, "upstream_timeout"),
}
_MEANINGS: Final[Mapping[int, Meaning]] = {
    400: Meaning.REQUEST,
    401: Meaning.KEY,
    402: Meaning.QUOTA,
    403: Meaning.FORBIDDEN,
    404: Meaning.NO_MODEL,
    410: Meaning.NO_MODEL,
    413: Meaning.TOO_LARGE,
    422: Meaning.REQUEST,
    429: Meaning.RATE_LIMIT,
    498: Meaning.OVERLOAD,  # Groq's, for its flexible tier
    503: Meaning.OVERLOAD,
    529: Meaning.OVERLOAD,
}
_REQUESTS_OWN: Final = (Meaning.CONTEXT, Meaning.CAPABILITY, Meaning.PARAMETER, Meaning.FILTER, Meaning.MODE)
"""What is told as the request's fault, whatever status the upstream gave it."""

_SOFTENED: Final = (Meaning.QUOTA, Meaning.OVERLOAD)
"""What a 429 with a stated time is not: Google's limit of a minute, too, speaks of plan and billing."""

_FINER: Final = (
    (Meaning.RATE_LIMIT, Meaning.TOO_LARGE),
    (Meaning.QUOTA, Meaning.UNAFFORDABLE),
    (Meaning.NO_MODEL, Meaning.MODEL_DENIED),
)
"""A code's meaning, and what words may make of it."""

_NOTHING: Final[Changes] = MappingProxyType({})
_WHOLE: Final[Changes] = MappingProxyType({"stream": None, "stream_options": None})
"""What is learned where a model may not be asked for a stream: the reply comes whole, and is told as a stream."""

_SLIPS: Final = ("malformed_function_call", "malformed_tool_call", "unexpected_tool_call")
"""Reasons for an end with which Google says that the model's own call was no call."""


def judge(
    name: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    secrets: tuple[str, ...],
    fullness: float = 0.0,
    sent: Json | None = None,
) -> Failure:
    """Say what a reply with an error status means.

    `name`: the provider's, for messages. `fullness`: our estimate of the request over the model's window, 0 where unknown. `now`: seconds since the epoch.
    `sent`: the request's decoded body, where it is at hand.
    """
    return _judged(name, status, headers, unwrap(body), now, secrets, fullness, sent)


def in_band(name: str, decoded: Any, secrets: tuple[str, ...], fullness: float = 0.0) -> Failure:
    """Judge an error that came inside a reply of status 200, or as a stream's event."""
    return _judged(name, None, {}, unwrapped(decoded), 0.0, secrets, fullness)


def finish_failure(name: str, reason: str | None) -> Failure | None:
    """What a reply without content means by the reason for its end: the model's own slip; None where it is none."""
    if reason is None or not any(slip in reason.lower() for slip in _SLIPS):
        return None
    verdict = VERDICTS[Meaning.SLIP]
    message = f"{name}'s model made a call that its own server could not read ({clean_word(reason, LONGEST_CODE)})."
    return Failure(verdict.action, verdict.code, message, status=verdict.status, meaning=Meaning.SLIP)


class _Heard(NamedTuple):
    """What there is to judge by. `text`: the words as the table has them; `row`: the sentence among them; `wait`: the time that was stated."""

    status: int | None
    told: Told
    text: str
    row: Sentence | None
    wait: float | None
    fullness: float
    sent: Json | None


class _Sense(NamedTuple):
    """What it means, the sentence that said so, and what is to be learned."""

    meaning: Meaning
    row: Sentence | None = None
    adapt: Changes = _NOTHING


def _judged(
    name: str,
    outer: int | None,
    headers: Mapping[str, str],
    told: Told,
    now: float,
    secrets: tuple[str, ...],
    fullness: float,
    sent: Json | None = None,
) -> Failure:
    status, text = _status(outer, told), plain(told.words)
    wait = times.stated(headers, told, now)
    heard = _Heard(status, told, text, None if told.markup else find(text, status), wait, fullness, sent)
    sense = _by_page(heard) or _by_codes(heard) or _by_words(heard) or _by_likeness(heard) or _Sense(_by_status(status))
    if sense.meaning is Meaning.RATE_LIMIT and wait is None:
        wait = times.resets(headers, told, now)
    action, code = _asked(sense.meaning, heard)
    verdict, row = VERDICTS[sense.meaning], sense.row
    if status is None or sense.meaning is Meaning.TOO_LARGE or (sense.meaning in _REQUESTS_OWN and status >= 500):
        status = verdict.status
    error = told.error
    return Failure(
        action=action,
        code=clean_word(code, LONGEST_CODE, secrets) or verdict.code,
        message=clean_message(told.words, secrets) or f"{name} answered with status {outer or status}.",
        status=status,
        retry_after=wait,
        error_type=clean_word(error.get("type"), LONGEST_CODE, secrets),
        param=clean_word(error.get("param"), LONGEST_PARAM, secrets),
        adapt=sense.adapt,
        cooldown=_cooldown(sense.meaning, action, text, wait),
        meaning=sense.meaning,
        reach=verdict.reach if row is None or row.reach is None else row.reach,
        capability=_capability(sense, told),
        mode=_mode(sense),
    )


def _status(outer: int | None, told: Told) -> int | None:
    """The status that counts: a gateway's own tells little about what it wraps. None where a reply of 200 names none."""
    if told.status is not None and (outer is None or outer in _WRAPPERS):
        return told.status
    if outer is not None:
        return outer
    return next((status for code in told.codes for word, status in KINDS.items() if word in code), None)


def _by_page(heard: _Heard) -> _Sense | None:
    """A page for people comes from what stands in front of the provider, and knows nothing of the key."""
    if not heard.told.markup:
        return None
    if heard.status == 403:
        return _Sense(Meaning.WALL)
    return _Sense(Meaning.CONTEXT if heard.status == 413 and heard.fullness >= FULL else _by_status(heard.status))


def _by_codes(heard: _Heard) -> _Sense | None:
    """Codes and types are facts; words may say more exactly what a code says, never something else."""
    status, row = heard.status, heard.row
    believed = (CODES[code] for code in heard.told.codes if code in CODES)
    meaning = next((m for m in believed if status is None or status in STATUSES[m]), None)
    if meaning is not None:
        finer = row is not None and (row.meaning is meaning or (meaning, row.meaning) in _FINER)
        return _Sense(row.meaning, row) if finer and row is not None else _Sense(meaning)
    if not any(code.startswith(_PARAMETER_CODES) for code in heard.told.codes):
        return None
    if heard.told.error.get("param") == "stream":
        return _Sense(Meaning.MODE, None, _WHOLE)
    adapt = _parameter(heard)
    return _Sense(Meaning.PARAMETER, None, adapt) if adapt else None


def _by_words(heard: _Heard) -> _Sense | None:
    """A vendor's sentence, unless a time to wait says that a rate limit is all it is."""
    row = heard.row
    if heard.status == 429 and heard.wait is not None and (row is None or row.meaning in _SOFTENED):
        return _Sense(Meaning.RATE_LIMIT)
    return None if row is None else _Sense(row.meaning, row, _WHOLE if row.detail == "whole" else _NOTHING)


def _by_likeness(heard: _Heard) -> _Sense | None:
    """In nobody's words that are known: about the window, a parameter, or what the model lacks."""
    status = heard.status
    full = heard.fullness >= FULL and status in (None, 400, 413, 422, 500)
    if full and (status == 413 or not heard.text or _LENGTH.search(heard.text)):
        return _Sense(Meaning.CONTEXT)
    if adapt := _parameter(heard):
        return _Sense(Meaning.PARAMETER, None, adapt)
    lacks = str(heard.told.error.get("param")) in _CAPABILITY_PARAMS and "support" in heard.text
    if lacks and status in STATUSES[Meaning.CAPABILITY]:
        return _Sense(Meaning.CAPABILITY)
    if (
        status == 413 and "request_too_large" in heard.told.codes
    ):  # Anthropic's, whose limit is in bytes but means the same
        return _Sense(Meaning.CONTEXT)
    return None


def _parameter(heard: _Heard) -> Changes:
    """What to leave out or to rename."""
    told = heard.told
    if heard.status is None:
        return _NOTHING
    return adaptation(heard.status, told.error, told.words, told.layers[0] if told.layers else None, heard.sent)


def _by_status(status: int | None) -> Meaning:
    if status is None or status in _BY_STATUS:
        return Meaning.SERVER
    return _MEANINGS.get(status, Meaning.SERVER if status >= 500 else Meaning.REQUEST)


def _asked(meaning: Meaning, heard: _Heard) -> tuple[Action, str]:
    """What is to be done, and our code for it."""
    verdict, status = VERDICTS[meaning], heard.status
    if meaning is Meaning.SERVER:
        action, code = _BY_STATUS.get(status or 0, (verdict.action, verdict.code))
        return (Action.COOL if heard.wait is not None and heard.wait > _LONG_WAIT else action), code
    if meaning is Meaning.REQUEST:
        if status not in (400, 422):
            return verdict.action, "upstream_error"
        own = heard.told.error.get("code")
        return verdict.action, own if isinstance(own, str) and own else verdict.code
    return verdict.action, verdict.code


def _cooldown(meaning: Meaning, action: Action, text: str, wait: float | None) -> float | None:
    """How long to leave alone what it reaches; None: as the breaker's record says."""
    if action is Action.COOL:
        return wait or OVERLOAD_COOLDOWN
    if meaning is Meaning.RATE_LIMIT and wait is None and _DAY.search(text):
        return DAY_COOLDOWN
    return VERDICTS[meaning].cooldown


def _capability(sense: _Sense, told: Told) -> str:
    if sense.meaning is not Meaning.CAPABILITY:
        return ""
    return sense.row.detail if sense.row is not None else _CAPABILITY_PARAMS.get(str(told.error.get("param")), "")


def _mode(sense: _Sense) -> str:
    if sense.meaning is not Meaning.MODE:
        return ""
    return "whole" if sense.row is None else sense.row.detail
