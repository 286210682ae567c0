"""Percentiles of the last so many values: bounded, and recent by nature."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

SIZE: Final = 256


class Reservoir:
    """The last `SIZE` values. Adding is O(1); a percentile sorts them."""

    __slots__ = ("_values",)

    def __init__(self, size: int = SIZE) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        """Take a value in; the oldest goes."""
        self._values.append(value)

    def percentile(self, share: float) -> float | None:
        """The smallest value that `share` (0..1) of all do not exceed; None while there is none."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
