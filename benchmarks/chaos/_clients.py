"""Devices that ask, and some that leave: plain sockets on loopback."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from _provider import WORDS

UNREACHABLE = 0
LEFT = -1


@dataclass(frozen=True)
class Ask:
    """One request. `leave`: seconds until its client goes; `events`: or after so many events. `stall`: seconds without reading."""

    cause: str
    model: str
    device: str
    out: int = 100
    words: int = 60
    stream: bool = True
    max_tokens: int | None = None
    n: int = 1
    leave: float | None = None
    events: int | None = None
    stall: float = 0.0
    fault: str | None = None
    rate: float | None = None
    wait: float | None = None

    @property
    def name(self) -> str:
        """The model's name for the router: an alias for each cause, so that the books can be read by it."""
        return f"{self.cause}.{self.model}"

    def body(self, rng: random.Random) -> bytes:
        order = {
            "cause": self.cause,
            "device": self.device,
            "out": self.out,
            "fault": self.fault,
            "rate": self.rate,
            "wait": self.wait,
        }
        order = {name: value for name, value in order.items() if value is not None}
        text = " ".join(rng.choice(WORDS) for _ in range(self.words))
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": "user", "content": f"{text} [[money {json.dumps(order)}]]"}],
            "stream": self.stream,
        }
        if self.max_tokens is not None:
            body["max_tokens"] = self.max_tokens
        if self.n > 1:
            body["n"] = self.n
        return json.dumps(body).encode()


@dataclass(frozen=True)
class Said:
    """What came of it. `status`: HTTP's, `LEFT` or `UNREACHABLE`. `data`: the end of what was read."""

    status: int
    data: bytes = b""

    @property
    def refused(self) -> bool:
        """Whether a limit or budget was in the way."""
        return self.status == 429


async def send(port: int, ask: Ask, rng: random.Random) -> Said:
    """Ask, and read to the end, or leave."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 18)
    except OSError:
        return Said(UNREACHABLE)
    body = ask.body(rng)
    try:
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Device-ID: {ask.device}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        async with asyncio.timeout(ask.leave if ask.leave is not None else 300):
            return await _read(reader, ask)
    except TimeoutError:
        return Said(LEFT)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return Said(UNREACHABLE)
    finally:
        with suppress(OSError):
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader, ask: Ask) -> Said:
    status = int((await reader.readuntil(b"\r\n")).split(b" ")[1])
    if ask.stall:
        await asyncio.sleep(ask.stall)
    data, events = b"", 0
    while piece := await reader.read(65536):
        events += piece.count(b"\ndata: ") + piece.startswith(b"data: ")
        data = (data + piece)[-4096:]
        if ask.events is not None and events >= ask.events:
            return Said(LEFT)
    return Said(status, data)
