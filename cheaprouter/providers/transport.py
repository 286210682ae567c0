"""How requests get out: what an adapter makes, and what comes back. The only rooms with I/O of their own are beyond."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from .endpoint import Endpoint


class Exchange(Protocol):
    """A request that has gone out, and whose reply nobody waits for any longer: wait again, or abandon it."""

    async def reply(self) -> Response:
        """Wait for its headers. Raises TransportError; a cancellation drops the connection."""

    def abandon(self) -> None:
        """Close the connection."""


class WireRequest(NamedTuple):
    """What goes out. `body` is final bytes.

    `on_head`: may be told a reply's status when its headers come before any of its body; whoever waits for the reply is then
    left to wait for the body too where this says so. For replies that are of no use before: it spares a task being woken.
    `on_left`: handed the exchange where whoever waits for the headers is cancelled after the request has gone out; without it
    the connection is dropped then.
    """

    endpoint: Endpoint
    body: bytes | None = None
    on_head: Callable[[int], bool] | None = None
    on_left: Callable[[Exchange], None] | None = None

    @property
    def method(self) -> str:
        return self.endpoint.method

    @property
    def url(self) -> str:
        return self.endpoint.url

    @property
    def headers(self) -> Mapping[str, str]:
        return self.endpoint.headers


class TransportError(Exception):
    """No usable reply came over the network. `code` is an `upstream_…` code; `message` clean and short.

    `again`, `lost`: as in `Response`.

    `silent`: nothing at all was said until the time was over.
    """

    def __init__(self, code: str, message: str, *, silent: bool = False) -> None:
        super().__init__(message)
        self.again = False
        self.lost = 0.0
        self.code = code
        self.message = message
        self.silent = silent


class Sink(Protocol):
    """Takes a body as it comes, called by the connection itself: no task stands between."""

    def feed(self, data: bytes) -> None:
        """Some more of it, decompressed; never empty."""

    def end(self, error: TransportError | None) -> None:
        """Nothing more comes, said once; `error` where something is missing."""


class Response(Protocol):
    """An upstream's reply whose headers have come. Waiting on it may be cancelled without losing bytes.

    `again`: the request had gone out before, on a kept connection which the server closed without a word, after `lost` seconds.
    """

    __slots__ = ()
    again: bool = False
    lost: float = 0.0
    status: int
    headers: Mapping[str, str]

    async def chunk(self) -> bytes:
        """What has come, decompressed, as soon as something has; empty at the end. Raises TransportError where it breaks off."""

    def abort(self) -> None:
        """Drop the connection now; nothing when it is already done."""

    def release(self) -> None:
        """All that matters was read: keep the connection if the end of the body comes soon, else drop it."""

    async def _part(self) -> bytes:
        """What `read` takes at a time; nothing at the end. Raises TransportError."""
        return await self.chunk()

    def pipe(self, sink: Sink) -> bool:
        """From now on push the body into `sink`; False: this reply can only be pulled.

        What has come already is handed over at once, an end included. After `abort` or `release` nothing more is.
        """
        del sink
        return False

    def pause(self) -> None:
        """Push no more for now: the upstream is made to wait."""
        raise RuntimeError("nothing is pushed")

    def resume(self) -> None:
        """Push again, first of all what came meanwhile."""
        raise RuntimeError("nothing is pushed")

    async def read(self, limit: int, *, cut: bool = False, into: list[bytes] | None = None) -> bytes:
        """The whole body. Raises TransportError where it breaks off or is longer than `limit` bytes, unless it is to be `cut`.

        `into`: where its parts are kept as they come, for whoever is to know them even where it breaks off.
        """
        parts: list[bytes] = [] if into is None else into
        size = 0
        while part := await self._part():
            parts.append(part)
            size += len(part)
            if size > limit:
                self.abort()
                if cut:
                    break
                raise TransportError("invalid_reply", "The reply is too long.")
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Transport(Protocol):
    """How requests get out. Header names in `Response.headers` are looked up in lower case."""

    async def open(self, request: WireRequest, connect_timeout: float, request_id: str = "") -> Response:
        """Send, and wait for the headers. Raises TransportError; other limits on time are the caller's.

        `request_id`: ours, for the server's log; "" for none.
        """

    async def close(self) -> None:
        """Drop all connections."""
