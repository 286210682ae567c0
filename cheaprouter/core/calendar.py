"""Local days and months, as budgets and reports count them; safe when clocks change and when midnight does not exist."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_LOCALTIME = Path("/etc/localtime")
_FIRST: Final = datetime(1, 1, 3, tzinfo=UTC).timestamp()
_LAST: Final = datetime(9999, 11, 1, tzinfo=UTC).timestamp()
_END: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp() + 86_400


def find_zone(name: str = "", environ: Mapping[str, str] = os.environ, localtime: Path = _LOCALTIME) -> tzinfo:
    """The zone of that name; where none is given, the one of `TZ`, of the system, or UTC.

    Raises ValueError for a name that is no time zone.
    """
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError, ValueError) as error:
            raise ValueError(f"`{name}` is not a time zone: use a name such as `Europe/Berlin`.") from error
    wanted = environ.get("TZ", "").lstrip(":")
    if wanted:
        try:
            return ZoneInfo(wanted)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            pass
    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


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
        """The local day in which a moment lies."""
        if not self.begins <= moment < self.ends:
            local = self.local(moment).date()
            self.begins, self.ends = self._bounds(local)
            self.current = local.year * 10000 + local.month * 100 + local.day
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
