"""Background work by name: what fails is started again after a while, is told, and ends nothing else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import field
from typing import Final

from .records import dataclass

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds before a failed task runs again; doubled each time. Having run this long, it begins with the first again."""

CANCEL_AGAIN: Final = 5.0
"""Seconds that a cancelled task has to tidy up. One that still runs then lost its cancellation somewhere on the way: before
Python 3.12 `asyncio.wait_for` swallows one that comes in the same turn as what it waited for, and libraries call it, too."""

RUNNING: Final = "running"
RESTARTING: Final = "restarting"
STOPPED: Final = "stopped"

_LOG: Final = logging.getLogger(__name__)
Run = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Work:
    """One task: what it does, how it is, and which of its failures the log knows already."""

    run: Run
    state: str = RUNNING
    pause: float = FIRST_PAUSE
    told: set[str] = field(default_factory=set)


class Tasks:
    """The background work of a process. `sleep` and `monotonic` are injected for tests."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._monotonic = monotonic
        self._work: dict[str, _Work] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, run: Run) -> None:
        """Call `run` in the background, again whenever it raises; it is finished when it returns. A name is used once."""
        if name in self._tasks and not self._tasks[name].done():
            raise ValueError(f"the task {name!r} runs already")
        work = self._work[name] = _Work(run)
        self._tasks[name] = asyncio.create_task(self._supervise(name, work), name=name)

    def states(self) -> dict[str, str]:
        """How each is: `running`, `restarting` (it failed, and waits), or `stopped` (it is finished)."""
        return {name: work.state for name, work in self._work.items()}

    async def close(self) -> None:
        """Cancel everything that runs, and wait for its end."""
        waiting = {task for task in self._tasks.values() if not task.done()}
        while waiting:
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN)

    async def _supervise(self, name: str, work: _Work) -> None:
        try:
            while not await self._ran_to_its_end(name, work):
                await self._sleep(work.pause)
                work.pause = min(LONGEST_PAUSE, work.pause * 2)
        finally:
            work.state = STOPPED

    async def _ran_to_its_end(self, name: str, work: _Work) -> bool:
        work.state, began = RUNNING, self._monotonic()
        try:
            await work.run()
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            failure: BaseException = error  # nobody cancelled us: it waited for something that was cancelled elsewhere
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - the boundary: one task's failure ends no other
            failure = error
        else:
            return True
        work.state = RESTARTING
        if self._monotonic() - began >= LONGEST_PAUSE:
            work.pause = FIRST_PAUSE
            work.told.clear()
        self._tell(name, work, failure)
        return False

    def _tell(self, name: str, work: _Work, failure: BaseException) -> None:
        """Log it, with its traceback where this kind is new since the task last ran well."""
        kind = _kind(failure)
        if kind in work.told:
            _LOG.debug("the task %s failed again (%s)", name, kind)
            return
        work.told.add(kind)
        _LOG.error("the task %s failed, and is started again in %.0f s", name, work.pause, exc_info=failure)


def _kind(failure: BaseException) -> str:
    """Its class and where it was raised: the words may differ each time."""
    trace = failure.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}"
    return f"{type(failure).__name__}{where}"
