"""Limits of time for upstream calls: one timer for all of them, which looks at stamps and is not reset for each chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

TIMEOUT: Final = "upstream_timeout"
HEARTBEAT: Final = "heartbeat"
_NEVER: Final = float("inf")
_CLIENT_PAUSE: Final = 1.0
"""Seconds until a call that waits for its client is looked at again."""


class Watches:
    """All calls under way, and the one timer that goes off when the first of them may be due.

    A call that ends is only taken out of the set: its due time passes, and the timer is set for the next one then.
    """

    __slots__ = ("_loop", "_timer", "_when", "watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.watched: set[Watchdog] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._when = _NEVER

    def add(self, watch: Watchdog, due: float) -> None:
        """Look at a call not later than at `due` (the loop's time)."""
        self.watched.add(watch)
        if due < self._when:
            self._set(due)

    def stop(self) -> None:
        """No timer stays behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._when = None, _NEVER

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._when = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer, self._when = None, _NEVER
        now = self._loop.time()
        looked_at = [(watch.look(now), watch) for watch in tuple(self.watched)]
        due = min([due for due, watch in looked_at if watch in self.watched], default=_NEVER)
        if due < self._when:  # what was looked at may have set it for sooner
            self._set(due)


class Watchdog:
    """Interrupts whoever waits for an upstream, once a limit is reached; `reason` says which.

    A task that waits is cancelled as by `asyncio.timeout`: whoever catches that asks `caught` whether it was us. A reply
    that is handed on as it comes has no task that waits: then `flow` names whom to call instead.
    `end`: the total deadline, in the loop's time. `seen`: stamp of the last byte, `beat`: of the last heartbeat, both set by the reader.
    """

    __slots__ = ("_base", "_due", "_idle", "_quiet", "_task", "_tell", "_told", "_watches", "beat", "end", "limit", "now", "reason", "seen", "what")  # fmt: skip

    def __init__(self, watches: Watches, now: Callable[[], float], end: float) -> None:
        self._watches = watches
        self._task: asyncio.Task[object] | None = None
        self._tell: Callable[[str], None] | None = None
        self._base = 0
        self._told = False
        self._due = self._idle = self._quiet = _NEVER
        self.now = now
        self.end = end
        self.seen = self.beat = self.limit = 0.0
        self.what = self.reason = ""

    def expect(self, what: str, seconds: float) -> None:
        """From now on, `what` must have come within so many seconds; replaces what was expected before."""
        self.what, self.limit = what, seconds
        self._due = due = self.now() + seconds
        self._watches.add(self, min(due, self.end))

    def flow(self, idle: float, quiet: float, tell: Callable[[str], None] | None = None) -> None:
        """The reply flows: at most `idle` seconds between bytes; a heartbeat after `quiet` seconds without.

        `tell`: who is called with the reason where no task waits.
        """
        self.what, self.limit = "idle", idle
        self._due = _NEVER
        self._idle, self._quiet, self._tell = idle, quiet, tell
        self.seen = self.now()
        self._watches.add(self, self._next()[0])

    def enter(self) -> None:
        """The current task waits under this watch."""
        self._task = task = asyncio.current_task()
        assert task is not None
        self._base = task.cancelling()
        if self._told:  # it was interrupted before, for a heartbeat say
            self._told = False
            self._watches.add(self, self._next()[0])

    def leave(self) -> None:
        """It no longer waits, so nothing is due: time now is the client's."""
        self._task = None

    def caught(self) -> str:
        """After a cancellation: our reason, or nothing where it came from elsewhere."""
        task, reason = self._task, self.reason
        if not reason or task is None:
            return ""
        self.reason = ""
        return reason if task.uncancel() <= self._base else ""

    def stop(self) -> None:
        """Done."""
        self._watches.watched.discard(self)
        self._task = self._tell = None

    def look(self, now: float) -> float:
        """Act where a limit is reached; returns when to look again."""
        due, reason = self._next()
        if now < due:
            return due
        if (tell := self._tell) is not None:
            tell(reason)
            due = self._next()[0]
            return due if due > now else now + _CLIENT_PAUSE  # a reply whose time is over may still wait for its client
        if self._task is None:
            # The client takes its time; the upstream is not to blame.
            self.seen = now
            return now + _CLIENT_PAUSE
        if not self.reason:
            self.reason = reason
            self._told = True
            self._task.cancel()
        return _NEVER

    def _next(self) -> tuple[float, str]:
        due, reason = min(self._due, self.end), TIMEOUT
        if self._idle is not _NEVER:
            due = min(due, self.seen + self._idle)
            if (quiet := max(self.seen, self.beat) + self._quiet) < due:
                due, reason = quiet, HEARTBEAT
        return due, reason
