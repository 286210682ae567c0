"""Mutated requests, MQTT messages and files by the hundred thousand: no 500 of ours, no hang, no traceback.

Each request goes out on a connection of its own kind: kept ones for what is HTTP, new ones for what is damaged. The usual road of a
chat (`doors/line.py`) and aiohttp's are taken alike: a head that is a little unusual takes the second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import _house_stand
from _house_asking import INTERNAL, Stand, ask, chat, warm
from _house_messages import broker_of, messages
from _house_mutate import Mutator
from _house_samples import FULL, SETTINGS, SMALL
from _house_stand import Line, Product, running

AT_ONCE = 16
PATIENCE = 20.0
"""Seconds within which each request has its answer."""

STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3})")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
CHAT = "/v1/chat/completions"
BODIES: tuple[tuple[str, str, Any], ...] = (
    ("POST", CHAT, SMALL),
    ("POST", CHAT, FULL),
    ("POST", CHAT, {**FULL, "stream": True, "stream_options": {"include_usage": True}}),
    ("POST", CHAT, {**SMALL, "model": "good/good", "stream": True}),
    ("POST", CHAT, {**FULL, "model": "claude/claude-sonnet-4-5"}),
    ("POST", CHAT, {"model": "good/good", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}], "instructions": "x", "max_output_tokens": 5}),
    ("POST", CHAT, {**SMALL, "model": "evil/fuzz"}),
    ("POST", CHAT, {**SMALL, "model": "evil/fuzz", "response_format": {"type": "json_object"}}),
    ("POST", CHAT, {**SMALL, "model": "evil/fuzz", "stream": True}),
    ("POST", CHAT, {**SMALL, "model": "claude/claude-sonnet-4-5"}),
    ("POST", CHAT, {**SMALL, "model": "claude/claude-sonnet-4-5", "stream": True}),
    ("POST", "/chat/completions", {**SMALL, "functions": [{"name": "f", "parameters": {}}], "function_call": "auto"}),
    ("POST", "/router/route", {**SMALL, "device": "tablet"}),
    ("PATCH", "/router/devices/tablet", SETTINGS),
    ("PATCH", "/router/settings", {"profile": "auto", "cost_quality": 5, "daily_budget": 5, "monthly_budget": 50}),
    ("POST", "/router/keys", {"device": "tablet"}),
)  # fmt: skip
PATHS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("GET", "/router/usage", {"from": "2026-11-01", "to": "2026-11-30", "group_by": "day,device", "device": "tablet", "model": "a", "format": "json"}),
    ("GET", "/router/usage", {"from": "2026-11-01T00:00:00Z", "group_by": "hour", "format": "csv"}),
    ("GET", "/v1/audit", {"limit": "100"}),
    ("GET", "/router/providers", {"check": "0"}),
    ("GET", "/router/devices/tablet", {}),
    ("GET", "/v1/models/good/good", {}),
    ("GET", "/v1/models", {}),
    ("GET", "/v1/metrics", {}),
    ("GET", "/metrics", {}),
    ("GET", "/health", {}),
    ("GET", "/", {}),
    ("POST", "/router/devices/tablet/reset-budget", {}),
    ("DELETE", "/router/devices/stranger", {}),
    ("DELETE", "/router/keys/abcdef", {}),
    ("POST", "/router/providers/clear-cooldowns", {}),
    ("POST", "/router/problems/ack", {}),
)  # fmt: skip
UNSURE = ("evil/", "claude/")
HEADERS = ("Content-Length", "X-Device-ID", "Authorization", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Expect", "Host", "Origin", "X-Request-Id", "Accept", "Connection", "Cookie", "Range", "If-None-Match", "X-Forwarded-For", "Accept-Encoding", "Upgrade")  # fmt: skip


class Requests:
    """Makes requests: bytes on the wire, and whether they are still HTTP."""

    def __init__(self, dice: random.Random, admin: str) -> None:
        self.dice, self.mutate, self.admin = dice, Mutator(dice), admin

    def one(self) -> tuple[bytes, bool]:
        if self.dice.random() < 0.7:
            method, path, value = self.dice.choice(BODIES)
            said = (
                isinstance(value.get("model"), str) and value["model"].startswith(UNSURE) and self.dice.random() < 0.7
            )
            body = json.dumps(value).encode() if said else self.mutate.body(value)  # it is the answer that is odd
        else:
            method, path, query = self.dice.choice(PATHS)
            path, body = self.target(path, query), b""
        headers = {"Host": "127.0.0.1", "X-Device-ID": self.dice.choice(("tablet", "tablet", "phone"))}
        if body or method != "GET":
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        if path != CHAT or self.dice.random() < 0.3:
            headers["Authorization"] = f"Bearer {self.admin}" if path != CHAT else "Bearer sk-x"
        if self.dice.random() < 0.3:
            headers["Accept-Language"] = "de"  # and so it takes the other road
        proper = True
        if self.dice.random() < 0.2:
            name = self.dice.choice(HEADERS)
            headers[name] = self.dice.choice((self.mutate.text(), self.mutate.number(), "close", "gzip", "chunked"))
            proper = False
        head = (
            f"{method} {path} HTTP/1.1\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            + "\r\n"
        )
        whole = head.encode("utf-8", "surrogatepass") + body
        if self.dice.random() < 0.03:
            return self.mutate.bytes(whole), False
        return whole, proper

    def target(self, path: str, query: dict[str, str]) -> str:
        """A path and query of which one part is another."""
        dice, values = self.dice, dict(query)
        if values and dice.random() < 0.8:
            name = dice.choice([*values])
            values[name] = dice.choice((self.mutate.text(), self.mutate.number()))[:5000]
        elif dice.random() < 0.5:
            cut = path.rfind("/") + 1
            path = path[:cut] + quote(
                self.mutate.text()[:3000].encode("utf-8", "surrogatepass"), safe=dice.choice(("", "/%"))
            )
        if dice.random() < 0.1:
            values[self.mutate.text()[:100]] = self.mutate.text()[:100]
        told = "&".join(f"{quote(n.encode('utf-8', 'surrogatepass'))}={quote(v.encode('utf-8', 'surrogatepass'))}" for n, v in values.items())  # fmt: skip
        return path + ("?" + told if told else "")


class Sender:
    """Sends on a connection that is kept as long as it may be, and reads the answer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes, *, proper: bool) -> tuple[int, bytes]:
        """Status and body; 0 where it was hung up, as on what is no HTTP; -1 where nothing came."""
        if self.streams is None or not proper:
            self.close()
            self.streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        reader, writer = self.streams
        head = b""
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(request)
                if not proper:
                    await asyncio.sleep(0)
                    with contextlib.suppress(OSError, RuntimeError):
                        writer.write_eof()
                head = await reader.readuntil(b"\r\n\r\n")
                found = STATUS.match(head)
                status = int(found[1]) if found else 0
                body = await self._body(head, reader, status)
        except TimeoutError:
            self.close()
            return -1, head
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.close()
            return 0, b""
        if not proper or b"\r\nconnection: close" in head.lower():
            self.close()
        return status, body

    async def _body(self, head: bytes, reader: asyncio.StreamReader, status: int) -> bytes:
        if status < 200 or status in {204, 304}:
            return b""
        if (found := LENGTH.search(head)) is not None:
            return await reader.readexactly(int(found[1]))
        if b"chunked" not in head.lower():
            return await reader.read()
        parts = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readline()
        return b"".join(parts)

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


