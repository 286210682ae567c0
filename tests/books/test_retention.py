"""Absurd settings and absurd clocks: bounded work, and no exception."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cheaprouter.config.settings import StorageSettings
from cheaprouter.core.errors import BooksUnavailableError, InvalidRequestError


@pytest.mark.parametrize("days", [1, 999_999_999, 10**30, -5])
@pytest.mark.parametrize("most", [1, 10**30])
async def test_no_setting_makes_the_tidying_fail(office, days, most):
    office = office(storage=StorageSettings(retention_days=days, max_mb=most))
    office.book()
    await office.recorder.flush()
    await office.recorder.tidy()
    assert office.metrics.snapshot(None)["requests"] == 1


@pytest.mark.parametrize(
    "at",
    [datetime.min.replace(tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Anchorage"])
async def test_no_clock_makes_the_books_fail(office, at, zone):
    office = office(zone=zone)
    office.time.at = at
    await office.restart()
    office.book()
    await office.recorder.flush()
    await office.recorder.tidy()
    assert len(await office.reports.audit(5)) == 1
    await office.reports.summary()
    await office.usage({"group_by": "hour"})
    assert office.metrics.snapshot("kitchen")["requests"] == 1
    assert office.database.damage == ()
    await office.restart()
    assert office.metrics.snapshot("kitchen")["requests"] == 1


async def test_bookings_of_a_wrong_clock_do_not_count_to_today_after_a_restart(office):
    office = office()
    office.later(days=3650)
    office.book()
    office.later(days=-3650)
    office.book()
    await office.restart()
    state = office.metrics.snapshot(None)
    assert (state["cost_today"], state["cost_month"], state["cost_total"]) == (0.001, 0.001, 0.002)


@pytest.mark.parametrize("query", [{"to": "0001-01-05"}, {"from": "9999-12-31", "to": "9999-12-31"}])
async def test_the_ends_of_the_calendar_can_be_asked_for(office, query):
    assert (await office().usage(query))["data"] == []


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_a_time_that_no_calendar_has_here_is_refused(office, text):
    with pytest.raises(InvalidRequestError):
        await office(zone="America/Anchorage" if text < "1" else "Pacific/Kiritimati").reports.usage({"to": text})


@pytest.mark.parametrize("ask", ["usage", "usage_csv", "summary"])
async def test_books_that_cannot_be_read_are_told_as_such(office, ask):
    office = office()
    for table in ("daily", "request", "rollup"):
        await office.database.run(lambda c, table=table: c.execute(f"DROP TABLE {table}"))
    with pytest.raises(BooksUnavailableError) as caught:
        await getattr(office.reports, ask)(*([] if ask == "summary" else [{}]))
    assert caught.value.status == 503
