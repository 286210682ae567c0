"""The soak's mix of requests, and clients that ask them, behave or leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from load import word

PATIENCE = 30.0
"""Seconds for which a client waits for an answer; more is a failure of the soak."""

LEAVES_AFTER = 0.03
"""Seconds after which a client that leaves before the answer does so."""

WELL = frozenset({200})
FAILED = frozenset({429, 500, 502, 503, 504})
TOOLS = [{"type": "function", "function": {"name": "turn_on", "parameters": {"type": "object", "properties": {}}}}]
LONG = "every sensor in the house reports its state once a minute and the hub keeps a week of readings for later " * 600


@dataclass(frozen=True)
class Kind:
    """A kind of request. `share`: of a thousand. `fault`: what the upstream does. `leaves`: `first`, after the first content;
    `before`, without waiting for any. `expected`: statuses that are right. `booked`: whether it is a row in the books."""

    name: str
    share: int
    fault: str = ""
    model: str = "blockrun/auto"
    stream: bool = False
    device: str = ""
    expected: frozenset[int] = WELL
    leaves: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    key: str = ""
    path: str = "/v1/chat/completions"
    booked: bool = True


def _failover() -> Iterator[Kind]:
    """What a stand-in mends; and the same where the client names the model, so that nobody stands in."""
    for fault, share in (
        ("reset", 30), ("hang_up", 15), ("status_429", 25), ("status_500", 25), ("status_503", 15), ("stall", 10),
        ("bad_json", 20), ("html", 10), ("empty", 10),
    ):  # fmt: skip
        yield Kind(f"failover: {fault}", share, fault)
        yield Kind(f"failover: {fault}, stream", max(5, share // 3), fault, stream=True)
        yield Kind(f"named: {fault}", max(3, share // 5), fault, model="shaky/one", expected=WELL | FAILED)


KINDS = (
    Kind("stream", 130, stream=True),
    Kind("long stream", 20, "long", stream=True),
    Kind("dripped stream", 10, "drip", stream=True),
    Kind("tool call", 50, "tool", body={"tools": TOOLS}),
    Kind("long prompt", 5, body={"messages": [{"role": "user", "content": LONG}]}),
    Kind(
        "other text each time",
        40,
        body={"messages": [{"role": "user", "content": "What does {word} mean, and {word} twice?"}]},
    ),
    *_failover(),
    Kind("cut stream", 15, "cut", stream=True),
    Kind("reset stream", 15, "reset_stream", stream=True),
    Kind("silent stream", 3, "hang", model="shaky/one", stream=True, expected=WELL | FAILED),
    Kind("leaves a stream", 40, "hang", stream=True, leaves="first"),
    Kind("leaves a long stream", 20, "long", stream=True, leaves="first"),
    Kind("leaves before the answer", 20, "wait", leaves="before"),
    Kind("not JSON", 15, raw=b'{"model": "blockrun/auto", "messages"', expected=frozenset({400})),
    Kind("no messages", 10, raw=b'{"model": "blockrun/auto"}', expected=frozenset({400})),
    Kind("unknown model", 15, model="lab/nobody", expected=frozenset({404})),
    Kind("wrong key", 5, key="cr-wrong", expected=frozenset({401})),
    Kind("device with a key", 30, key="{key}"),
    Kind("guest", 3, device="guest-{number}"),
    Kind("limited", 20, device="limited", expected=frozenset({200, 429})),
    Kind("poor", 10, device="poor", expected=frozenset({429})),
    Kind("models", 10, path="/v1/models", booked=False),
    Kind("health", 10, path="/health", booked=False),
)
USUAL = Kind("whole", 1000 - sum(kind.share for kind in KINDS))


@dataclass
class Seen:
    """What happened so far. `outcomes`: by kind and status (`left`: the client did). `wrong`: what was not expected, in words."""

    sent: int = 0
    booked: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


class Mix:
    """Requests one after the other, the same each time. `key`: of a device that has one."""

    def __init__(self, requests: int, key: str) -> None:
        self.left = requests
        self._key = key
        self._dice = random.Random(11)
        self._kinds = (USUAL, *KINDS)
        self._shares = [kind.share for kind in self._kinds]
        self._number = 0

    def __iter__(self) -> Iterator[tuple[Kind, bytes]]:
        while self.left > 0:
            self.left -= 1
            self._number += 1
            kind = self._dice.choices(self._kinds, self._shares)[0]
            yield kind, self._request(kind)

    def each_once(self) -> Iterator[tuple[Kind, bytes]]:
        """Every kind, and as many guests as a router remembers: what it keeps of what it has met, it keeps after this."""
        guests = [kind for kind in self._kinds if kind.name == "guest"] * 60
        for kind in (*self._kinds, *guests):
            self._number += 1
            yield kind, self._request(kind)

    def _request(self, kind: Kind) -> bytes:
        number = str(self._number)
        if kind.path != "/v1/chat/completions":
            return f"GET {kind.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        body = kind.raw
        if body is None:
            text = f"Turn on lamp {self._number % 500} in the kitchen." + (
                f" [[fault={kind.fault}]]" if kind.fault else ""
            )
            asked = {
                "model": kind.model,
                "messages": [{"role": "user", "content": text}],
                "stream": kind.stream,
                "max_tokens": 50,
            }
            body = json.dumps(asked | kind.body).replace("{word}", word(self._number)).encode()
        device = (kind.device or f"home-{self._number % 20}").replace("{number}", number)
        key = f"Authorization: Bearer {kind.key.replace('{key}', self._key)}\r\n" if kind.key else ""
        head = (
            f"POST {kind.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{key}"
            f"X-Device-ID: {device}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Client:
    """One connection, kept as long as it can be."""

    def __init__(self, port: int, seen: Seen) -> None:
        self._port, self._seen = port, seen
        self._writer: asyncio.StreamWriter | None = None

    async def work(self, requests: Iterator[tuple[Kind, bytes]]) -> None:
        """Ask until there is nothing left to ask; what is left is shared with others."""
        for kind, request in requests:
            await self.ask(kind, request)
        await self.close()

    async def ask(self, kind: Kind, request: bytes) -> None:
        self._seen.sent += 1
        self._seen.booked += kind.booked
        try:
            async with asyncio.timeout(PATIENCE):
                status = await self._exchange(kind, request)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            await self.close()
            self._seen.wrong[f"{kind.name}: {type(error).__name__}"] += 1
            return
        self._seen.outcomes[kind.name, str(status or "left")] += 1
        if status and status not in kind.expected:
            self._seen.wrong[f"{kind.name}: {status}"] += 1

    async def _exchange(self, kind: Kind, request: bytes) -> int:
        """The status; 0 where we left first."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        self._writer.write(request)
        if kind.leaves == "before":
            await asyncio.sleep(LEAVES_AFTER)
            await self.close()
            return 0
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if kind.leaves == "first" and status == 200:
            await self._reader.readuntil(b'"content":')
            await self.close()
            return 0
        if b"transfer-encoding: chunked" in head:
            await self._reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            await self._reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        if b"connection: close" in head:
            await self.close()
        return status

    async def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
