"""Where attacks run, and how a house is asked something meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _house_answers as evil
import aiohttp
from _house_stand import Line, Product

MB = 1 << 20
DEEP = b"[" * 250
"""Deeper than any reply may be that reaches a client."""

INTERNAL = b"The router failed to handle this request"
LIMITS = {"connect": 1.0, "first_token": 2.0, "idle": 2.0, "total": 3.0}
QUICK_LIMITS = {"connect": 1.0, "first_token": 1.0, "idle": 1.0, "total": 1.5}
STARTING = 60.0
"""MB that a house takes in its first seconds, whatever it is asked."""

SOON = 12.0
"""Seconds within which everything is answered, with these limits, whatever the upstream does."""


@dataclass
class Stand:
    """Where attacks run. `upstream`: the evil one's port; `dice`: seeded."""

    folder: Path
    upstream: int
    dice: random.Random
    quick: bool = False
    requests: int = 100_000
    like: str = ""
    keep: Path | None = None
    lines: list[Line] = field(default_factory=list)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Every evil model by its name, and a good one."""
        names = [*evil.STREAMS, *evil.BODIES, *evil.ERRORS, *evil.HEADS, *evil.RESETS, *evil.SLOW]
        price = {"input": 1, "output": 2}
        models = [{"id": f"evil/{name}", "upstream": name, "price": price, "context": 100_000} for name in names]
        url = f"http://127.0.0.1:{self.upstream}/v1"
        good = {"id": "good/good", "upstream": "good", "price": price, "context": 100_000, "quality": 50}
        return {
            "auth": "open",
            "providers": {
                "evil": {
                    "kind": "openai",
                    "base_url": url,
                    "api_key": "sk-evil",
                    "models": models,
                    "timeouts": self.limits,
                },
                "good": {
                    "kind": "openai",
                    "base_url": url,
                    "api_key": "sk-good",
                    "models": [good],
                    "timeouts": self.limits,
                },
            },
            **more,
        }

    @property
    def limits(self) -> dict[str, float]:
        """Of time, for every provider."""
        return QUICK_LIMITS if self.quick else LIMITS

    def some(self, names: list[str], quick: int) -> list[str]:
        """All, or a few of them where there is little time, or those that are asked for."""
        names = [name for name in names if self.like in name]
        return sorted(self.dice.sample(names, min(quick, len(names)))) if self.quick else names


def chat(model: str, *, stream: bool = False, text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, **more}


async def ask(product: Product, body: Any, line: Line | None = None, **headers: str) -> tuple[int, int]:
    """Send a chat and read all of its answer: status and bytes. What must not be in it is told."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{product.port}/v1/chat/completions"
    tail, size = b"", 0
    found: set[str] = set()
    timeout = aiohttp.ClientTimeout(total=SOON)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=data, headers={"Content-Type": "application/json", **headers}) as reply,
        ):
            async for piece in reply.content.iter_any():
                seen, size = tail + piece, size + len(piece)
                if DEEP in seen and reply.status == 200:
                    found.add("JSON without a bottom reached a client")
                if INTERNAL in seen:
                    found.add("a 500 of ours")
                tail = seen[-300:]
            status = reply.status
    except (aiohttp.ClientError, ConnectionError) as error:
        found.add(f"no answer: {type(error).__name__}")
        status = 0
    except TimeoutError:
        found.add(f"no end within {SOON:.0f} s")
        status = 0
    if line is not None:
        line.lost += sorted(found)
    return status, size


async def warm(product: Product) -> None:
    """What is imported and made with the first requests is no attack's."""
    for stream in (True, False):
        await ask(product, chat("good/good", stream=stream))
    await asyncio.sleep(1)
