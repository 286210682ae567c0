"""What prompt caches save in a conversation of 30 turns: `python benchmarks/caches.py`. Money, not time: the same on any machine.

An agent's session (instructions, a dozen tools, a user who asks now and then, results of tools) goes through the running
router to a local upstream that bills caches as the vendors do, at the prices of the shipped catalogue:

- Anthropic: what is marked with `cache_control` is kept for five minutes, from the model's least length on, by account and model; it
  is found at the end of a block at most 20 before a mark. Writing costs a quarter more, reading a tenth.
- OpenAI, Google and others: the longest beginning of an earlier prompt by the same account to the same model, in steps of 128.

Compared with a router that is blind to caches: the same, told not to follow conversations (`routing.sticky: false`), so that each turn
goes to whatever is best for it alone, by keys in turn, and whose prompts carry no marks. What vendors keep by themselves helps that
router, too, where it comes back to the same model and key: there the saving is smaller. `of plain`: what ours saves of what the very same
answers would cost if nothing came from a cache. The upstream's bill counts, not our books; both are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import yaml
from aiohttp import web

from cheaprouter.catalog.catalog import Catalog
from cheaprouter.main.app import Options, serving
from cheaprouter.wire.prompt_cache import least_of

Json = dict[str, Any]

TURNS = 30
OUTPUT = 250
STEP = 128
LOOK_BACK = 20
WORDS = (
    "kitchen", "lamp", "valve", "boiler", "sensor", "meter", "relay", "window",
    "shutter", "curtain", "garage", "pump", "fan", "filter",
)  # fmt: skip


def text(seed: int, tokens: int) -> str:
    """English-like words, about so many tokens, never the same for two seeds."""
    words, size = [], 0
    while size < tokens * 4:
        seed = (seed * 1103515245 + 12345) % 2**31
        words.append(f"{WORDS[seed % len(WORDS)]}{seed % 97}")
        size += len(words[-1]) + 1
    return " ".join(words)


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": text(number, 400),
            "parameters": {
                "type": "object",
                "properties": {"entity": {"type": "string", "description": text(50 + number, 200)}},
            },
        },
    }
    for number in range(12)
]
SYSTEM = "You are the agent of a home. " + text(7, 8000)
ASKS = (
    "Find out why the heating of the upper floor does not follow the schedule, step by step.",
    "ok, go on",
    "Prove that the control loop is stable for any delay below two minutes; derive the condition.",
    "thanks. And now the lamp in the hall, please turn it on",
    "Design a fault-tolerant schema for all meters with failover and explain every trade-off in depth.",
    "yes",
)  # fmt: skip


def session(turns: int = TURNS) -> list[list[Json]]:
    """The messages of each turn's request: the ones before, an answer, and what comes next."""
    messages: list[Json] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKS[0]}]
    requests = [list(messages)]
    for turn in range(1, turns):
        if turn % 5 == 0:
            messages.append({"role": "assistant", "content": text(1000 + turn, 220)})
            messages.append({"role": "user", "content": ASKS[turn // 5 % len(ASKS)]})
        else:
            call = {
                "id": f"call_{turn}",
                "type": "function",
                "function": {"name": f"tool_{turn % 12}", "arguments": "{}"},
            }
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text(2000 + turn, 2500)})
        requests.append(list(messages))
    return requests


def talk(turns: int = TURNS) -> list[list[Json]]:
    """The same where the user speaks in every turn, so that each may be another model's."""
    messages: list[Json] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKS[0]}]
    requests = [list(messages)]
    for turn in range(1, turns):
        messages.append({"role": "assistant", "content": text(1000 + turn, 220)})
        messages.append({"role": "user", "content": f"{ASKS[turn % len(ASKS)]} {text(3000 + turn, 1500)}"})
        requests.append(list(messages))
    return requests


# --- the upstream ------------------------------------------------------------------------------------------------


@dataclass
class Bill:
    """What the upstream charges (USD), and what that were without caches; tokens from caches, tokens in, requests by model and key."""

    usd: Decimal = Decimal(0)
    plain: Decimal = Decimal(0)
    cached: int = 0
    prompt: int = 0
    by: dict[str, int] = field(default_factory=dict)


