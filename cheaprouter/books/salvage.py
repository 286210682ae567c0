"""What is left of damaged books: rows that can be read are taken over, the rest is kept beside them and told in words."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson

from ..core.private_files import replace_private, write_private
from . import compare, rollups, spare, totals
from .migrations import TABLES, transaction
from .rows import COLUMNS, DAMAGED, from_disk
from .sums import TOTALS

_LOG: Final = logging.getLogger(__name__)

UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises; Python cannot even decode some of SQLite's messages about it."""

MOST_WORDS: Final = 20
MOST_TRIES: Final = 2000
"""Looks into a table behind its first damaged page."""

MOST_LOOKED_AT: Final = 1000
"""Requests looked at in one step: some hundredths of a second on a small machine."""

MOST_REBUILT: Final = 1000
"""Totals made anew in one look through the requests."""

_TEXT: Final = "text"
_JSON: Final = "json"
_MAYBE: Final = "text or nothing"
_TIME: Final = "seconds"
_MAYBE_TIME: Final = "seconds or nothing"
_COUNT: Final = "count"
_RULES: Final[Mapping[str, Mapping[str, str]]] = {
    "setting": {
        "scope": _TEXT, "name": _TEXT, "value": _JSON, "baseline": _JSON, "source": _TEXT, "changed_at": _TIME,
    },
    "device": {"id": _TEXT, "slug": _TEXT, "name": _MAYBE, "first_seen": _TIME, "last_seen": _TIME},
    "device_key": {
        "hash": _TEXT, "device_id": _TEXT, "hint": _TEXT, "created_at": _TIME, "expires_at": _MAYBE_TIME,
        "used_at": _MAYBE_TIME, "days": _MAYBE_TIME,
    },
    "forgiven": {"scope": _TEXT, "day": _COUNT, "day_amount": _COUNT, "month_amount": _COUNT},
}  # fmt: skip
"""What each value of the small tables must be. All of a table is read at start: one bad value must not take the rest along."""

_MOST_KEY: Final = {"seq": 2**62, "day": 99991231}
_SECONDS: Final = 253_402_300_800
_MOST: Final = 2**61
_BAD_TOTALS: Final = " OR ".join(
    [f"typeof({name}) != 'text'" for name in totals.DAILY[1:4]]
    + [f"typeof({name}) != 'integer' OR abs({name}) > {_MOST}" for name in TOTALS]
    + ["typeof(day) != 'integer' OR day NOT BETWEEN 10101 AND 99991231"]
)
_BAD_META: Final = f"key = 'applied_seq' AND NOT (typeof(value) = 'integer' AND value BETWEEN 0 AND {_MOST})"

_Lost = list[tuple[str, dict[str, Any]]]
"""Rows and their tables."""


