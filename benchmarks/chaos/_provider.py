"""A provider that bills: a real server on loopback that counts what it reads and writes, also for clients that left.

What a request is to cost and how it is answered stands in the request itself: `[[money {"cause": …, "out": 120}]]` in its last
message. `Behaviour` says what else a model does. The bill is the provider's own count, and nobody else's view of it.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.serving import serving

ORDER = re.compile(r"\[\[money (\{.*?\})\]\]")
STEP = 0.1
"""Seconds between two pieces of a stream."""

CHARACTERS = 4.2
"""Characters of one token, read or written: of English text it is a little more than four."""

WORDS = [
    "the",
    "lamp",
    "in",
    "our",
    "kitchen",
    "is",
    "on",
    "and",
    "all",
    "of",
    "the",
    "windows",
    "seem",
    "to",
    "be",
    "shut",
    "for",
    "now",
    "since",
    "rain",
    "may",
    "come",
    "later",
]
PICO = 10**12


@dataclass(frozen=True)
class Behaviour:
    """One model. `input`, `output`: USD per million tokens. `rate`: tokens a second. `fault`: one order may name, done here."""

    input: float = 1.0
    output: float = 10.0
    rate: float = 100.0
    usage: bool = True
    """Whether it tells its counts."""
    told: bool = False
    """Whether it tells its cost."""
    hidden: int = 0
    """Tokens of thought that are billed, and not shown."""
    whole: bool = False
    """Whether it bills whole answers, also those that nobody waited for."""
    faulty: bool = False
    """Whether faults in orders are for this model."""
    notices: float = 0.1
    """Seconds until it knows that its client has gone."""
    wait: float = 0.2
    """Seconds until its headers, and as many again until the first token."""


@dataclass
class Item:
    """One line of the bill. `open`: it is still being written. `parallel`: answers at once (`n`)."""

    cause: str
    device: str
    model: str
    behaviour: Behaviour
    prompt: int
    parallel: int
    began: float
    output: int = 0
    ended: float = 0.0
    open: bool = True
    killed: bool = False

    @property
    def pico(self) -> int:
        """What is charged, in pico-dollars."""
        rates = self.behaviour
        return round(self.prompt * rates.input * 1e6) + round(self.output * rates.output * 1e6)

    @property
    def second(self) -> int:
        """What a second of it costs, in pico-dollars."""
        return round(self.behaviour.rate * self.parallel * self.behaviour.output * 1e6)


class ClientGoneError(Exception):
    """The client has left."""


@dataclass
class Provider:
    """`models` by upstream name. `overbill`: charge so many times what is told, to see that the judge notices."""

    models: dict[str, Behaviour]
    overbill: float = 1.0
    items: list[Item] = field(default_factory=list)
    url: str = ""
    shut: bool = False

    def mark_killed(self, devices: str) -> None:
        """The router of these devices was killed now: whatever is being written for them was in flight."""
        for item in self.items:
            item.killed = item.killed or (item.open and item.device.startswith(devices))

    async def quiet(self, seconds: float) -> None:
        """Wait until nothing is being written."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(item.open for item in self.items):  # noqa: ASYNC110 - many items, and nobody waits for one
                    await asyncio.sleep(0.05)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        with suppress(ValueError):
            while (request := await _read(reader)) is not None:
                method, body = request
                if method == "GET":
                    writer.write(_whole(200, {"object": "list", "data": [{"id": name} for name in self.models]}))
                elif not await self._answer(body, reader, writer):
                    return

    async def _answer(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection lives on."""
        behaviour = self.models.get(str(body.get("model")))
        text = " ".join(_texts(body.get("messages")))
        found = ORDER.findall(text)
        if behaviour is None or not found:
            writer.write(_whole(404, {"error": {"message": "no such model", "code": "model_not_found"}}))
            return True
        order = json.loads(found[-1])
        behaviour = replace(behaviour, rate=order.get("rate", behaviour.rate), wait=order.get("wait", behaviour.wait))
        n = int(body.get("n") or 1)
        prompt = round(len(text) / CHARACTERS * self.overbill) + 4 * len(body.get("messages", ()))
        item = Item(order["cause"], order["device"], str(body["model"]), behaviour, prompt, n, time.monotonic())
        self.items.append(item)
        most = body.get("max_completion_tokens") or body.get("max_tokens") or 1_000_000
        fault = order.get("fault") if behaviour.faulty else None
        answer = _Answer(item, body, order, min(most, behaviour.hidden + order["out"]), fault, self.overbill)
        gone = asyncio.ensure_future(reader.read(1))
        try:
            return await answer.write(writer, gone)
        except (ClientGoneError, ConnectionError):
            if behaviour.whole and fault is None:
                item.output = round(answer.tokens * n * self.overbill)
            return False
        finally:
            item.open, item.ended = False, time.monotonic()
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)


class _Answer:
    """One answer on its way. `tokens`: of each choice, hidden ones included."""

    def __init__(
        self, item: Item, body: dict[str, Any], order: dict[str, Any], tokens: int, fault: str | None, over: float
    ) -> None:
        self.item, self.body, self.tokens, self.fault, self.over = item, body, tokens, fault, over
        self.streamed = bool(body.get("stream"))
        self.n = item.parallel
        self.asked = order["out"] + item.behaviour.hidden
        self.said = 0
        self.made = 0

    async def write(self, writer: asyncio.StreamWriter, gone: asyncio.Future[bytes]) -> bool:
        """All of it; whether the connection lives on. Raises ClientGoneError."""
        self.gone = gone
        await self._pass(self.item.behaviour.wait)
        if self.streamed and self.fault != "silent":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._event(writer, {"role": "assistant", "content": ""})
        await self._pass(self.item.behaviour.wait)
        if self.fault in {"empty", "not_json"}:
            self.tokens = min(self.tokens, 40)
        began = time.monotonic()
        while self.made < self.tokens:
            await self._pass(STEP)
            await self._make(writer, time.monotonic() - began)
            if self.fault == "cut" and self.made * 2 > self.tokens:
                return False
        if self.fault == "silent":
            await self._pass(3600)
        if self.streamed:
            self._end(writer)
        elif self.fault == "not_json":
            writer.write(
                b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"choices": [broken '
            )
        else:
            writer.write(_whole(200, self._completion()))
        return True

    async def _make(self, writer: asyncio.StreamWriter, took: float) -> None:
        """The tokens that are due by now."""
        behaviour = self.item.behaviour
        made = min(self.tokens, round(took * behaviour.rate))
        new = made - max(self.made, behaviour.hidden)
        self.made = made
        self.item.output = round(made * self.n * self.over)
        if writer.is_closing():
            raise ClientGoneError
        if self.streamed and new > 0 and self.fault in {None, "cut"}:
            for index in range(self.n):
                self._event(writer, {"content": self._text(new)}, index)
            self.said += new
            if writer.transport.get_write_buffer_size() > 1 << 20:
                await self._drained(writer)

    def _completion(self) -> dict[str, Any]:
        text = "" if self.fault == "empty" else self._text(max(0, self.made - self.item.behaviour.hidden))
        choices = [
            {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": self._reason}
            for index in range(self.n)
        ]
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "served",
            "choices": choices,
            **self._usage(),
        }

    @property
    def _reason(self) -> str:
        return "stop" if self.tokens >= self.asked else "length"

    def _end(self, writer: asyncio.StreamWriter) -> None:
        for index in range(self.n):
            self._event(writer, {}, index, self._reason)
        if (self.body.get("stream_options") or {}).get("include_usage") and (usage := self._usage()):
            self._send(
                writer,
                {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [], **usage},
            )
        writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def _usage(self) -> dict[str, Any]:
        item, behaviour = self.item, self.item.behaviour
        if not (behaviour.usage or behaviour.told):
            return {}
        prompt, output = round(item.prompt / self.over), self.made * self.n
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        if behaviour.hidden:
            usage["completion_tokens_details"] = {"reasoning_tokens": min(self.made, behaviour.hidden) * self.n}
        if behaviour.told:
            usage["cost"] = round(item.pico / PICO, 9)
        return {"usage": usage}

    def _text(self, tokens: int) -> str:
        size, start = round(tokens * CHARACTERS), self.said
        words = " ".join(WORDS[(start + index) % len(WORDS)] for index in range(size // 3 + 1))
        return (" " + words)[:size]

    def _event(
        self, writer: asyncio.StreamWriter, delta: dict[str, Any], index: int = 0, finish: str | None = None
    ) -> None:
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        self._send(
            writer, {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [choice]}
        )

    def _send(self, writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
        writer.write(_chunk(b"data: " + json.dumps(event).encode() + b"\n\n"))

    async def _pass(self, seconds: float) -> None:
        """Let time go by; a client that left is noticed some time after."""
        done, _ = await asyncio.wait({self.gone}, timeout=seconds)
        if done:
            if not self.item.behaviour.whole:
                await self._go_on_unnoticed()
            raise ClientGoneError

    async def _go_on_unnoticed(self) -> None:
        await asyncio.sleep(self.item.behaviour.notices)
        if self.made:
            more = round(self.item.behaviour.notices * self.item.behaviour.rate)
            self.item.output = round(min(self.tokens, self.made + more) * self.n * self.over)

    async def _drained(self, writer: asyncio.StreamWriter) -> None:
        drain = asyncio.ensure_future(writer.drain())
        await asyncio.wait({drain, self.gone}, return_when=asyncio.FIRST_COMPLETED)
        gone = not drain.done()
        drain.cancel()
        (failed,) = await asyncio.gather(drain, return_exceptions=True)
        if gone or isinstance(failed, ConnectionError):
            raise ClientGoneError


def _texts(messages: Any) -> list[str]:
    found = []
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        found += [str(part.get("text") or "") for part in parts]
    return found


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole(status: int, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(data),
        data,
    )


async def _read(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
    body = await reader.readexactly(length)
    return first.split(" ")[0], json.loads(body) if body else {}


@asynccontextmanager
async def provider(models: dict[str, Behaviour], overbill: float = 1.0) -> AsyncIterator[Provider]:
    """A provider on a free port of 127.0.0.1."""
    made = Provider(models, overbill)
    async with serving(made.serve, limit=1 << 22, backlog=1024) as port:
        made.url = f"http://127.0.0.1:{port}/v1"
        yield made
