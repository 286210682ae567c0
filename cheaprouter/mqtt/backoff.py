"""How long to wait before connecting again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


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
        """Start over."""
        self._failures = 0
