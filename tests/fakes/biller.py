"""A provider that bills: what it read and wrote, also for clients that left. Each model is one way to behave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.fakes.serving import serving

INPUT, OUTPUT = Decimal(1), Decimal(10)
"""USD per million tokens."""

STEP = 0.02
"""Seconds between two pieces."""


@dataclass(frozen=True)
class Way:
    """`tokens` at `rate` a second after `wait` seconds, of which `hidden` are not shown. `fault`: what goes wrong at the end.

    `stops`: it writes no more once its client is gone.
    """

    tokens: int = 40
    rate: float = 200.0
    wait: float = 0.05
    hidden: int = 0
    usage: bool = True
    fault: str = ""
    stops: bool = True


@dataclass
class Item:
    """One line of the bill. `open`: still being written."""

    model: str
    prompt: int
    output: int = 0
    open: bool = True

    @property
    def cost(self) -> Decimal:
        """USD."""
        return (self.prompt * INPUT + self.output * OUTPUT) / 10**6


@dataclass
class Biller:
    """`ways` by upstream name; `url` for a provider's `base_url`."""

    ways: dict[str, Way]
    items: list[Item] = field(default_factory=list)
    url: str = ""

    @property
    def billed(self) -> Decimal:
        """USD, of all there is on the bill."""
        return sum((item.cost for item in self.items), Decimal(0))

    async def done(self) -> None:
        """Wait until nothing is being written."""
        async with asyncio.timeout(20):
            while any(item.open for item in self.items):
                await asyncio.sleep(0.01)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        going = True
        while going:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split()[0])
            going = await self._answer(json.loads(await reader.readexactly(length)), reader, writer)

    async def _answer(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        way, model = self.ways[body["model"]], body["model"]
        text = "".join(str(message.get("content")) for message in body["messages"])
        item = Item(model, len(text) // 4 + 4)
        gone = asyncio.ensure_future(reader.read(1))
        try:
            self.items.append(item)
            return await _Reply(way, item, body, writer, gone).write()
        finally:
            item.open = False
            gone.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await gone


class _Reply:
    def __init__(self, way: Way, item: Item, body: dict[str, Any], writer: asyncio.StreamWriter, gone: Any) -> None:
        self.way, self.item, self.writer, self.gone = way, item, writer, gone
        self.streamed = bool(body.get("stream"))
        self.tokens = min(way.tokens, body.get("max_tokens") or way.tokens)

    async def write(self) -> bool:
        way = self.way
        await self._wait(way.wait)
        if way.fault == "refuse":
            self.item.prompt = 0
            data = json.dumps({"error": {"message": "overloaded", "code": 503}}).encode()
            self.writer.write(b"HTTP/1.1 503 X\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
            return True
        if self.streamed:
            self.writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            self._event({"role": "assistant", "content": ""})
        began = asyncio.get_running_loop().time()
        while self.item.output < self.tokens:
            if not await self._wait(STEP):
                return False
            made = min(self.tokens, round((asyncio.get_running_loop().time() - began) * way.rate))
            shown = made - max(self.item.output, way.hidden)
            self.item.output = made
            if way.fault == "cut" and made * 2 > self.tokens:
                return False
            if self.streamed and shown > 0 and way.fault not in ("empty", "silent"):
                self._event({"content": "abc " * shown})
        if way.fault == "silent":
            await self.gone
            return False
        return self._end()

    async def _wait(self, seconds: float) -> bool:
        """Let time go by; False where there is nobody to write for."""
        await asyncio.wait({self.gone}, timeout=seconds)
        if not self.gone.done():
            return True
        if not self.way.stops:
            self.item.output = self.tokens
        return False

    def _end(self) -> bool:
        reason = "content_filter" if self.way.fault == "filter" else "stop"
        usage = {"prompt_tokens": self.item.prompt, "completion_tokens": self.item.output}
        told = {"usage": {**usage, "total_tokens": sum(usage.values())}} if self.way.usage else {}
        if self.streamed:
            self._event({}, reason)
            if told:
                self._chunk(
                    {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], **told}
                )
            self.writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            return True
        text = "" if self.way.fault == "empty" else "abc " * (self.item.output - self.way.hidden)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        data = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "choices": [choice], **told}).encode()
        if self.way.fault == "not_json":
            data = data[:-1] + b",,"
        self.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
        return True

    def _event(self, delta: dict[str, Any], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        self._chunk({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})

    def _chunk(self, event: dict[str, Any]) -> None:
        data = b"data: " + json.dumps(event).encode() + b"\n\n"
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))


@asynccontextmanager
async def biller(**ways: Way) -> AsyncIterator[Biller]:
    """One on a free port."""
    made = Biller(ways)
    async with serving(made.serve) as port:
        made.url = f"http://127.0.0.1:{port}/v1"
        yield made
