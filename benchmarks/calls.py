"""How many calls a request makes, for fixed inputs: counts, which a busy machine does not blur.

    python benchmarks/calls.py            # print them beside those that are kept
    python benchmarks/calls.py --write    # keep them: benchmarks/calls-3.11.json, a file for each minor version of Python

Counted is the thread of the event loop: calls of Python functions (a coroutine that goes on counts again) and of C functions,
asyncio's and aiohttp's among them. Upstream and client are in other threads and processes; what the database's thread does is
not counted. Everything is on: 30 models of 10 providers, limits and budgets, recording, and for the whole line MQTT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import platform
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import lab
import upstream
from load import Make, all_new, the_same

from cheaprouter.config import loader
from cheaprouter.core.calendar import Clock
from cheaprouter.core.logs import Redactor
from cheaprouter.core.models import Caller, Operation
from cheaprouter.main.app import Options, serving
from cheaprouter.main.assembly import build_house, offline_router
from cheaprouter.wire.decode import decode
from cheaprouter.wire.openai_chat.request import parse

HERE = Path(__file__).resolve().parent
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WARM_UP = 5
RUNS = 5
"""The median of these counts."""

REQUESTS, STREAMS = 30, 10
"""Over HTTP, one after the other."""

DONE_SECONDS = 0.01
"""After an answer: what a router does then would else be done together with the next request, or not, as it happens."""

FEW, MANY = 10, 50
"""Events of two streams: the difference between them is what events cost."""

STEPS = {
    "admit and reserve": ("Account.admit", "Account.reserve"),
    "a booking": ("Account.settle", "Account.close"),
}
"""Parts of a chat through the gateway, by the functions that do them, with all that those call."""

Counts = dict[str, float]


class Profiler:
    """Counts the calls of this thread: all of them in `total`, and below functions that are in `STEPS` also in `steps`."""

    def __init__(self) -> None:
        self.total: Counts = {"python": 0, "c": 0}
        self.steps: dict[str, Counts] = {}
        self._step: str | None = None
        self._root: FrameType | None = None
        self._roots = {name: step for step, names in STEPS.items() for name in names}

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        if event == "return":
            if frame is self._root:
                self._root = self._step = None
            return
        kind = {"call": "python", "c_call": "c"}.get(event)
        if kind is None:
            return
        if self._root is None and kind == "python" and (step := self._roots.get(frame.f_code.co_qualname)):
            self._root, self._step = frame, step
            self.steps.setdefault(step, {"python": 0, "c": 0})
        self.total[kind] += 1
        if self._step is not None:
            self.steps[self._step][kind] += 1

    def __enter__(self) -> Self:
        gc.collect()
        gc.disable()
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        gc.enable()
        self.total["c"] -= 1  # that one


def median(counts: list[Counts]) -> Counts:
    return {kind: round(statistics.median(each[kind] for each in counts), 1) for kind in ("python", "c")}


def usual(counts: list[Counts], kind: str) -> float:
    """The lower quartile: timers and books strike beside some requests and add to them; a few are seen too short, on a machine
    so busy that a pause is over before anything was done in it."""
    return sorted(each[kind] for each in counts)[len(counts) // 4]


def counted(make: Make, run: Callable[[bytes], object]) -> Counts:
    """The calls of a plain function; it is given requests as `make` writes them, without their heads."""
    found = []
    for number in range(WARM_UP + RUNS):
        body = make(number).partition(b"\r\n\r\n")[2]
        with Profiler() as profiler:
            run(body)
        found.append(profiler.total)
    return median(found[WARM_UP:])


def operation(body: bytes) -> Operation:
    """What a door makes of a body."""
    return parse(decode(body))


# --- the cases


def decisions(folder: Path, port: int) -> Iterator[tuple[str, Counts]]:
    """What choosing among 30 and among 300 models takes; a text that is new is judged, one that is known may be remembered."""
    yield "parsing a body", counted(the_same(), operation)
    for models in (30, 300):
        data = a_data_folder(folder / f"offline-{models}", lab.everything_on(port, None, models=models // 10))
        router, context = offline_router(None, data)
        for text, make in (("new", all_new()), ("known", the_same())):
            asked = {number: operation(make(number).partition(b"\r\n\r\n")[2]) for number in range(WARM_UP + RUNS)}
            numbers = iter(asked)
            yield (
                f"a decision among {models}, text {text}",
                counted(make, lambda _, a=asked, n=numbers, r=router, c=context: r.decide(a[next(n)], c)),
            )


async def chats(folder: Path, port: int) -> AsyncIterator[tuple[str, Counts]]:
    """A whole chat through the gateway, and parts of it. Time stands still."""
    data = a_data_folder(folder / "house", lab.everything_on(port, None))
    clock = Clock(lambda: 1000.0, lambda: NOON)
    async with build_house(loader.load(None, data, {}), data, Redactor(), clock) as house:
        for text, make in (("new", all_new()), ("known", the_same())):
            found = []
            for number in range(WARM_UP + RUNS):
                asked = operation(make(number).partition(b"\r\n\r\n")[2])
                with Profiler() as profiler:
                    (await house.gateway.serve(asked, Caller("bench"))).close()
                found.append(profiler)
            yield f"a chat through the gateway, text {text}", median([each.total for each in found[WARM_UP:]])
    for step, names in STEPS.items():
        if step not in found[-1].steps:
            raise SystemExit(
                f"No chat calls {' or '.join(names)}: STEPS in benchmarks/calls.py names what does `{step}`."
            )
        yield step, median([each.steps[step] for each in found[WARM_UP:]])


async def lines(folder: Path, broker: int) -> AsyncIterator[tuple[str, Counts]]:
    """From HTTP in to HTTP out over loopback, the whole router in this process."""
    ends = Ends()
    settings = lab.everything_on(ends.upstream_port, broker)
    settings["mqtt"]["interval"] = 3600  # a state told now and then is a matter of time, not of requests
    data = a_data_folder(folder / "line", settings)
    async with serving(Options(config=None, data=data, host="127.0.0.1", port=0)) as app:
        async with asyncio.timeout(20):
            while app.house.mqtt_state() != "connected":  # noqa: ASYNC110 - the bridge tells nobody else
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)  # what is announced at first has been

        async def run(request: Callable[[int], None], requests: int) -> Counts:
            """What one takes, without what the other thread does."""
            found = [await counts(request, number) for number in range(WARM_UP + requests)][WARM_UP:]
            nothing = [await counts(lambda _: None, number) for number in range(requests)]
            return {kind: usual(found, kind) - usual(nothing, kind) for kind in found[0]}

        async def counts(request: Callable[[int], None], number: int) -> Counts:
            """One request, and what the router does when it is answered."""
            with Profiler() as profiler:
                await asyncio.to_thread(lambda: (request(number), time.sleep(DONE_SECONDS)))
            return profiler.total

        await asyncio.to_thread(ends.connect, app.lan.port)
        for text, make in (("new", all_new()), ("known", the_same())):
            yield (
                f"the whole line, text {text}",
                await run(lambda number, make=make: ends.whole(make(number)), REQUESTS),
            )
        asked = the_same(stream=True)(0)
        few, many = [await run(lambda _, events=events: ends.stream(asked, events), STREAMS) for events in (FEW, MANY)]
        yield "the whole line, an event", {kind: round((many[kind] - few[kind]) / (MANY - FEW), 1) for kind in few}


class Ends:
    """Both ends of the line in one thread: the client, and the upstream, which says the next thing once the client has the last.

    So each piece is a piece of its own on any machine, whatever else it does.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.upstream_port = int(self._listener.getsockname()[1])
        self._connections: list[socket.socket] = []

    def connect(self, port: int) -> None:
        """Call the router there."""
        self._client = socket.create_connection(("127.0.0.1", port), 20)

    def whole(self, request: bytes) -> None:
        """One request and its whole reply."""
        self._forwarded(request).sendall(upstream.WHOLE)
        self._read_until(b'"total_tokens":78}}')

    def stream(self, request: bytes, events: int) -> None:
        """One request and a stream, event by event."""
        connection = self._forwarded(request)
        connection.sendall(upstream.STREAM)
        for _ in range(events):
            connection.sendall(upstream.AT_ONCE)
            self._read_until(b'"finish_reason":null}]}\n\n')
        connection.sendall(upstream.LAST)
        self._read_until(b"0\r\n\r\n")

    def _forwarded(self, request: bytes) -> socket.socket:
        """Ask; the connection on which the router asks in turn, once all it asks is there."""
        self._client.sendall(request)
        while True:
            ready = select.select([self._listener, *self._connections], [], [], 20)[0]
            if not ready:
                raise TimeoutError("the router does not ask its upstream")
            if self._listener in ready:
                self._connections.append(self._listener.accept()[0])
                continue
            asked = ready[0].recv(65_536)
            while (length := upstream.LENGTH.search(asked)) is None or len(asked.partition(b"\r\n\r\n")[2]) < int(
                length[1]
            ):
                asked += ready[0].recv(65_536)
            return ready[0]

    def _read_until(self, end: bytes) -> None:
        reply = b""
        while end not in reply:
            piece = self._client.recv(65_536)
            if not piece or (reply.startswith(b"HTTP/1.1 ") and not reply.startswith(b"HTTP/1.1 200")):
                raise RuntimeError(f"the router answered {reply.decode()}")
            reply += piece


