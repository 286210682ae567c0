"""Attacks on a running house: nobody stops it. `script/chaos house`.

A line for each: the longest silence of its loop, the most memory it took, what was lost. Ends with 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

from _house_asking import Stand
from _house_attacks import lists, replies, streams
from _house_fuzz import fuzz
from _house_inputs import body_bombs, files
from _house_messages import mqtt
from _house_scarcity import descriptors, disk_full, stalled_readers, strangers
from _house_stand import HEAD, SILENCE, Line

HERE = Path(__file__).resolve().parent
Attacks = Callable[[Stand], AsyncIterator[Line]]
ALL: dict[str, Attacks] = {
    "bodies": body_bombs,
    "streams": streams,
    "replies": replies,
    "lists": lists,
    "files": files,
    "mqtt": mqtt,
    "disk": disk_full,
    "descriptors": descriptors,
    "strangers": strangers,
    "stalled": stalled_readers,
    "fuzz": fuzz,
}


def verdict(lines: list[Line], silence: float = SILENCE) -> int:
    """The exit code."""
    return 1 if not lines or any(line.faults(silence) for line in lines) else 0


async def attack(stand: Stand, names: list[str], silence: float) -> list[Line]:
    """All of them, one after the other."""
    for name in names:
        began = time.monotonic()
        async for line in ALL[name](stand):
            stand.lines.append(line)
            print(line.told(silence), flush=True)
        print(f"  {name}: {time.monotonic() - began:.0f} s", flush=True)
    return stand.lines


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/chaos house", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: a minute")
    parser.add_argument("--seed", type=int, default=None, help="of a run before, to see it again")
    parser.add_argument("--only", action="append", choices=[*ALL], help="this part alone; may be given again")
    parser.add_argument("--like", default="", help="only what has this in its name")
    parser.add_argument("--silence", type=float, default=SILENCE, help="ms that are allowed, on a slower machine say")
    parser.add_argument("--keep", type=Path, help="a file for the requests that broke something")
    parser.add_argument("--requests", type=int, default=None, help="of the fuzz run")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    print(f"seed {seed}\n{HEAD}", flush=True)
    upstream = subprocess.Popen([sys.executable, str(HERE / "_house_upstream.py"), str(seed)], stdout=subprocess.PIPE)
    assert upstream.stdout is not None
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            requests = given.requests or (3_000 if given.quick else 100_000)
            stand = Stand(
                Path(folder),
                int(upstream.stdout.readline()),
                random.Random(seed),
                given.quick,
                requests,
                given.like,
                given.keep,
            )
            lines = asyncio.run(attack(stand, given.only or [*ALL], given.silence))
    finally:
        upstream.kill()
        upstream.communicate()
    broken = [line for line in lines if line.faults(given.silence)]
    worst = max((line.silence for line in lines), default=0.0)
    print(
        f"{len(lines)} attacks in {time.monotonic() - began:.0f} s, longest silence {worst:.0f} ms, "
        f"{len(broken)} broke a promise (seed {seed})"
    )
    return verdict(lines, given.silence)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
