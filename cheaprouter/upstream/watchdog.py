"""One timer for one upstream call, whatever its limits: it looks at stamps, and is not reset for each chunk."""

from __future__ import annotations

import asyncio
from typing import Final

TIMEOUT: Final = "upstream_timeout"
HEARTBEAT: Final = "heartbeat"
_NEVER: Final = float("inf")


class Watchdog:
    """Interrupts the task that waits, once a limit is reached; `reason` says which.

    Works like `asyncio.timeout`: the task is cancelled, and whoever catches that asks `caught` whether it was us.
    `end`: the total deadline, in the loop's time. `seen`: stamp of the last byte, `beat`: of the last heartbeat, both set by the reader.
    """

    __slots__ = (
        "_base", "_due", "_idle", "_loop", "_quiet", "_task", "_timer", "beat", "end", "limit", "reason", "seen", "what",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        self._loop = loop
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._base = 0
        self._due = self._idle = self._quiet = _NEVER
        self.end = end
        self.seen = self.beat = self.limit = 0.0
        self.what = self.reason = ""

    def expect(self, what: str, seconds: float) -> None:
        """From now on, `what` must have come within so many seconds; replaces what was expected before."""
        self.what, self.limit = what, seconds
        self._due = self._loop.time() + seconds
        self._arm()

    def flow(self, idle: float, quiet: float) -> None:
        """The reply flows: at most `idle` seconds between bytes; a heartbeat after `quiet` seconds without."""
        self.what, self.limit = "idle", idle
        self._due = _NEVER
        self._idle, self._quiet = idle, quiet
        self.seen = self._loop.time()
        self._arm()

    def enter(self) -> None:
        """The current task waits under this watch."""
        self._task = asyncio.current_task()
        assert self._task is not None
        self._base = self._task.cancelling()
        if self._timer is None and self.what:
            self._arm()

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

    def now(self) -> float:
        return self._loop.time()

    def stop(self) -> None:
        """Done; no timer stays behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._task = None

    def _next(self) -> tuple[float, str]:
        due, reason = min(self._due, self.end), TIMEOUT
        if self._idle is not _NEVER:
            due = min(due, self.seen + self._idle)
            if (quiet := max(self.seen, self.beat) + self._quiet) < due:
                due, reason = quiet, HEARTBEAT
        return due, reason

    def _arm(self) -> None:
        due, _ = self._next()
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        due, reason = self._next()
        if now < due:
            self._timer = self._loop.call_at(due, self._check)
        elif self._task is None:
            # The client takes its time; the upstream is not to blame, and is looked at again later.
            self.seen = now
            self._timer = self._loop.call_at(now + 1.0, self._check)
        elif not self.reason:
            self.reason = reason
            self._task.cancel()
