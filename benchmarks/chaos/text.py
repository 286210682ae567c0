# ruff: noqa: RUF001 - other scripts' marks are data here
"""Time goes with the length of a text, whatever the text: many shapes of it, each grown, in the routing and through the running product.

    script/chaos text [--quick] [--seed 1] [--product DIR]

For each shape the processor's time is told for texts of growing length, and by what power of the length it grows: 1 where twice the
text takes twice the time. Exit code 1 where a shape grows by more than `STEEPEST` between any two lengths that are far enough from
each other, where one callback of the router's loop has a core for longer than `LONGEST_SILENCE`, where somebody else
waits for longer than that, or where a text that is not too long is not answered. Takes about four minutes, `--quick` one and a half.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _house_stand import ROOT, Product, running
from _judge import Verdict

UNITS = (
    " ", "\n", "\t ", " \n", "\n\nx", "a", "A", "a ", "a\n", "1", "1,", "1.", "1:", "a1 ", ".", "? ", "! ", ", ", "-", "— a ", "_", "a_", "aA", "é ",
    "漢", "证明", "😀", '"', "'", "`", "```", "~~~", '"""', "“", "„", "«", "‘", "**", "**a ", "__a ", "<aa>", "<aa></aa>", "\n>", "(A) ", "\n A. ",
    "data:", "data:a;base64,", "[[a=", "{", "[a", "\\", '\\"', "@", "+1 ", "http://a ", "/v1", "please ", "thanks ", "and it ", "regards ", "-- a", "- ",
)  # fmt: skip
"""What texts are made of, again and again; after them comes a word."""

STEEPEST = 1.25
"""A square is 2. Caches of the processor, which the longest texts do not fit into, make some 1.1 of a line."""

LONGEST_SILENCE = 0.050
"""Seconds."""

IN_ROUTING = (500, 1000, 2000, 4000, 16_000, 100_000)
"""Characters."""

THROUGH = (370_000, 1_500_000, 6_200_000)
"""Bytes on the wire, up to just below what is taken, so that each is answered."""

TOO_LONG = 9_000_000
_LEAST = 0.0008
"""Seconds below which a time says nothing of how it grows."""

STEPS, TIMES = 8, 4
"""How many times as long a text is that another is compared with, in the routing and through the product. What is looked at from some
length on is a step there, and no slope."""

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


def written(text: str) -> bytes:
    """As it stands in JSON."""
    return json.dumps(text, ensure_ascii=False).encode()


def power(lengths: tuple[int, ...], seconds: list[float], times: int) -> float:
    """The steepest growth from a length to any that is so many times as long or longer, as a power of it; 0 where all is too quick to tell."""
    measured = [*zip(lengths, seconds, strict=True)]
    found = [
        math.log(longer / max(before, _LEAST)) / math.log(many / few)
        for few, before in measured
        for many, longer in measured
        if many >= times * few and longer > 2 * _LEAST
    ]
    return max(found, default=0.0)


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
        grows = power(IN_ROUTING, seconds, STEPS)
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
        await asyncio.sleep(0.1)  # who was connected has left, and is noticed
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


def processor(pid: int) -> float:
    """Seconds of the processor that a process has had."""
    return (
        sum(int(Path(task, "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9
    )


async def judge_product(verdict: Verdict, product: Product, repeats: int) -> None:
    """The whole way of a request: read, checked, routed, sent on, booked."""
    verdict.say(
        f"product: ms of the processor for a message of {THROUGH} bytes; the longest callback of one of those and of {TOO_LONG}, and "
        "how long others waited"
    )
    for unit in UNITS[:3]:  # what is imported and learned with the first requests is no text's
        await _spent(product, chat(unit, THROUGH[0]))
    for unit in UNITS:
        seconds = [math.inf] * len(THROUGH)
        callbacks, silences = [math.inf] * (len(THROUGH) + 1), [math.inf] * (len(THROUGH) + 1)
        for _ in range(_TRIES):
            statuses = []
            for at, length in enumerate((*THROUGH, TOO_LONG)):
                request = chat(unit, length)
                for _ in range(repeats):
                    if length != TOO_LONG:
                        seconds[at] = min(seconds[at], await _spent(product, request))
                    callback, silence, status = await _beside(product, request)
                    callbacks[at], silences[at] = min(callbacks[at], callback), min(silences[at], silence)
                    statuses.append(status == (413 if length == TOO_LONG else 200))
            grows, callback, silence = power(THROUGH, seconds, TIMES), max(callbacks), max(silences)
            good = grows <= STEEPEST and max(callback, silence) <= LONGEST_SILENCE and all(statuses)
            if good or not all(statuses):
                break
        words = f"{unit!r:18} {told(seconds)}   ^{grows:.2f}   callback {callback * 1000:5.1f}   silent {silence * 1000:5.1f} ms"
        verdict.say(words + ("" if all(statuses) else "   another status than it should be"), good=good)


def chat(unit: str, length: int) -> bytes:
    """A request with a text of that many bytes."""
    text = shaped(unit, length // (len(written(unit)) - 2) * len(unit))
    body = b'{"model": "blockrun/auto", "messages": [{"role": "user", "content": %b}]}' % written(text)
    return request_of("/v1/chat/completions", body)


async def _spent(product: Product, request: bytes) -> float:
    """Seconds of the processor for one request, while nobody else asks."""
    await asyncio.to_thread(product.pulse, rest=True)
    before = processor(product.process.pid)
    await ask(product.port, request)
    await asyncio.sleep(0.01)  # it is booked after it is answered
    return processor(product.process.pid) - before


async def _beside(product: Product, request: bytes) -> tuple[float, float, int]:
    """One request beside another's: seconds of the longest callback, seconds that the other waited, and the status."""
    await asyncio.to_thread(product.pulse)
    product.watch.told()
    status = await ask(product.port, request)
    await asyncio.sleep(0.01)
    beats = await asyncio.to_thread(product.pulse, rest=True)
    return product.watch.told()[0] / 1000, beats["longest"] / 1000, status


async def main(options: argparse.Namespace) -> int:
    """Both; the exit code."""
    sys.path.insert(0, str(options.product))
    verdict, repeats = Verdict(), 2 if options.quick else 4
    judge_routing(verdict, 5 * repeats)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with Upstream() as upstream:
            with running(Path(folder) / "data", config(upstream.port), product=options.product) as product:
                await judge_product(verdict, product, repeats)
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
