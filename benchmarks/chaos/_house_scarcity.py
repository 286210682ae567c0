"""What the house is left short of: room on the disk, descriptors, names, readers. Each attack gives a line."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator

import aiohttp
from _house_asking import Stand, ask, chat, warm
from _house_stand import Line, running


async def disk_full(stand: Stand) -> AsyncIterator[Line]:
    """No file may grow beyond 256 kB (RLIMIT_FSIZE, as on a full disk a write fails; the signal that comes with it is ignored by
    Python): answers go on, and that is told."""
    with running(stand.folder / "disk", stand.settings(), limit=(resource.RLIMIT_FSIZE, 256 * 1024)) as product:
        await warm(product)
        async with product.attack("disk full (RLIMIT_FSIZE 256 kB)") as line:
            number = 300 if stand.quick else 3000
            statuses = [await ask(product, chat("good/good", text=f"Hello {n}"), line) for n in range(number)]
            good = sum(status == 200 for status, _ in statuses)
            async with (
                aiohttp.ClientSession(headers=product.admin) as session,
                session.get(f"http://127.0.0.1:{product.port}/health") as reply,
            ):
                health = await reply.json()
            line.said = f"{good} of {number} answered, {health['status']}"
            line.lost += [f"{number - good} were not answered"] if good < number else []
        yield line


async def descriptors(stand: Stand) -> AsyncIterator[Line]:
    """As many connections as it may have descriptors: whoever was there is served, and afterwards everybody."""
    with running(stand.folder / "descriptors", stand.settings(), limit=(resource.RLIMIT_NOFILE, 96)) as product:
        await warm(product)
        async with product.attack("descriptors gone (RLIMIT_NOFILE 96)") as line:
            opened = []
            for _ in range(150 if stand.quick else 600):
                try:
                    async with asyncio.timeout(1):
                        opened.append(await asyncio.open_connection("127.0.0.1", product.port))
                except OSError:
                    break
            await asyncio.sleep(2)
            for _, writer in opened:
                writer.close()
            await asyncio.sleep(1.5)
            status, _ = await ask(product, chat("good/good"), line)
            line.said = f"{len(opened)} connections, then {status}"
            line.lost += [f"afterwards a good model answered {status}"] if status != 200 else []
        yield line


async def strangers(stand: Stand) -> AsyncIterator[Line]:
    """Thousands who each give themselves another name: the house's own devices stay."""
    number = 150 if stand.quick else 3000
    with running(
        stand.folder / "strangers", stand.settings(devices={"kitchen-tablet": {"daily_budget": 5}})
    ) as product:
        await warm(product)
        async with product.attack(f"{number} strangers", size=1) as line:
            await ask(product, chat("good/good"), line, **{"X-Device-ID": "kitchen-tablet"})
            gate = asyncio.Semaphore(8)

            async def one(number: int) -> int:
                async with gate:
                    return (
                        await ask(product, chat("good/good"), line, **{"X-Device-ID": f"stranger-{number}-{'x' * 40}"})
                    )[0]

            statuses = await asyncio.gather(*map(one, range(number)))
            async with (
                aiohttp.ClientSession(headers=product.admin) as session,
                session.get(f"http://127.0.0.1:{product.port}/router/devices") as reply,
            ):
                known = [row.get("id") or row.get("device_id") for row in (await reply.json())["data"]]
            line.said = f"{sum(s == 200 for s in statuses)} answered, {len(known)} known"
            line.lost += [] if "kitchen-tablet" in known else ["kitchen-tablet was pushed out"]
        yield line


async def stalled_readers(stand: Stand) -> AsyncIterator[Line]:
    """Clients that ask for much and read nothing of it."""
    number = 20 if stand.quick else 60
    with running(stand.folder / "stalled", stand.settings()) as product:
        await warm(product)
        async with product.attack(f"{number} clients that read nothing", size=number * 0.5) as line:
            body = json.dumps(chat("evil/text-for-ever", stream=True)).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            opened = []
            for _ in range(number):
                reader, writer = await asyncio.open_connection("127.0.0.1", product.port, limit=1024)
                writer.write(head % len(body) + body)
                opened.append((reader, writer))
            await asyncio.sleep(3)
            status, _ = await ask(product, chat("good/good"), line)
            line.said = f"meanwhile {status}"
            line.lost += [f"meanwhile a good model answered {status}"] if status != 200 else []
            for _, writer in opened:
                writer.close()
        yield line
