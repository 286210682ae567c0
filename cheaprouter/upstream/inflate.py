"""Compressed bodies, a step at a time: a small reply that unpacks to gigabytes takes no more memory than its reader allows."""

from __future__ import annotations

import zlib
from typing import Final

STEP: Final = 16 * 1024
"""Bytes that one step gives at most."""

_WINDOW: Final = 16 * 1024
"""Compressed bytes looked at in one step: zlib copies what it leaves over."""

_MOST_MEMBERS: Final = 1000
_GZIP: Final = 16 + zlib.MAX_WBITS
_BITS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


class Inflater:
    """Unpacks one body."""

    __slots__ = ("_bits", "_engine", "_full", "_left", "_members", "_place", "_tail")

    def __init__(self, encoding: str) -> None:
        """Raises ValueError for an encoding that is not known."""
        try:
            self._bits = _BITS[encoding]
        except KeyError:
            raise ValueError(encoding) from None
        self._engine = zlib.decompressobj(self._bits)
        self._left = self._tail = b""
        self._place = self._members = 0
        self._full = False

    @property
    def ready(self) -> bool:
        """Whether there is something to unpack."""
        return self._full or bool(self._tail) or self._place < len(self._left)

    @property
    def complete(self) -> bool:
        """Whether what has come is a whole body. One without a byte is."""
        return self._engine.eof or not self._members

    def feed(self, data: bytes) -> None:
        """Take more, once nothing is `ready`."""
        if not self._members:
            self._members = 1
            if self._bits == zlib.MAX_WBITS and data[0] & 15 != 8:  # some send deflate without its header
                self._engine = zlib.decompressobj(-zlib.MAX_WBITS)
        self._left, self._place = data, 0

    def step(self) -> bytes:
        """The next bytes, which may be none. Raises zlib.error."""
        window = self._tail
        if not window:
            window = self._left[self._place : self._place + _WINDOW]
            self._place += len(window)
        if self._engine.eof and window:
            self._next_member()
        out = self._engine.decompress(window, STEP)
        self._full = len(out) == STEP  # then there may be more of it inside
        self._tail = self._engine.unused_data or self._engine.unconsumed_tail
        return out

    def _next_member(self) -> None:
        """Another member of a gzip body follows; of deflate there is one."""
        self._members += 1
        if self._bits != _GZIP or self._members > _MOST_MEMBERS:
            raise zlib.error("data after the end")
        self._engine = zlib.decompressobj(self._bits)
