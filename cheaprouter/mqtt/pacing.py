"""How often: connections that are tried again, warnings that repeat themselves, states that change all the time."""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

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
        if key in self._seen:
            self._seen.move_to_end(key)
            return
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self._log.warning(message, *args)

    def again(self, prefix: str) -> None:
        """Keys that begin so are news again."""
        for key in [k for k in self._seen if k.startswith(prefix)]:
            del self._seen[key]


class Throttle(Generic[KeyT]):
    """A key is due at once, then at most once an interval, and never without its last value. Seconds, monotonic, handed in.

    What is due at a set time (`touch_at`) is outside the count: a setting shown at once delays no figures.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._due: dict[KeyT, float] = {}
        self._last: dict[KeyT, float] = {}
        self._counted: set[KeyT] = set()

    def touch(self, key: KeyT, now: float) -> None:
        """Something changed: due now, or one interval after the last time."""
        self._counted.add(key)
        when = max(now, self._last[key] + self.interval) if key in self._last else now
        self._due[key] = min(when, self._due.get(key, when))

    def touch_at(self, key: KeyT, when: float) -> None:
        """Due at that time, or earlier if it was already."""
        self._due[key] = min(when, self._due.get(key, when))

    def take(self, now: float) -> list[KeyT]:
        """Keys that are due, the longest waiting first; they are to be published now."""
        ready = sorted((k for k, due in self._due.items() if due <= now), key=self._due.__getitem__)
        for key in ready:
            del self._due[key]
            if key in self._counted:
                self._counted.discard(key)
                self._last[key] = now
        return ready

    def next_due(self) -> float | None:
        """When `take` will have something; None: nothing changed."""
        return min(self._due.values(), default=None)

    def __iter__(self) -> Iterator[KeyT]:
        return iter(self._due.keys() | self._last.keys())

    def forget(self, key: KeyT) -> None:
        self._due.pop(key, None)
        self._last.pop(key, None)
        self._counted.discard(key)
