"""How often: connections that are tried again, warnings that repeat themselves, states that change all the time."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from ..core.calendar import Clock
from ..core.records import dataclass

KeyT = TypeVar("KeyT", bound=Hashable)

_REMEMBERED: Final = 256


@dataclass(slots=True)
class Backoff:
    """Doubles from `first` to `longest` seconds; each wait is between half of that and all of it."""

    first: float = 1.0
    longest: float = 60.0
    random: Callable[[], float] = random.random
    _failures: int = 0

    def failed(self) -> float:
        """Count a failure; seconds to wait."""
        wait = min(self.longest, self.first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return wait * (0.5 + self.random() / 2)

    def worked(self) -> None:
        self._failures = 0


class Once:
    """Logs a warning the first time its key is seen; keys are forgotten oldest first.

    A publisher in a loop, or a broker that is away for a day, must not fill the log.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._seen: OrderedDict[str, None] = OrderedDict()

    def warning(self, key: str, message: str, *args: object) -> None:
        """Log unless the same key was logged."""
        self._tell(logging.WARNING, key, message, *args)

    def error(self, key: str, message: str, *args: object) -> None:
        """The same, as an error."""
        self._tell(logging.ERROR, key, message, *args)

    def _tell(self, level: int, key: str, message: str, *args: object) -> None:
        if key in self._seen:
            self._seen.move_to_end(key)
            return
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self._log.log(level, message, *args)

    def again(self, prefix: str) -> None:
        """Keys that begin so are news again."""
        for key in [k for k in self._seen if k.startswith(prefix)]:
            del self._seen[key]


class Throttle(Generic[KeyT]):
    """A key is due soon, then at most once an interval, and never without its last value. Seconds, monotonic, handed in.

    `gather`: how long the first change waits for others. What is due at a set time (`touch_at`) is outside the count: a
    setting shown at once delays no figures. Keeps nothing of a key that has been quiet for an interval.
    """

    def __init__(self, interval: float, gather: float = 0.0) -> None:
        self.interval = interval
        self._gather = gather
        self._due: dict[KeyT, float] = {}
        self._last: OrderedDict[KeyT, float] = OrderedDict()
        self._touched: set[KeyT] = set()

    def __contains__(self, key: KeyT) -> bool:
        """Whether a key was touched since it was last taken: another touch changes nothing."""
        return key in self._touched

    def touch(self, key: KeyT, now: float) -> float:
        """Something changed: due soon, or one interval after the last time. Returns when."""
        self._touched.add(key)
        when = now + self._gather
        if key in self._last:
            when = max(when, self._last[key] + self.interval)
        return self.touch_at(key, when)

    def touch_at(self, key: KeyT, when: float) -> float:
        """Due at that time, or earlier if it was already. Returns when."""
        due = self._due[key] = min(when, self._due.get(key, when))
        return due

    def take(self, now: float, at_most: int | None = None) -> list[KeyT]:
        """Keys that are due, the longest waiting first; they are to be published now."""
        due = (key for key, when in self._due.items() if when <= now)
        ready = heapq.nsmallest(len(self._due) if at_most is None else at_most, due, key=self._due.__getitem__)
        for key in ready:
            del self._due[key]
            if key in self._touched:
                self._touched.discard(key)
                self._last[key] = now
                self._last.move_to_end(key)
        while self._last and next(iter(self._last.values())) + self.interval <= now:
            self._last.popitem(last=False)
        return ready

    def next_due(self) -> float | None:
        """When `take` will have something; None: nothing changed."""
        return min(self._due.values(), default=None)

    def forget(self, key: KeyT) -> None:
        """As if it had never been touched."""
        self._due.pop(key, None)
        self._last.pop(key, None)
        self._touched.discard(key)

    def clear(self) -> None:
        """Forget all."""
        self._due.clear()
        self._last.clear()
        self._touched.clear()


class Alarm:
    """Calls `ring` at the earliest of the times it was set to, once; then it is to be set again. Monotonic seconds of `clock`."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._when = math.inf
        self._handle: asyncio.TimerHandle | None = None

    def at(self, when: float) -> None:
        """Ring at that time, or earlier if that was set before."""
        if when < self._when:
            self.clear()
            self._when = when
            wait = max(0.0, when - self._clock.monotonic())
            self._handle = asyncio.get_running_loop().call_later(wait, self._rings)

    def clear(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
        self._when, self._handle = math.inf, None

    def _rings(self) -> None:
        self.clear()
        self._ring()
