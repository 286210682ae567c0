"""A load client that costs little: epoll and plain sockets in one thread, keep-alive, one request at a time on each connection.

What it measures of others is true as long as it is not what limits: one core of it, shared with the upstream, is good for some
15,000 requests/s. A target's CPU time a request stays true beyond that.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

PATH = "/v1/chat/completions"
TEXT = "Turn off the lights in the kitchen and tell me what the temperature is in the living room, please."
SYSTEM = "You are a helpful home assistant. Keep answers short, and never invent a device that is not listed."
CONTENT = b'"content":"'
STAMP = re.compile(rb'"content":"(\d{20}) ')
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
LAST_CHUNK = b"0\r\n\r\n"
PATIENCE = 30.0
"""Seconds for which replies are waited for after the end."""

Make = Callable[[int], bytes]


def a_request(text: str, *, stream: bool = False, device: str = "bench") -> bytes:
    """A typical home request, as bytes on the wire."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    body = {"model": "blockrun/auto", "messages": messages, "temperature": 0.2, "max_tokens": 300}
    data = json.dumps(body | ({"stream": True} if stream else {}), separators=(",", ":")).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Device-ID: {device}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def word(number: int) -> str:
    """Six letters that are another word for each number: texts that differ in a number alone may count as the same."""
    return "".join(chr(97 + number // 26**place % 26) for place in range(6))


def all_new(*, stream: bool = False, marker: str = "") -> Make:
    """Requests that differ in one word, so that nothing remembered answers them."""
    whole = a_request(f"{TEXT} Request AAAAAA. {marker}", stream=stream)
    before, _, after = whole.partition(b"AAAAAA")
    return lambda number: b"%s%s%s" % (before, word(number).encode(), after)


def the_same(*, stream: bool = False, marker: str = "") -> Make:
    """One request again and again, as voice commands are."""
    whole = a_request(f"{TEXT} {marker}", stream=stream)
    return lambda _number: whole


@dataclass
class Taken:
    """What came of a load. `latencies`, `firsts` (to a stream's first content), `delays` (an event's, one way): microseconds."""

    seconds: float = 0.0
    done: int = 0
    errors: int = 0
    events: int = 0
    latencies: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


class Connection:
    """One of them, with the request under way. `awaited`: bytes that a whole reply has, 0 until its head is there."""

    __slots__ = ("awaited", "buffer", "first", "sent", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0
        self.first = False
        self.buffer = b""
        self.awaited = 0

    def send(self, request: bytes) -> None:
        self.first, self.buffer, self.awaited = False, b"", 0
        self.sent = time.monotonic_ns()
        self.sock.sendall(request)


class Load:
    """Connections that ask one target. `streamed`: whether replies are streams. `tick`: called twice a second."""

    def __init__(
        self, port: int, make: Make, *, streamed: bool = False, tick: Callable[[], None] | None = None
    ) -> None:
        self._port, self._make, self._read = port, make, self._stream if streamed else self._whole
        self._tick = tick or (lambda: None)
        self._asked = 0
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self.taken = Taken()

    def closed_loop(self, connections: int, seconds: float) -> Taken:
        """Ask again as soon as a reply is there, until the time is over; what runs then is waited for."""
        began = time.monotonic()
        for _ in range(connections):
            self._connect()
        self._go_on(until=began + seconds)
        self.taken.seconds = time.monotonic() - began
        return self.taken

    def once_each(self, connections: int, a_second: float) -> Taken:
        """Open so many connections a second and ask once on each."""
        began = time.monotonic()
        for number in range(connections):
            self._connect()
            while (left := began + number / a_second - time.monotonic()) > 0:
                self._round(left, until=0.0)
        self._go_on(until=0.0)
        self.taken.seconds = time.monotonic() - began
        return self.taken

    def _connect(self) -> None:
        connection = Connection(self._port)
        self._open[connection.sock.fileno()] = connection
        self._poll.register(connection.sock.fileno(), select.EPOLLIN)
        self._ask(connection)

    def _ask(self, connection: Connection) -> None:
        self._asked += 1
        connection.send(self._make(self._asked))

    def _go_on(self, until: float) -> None:
        patience = max(until, time.monotonic()) + PATIENCE
        tick_at = 0.0
        while self._open and (now := time.monotonic()) < patience:
            if now >= tick_at:
                self._tick()
                tick_at = now + 0.5
            self._round(0.5, until)
        self.taken.errors += len(self._open)
        for connection in self._open.values():
            connection.sock.close()
        self._open.clear()
        self._poll.close()

    def _round(self, wait: float, until: float) -> None:
        for fd, _ in self._poll.poll(wait):
            connection = self._open[fd]
            data = connection.sock.recv(262_144)
            now = time.monotonic_ns()
            if data and not self._read(connection, data, now):
                continue
            if not data:
                self.taken.errors += 1
            if data and now < until * 1e9:
                self._ask(connection)
                continue
            del self._open[fd]
            self._poll.unregister(fd)
            connection.sock.close()

    def _whole(self, connection: Connection, data: bytes, now: int) -> bool:
        """Whether the reply is complete."""
        connection.buffer = buffer = connection.buffer + data if connection.buffer else data
        if not connection.awaited:
            if (end := buffer.find(b"\r\n\r\n")) < 0:
                return False
            length = LENGTH.search(buffer, 0, end + 2)
            connection.awaited = end + 4 + (int(length[1]) if length else 0)
        if len(buffer) < connection.awaited:
            return False
        self._ended(ok=buffer.startswith(b"HTTP/1.1 200"))
        self.taken.latencies.append((now - connection.sent) / 1000)
        return True

    def _stream(self, connection: Connection, data: bytes, now: int) -> bool:
        """Whether the reply is complete; of the buffer only what may be half a word is kept."""
        buffer = connection.buffer + data
        if not connection.awaited:
            if len(buffer) < 12:
                connection.buffer = buffer
                return False
            connection.awaited = 1
            if not buffer.startswith(b"HTTP/1.1 200"):
                self._ended(ok=False)
                return True
        if found := buffer.count(CONTENT):
            self.taken.events += found
            self.taken.delays += [(now - int(stamp)) / 1000 for stamp in STAMP.findall(data) if stamp.strip(b"0")]
            if not connection.first:
                connection.first = True
                self.taken.firsts.append((now - connection.sent) / 1000)
        connection.buffer = buffer[1 - len(CONTENT) :]
        if not buffer.endswith(LAST_CHUNK):
            return False
        self._ended(ok=True)
        return True

    def _ended(self, *, ok: bool) -> None:
        self.taken.done += ok
        self.taken.errors += not ok
