from __future__ import annotations

import asyncio
import logging

import pytest

from cheaprouter.core import tasks
from cheaprouter.core.tasks import Tasks
from tests.builders import HandClock


class Bench:
    """Tasks whose waits last as long as the test wants."""

    def __init__(self) -> None:
        self.time = HandClock()
        self.waits: list[float] = []
        self.go = asyncio.Event()
        self.go.set()
        self.tasks = Tasks(sleep=self.sleep, monotonic=self.time)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await self.go.wait()
        await asyncio.sleep(0)

    def state(self, name: str = "work") -> str:
        return self.tasks.states()[name]


@pytest.fixture
async def bench():
    made = Bench()
    yield made
    await made.tasks.close()


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def for_ever() -> None:
    await asyncio.Event().wait()


def failing(times: int, error: BaseException | None = None, after=None):
    """Work that raises that often, and then runs."""
    left = [times]

    async def run() -> None:
        if left[0]:
            left[0] -= 1
            if after is not None:
                after()
            raise error or ValueError("no")
        await for_ever()

    return run


async def test_what_runs_is_running(bench):
    bench.tasks.start("work", for_ever)
    await turns()
    assert bench.tasks.states() == {"work": "running"}


async def test_what_fails_waits_and_runs_again(bench):
    bench.go.clear()
    bench.tasks.start("work", failing(1))
    await turns()
    assert bench.state() == "restarting"
    bench.go.set()
    await turns()
    assert bench.state() == "running"


async def test_the_wait_doubles_up_to_a_minute(bench):
    bench.tasks.start("work", failing(9))
    await turns(60)
    assert bench.waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_the_wait_begins_anew_after_a_minute_of_good_running(bench):
    def minute() -> None:
        bench.time.later(60)

    bench.tasks.start("work", failing(3, after=minute))
    await turns()
    assert bench.waits == [1, 1, 1]


async def test_what_returns_is_finished(bench):
    async def once() -> None:
        pass

    bench.tasks.start("work", once)
    await turns()
    assert (bench.state(), bench.waits) == ("stopped", [])


async def test_one_failure_ends_no_other(bench):
    bench.tasks.start("good", for_ever)
    bench.tasks.start("work", failing(5))
    await turns(60)
    assert bench.tasks.states() == {"good": "running", "work": "running"}


@pytest.mark.parametrize(
    "error",
    [
        OverflowError("too large"),
        RecursionError(),
        MemoryError(),
        ExceptionGroup("two", [ValueError()]),
        BaseExceptionGroup("cancelled inside", [asyncio.CancelledError()]),
        asyncio.CancelledError(),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_every_failure_is_started_again(bench, error):
    bench.tasks.start("work", failing(1, error))
    await turns()
    assert (bench.state(), bench.waits) == ("running", [1])


async def test_work_that_cannot_even_be_called_is_a_failure_too(bench):
    def run():
        raise ImportError("no such module")

    bench.tasks.start("work", run)
    await turns()
    assert bench.waits


async def test_each_kind_of_failure_is_logged_once(bench, caplog):
    caplog.set_level(logging.ERROR)
    bench.tasks.start("work", failing(7))
    await turns(60)
    assert [r.getMessage() for r in caplog.records] == ["the task work failed, and is started again in 1 s"]
    assert caplog.records[0].exc_info


async def test_after_good_running_it_is_logged_again(bench, caplog):
    def minute() -> None:
        bench.time.later(60)

    caplog.set_level(logging.ERROR)
    bench.tasks.start("work", failing(2, after=minute))
    await turns()
    assert len(caplog.records) == 2


async def test_close_cancels_and_waits(bench):
    ended = []

    async def run() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    bench.tasks.start("work", run)
    bench.go.clear()
    bench.tasks.start("waiting", failing(1))
    await turns()
    await bench.tasks.close()
    assert ended == [1]
    assert bench.tasks.states() == {"work": "stopped", "waiting": "stopped"}


async def test_a_name_that_is_taken_is_a_mistake_of_ours(bench):
    bench.tasks.start("work", for_ever)
    with pytest.raises(ValueError, match="'work'"):
        bench.tasks.start("work", for_ever)


async def test_close_ends_work_that_lost_its_cancellation(bench, monkeypatch):
    monkeypatch.setattr(tasks, "CANCEL_AGAIN", 0.0)
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while lost < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
        await asyncio.Event().wait()

    bench.tasks.start("work", deaf)
    await turns()
    async with asyncio.timeout(5):
        await bench.tasks.close()
    assert (lost, bench.state()) == (2, "stopped")
