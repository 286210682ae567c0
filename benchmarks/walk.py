"""How far one request walks through the package: `python benchmarks/walk.py`. Counts, not times: the same on any machine.

A *call* is what `sys.setprofile` calls one: a Python function of the package begins, or a coroutine or generator goes on
after a wait or a `yield`; comprehensions (a frame each in Python 3.11) and lambdas count as functions. Counted is the task
in which aiohttp runs the handler, with whatever that starts, from the first function to the end of the connection; work
that runs anyway beside it (the journal, the watchers) is not. A *room* is a folder of the package or a module in its root.
A *change of room* is a call in another room than the call before; returns are none.

The router is `cheaprouter serve` in a process of its own, as it comes: no provider, so the mock answers; MQTT's bridge
listens without a broker. It is warmed up first. The request arrives in one piece; the stream's tokens are three.
"""

from __future__ import annotations

import argparse
import contextvars
import json
import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PACKAGE = str(ROOT / "cheaprouter") + os.sep
HANDLER = os.path.join("aiohttp", "web_protocol.py")  # noqa: PTH118 - the end of a file name, not a path
WARM_UP = 5
RUNS = 3
"""Of these the shortest counts: a clock that strikes in one of them shall not."""

KINDS: dict[str, dict[str, Any]] = {
    "whole": {"messages": [{"role": "user", "content": "Hello!"}]},
    "stream": {"messages": [{"role": "user", "content": "[[n=3]]"}], "stream": True},
}


class Step(NamedTuple):
    room: str
    file: str
    function: str


# --- in the router's process


class Recorder:
    """A profiler that writes down the calls of the request that comes while it is armed."""

    def __init__(self) -> None:
        self.steps: list[Step] | None = None
        self._mine: contextvars.ContextVar[list[Step] | None] = contextvars.ContextVar("mine", default=None)

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        steps, code = self.steps, frame.f_code
        if steps is None or event != "call" or not code.co_filename.startswith(PACKAGE):
            return
        if self._mine.get() is not steps:
            if not any(file.endswith(HANDLER) for file in callers(frame)):
                return
            self._mine.set(steps)  # what the task starts, tasks and timers and threads, inherits it
        file = code.co_filename.removeprefix(PACKAGE)
        steps.append(Step(room(file), file, code.co_qualname))


def callers(frame: FrameType | None) -> Iterator[str]:
    """The files of a frame and of all that wait for it."""
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


def room(file: str) -> str:
    """`routing/choose.py` is in `routing`, `gateway.py` in `gateway`."""
    return file.partition(os.sep)[0].removesuffix(".py")


def serve(pipe: Connection, port: int, data: str) -> None:
    """Run the router under the profiler; any word over the pipe turns it on, the next off."""
    recorder = Recorder()

    def obey() -> None:
        while True:
            pipe.recv()
            taken, recorder.steps = recorder.steps, [] if recorder.steps is None else None
            pipe.send(taken)

    os.environ.clear()  # keys of providers, or settings: this is the router as it comes
    with Path(data, "log").open("wb") as log:
        os.dup2(log.fileno(), 2)
    threading.Thread(target=obey, daemon=True).start()
    sys.argv = ["cheaprouter", "serve", "--data", data, "--host", "127.0.0.1", "--port", str(port)]
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    runpy.run_module("cheaprouter", run_name="__main__")


# --- in ours


@contextmanager
def router() -> Iterator[tuple[Connection, int]]:
    """A running router: its profiler's pipe, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as data:
        process = spawn.Process(target=serve, args=(theirs, port, data))
        process.start()
        try:
            while not listens(port):
                if not process.is_alive():
                    raise SystemExit(Path(data, "log").read_text())
                time.sleep(0.05)
            yield ours, port
        finally:
            process.terminate()
            process.join()


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, body: dict[str, Any]) -> None:
    """One chat over a connection of its own: it ends after the handler did."""
    content = json.dumps({"model": "blockrun/auto", **body}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(head.encode() + content)
        reply = b"".join(iter(lambda: sock.recv(65536), b""))
    if not reply.startswith(b"HTTP/1.1 200"):
        raise SystemExit(reply.decode())


def walked(pipe: Connection, request: Callable[[], None]) -> list[Step]:
    """The calls of one request."""
    pipe.send("on")
    pipe.recv()
    request()
    pipe.send("off")
    steps: list[Step] = pipe.recv()
    return steps


def measure() -> dict[str, list[Step]]:
    """The walk of each kind of request."""
    with router() as (pipe, port):
        walks = {}
        for kind, body in KINDS.items():
            for _ in range(WARM_UP):
                ask(port, body)
            walks[kind] = min((walked(pipe, lambda body=body: ask(port, body)) for _ in range(RUNS)), key=len)
    return walks


def figures(steps: list[Step]) -> dict[str, int]:
    return {
        "calls": len(steps),
        "files": len({step.file for step in steps}),
        "changes": sum(before.room != after.room for before, after in pairwise(steps)),
    }


def show_rooms(kind: str, steps: list[Step]) -> None:
    entered = Counter(after.room for before, after in pairwise([Step("", "", ""), *steps]) if before.room != after.room)
    print(f"\n{kind:12} calls  files  entered")
    for name, calls in Counter(step.room for step in steps).most_common():
        print(f"{name:12} {calls:5}  {len({s.file for s in steps if s.room == name}):5}  {entered[name]:7}")


def main() -> None:
    parser = argparse.ArgumentParser(description="How far one request walks through the package.")
    parser.add_argument(
        "--list", choices=[*KINDS, "all"], nargs="?", const="all", help="each call: room, file:function"
    )
    parser.add_argument("--rooms", action="store_true", help="the calls by room")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and the walks there")
    args = parser.parse_args()
    walks = measure()
    print("             calls  files  changes of room")
    for kind, steps in walks.items():
        print("{:12} {calls:5}  {files:5}  {changes:5}".format(kind, **figures(steps)))
    for kind, steps in walks.items():
        if args.rooms:
            show_rooms(kind, steps)
        if args.list in {kind, "all"}:
            print(f"\n{kind}")
            for step in steps:
                print(f"{step.room:12} {step.file}:{step.function}")
    if args.json:
        args.json.write_text(json.dumps({k: {**figures(s), "walk": s} for k, s in walks.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
