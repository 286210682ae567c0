"""A connection to an upstream without a network: the test is the server, and sees what was done to the socket."""

from __future__ import annotations

import asyncio
from typing import Any

from cheaprouter.providers.transport import TransportError
from cheaprouter.upstream.connection import Connection
from cheaprouter.upstream.reply import READ_BUFFER, Reply


class HandTransport(asyncio.Transport):
    """Keeps what was written, and says whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.unsent = 0
        self.reading = True
        self.aborted = False

    def write(self, data: Any) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Wire:
    """`idle`: how often the connection was given back; `lost`: whether it never will be again."""

    def __init__(self) -> None:
        self.idle = 0
        self.lost = False
        self.buffer = memoryview(bytearray(READ_BUFFER))
        self.connection = Connection(self.buffer, self._idle, self._lost)
        self.transport = HandTransport()
        self.connection.connection_made(self.transport)

    def _idle(self, connection: Connection) -> None:
        self.idle += 1

    def _lost(self, connection: Connection) -> None:
        self.lost = True

    def comes(self, *pieces: bytes) -> None:
        """The server sends these, each read by itself."""
        for piece in pieces:
            buffer = self.connection.get_buffer(-1)
            buffer[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))

    async def ask(self, *pieces: bytes) -> Reply:
        """Ask, have these sent, and give the reply."""
        asking = asyncio.ensure_future(self.connection.exchange(b"?"))
        await asyncio.sleep(0)
        self.comes(*pieces)
        return await asking


class Heard:
    """A sink that remembers. `act`: done after each piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[TransportError | None] = []
        self.act = lambda: None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def feed(self, data: bytes) -> None:
        assert data
        assert not self.ends
        self.pieces.append(data)
        self.act()

    def end(self, error: TransportError | None) -> None:
        self.ends.append(error)
