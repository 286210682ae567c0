"""Bookings on disk at once: one line each, one write() each, read back after a crash.

A line is a CRC-32 in hex, a space, and JSON: first the names of the columns, then rows. One that was torn by a full disk or
a crash gets `~` at its end, and is no loss: its row waits in memory, or was never booked. The process may be killed at any
moment: what was written is in the kernel's hands. `sync` makes it safe from a power cut; it blocks, and belongs in a thread. Old segments go once SQLite holds their rows for good.

Before a request goes upstream its intent is written, an object with a `~` behind it, so that versions that know of none pass it
over as they do what is torn. The row with the same id closes it; what is never closed was under way when the process died.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from .rows import COLUMNS, INTENT, Row, from_disk

_LOG: Final = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 512 * 1024
"""A segment longer than this is followed by a new one at the next batch."""

_FIRST_COLUMNS: Final = COLUMNS[:31]
"""What 0.1.0 wrote, which named no columns."""


class Journal:
    """Segments `<folder>/<first seq>.log`, in order. A disk that refuses is told once, and appending goes on trying.

    `folder` None: nothing is read or written. `dirty`: something was appended since the last `sync`. `orphans`: intents that
    the last whole `replay` found no rows of, by id; `seen`: the last moment that it found (microseconds since 1970); `gone`: it
    found no segment at all. `open`: the lines of those that have no row yet.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._file = -1
        self._size = 0
        self._torn = False
        self._ended: dict[Path, int] = {}
        self._sizes: dict[Path, int] = {}
        self._last = 0
        self._current: Path | None = None
        self._left: list[int] = []
        self._new = False
        self._damaged: set[Path] = set()
        self.dirty = self.gone = False
        self.failing = False
        self.damage: list[str] = []
        self.orphans: dict[str, dict[str, Any]] = {}
        self.open: dict[str, bytes] = {}
        self.seen = 0

    def replay(self) -> Iterator[Row]:
        """All whole rows on disk, in order of writing; a torn or damaged line is left out, and `damage` tells of it."""
        self.damage = []
        orphans: dict[str, dict[str, Any]] = {}
        closed: set[str] = set()
        segments = self._segments()
        self.gone = self.folder is not None and not segments
        for path in segments:
            try:
                data = path.read_bytes()
            except OSError as error:
                self._lost(path, f"The journal {path} cannot be read ({error}).")
                continue
            names: tuple[str, ...] = _FIRST_COLUMNS
            intent: tuple[str, ...] = ()
            bad = 0
            *lines, torn = data.split(b"\n")
            for line in (*lines, torn):
                found = _decode(line)
                if isinstance(found, dict):
                    names = tuple(map(str, found.get("columns", ())))
                    intent = tuple(map(str, found.get("intent", ())))
                elif isinstance(found, list) and len(found) == len(names) and (row := from_disk(found, names)):
                    self._last = max(self._last, row[0])
                    closed.add(row[1])
                    self.seen = max(self.seen, row[_AT])
                    yield row
                elif line.endswith(_INTENT):
                    orphans |= _intent(line, intent)
                    self.seen = max(self.seen, _beat(line))
                elif line.strip(b"\0") and line is not torn and not line.endswith(_TORN):
                    bad += 1
            if bad:
                self._lost(path, f"{bad} line(s) of the journal {path} cannot be read.")
        self.orphans = {name: intent for name, intent in orphans.items() if name not in closed}

    def _lost(self, path: Path, words: str) -> None:
        self._damaged.add(path)
        self.damage.append(f"{words} The file is kept as {_aside(path).name}.")

    def start(self, next_seq: int) -> None:
        """Begin a new segment; those of before are kept until `forget`."""
        self._ended = dict.fromkeys(self._segments(), next_seq - 1)
        self._last = next_seq - 1
        self._begin(next_seq)

    def append(self, row: Row) -> bool:
        """Write one row, with one system call; False where the disk refuses. Never raises, never waits for the disk."""
        self.open.pop(row[1], None)
        data = orjson.dumps(row)  # `_encode`, without the call
        if not self._write(b"%08x %b\n" % (zlib.crc32(data), data), row[0]):
            return False
        self._last = row[0]
        return True

    def intend(self, name: str, values: tuple[Any, ...]) -> bool:
        """Write the intent of the request of that id, in the order of `INTENT`; a later one replaces it. As `append`."""
        data = orjson.dumps(values)
        line = self.open[name] = b'%08x {"intent":%b}~\n' % (zlib.crc32(data), data)
        return self._write(line, self._last + 1)

    def beat(self, at: int) -> None:
        """Say that the process still ran then, for as long as something is under way. Not worth a sync of the disk."""
        data, dirty = b"%d" % at, self.dirty
        self._write(b'%08x {"seen":%b}~\n' % (zlib.crc32(data), data), self._last + 1)
        self.dirty = dirty

    def _write(self, line: bytes, seq: int) -> bool:
        """Write a line; `seq`: the name of the segment, where there is none yet."""
        if self._torn:
            line = _TORN + b"\n" + line
        if self._file < 0 and not self._begin(seq):
            return False
        try:
            written = os.write(self._file, line)
        except OSError as error:
            return self._refused(error)
        self._size += written
        self.dirty = True
        self._torn = written != len(line)
        if self._torn:
            return self._refused(None)
        self.failing = False
        return True

    def sync(self) -> None:
        """Wait until the disk holds what was appended. Blocks: for a thread."""
        dirty, self.dirty = self.dirty, False
        try:
            while self._left:
                os.fdatasync(self._left[0])
                os.close(self._left.pop(0))
            if dirty and self._file >= 0:
                os.fdatasync(self._file)
            if self._new and self.folder is not None:
                self._new = False
                _sync_folder(self.folder)
        except OSError as error:
            self._refused(error)

    def rotate(self) -> bool:
        """Begin a new segment if the current one is long; whether it did: the old one is closed by the next `sync`.

        Cheap; in the thread that appends.
        """
        if self._size >= SEGMENT_BYTES and self._current is not None:
            ended, previous, size = self._current, self._file, self._size
            if self._begin(self._last + 1):
                # What is under way goes along: the old segment may be gone before it is over.
                along = not self.open or self._write(b"".join(self.open.values()), self._last + 1)
                self._ended[ended] = self._last if along else _NEVER
                self._sizes[ended] = size
                self._left.append(previous)
                return True
        return False

    def forget(self, applied: int) -> None:
        """Remove ended segments whose rows are all in SQLite for good (up to seq `applied`)."""
        for path in [path for path, last in self._ended.items() if last <= applied]:
            with suppress(OSError):
                if path in self._damaged:
                    path.rename(_aside(path))
                else:
                    path.unlink(missing_ok=True)
                del self._ended[path]
                self._sizes.pop(path, None)

    def shed(self, size: int) -> int:
        """Remove ended segments of at least so many bytes, the oldest first: there is no room. Returns how many bookings went."""
        gone = 0
        for path in sorted(self._ended):
            if size <= 0:
                break
            with suppress(OSError):
                data = path.read_bytes()
                path.unlink(missing_ok=True)
                gone += max(0, data.count(b"\n") - data.count(_TORN + b"\n") - 1)  # the first line names the columns
                size -= len(data)
                del self._ended[path]
                self._sizes.pop(path, None)
        return gone

    @property
    def size(self) -> int:
        """Bytes of what was appended since a segment began, and of those that ended and are still there."""
        return self._size + sum(self._sizes.get(path, 0) for path in self._ended)

    def put_aside(self) -> None:
        """Rename damaged segments whose whole rows are all in SQLite for good: what was acknowledged is not told again."""
        for path in self._damaged & self._ended.keys():
            with suppress(OSError):
                path.rename(_aside(path))
                self._damaged.discard(path)
                del self._ended[path]

    def close(self) -> None:
        """Stop appending."""
        self.sync()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _segments(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(self.folder.glob("*.log"))

    def _begin(self, seq: int) -> bool:
        if self.folder is None:
            return False
        path = self.folder / f"{seq:020d}.log"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            return self._refused(error)
        # A segment of that name was begun before a crash and may end in the middle of a line.
        self._torn = self._size > 0
        if not self._size:
            with suppress(OSError):  # whoever fails to write this will fail to write a row, too, and tell
                self._size = os.write(self._file, _HEAD)
                self._torn = self._size != len(_HEAD)
        self._current = path
        self._new = True
        self._ended.pop(path, None)
        return True

    def _refused(self, error: OSError | None) -> bool:
        if not self.failing:
            _LOG.error(
                "The journal in %s cannot be written (%s): bookings are kept in memory until the database takes them.",
                self.folder,
                error or "no space left",
            )
        self.failing = True
        return False


def _sync_folder(folder: Path) -> None:
    """Make a new file's name last, too."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _encode(value: object) -> bytes:
    data = orjson.dumps(value)
    return b"%08x %b\n" % (zlib.crc32(data), data)


def _decode(line: bytes) -> object:
    """What a line says; None where it is torn or damaged."""
    data = line[9:]
    try:
        return orjson.loads(data) if int(line[:8], 16) == zlib.crc32(data) else None
    except ValueError:
        return None


def _intent(line: bytes, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The intent in a line, by its id; nothing where it is torn or damaged."""
    found = _inside(line, _OPENS)
    if not isinstance(found, list) or len(found) != len(names):
        return {}
    intent = dict(zip(names, found, strict=True))
    return {str(intent["id"]): intent} if "id" in intent else {}


def _beat(line: bytes) -> int:
    """The moment in a line that tells one, else 0."""
    found = _inside(line, _BEATS)
    return found if type(found) is int else 0


def _inside(line: bytes, opens: bytes) -> object:
    """What such a line holds; None where it is another, torn or damaged."""
    start = len("00000000 ") + len(opens)
    data = line[start : -len(_INTENT)]
    try:
        return orjson.loads(data) if line[9:start] == opens and int(line[:8], 16) == zlib.crc32(data) else None
    except ValueError:
        return None


_AT: Final = COLUMNS.index("at")
_TORN: Final = b"~"
_BEATS: Final = b'{"seen":'
_OPENS: Final = b'{"intent":'
_INTENT: Final = b"}~"
_NEVER: Final = 2**62
_HEAD: Final = _encode({"columns": COLUMNS, "intent": INTENT})
