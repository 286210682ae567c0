"""A small OpenAI-compatible upstream for benchmarks: fixed answers, streams steered by `[[n=50 d=20]]` in the prompt.

It does as little as it can, so that what stands in front of it is what limits: one `asyncio.Protocol`, prebuilt bytes, no task
a request. `n` events, `d` milliseconds apart; without a pause they are written one by one as fast as they go. Each event that
waits carries the time at which it left. A stream whose client leaves is told on standard output: `lost <monotonic ns>`.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time

MARKER = re.compile(rb"\[\[n=(\d+) d=(\d+)\]\]")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
REPLY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench-1","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"The lights in the kitchen are off. It is 21 degrees in the living room."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":60,"completion_tokens":18,"total_tokens":78}}'
)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(REPLY), REPLY)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench-1","choices":'
    b'[{"index":0,"delta":{"content":"%020d "},"finish_reason":null}]}\n\n'
)
USAGE = b'"usage":{"prompt_tokens":60,"completion_tokens":18,"total_tokens":78}'
END = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench-1","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench-1","choices":[],'
    + USAGE
    + b"}\n\n"
    b"data: [DONE]\n\n"
)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


AT_ONCE = chunk(EVENT % 0)
LAST = chunk(END) + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Just enough HTTP/1.1 for a keep-alive client."""

    def __init__(self) -> None:
        self.buffer = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.timer is not None:
            self.timer.cancel()
            print(f"lost {time.monotonic_ns()}", flush=True)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.buffer, 0, end)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        """A whole reply, a stream at once, or one that is paced."""
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self.transport.write(WHOLE)
            return
        found = MARKER.search(body)
        count, delay = (int(found[1]), int(found[2]) / 1000) if found else (20, 0.0)
        if delay:
            self.transport.write(STREAM)
            self.pace(count, delay)
            return
        self.transport.write(b"".join((STREAM, AT_ONCE * count, LAST)))  # in one piece, so that it is read as one

    def pace(self, left: int, delay: float) -> None:
        """One event now, and the rest later."""
        if left == 0:
            self.timer = None
            self.transport.write(LAST)
            return
        self.transport.write(chunk(EVENT % time.monotonic_ns()))
        self.timer = asyncio.get_running_loop().call_later(delay, self.pace, left - 1, delay)


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
