"""The daily look at what models cost now, where the user wants it (`prices.refresh`): in the background, and off by default."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..catalog import refreshed
from ..catalog.catalog import shipped
from ..core.models import Json
from ..providers.endpoint import Endpoint
from ..providers.transport import TransportError, WireRequest
from ..upstream.direct import DirectTransport

URL: Final = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data_slim.json"
"""Where genai-prices publishes them; about 260 kB (November 2026)."""

EVERY: Final = 86_400.0
AGAIN: Final = 3_600.0
"""Seconds between two looks, and until the next after one that failed."""

LARGEST: Final = 4 << 20
"""Bytes; more is not read."""

_CONNECT_SECONDS: Final = 10.0
_SECONDS: Final = 60.0
_LOG: Final = logging.getLogger(__name__)


class PriceRefresh:
    """`wanted`: whether the settings ask for it just now. `apply`: makes what was kept hold. `unix`: the time, in seconds."""

    def __init__(
        self,
        folder: Path,
        wanted: Callable[[], bool],
        apply: Callable[[], None],
        unix: Callable[[], float],
        url: str = "",
    ) -> None:
        self._folder = folder
        self._wanted = wanted
        self._apply = apply
        self._unix = unix
        self._url = url or URL
        self._failed: float | None = None
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """The settings have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Look when it is due, for ever."""
        while True:
            self._changed.clear()
            if not self._wanted():
                await self._changed.wait()
            elif (wait := await asyncio.to_thread(self.due)) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
            else:
                await self.look()

    def due(self) -> float:
        """Seconds until the next look; none or less: now. A time in the future is a clock that was put right."""
        now = self._unix()
        if self._failed is not None and 0 <= now - self._failed < AGAIN:
            return self._failed + AGAIN - now
        last = refreshed.kept(self._folder)
        age = EVERY if last is None else now - last["read"]
        return EVERY - age if 0 <= age < EVERY else 0.0

    async def look(self) -> bool:
        """Read, keep and apply; whether that worked. What was good last stays where it did not."""
        try:
            published = await fetch(self._url)
            found = await asyncio.to_thread(self._read, published)
        except (TransportError, TimeoutError, OSError, ValueError) as error:
            if self._failed is None:
                _LOG.warning("Prices could not be refreshed, those of before hold: %s", _words(error))
            self._failed = self._unix()
            return False
        self._failed = None
        _LOG.info("prices were refreshed: %d are not as shipped", sum(map(len, found["models"].values())))
        if self._wanted():
            self._apply()
        return True

    def _read(self, published: bytes) -> Json:
        now = self._unix()
        found = refreshed.refreshed(published, shipped(), now, datetime.fromtimestamp(now, UTC).date().isoformat())
        refreshed.keep(self._folder, found)
        return found


def _words(error: Exception) -> str:
    return error.message if isinstance(error, TransportError) else str(error) or type(error).__name__


async def fetch(url: str) -> bytes:
    """What is there now. Raises TransportError, TimeoutError."""
    transport = DirectTransport()
    headers = {"Accept": "application/json", "User-Agent": "cheaprouter"}
    try:
        async with asyncio.timeout(_SECONDS):
            response = await transport.open(WireRequest(Endpoint("GET", url, headers)), _CONNECT_SECONDS)
            if response.status != 200:
                raise TransportError("prices", f"The server answered {response.status}.")
            return await response.read(LARGEST)
    finally:
        await transport.close()
