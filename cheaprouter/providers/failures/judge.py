"""Says what an upstream's error means and what it asks for: see `meaning` for how that is decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from . import times
from .asked import NOT_KNOWN, Asked
from .clean import LONGEST_CODE, LONGEST_PARAM, clean_message, clean_word
from .meaning import Heard, Sense, decide, status_of
from .sentences import Sentence
from .unwrap import Told, unwrap, unwrapped
from .verdict import (
    ABSENT_COOLDOWN,
    DAY_COOLDOWN,
    OVERLOAD_COOLDOWN,
    VERDICTS,
    Action,
    Failure,
    Meaning,
    Reach,
    Verdict,
)
from .words import find, plain

_LONG_WAIT: Final = 3.0
"""Seconds. A server in trouble that says to come back later than this is left alone for so long rather than asked once more."""

_DAY: Final = re.compile(r"per[ -]?day|\((?:tpd|rpd)\)|daily|per 86400s|\bfor today\b")
_MOST_QUOTAS: Final = 20
_BY_STATUS: Final[Mapping[int, tuple[Action, str]]] = {
    408: (Action.RETRY, "upstream_timeout"),
    409: (Action.RETRY, "upstream_conflict"),
    425: (Action.RETRY, "upstream_too_early"),
    504: (Action.NEXT, "upstream_timeout"),
}
_REQUESTS_OWN: Final = (Meaning.CONTEXT, Meaning.CAPABILITY, Meaning.PARAMETER, Meaning.FILTER, Meaning.MODE)
"""What is told as the request's fault, whatever status the upstream gave it."""

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
    asked: Asked = NOT_KNOWN,
) -> Failure:
    """Say what a reply with an error status means.

    `name`: the provider's, for messages. `now`: seconds since the epoch. `asked`: what it is an answer to.
    """
    return _judged(name, status, headers, unwrap(body), now, secrets, asked)


def in_band(name: str, decoded: Any, secrets: tuple[str, ...], now: float) -> Failure:
    """Judge an error that came inside a reply of status 200, or as a stream's event. `now`: seconds since the epoch."""
    return _judged(name, None, {}, unwrapped(decoded), now, secrets, NOT_KNOWN)


def finish_failure(name: str, reason: str | None) -> Failure | None:
    """What a reply without content means by the reason for its end: the model's own slip; None where it is none."""
    if reason is None or not any(slip in reason.lower() for slip in _SLIPS):
        return None
    verdict = VERDICTS[Meaning.SLIP]
    message = f"{name}'s model made a call that its own server could not read ({clean_word(reason, LONGEST_CODE)})."
    return Failure(verdict.action, verdict.code, message, status=verdict.status, meaning=Meaning.SLIP)


def _judged(
    name: str,
    outer: int | None,
    headers: Mapping[str, str],
    told: Told,
    now: float,
    secrets: tuple[str, ...],
    asked: Asked,
) -> Failure:
    status, text = status_of(outer, told), plain(told.words, asked.model)
    now = times.senders_now(headers, now)
    wait = times.stated(headers, told, now)
    heard = Heard(status, told, text, None if told.markup else find(text, status), wait, asked)
    sense = decide(heard)
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
        message=clean_message(told.words, secrets) or _own_words(name, sense.meaning, outer or status),
        status=status,
        retry_after=wait,
        error_type=clean_word(error.get("type"), LONGEST_CODE, secrets),
        param=clean_word(error.get("param"), LONGEST_PARAM, secrets),
        adapt=sense.adapt,
        cooldown=_cooldown(sense.meaning, action, f"{text} {_quotas(told)}", wait),
        meaning=sense.meaning,
        reach=_reach(verdict, row, told),
        capability=_capability(sense),
        mode=_mode(sense),
    )


def _own_words(name: str, meaning: Meaning, status: int) -> str:
    if meaning is Meaning.WALL:
        return f"A firewall in front of {name} refused the request (status {status})."
    return f"{name} answered with status {status}."


def _asked(meaning: Meaning, heard: Heard) -> tuple[Action, str]:
    """What is to be done, and our code for it."""
    verdict, status = VERDICTS[meaning], heard.status
    if heard.told.relayed and verdict.action is Action.KEY:
        return Action.COOL, verdict.code  # a key that is not ours
    if meaning is Meaning.SERVER:
        action, code = _BY_STATUS.get(status or 0, (verdict.action, verdict.code))
        return (Action.COOL if heard.wait is not None and heard.wait > _LONG_WAIT else action), code
    if meaning is Meaning.REQUEST:
        if status not in (400, 422):
            return verdict.action, "upstream_error"
        own = heard.told.error.get("code")
        return verdict.action, own if isinstance(own, str) and own else verdict.code
    return verdict.action, verdict.code


def _reach(verdict: Verdict, row: Sentence | None, told: Told) -> Reach | None:
    """How far it goes; what a gateway's vendor said of the gateway's own account goes no further than that model."""
    if told.relayed:
        return verdict.reach and Reach.MODEL
    return verdict.reach if row is None or row.reach is None else row.reach


def _cooldown(meaning: Meaning, action: Action, text: str, wait: float | None) -> float | None:
    """How long to leave alone what it reaches; None: as the breaker's record says."""
    if action is Action.COOL:
        return wait or (ABSENT_COOLDOWN if VERDICTS[meaning].action is Action.KEY else OVERLOAD_COOLDOWN)
    if meaning is Meaning.RATE_LIMIT and wait is None and _DAY.search(text):
        return DAY_COOLDOWN
    return VERDICTS[meaning].cooldown


def _quotas(told: Told) -> str:
    """What Google calls the quotas that are used up."""
    details = [detail for layer in told.layers if isinstance(some := layer.get("details"), list) for detail in some]
    told_of = [detail.get("violations") for detail in details if isinstance(detail, dict)]
    rows = [row for some in told_of if isinstance(some, list) for row in some if isinstance(row, dict)]
    return " ".join(str(row.get("quotaId"))[:LONGEST_CODE] for row in rows[:_MOST_QUOTAS]).lower()


def _capability(sense: Sense) -> str:
    return sense.row.detail if sense.meaning is Meaning.CAPABILITY and sense.row is not None else ""


def _mode(sense: Sense) -> str:
    if sense.meaning is not Meaning.MODE:
        return ""
    return "whole" if sense.row is None else sense.row.detail
