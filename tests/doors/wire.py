"""One connection to the API without a socket: what it is sent and when is the test's, down to each byte."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cheaprouter.control import Control
from cheaprouter.doors.chat import ChatDoor
from cheaprouter.doors.line import LineRunner
from cheaprouter.doors.server import build_app
from tests.builders import a_body, until

PEER = "192.168.1.7"
CHANGING = ("Date", "x-request-id", "retry-after", "x-ratelimit-reset-", "x-ratelimit-remaining-tokens")


def a_post(
    body: Any = None, headers: dict[str, str] | None = None, *, usual: bool = True, path: str = "/v1/chat/completions"
) -> bytes:
    """A chat request. `usual` False: the same, spelled as no client does, and so one for aiohttp's road."""
    raw = body if isinstance(body, bytes) else json.dumps(a_body() if body is None else body).encode()
    given = {"Host": "192.168.1.2:4000", "Content-Type": "application/json", "X-Device-ID": "kitchen"} | (headers or {})
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value is not None)]
    if "Content-Length" not in given:
        lines.append(f"{'Content-Length' if usual else 'CONTENT-LENGTH'}: {len(raw)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + raw


@dataclass(frozen=True)
class Answer:
    """A reply as its bytes say."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    def same(self) -> tuple[Any, ...]:
        """What must be the same on both roads: everything but the request's id and what goes by the clock."""
        return self.status, tuple(h[:1] if h[0].startswith(CHANGING) else h for h in self.headers), self.body


def parse(raw: bytes) -> tuple[list[Answer], bytes]:
    """All whole replies, and what is left over."""
    found: list[Answer] = []
    while b"\r\n\r\n" in raw:
        top, rest = raw.split(b"\r\n\r\n", 1)
        first, *lines = top.decode().split("\r\n")
        headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
        given = dict(headers)
        if first == "HTTP/1.1 100 Continue":
            raw = rest
            continue
        if given.get("Transfer-Encoding") == "chunked":
            body = b""
            while True:
                size, found_end, after = rest.partition(b"\r\n")
                if not found_end or len(after) < int(size, 16) + 2:
                    return found, raw
                body, rest = body + after[: int(size, 16)], after[int(size, 16) + 2 :]
                if size == b"0":
                    break
        else:
            length = int(given["Content-Length"])
            if len(rest) < length:
                return found, raw
            body, rest = rest[:length], rest[length:]
        found.append(Answer(int(first.split(" ")[1]), headers, body))
        raw = rest
    return found, raw


class Wire(asyncio.Transport):
    """The transport under a connection, and the client at its other end."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.sent = bytearray()
        self.writes = 0
        self.closed = False
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (PEER, 50_000) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return len(self.sent)

    def write(self, data: Any) -> None:
        assert not self.closed
        self.writes += 1
        self.sent += data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    leave = close
    """The client goes."""

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    async def say(self, *segments: bytes) -> None:
        """Send, each segment once what the last one caused has run as far as it can at once."""
        for segment in segments:
            if not self.closed:
                self.protocol.data_received(segment)
            for _ in range(5):
                await asyncio.sleep(0)

    async def answers(self, number: int = 1) -> list[Answer]:
        """The first so many replies, once they are whole."""
        await until(lambda: len(parse(bytes(self.sent))[0]) >= number or self.closed, every=0.001)
        return parse(bytes(self.sent))[0]


@dataclass
class Lines:
    """The API of a house, to connect to. `short`: how many requests went past aiohttp's objects."""

    runner: LineRunner
    short: int = 0

    async def connect(self, *, settled: bool = True) -> Wire:
        """`settled` False: what comes first comes before aiohttp's own task has begun."""
        assert self.runner.server is not None
        protocol = self.runner.server()
        wire = Wire(protocol)
        protocol.connection_made(wire)
        if settled:
            await asyncio.sleep(0)
        return wire

    async def ask(self, *requests: bytes) -> list[Answer]:
        """The answers to requests on a connection of their own, one after the other."""
        wire = await self.connect()
        for number, request in enumerate(requests, 1):
            await wire.say(request)
            await wire.answers(number)
        answers = await wire.answers(len(requests))
        wire.leave()
        await wire.say()
        return answers


@asynccontextmanager
async def lines(control: Control) -> AsyncIterator[Lines]:
    """As `main.sites` makes it, without listening."""
    runner = LineRunner(
        build_app(control), access_log=None, handler_cancellation=True, keepalive_timeout=75, shutdown_timeout=1
    )
    await runner.setup()
    found = Lines(runner)
    door: ChatDoor = runner.server.door  # type: ignore[union-attr]

    class Counting(ChatDoor):
        async def serve(self, *given: Any) -> None:
            found.short += 1
            await super().serve(*given)

    door.__class__ = Counting
    try:
        yield found
    finally:
        await runner.cleanup()


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The same in segments."""
    marks = [0, *sorted(set(places)), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks) if b > a]
