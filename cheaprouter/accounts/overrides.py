"""Settings made at run time, beside what the file said then; in memory and in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..books.database import Database

HUB_SCOPE: Final = ""
"""The router's own settings in the table of settings; no device has an empty id."""


@dataclass(frozen=True, slots=True)
class Override:
    """A value set at run time, and what the file said then (both as JSON), by whom."""

    value: Any
    baseline: Any
    source: str


class Overrides:
    """By scope (a device's id, or `HUB_SCOPE`) and name. What changes here is written down in the background."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._scopes: dict[str, dict[str, Override]] = {}

    @property
    def scopes(self) -> Mapping[str, Mapping[str, Override]]:
        """All of them; to be read only."""
        return self._scopes

    def restore(self, kept: Iterable[tuple[str, str, Override]]) -> None:
        """Take up what was kept."""
        for scope, name, override in kept:
            self._scopes.setdefault(scope, {})[name] = override

    def set_many(self, scope: str, changes: Mapping[str, Override | None], now: int) -> None:
        """Set checked values, and drop those that are None, all at once. `now`: Unix seconds."""
        mine = self._scopes.setdefault(scope, {})
        for name, override in changes.items():
            if override is None:
                mine.pop(name, None)
            else:
                mine[name] = override
        if not mine:
            del self._scopes[scope]
        self._database.keep(lambda connection: _write(connection, scope, changes, now))

    def drop(self, scope: str) -> list[str]:
        """Forget a scope, here alone: the caller sees to the database; returns the names there were."""
        return list(self._scopes.pop(scope, {}))

    def outdated(self, baseline: Callable[[str, str], Any]) -> list[tuple[str, str]]:
        """(scope, name) of those that the file has overtaken: `baseline` says what it says now."""
        return [
            (scope, name)
            for scope, mine in self._scopes.items()
            for name, override in mine.items()
            if override.baseline != baseline(scope, name)
        ]


def load(connection: sqlite3.Connection) -> list[tuple[str, str, Override]]:
    """All overrides in the database; one that cannot be read is left out."""
    found = []
    for scope, name, value, said, source in connection.execute(
        "SELECT scope, name, value, baseline, source FROM setting"
    ):
        try:
            found.append((scope, name, Override(orjson.loads(value), orjson.loads(said), source)))
        except (orjson.JSONDecodeError, TypeError):
            continue
    return found


def discard(connection: sqlite3.Connection, scope: str, names: Iterable[str]) -> None:
    """Remove some from the database."""
    connection.executemany("DELETE FROM setting WHERE scope = ? AND name = ?", [(scope, name) for name in names])


def _write(connection: sqlite3.Connection, scope: str, changes: Mapping[str, Override | None], now: int) -> None:
    discard(connection, scope, [name for name, override in changes.items() if override is None])
    rows = [
        (scope, name, orjson.dumps(o.value).decode(), orjson.dumps(o.baseline).decode(), o.source, now)
        for name, o in changes.items()
        if o is not None
    ]
    connection.executemany("INSERT OR REPLACE INTO setting VALUES (?, ?, ?, ?, ?, ?)", rows)
