"""A small OpenAI-compatible upstream for benchmarks: fixed answers, streams steered by `[[n=50 d=20]]` in the prompt."""

from __future__ import annotations

import asyncio
import re
import sys
import time

MARKER = re.compile(rb"\[\[n=(\d+) d=(\d+)\]\]")
REPLY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench-1","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"The lights in the kitchen are off. It is 21 degrees in the living room."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":60,"completion_tokens":18,"total_tokens":78}}'
)


def event(text: str, finish: str = "null") -> bytes:
    """One chunk; the text carries the time it left, so that a client can tell how long it travelled."""
    return (
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench-1","choices":[{"index":0,"delta":{"content":"'
        + text.encode()
        + b'"},"finish_reason":'
        + finish.encode()
        + b"}]}\n\n"
    )


class Upstream(asyncio.Protocol):
    """Just enough HTTP/1.1 for a keep-alive client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""
        self.task: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.task:
            self.task.cancel()
            print(f"lost {time.monotonic_ns()}", flush=True)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"(?i)content-length: *(\d+)", self.buffer[:end])
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        if b'"stream":true' not in body.replace(b" ", b""):
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(REPLY) + REPLY
            )
            return
        found = MARKER.search(body)
        count, delay = (int(found[1]), int(found[2])) if found else (20, 0)
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self.task = asyncio.get_running_loop().create_task(self.stream(count, delay))

    async def stream(self, count: int, delay: int) -> None:
        for _ in range(count):
            self.chunk(event(f"{time.monotonic_ns()} "))
            await asyncio.sleep(delay / 1000)
        self.chunk(event("", '"stop"'))
        self.chunk(b"data: [DONE]\n\n")
        self.transport.write(b"0\r\n\r\n")
        self.task = None

    def chunk(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
