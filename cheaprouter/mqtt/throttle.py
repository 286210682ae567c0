"""How often a thing may be published: at once, then at most once an interval, and never without the last value."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)


class Throttle(Generic[KeyT]):
    """Leading and trailing edge for each key. Seconds, monotonic, handed in.

    What is due at a set time (`touch_at`) is outside the count: a setting shown at once delays no figures.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._due: dict[KeyT, float] = {}
        self._last: dict[KeyT, float] = {}
        self._counted: set[KeyT] = set()

    def touch(self, key: KeyT, now: float) -> None:
        """Something changed: due now, or one interval after the last time."""
        last = self._last.get(key)
        self._counted.add(key)
        self.touch_at(key, now if last is None else max(now, last + self.interval))

    def touch_at(self, key: KeyT, when: float) -> None:
        """Due at that time, or earlier if it was already."""
        due = self._due.get(key)
        if due is None or when < due:
            self._due[key] = when

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

    def __len__(self) -> int:
        return len(self._due.keys() | self._last.keys())

    def __iter__(self) -> Iterator[KeyT]:
        return iter(self._due.keys() | self._last.keys())

    def forget(self, key: KeyT) -> None:
        """The key is gone."""
        self._due.pop(key, None)
        self._last.pop(key, None)
        self._counted.discard(key)