class Upstream:
    """Bills as vendors do. `marks`: whether marks are heeded; without, it is as if nobody had set any."""

    def __init__(self, catalog: Catalog, *, marks: bool) -> None:
        self._catalog = catalog
        self._marks = marks
        self._kept: dict[tuple[str, str], list[str]] = {}
        self.bill = Bill()
        self.bodies: list[bytes] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/anthropic/v1/messages", self._messages)
        app.router.add_post("/{kind}/v1/chat/completions", self._chat)
        return app

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.bodies.append(raw)
        body = json.loads(raw)
        key = request.headers["x-api-key"]
        blocks = [*body.get("tools", ()), *body.get("system", ()), *(b for m in body["messages"] for b in m["content"])]
        prompt, read, written = self._by_marks(key, body["model"], blocks)
        usage = {
            "input_tokens": prompt - read - written,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": OUTPUT,
        }
        self._charge("anthropic", body["model"], key, prompt, read, written)
        message = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "I have looked at it."}], "usage": usage,
        }  # fmt: skip
        if not body.get("stream"):
            return web.json_response(message)
        events = [
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "I have looked at it."},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ]
        lines = b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)
        return web.Response(body=lines, content_type="text/event-stream")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.bodies.append(raw)
        body, kind = json.loads(raw), request.match_info["kind"]
        key = request.headers.get("authorization", "")
        if "claude" in body["model"]:
            parts = [
                part
                for message in body["messages"]
                for part in (message["content"] if isinstance(message.get("content"), list) else [message])
            ]
            prompt, read, written = self._by_marks(key, body["model"], [*body.get("tools", ()), *parts])
        else:
            prompt, read = self._by_beginning(key, body["model"], body)
            written = 0
        self._charge(kind, body["model"], key, prompt, read, written)
        usage = {
            "prompt_tokens": prompt, "completion_tokens": OUTPUT, "total_tokens": prompt + OUTPUT,
            "prompt_tokens_details": {"cached_tokens": read, **({"cache_write_tokens": written} if written else {})},
        }  # fmt: skip
        head = {"id": "c", "created": 1, "model": body["model"]}
        said = {"role": "assistant", "content": "I have looked at it."}
        if not body.get("stream"):
            choice = {"index": 0, "message": said, "finish_reason": "stop"}
            return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        chunks = [
            {
                **head,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": said, "finish_reason": None}],
            },
            {
                **head,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            },
            {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage},
        ]
        lines = b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks) + b"data: [DONE]\n\n"
        return web.Response(body=lines, content_type="text/event-stream")

    def _by_marks(self, key: str, model: str, blocks: list[Json]) -> tuple[int, int, int]:
        kept = self._kept.setdefault((key, model), [])
        ends, so_far, marks = [], "", []
        for place, block in enumerate(blocks):
            plain = {name: value for name, value in block.items() if name != "cache_control"}
            so_far += json.dumps(plain)
            ends.append(so_far)
            if self._marks and "cache_control" in block:
                marks.append(place)
        assert len(marks) <= 4, "Anthropic refuses more than four marks"
        least = 4 * (least_of(model) or 1024)
        read = ""
        for mark in marks:
            found = [ends[at] for at in range(mark, max(-1, mark - LOOK_BACK), -1) if ends[at] in kept]
            read = max([read, *found[:1]], key=len)
        marked = [ends[mark] for mark in marks if len(ends[mark]) >= least]
        written = max([read, *marked], key=len)
        kept.extend(marked)
        return _tokens(so_far), _tokens(read), _tokens(written) - _tokens(read)

    def _by_beginning(self, key: str, model: str, body: Json) -> tuple[int, int]:
        whole = json.dumps(body.get("tools", [])) + json.dumps(body["messages"])
        kept = self._kept.setdefault((key, model), [])
        best = max((_alike(whole, other) for other in kept), default=0)
        kept.append(whole)
        read = _tokens(whole[:best]) // STEP * STEP
        return _tokens(whole), read if read >= max(1024, least_of(model) or 0) else 0

    def _charge(self, kind: str, model: str, key: str, prompt: int, read: int, written: int) -> None:
        entry = self._catalog.lookup(kind, model)
        assert entry is not None, f"the catalogue does not know {model}"
        price = entry.prices[-1]
        rates = next((tier.rates for tier in reversed(price.tiers) if prompt > tier.above_prompt_tokens), price.rates)
        cached = rates.input if rates.cached_input is None else rates.cached_input
        write = rates.input if rates.cache_write is None else rates.cache_write
        amount = (prompt - read - written) * rates.input + read * cached + written * write
        self.bill.usd += (amount + OUTPUT * rates.output) / 1_000_000
        self.bill.plain += (prompt * rates.input + OUTPUT * rates.output) / 1_000_000
        self.bill.cached += read
        self.bill.prompt += prompt
        name = f"{model} ...{key[-1]}"
        self.bill.by[name] = self.bill.by.get(name, 0) + 1


def _tokens(said: str) -> int:
    return len(said) // 4


def _alike(one: str, other: str) -> int:
    size = min(len(one), len(other))
    if one[:size] == other[:size]:
        return size
    low, high = 0, size
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


# --- the runs ----------------------------------------------------------------------------------------------------

