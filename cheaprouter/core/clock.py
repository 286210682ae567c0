"""Time, handed in: tests turn it by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

_UTC_NOW: Final = partial(datetime.now, UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic`: seconds for intervals. `utcnow`: aware UTC for records."""

    monotonic: Callable[[], float] = time.monotonic
    utcnow: Callable[[], datetime] = _UTC_NOW
