"""Tries whose clients have left, and which are read on for a moment: what they cost is told at an answer's end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from ..core.models import Model, Usage
from ..providers.transport import TransportError

_LOG: Final = logging.getLogger(__name__)

READ_ON: Final = 10.0
"""Seconds that an answer may still take after its client has left."""

MOST: Final = 64
MOST_OF_ONE: Final = 8
"""Answers read on at a time, and those for one device: beyond that they are dropped at once, and estimated."""


class Left(Protocol):
    """A try that its client no longer waits for."""

    model: Model

    async def read_on(self) -> None:
        """Read to its end. Raises TransportError."""

    def end(self) -> Usage | None:
        """Drop it, and say what it used, told or estimated; None where that is nothing."""


class LeftBehind:
    """Those that are read on, each in a task of its own."""

    def __init__(self, seconds: float = READ_ON) -> None:
        self._seconds = seconds
        self._running: dict[asyncio.Task[None], str] = {}
        self._of: Counter[str] = Counter()
        self.closed = False

    def takes(self, left: Left, device_id: str) -> bool:
        """Whether that one is to be read on: not what costs nothing, and only so many."""
        if self.closed or left.model.free or len(self._running) >= MOST:
            return False
        return self._of[device_id] < MOST_OF_ONE

    def read_on(self, left: Left, device_id: str, done: Callable[[Usage | None], None]) -> None:
        """Read on in the background, and call `done` in any case, with what was used."""
        self._of[device_id] += 1
        task = asyncio.create_task(self._read_on(left, done), name=f"left by {device_id}")
        self._running[task] = device_id
        task.add_done_callback(self._ended)

    async def _read_on(self, left: Left, done: Callable[[Usage | None], None]) -> None:
        try:
            with suppress(TimeoutError, TransportError):
                async with asyncio.timeout(self._seconds):
                    await left.read_on()
        finally:
            done(left.end())

    def _ended(self, task: asyncio.Task[None]) -> None:
        device_id = self._running.pop(task)
        self._of[device_id] -= 1
        if not self._of[device_id]:
            del self._of[device_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("an answer could not be read on", exc_info=error)

    async def close(self) -> None:
        """Read on no more: what is under way is estimated now."""
        self.closed = True
        tasks = [*self._running]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
