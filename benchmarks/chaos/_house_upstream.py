"""An upstream that means harm: what it answers depends on the model that is asked for, or the folder that is in the path.

    python benchmarks/chaos/_house_upstream.py     # prints its port

It listens on loopback, and says of nothing how often it was asked. Endless answers end when their reader goes.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import sys
from contextlib import suppress

from _house_answers import (
    BODIES,
    DETAILS,
    DONE,
    ERRORS,
    FINISH,
    HEADS,
    HELLO,
    LISTS,
    PIECE,
    REPLY,
    RESETS,
    ROLE,
    SLOW,
    STREAMS,
    Bytes,
    listed,
    packed,
    whole,
)
from _house_mutate import Mutator, dumps

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
MODEL = re.compile(rb'"model": ?"([^"]*)"')
Writer = asyncio.StreamWriter
MADE: dict[str, bytes] = {}

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 2,
    "total_tokens": 7,
    "cost": 0.1,
    "prompt_tokens_details": {"cached_tokens": 1},
    "service_tier": "default",
}
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "f"}
CHUNKS = (
    {**HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}]},
    {**HEAD, "choices": [{"index": 0, "delta": {"content": "Hello ", "reasoning_content": "so", "annotations": [{"a": 1}]}, "finish_reason": None}]},
    {**HEAD, "choices": [{"index": 0, "delta": {"content": "<think>x</think>y", "reasoning_details": [{"index": 0, "text": "a"}]}, "logprobs": {"content": [{"token": "a"}]}}]},
    {**HEAD, "choices": [{"index": 0, "delta": {"tool_calls": [CALL]}, "finish_reason": None}]},
    {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {**HEAD, "choices": [], "usage": USAGE},
)  # fmt: skip
MESSAGE = {"role": "assistant", "content": "Hello", "reasoning": "so", "tool_calls": [CALL], "refusal": None}
WHOLE = {
    **HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}],
    "usage": USAGE,
}
ERROR = {
    "error": {
        "message": "Rate limit, slow down",
        "type": "rate_limit_error",
        "param": "messages",
        "code": "x",
        "metadata": {"raw": "{}"},
    }
}
BLOCKS = [
    {"type": "thinking", "thinking": "so", "signature": "s"},
    {"type": "text", "text": "Hello"},
    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
]
COUNTS = {
    "input_tokens": 5,
    "output_tokens": 2,
    "cache_read_input_tokens": 1,
    "cache_creation": {"ephemeral_1h_input_tokens": 1},
    "server_tool_use": {"web_search_requests": 1},
}
CLAUDE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "c",
    "content": BLOCKS,
    "stop_reason": "end_turn",
    "usage": COUNTS,
}
CLAUDE_EVENTS = (
    {"type": "message_start", "message": {**CLAUDE, "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": COUNTS},
    {"type": "message_stop"},
)  # fmt: skip


class Fuzz:
    """Good answers with something changed in them: another each time, the same in each run."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.mutate = Mutator(self.dice)

    def answer(self, *, claude: bool, stream: bool) -> tuple[int, bytes, bytes]:
        """Status, content type and body."""
        dice = self.dice
        if dice.random() < 0.1:
            return (
                dice.choice((400, 401, 403, 404, 413, 429, 500, 503, 529)),
                b"application/json",
                self.mutate.body(ERROR),
            )
        if not stream:
            return 200, b"application/json", self.mutate.body(CLAUDE if claude else WHOLE)
        rows: list[object] = [*(CLAUDE_EVENTS if claude else CHUNKS)]
        for _ in range(dice.choice((1, 1, 2, 3))):
            at = dice.randrange(len(rows))
            rows[at] = self.mutate.value(rows[at])
            if dice.random() < 0.1:
                rows.insert(at, rows[dice.randrange(len(rows))])
        events = b"".join(b"data: " + dumps(row).encode("utf-8", "surrogatepass") + b"\n\n" for row in rows)
        events += b"" if claude else DONE
        return 200, b"text/event-stream", self.mutate.bytes(events) if dice.random() < 0.1 else events