class Damage:
    """What was lost, in words; in a file, so that no restart forgets it, until somebody says that it was seen."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
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
            for word in new:
                _LOG.error("%s", word)
            self.words = (*self.words, *new)[-MOST_WORDS:]
            if new and self._path is not None:
                self._write(self._path)

    def acknowledge(self) -> None:
        """Somebody has read it."""
        with self._lock:
            self.words = ()
            if self._path is not None:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)

    def _write(self, path: Path) -> None:
        try:
            replace_private(path, orjson.dumps(self.words, option=orjson.OPT_INDENT_2))
        except OSError as error:
            _LOG.error("What was lost cannot be noted in %s: %s", path, error)


def check(connection: sqlite3.Connection, kept: Path) -> list[str]:
    """Take rows with impossible values out of the tables that are read at start, into the file `kept`; tells in words.

    Raises sqlite3.Error, OSError; then nothing was taken out.
    """
    lost: _Lost = []
    with transaction(connection), _as_bytes(connection):
        for table, rules in _RULES.items():
            lost += _take_out(connection, table, rules)
        bad = _take_out_where(connection, "daily", totals.DAILY, _BAD_TOTALS)
        if bad:
            totals.rebuild_some(
                connection, [(row["day"], row["device_id"], row["model_id"]) for _, row in bad[:MOST_REBUILT]]
            )
            rollups.rebuild_days(connection)
        lost += bad
        lost += _take_out_where(connection, "meta", ("key", "value"), _BAD_META)
        rollups.mend_days(connection)
        unlike = _compare(connection)
        if lost or unlike:
            write_private(kept, _lines([*lost, *unlike]))
    counts = Counter(table for table, _ in lost)
    words = [f"{n} unreadable row(s) of `{table}` were lost; they are kept in {kept}." for table, n in counts.items()]
    return [*words, unlike_words(len(unlike), kept)] if unlike else words


def unlike_words(count: int, kept: Path) -> str:
    """What is told of totals that the hours or requests do not bear out."""
    return (
        f"{count} total(s) did not agree with the requests they stand for and were made anew; they are kept in {kept}."
    )


def _compare(connection: sqlite3.Connection) -> _Lost:
    """Totals of the newest month that something else contradicts, mended where that can be done."""
    days = compare.newest_days(connection)
    if any(rollups.bad_hours(connection, day) for day in days):
        rollups.rebuild_hours(connection)  # while requests are served; then there is something to compare with
        return []
    found: _Lost = []
    for day in days:
        found += [("daily", row) for row in compare.mend(connection, day, compare.different(connection, day))]
    if days and compare.months_differ(connection, days[0] // 100):
        found = found or [("rollup", {"day": days[0] // 100 * 100})]
        rollups.rebuild_days(connection)
    return found


def check_day(connection: sqlite3.Connection, day: int, devices: list[bytes], kept: Path) -> int:
    """The same for some devices of one day, in a transaction; returns how many totals were wrong. Raises sqlite3.Error, OSError."""
    wrong: _Lost = [("daily", row) for row in compare.mend(connection, day, devices)]
    if wrong:
        write_private(kept, _lines(wrong), more=True)
        rollups.rebuild_days(connection)
    return len(wrong)


def check_requests(connection: sqlite3.Connection, below: int, kept: Path) -> tuple[int, int | None]:
    """The same for some requests booked before `below`, in a transaction: how many were bad, the first looked at (None: no more).

    A million take seconds, and no limit hangs on them: not at start. Raises sqlite3.Error, OSError.
    """
    some = f"SELECT seq FROM request WHERE seq < ? ORDER BY seq DESC LIMIT {MOST_LOOKED_AT}"  # noqa: S608 - our own number
    (first,) = connection.execute(f"SELECT min(seq) FROM ({some})", (below,)).fetchone()  # noqa: S608 - our own words
    if first is None:
        return 0, None
    with _as_bytes(connection):
        lost = _take_out_where(connection, "request", COLUMNS, f"seq >= {first} AND seq < {below} AND ({DAMAGED})")
    if lost:
        write_private(kept, _lines(lost), more=True)
    return len(lost), first


@contextmanager
def _as_bytes(connection: sqlite3.Connection) -> Iterator[None]:
    """Text that is none is read as bytes."""
    before, connection.text_factory = connection.text_factory, _text_or_bytes
    try:
        yield
    finally:
        connection.text_factory = before


def _lines(lost: _Lost) -> bytes:
    return b"".join(orjson.dumps({"table": table, "row": row}, default=bytes.hex) + b"\n" for table, row in lost)


def salvage(damaged: Path, target: sqlite3.Connection) -> str:
    """Take over every row that can be read, into fresh tables; tells what came over. Raises sqlite3.Error of the target."""
    with closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as source:
        source.text_factory = _text_or_bytes
        # Else SQLite refuses every read of a file that ends before its last page, and of a schema with one bad entry.
        source.execute("PRAGMA writable_schema=ON")
        target.execute("BEGIN")
        copies = {table: _Copy(source, target, table) for table in TABLES}
        target.execute("DELETE FROM meta WHERE key = ?", (spare.SERIAL,))  # theirs counts, if it is there
        whole = {table: copy.all() for table, copy in copies.items()}
        if not whole["daily"]:
            totals.rebuild(target)
        rollups.rebuild_days(target)
        rollups.rebuild_hours(target)
        target.execute("COMMIT")
    return ", ".join(f"{'all' if whole[t] else 'only'} {copy.count} row(s) of `{t}`" for t, copy in copies.items())


class _Copy:
    """One table's way from a damaged file into a sound one: forward, from its end backward, then into what lies between."""

    def __init__(self, source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
        self._source = source
        self._target = target
        self._table = table
        self._passed_over = False
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
        self._insert = _insert(table, names)

    def all(self) -> bool:
        """Copy what can be read; whether that was everything."""
        if not self._there:
            return False
        if (reached := self._both_ways()) is None:
            return not self._passed_over
        if (most := _MOST_KEY.get(self._keys[0])) is None:
            for letters in pairwise(["", *map(chr, range(0x20, 0x80)), "\U0010ffff"]):
                self._both_ways(letters)
        else:
            self._between(*_within(reached, 0, most))
        return False

    def _between(self, low: int, high: int) -> None:
        """Halve what no look has reached, the widest spans first."""
        spans = deque([(low, high)])
        for _ in range(MOST_TRIES):
            if not spans:
                return
            span = spans.popleft()
            if (reached := self._both_ways(span)) is not None:
                low, high = _within(reached, *span)
                if low < high:
                    middle = (low + high) // 2
                    spans += [(low, middle), (middle + 1, high)]

    def _both_ways(self, span: tuple[Any, Any] | None = None) -> tuple[Any, Any] | None:
        """Copy rows whose keys are within, from both ends up to those that cannot be read; the last keys, None: all was read."""
        last, whole = self._look(span)
        return None if whole else (last, self._look(span, " DESC")[0])

    def _look(self, span: tuple[Any, Any] | None, order: str = "") -> tuple[Any, bool]:
        """Copy rows in the key's order until the end or the first that cannot be read; its last key, and whether it was the end."""
        where = f"WHERE {self._keys[0]} BETWEEN ? AND ?" if span else ""
        by = ", ".join(key + order for key in self._keys)
        query = f"SELECT {', '.join(self._columns)} FROM {self._table} {where} ORDER BY {by}"  # noqa: S608 - our own names
        last = None
        for row in _readable(self._source, query, span or ()):
            if row is None:
                return last, False
            last = row[0]
            self._put(row)
        return last, True

    def _put(self, row: tuple[Any, ...]) -> None:
        booking = from_disk(row, self._columns) if self._table == "request" else row
        if booking is None:
            self._passed_over = True
        else:
            self.count += self._target.execute(self._insert, booking).rowcount


def _within(reached: tuple[Any, Any], low: int, high: int) -> tuple[int, int]:
    """What is left of a span between the keys reached; one that is damaged says nothing."""
    first, last = reached
    return first if isinstance(first, int) else low, last if isinstance(last, int) else high


def _readable(source: sqlite3.Connection, query: str, parameters: tuple[Any, ...]) -> Iterator[tuple[Any, ...] | None]:
    """Rows until the end, or until one cannot be read: None stands for that."""
    try:
        yield from source.execute(query, parameters)
    except UNREADABLE:
        yield None


def _take_out(connection: sqlite3.Connection, table: str, rules: Mapping[str, str]) -> _Lost:
    names = list(rules)
    rows = connection.execute(f"SELECT {', '.join(names)} FROM {table}")  # noqa: S608 - our own names
    good: list[tuple[Any, ...]] = []
    bad: list[tuple[Any, ...]] = []
    for row in rows:
        (good if all(map(_fits, row, rules.values())) else bad).append(row)
    if bad:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - likewise
        connection.executemany(_insert(table, names), good)
    return [(table, dict(zip(names, row, strict=True))) for row in bad]


def _take_out_where(connection: sqlite3.Connection, table: str, names: Sequence[str], where: str) -> _Lost:
    bad = connection.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {where}").fetchall()  # noqa: S608 - likewise
    if bad:
        connection.execute(f"DELETE FROM {table} WHERE {where}")  # noqa: S608 - likewise
    return [(table, dict(zip(names, row, strict=True))) for row in bad]


def _insert(table: str, names: Sequence[str]) -> str:
    return f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - likewise


def _fits(value: Any, rule: str) -> bool:
    if rule == _MAYBE_TIME and value is None:
        return True
    if rule in {_TIME, _MAYBE_TIME, _COUNT}:
        return isinstance(value, int) and 0 <= value < (_MOST if rule == _COUNT else _SECONDS)
    if rule == _JSON and isinstance(value, str):
        try:
            orjson.loads(value)
        except ValueError:
            return False
    return isinstance(value, str) or (rule == _MAYBE and value is None)


def _text_or_bytes(data: bytes) -> str | bytes:
    """Text as SQLite has it; what is no UTF-8 stays bytes, and so does not pass for text."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