async def requests(
    product: Product, dice: random.Random, number: int, line: Line, seen: Counter[str], keep: Path | None
) -> None:
    """So many, some at once. `keep`: a file for those that broke something."""
    admin = (product.data / "admin_key").read_text().strip()
    left = iter(range(number))

    async def worker(seed: int) -> None:
        make, sender = Requests(random.Random(seed), admin), Sender(product.port)
        for _ in left:
            request, proper = make.one()
            status, body = await sender.send(request, proper=proper)
            seen[str(status)] += 1
            lost = len(line.lost)
            if INTERNAL in body or (status == 500 and b"upstream" not in body):
                line.lost.append(f"500, {body[:200]!r}: {request[:300]!r} ... {request[-200:]!r}")
            elif status == -1:
                line.lost.append(
                    f"no end in {PATIENCE:.0f} s, but {body[:200]!r}: {request[:300]!r} ... {request[-200:]!r}"
                )
            elif status == 0 and proper:
                line.lost.append(f"hung up on: {request[:300]!r} ... {request[-200:]!r}")
            if len(line.lost) > lost and keep is not None:
                with keep.open("ab") as file:
                    file.write(request + b"\n\n===\n\n")
            if len(line.lost) > 20:
                return
        sender.close()

    await asyncio.gather(*[worker(dice.randrange(1 << 32)) for _ in range(AT_ONCE)])


async def files(stand: Stand, number: int) -> Line:
    """Configuration files, as `serve` reads them: in another process, with what it says in the end."""
    began = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(_house_stand.HERE / "_house_files.py"), str(stand.dice.randrange(1 << 32)), str(stand.folder), str(number),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(_house_stand.ROOT)},
    )  # fmt: skip
    out, _ = await child.communicate()
    lines = out.decode("utf-8", "replace").splitlines()
    lost = [*dict.fromkeys(lines)][:10] + ([f"it ended with {child.returncode}"] if child.returncode else [])
    return Line(f"fuzz: {number} files", 0, 0, said=f"{time.monotonic() - began:.0f} s", lost=lost)


def kinds(seen: Counter[str]) -> str:
    return " ".join(f"{status}:{count}" for status, count in sorted(seen.items()))


async def fuzz(stand: Stand) -> AsyncIterator[Line]:
    """Nineteen in twenty are requests, the others MQTT messages and files."""
    few = max(1, stand.requests // 20)
    with broker_of(stand.folder) as broker:
        given = stand.settings(
            **({} if broker is None else {"mqtt": {"url": f"mqtt://127.0.0.1:{broker}", "interval": 1}})
        )
        url = f"http://127.0.0.1:{stand.upstream}"
        given["providers"]["evil"]["models"] = [
            {"id": "evil/fuzz", "upstream": "fuzz", "price": {"input": 1, "output": 2}, "context": 100_000}
        ]
        given["providers"]["claude"] = {"kind": "anthropic", "base_url": url, "api_key": "sk-c", "timeouts": stand.limits, "models": [{"id": "claude/claude-sonnet-4-5", "price": {"input": 1, "output": 2}}]}  # fmt: skip
        with running(stand.folder / "fuzz", given) as product:
            await warm(product)
            await ask(product, chat("good/good"), **{"X-Device-ID": "tablet"})
            seen = Counter[str]()
            number = max(1, stand.requests - few - few // 4)
            beside = asyncio.create_task(files(stand, max(1, few // 4)))
            async with product.attack(f"fuzz: {number} requests", size=5) as line:
                await requests(product, stand.dice, number, line, seen, stand.keep)
                line.said = kinds(seen)
            yield line
            if broker is not None:
                async with product.attack(f"fuzz: {few} MQTT messages", size=1) as line:
                    await messages(broker, random.Random(stand.dice.randrange(1 << 32)), few)
                    status, _ = await ask(product, chat("good/good"), line)
                    line.lost += [f"afterwards a good model answered {status}"] if status not in {200, 429} else []
                    line.said = f"then {status}"
                yield line
            yield await beside
