"""A real HTTP(S) server on a free port that answers, and fails, as told: raw asyncio, so that it can break the protocol.

Which script answers depends on the `model` in the request's body: each model has a queue, its last script repeats.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.builders import sse
from tests.fakes.serving import serving


@dataclass(frozen=True)
class Send:
    """Write these bytes at once."""

    data: bytes


@dataclass(frozen=True)
class Drip:
    """Write in pieces of `size` bytes, each its own packet as far as that can be had."""

    data: bytes
    size: int = 1


@dataclass(frozen=True)
class Stall:
    """Say nothing until the client goes away, or the test opens `server.gate`."""


@dataclass(frozen=True)
class Reset:
    """Close with a TCP reset."""


@dataclass(frozen=True)
class Close:
    """Close politely."""


Step = Send | Drip | Stall | Reset | Close
Script = tuple[Step, ...]

REASONS = {
    200: "OK",
    307: "Temporary Redirect",
    400: "Bad Request",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


def head(status: int = 200, content_type: str | None = "application/json", **headers: str) -> bytes:
    """A status line and headers; names with `_` for `-`."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def reply(status: int, body: Any, content_type: str | None = "application/json", **headers: str) -> Script:
    """A whole reply; `body` is bytes, or dumped as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (Send(head(status, content_type, Content_Length=str(len(data)), **headers) + data),)


def http_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


LAST_CHUNK = b"0\r\n\r\n"
STREAM_HEAD = head(200, "text/event-stream; charset=utf-8", Transfer_Encoding="chunked")


def stream(*pieces: bytes, then: Script = (Send(LAST_CHUNK),), header: bytes = STREAM_HEAD) -> Script:
    """A chunked body piece by piece, and what follows; `then=(Stall(),)` leaves it hanging."""
    return (Send(header), *(Send(http_chunk(piece)) for piece in pieces), *then)


def completion(
    text: str | None = "Hello from upstream.", finish: str | None = "stop", **message: Any
) -> dict[str, Any]:
    """A chat completion as OpenAI answers."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "served-model-2026",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chat completion chunk."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "served-model-2026",
        "choices": [{"index": 0, "delta": fields, "finish_reason": finish}],
    }


ROLE = sse(delta(role="assistant", content=""))
FINISH = sse(delta("stop"))
USAGE = sse({**delta(), "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}})
DONE = sse(b"[DONE]")


def words(*texts: str) -> list[bytes]:
    """Content events."""
    return [sse(delta(content=text)) for text in texts]


def good_stream(*texts: str) -> Script:
    """A stream that leaves nothing to be desired."""
    return stream(ROLE, *words(*(texts or ("Hello ", "from ", "upstream."))), FINISH, USAGE, DONE)


GOOD = "good"
"""Stands for an answer in the form that was asked for."""


@dataclass
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def model(self) -> str:
        """The model it asks for, or nothing."""
        return str(self.json.get("model", "")) if self.body else ""


@dataclass
class FaultServer:
    """See the module. `requests`: all that came. `gone`: set when a client drops a connection while a script runs."""

    requests: list[Received] = field(default_factory=list)
    scripts: dict[str, list[Script | str]] = field(default_factory=dict)
    listing: Any = field(default_factory=lambda: {"object": "list", "data": [{"id": "small-v1"}]})
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    url: str = ""

    def script(self, model: str, *scripts: Script | str) -> None:
        """Answer that model's requests so, one after the other; the last stays."""
        self.scripts[model] = list(scripts)

    def asked(self, model: str) -> list[Received]:
        """The requests for a model."""
        return [request for request in self.requests if request.model == model]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (request := await self._read(reader, writer)) is not None:
                self.requests.append(request)
                if not await self._run(self._script_for(request), reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone.set()
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Received | None:
        try:
            first_byte = await reader.readexactly(1)
            if first_byte == b"\x16":  # a TLS greeting: answered in plain text, as nginx does
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return None
            top = first_byte + await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = top.decode("latin-1").strip().split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Received(method, path, headers, body)

    def _script_for(self, request: Received) -> Script:
        if request.method == "GET":
            return self.listing if isinstance(self.listing, tuple) else reply(200, self.listing)
        queue = self.scripts.get(request.model) or [GOOD]
        script = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(script, tuple):
            return script
        return good_stream() if request.json.get("stream") else reply(200, completion())

    async def _run(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do as told; says whether the connection lives on."""
        for step in script:
            if isinstance(step, Send):
                writer.write(step.data)
                await writer.drain()
            elif isinstance(step, Drip):
                for start in range(0, len(step.data), step.size):
                    writer.write(step.data[start : start + step.size])
                    await writer.drain()
                    await asyncio.sleep(0)
            elif isinstance(step, Stall):
                await self._stall(reader)
            elif isinstance(step, Reset):
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                return False
            else:
                return False
        return True

    async def _stall(self, reader: asyncio.StreamReader) -> None:
        self.waiting.set()
        gate = asyncio.ensure_future(self.gate.wait())
        silence = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({gate, silence}, return_when=asyncio.FIRST_COMPLETED)
            if not self.gate.is_set():
                raise ConnectionResetError("the client went away")
        finally:
            gate.cancel()
            silence.cancel()
            await asyncio.gather(gate, silence, return_exceptions=True)


@asynccontextmanager
async def fault_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultServer]:
    """A server on a free port of 127.0.0.1; its `url` ends in /v1."""
    fault = FaultServer()
    async with serving(fault.serve, tls=tls, limit=1 << 26) as port:
        fault.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
        yield fault