class Upstream:
    """Serves. `seed`: of what is fuzzed."""

    def __init__(self, seed: int = 0) -> None:
        self.fuzz = Fuzz(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = LENGTH.search(head)
                body = await reader.readexactly(int(found[1])) if found else b""
                if not await self.answer(head.split(b" ", 2)[1].decode("latin-1"), body, writer):
                    break
        writer.close()

    async def answer(self, path: str, body: bytes, writer: Writer) -> bool:
        """Whether the connection may be used again."""
        parts = path.strip("/").split("/")
        if parts[0] == "prime":  # large bodies take seconds to make: not while somebody waits for them
            name = parts[1]
            if name in BODIES and name not in MADE:
                MADE[name] = await asyncio.to_thread(BODIES[name][0])
            return self.plain(writer, b"%d" % len(MADE.get(name, b"")))
        if path.endswith("/messages"):
            return await self.fuzzed(writer, claude=True, stream=b'"stream":true' in body)
        if parts[0] == "lists" and path.endswith("/models"):
            return await self.models(parts[1], writer)
        if parts[0] == "details":
            return self.details(parts[1], path, writer)
        found = MODEL.search(body)
        name = found[1].decode("utf-8", "replace") if found else "good"
        return await self.chat(name, b'"stream":true' in body.replace(b" ", b""), writer)

    async def models(self, name: str, writer: Writer) -> bool:
        if name == "slow":
            writer.write(REPLY + b"Content-Length: 100\r\n\r\n")
            await self.drip(b" ", writer)
        if name == "bomb":
            bomb = await asyncio.to_thread(packed, b" " * 1024, 256, 31)
            return self.plain(writer, bomb, b"Content-Encoding: gzip\r\n")
        return (
            await self.chunked(LISTS[name](), writer)
            if name in LISTS
            else self.plain(writer, listed(b'{"id": "plain"}'))
        )

    def details(self, kind: str, path: str, writer: Writer) -> bool:
        if path.endswith("/models"):
            return self.plain(writer, listed(b'{"id": "one", "owned_by": "x"}'))
        return self.plain(writer, DETAILS[kind])

    def plain(self, writer: Writer, body: bytes, headers: bytes = b"", status: int = 200) -> bool:
        head = b"HTTP/1.1 %d Said\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % (status, len(body))
        writer.write(head + headers + b"\r\n" + body)
        return True

    async def chunked(self, pieces: Bytes, writer: Writer, kind: bytes = b"application/json") -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind)
        for piece in pieces:
            if piece:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def drip(self, piece: bytes, writer: Writer) -> None:
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.2)

    async def chat(self, name: str, stream: bool, writer: Writer) -> bool:  # noqa: FBT001, PLR0911 - a table of rooms
        kind = b"text/event-stream"
        if name == "fuzz":
            return await self.fuzzed(writer, claude=False, stream=stream)
        if name in STREAMS:
            return await self.chunked(STREAMS[name](), writer, kind)
        if name in BODIES:
            make, encoding = BODIES[name]
            done = self.plain(
                writer, MADE.get(name) or make(), b"Content-Encoding: %s\r\n" % encoding if encoding else b""
            )
            await writer.drain()
            return done
        if name == "error-endless":
            writer.write(b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\n\r\n")
            await self.drip(b"x" * PIECE, writer)
        if name in ERRORS:
            status, make, header = ERRORS[name]
            return self.plain(writer, make(), header, status)
        if name in HEADS:
            for piece in HEADS[name]():
                writer.write(piece)
                await writer.drain()
            return False
        if name in RESETS or name in SLOW:
            return await self.broken(name, writer)
        return await self.good(stream, writer)

    async def fuzzed(self, writer: Writer, *, claude: bool, stream: bool) -> bool:
        status, kind, body = self.fuzz.answer(claude=claude, stream=stream)
        head = b"HTTP/1.1 %d Said\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
        writer.write(head + body)
        await writer.drain()
        return True

    async def good(self, stream: bool, writer: Writer) -> bool:  # noqa: FBT001 - as `chat` hands it on
        if not stream:
            return self.plain(writer, whole())
        used = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'  # fmt: skip
        return await self.chunked(iter((ROLE + HELLO + FINISH + used + DONE,)), writer, b"text/event-stream")

    async def broken(self, name: str, writer: Writer) -> bool:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"%x\r\n%s\r\n" % (len(ROLE + HELLO), ROLE + HELLO)
        said = {
            "reset-in-head": head[:30],
            "reset-after-head": head,
            "reset-in-chunk": head + chunk[:40],
            "reset-after-text": head + chunk,
            "reset-before-done": head + chunk + b"%x\r\n%s\r\n" % (len(FINISH), FINISH),
        }
        if name == "slow-head":
            await self.drip(b"HTTP/1.1 200 OK\r\n" + b"X: ", writer)
        writer.write(said.get(name, b"" if name == "reset-at-once" else head))
        await writer.drain()
        if name == "slow-body":
            await self.drip(b"1\r\n:\r\n", writer)
        if name == "slow-text":
            await self.drip(chunk, writer)
        if name == "silent":
            await asyncio.sleep(60)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False


async def main(seed: int) -> None:
    server = await asyncio.start_server(Upstream(seed).serve, "127.0.0.1", 0, limit=1 << 27, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
