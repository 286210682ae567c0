"""Books finished requests: in memory and in the journal at once, in SQLite in batches, and there within bounds."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ..config.settings import StorageSettings
from ..core.calendar import Clock, from_date
from ..core.models import RequestRecord
from ..core.records import dataclass
from . import space
from . import totals as books
from .database import Database
from .journal import Journal
from .metrics import Metrics
from .rollups import drop_hours
from .rows import FIRST_AT, INDEX, INTENT, Row, bounded_intent, from_row, interrupted, make_row, microseconds
from .wal import MOST_BOOKED_AT_ONCE, WalFullError, checkpoint

_LOG: Final = logging.getLogger(__name__)

BATCH_SECONDS: Final = 0.5
"""How long the first booking waits for others until the journal is synced, and until SQLite gets them; half of what a
power cut may take."""

CHECKPOINT_SECONDS: Final = 60.0
"""How often SQLite's file itself is brought up to date while requests come in. Each is two syncs of the disk."""

RETRY_SECONDS: Final = 5.0
"""Between two tries at a database that fails."""

MOST_UNMOVED: Final = 20_000
"""Bookings after which the file is brought up to date sooner: WAL and journal stay within some megabytes."""

MOST_WAITING: Final = 10_000
"""Bookings kept in memory for a database that does not take them; the oldest go first, and are read from the journal then."""

CHUNK: Final = 500
"""Rows deleted in one transaction: bookings wait for no more than that."""

FEW: Final = 64
"""Free pages not worth returning: they are used again soon."""

DAYS_KEPT: Final = 400
"""Days with totals of their own: a year can be compared with the one before. Older ones are kept by month."""

FEWER_DAYS: Final = (200, 100, 62)
"""The same where the totals alone take more than there is room for."""

_DAY_US: Final = 86_400 * 1_000_000
_MEGABYTE: Final = 1024 * 1024
_RECENT: Final = 200
_AT, _DEVICE, _TIER, _SCORE = (INDEX[name] for name in ("at", "device_id", "tier", "score"))
_ASKED, _PERSON = INTENT.index("requested_model"), INTENT.index("sub_identity")
_SHORT: Final = 64


@dataclass(slots=True)
class Retention:
    """What is kept: requests for so many days, and a file of at most so many megabytes."""

    settings: StorageSettings
    clock: Clock
    _added_up: int = 0
    too_large: str = ""
    """What is told where the database cannot be made to fit."""

    async def apply(self, database: Database) -> int:
        """Delete what is too old or too much, in small steps; returns how many requests went. Raises sqlite3.Error.

        What is too old only by a clock that can be believed.
        """
        gone, settled, before = 0, self.clock.settled(), self.before()
        while settled and (step := await database.run(lambda c: _delete(c, "WHERE at < ?", before))):
            gone += step
        most = await asyncio.to_thread(self.make_room, database)
        while await database.read(_used) > most:
            if not (step := await database.run(lambda c: _delete(c, "ORDER BY seq"))):
                break
            gone += step
        if settled:
            await self._add_up(database, most)
        while await database.read(_give_back):
            pass
        await self._tell(database, most)
        return gone

    def before(self) -> int:
        """What came in before this is too old; microseconds since 1970."""
        if not self.clock.settled():
            return FIRST_AT
        return max(FIRST_AT, microseconds(self.clock.utcnow()) - self.settings.retention_days * _DAY_US)

    @property
    def journal_share(self) -> int:
        """Bytes that the journal takes before the database's file is brought up to date, so that it can be forgotten."""
        return space.journal_share(self.settings.max_mb)

    def make_room(self, database: Database) -> int:
        """Remove copies beyond their share; returns what the database's file may take, in bytes. Reads the folder."""
        if database.path is None or database.taken:
            return self.settings.max_mb * _MEGABYTE
        folder = database.path.parent
        space.trim(folder, self.settings.max_mb)
        found = space.shares(folder, self.settings.max_mb)
        database.most_log = found.log
        return found.database

    async def _add_up(self, database: Database, most: int) -> None:
        """Totals of long ago need no days of their own; where there is little room, those of some months ago neither."""
        today = self.clock.utcnow().toordinal()
        for days in (DAYS_KEPT, *FEWER_DAYS):
            before = from_date(date.fromordinal(max(1, today - days)))
            if days != DAYS_KEPT and await database.read(_used) <= most:
                return
            if before > self._added_up or days == DAYS_KEPT:
                while await database.run(lambda c, before=before: books.by_month(c, before, CHUNK)):  # type: ignore[misc]
                    pass
                self._added_up = max(before, self._added_up)

    async def _tell(self, database: Database, most: int) -> None:
        """Say so where the file stays larger than it may be."""
        size = await database.read(_size)
        self.too_large = ""
        if size > max(most, self.settings.max_mb * _MEGABYTE // 2) and not database.volatile:
            self.too_large = (
                f"the database takes {size // _MEGABYTE} MB and cannot be made smaller: everything together may take "
                f"storage.max_mb, {self.settings.max_mb} MB"
            )


def _delete(connection: sqlite3.Connection, which: str, *parameters: int) -> int:
    """Delete some requests; returns how many."""
    query = f"DELETE FROM request WHERE seq IN (SELECT seq FROM request {which} LIMIT {CHUNK})"  # noqa: S608 - our own words
    gone = connection.execute(query, parameters).rowcount
    drop_hours(connection, 3 * CHUNK)
    return gone


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _size(connection: sqlite3.Connection) -> int:
    """Bytes of the file."""
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)


