"""Percentiles of the last so many values: bounded, and recent by nature."""

from __future__ import annotations

import math
from array import array
from typing import Final

SIZE: Final = 256


class Reservoir:
    """The last `SIZE` values. Adding is O(1); a percentile sorts them."""

    __slots__ = ("_next", "_size", "_values")

    def __init__(self, size: int = SIZE) -> None:
        self._values = array("d")
        self._size = size
        self._next = 0

    def add(self, value: float) -> None:
        """Take a value in; the oldest goes."""
        if len(self._values) < self._size:
            self._values.append(value)
        else:
            self._values[self._next] = value
            self._next = (self._next + 1) % self._size

    def percentile(self, share: float) -> float | None:
        """The smallest value that `share` (0..1) of all do not exceed; None while there is none."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
