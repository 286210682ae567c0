"""MQTT messages of all kinds, and a broker for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import _house_answers as evil
import _house_stand
import aiomqtt
import lab
from _house_asking import MB, Stand, ask, chat, warm
from _house_mutate import Mutator
from _house_samples import FULL, SETTINGS, SMALL
from _house_stand import Line, Product, running

PROTOCOLS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
ASK, ANSWER = "cheaprouter/request/health", "cheaprouter/response/health"
SOON = 10.0
"""Seconds within which a question is answered, whatever else was published."""

VERBS: dict[str, Any] = {
    "usage": {"from": "2026-11-01", "to": "2026-11-30", "group_by": "day"}, "route": SMALL, "providers": {}, "devices": {},
    "models": {}, "health": {}, "set_device": {"device": "tablet", **SETTINGS}, "set_hub": {"profile": "eco"}, "reset_budget": {"device": "tablet"},
}  # fmt: skip
SET = (
    "profile",
    "model",
    "rpm",
    "tpm",
    "parallel",
    "daily_budget",
    "monthly_budget",
    "enabled",
    "cost_quality",
    "reset_today",
    "x",
)


async def messages(broker: int, dice: random.Random, number: int) -> None:
    """So many MQTT messages of all kinds."""
    mutate = Mutator(dice)
    async with aiomqtt.Client("127.0.0.1", broker) as client:
        for turn in range(number):
            kind = dice.randrange(4)
            if kind == 0:
                verb = dice.choice([*VERBS])
                topic, payload = f"cheaprouter/request/{verb}", mutate.body({**VERBS[verb], "transaction": turn})
            elif kind == 1:
                topic = dice.choice(("cheaprouter/chat/request", "cheaprouter/device/tablet/chat/request"))
                payload = mutate.body({**dice.choice((SMALL, FULL)), "transaction": "t"})
            else:
                where = dice.choice(("cheaprouter", "cheaprouter/device/tablet", "cheaprouter/device/nobody"))
                topic = f"{where}/{dice.choice(SET)}/set"
                payload = dice.choice((mutate.text(), mutate.number())).encode("utf-8", "surrogatepass")
            with contextlib.suppress(ValueError):
                await client.publish(topic, payload, qos=0, retain=dice.random() < 0.02)
            if turn % 20 == 19:
                await asyncio.sleep(0.02)


@contextlib.contextmanager
def broker_of(folder: Path) -> Iterator[int | None]:
    """A Mosquitto for as long as the block runs: its port; None where there is none here."""
    found = lab.find("mosquitto")
    if found is None:
        yield None
        return
    port = _house_stand.free_port()
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = subprocess.Popen(
        [found, "-c", str(folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(0.5)
        yield port
    finally:
        process.kill()
        process.wait()


def payloads(*, quick: bool) -> dict[str, tuple[str, bytes, int, float]]:
    """What is published by its name: topic, payload, how often, and MB of one."""
    big = 8 if quick else 60
    chats, route, number = "cheaprouter/chat/request", "cheaprouter/request/route", 300 if quick else 3000
    question = b'{"model": "good/good", "messages": [{"role": "user", "content": "%b"}]}'
    return {
        f"{big} MB to a setting": ("cheaprouter/profile/set", b"x" * big * MB, 1, big),
        f"{big} MB to a question": (route, b'{"a": "' + b"x" * big * MB, 1, big),
        f"{big} MB to chat": (chats, question % (b"word " * (big * MB // 5)), 1, big),
        f"{big} MB to nobody": ("cheaprouter/device/nobody/x/set", bytes(big * MB), 1, big),
        "3.9 MB thirty times": (chats, question % (b"a" * 3_900_000), 30, 3.9),
        "a question without a bottom": (route, b"[" * 500_000 + b"]" * 500_000, 20, 1),
        "a question of values": (route, b'{"a": ' + evil.nested(MB - 100) + b"}", 20, 1),
        "a question of escapes": (route, b'{"a": "' + b"\\u00e9" * 170_000 + b'"}', 20, 1),
        "a chat of a megabyte": (chats, question % (b"\\n" * 500_000), 20, 1),
        f"{number} commands": ("cheaprouter/profile/set", b"eco", number, 0.001),
        f"{number} commands to a device": ("cheaprouter/device/tablet/rpm/set", b"50", number, 0.001),
        f"{number} commands that are none": ("cheaprouter/device/tablet/rpm/set", b"\xff1e999999", number, 0.001),
        f"{number} questions": (route, json.dumps(SMALL).encode(), number, 0.001),
        f"{number} chats": (chats, json.dumps({**SMALL, "model": "good/good"}).encode(), number, 0.001),
    }


async def mqtt(stand: Stand) -> AsyncIterator[Line]:
    """What publishers send, in either protocol; after it the house still answers them, and others."""
    for protocol in ("5", "3.1.1"):
        with broker_of(stand.folder) as broker:
            if broker is None:
                return
            url = f"mqtt://127.0.0.1:{broker}"
            given = stand.settings(mqtt={"url": url, "interval": 1, "protocol": protocol})
            with running(stand.folder / f"mqtt-{protocol}", given) as product:
                await warm(product)
                await ask(product, chat("good/good"), **{"X-Device-ID": "tablet"})
                every = payloads(quick=stand.quick)
                for name in stand.some([*every], 2):
                    yield await _publish(product, broker, protocol, name, every[name])


async def _publish(
    product: Product, broker: int, protocol: str, name: str, sent: tuple[str, bytes, int, float]
) -> Line:
    topic, payload, number, size = sent
    async with aiomqtt.Client("127.0.0.1", broker, protocol=PROTOCOLS[protocol], timeout=30) as client:
        await client.subscribe(ANSWER)
        large = size > 16
        async with product.attack(f"mqtt {protocol}: {name}", size=size * min(number, 8), large=large) as line:
            for turn in range(number):
                await client.publish(topic, payload, qos=1, retain=turn == 0 and size > 1)
            await asyncio.sleep(0.5)
            line.said = await _still_there(client, line)
            status, _ = await ask(product, chat("good/good"), line)
            line.lost += [f"a good model answered {status}"] if status != 200 else []
        await client.publish(topic, b"", retain=True)
    return line


async def _still_there(client: aiomqtt.Client, line: Line) -> str:
    """Ask until there is an answer: who asks while much is under way is told to ask again."""
    began, tries = time.monotonic(), 0
    while time.monotonic() - began < SOON:
        tries += 1
        await client.publish(ASK, b'{"transaction": %d}' % tries)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                async for message in client.messages:
                    answer = json.loads(bytes(message.payload))
                    if answer["transaction"] == tries and answer["status"] == "ok":
                        return f"answered after {time.monotonic() - began:.1f} s"
                    if answer["transaction"] == tries:
                        break
        await asyncio.sleep(0.2)
    line.lost.append(f"a question was not answered within {SOON:.0f} s")
    return "no answer"
