"""Hot reload: files are looked at every few seconds; a change is loaded, checked and handed on, or reported and ignored."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from ..core.errors import ConfigurationError
from .loader import Loaded

_LOG: Final = logging.getLogger(__name__)
INTERVAL: Final = 2.0
SETTLE: Final = 0.3
"""Seconds that a changed file must stay as it is: editors write in pieces."""

Stamp = tuple[int, int, int] | None


class ConfigWatcher:
    """Polls files by modification time and size, and reads them only when those change: the content decides.

    `load` gives the new settings or raises ConfigurationError; then the old ones stay and `on_problem` is told, once for each
    content. `on_change` is called in the event loop; where it raises, that is a problem as well. `sleep` is injected for tests.
    """

    def __init__(
        self,
        files: Sequence[Path],
        load: Callable[[], Loaded],
        on_change: Callable[[Loaded], Awaitable[None]],
        *,
        on_problem: Callable[[list[str]], None],
        interval: float = INTERVAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._files = tuple(files)
        self._load = load
        self._on_change = on_change
        self._on_problem = on_problem
        self._interval = interval
        self._sleep = sleep
        self._stamps = self._look()
        self._digest = _digest(self._files)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._sleep(self._interval)
            await self.poll()

    async def poll(self) -> bool:
        """Look once; True where new settings were handed on."""
        stamps = self._look()
        if stamps == self._stamps:
            return False
        await self._sleep(SETTLE)
        if self._look() != stamps:
            return False  # somebody is still writing: the next look will tell
        self._stamps = stamps
        digest = await asyncio.to_thread(_digest, self._files)
        if digest == self._digest:
            return False
        self._digest = digest
        return await self._take()

    async def _take(self) -> bool:
        try:
            await self._on_change(await asyncio.to_thread(self._load))
        except ConfigurationError as error:
            self._on_problem(error.problems)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a file does to us, the old settings stay
            _LOG.exception("the changed configuration could not be taken")
            self._on_problem([f"the changed configuration could not be taken ({type(error).__name__})"])
        else:
            return True
        return False

    def _look(self) -> list[Stamp]:
        return [_stamp(path) for path in self._files]


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        try:
            digest.update(path.read_bytes())
        except OSError:
            digest.update(b"\0absent")
        digest.update(b"\0\0")
    return digest.hexdigest()