def a_data_folder(folder: Path, settings: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "cheaprouter.yaml").write_text(json.dumps(settings))
    return folder


# --- all of them


async def measure(folder: Path, port: int, broker: int) -> dict[str, Counts]:
    """Every case, by its name."""
    return {
        **dict(decisions(folder, port)),
        **{name: counts async for name, counts in chats(folder, port)},
        **{name: counts async for name, counts in lines(folder, broker)},
    }


def measured() -> dict[str, Counts]:
    """The same, with an upstream and a broker of its own. Ends the program where there is no Mosquitto."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(lab.broker(folder))
        if broker is None:
            raise SystemExit("Mosquitto is needed for this: script/setup installs it.")
        return asyncio.run(measure(folder, stack.enter_context(lab.upstream(folder)).port, broker))


def kept_file() -> Path:
    """Where the counts of the running minor version of Python are kept."""
    return HERE / f"calls-{sys.version_info.major}.{sys.version_info.minor}.json"


def kept() -> dict[str, Counts]:
    """What is kept for the running minor version; nothing where there is no file."""
    found: dict[str, Counts] = json.loads(kept_file().read_text()) if kept_file().exists() else {}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="How many calls a request makes.")
    parser.add_argument("--write", action="store_true", help="keep them for this minor version of Python")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write them there")
    args = parser.parse_args()
    found, before = measured(), kept()
    print(f"Python {platform.python_version():28} {'Python':>8} {'kept':>8} {'C':>8} {'kept':>8}")
    for name, counts in found.items():
        columns = [column for kind in ("python", "c") for column in (counts[kind], before.get(name, {}).get(kind))]
        print(f"{name:35}", *("       -" if column is None else f"{column:8.1f}" for column in columns))
    for file in ([args.json] if args.json else []) + ([kept_file()] if args.write else []):
        file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
