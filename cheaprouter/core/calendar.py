"""Time: clocks that are handed in, local days and months as budgets and reports count them, hours of the week.

Safe when clocks change and when midnight does not exist.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .records import dataclass

_LOCALTIME = Path("/etc/localtime")
_FIRST: Final = datetime(1, 1, 3, tzinfo=UTC).timestamp()
_LAST: Final = datetime(9999, 11, 1, tzinfo=UTC).timestamp()
_END: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp() + 86_400
_UTC_NOW: Final = partial(datetime.now, UTC)

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = rf"(?:{'|'.join(_DAYS)})"
_TIME: Final = r"(?:(?:[01]?\d|2[0-3]):[0-5]\d|24:00)"
_DAY_LIST: Final = rf"{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*"
SPAN: Final = re.compile(
    rf"(?:(?P<days>{_DAY_LIST})\s*)?(?P<start>{_TIME})-(?P<end>{_TIME})|(?P<all>{_DAY_LIST})",
    re.IGNORECASE | re.ASCII,
)
_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Clock:
    """Handed in, so that tests can turn it.

    `monotonic`: seconds for intervals. `utcnow`: aware UTC for records. `unix`: the same in seconds since 1970, where a
    number does. `settled`: whether that is sure enough to delete by it what is old; `problems`: what is wrong with it, in
    words; `believe`: somebody says that it is right. See `worldtime`.
    """

    monotonic: Callable[[], float] = time.monotonic
    utcnow: Callable[[], datetime] = _UTC_NOW
    unix: Callable[[], float] = time.time
    settled: Callable[[], bool] = lambda: True
    problems: Callable[[], tuple[str, ...]] = tuple
    believe: Callable[[], None] = lambda: None


def find_zone(name: str = "", environ: Mapping[str, str] = os.environ, localtime: Path = _LOCALTIME) -> tzinfo:
    """The zone of that name; where none is given, the one of `TZ`, of the system, or UTC.

    Raises ValueError for a name that is no time zone.
    """
    if name:
        if (zone := _zone(name)) is None:
            raise ValueError(f"`{name}` is not a time zone: use a name such as `Europe/Berlin`.")
        return zone
    if zone := _zone(environ.get("TZ", "").lstrip(":")):
        return zone
    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def _zone(name: str) -> ZoneInfo | None:
    with contextlib.suppress(ZoneInfoNotFoundError, OSError, ValueError):
        return ZoneInfo(name) if name else None
    return None


def zone_name(zone: tzinfo) -> str:
    """What a zone is called, `system` for the one of the machine where that is not known."""
    return getattr(zone, "key", None) or (str(zone) if zone is UTC else "system")


class Calendar:
    """Turns moments (Unix seconds) into local days, written as integers: 20261122; a day // 100 is its month.

    The day last asked for is remembered with its bounds (`current`, `begins`, `ends`), so that whoever asks for each request can
    compare instead.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self.current = 0
        self.begins = 0.0
        self.ends = 0.0

    def move(self, zone: tzinfo) -> None:
        """Count by another zone from now on; what was booked stays in the day it was booked in."""
        self.zone = zone
        self.begins = self.ends = 0.0

    def day(self, moment: float) -> int:
        if not self.begins <= moment < self.ends:
            local = self.local(moment).date()
            self.begins, self.ends = self._bounds(local)
            self.current = from_date(local)
        return self.current

    def day_end(self, moment: float) -> float:
        """When the local day of a moment ends, in Unix seconds."""
        self.day(moment)
        return self.ends

    def month_end(self, moment: float) -> float:
        """When the local month of a moment ends, in Unix seconds."""
        local = self.local(moment).date()
        following = (local.replace(day=1) + timedelta(days=32)).replace(day=1)
        return self._midnight(following)

    def local(self, moment: float) -> datetime:
        """A moment as the clock on the wall shows it; one that no calendar knows is the first or last of the calendar."""
        return datetime.fromtimestamp(min(_LAST, max(_FIRST, moment)), self.zone)

    def bounds(self, day: int) -> tuple[float, float]:
        """When a local day begins and ends, in Unix seconds. Raises ValueError for a day that no calendar has."""
        return self._bounds(to_date(day))

    def _bounds(self, local: date) -> tuple[float, float]:
        return self._midnight(local), self._midnight(local + timedelta(days=1)) if local < date.max else _END

    def _midnight(self, local: date) -> float:
        # A midnight that the clocks skip is read with the old offset: exactly the moment of the change. One that comes
        # twice is its first. So days follow each other without a gap and without overlap.
        return datetime(local.year, local.month, local.day, tzinfo=self.zone).timestamp()


def to_date(day: int) -> date:
    """20261122 as a date. Raises ValueError for what is none."""
    return date(day // 10000, day // 100 % 100, day % 100)


def from_date(value: date) -> int:
    """A date as 20261122."""
    return value.year * 10000 + value.month * 100 + value.day


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes of the day, on these weekdays (0 = Monday); `end` may lie on the next day, and is not part of it."""

    days: frozenset[int]
    start: int
    end: int


class Schedule:
    """Hours on the wall's clock in which a device may ask: `mon-fri 07:00-21:30`, `sat,sun`, `22:00-06:00`.

    Any of its spans open the door; a span over midnight belongs to the day on which it starts.
    """

    def __init__(self, spans: Iterable[str]) -> None:
        """Raises ValueError for a span that cannot be read."""
        self.spans = tuple(parse_span(span) for span in spans)

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


def parse_span(text: str) -> Span:
    """Read one span. Raises ValueError for what is none."""
    match = SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text[:60]}` is no span of the week")
    listed = match["days"] or match["all"]
    days = _days(listed.lower()) if listed else frozenset(range(7))
    if match["all"]:
        return Span(days, 0, _MINUTES)
    start, end = _minutes(match["start"]), _minutes(match["end"])
    if start == _MINUTES:  # midnight at a day's end is where the next one starts
        days, start = frozenset((day + 1) % 7 for day in days), 0
    return Span(days, start, end if end > start else end + _MINUTES)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(found)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
