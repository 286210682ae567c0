"""Connections that only read, each with a thread of its own: a long report, a short look and bookings do not wait for each other.

None works for longer than `MOST_SECONDS`, and only so many wait for their turn: whoever asks is told at once, or soon.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

READ_TEXT: Final = partial(str, encoding="utf-8", errors="replace")
"""How text is read: what is no UTF-8 does not take the rest along."""

MOST_SECONDS: Final = 2.0
"""How long one look may work. Reports are read from sums, within hundredths: what takes so long would hold up the next ones,
and a WAL that is read from cannot begin anew."""

SLOW: Final = 5
"""How many times as long a look may take where it waits for the disk: after a start nothing of the file is in memory."""

MOST_WAITING: Final = 8
"""Looks that wait for their turn."""

_STEPS: Final = 20_000
"""SQLite's steps between two looks at the time: less than a millisecond."""

_PATIENCE: Final = 5.0
"""Seconds to wait where the file is locked, as while another process recovers it."""


class TooLongError(sqlite3.OperationalError):
    """A look took longer than it may, or too many wait already."""


class Reader:
    """Opened with the first look, and again where the writer has begun with another file."""

    def __init__(self, name: str, most_seconds: float = MOST_SECONDS) -> None:
        self._name = name
        self._most_seconds = most_seconds
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._beside: object = None
        self._waiting = 0

    async def look(self, path: Path, writer: object, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` on one state of the file at `path`; `writer`: whoever writes it, asked for by identity alone.

        Raises sqlite3.Error; TooLongError where it would take too long.
        """
        if self._waiting > MOST_WAITING:
            raise TooLongError("too many reports are asked for at once")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, path, writer, work)
        finally:
            self._waiting -= 1

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
            with within(self._connection, self._most_seconds):
                return work(self._connection)
        finally:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


@contextmanager
def within(connection: sqlite3.Connection, seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Let SQLite work for no longer than that, of its own time: a disk that is read for the first time may take `SLOW` times as long.

    Raises TooLongError; the connection can be used on.
    """
    began, worked = time.monotonic(), time.thread_time()
    late = False

    def is_late() -> bool:
        nonlocal late
        since = time.monotonic() - began
        late = since > seconds and (since > seconds * SLOW or time.thread_time() - worked > seconds)
        return late

    connection.set_progress_handler(is_late, _STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if late:
            raise TooLongError(f"it would take longer than {seconds:g} seconds") from error
        raise
    finally:
        connection.set_progress_handler(None, 0)


def _connect(path: Path) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE)
    connection.text_factory = READ_TEXT
    return connection