def _give_back(connection: sqlite3.Connection) -> bool:
    """Return some free pages to the disk; whether that may have left more. The next checkpoint shortens the file."""
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    if free < FEW:
        return False
    # A script runs each statement to its end; `execute` stops after the first page.
    connection.executescript(f"PRAGMA incremental_vacuum({CHUNK})")
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0]) < free


class Recorder:
    """`record` is synchronous and costs one small write(). `run` does the rest for ever, in the background."""

    def __init__(self, database: Database, journal: Journal, metrics: Metrics, retention: Retention) -> None:
        self._database = database
        self._journal = journal
        self._metrics = metrics
        self._retention = retention
        self._seq = 0
        self._waiting: deque[Row] = deque()
        self._recent: deque[Row] = deque(maxlen=_RECENT)
        self.newest: Row = ()
        self._unsynced, self._unwritten, self._unmoved = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._woken = False  # both of the first two are set
        self._flushing = asyncio.Lock()
        self._handed_over = 0
        self._failing = False
        self._held_up = ""
        self._lost = self._told_lost = 0
        self._untidy = False
        self._rows_unmoved = 0
        self._kept = 0
        self._overflowed = False
        self._moved_aside: Path | None = None

    def restore(self) -> None:
        """Bring into SQLite what a crash left in the journal, and live figures up to date; before serving, blocks."""
        self._retention.make_room(self._database)
        if self._database.taken:
            self._journal.folder = None  # it is another router's, too
        rows = list(self._journal.replay())
        self._database.add_damage(self._journal.damage)
        if self._journal.gone and self._database.killed:
            words = f"The journal, {self._journal.folder}, is gone: what was booked in the last moment before the router was killed is lost."
            self._database.add_damage([words])
        self._moved_aside = self._database.moved_aside
        last, safe = self._apply(rows)
        # Microseconds since 1970: above every number ever given, also where the database that knew them is gone.
        self._seq = max([microseconds(self._retention.clock.utcnow()), last, *(row[0] for row in rows)])
        orphans = self._orphans()
        if orphans:
            last, safe = self._apply(orphans)
        self._journal.start(self._seq + 1)
        for row in orphans if not last else ():
            self._journal.append(row)  # so that they are not orphans again the next time
        if safe and not self._database.volatile:
            self._journal.forget(last)
            self._journal.put_aside()
        self._recent.extend([*self._metrics.restore(self._database), *self._waiting])

    def _apply(self, rows: list[Row]) -> tuple[int, bool]:
        """Bring rows into SQLite; the last number there, 0 where it fails, and whether all of it is in the file itself."""
        try:
            last = self._database.run_sync(books.applied)
            for some in _slices(rows):
                last = self._database.run_sync(_applying(some))
            return last, self._database.read_sync(checkpoint)
        except sqlite3.Error as error:
            _LOG.error("The journal could not be brought into the database, it is kept: %s", error)
            self._waiting.extend(rows)
            return 0, False

    def _orphans(self) -> list[Row]:
        """What was under way when the process died, each booked at its estimate, in the day in which it came in."""
        intents = self._journal.orphans
        if not intents:
            return []
        since = min((seq for intent in intents.values() if type(seq := intent.get("seq")) is int), default=0)
        try:
            # A booking may be in the database alone, where its line in the journal was damaged.
            booked = self._database.read_sync(lambda c: books.ids_after(c, since))
        except sqlite3.Error:
            booked = set()
        found: list[Row] = []
        # Some time before the next beat, and its upstream went on until it noticed.
        ended = self._journal.seen + round(BATCH_SECONDS * 800_000)
        for name, intent in intents.items():
            if name not in booked and (row := interrupted(intent, self._seq + 1, ended)) is not None:
                self._seq += 1
                found.append(row)
        if found:
            _LOG.warning("%d requests were under way when the router was killed: booked at their estimates", len(found))
        return found

    def problems(self) -> tuple[str, ...]:
        """Why bookings made now may not last, and what was lost of those made before, in words."""
        words = self._database.damage
        if self._retention.too_large:
            words = (*words, self._retention.too_large)
        if self._database.taken:
            return ("another router uses this data folder: what is booked here is lost at the end", *words)
        if self._database.volatile:
            return ("the data folder cannot be used: what is booked is lost at the end", *words)
        if self._failing and self._held_up:
            return (
                f"bookings are not in the database yet ({self._held_up}): they wait in memory and in the journal",
                *words,
            )
        if self._failing or self._journal.failing:
            return ("bookings cannot be written to the data folder (is the disk full?): they wait in memory", *words)
        return words

    def record(self, values: tuple[Any, ...]) -> int:
        """Book one request: all of its row but the first value, the number of the booking, which is returned.

        Never raises, never waits: kill -9 after this loses nothing.
        """
        self._seq += 1
        try:
            row = make_row(self._seq, values)
            self._journal.append(row)
            self._metrics.add(row)
        except Exception:  # noqa: BLE001 - whatever is in a row: its request was answered, and others follow
            _LOG.exception("A request could not be booked: %.200s", values[:1])
            return self._seq
        self._waiting.append(row)
        self._recent.append(row)
        self.newest = row
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._overflowed = True
            self._lost += self._journal.failing
        if not self._woken:
            self._woken = True
            self._unsynced.set()
            self._unwritten.set()
        return self._seq

    def intend(self, values: tuple[Any, ...]) -> None:
        """Write down what is about to go upstream: all of an `INTENT` but its first value. Never raises, never waits.

        Should the process die before the request of that id is booked, the next start books it so.
        """
        try:
            model, person = values[_ASKED - 1], values[_PERSON - 1]  # texts of clients, which may be megabytes
            if person or len(model) > _SHORT or not model.isascii():
                self._journal.intend(values[0], bounded_intent((self._seq, *values)))
            else:
                self._journal.intend(values[0], (self._seq, *values))
        except Exception:  # noqa: BLE001 - as in `record`
            _LOG.exception("An intent could not be written: %.200s", values[:1])
            return
        if not self._woken:  # a power cut is to take no more of these either
            self._woken = True
            self._unsynced.set()
            self._unwritten.set()

    def amend(self, seq: int, tier: str, score: float) -> bool:
        """Fill in how hard a request was, of a booking that SQLite has not been given yet; nothing of any other.

        Whether it was done. Not in the journal: a booking that a crash takes back from there has no score.
        """
        if seq <= self._handed_over:
            return False
        done = _amend(self._waiting, seq, tier, score)
        _amend(self._recent, seq, tier, score)
        return done

    async def flush(self) -> None:
        """Bring everything booked so far into SQLite; on failure it stays queued, and the log says so once."""
        async with self._flushing:
            rows = list(self._waiting)
            if not rows:
                return
            if self._lost >= max(1, 2 * self._told_lost):  # as a list of losses that grows for ever tells nothing
                self._told_lost = self._lost
                words = (
                    f"{self._lost} booking(s) so far found no room, neither on the disk nor in memory, and are lost."
                )
                await asyncio.to_thread(self._database.add_damage, [words])
            self._handed_over = rows[-1][0]
            if self._overflowed or self._database.moved_aside != self._moved_aside:
                # Of a database that was damaged while it ran, the last bookings may be in the journal alone.
                self._moved_aside = self._database.moved_aside
                rows += await asyncio.get_running_loop().run_in_executor(None, lambda: list(self._journal.replay()))
            try:
                last = await self._book(rows)
            except sqlite3.Error as error:
                self._handed_over = 0
                if not self._failing:
                    _LOG.error("Bookings cannot be written to the database, they wait in memory: %s", error)
                self._failing = True
                self._held_up = str(error) if isinstance(error, WalFullError) else ""
                await self._bound_journal()
                return
            self._failing = self._overflowed = False
            self._unmoved.set()
            self._rows_unmoved += len(rows)
            # What came in meanwhile stays; an overflow may have taken some of these already.
            while self._waiting and self._waiting[0][0] <= last:
                self._waiting.popleft()

    async def _book(self, rows: list[Row]) -> int:
        """Bring rows into SQLite, some at a time: nobody waits long, and no transaction is large; returns the last one's number."""
        last = 0
        for some in _slices(rows):
            last = await self._database.run(_applying(some))
        return last

    @property
    def work(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """What keeps the disk in step with what is booked, each for ever and by its name; asleep while there is nothing.

        No data ends it, nor a disk that fails. What is not expected is raised; started again, it goes on where it was.
        """
        return {
            "journal-sync": self._sync_for_ever,
            "bookings": self._flush_for_ever,
            "database-tidy": self._tidy_for_ever,
        }

    async def run(self) -> None:
        """All of that work at once."""
        async with asyncio.TaskGroup() as tasks:
            for name, run in self.work.items():
                tasks.create_task(run(), name=name)

    async def _sync_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        if self._waiting:
            self._unsynced.set()
        while True:
            await self._unsynced.wait()
            await asyncio.sleep(BATCH_SECONDS)
            self._unsynced.clear()
            self._woken = False
            await loop.run_in_executor(None, self._journal.sync)
            if self._journal.open:
                self._journal.beat(round(self._retention.clock.unix() * 1_000_000))
                self._unsynced.set()

    async def _flush_for_ever(self) -> None:
        if self._waiting:
            self._unwritten.set()
        while True:
            await self._unwritten.wait()
            await asyncio.sleep(BATCH_SECONDS)
            self._unwritten.clear()
            self._woken = False
            await self.flush()
            if self._rows_unmoved >= MOST_UNMOVED or self._journal.size - self._kept > self._retention.journal_share:
                await self._settled()
            if self._failing:
                # Try again before long, also where nothing new comes in.
                self._unwritten.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _tidy_for_ever(self) -> None:
        try:
            await self._database.fill_standings()
            await self._database.look_through()
        except sqlite3.Error as error:
            self._complain(error)
        while True:
            await self._unmoved.wait()
            await asyncio.sleep(CHECKPOINT_SECONDS)
            await self.tidy()

    async def tidy(self) -> None:
        """Drop history beyond its bounds, and bring the files up to date."""
        self._unmoved.clear()
        try:
            await self._database.fill_hours()
            await self._retention.apply(self._database)
            self._forget_old()
            await self._database.fill_standings()
        except sqlite3.Error as error:
            self._complain(error)
        else:
            await self._settled()

    def _forget_old(self) -> None:
        """What is deleted is not told from memory either."""
        before = self._retention.before()
        while self._recent and self._recent[0][_AT] < before:
            self._recent.popleft()

    async def _settled(self) -> None:
        """Move the WAL into the file, and let the journal forget what is safe there."""
        self._rows_unmoved = 0
        if self._journal.rotate():
            self._unsynced.set()
        try:
            applied = await self._database.read(books.applied)
            safe = await self._database.read(checkpoint)
        except sqlite3.Error as error:
            self._complain(error)
            return
        self._untidy = False
        if safe and not self._database.volatile:
            self._journal.forget(applied)
        self._kept = self._journal.size
        if self._database.volatile:
            await self._bound_journal()

    async def _bound_journal(self) -> None:
        """While the database takes nothing the journal grows, but not beyond what everything together may take."""
        folder = self._journal.folder
        if folder is None:
            return
        if self._journal.rotate():
            self._unsynced.set()
        over = await asyncio.to_thread(space.over, folder.parent, self._retention.settings.max_mb)
        if over > 0:
            self._lost += self._journal.shed(over)

    def _complain(self, error: sqlite3.Error) -> None:
        if not self._untidy:
            _LOG.error("The database could not be tidied up: %s", error)
        self._untidy = True

    async def close(self) -> None:
        """Write everything; a journal that could not be brought into the database is kept for the next start."""
        await self.flush()
        await self._settled()
        self._journal.close()

    def waiting(self, limit: int, device_id: str | None = None) -> list[Row]:
        """The newest rows that are not in SQLite yet, of one device or (None) of all, newest first."""
        return _newest(self._waiting, limit, device_id)

    def latest(self, limit: int, device_id: str | None = None) -> list[Row]:
        """The newest rows, newest first, as many as are in memory: all there is to tell of them without a database."""
        return _newest(self._recent, limit, device_id)

    def recent(self, limit: int, device_id: str | None = None) -> list[RequestRecord]:
        """The same as records."""
        return [from_row(row) for row in self.latest(limit, device_id)]


def _newest(rows: deque[Row], limit: int, device_id: str | None) -> list[Row]:
    return list(islice((row for row in reversed(rows) if device_id is None or row[_DEVICE] == device_id), limit))


def _slices(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows, each once, in the order of booking, as many at a time as one transaction takes."""
    ordered = [row for _, row in sorted({row[0]: row for row in rows}.items())]
    for start in range(0, len(ordered), MOST_BOOKED_AT_ONCE):
        yield ordered[start : start + MOST_BOOKED_AT_ONCE]


def _applying(rows: list[Row]) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: books.apply(connection, rows)


def _amend(rows: deque[Row], seq: int, tier: str, score: float) -> bool:
    """Replace a row; found at once, as their numbers follow each other."""
    index = seq - rows[0][0] if rows else -1
    if not 0 <= index < len(rows) or rows[index][0] != seq:
        return False
    row = list(rows[index])
    row[_TIER], row[_SCORE] = tier, score
    rows[index] = tuple(row)
    return True
