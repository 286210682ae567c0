"""Which time it is, as far as the machine's clock can be believed: what records, budgets and retention go by.

A small computer without a battery boots in 1970, or at the time of its last shutdown, until it reaches a time server; a slip of
the hand or an empty battery sets a clock ahead. Neither may free a spent budget, or delete history. So the clock on the wall is
compared with what is known without it: the newest time in the books, and the seconds since then by a clock that nobody can set.
Where both disagree, time goes on from the newest that is known, and `problems` says so.

A time server's word settles it, if the kernel gives it for this very time. So does somebody who acknowledges the problem. So does
an hour in which the clock goes on evenly, for a clock that is ahead by days, as after a long time without power; one that is
behind, or ahead by more than `FAR`, waits for one of the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from .calendar import Clock

_LOG: Final = logging.getLogger(__name__)

DAY: Final = 86_400.0
BACK: Final = DAY
"""A clock may be so many seconds before the newest known time: clocks are set, and nothing is freed by it."""

AHEAD: Final = DAY
"""And so many after the last run at the start: nobody knows how long the machine was off."""

JUMP: Final = 600.0
"""While the router runs, a clock that moves so many seconds more than time went by has jumped."""

STEADY: Final = 3600.0
"""A clock that went on evenly for so many seconds is believed, and what is old may be deleted by it."""

FAR: Final = 400 * DAY
"""A clock that is ahead by more than this is not believed for being steady: no machine is off for so long."""

LOOK: Final = 300.0
"""Seconds after which the clock is looked at again; before, a comparison is enough."""

_ASK: Final = 10.0
"""Seconds between two questions to the kernel while the clock is in doubt."""

EARLIEST: Final = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
"""No booking was made before or will be made after: what says so in the books is damaged."""


def _since_boot() -> float:
    """Seconds that went by, those of a suspended machine included; nobody can set them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_ELAPSED: Final[Callable[[], float]] = _since_boot if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


