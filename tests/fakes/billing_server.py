"""An upstream that bills what it writes, token by token, whether anybody reads it or not: the measure of what budgets hold."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

PER_CENT = 100_000
"""Nano-dollars in a cent."""


class BillingServer:
    """Speaks OpenAI's wire. `tokens`: what a reply has, if it may. `obeys`: keeps to max_tokens. `streams`: where asked for.

    `hides`: that many of the tokens are thoughts that nobody sees. `together`: tokens in one event. `at_once`: tokens written
    before others have a turn. `word`: what a token is. `input`, `output`: USD a million tokens. `written` and `asked`: by request.
    """

    def __init__(self) -> None:
        self.tokens, self.hides, self.together, self.at_once = 8000, 0, 1, 10
        self.obeys, self.streams, self.word = True, True, "word "
        self.input, self.output = 1.0, 10.0
        self.prompt = 10
        self.written: list[int] = []
        self.asked: list[dict[str, Any]] = []
        self.url = ""
        self.go = asyncio.Event()
        self.go.set()

    @property
    def billed(self) -> float:
        """USD."""
        prompts = len(self.written) * self.prompt * self.input
        return (prompts + sum(self.written) * self.output) / 1e6

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(self.written)
        self.written.append(0)
        self.asked.append(body)
        most = body.get("max_completion_tokens", body.get("max_tokens"))
        tokens = self.tokens if most is None or not self.obeys else min(self.tokens, most)
        n = body.get("n", 1)
        reason = "length" if tokens < self.tokens else "stop"
        if not (body.get("stream") and self.streams):
            self.written[number] = tokens * n
            return web.json_response(self._whole(tokens, n, reason))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        hidden = min(self.hides, tokens)
        self.written[number] += hidden * n
        try:
            await self._stream(request, response, number, tokens - hidden, n)
            for choice in range(n):
                await self._event(response, [{"index": choice, "delta": {}, "finish_reason": reason}])
            await self._event(response, [], self._usage(tokens, n))
            await response.write(b"data: [DONE]\n\n")
        except ConnectionResetError:
            pass
        return response

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, number: int, tokens: int, n: int
    ) -> None:
        left = tokens
        while left > 0:
            for _ in range(max(1, self.at_once // n)):
                some = min(self.together, left)
                left -= some
                for choice in range(n if some else 0):
                    self.written[number] += some
                    await self._event(
                        response, [{"index": choice, "delta": {"content": self.word * some}, "finish_reason": None}]
                    )
            await _arrived(request)
            for _ in range(
                20 * max(1, n // self.at_once)
            ):  # whoever reads has its turn, and whoever was dropped is told
                await asyncio.sleep(0)
            await self.go.wait()

    async def _event(self, response: web.StreamResponse, choices: list[Any], usage: Any = None) -> None:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
        if usage:
            chunk["usage"] = usage
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def _usage(self, tokens: int, n: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": tokens * n,
            "total_tokens": self.prompt + tokens * n,
        }

    def _whole(self, tokens: int, n: int, reason: str) -> dict[str, Any]:
        text = self.word * max(1, tokens - self.hides)
        choices = [
            {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": reason} for i in range(n)
        ]
        usage = self._usage(tokens, n)
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}


async def _arrived(request: web.Request) -> None:
    """Wait until the system has brought to its reader what was written: on a busy machine that takes many turns of the loop.

    Without it, what an upstream of this speed writes meanwhile would be taken for what the reader let it write.
    """
    while (transport := request.transport) is not None and not transport.is_closing():
        number = transport.get_extra_info("socket").fileno()
        if number < 0 or not int.from_bytes(fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
            return
        await asyncio.sleep(0)


@asynccontextmanager
async def billing_server() -> AsyncIterator[BillingServer]:
    """One, on a free port."""
    server = BillingServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    running = TestServer(app)
    await running.start_server()
    server.url = f"http://127.0.0.1:{running.port}/v1"
    try:
        yield server
    finally:
        server.go.set()
        await running.close()
