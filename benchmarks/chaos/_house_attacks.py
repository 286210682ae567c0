"""What is done to the house: each attack gives a line."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import resource
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _house_upstream as evil
import aiohttp
from _house_stand import Line, Product, running

MB = 1 << 20
DEEP = b"[" * 250
"""Deeper than any reply may be that reaches a client."""

INTERNAL = b"The router failed to handle this request"
LIMITS = {"connect": 1, "first_token": 2, "idle": 2, "total": 3}
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
                "evil": {"kind": "openai", "base_url": url, "api_key": "sk-evil", "models": models, "timeouts": LIMITS},
                "good": {"kind": "openai", "base_url": url, "api_key": "sk-good", "models": [good], "timeouts": LIMITS},
            },
            **more,
        }

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


# --- an evil upstream ---------------------------------------------------------------------------------------------


async def streams(stand: Stand) -> AsyncIterator[Line]:
    """Endless, deep and odd streams, for a client that streams and one that does not."""
    sizes = {"event-60mb": 60, "event-20mb-values": 20, "event-20mb-escapes": 20, "name-20mb": 20, "id-20mb": 20}
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
            for stream in (True, False):
                async with product.attack(
                    f"upstream {name}{' (streamed)' if stream else ''}", size=size, large=size > 16
                ) as line:
                    status, came = await ask(product, chat(f"evil/{name}", stream=stream), line)
                    line.said = f"{status}, {came / MB:.1f} MB came"
                yield line


async def replies(stand: Stand) -> AsyncIterator[Line]:
    """Whole replies, errors, heads, and connections that break off."""
    names = stand.some([*evil.BODIES, *evil.ERRORS, *evil.HEADS, *evil.RESETS, *evil.SLOW], 16)
    with running(stand.folder / "replies", stand.settings()) as product:
        await warm(product)
        for name in names:
            large = "20mb" in name or "64mb" in name or "60mb" in name or "values" in name
            size = 64.0 if large else 0.0
            await prime(stand, name)
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


async def prime(stand: Stand, name: str) -> None:
    """Have the upstream make what it will answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{stand.upstream}/prime/{name}") as reply,
    ):
        await reply.read()


async def lists(stand: Stand) -> AsyncIterator[Line]:
    """Lists of models, a few in each house: it starts with them, serves, and starts again."""
    url = f"http://127.0.0.1:{stand.upstream}"
    names = stand.some([*evil.LISTS, "slow", "bomb"], 8)
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
        if not first:
            yield await _one_list(data, given, f"{told}, started again", len(some))
    for name in stand.some([*evil.DETAILS], 1):
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


# --- files --------------------------------------------------------------------------------------------------------

ALIASES = "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))  # fmt: skip

