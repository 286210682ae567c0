"""What an evil upstream does to the house: each attack gives a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import _house_answers as evil
import aiohttp
from _house_asking import MB, Stand, ask, chat, warm
from _house_stand import Line, running

STARTING = 60.0
"""MB that a house takes in its first seconds, whatever it is asked."""


async def streams(stand: Stand) -> AsyncIterator[Line]:
    """Endless, deep and odd streams, for a client that streams and one that does not."""
    sizes = {
        "line-without-end": 32,
        "json-without-end": 32,
        "event-60mb": 60,
        "event-20mb-values": 20,
        "event-20mb-escapes": 20,
        "name-20mb": 20,
        "id-20mb": 20,
    }
    quick = [
        "comments",
        "role-deltas",
        "deep-chunk",
        "event-60mb",
        "thinking",
        "many-calls",
        "call-index-huge",
        "lists-in-bits",
    ]
    with running(stand.folder / "streams", stand.settings()) as product:
        await warm(product)
        for name in [name for name in (quick if stand.quick else evil.STREAMS) if stand.like in name]:
            size = sizes.get(name, 0)
            if not size:  # a client that streams and one that does not, at once
                async with product.attack(f"upstream {name}") as line:
                    done = await asyncio.gather(
                        *[ask(product, chat(f"evil/{name}", stream=s), line) for s in (True, False)]
                    )
                    line.said = " and ".join(f"{status}, {came / MB:.1f} MB came" for status, came in done)
                yield line
                continue
            for stream in (True, False):  # one after the other: the memory is judged for one
                said = f"upstream {name}{' (streamed)' if stream else ''}"
                async with product.attack(said, size=size, large=size > 16) as line:
                    status, came = await ask(product, chat(f"evil/{name}", stream=stream), line)
                    line.said = f"{status}, {came / MB:.1f} MB came"
                yield line


async def replies(stand: Stand) -> AsyncIterator[Line]:
    """Whole replies, errors, heads, and connections that break off."""
    names = stand.some([*evil.BODIES, *evil.ERRORS, *evil.HEADS, *evil.RESETS, *evil.SLOW], 12)
    with running(stand.folder / "replies", stand.settings()) as product:
        await warm(product)
        for name in names:
            large = "20mb" in name or "64mb" in name or "60mb" in name or "values" in name
            size = max(64.0 if large else 0.0, await prime(stand, name))
            async with product.attack(f"upstream {name}", size=size, large=large) as line:
                if large:  # one after the other: the memory is judged for one
                    done = [await ask(product, chat(f"evil/{name}", stream=s), line) for s in (True, False)]
                else:
                    done = await asyncio.gather(
                        *[ask(product, chat(f"evil/{name}", stream=s), line) for s in (True, False)]
                    )
                line.said = ", ".join(str(status) for status, _ in done)
                async with aiohttp.ClientSession(headers=product.admin) as session:
                    await session.post(f"http://127.0.0.1:{product.port}/router/providers/clear-cooldowns")
            yield line


async def prime(stand: Stand, name: str) -> float:
    """Have the upstream make what it will answer; its MB."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{stand.upstream}/prime/{name}") as reply,
    ):
        return int(await reply.read()) / MB


async def lists(stand: Stand) -> AsyncIterator[Line]:
    """Lists of models, a few in each house: it starts with them, serves, and starts again."""
    url = f"http://127.0.0.1:{stand.upstream}"
    names = stand.some([*evil.LISTS, "slow", "bomb"], 6)
    for first in range(0, len(names), 6):
        some, given = names[first : first + 6], stand.settings()
        for place, name in enumerate(some):
            kind = (
                "openrouter" if name.startswith("price") else "openai"
            )  # of one kind prices are read, the other is at home
            given["providers"][f"lister{place}"] = {
                "kind": kind,
                "base_url": f"{url}/lists/{name}/v1",
                "api_key": "sk-list",
                "local": kind == "openai",
                "discover": True,
            }
        data, told = stand.folder / f"lists-{first}", f"lists: {', '.join(some)}"
        yield await _one_list(data, given, told, len(some))
        if not first and not stand.quick:
            yield await _one_list(data, given, f"{told}, started again", len(some))
    for name in stand.some([*evil.DETAILS], 0):
        kind = "ollama" if name.startswith("show") else "llamacpp"
        given = stand.settings()
        given["providers"]["told"] = {
            "kind": kind,
            "base_url": f"{url}/details/{name}/v1",
            "api_key": "sk-list",
            "discover": True,
            "local": True,
        }
        yield await _one_list(stand.folder / f"details-{name}", given, f"details: {name}", 1)


async def _one_list(data: Path, given: dict[str, Any], name: str, number: int) -> Line:
    """Each list may have 16 MB, and they are asked for at once, and once more by the check; what a start takes comes on top."""
    try:
        with running(data, given) as product:
            async with product.attack(name, size=16.0 * number + STARTING / 3, large=True) as line:
                await asyncio.sleep(1.5)
                status, _ = await ask(product, chat("good/good"), line)
                async with aiohttp.ClientSession(headers=product.admin) as session:
                    base = f"http://127.0.0.1:{product.port}"
                    async with session.get(f"{base}/v1/models") as reply:
                        shown = len((await reply.json())["data"])
                    async with session.get(f"{base}/router/providers?check=1") as reply:
                        checked = reply.status
                    async with session.get(f"{base}/health") as reply:
                        tasks = (await reply.json()).get("tasks", {})
                line.said = f"{status}, {shown} models, check {checked}"
                line.lost += [f"a good model answered {status}"] if status != 200 else []
                line.lost += [f"the task {t} is {s}" for t, s in tasks.items() if s == "restarting"]
                line.lost += [f"the check answered {checked}"] if checked != 200 else []
    except RuntimeError as error:
        line = Line(name, 0, 0, lost=[str(error)])
    return line
