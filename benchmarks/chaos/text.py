# ruff: noqa: RUF001 - other scripts' marks are data here
"""Time goes with the length of a text, whatever the text: many shapes of it, each grown, in the routing and through the running product.

    script/chaos text [--quick] [--seed 1] [--product DIR]

For each shape the processor's time is told for texts of growing length, and by what power of the length it grows: 1 where twice the
text takes twice the time. Exit code 1 where a shape grows by more than `STEEPEST`, or one request keeps the router from answering
others for longer than `LONGEST_SILENCE`. Takes about two minutes, `--quick` half of one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _house_pulse import waiting
from _judge import Verdict
from _router import ROOT, Router

UNITS = (
    " ", "\n", "\t ", " \n", "\n\nx", "a", "A", "a ", "a\n", "1", "1,", "1.", "1:", "a1 ", ".", "? ", "! ", ", ", "-", "— a ", "_", "a_", "aA", "é ",
    "漢", "证明", "😀", '"', "'", "`", "```", "~~~", '"""', "“", "„", "«", "‘", "**", "**a ", "__a ", "<aa>", "<aa></aa>", "\n>", "(A) ", "\n A. ",
    "data:", "data:a;base64,", "[[a=", "{", "[a", "\\", '\\"', "@", "+1 ", "http://a ", "/v1", "please ", "thanks ", "and it ", "regards ", "-- a", "- ",
)  # fmt: skip
"""What texts are made of, again and again; after them comes a word."""

STEEPEST = 1.35
LONGEST_SILENCE = 0.050
"""Seconds."""

IN_ROUTING = (500, 1000, 2000, 4000, 100_000)
THROUGH = (250_000, 1_000_000, 4_000_000)
_LEAST = 0.0008
"""Seconds below which a time says nothing of how it grows."""

_TIMES = 4
_TRIES = 4
"""How often a shape is measured that does not hold, the least of all counts: what else a machine does only adds."""

_REPLY = json.dumps({
    "id": "x", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}).encode()  # fmt: skip


