"""The soak's router: the whole of it, as `cheaprouter serve` makes it, and a word about its inside for each line on standard input.

    python benchmarks/soak_router.py DATA PORT

`{"tasks": {name: how many}, "objects": what the garbage collector knows}`, after a collection.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cheaprouter.main.app import Options, serving

NUMBER = re.compile(r"\d+")


def inside() -> str:
    """Tasks by what they run, without the numbers in their names; objects."""
    gc.collect()
    tasks = Counter(
        NUMBER.sub("#", f"{t.get_name()} {getattr(t.get_coro(), '__qualname__', '')}") for t in asyncio.all_tasks()
    )
    return json.dumps({"tasks": tasks, "objects": len(gc.get_objects())})


async def main(data: Path, port: int) -> None:
    """Serve until SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def answer() -> None:
        if os.read(0, 1024):
            print(inside(), flush=True)
        else:
            stop.set()

    async with serving(Options(config=None, data=data, host="127.0.0.1", port=port)) as app:
        loop.add_reader(0, answer)
        await stop.wait()
        loop.remove_reader(0)
        await app.drain()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
