"""`cheaprouter` with a stopwatch on each callback of its loop: how long the longest had a core, and whose it was.

    python benchmarks/chaos/_house_watch.py FILE serve --data DIR ...

While a callback runs, nobody else is served. Its time is the processor's, so that what else the machine does is not taken for it.
FILE has 4 kB: what is told, first of all nanoseconds, lies there for others to read and to set back (`Watch`).
"""

from __future__ import annotations

import asyncio
import mmap
import sys
import time
from pathlib import Path
from typing import Any

SIZE = 4096
_TIME = 8
"""Bytes of the time; after it comes whose it was."""


class Watch:
    """What a watched process tells, read by another."""

    def __init__(self, file: Path) -> None:
        self._page = _shared(file)

    def told(self) -> tuple[float, str]:
        """The longest callback since the last call: ms, and whose it was."""
        took = int.from_bytes(self._page[:_TIME], sys.byteorder) / 1e6
        whose = self._page[_TIME:].rstrip(b"\0 ").decode("utf-8", "replace")
        self._page[:_TIME] = bytes(_TIME)
        return took, whose


def create(file: Path) -> None:
    """Make the file, before anybody looks at it."""
    file.write_bytes(bytes(SIZE))


def _shared(file: Path) -> mmap.mmap:
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), SIZE)


def watch(page: mmap.mmap) -> None:
    """Time every callback from now on."""
    clock, run = time.thread_time_ns, asyncio.Handle._run  # noqa: SLF001 - asyncio's debug mode times with others' load in it
    longest = memoryview(page)[:_TIME].cast("Q")

    def timed(handle: asyncio.Handle) -> None:
        began = clock()
        run(handle)
        took = clock() - began
        if took > longest[0]:
            longest[0] = took
            page[_TIME:] = whose(handle).encode("utf-8", "replace")[: SIZE - _TIME].ljust(SIZE - _TIME)

    asyncio.Handle._run = timed  # type: ignore[method-assign]  # noqa: SLF001 - as above


def whose(handle: Any) -> str:
    """The callback, of a task the places where it waits now."""
    callback = handle._callback  # noqa: SLF001 - as above
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return f"{getattr(callback, '__qualname__', callback)} {getattr(callback, '__func__', '')}".split(" at 0x")[0]
    waits, coroutine = [], task.get_coro()
    while coroutine is not None and hasattr(coroutine, "cr_code"):
        frame = coroutine.cr_frame
        waits.append(f"{coroutine.__qualname__}:{frame.f_lineno if frame else 'end'}")
        coroutine = coroutine.cr_await
    return " > ".join(waits)


def main(file: str, arguments: list[str]) -> int:
    """Serve, watched."""
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # the image has none, and its callbacks cannot be timed
    watch(_shared(Path(file)))
    from cheaprouter.main.cli import main as serve  # noqa: PLC0415 - of the product that is asked for

    return serve(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
