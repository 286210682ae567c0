"""What was spent, by local day and month, in pico-dollars."""

from __future__ import annotations

from typing import Final, Literal

Period = Literal["day"] | None
"""What a reset begins anew: the day alone, or (None) day and month."""

_KEPT: Final = 4
"""Days and months remembered: a clock that steps back over midnight must find yesterday's spend again."""


class Spend:
    """Booked spend and what is reserved for requests under way.

    Days are integers such as 20261122, months such as 202611. A reset forgives what was booked by then: it no longer counts
    against the budget, while the books keep it.
    """

    __slots__ = ("_days", "_forgiven_day", "_forgiven_month", "_months", "reserved")

    def __init__(self) -> None:
        self.reserved = 0
        self._days: dict[int, int] = {}
        self._months: dict[int, int] = {}
        self._forgiven_day = (0, 0)
        self._forgiven_month = (0, 0)

    def book(self, day: int, amount: int) -> None:
        """Add to a day and its month."""
        _add(self._days, day, amount)
        _add(self._months, day // 100, amount)

    def today(self, day: int) -> int:
        """What counts against the day's budget, without reservations."""
        spent = self._days.get(day, 0)
        return spent - self._forgiven_day[1] if self._forgiven_day[0] == day else spent

    def month(self, day: int) -> int:
        """What counts against the month's budget, without reservations."""
        spent = self._months.get(day // 100, 0)
        return spent - self._forgiven_month[1] if self._forgiven_month[0] == day // 100 else spent

    def forgive(self, day: int, period: Period = None) -> tuple[int, int]:
        """Start the day's (and the month's) budget anew; returns what is forgiven of day and month by now, to be kept."""
        month = day // 100
        if period is None:
            of_month = self._months.get(month, 0)
        else:
            of_month = self._forgiven_month[1] if self._forgiven_month[0] == month else 0
        amounts = self._days.get(day, 0), of_month
        self.restore_forgiven(day, *amounts)
        return amounts

    def restore_forgiven(self, day: int, day_amount: int, month_amount: int) -> None:
        """Take up again, after a restart, what was forgiven on `day`."""
        self._forgiven_day = (day, day_amount)
        self._forgiven_month = (day // 100, month_amount)


def _add(spent: dict[int, int], period: int, amount: int) -> None:
    if period in spent:
        spent[period] += amount
        return
    spent[period] = amount
    if len(spent) > _KEPT:
        del spent[min(spent)]
