"""Bodies on their way in: how long is waited for them, and how much memory they take, one by one and all together."""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from operator import itemgetter
from typing import Final, Protocol

from aiohttp import web

from ..core.const import MAX_BODY_BYTES
from ..core.errors import BodyTooLargeError, CheapRouterError, InvalidRequestError, UnsupportedMediaTypeError
from ..upstream.inflate import Inflater
from ..wire.embedded import LONG

PATIENCE: Final = 60.0
"""Seconds without a byte of a body that was announced, after which its client is given up (told 408)."""

LONGEST: Final = 600.0
"""Seconds that a body may take in all."""

LARGE: Final = 1024 * 1024
"""Bytes from which a body has to have room before more of it is read."""

ROOM: Final = 192 * 1024 * 1024
"""Bytes of large bodies under way at a time, from where they are read to where they are answered: three of the largest, forty
photographs."""

MOST_HALVES: Final = 64 * 1024 * 1024
"""Bytes of bodies that are not whole and not large, of all connections together."""

_MOST_WAITING: Final = 64
_TICK: Final = 10.0
_SLOW: Final = 640 * 1024
"""Bytes that a large body brings in each `_TICK` at least, where others wait for its room."""

MOST_UNPACKED: Final = 24 * 1024 * 1024
_TIMES: Final = 2
"""What a compressed body unpacks to at most: so many bytes and so many times its own. Text stays below the first, and a picture
hardly shrinks."""

_PACKED: Final = frozenset({"gzip", "deflate"})
_PLAIN: Final = frozenset({"", "identity"})


class GivenUpError(CheapRouterError):
    """A body that is not read to its end: the connection is closed after the answer."""


class SlowBodyError(GivenUpError, status=408, kind="invalid_request_error", code="request_timeout"):
    """The body does not come."""


class NoRoomError(GivenUpError, status=503, code="busy"):
    """There is no room for it now."""

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": "5"}


def no_progress() -> SlowBodyError:
    """For one that stands still."""
    return SlowBodyError(f"Nothing of the body came for {PATIENCE:.0f} seconds.")


def too_long() -> SlowBodyError:
    """For one that never ends."""
    return SlowBodyError(f"The body was not whole after {LONGEST:.0f} seconds.")


def no_room() -> NoRoomError:
    """For one that memory is wanted of."""
    return NoRoomError("Too many bodies are on their way in; try again in a moment.")


class Half(Protocol):
    """A body that is not whole."""

    def give_way(self) -> None:
        """Others need the memory: it is given up, and its client told."""


