"""Judged answers, as they are kept: what a home learns by. Numbers alone, never a text."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

MOST: Final = 5000
"""Judged answers kept; of more the oldest go."""

MOST_OF_ONE: Final = 1000
"""The same of one device."""

SOURCES: Final = ("thumb", "tools", "shadow")
"""Who judged: somebody, by hand; the checks of tool calls; the strongest model, where that was switched on."""


class Kept(NamedTuple):
    """One of them. `at`: Unix seconds. See `routing.home.Lesson`."""

    at: int
    device_id: str
    request_id: str
    source: str
    residual: float
    weight: float
    vector: Sequence[float]


def keep(connection: sqlite3.Connection, lessons: Sequence[Kept]) -> None:
    """Write some down; one of a request that was judged before is left out. Raises sqlite3.Error."""
    rows = [(*one[:-1], array("f", one.vector).tobytes()) for one in lessons]
    connection.executemany(
        "INSERT OR IGNORE INTO lesson (at, device_id, request_id, source, residual, weight, vector) VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    for device_id in {one.device_id for one in lessons}:
        connection.execute(
            "DELETE FROM lesson WHERE device_id = ? AND seq NOT IN "
            "(SELECT seq FROM lesson WHERE device_id = ? ORDER BY seq DESC LIMIT ?)",
            (device_id, device_id, MOST_OF_ONE),
        )
    connection.execute(
        "DELETE FROM lesson WHERE seq NOT IN (SELECT seq FROM lesson ORDER BY seq DESC LIMIT ?)", (MOST,)
    )


def kept(connection: sqlite3.Connection) -> list[Kept]:
    """All of them, the oldest first; what cannot be right is left out. Raises sqlite3.Error."""
    rows = connection.execute(
        "SELECT at, device_id, request_id, source, residual, weight, vector FROM lesson ORDER BY seq"
    )
    return [found for row in rows if (found := _read(row)) is not None]


def forget(connection: sqlite3.Connection) -> None:
    """All of them. Raises sqlite3.Error."""
    connection.execute("DELETE FROM lesson")


def _read(row: tuple[object, ...]) -> Kept | None:
    at, device_id, request_id, source, residual, weight, vector = row
    if not (isinstance(at, int) and isinstance(device_id, str) and isinstance(request_id, str) and source in SOURCES):
        return None
    if not (
        isinstance(residual, float) and isinstance(weight, float) and isinstance(vector, bytes) and len(vector) % 4 == 0
    ):
        return None
    values = array("f", vector)
    if not all(-1e3 < value < 1e3 for value in (residual, weight, *values)):
        return None
    return Kept(at, device_id, request_id, str(source), residual, weight, values)
