"""What the books know of the time, and that nothing is deleted by a clock that is in doubt."""

from __future__ import annotations

import dataclasses

from cheaprouter.books import stamp
from cheaprouter.config.settings import StorageSettings
from tests.builders import NOON


async def test_empty_books_know_nothing(office) -> None:
    assert office().database.read_sync(stamp.newest) == (0.0, 0.0)


async def test_the_newest_booking_and_the_last_run_are_told(office) -> None:
    office = office()
    for _ in range(6):
        office.later(60)
        office.book()
    await office.recorder.flush()
    await office.database.run(lambda c: stamp.keep(c, 1_800_000_000.7))
    booked, ran = office.database.read_sync(stamp.newest)
    assert office.time.at.timestamp() - 300 <= booked <= office.time.at.timestamp()
    assert ran == 1_800_000_000


async def test_two_damaged_bookings_do_not_make_it_another_century(office) -> None:
    office = office()
    for _ in range(5):
        office.book()
    await office.recorder.flush()
    await office.database.run(
        lambda c: c.execute("UPDATE request SET at = at * 3 WHERE seq IN (SELECT seq FROM request LIMIT 2)")
    )
    booked, _ = office.database.read_sync(stamp.newest)
    assert booked == office.time.at.timestamp()


async def test_a_stamp_that_is_no_number_is_none(office) -> None:
    office = office()
    await office.database.run(lambda c: c.execute("INSERT OR REPLACE INTO meta VALUES ('clock_at', 'x')"))
    assert office.database.read_sync(stamp.newest) == (0.0, 0.0)


async def test_no_history_goes_and_no_day_is_added_up_while_the_clock_is_in_doubt(office) -> None:
    office = office(storage=StorageSettings(retention_days=30))
    sure = [False]
    office.retention.clock = dataclasses.replace(office.clock, settled=lambda: sure[0])
    office.book()
    office.later(days=1)
    office.book()
    await office.recorder.flush()
    office.later(days=900)
    await office.recorder.tidy()
    assert len(await office.reports.audit(5)) == 2
    days = {row["day"] for row in (await office.usage({"from": "2026-01-01", "group_by": "day"}))["data"]}
    assert len(days) == 2
    sure[0] = True
    await office.recorder.tidy()
    assert len(await office.reports.audit(5)) == 0
    assert office.time.at > NOON
