"""What is written down of the time for the next start."""

from __future__ import annotations

import asyncio
import dataclasses

from cheaprouter.books import stamp
from cheaprouter.books.database import Database
from cheaprouter.main import timekeeping
from cheaprouter.main.timekeeping import clock_of, keep_time, write_down
from tests.builders import HandClock, until


async def opened(folder) -> Database:
    database = Database(folder / "cheaprouter.db")
    database.open()
    return database


async def test_the_time_is_written_down_for_the_next_start(tmp_path) -> None:
    database, hand = await opened(tmp_path), HandClock()
    await write_down(hand.clock(), database)
    assert database.read_sync(stamp.newest) == (0.0, hand.unix())
    await database.close()


async def test_a_time_in_doubt_is_not(tmp_path) -> None:
    database, hand = await opened(tmp_path), HandClock()
    await write_down(dataclasses.replace(hand.clock(), problems=lambda: ("the clock cannot be right",)), database)
    assert database.read_sync(stamp.newest) == (0.0, 0.0)
    await database.close()


async def test_a_start_goes_on_from_the_last_run_where_the_clock_is_behind_that(tmp_path) -> None:
    database, hand = await opened(tmp_path), HandClock()
    hand.later(days=3000)  # from now on, the machine's clock is behind
    await write_down(hand.clock(), database)
    clock = clock_of(database)
    assert 0 <= clock.unix() - hand.unix() < 100
    assert len(clock.problems()) == 1
    assert not clock.settled()
    await database.close()


async def test_a_time_that_is_right_again_is_written_down_at_the_next_look(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(timekeeping, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(timekeeping, "_LOOKS", 10**9)
    database, hand, looks, wrong = await opened(tmp_path), HandClock(), [], ["the clock cannot be right"]
    clock = dataclasses.replace(hand.clock(), problems=lambda: looks.append(1) or tuple(wrong))
    task = asyncio.create_task(keep_time(clock, database))
    await until(lambda: len(looks) > 2)
    wrong.clear()
    await until(lambda: database.read_sync(stamp.newest)[1] == hand.unix())
    task.cancel()
    await database.close()
