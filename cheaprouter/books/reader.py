"""A connection that only reads, with a thread of its own: a long report and bookings do not wait for each other."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

READ_TEXT: Final = partial(str, encoding="utf-8", errors="replace")
"""How text is read: what is no UTF-8 does not take the rest along."""

_PATIENCE: Final = 5.0
"""Seconds to wait where the file is locked, as while another process recovers it."""


class Reader:
    """Opened with the first look, and again where the writer has begun with another file."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._beside: object = None

    async def look(self, path: Path, writer: object, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` on one state of the file at `path`; `writer`: whoever writes it, asked for by identity alone.

        Raises sqlite3.Error.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reports")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, path, writer, work)

    def close(self) -> None:
        """End; a report that is under way is cut short."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._connection is not None:
                self._connection.interrupt()
            thread.submit(self._disconnect).result()
            thread.shutdown()

    # From here on: in the reader's own thread.

    def _look(self, path: Path, writer: object, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._beside is not writer:
            self._disconnect()
        if self._connection is None:
            self._connection = _connect(path)
            self._beside = writer
        self._connection.execute("BEGIN")
        try:
            return work(self._connection)
        finally:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE)
    connection.text_factory = READ_TEXT
    return connection
