"""Which heads of chat requests are usual: each is read once, by aiohttp's own parser, and known by its bytes from then on.

Clients send the same head with every request, but for the length of the body. Nothing about HTTP is decided here but
whether a head is one of those that leave no question open; all others go aiohttp's own road, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import hdrs
from aiohttp.http import HttpProcessingError, HttpRequestParser, HttpVersion11, RawRequestMessage

from ..core.addresses import Headers
from ..core.records import dataclass
from .context import is_json
from .guard import INGRESS_HEADERS

MOST_BODY: Final = 1 << 20
"""Bytes of body that a usual request has at most; what is larger is read by aiohttp, which pauses its client."""

_CHAT: Final = (b"POST /v1/chat/completions HTTP/1.1\r\n", b"POST /chat/completions HTTP/1.1\r\n")
_END: Final = b"\r\n\r\n"
_LENGTH: Final = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
"""As clients write it; what is written otherwise is unusual."""

_MOST_DIGITS: Final = 7
_LONGEST: Final = 4096
_MOST_HEADS: Final = 256
"""Times `_LONGEST` this is the most memory that clients with ever new heads can take: a megabyte, and as much decoded."""

_UNUSUAL: Final = (
    hdrs.TRANSFER_ENCODING,
    hdrs.CONTENT_ENCODING,
    hdrs.EXPECT,
    hdrs.UPGRADE,
    hdrs.ORIGIN,
    *INGRESS_HEADERS,
)


@dataclass(slots=True, eq=False)
class Head:
    """A usual head. `path`: as asked for; `host`: the name that it was asked by; `headers` ignore case, `every` has all of a name.

    `allowed`: the world in which that name was found to be one of this home.
    """

    path: str
    host: str
    headers: Mapping[str, str]
    every: Headers
    allowed: object = None


class Heads:
    """The heads seen of late."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head | None] = {}

    def find(self, data: bytes, make_parser: Callable[[], HttpRequestParser]) -> tuple[Head, int, int] | None:
        """The usual head that `data` begins with, the length of its body, and where that begins; else None.

        `make_parser`: makes a parser such as aiohttp has on the connection.
        """
        if not data.startswith(_CHAT) or (end := data.find(_END, 0, _LONGEST)) < 0:
            return None
        end += len(_END)
        start = data.find(_LENGTH[0], 0, end)
        if start < 0 and (start := data.find(_LENGTH[1], 0, end)) < 0:
            return None
        start += len(_LENGTH[0])
        stop = data.find(b"\r\n", start, end)
        length = data[start:stop]
        if not length.isdigit() or len(length) > _MOST_DIGITS:
            return None
        key = data[:start] + data[stop:end]
        try:
            head = self._known[key]
        except KeyError:
            head = self._keep(key, _read(data[:end], make_parser()))
        size = int(length)
        return None if head is None or size > MOST_BODY else (head, size, end)

    def _keep(self, key: bytes, head: Head | None) -> Head | None:
        if len(self._known) >= _MOST_HEADS:
            del self._known[next(iter(self._known))]
        self._known[key] = head
        return head


def is_begun(data: bytes) -> bool:
    """Whether `data` is the beginning of a head that may yet turn out to be usual."""
    return len(data) < _LONGEST and data.startswith(_CHAT) and _END not in data


def _read(raw: bytes, parser: HttpRequestParser) -> Head | None:
    try:
        messages, _, _ = parser.feed_data(raw)
    except HttpProcessingError:
        return None
    return usual(messages[0][0]) if len(messages) == 1 else None


def usual(message: RawRequestMessage) -> Head | None:
    """The head, if there is nothing about it that aiohttp or the guard would have to decide."""
    headers = message.headers
    if (
        message.version != HttpVersion11
        or message.should_close
        or message.upgrade
        or message.chunked
        or len(headers.getall(hdrs.CONTENT_LENGTH, ())) != 1
        or any(name in headers for name in _UNUSUAL)
        or not is_json(headers.get(hdrs.CONTENT_TYPE, ""))
    ):
        return None
    return Head(message.path, headers.get(hdrs.HOST, ""), headers, headers)
