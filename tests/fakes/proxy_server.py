"""A real HTTP proxy on a free port: tunnels what is asked for with CONNECT, passes on what is asked for with a whole address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.fakes.serving import serving


@dataclass
class ProxyServer:
    """`heads`: the first lines and headers of what it was asked. `login`: the header's value that it wants; "" for none.

    `answer`: said instead of doing anything; empty bytes: nothing is, and the connection is closed.
    """

    heads: list[str] = field(default_factory=list)
    login: str = ""
    answer: bytes | None = None
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; a plain request makes it a pipe to that server, as a tunnel does."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        method, target, _ = head.split(" ", 2)
        if self.answer is not None:
            writer.write(self.answer)
            return
        if self.login and f"\r\nProxy-Authorization: {self.login}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        parts = urlsplit(target if method != "CONNECT" else f"//{target}")
        theirs, ours = await asyncio.open_connection(parts.hostname, parts.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            ours.write(head.replace(target, parts.path, 1).encode("latin-1"))
        try:
            await asyncio.gather(_pour(reader, ours), _pour(theirs, writer))
        finally:
            ours.close()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def proxy_server() -> AsyncIterator[ProxyServer]:
    """A proxy on 127.0.0.1."""
    proxy = ProxyServer()
    async with serving(proxy.serve) as port:
        proxy.port = port
        yield proxy
