"""One SQLite file, one thread that writes it, and another that reads reports. A broken or full disk is told once, and never stops the caller's work."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from ..core.errors import BooksUnavailableError
from . import compare, rollups, spare, standings, totals, wal
from .migrations import migrate, refuse_newer, transaction
from .reader import READ_TEXT, Reader, within
from .salvage import Damage, check, check_day, check_requests, salvage, unlike_words
from .wal import checkpoint

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_LOG: Final = logging.getLogger(__name__)

BUSY_MS: Final = 5000
"""How long to wait for another process (the command line) that writes."""

BUSY_TRIES: Final = 5
BUSY_PAUSE: Final = 0.2
"""Seconds between two tries to open."""

_ABOVE: Final = 2**63 - 1
"""No booking's number is as high."""

LOOK_PAUSE: Final = 0.05
"""Seconds between two looks into the requests: others want the disk, too."""

_HEADER: Final = 100
"""Bytes at the beginning of every SQLite file that holds anything."""

_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MALFORMED: Final = _CORRUPT | {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT}
"""At opening, a table that is missing, or there already, tells of a damaged page just as well."""


class Database:
    """The file at `path`, in WAL mode, brought up to date on `open`.

    Work runs in one thread, in the order in which it was given; `look` has a thread and a connection of its own that only
    reads, so that neither waits for the other. Where the file cannot be used at all, the database
    lives in memory until the process ends (`volatile`), so that everything but lasting goes on. So it does where another
    router has the file (`taken`): two that book into one would spoil each other's books. `path` None: in memory, as asked for.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._thread: ThreadPoolExecutor | None = None
        self._reports, self._looks = Reader("reports"), Reader("looks")
        self._connection: sqlite3.Connection | None = None
        self._data_version = 0
        self._lock: int | None = None
        self._serial: int | None = None
        self.most_log = wal.MOST_BYTES
        self._damage = Damage(None if path is None else path.with_name("damage.json"))
        self._unknown = Damage(None)
        self._ours = False
        self.volatile = path is None
        self.taken = False
        self.moved_aside: Path | None = None
        self.killed = False  # whoever had the file open last did not close it

    @property
    def damage(self) -> tuple[str, ...]:
        """What was lost of the books, and where the copy is, in words; over restarts, until `acknowledge`.

        Books that cannot be used are told for as long as this process lasts: the next start looks again.
        """
        return (*self._damage.words, *self._unknown.words)

    def add_damage(self, words: Iterable[str]) -> None:
        """Note that something of the books was lost."""
        self._damage.add(words)

    def acknowledge(self) -> None:
        """Somebody knows what was lost, and goes on without it."""
        self._unknown.acknowledge()
        if not self.taken:  # the note in the file is the other router's
            self._damage.acknowledge()

    def open(self, *, strict: bool = False) -> None:
        """Open or create the file and apply migrations; blocks for some milliseconds, so call it before serving.

        `strict`: for a command beside the router: raise sqlite3.Error or OSError where it cannot be used. Else the file is
        claimed, and one that is damaged, taken or out of reach is done without. Raises NewerDatabaseError before anything
        is written.
        """
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        try:
            self._thread.submit(self._open, strict).result()
        except BaseException:
            self._thread.submit(self._close).result()
            self._thread.shutdown()
            self._thread = None
            raise

    async def run(self, work: Work[T]) -> T:
        """Do `work` in one transaction. Raises sqlite3.Error where it fails; then nothing of it is kept."""
        return await asyncio.wrap_future(self.submit(work))

    def run_sync(self, work: Work[T]) -> T:
        """The same for start and for the command line: blocks the caller."""
        return self.submit(work).result()

    async def read(self, work: Work[T]) -> T:
        """Do `work` that changes nothing, or looks after its own transactions."""
        return await asyncio.wrap_future(self.submit(work, self._guard))

    def read_sync(self, work: Work[T]) -> T:
        """The same, blocking."""
        return self.submit(work, self._guard).result()

    async def look(self, work: Work[T], *, short: bool = False) -> T:
        """Do `work` that only reads, on what is in the file now, beside everything else, and not for long.

        `short`: it is over at once, and waits for no report. In memory there is one connection only; and one that meets
        damage leaves it to the one that can mend it. Raises sqlite3.Error, TooLongError.
        """
        path, connection = self.path, self._connection

        def bounded(connection: sqlite3.Connection) -> T:
            with within(connection):
                return work(connection)

        if path is None or self.volatile or connection is None:
            return await self.read(bounded)
        try:
            return await (self._looks if short else self._reports).look(path, connection, work)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if not corrupt(error):
                raise
            return await self.read(bounded)

    def keep(self, work: Work[object]) -> None:
        """Do `work` in the background, and make it safe from a power cut at once; failures go to the log."""
        for done in (self.submit(work), self.submit(checkpoint, self._guard)):
            done.add_done_callback(self._tell)

    def submit(self, work: Work[T], do: Callable[[Work[T]], T] | None = None) -> Future[T]:
        """Queue `work` without waiting for it, in a transaction unless `do` does it otherwise; look after the result."""
        if self._thread is None:
            raise sqlite3.ProgrammingError("the database is not open")
        return self._thread.submit(do or self._transact, work)

    async def look_through(self) -> None:
        """Take requests that cannot be right out, the newest first, a few at a time beside other work; hours are made anew.

        Raises sqlite3.Error.
        """
        if self.path is None or self.volatile:
            return
        day: int | None = 0
        while day is not None:
            day = await self.run(partial(rollups.mend_hours, after=day))
        await self.fill_hours()
        kept = _free_name(self.path, "rows")
        await self._compare(kept)
        below: int | None = _ABOVE
        while below is not None:
            try:
                bad, below = await self.run(partial(check_requests, below=below, kept=kept))
                words = f"Unreadable rows of `request` were lost; they are kept in {kept}." if bad else ""
            except OSError as error:
                words, below = f"Rows of `request` cannot be read, and there is no room to keep a copy ({error}).", None
            if words:
                await asyncio.to_thread(self.add_damage, [words])
            await asyncio.sleep(LOOK_PAUSE)

    async def _compare(self, kept: Path) -> None:
        """Have totals that are not the sum of their hours made anew; read beside other work, a day at a time."""
        for day in await self.look(compare.days):
            # Where something is wrong it is looked at once more by whoever mends it: bookings may have come in between.
            wrong = await self.look(partial(compare.different, day=day))
            if wrong and (count := await self.run(partial(_mend_day, day=day, kept=kept))):
                await asyncio.to_thread(self.add_damage, [unlike_words(count, kept)])
            await asyncio.sleep(LOOK_PAUSE)

    async def fill_hours(self) -> None:
        """Sum up hours of before there were any, or of before the file was damaged, a few at a time. Raises sqlite3.Error."""
        while await self.run(rollups.fill):  # noqa: ASYNC110 - nothing is waited for: others want the disk, too
            await asyncio.sleep(LOOK_PAUSE)

    async def fill_standings(self) -> None:
        """Make what is missing of standings, a day at a time: read beside other work, and written at once. Raises sqlite3.Error."""
        for kind in standings.KINDS:
            while (made := await self.look(partial(standings.make, kind=kind))) is not None:
                if not await self.run(partial(standings.keep, made=made)):
                    break  # something was booked to a day that is over: the next time
                await asyncio.sleep(LOOK_PAUSE)

    async def close(self) -> None:
        """Finish queued work, move the WAL into the file and close it."""
        await asyncio.to_thread(self.close_sync)

    def close_sync(self) -> None:
        """The same, blocking."""
        thread, self._thread = self._thread, None
        self._reports.close()
        self._looks.close()
        if thread is not None:
            thread.submit(self._close).result()
            thread.shutdown()

    # From here on: in the database's own thread.

    def _open(self, strict: bool) -> None:  # noqa: FBT001 - handed through a thread pool, by position
        if self.path is None:
            self._connection = self._connect(None)
            return
        refuse_newer(self.path)
        if not strict and not self._claim(self.path):
            self.taken = True
            self._fall_back(BlockingIOError("another router uses it"))
            return
        self._ours = not strict
        try:
            self._damage.load()
            gone = _gone(self.path)
            self.killed = Path(f"{self.path}-wal").exists()
            self._connection = self._connect_patiently(self.path)
            if gone:
                self.add_damage([f"The books, {self.path}, are gone: they begin anew. A backup may still hold them."])
            self._check(self._connection)
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            if strict and isinstance(error, UnicodeDecodeError):
                raise sqlite3.DatabaseError("the file is damaged") from error
            if strict:
                raise
            if _code(error) in _MALFORMED:
                self._start_anew(error)
            else:
                self._fall_back(error)

    def _check(self, connection: sqlite3.Connection) -> None:
        """Take out single rows that cannot be right, before anybody reads them; keys and settings come back from their second file."""
        assert self.path is not None
        serial = spare.serial(connection)
        if self._ours:
            totals.applied(connection)
            totals.recent(connection, 0)
            try:
                self.add_damage(check(connection, _free_name(self.path, "rows")))
            except OSError as error:
                self.add_damage([f"Rows of {self.path} cannot be read, and there is no room to keep a copy ({error})."])
        with transaction(connection):
            spare.number(connection, serial)
            self.add_damage(spare.reconcile(connection, spare.beside(self.path)))
            self._serial = spare.serial(connection)

    def _claim(self, path: Path) -> bool:
        """Take the lock that says whose file it is; the system gives it back however the process ends."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # No lock to be had here, on a network drive say: then nobody can be told from anybody.
            return not isinstance(error, BlockingIOError)
        return True

    def _connect_patiently(self, path: Path | None) -> sqlite3.Connection:
        """Another process may hold the file for a moment where SQLite itself does not wait."""
        for _ in range(BUSY_TRIES):
            try:
                return self._connect(path)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    raise
                time.sleep(BUSY_PAUSE)
        return self._connect(path)

    def _connect(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        connection = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=BUSY_MS / 1000)
        connection.text_factory = READ_TEXT
        try:
            # Before the first table: pages that retention frees can then be given back to the disk.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            # The journal of bookings carries what a power cut may take from an unsynced WAL.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute(f"PRAGMA journal_size_limit={wal.KEPT_BYTES}")
            connection.execute("PRAGMA cache_size=-2000")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _start_anew(self, error: BaseException) -> None:
        assert self.path is not None
        self._disconnect()
        aside = _free_name(self.path, "corrupt")
        try:
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
            self.path.rename(aside)
            self.moved_aside = aside
            self._connection = self._connect(self.path)
            saved = salvage(aside, self._connection)
            kept = f"it is kept as {aside}, and a new one begins. Saved: {saved}."
            self.add_damage([f"The database {self.path} is damaged ({error}): {kept}"])
            self._check(self._connection)
        except (sqlite3.Error, OSError, UnicodeDecodeError) as again:
            self.add_damage([f"The database {self.path} is damaged ({error}); what it holds could not be saved."])
            self._fall_back(again)

    def _tell(self, done: Future[Any]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            _LOG.error("A change could not be kept; it holds until the restart only: %s", error)

    def _fall_back(self, error: BaseException) -> None:
        words = f"The database {self.path} cannot be used ({error}): what was spent is unknown, what happens now is kept in memory only."
        self._unknown.add([words])
        self._disconnect()
        self.volatile = True
        self._connection = self._connect(None)
        if self.path is not None:  # limits hold, whatever becomes of the books
            with transaction(self._connection):
                spare.watch(self._connection)
                spare.take(self._connection, spare.beside(self.path))
                self._serial = spare.serial(self._connection)

    def _transact(self, work: Work[T]) -> T:
        def whole(connection: sqlite3.Connection) -> T:
            if self.path is not None and not self.volatile:
                wal.make_room(connection, self.path, self.most_log)
            with transaction(connection):
                done = work(connection)
                serial = self._keep_spare(connection)
            self._serial = serial
            return done

        return self._guard(whole)

    def _keep_spare(self, connection: sqlite3.Connection) -> int | None:
        """Where keys or settings were changed, have them in their second file before that is committed."""
        if self.path is None:
            return self._serial
        serial = spare.serial(connection)
        if serial != self._serial:
            if self.taken:
                raise BooksUnavailableError(
                    "Another router uses this data folder: keys and settings are changed there."
                )
            spare.write(connection, spare.beside(self.path))
        return serial

    def _guard(self, work: Work[T]) -> T:
        assert self._connection is not None
        try:
            return work(self._connection)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            # For a command beside the router it is not: the file is the router's to move.
            if corrupt(error) and self._ours and not self.volatile:
                self._start_anew(error)
            raise

    def changed_elsewhere(self, connection: sqlite3.Connection) -> bool:
        """Whether another process has written since this was asked last. No table is read. For use within `read`."""
        version = int(connection.execute("PRAGMA data_version").fetchone()[0])
        before, self._data_version = self._data_version, version
        return version != before

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                checkpoint(self._connection)
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _mend_day(connection: sqlite3.Connection, day: int, kept: Path) -> int:
    return check_day(connection, day, compare.different(connection, day), kept)


def corrupt(error: BaseException) -> bool:
    """Whether an error says that the file itself is damaged."""
    return _code(error) in _CORRUPT


def _code(error: BaseException) -> int:
    """SQLite's number for an error; Python cannot even decode some messages about a damaged file."""
    if isinstance(error, UnicodeDecodeError):
        return sqlite3.SQLITE_CORRUPT
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _gone(path: Path) -> bool:
    """Whether a router kept its books here before, and they are not there any more."""
    if path.exists() and (size := path.stat().st_size):
        return size < _HEADER  # SQLite may take it for a new one
    return path.with_name("instance_id").exists() or any(path.with_name("journal").glob("*.log"))


def _free_name(path: Path, what: str) -> Path:
    """A name beside the database that nothing has yet: the copies of before stay."""
    stem = f"{path.name}.{what}-{int(time.time())}"
    names = (path.with_name(f"{stem}{more}") for more in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(name for name in names if not name.exists())
