"""What is left of damaged books: rows that can be read are taken over, the rest is kept beside them and told in words."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import orjson

from . import totals
from .migrations import TABLES
from .rows import COLUMNS, from_disk

UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises; Python cannot even decode some of SQLite's messages about it."""

MOST_WORDS: Final = 20
MOST_TRIES: Final = 2000
"""Looks into a table behind its first damaged page."""

_TEXT: Final = "text"
_JSON: Final = "json"
_MAYBE: Final = "text or nothing"
_TIME: Final = "seconds"
_COUNT: Final = "count"
_RULES: Final[Mapping[str, Mapping[str, str]]] = {
    "setting": {
        "scope": _TEXT, "name": _TEXT, "value": _JSON, "baseline": _JSON, "source": _TEXT, "changed_at": _TIME,
    },
    "device": {"id": _TEXT, "slug": _TEXT, "name": _MAYBE, "first_seen": _TIME, "last_seen": _TIME},
    "device_key": {"hash": _TEXT, "device_id": _TEXT, "hint": _TEXT, "created_at": _TIME},
    "forgiven": {"scope": _TEXT, "day": _COUNT, "day_amount": _COUNT, "month_amount": _COUNT},
}  # fmt: skip
"""What each value of the small tables must be. All of a table is read at start: one bad value must not take the rest along."""

_MOST_KEY: Final = {"seq": 2**62, "day": 99991231}
_SECONDS: Final = 253_402_300_800
_MOST: Final = 2**61
_BAD_TOTALS: Final = " OR ".join(
    [f"typeof({name}) != 'text'" for name in totals.DAILY[1:4]]
    + [f"typeof({name}) != 'integer' OR abs({name}) > {_MOST}" for name in totals.TOTALS]
    + ["typeof(day) != 'integer' OR day NOT BETWEEN 10101 AND 99991231"]
)


class Damage:
    """What was lost, in words; in a file, so that no restart forgets it, until somebody says that it was seen."""

    def __init__(self, path: Path | None, log: logging.Logger) -> None:
        self._path = path
        self._log = log
        self._lock = threading.Lock()
        self.words: tuple[str, ...] = ()

    def load(self) -> None:
        """Take up what was not yet acknowledged before the start."""
        if self._path is None or not self._path.exists():
            return
        try:
            found = orjson.loads(self._path.read_bytes())
            self.words = tuple(word for word in found if isinstance(word, str))
        except (OSError, ValueError, TypeError):
            self.words = (f"Something of the books was lost before; what, {self._path} cannot tell any more.",)

    def add(self, words: Iterable[str]) -> None:
        """Tell and keep what was lost now."""
        with self._lock:
            new = [word for word in dict.fromkeys(words) if word not in self.words]
            if not new:
                return
            for word in new:
                self._log.error("%s", word)
            self.words = (*self.words, *new)[-MOST_WORDS:]
            self._write()

    def acknowledge(self) -> None:
        """Somebody has read it."""
        with self._lock:
            self.words = ()
            if self._path is not None:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        if self._path is None:
            return
        partial = self._path.with_name(f"{self._path.name}.partial")
        try:
            write_private(partial, orjson.dumps(self.words, option=orjson.OPT_INDENT_2))
            partial.replace(self._path)
        except OSError as error:
            self._log.error("What was lost cannot be noted in %s: %s", self._path, error)


