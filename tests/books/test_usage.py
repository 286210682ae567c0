"""What a report costs those who wait for something else, and how much is read for it."""

from __future__ import annotations

import sqlite3
import threading
from zoneinfo import ZoneInfo

import pytest

from cheaprouter.books import rollups, tables, usage
from cheaprouter.books.migrations import MIGRATIONS, migrate
from cheaprouter.books.sums import TOTALS
from cheaprouter.books.usage import Query
from cheaprouter.core.calendar import Calendar

ROWS = 60_000


@pytest.fixture(scope="module")
def connection():
    """Hours of 100 models of 7 providers."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, MIGRATIONS)
    columns = ("kind", "day", "at", "device_id", "model_id", "provider", *TOTALS)
    connection.execute(
        f"""INSERT INTO rollup ({", ".join(columns)})
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS - 1})
            SELECT {rollups.HOUR_MODEL}, 20261101 + i / 10000, 1793484000 + i / 100 * 900, '', 'm' || (i % 100),
                   'p' || (i % 100 % 7), 1, 1, 1, 0, 0, 0, 1, 0, 0 FROM n"""
    )
    return connection


@pytest.mark.parametrize(
    "groups", [("hour", "provider"), ("provider", "hour"), ("hour", "model"), ("hour", "day", "provider")]
)
def test_by_the_hour_no_more_is_read_than_is_shown(connection, groups):
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(step, 100)
    query = usage._select(connection, Query(20261101, 20261130, groups), usage.MOST_COMBINED)
    rows = connection.execute(*query).fetchall()
    connection.set_progress_handler(None, 0)
    assert len(rows) == usage.MOST_COMBINED
    assert steps < ROWS * 10 / 100  # a sort of all takes some 50 steps for each


def test_by_the_hour_and_provider_the_models_of_a_provider_are_one_row(connection):
    found = usage.answer(connection, Query(20261101, 20261130, ("hour", "provider")), Calendar(ZoneInfo("UTC")))
    assert sorted(found.sums[0][:7]) == [4 * 14] * 5 + [4 * 15] * 2


@pytest.mark.parametrize(("ask", "made"), [("usage", "as_json"), ("usage_csv", "as_csv")])
async def test_what_is_sent_is_made_beside_the_event_loop(office, ask, made, monkeypatch):
    """Ten thousand rows as CSV took a fifth of a second, in which nobody else was served."""
    office = office()
    office.book()
    makers = []
    make = getattr(tables, made)

    def watched(*args):
        makers.append(threading.current_thread())
        return make(*args)

    monkeypatch.setattr(tables, made, watched)
    assert await getattr(office.reports, ask)({})
    assert makers
    assert threading.main_thread() not in makers
