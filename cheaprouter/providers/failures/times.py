"""How long an upstream wants to be left alone, in every way in which that is said. All in seconds, none negative, none endless."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isnan
from typing import Any, Final

from .unwrap import Told

LONGEST_WAIT: Final = 24 * 3600.0
"""More than a day is taken for a mistake and cut to it."""

_LONGEST_VALUE: Final = 64
_UNITS: Final = {
    "ms": 0.001, "millisecond": 0.001, "milliseconds": 0.001, "msec": 0.001,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip
_PART: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?) ?([a-z]{1,12})(?![a-z])")
_BEFORE: Final = re.compile(
    r"(?:try again|retry|retry your request|retry-after|available again|wait|resets?)(?: in| after| for|:)?"
    r"(?: at least| about| approximately)? (?=[0-9])"
)
"""The words before a time to wait; what follows is read part by part."""

_MOMENT: Final = re.compile(
    r"(?:regain access|available again|try again|retry|resets?)(?: on| at| after)? (\d{4}-\d\d-\d\d)(?:t| at | )"
    r"(\d\d:\d\d(?::\d\d)?)(?:\.\d{1,9})? ?(z|utc|gmt|[+-]\d\d:\d\d)"
)
"""The same before a moment; only one whose zone is told is one."""

_EPOCH: Final = 1e9
"""A number this large is a moment, not a span: seconds since 1970 up to the year 5138, milliseconds beyond."""
_EPOCH_MS: Final = 1e11


def senders_now(headers: Mapping[str, str], now: float) -> float:
    """The time as whoever answered has it, which is what its dates are to be compared with; `now` where it does not say.

    Our own clock may be wrong by years: a date that is meant for a minute from now would be a day's rest.
    """
    date = headers.get("date")
    since = None if date is None or len(date) > _LONGEST_VALUE else _date(date, 0.0)
    return now if since is None else since


def stated(headers: Mapping[str, str], told: Told, now: float) -> float | None:
    """The time to wait that was said outright; None where none was.

    `now`: seconds since the epoch. Read in this order, the most exact first: `retry-after-ms`, `retry-after` (seconds, an
    HTTP date or a span), those of a wrapped reply, Google's RetryInfo, fields of the error, "try again in 7m12.5s", "resets at"
    a moment.
    """
    for source in (headers, told.headers):
        for name, read in _HEADERS.items():
            if (found := read(source.get(name), now)) is not None:
                return _bounded(found)
    for found in (_detail(told), _field(told), _said(told.words), _moment_in(told.words, now)):
        if found is not None:
            return _bounded(found)
    return None


def resets(headers: Mapping[str, str], told: Told, now: float) -> float | None:
    """When a limit is new again, by its `…ratelimit…reset…` headers; only of use for a reply that is a rate limit.

    They come for several limits at once: those of which nothing remains tell, by the last of them; else the nearest one.
    """
    spent: list[float] = []
    others: list[float] = []
    for name, value in (*told.headers.items(), *headers.items()):
        low = name.lower()
        wait = moment(value, now) if "ratelimit" in low and "reset" in low else None
        if wait is None or wait <= 0:  # a moment that has passed says nothing
            continue
        remaining = headers.get(low.replace("reset", "remaining")) or told.headers.get(
            low.replace("reset", "remaining")
        )
        (spent if remaining is not None and _number(remaining) == 0 else others).append(wait)
    found = max(spent, default=None) if spent else min(others, default=None)
    return None if found is None else _bounded(found)


def span(text: str) -> float | None:
    """Seconds of a span such as `6m0s`, `250ms`, `1h2m3.5s` or `2 minutes`; None where it is none."""
    text = text.strip().lower()[:_LONGEST_VALUE]
    total, at = 0.0, 0
    for length, value in _parts(text, 0):
        total, at = total + value, length
    return total if at and at == len(text) else None


def moment(value: str | None, now: float) -> float | None:
    """Seconds until a moment that may be given as a span, seconds, an epoch in seconds or milliseconds, or a date."""
    if value is None or len(value) > _LONGEST_VALUE:
        return None
    number = _number(value.partition(",")[0])  # a header that was sent twice
    if number is None:
        found = span(value)
        return _date(value, now) if found is None else found
    if number >= _EPOCH_MS:
        return number / 1000 - now
    return number - now if number >= _EPOCH else number


def _parts(text: str, at: int) -> Iterator[tuple[int, float]]:
    """Each part of a span from there on: where it ends, and its seconds."""
    while match := _PART.match(text, at):
        unit = _UNITS.get(match[2])
        if unit is None:
            return
        at = match.end()
        yield at, float(match[1]) * unit
        while at < len(text) and text[at] in " ,":
            at += 1


def _said(words: str) -> float | None:
    """What a sentence says."""
    text = words.lower()
    for match in _BEFORE.finditer(text):
        parts = [value for _, value in _parts(text, match.end())]
        if parts:
            return sum(parts)
    return None


def _moment_in(words: str, now: float) -> float | None:
    """Until the moment that a sentence names."""
    if (match := _MOMENT.search(words.lower())) is None:
        return None
    day, time, zone = match.groups()
    return _date(f"{day}T{time}{zone if zone[0] in '+-' else '+00:00'}", now)


def _bounded(seconds: float) -> float:
    return min(LONGEST_WAIT, max(0.0, seconds))


def _number(value: str | None, scale: float = 1.0) -> float | None:
    if value is None or len(value) > _LONGEST_VALUE:
        return None
    try:
        number = float(value) * scale
    except ValueError:
        return None
    return None if isnan(number) else number


def _date(value: str, now: float) -> float | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(value.strip())
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            continue
    return None


_HEADERS: Final[Mapping[str, Callable[[str | None, float], float | None]]] = {
    "retry-after-ms": lambda value, _: _number(value, 0.001),
    "x-ms-retry-after-ms": lambda value, _: _number(value, 0.001),
    "retry-after": moment,
}
_FIELDS: Final = {"retry_after": 1.0, "retry_after_seconds": 1.0, "retryAfter": 1.0, "retry_after_ms": 0.001}


def _field(told: Told) -> float | None:
    for layer in reversed(told.layers):
        for name, scale in _FIELDS.items():
            value = layer.get(name)
            if isinstance(value, (int, float, str)) and not isinstance(value, bool):
                number = _number(str(value)[: _LONGEST_VALUE + 1], scale)
                if number is not None:
                    return number
    return None


def _detail(told: Told) -> float | None:
    """Google's RetryInfo."""
    for layer in reversed(told.layers):
        details: Any = layer.get("details")
        for detail in details if isinstance(details, list) else ():
            delay = detail.get("retryDelay") if isinstance(detail, dict) else None
            if isinstance(delay, dict):
                delay = f"{str(delay.get('seconds', ''))[:20]}s"
            if isinstance(delay, str) and (found := span(delay)) is not None:
                return found
    return None