class Halves:
    """Bodies that are not whole: where they come to too much, the one goes of which nothing came for the longest time."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[Half, int] = OrderedDict()
        self._total = 0

    def hold(self, half: Half, size: int) -> None:
        """Some more of one has come, which is held."""
        self._sizes[half] = self._sizes.get(half, 0) + size
        self._sizes.move_to_end(half)
        self._total += size
        while self._total > MOST_HALVES and len(self._sizes) > 1:
            oldest = next(iter(self._sizes))
            self.release(oldest)
            oldest.give_way()

    def release(self, half: Half) -> None:
        """It is whole, or gone."""
        self._total -= self._sizes.pop(half, 0)


class Room:
    """Room for large bodies. Of those that wait the smallest goes first: a photograph need not wait for the largest there are."""

    def __init__(self, size: int = ROOM) -> None:
        self._left = size
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def wanted(self) -> bool:
        """Whether others wait."""
        return bool(self._waiting)

    async def take(self, size: int) -> None:
        """Wait for room. Raises NoRoomError where none came in time, or too many wait."""
        if size <= self._left:
            self._left -= size
            return
        if len(self._waiting) >= _MOST_WAITING:
            raise no_room()
        place = (size, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        try:
            async with asyncio.timeout(PATIENCE):
                await place[1]
        except BaseException as error:
            if place in self._waiting:
                self._waiting.remove(place)
            else:  # it was given meanwhile
                self._left += size
            self._serve()
            if isinstance(error, TimeoutError):
                raise no_room() from error
            raise

    def give(self, size: int) -> None:
        """It is no longer needed."""
        self._left += size
        self._serve()

    def _serve(self) -> None:
        while self._waiting and (smallest := min(self._waiting, key=itemgetter(0)))[0] <= self._left:
            self._waiting.remove(smallest)
            if not smallest[1].done():
                self._left -= smallest[0]
                smallest[1].set_result(None)


class Bodies:
    """All bodies of a site."""

    def __init__(self) -> None:
        self.halves = Halves()
        self.room = Room()


class Reading:
    """One body on aiohttp's road. `close` it when the request has been answered, which gives its room back."""

    def __init__(self, bodies: Bodies, request: web.Request) -> None:
        self._bodies = bodies
        self._content = request.content
        self._announced = request.content_length
        self._packed = _packed(request)
        self._taken = 0
        self._came = self._before = 0
        self.size = 0  # of a long one, once it is read
        self._since = asyncio.get_running_loop().time()

    def close(self) -> None:
        """Give back what was taken."""
        self._bodies.halves.release(self)
        if self._taken:
            self._bodies.room.give(self._taken)
            self._taken = 0

    def give_way(self) -> None:
        self._content.set_exception(no_room())

    async def read(self) -> bytearray:
        """All of it, unpacked. Raises SlowBodyError, NoRoomError, BodyTooLargeError, and aiohttp's RequestPayloadError."""
        try:
            async with asyncio.timeout(LONGEST):
                return await self._read()
        except TimeoutError:
            raise too_long() from None
        finally:
            self._bodies.halves.release(self)

    async def _read(self) -> bytearray:
        body = bytearray()
        inflater = Inflater(self._packed) if self._packed else None
        while data := await self._next():
            self._came += len(data)
            self._pace()
            if inflater is None:
                await self._keep(body, data)
                continue
            inflater.feed(data)
            while inflater.ready:
                try:
                    await self._keep(body, inflater.step())
                except zlib.error:
                    raise _unreadable() from None
                if len(body) > MOST_UNPACKED + _TIMES * self._came:
                    raise BodyTooLargeError(
                        f"The body unpacks to more than {MOST_UNPACKED:,} bytes and {_TIMES} times what was sent."
                    )
                await asyncio.sleep(0)
        if inflater is not None and not inflater.complete:
            raise _unreadable()
        if len(body) > LONG:
            self.size = len(body)
        return body

    async def _next(self) -> bytes:
        """What comes next; nothing at the end."""
        for _ in range(round(PATIENCE / _TICK)):
            try:
                async with asyncio.timeout(_TICK):
                    return await self._content.readany()
            except TimeoutError:
                self._pace()
        raise no_progress()

    def _pace(self) -> None:
        """Give up one that keeps others waiting."""
        now = asyncio.get_running_loop().time()
        if now - self._since < _TICK:
            return
        if self._taken and self._bodies.room.wanted and self._came - self._before < _SLOW:
            raise SlowBodyError("The body comes too slowly while others wait for room.")
        self._since, self._before = now, self._came

    async def _keep(self, body: bytearray, data: bytes) -> None:
        size = len(body) + len(data)
        if size > MAX_BODY_BYTES:
            raise too_large()
        if self._taken:
            pass
        elif size <= LARGE and (self._announced or 0) <= LARGE:
            self._bodies.halves.hold(self, len(data))
        else:
            wanted = MAX_BODY_BYTES if self._announced is None or self._packed else self._announced
            await self._bodies.room.take(wanted)
            self._taken = wanted
            self._since, self._before = asyncio.get_running_loop().time(), self._came
            self._bodies.halves.release(self)
        body += data


def too_large() -> BodyTooLargeError:
    """More than is ever read."""
    return BodyTooLargeError(f"The body is larger than {MAX_BODY_BYTES // (1024 * 1024)} MiB.")


def _unreadable() -> InvalidRequestError:
    return InvalidRequestError("The body cannot be read: it does not match its own headers.", code="invalid_body")


def _packed(request: web.Request) -> str:
    """How it is packed; "" where it is not. Raises UnsupportedMediaTypeError."""
    encoding = request.headers.get("Content-Encoding", "").strip()
    if encoding.lower() in _PLAIN:
        return ""
    if encoding.lower() in _PACKED:
        return encoding.lower()
    raise UnsupportedMediaTypeError(
        f"A body with `Content-Encoding: {encoding[:40]}` cannot be read: send gzip, deflate or none.",
        code="encoding_not_supported",
    )


BODIES: Final = web.AppKey("bodies", Bodies)
READING: Final = web.RequestKey("reading", Reading)