class WorldTime:
    """Asked for the time by all parts, by way of `clock`.

    `wall`: Unix seconds as the machine has them. `elapsed`: seconds that nobody can set. `synchronized`: whether a time
    server stands behind a time, see `kernel_says`.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = _ELAPSED,
        synchronized: Callable[[float], bool] | None = None,
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._synchronized = kernel_says if synchronized is None else synchronized
        self._low = self._high = 0.0  # between them the wall's time is good as it is
        now, there = elapsed(), wall()
        self._told, self._told_at = there, now  # the wall's time as it was seen last
        self._known, self._known_at = there, now  # the time that holds, and when that was
        self._newest, self._newest_at = EARLIEST, now
        self._slack = float("inf")  # how far it may be ahead: nothing is known yet
        self._steady_since = now
        self._asked_at = -_ASK
        self._doubted = False
        self._odd = ""

    def anchor(self, booked: float, ran: float = 0.0) -> None:
        """At the start: when the newest booking was made, and when a router was there last (Unix seconds, 0: nobody knows).

        Who was there may have been idle for months, but it was not off for long.
        """
        booked, ran = (at if EARLIEST < at < LATEST else 0.0 for at in (booked, ran))
        self._newest = max(EARLIEST, booked, ran)
        self._slack = AHEAD if ran else FAR if booked else float("inf")
        self._known, self._known_at = self._newest, self._elapsed()
        self._newest_at = self._known_at
        self._judge(self._wall())

    # --- reading -----------------------------------------------------------------------------------------------

    def unix(self) -> float:
        """Unix seconds."""
        wall = self._wall()
        return wall if self._low <= wall < self._high else self._judge(wall)

    def utcnow(self) -> datetime:
        """The same as aware UTC."""
        return datetime.fromtimestamp(self.unix(), UTC)

    def settled(self) -> bool:
        """Whether it is safe to delete by the clock what is old."""
        wall = self._wall()
        self._judge(wall)
        if self._doubted:
            return False
        return self._elapsed() - self._steady_since >= STEADY or self._synchronized(wall)

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the clock, in words."""
        self.unix()
        return (*([self._doubt()] if self._doubted else ()), *([self._odd] if self._odd else ()))

    def believe(self) -> None:
        """Somebody says that the clock is right."""
        wall = self._wall()
        if self._doubted:
            _LOG.warning("The clock is taken at its word: it is %s.", _shown(wall))
        self._take(wall, self._elapsed(), sure=True)
        self._odd = ""

    def clock(self) -> Clock:
        """Handed to whoever needs the time."""
        return Clock(time.monotonic, self.utcnow, self.unix, self.settled, self.problems, self.believe)

    # --- judging -----------------------------------------------------------------------------------------------

    def _judge(self, wall: float) -> float:
        """The time that holds."""
        now = self._elapsed()
        if abs(wall - self._told - (now - self._told_at)) > JUMP:
            self._steady_since = now
            self._asked_at = now - _ASK
        self._told, self._told_at = wall, now
        expected = self._known + (now - self._known_at)
        ahead = wall - expected
        # A clock that was set back and is put right again has not jumped ahead of what was known before.
        back_again = wall <= self._newest + (now - self._newest_at) + JUMP
        if wall >= self._newest - BACK and (ahead <= self._slack or back_again):
            return self._take(wall, now)
        if now - self._asked_at >= _ASK:
            self._asked_at = now
            if self._synchronized(wall):
                return self._take_from_server(wall, now)
        if now - self._steady_since >= STEADY and 0 < ahead <= FAR:
            _LOG.warning("The clock went on evenly for an hour: from now on it is %s.", _shown(wall))
            return self._take(wall, now)
        self._doubt_it()
        return expected

    def _take(self, wall: float, now: float, *, sure: bool = False) -> float:
        """The wall is right. `sure`: whatever was known to be newer."""
        if self._doubted:
            _LOG.info("The clock is right again: %s.", _shown(wall))
        self._doubted = False
        self._known, self._known_at, self._slack = wall, now, JUMP
        if sure or wall >= self._newest:
            self._newest, self._newest_at = wall, now
        self._low, self._high = max(wall - JUMP, self._newest - BACK), wall + LOOK
        return wall

    def _take_from_server(self, wall: float, now: float) -> float:
        if wall < self._newest - BACK:
            self._odd = (
                f"the newest booking is of {_shown(self._newest)}, and a time server says that it is {_shown(wall)}: the clock "
                "was ahead once, and what was booked then counts to days that are yet to come"
            )
            _LOG.warning("%s", self._odd)
        return self._take(wall, now, sure=True)

    def _doubt_it(self) -> None:
        self._low = self._high = 0.0
        if not self._doubted:
            self._doubted = True
            _LOG.warning("%s.", self._doubt())

    def _doubt(self) -> str:
        wall, expected = self._told, self._known + (self._told_at - self._known_at)
        if wall < expected:
            where, until = "before", "it is set"
        else:
            where, until = "after", "it has gone on evenly for an hour" if wall - expected <= FAR else "it is set"
        return (
            f"the clock cannot be right: it says {_shown(wall)}, which is {where} the newest known time. Records and budgets "
            f"go on from there ({_shown(expected)}) and no history is deleted until {until}, a time server confirms it, or "
            "you acknowledge this"
        )


def _shown(moment: float) -> str:
    """For people, to the minute; a clock may say anything."""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{moment:.6g} seconds since 1970"


# --- what the kernel knows of time servers -----------------------------------------------------------------------

_UNSYNCHRONIZED: Final = 16_000_000
"""Microseconds of possible error from which on the kernel takes its clock for not synchronized."""

_SAME: Final = 5.0
"""Seconds by which the kernel's time may differ from the one that is asked about."""


def kernel_says(wall: float) -> bool:
    """Whether a time server keeps the kernel's clock, and this is its time.

    Reading needs no rights, and container engines let it through (moby/moby#33403); whoever keeps the clock, chrony or
    systemd-timesyncd, lowers the error that is asked for here. False where there is no such kernel.
    """
    try:
        import ctypes  # noqa: PLC0415 - a clock that is right, as nearly all are, hardly ever asks
    except ImportError:
        return False

    class Timex(ctypes.Structure):
        """`struct timex`, see adjtimex(2); what comes after the time is of no interest."""

        _fields_ = (
            ("modes", ctypes.c_uint),
            *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
            ("status", ctypes.c_int),
            *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance", "seconds", "fraction")),
            ("more", ctypes.c_char * 256),
        )

    told = Timex()
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(None).adjtimex(ctypes.byref(told)) >= 0:
            return bool(told.maxerror < _UNSYNCHRONIZED and abs(told.seconds - wall) <= _SAME)
    return False