KEYS = ["sk-aaaaaaaaaaaaaaaaaaaa1", "sk-aaaaaaaaaaaaaaaaaaaa2", "sk-aaaaaaaaaaaaaaaaaaaa3"]
HOMES: dict[str, dict[str, list[str]]] = {
    "Anthropic": {"anthropic": ["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5"]},
    "OpenAI": {"openai": ["gpt-5.5", "gpt-5.4-mini", "gpt-5.4-nano"]},
    "OpenRouter, Claude": {"openrouter": ["anthropic/claude-opus-4.8", "anthropic/claude-sonnet-4.6", "anthropic/claude-haiku-4.5"]},
    "all of them": {
        "anthropic": ["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5"],
        "openai": ["gpt-5.5", "gpt-5.4-mini", "gpt-5.4-nano"],
        "gemini": ["gemini-2.5-pro", "gemini-2.5-flash"],
    },
}  # fmt: skip
for _name in ("Anthropic", "OpenAI", "all of them"):
    HOMES[f"{_name}, at 8"] = HOMES[_name]
DIAL = {name: 8 for name in HOMES if name.endswith("at 8")}
"""`cost_quality`, where it is not 5: leaning to quality, each turn alone would go to one model or another."""

SESSIONS = {"agent": session, "talk": talk}


def listed(kind: str, name: str) -> Json:
    """A model as the catalogue has it; at another address than its vendor's it would count as a stranger without a price."""
    catalog = Catalog.load()
    entry = catalog.lookup(kind, name)
    assert entry is not None, f"the catalogue does not know {name}"
    rates = entry.prices[-1].rates
    price = {
        of: float(rate)
        for of in ("input", "output", "cached_input", "cache_write")
        if (rate := getattr(rates, of)) is not None
    }
    able = sorted(capability.value for capability in entry.capabilities or ())
    return {"id": name, "price": price, "context": entry.context, "capabilities": able}


async def run(
    home: dict[str, list[str]], requests: list[list[Json]], *, blind: bool, dial: float = 5
) -> tuple[Bill, float, list[bytes]]:
    """The upstream's bill, what our books say, and the bodies that went upstream."""
    upstream = Upstream(Catalog.load(), marks=not blind)
    runner = web.AppRunner(upstream.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings = {
        "auth": "open",
        "routing": {"sticky": not blind, "cost_quality": dial},
        "providers": {
            kind: {
                "base_url": f"http://127.0.0.1:{port}/{kind}/v1",
                "api_keys": KEYS,
                "models": [listed(kind, model) for model in models],
            }
            for kind, models in home.items()
        },
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "cheaprouter.yaml").write_text(yaml.safe_dump(settings))
            async with (
                serving(Options(config=None, data=Path(folder), host="127.0.0.1", port=0)) as app,
                aiohttp.ClientSession() as http,
            ):
                for number, messages in enumerate(requests):
                    body = {"model": "blockrun/auto", "messages": messages, "tools": TOOLS, "stream": number % 2 == 0}
                    url, headers = f"{app.url}/v1/chat/completions", {"X-Device-ID": "agent"}
                    async with http.post(url, json=body, headers=headers) as reply:
                        told = await reply.read()
                        if reply.status != 200:
                            raise SystemExit(f"turn {number}: {reply.status} {told[:300]!r}")
                    await asyncio.sleep(0.01)
                async with http.get(f"{app.url}/v1/metrics") as reply:
                    books = (await reply.json())["total"]["cost"]
    finally:
        await runner.cleanup()
    return upstream.bill, books, upstream.bodies


async def main() -> int:
    """Print the table; 1 where a session saves less than 70 % at a vendor that keeps only what is marked.

    Where the dial leans to quality, a part of what is saved goes into better answers.
    """
    logging.disable()
    parser = argparse.ArgumentParser(description="What prompt caches save in a conversation of 30 turns.")
    parser.add_argument("--home", choices=HOMES, help="only this one")
    parser.add_argument("--models", action="store_true", help="also print who answered")
    given = parser.parse_args()
    short = False
    print(
        f"{'home':20} {'session':8} {'blind $':>9} {'ours $':>9} {'saved':>6} {'of plain':>9} {'from cache':>10} {'our books $':>11}"
    )
    for name, home in HOMES.items():
        if given.home not in (None, name):
            continue
        for kind, made in SESSIONS.items():
            dial = DIAL.get(name, 5)
            blind, _, _ = await run(home, made(), blind=True, dial=dial)
            ours, books, _ = await run(home, made(), blind=False, dial=dial)
            saved = 1 - ours.usd / blind.usd
            short = short or (saved < Decimal("0.7") and name == "Anthropic")
            share = ours.cached / ours.prompt
            plain = 1 - ours.usd / ours.plain
            print(
                f"{name:20} {kind:8} {blind.usd:9.4f} {ours.usd:9.4f} {saved:6.1%} {plain:9.1%} {share:10.1%} {books:11.4f}"
            )
            if given.models:
                print(f"{'':20} blind: {blind.by}\n{'':20} ours: {ours.by}")
    return int(short)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