FILES: dict[str, bytes] = {
    "an alias in itself": b"providers: &a {x: *a}\n",
    "aliases that multiply": ALIASES.encode(),
    "a merge of itself": b"a: &a\n  <<: *a\n",
    "merges that multiply": b"a0: &a0 {k: 1}\n" + b"".join(b"a%d: &a%d\n  <<: [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
    "flows without a bottom": b"[" * 90_000,
    "blocks without a bottom": b"".join(b" " * n + b"a:\n" for n in range(400)),
    "100 kB of brackets": b"a: [" + b"[],{}," * 16_000 + b"]\n",
    "1 MB of text": b"a: " + b"x" * MB,
    "a number of 90,000 digits": b"http: {port: " + b"9" * 90_000 + b"}\n",
    "numbers in base sixty": b"a: " + b":".join([b"59"] * 20_000) + b"\n",
    "an include": b"providers: !include /etc/passwd\n",
    "an object": b"a: !!python/object/apply:os.system [exit]\n",
    "half characters": b'a: "\\uD800"\n',
    "a date beyond dates": b"a: 2026-99-99T99:99:99Z\n",
    "numbers beyond all": b"devices: {defaults: {rpm: 1e999999, tpm: .inf, daily_budget: .nan, parallel: -1}}\n",
    "NULs": b"auth: open\x00\n",
    "not UTF-8": b"auth: \xff\xfe\n",
    "anchors by the thousand": b"".join(b"a%d: &x%d 1\n" % (n, n) for n in range(6_000)),
    "comments alone": b"# a\n" * 24_000,
    "keys by the thousand": b"".join(b"k%d: 1\n" % n for n in range(12_000)),
    "tags by the thousand": b"a: [" + b"!!str a, " * 10_000 + b"]\n",
    "quotes that do not end": b"a: '" + b"''" * 40_000,
    "folded lines": b"a: >\n" + b" b\n\n" * 20_000,
    "question marks": b"? " * 40_000 + b"\n",
    "dashes": b"- " * 40_000 + b"\n",
}  # fmt: skip


async def files(stand: Stand) -> AsyncIterator[Line]:
    """Files that are changed under a running house: its settings stay, and it goes on."""
    stays = stand.settings()
    with running(stand.folder / "files", stays) as product:
        await warm(product)
        path = product.data / "cheaprouter.yaml"
        options = product.data / "options.json"
        deep = {
            "options.json without a bottom": b"[" * 100_000 + b"]" * 100_000,
            "options.json of values": b'{"a": ' + evil.nested(MB) + b"}",
        }
        for name in stand.some([*FILES, *deep], 6):
            async with product.attack(f"file: {name}", size=1) as line:
                if name in FILES:
                    path.write_bytes(FILES[name])
                else:
                    options.write_bytes(deep[name])
                await asyncio.sleep(3.2)
                status, _ = await ask(product, chat("good/good"), line)
                line.said = str(status)
                line.lost += [f"a good model answered {status}"] if status != 200 else []
            options.unlink(missing_ok=True)
            yield line
        path.write_text(json.dumps(stays))
    # What was kept for the next start, spoilt; and so the other files that are read then.
    for name in ("last_good.json", "prices.json", "mqtt_retained.json", "instance_id", "options.json"):
        spoilt = {
            "deep": b"[" * 100_000,
            "absurd": b'{"version": 1, "read": 1e400, "models": {"openai": {"gpt-4o": [{"input": "1e999999"}]}}, "files": [{"path": "a", "text": "a: &a [*a]"}]}',
            "binary": bytes(range(256)) * 100,
        }
        for kind, content in spoilt.items():
            data = stand.folder / f"start-{name}-{kind}"
            data.mkdir()
            (data / name).write_bytes(content)
            line = Line(f"start with a {kind} {name}", 0, 0)
            try:
                with running(data, stand.settings(prices={"refresh": True})) as product:
                    status, _ = await ask(product, chat("good/good"), line)
                    await asyncio.sleep(0.3)
                    line.said = str(status)
                    line.lost += product.new_in_log()
            except RuntimeError as error:
                line.lost.append(str(error))
            yield line
        if stand.quick:
            break


# --- bodies and texts ---------------------------------------------------------------------------------------------


def bodies(quick: bool) -> dict[str, tuple[bytes, dict[str, str]]]:  # noqa: FBT001
    """Bodies that a client sends, with their headers."""
    size = 4 if quick else 20
    start = b'{"model": "good/good", "messages": [{"role": "user", "content": "hi"}], "x": '
    text = b'{"model": "good/good", "messages": [{"role": "user", "content": "%s"}]}'
    message = b'{"role": "user", "content": "hi"},'
    picture = b'{"model": "good/good", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,%s"}}]}]}'
    return {
        f"{size} MB of small values": (start + evil.nested(size * MB) + b"}", {}),
        f"{size} MB of brackets": (start + b"[" * (size * MB // 2) + b"]" * (size * MB // 2) + b"}", {}),
        f"{size} MB of keys": (start + b"{" + b",".join(b'"%d":0' % n for n in range(size * MB // 10)) + b"}}", {}),
        f"{size} MB of messages": (
            b'{"model": "good/good", "messages": [' + (message * (size * MB // len(message)))[:-1] + b"]}",
            {},
        ),
        f"{size} MB of one text": (text % (b"word " * (size * MB // 5)), {}),
        f"{size} MB of escapes": (text % (b"\\u00e9" * (size * MB // 6)), {}),
        "a picture of 60 MB": (picture % (b"A" * 60 * MB), {}),
        "a picture of 60 MB in gzip": (gzip.compress(picture % (b"A" * 60 * MB), 1), {"Content-Encoding": "gzip"}),
        "a gzip bomb": (evil.packed(b" " * 1024, 1000, 31), {"Content-Encoding": "gzip"}),
    }


def texts(length: int) -> dict[str, str]:
    """Texts of which each was somebody's quadratic pattern once. `script/chaos text` grows more of them."""
    return {
        "blank lines": "\n" * length,
        "spaces": " " * length + "x",
        "brackets": "(" * length,
        "quotes": '"' * length,
        "backticks": "`" * length,
        "dashes": "-" * length,
        "digits": "1" * length,
        "urls": "http://" * (length // 7),
        "commas": "a," * (length // 2),
        "stars": "*" * length,
        "letters": "a" * length,
        "tags": "<think" * (length // 6),
    }


async def body_bombs(stand: Stand) -> AsyncIterator[Line]:
    """What clients may send."""
    with running(stand.folder / "bodies", stand.settings()) as product:
        await warm(product)
        for name, (body, headers) in bodies(stand.quick).items():
            size = 60.0 if "60 MB" in name else len(body) / MB
            async with product.attack(f"body: {name}", size=size, large=size > 4) as line:
                status, _ = await ask(product, body, line, **headers)
                line.said = str(status)
            yield line
        length = 100_000 if stand.quick else 1_000_000
        for name, text in texts(length).items():
            async with product.attack(f"text: {length:,} {name}", size=length / MB) as line:
                status, _ = await ask(product, chat("blockrun/auto", text=text), line)
                line.said = str(status)
            yield line


# --- scarcity -----------------------------------------------------------------------------------------------------


async def disk_full(stand: Stand) -> AsyncIterator[Line]:
    """No file may grow beyond 256 kB (RLIMIT_FSIZE, as on a full disk a write fails; the signal that comes with it is ignored by
    Python): answers go on, and that is told."""
    with running(stand.folder / "disk", stand.settings(), limit=(resource.RLIMIT_FSIZE, 256 * 1024)) as product:
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
        async with product.attack("descriptors gone (RLIMIT_NOFILE 96)") as line:
            opened = []
            for _ in range(150):
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
    number = 300 if stand.quick else 3000
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


Attacks = Callable[[Stand], AsyncIterator[Line]]
ALL: dict[str, Attacks] = {
    "bodies": body_bombs,
    "streams": streams,
    "replies": replies,
    "lists": lists,
    "files": files,
    "disk": disk_full,
    "descriptors": descriptors,
    "strangers": strangers,
    "stalled": stalled_readers,
}
