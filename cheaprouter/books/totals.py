"""What SQLite keeps of bookings: each request once, and totals by day, device and model that outlive it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Final

from ..core.ids import FORGOTTEN
from ..core.models import Json
from ..core.money import from_pico
from ..core.records import dataclass
from .rows import COLUMNS, DAMAGED, INDEX, Row, from_disk

NO_MODEL: Final = ""
"""The model of a request that was refused before one was chosen."""

_DAY, _DEVICE, _MODEL, _PROVIDER = (INDEX[name] for name in ("day", "device_id", "model_id", "provider"))
_PROMPT, _COMPLETION, _CACHED = (INDEX[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens"))
_STATUS, _ATTEMPTS, _COST, _BASELINE = (INDEX[name] for name in ("status", "attempts", "cost", "baseline_cost"))


@dataclass(slots=True)
class Sums:
    """Of anything: of a device's day, of a model, of everyone. Money in pico-dollars."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    errors: int = 0
    limit_hits: int = 0
    cost: int = 0
    saved: int = 0
    unpriced: int = 0
    """Requests whose cost nobody knows."""

    def add(self, values: Sequence[int]) -> None:
        """Add values in the order of `TOTALS`."""
        for name, value in zip(TOTALS, values, strict=True):
            setattr(self, name, getattr(self, name) + value)

    def values(self) -> tuple[int, ...]:
        """In the order of `TOTALS`."""
        return tuple(getattr(self, name) for name in TOTALS)

    def shown(self) -> Json:
        """By name, money in USD."""
        found: Json = dict(zip(TOTALS, self.values(), strict=True))
        found["cost"], found["saved"] = usd(self.cost), usd(self.saved)
        return found


TOTALS: Final = tuple(field.name for field in fields(Sums))
"""What is counted, in the order in which it is written down."""

DAILY: Final = ("day", "device_id", "model_id", "provider", *TOTALS)

_INSERT: Final = f"INSERT OR IGNORE INTO request ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - our own column names
_ADDS: Final = "ON CONFLICT DO UPDATE SET " + ", ".join(f"{name} = {name} + excluded.{name}" for name in TOTALS)
_ADD: Final = f"INSERT INTO daily ({', '.join(DAILY)}) VALUES ({', '.join('?' * len(DAILY))}) {_ADDS}"  # noqa: S608 - likewise

SUMS: Final = ", ".join(f"sum({name})" for name in TOTALS)
"""SQL for them, over rows of `daily`."""

REQUEST_SUMS: Final = """
    count(*), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens),
    sum(status >= 400 AND status != 499 AND NOT (status = 429 AND attempts = 0)), sum(status = 429 AND attempts = 0),
    sum(coalesce(cost, 0)), sum(coalesce(baseline_cost - cost, 0)), sum(cost IS NULL)"""
"""The same over rows of `request`."""


def usd(pico: int) -> float:
    """USD as a JSON number; the books stay exact."""
    return float(from_pico(pico))


def applied(connection: sqlite3.Connection) -> int:
    """The highest seq that is in the books; 0 where nothing is."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'applied_seq'").fetchone()
    if row is not None and isinstance(row[0], int):
        return row[0]
    # Lost with a damaged page: totals and requests are always booked together.
    return int(connection.execute("SELECT max(seq) FROM request").fetchone()[0] or 0)


def apply(connection: sqlite3.Connection, rows: Iterable[Row]) -> int:
    """Book rows, those left out that are booked already; returns the highest seq now in the books. In one transaction."""
    last = applied(connection)
    fresh = [row for _, row in sorted({row[0]: row for row in rows if row[0] > last}.items())]
    if fresh:
        connection.executemany(_INSERT, fresh)
        connection.executemany(_ADD, _daily(fresh))
        last = fresh[-1][0]
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('applied_seq', ?)", (last,))
    return last


def values(row: Row) -> tuple[int, ...]:
    """What a booking adds to totals, in the order of `TOTALS`.

    Refused by one of our own limits, before any upstream was asked, is no error; neither is a client that left (499).
    """
    status, cost, baseline = row[_STATUS], row[_COST], row[_BASELINE]
    limit_hit = status == 429 and row[_ATTEMPTS] == 0
    return (
        1,
        row[_PROMPT],
        row[_COMPLETION],
        row[_CACHED],
        int(status >= 400 and status != 499 and not limit_hit),
        int(limit_hit),
        cost or 0,
        0 if cost is None or baseline is None else baseline - cost,
        int(cost is None),
    )


def _daily(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows to add to `daily`, those of the same day, device and model as one."""
    found: dict[tuple[int, str, str, str], Sums] = {}
    for row in rows:
        key = (row[_DAY], row[_DEVICE], row[_MODEL] or NO_MODEL, row[_PROVIDER] or "")
        found.setdefault(key, Sums()).add(values(row))
    for key, sums in found.items():
        yield (*key, *sums.values())


