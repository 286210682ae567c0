"""Hours in which a device may ask, on the wall's clock: `mon-fri 07:00-21:30`, `sat,sun`, `22:00-06:00`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN: Final = re.compile(r"(?:(?P<days>[a-z][a-z,\-]*))?\s*(?:(?P<from>\d{1,2}:\d\d)-(?P<to>\d{1,2}:\d\d))?")
_MINUTES: Final = 24 * 60

ALLOWED: Final = "spans such as `mon-fri 07:00-21:30`, `sat,sun` or `22:00-06:00`"


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes of the day, on these weekdays (0 = Monday); `end` may lie on the next day, and is not part of it."""

    days: frozenset[int]
    start: int
    end: int


class Schedule:
    """Any of its spans open the door; a span over midnight belongs to the day on which it starts."""

    def __init__(self, spans: Iterable[str]) -> None:
        """Raises ValueError for a span that cannot be read."""
        self.spans = tuple(parse(span) for span in spans)

    def open(self, local: datetime) -> bool:
        """Whether the wall's clock shows a time within the schedule."""
        minute = local.hour * 60 + local.minute
        today = local.weekday()
        return any(
            (today in span.days and span.start <= minute < span.end)
            or ((today - 1) % 7 in span.days and minute + _MINUTES < span.end)
            for span in self.spans
        )

    def opens_in(self, moment: float, zone: tzinfo) -> float | None:
        """Seconds until it is open, looking eight days ahead; None where it never is.

        A start that the clocks skip counts from the moment of the change.
        """
        today = datetime.fromtimestamp(moment, zone)
        starts = []
        for ahead in range(9):
            day = today.date() + timedelta(days=ahead)
            for span in self.spans:
                if day.weekday() in span.days:
                    hour, minute = divmod(span.start, 60)
                    start = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp()
                    if start > moment:
                        starts.append(start)
        return min(starts) - moment if starts else None


def parse(text: str) -> Span:
    """Read one span. Raises ValueError saying what is allowed."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or not (match["days"] or match["from"]):
        raise ValueError(f"`{text[:60]}`: must be {ALLOWED}")
    days = _days(match["days"], text) if match["days"] else frozenset(range(7))
    if not match["from"]:
        return Span(days, 0, _MINUTES)
    start, end = _minutes(match["from"], text), _minutes(match["to"], text)
    if start == _MINUTES:  # midnight at a day's end is where the next one starts
        days, start = frozenset((day + 1) % 7 for day in days), 0
    return Span(days, start, end if end > start else end + _MINUTES)


def _days(text: str, whole: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(f"`{whole[:60]}`: days are {', '.join(_DAYS)}, as in `mon-fri` or `sat,sun`")
        start, length = _DAYS.index(first), (_DAYS.index(last or first) - _DAYS.index(first)) % 7
        found.update((start + step) % 7 for step in range(length + 1))
    return frozenset(found)


def _minutes(text: str, whole: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    total = hours * 60 + minutes
    if minutes > 59 or total > _MINUTES:
        raise ValueError(f"`{whole[:60]}`: times go from 00:00 to 24:00")
    return total
