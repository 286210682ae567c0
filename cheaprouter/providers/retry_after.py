"""When an upstream says to come back: as a header, a date, or words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from ..core.models import Json

LONGEST: Final = 24 * 3600.0
"""More than a day is taken for a mistake and cut to it."""

_SPAN: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_WORDS: Final = re.compile(r"(?:try again|retry) in (\d+(?:\.\d+)?) ?(ms|s|m)\b", re.IGNORECASE)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


def retry_after(headers: Mapping[str, str], payload: Json, message: str, now: float) -> float | None:
    """Seconds to wait, from the most exact source there is; None where nothing says.

    `now`: seconds since the epoch, for dates. Read in this order: `retry-after-ms`, `retry-after` (seconds or an HTTP
    date), Google's RetryInfo detail, and "try again in 1.5s" in the message.
    """
    found = _milliseconds(headers.get("retry-after-ms"))
    if found is None:
        found = _header(headers.get("retry-after"), now)
    if found is None:
        found = _detail(payload)
    if found is None and (words := _WORDS.search(message)):
        found = float(words[1]) * _UNITS[words[2].lower()]
    return None if found is None else min(LONGEST, max(0.0, found))


def span(text: str) -> float | None:
    """Seconds of a span such as `6m0s`, `250ms` or `34.5s`; None where it is none."""
    match = _SPAN.fullmatch(text.strip())
    if not match or not any(match.groups()):
        return None
    hours, minutes, seconds, millis = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1000


def _milliseconds(value: str | None) -> float | None:
    try:
        return None if value is None else float(value) / 1000
    except ValueError:
        return None


def _header(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _date(value, now)
    return seconds if seconds == seconds else None  # noqa: PLR0124 - a NaN is the one number unlike itself


def _date(value: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
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
