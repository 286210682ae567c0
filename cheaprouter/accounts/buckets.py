"""The token bucket: how much may be used within a minute, without a window that one could straddle."""

from __future__ import annotations

from typing import Final

MINUTE: Final = 60.0

_ROUNDING: Final = 1e-6
"""A level that misses a whole unit by less than this is whole: sums of fractions are not exact."""


class TokenBucket:
    """Holds one minute's limit, starts full, refills evenly.

    `level` may fall below zero where actual use exceeded what was reserved; the debt is paid before anything else.
    A monotonic clock (seconds) is handed in with each call; one that steps back is taken to stand still.
    """

    __slots__ = ("_at", "capacity", "level")

    def __init__(self, capacity: int, now: float) -> None:
        self.capacity = capacity
        self.level = float(capacity)
        self._at = now

    def refill(self, now: float) -> None:
        """Let time pass."""
        if now > self._at:
            self.level = min(float(self.capacity), self.level + (now - self._at) * self.capacity / MINUTE)
            self._at = now

    def wait(self, amount: int, now: float) -> float:
        """Seconds until `amount` can be taken, 0 if it can now; infinite where it is more than the bucket ever holds."""
        self.refill(now)
        if self.level + _ROUNDING >= amount:
            return 0.0
        if amount > self.capacity:
            return float("inf")
        return (amount - self.level) * MINUTE / self.capacity

    def take(self, amount: int) -> None:
        """Use up; after `wait` said 0, or to book what was used beyond a reservation."""
        self.level -= amount

    def give(self, amount: int) -> None:
        """Put back what was taken and not used."""
        self.level = min(float(self.capacity), self.level + amount)

    def resize(self, capacity: int, now: float) -> None:
        """Change the limit; what was used of the old one stays used, as far as the new one is not simply empty then."""
        if capacity == self.capacity:
            return
        self.refill(now)
        level = self.level + capacity - self.capacity
        self.level = level if level >= 0 else min(0.0, self.level)
        self.capacity = capacity

    def remaining(self, now: float) -> int:
        """Whole units that could be taken now."""
        self.refill(now)
        return max(0, int(self.level + _ROUNDING))

    def full_in(self, now: float) -> float:
        """Seconds until the bucket is full again."""
        self.refill(now)
        return max(0.0, (self.capacity - self.level) * MINUTE / self.capacity)