def shaped(unit: str, length: int) -> str:
    """A text of that many characters."""
    return unit * (length // len(unit)) + " why?"


def power(lengths: tuple[int, ...], seconds: list[float]) -> float:
    """The steepest growth from a length to the next that is four times as long, as a power of it; 0 where all is too quick to tell.

    A step on the way, where something more begins to be looked at, is thus not taken for a slope: a square would be 2 all the same.
    """
    measured = [*zip(lengths, seconds, strict=True)]
    found = [0.0]
    for at, (length, before) in enumerate(measured):
        longer = next(((m, b) for m, b in measured[at:] if m >= _TIMES * length), None)
        if longer is not None and longer[1] > 2 * _LEAST:
            found.append(math.log(longer[1] / max(before, _LEAST)) / math.log(longer[0] / length))
    return max(found)


def told(seconds: list[float]) -> str:
    return " ".join(f"{second * 1000:7.2f}" for second in seconds)


# In the routing, in this process


def judge_routing(verdict: Verdict, repeats: int) -> None:
    """How hard a request is: the last message and those before it, as the router reads them."""
    from cheaprouter.routing.difficulty import DifficultyModel  # noqa: PLC0415 - of the product that is asked for

    model = DifficultyModel.load()
    verdict.say(f"routing: ms of the processor for six messages of {IN_ROUTING} characters each")
    for unit in UNITS:
        seconds = [math.inf] * len(IN_ROUTING)
        for _ in range(repeats):  # what a busy machine adds at a time, it adds to every length
            for at, length in enumerate(IN_ROUTING):
                seconds[at] = min(seconds[at], _scored(model, shaped(unit, length)))
        grows = power(IN_ROUTING, seconds)
        verdict.say(
            f"{unit!r:18} {told(seconds)}   ^{grows:.2f}", good=grows <= STEEPEST and max(seconds) < LONGEST_SILENCE
        )


def _scored(model: Any, text: str) -> float:
    """Seconds for six messages that are not alike: what was read once is remembered, if it is short."""
    from cheaprouter.routing.difficulty import score_payload  # noqa: PLC0415 - as above

    body = {"messages": [{"role": "user", "content": f"{text} {n}"} for n in range(6)]}
    before = time.thread_time()
    score_payload(model, body)
    return time.thread_time() - before


# Through the running product


class Upstream:
    """Answers any chat with two letters."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @staticmethod
    async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                left = int(head.split(b"content-length: ")[1].split(b"\r\n")[0]) if b"content-length: " in head else 0
                while left:
                    left -= len(await reader.read(min(left, 1 << 20)))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(_REPLY), _REPLY)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def config(port: int) -> dict[str, Any]:
    """Two models, so that there is something to choose."""
    models = [
        {"id": f"lab/{name}", "price": {"input": cost, "output": cost}, "context": 20_000_000, "quality": quality}
        for name, cost, quality in (("small", 0.1, 40), ("big", 3, 80))
    ]
    lab = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "sk-x", "models": models}
    return {"auth": "open", "providers": {"lab": lab}}


async def ask(port: int, request: bytes) -> int:
    """Send one request; the status of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return int(head.split()[1])
    finally:
        writer.close()


def request_of(path: str, body: bytes) -> bytes:
    kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n%b" % (b"POST" if body else b"GET", path.encode(), kind, body)


async def heartbeat(port: int, pid: int, gaps: list[float]) -> None:
    """Ask another thing all the time, and note how long each answer took, less what either waited for a core."""
    stats = (f"/proc/{pid}/task/{pid}/schedstat", "/proc/thread-self/schedstat")
    while True:
        began, before = time.perf_counter(), sum(map(waiting, stats))
        await ask(port, request_of("/health", b""))
        took = time.perf_counter() - began
        gaps.append(max(0.0, took - (sum(map(waiting, stats)) - before) / 1e9))
        await asyncio.sleep(0.003)


def processor(pid: int) -> float:
    """Seconds of the processor that a process has had."""
    return (
        sum(int(Path(task, "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9
    )


async def judge_product(verdict: Verdict, router: Router, repeats: int) -> None:
    """The whole way of a request: read, checked, routed, sent on, booked."""
    assert router.process is not None
    verdict.say(
        f"product: ms of the processor for one message of {THROUGH} characters, and the longest silence meanwhile"
    )
    for unit in UNITS:
        seconds, silences = [math.inf] * len(THROUGH), [math.inf] * len(THROUGH)
        statuses: set[int] = set()
        good = False
        for _ in range(_TRIES):
            for at, length in enumerate(THROUGH):
                for _ in range(repeats):
                    spent, silence, status = await _one(router, shaped(unit, length))
                    seconds[at], silences[at] = min(seconds[at], spent), min(silences[at], silence)
                    statuses.add(status)
            grows, silence = power(THROUGH, seconds), max(silences)
            good = grows <= STEEPEST and silence <= LONGEST_SILENCE and statuses <= {200, 413}
            if good:
                break
        words = f"{unit!r:18} {told(seconds)}   ^{grows:.2f}   silent {silence * 1000:5.1f} ms   {sorted(statuses)}"
        verdict.say(words, good=good)


async def _one(router: Router, text: str) -> tuple[float, float, int]:
    """One request: seconds of the processor, the longest silence meanwhile less what others' load added to it, and the status."""
    assert router.process is not None
    body = {"model": "blockrun/auto", "messages": [{"role": "user", "content": text}]}
    request = request_of("/v1/chat/completions", json.dumps(body, ensure_ascii=False).encode())
    gaps: list[float] = []
    beating = asyncio.create_task(heartbeat(router.port, router.process.pid, gaps))
    await asyncio.sleep(0.02)
    gaps.clear()
    before = processor(router.process.pid)
    status = await ask(router.port, request)
    await asyncio.sleep(0.01)
    spent = processor(router.process.pid) - before
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    return spent, min(spent, max(gaps, default=0.0)), status


async def main(options: argparse.Namespace) -> int:
    """Both; the exit code."""
    sys.path.insert(0, str(options.product))
    verdict, repeats = Verdict(), 2 if options.quick else 4
    judge_routing(verdict, 5 * repeats)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with Upstream() as upstream:
            router = Router(Path(folder), config(upstream.port), product=options.product)
            await router.start()
            try:
                await judge_product(verdict, router, repeats)
            finally:
                await router.stop()
    print(f"\n{'all holds' if not verdict.wrong else f'{len(verdict.wrong)} do not hold'} of {2 * len(UNITS)}")
    return 1 if verdict.wrong else 0


def read() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, help="nothing here is left to chance")
    parser.add_argument("--product", type=Path, default=ROOT, help="the checkout to run (this one)")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(asyncio.run(main(read())))