def write_private(path: Path, data: bytes) -> None:
    """Write and sync a file that nobody else can read. Raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def check(connection: sqlite3.Connection, kept: Path) -> list[str]:
    """Take rows with impossible values out of the tables that are read at start, into the file `kept`; tells in words.

    Raises sqlite3.Error, OSError; then nothing was taken out.
    """
    lost: list[tuple[str, dict[str, Any]]] = []
    before = connection.text_factory
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.text_factory = _text_or_bytes
        for table, rules in _RULES.items():
            lost += [(table, row) for row in _take_out(connection, table, rules)]
        bad = connection.execute(f"SELECT {', '.join(totals.DAILY)} FROM daily WHERE {_BAD_TOTALS}").fetchall()  # noqa: S608 - our own names
        if bad:
            connection.execute(f"DELETE FROM daily WHERE {_BAD_TOTALS}")  # noqa: S608 - likewise
            lost += [("daily", dict(zip(totals.DAILY, row, strict=True))) for row in bad]
        if lost:
            lines = [orjson.dumps({"table": table, "row": row}, default=bytes.hex) for table, row in lost]
            write_private(kept, b"\n".join(lines) + b"\n")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.text_factory = before
    counts: dict[str, int] = {}
    for table, _ in lost:
        counts[table] = counts.get(table, 0) + 1
    return [f"{n} unreadable row(s) of `{table}` were lost; they are kept in {kept}." for table, n in counts.items()]


def salvage(damaged: Path, target: sqlite3.Connection) -> str:
    """Take over every row that can be read, into fresh tables; tells what came over. Raises sqlite3.Error of the target."""
    told = {}
    with closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as source:
        source.text_factory = _text_or_bytes
        target.execute("BEGIN")
        for table in TABLES:
            copy = _Copy(source, target, table)
            whole = copy.all()
            told[table] = f"{'all' if whole else 'only'} {copy.count} row(s) of `{table}`"
            if table == "daily":
                daily = whole
        if not daily:
            totals.rebuild(target)
        target.execute("COMMIT")
    return ", ".join(told.values())


class _Copy:
    """One table's way from a damaged file into a sound one: forward, from its end backward, then into what lies between."""

    def __init__(self, source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
        self._source = source
        self._target = target
        self._table = table
        self.count = 0
        ours = target.execute(f"PRAGMA table_info({table})").fetchall()
        self._keys = [name for _, name in sorted((column[5], column[1]) for column in ours if column[5])]
        try:
            theirs = {column[1] for column in source.execute(f"PRAGMA table_info({table})")}
        except UNREADABLE:
            theirs = set()
        self._there = theirs.issuperset(self._keys)
        # The key comes first: it says how far a look got.
        self._columns = self._keys + [c[1] for c in ours if c[1] in theirs and c[1] not in self._keys]
        names = COLUMNS if table == "request" else self._columns
        self._insert = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - our own names

    def all(self) -> bool:
        """Copy what can be read; whether that was everything."""
        if not self._there:
            return False
        last, whole = self._look()
        if whole:
            return True
        first, _ = self._look(backward=True)
        if (most := _MOST_KEY.get(self._keys[0])) is None:
            self._by_letter()
        else:
            self._between(last if isinstance(last, int) else 0, first if isinstance(first, int) else most)
        return False

    def _between(self, low: int, high: int) -> None:
        """Halve what no look has reached, the widest spans first."""
        spans = deque([(low, high)])
        for _ in range(MOST_TRIES):
            if not spans:
                return
            low, high = spans.popleft()
            span = (f"{self._keys[0]} BETWEEN ? AND ?", (low, high))
            last, whole = self._look(*span)
            if whole:
                continue
            first, _whole = self._look(*span, backward=True)
            low, high = last if isinstance(last, int) else low, first if isinstance(first, int) else high
            if low < high:
                middle = (low + high) // 2
                spans += [(low, middle), (middle + 1, high)]

    def _by_letter(self) -> None:
        edges = ["", *map(chr, range(0x20, 0x80))]
        for low, high in zip(edges, [*edges[1:], "\U0010ffff"], strict=True):
            where, span = f"{self._keys[0]} >= ? AND {self._keys[0]} < ?", (low, high)
            if not self._look(where, span)[1]:
                self._look(where, span, backward=True)

    def _look(self, where: str = "1", parameters: tuple[Any, ...] = (), *, backward: bool = False) -> tuple[Any, bool]:
        """Copy rows in the key's order until the end or the first that cannot be read; its last key, and whether it was the end."""
        order = ", ".join(f"{key} DESC" if backward else key for key in self._keys)
        last = None
        try:
            rows = self._source.execute(
                f"SELECT {', '.join(self._columns)} FROM {self._table} WHERE {where} ORDER BY {order}",  # noqa: S608 - our own names
                parameters,
            )
        except UNREADABLE:
            return None, False
        while True:
            try:
                row = next(rows, None)
            except UNREADABLE:
                return last, False
            if row is None:
                return last, True
            last = row[0]
            self._put(row)

    def _put(self, row: tuple[Any, ...]) -> None:
        booking = from_disk(row, self._columns) if self._table == "request" else row
        if booking is not None:
            self.count += self._target.execute(self._insert, booking).rowcount


def _take_out(connection: sqlite3.Connection, table: str, rules: Mapping[str, str]) -> list[dict[str, Any]]:
    names = list(rules)
    rows = connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()  # noqa: S608 - our own names
    good = [row for row in rows if all(map(_fits, row, rules.values()))]
    if len(good) == len(rows):
        return []
    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - likewise
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - likewise
    connection.executemany(insert, good)
    return [dict(zip(names, row, strict=True)) for row in rows if not all(map(_fits, row, rules.values()))]


def _fits(value: Any, rule: str) -> bool:
    if rule == _MAYBE and value is None:
        return True
    if rule in {_TIME, _COUNT}:
        return isinstance(value, int) and 0 <= value < (_SECONDS if rule == _TIME else _MOST)
    if not isinstance(value, str):
        return False
    if rule == _JSON:
        try:
            orjson.loads(value)
        except ValueError:
            return False
    return True


def _text_or_bytes(data: bytes) -> str | bytes:
    """Text as SQLite has it; what is no UTF-8 stays bytes, and so does not pass for text."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
