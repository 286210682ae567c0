# ruff: noqa: S608 - every name put into SQL is our own
"""Thousands of rows as columns, and in turns: neither SQLite nor the interpreter makes an object of each, and others get theirs.

SQLite writes a column as JSON in one step, in which it holds no lock of the interpreter. What is done with columns is a call
for all of one; between two of them whoever else waits goes first.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, Final

import orjson

Table = Sequence[Sequence[int]]

PAUSE: Final = 0.0003
"""Seconds that a report stands back after a turn of a millisecond or two: a thread that waits wakes within less."""

A_TURN: Final = 1000
"""Rows that are made or written before others have their turn."""


def select(connection: sqlite3.Connection, names: Sequence[str], source: str, parameters: Any = ()) -> list[list[Any]]:
    """These columns of the rows that `source` selects, in its order. Raises sqlite3.Error, ValueError."""
    arrays = ", ".join([f"json_group_array({name})" for name in names])
    return loaded(connection.execute(f"SELECT {arrays} FROM ({source})", parameters).fetchone())


def loaded(texts: Sequence[str]) -> list[list[Any]]:
    """Columns that SQLite has written as JSON."""
    found = []
    for text in texts:
        found.append(orjson.loads(text))
        give_way()
    return found


def picked(table: Table, places: Sequence[int]) -> list[list[int]]:
    """Of each column what is at these places; 0 where it is not as long."""
    if len(places) < 2:
        return [[column[place] if place < len(column) else 0 for place in places] for column in table]
    length, pick = max(places) + 1, itemgetter(*places)
    found = []
    for column in table:
        found.append(list(pick([*column, *repeat(0, length - len(column))])))
        give_way()
    return found


def combined(how: Callable[[int, int], int], one: Table, other: Table) -> list[list[int]]:
    """Two tables of the same shape, value by value."""
    found = []
    for mine, theirs in zip(one, other, strict=True):
        found.append(list(map(how, mine, theirs)))
        give_way()
    return found


def give_way() -> None:
    """Let others have their turn."""
    time.sleep(PAUSE)