def spend(connection: sqlite3.Connection, since_day: int) -> list[tuple[str, int, int]]:
    """(device, day, pico-dollars) for every day from `since_day` on."""
    query = "SELECT device_id, day, sum(cost) FROM daily WHERE day >= ? GROUP BY device_id, day"
    return [(str(d), int(day), int(cost)) for d, day, cost in connection.execute(query, (since_day,))]


def devices(connection: sqlite3.Connection) -> set[str]:
    """Everyone who has totals."""
    return {str(row[0]) for row in connection.execute("SELECT DISTINCT device_id FROM daily")}


def totals(connection: sqlite3.Connection, first_day: int = 0, last_day: int = 99991231) -> dict[str, tuple[int, ...]]:
    """`TOTALS` for each device, of these days, both included."""
    query = f"SELECT device_id, {SUMS} FROM daily WHERE day BETWEEN ? AND ? GROUP BY device_id"  # noqa: S608 - our own column names
    return {str(row[0]): tuple(int(v) for v in row[1:]) for row in connection.execute(query, (first_day, last_day))}


def model_totals(connection: sqlite3.Connection) -> dict[str, tuple[int, ...]]:
    """`TOTALS` for each model that answered, the busiest first."""
    query = f"SELECT model_id, {SUMS} FROM daily WHERE model_id != ? GROUP BY model_id ORDER BY sum(requests) DESC"  # noqa: S608 - our own column names
    return {str(row[0]): tuple(int(v) for v in row[1:]) for row in connection.execute(query, (NO_MODEL,))}


def recent(connection: sqlite3.Connection, limit: int) -> list[Row]:
    """The last requests booked, newest first; a damaged one is left out."""
    query = f"SELECT {', '.join(COLUMNS)} FROM request ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our own column names
    return [row for found in connection.execute(query, (limit,)) if (row := from_disk(found)) is not None]


def by_month(connection: sqlite3.Connection, before_day: int) -> int:
    """Add up days before `before_day` into the first of their month; returns how many rows that saved."""
    where = "day < ? AND day % 100 != 1"
    _add_up(connection, "day / 100 * 100 + 1", "device_id", where, (before_day,))
    return connection.execute(f"DELETE FROM daily WHERE {where}", (before_day,)).rowcount  # noqa: S608 - our own names


def fold(connection: sqlite3.Connection, device_ids: Iterable[str]) -> None:
    """Hand the totals of forgotten devices to `FORGOTTEN`, so that sums stay and rows do not pile up."""
    ids = [(device_id,) for device_id in device_ids]
    if not ids:
        return
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS gone (id TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("DELETE FROM gone")
    connection.executemany("INSERT OR IGNORE INTO gone VALUES (?)", ids)
    where = "device_id IN (SELECT id FROM gone)"
    _add_up(connection, "day", f"'{FORGOTTEN}'", where, ())
    connection.execute(f"DELETE FROM daily WHERE {where}")  # noqa: S608 - our own names


def rebuild(connection: sqlite3.Connection) -> None:
    """Make totals that are missing anew from requests: of the newest request's month and the one before, for the budgets."""
    _from_requests(connection, "day >= (SELECT max(day) FROM request) / 100 * 100 - 100", ())


def rebuild_some(connection: sqlite3.Connection, lost: Sequence[tuple[Any, Any, Any]]) -> None:
    """Make these (day, device, model) anew from requests, as far as those are there and sound."""
    keys = ", ".join(["(?, ?, ?)"] * len(lost))
    where = f"(day, device_id, coalesce(model_id, '')) IN (VALUES {keys}) AND NOT ({DAMAGED})"
    _from_requests(connection, where, [value for key in lost for value in key])


def _from_requests(connection: sqlite3.Connection, where: str, parameters: Sequence[Any]) -> None:
    connection.execute(
        f"""INSERT OR IGNORE INTO daily ({", ".join(DAILY)})
            SELECT day, device_id, coalesce(model_id, ?), coalesce(max(provider), ''), {REQUEST_SUMS} FROM request
            WHERE {where} GROUP BY 1, 2, 3""",  # noqa: S608 - our own column names
        (NO_MODEL, *parameters),
    )


def _add_up(connection: sqlite3.Connection, day: str, device: str, where: str, parameters: tuple[int, ...]) -> None:
    connection.execute(
        f"""INSERT INTO daily ({", ".join(DAILY)})
            SELECT {day}, {device}, model_id, max(provider), {SUMS} FROM daily WHERE {where} GROUP BY 1, 2, 3 {_ADDS}""",  # noqa: S608 - our own names
        parameters,
    )
