"""The exact-match response cache: an answer given once is given again, for nothing, to the device that asked.

Off unless a device's settings turn it on. Only finished answers are kept; errors, cut and filtered ones never.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import orjson

from ..core.models import Json, Model, Usage
from ..core.records import dataclass
from ..wire.events import Piece, weight

_KEPT: Final = frozenset({"stop", "tool_calls"})
_IGNORED: Final = frozenset({"user", "metadata", "store", "safety_identifier", "prompt_cache_key"})
"""Fields that name the caller or book-keeping, and change no answer."""


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A kept answer: the body of a whole one, or the pieces of a stream, and the model that gave it. `size`: bytes of it, about."""

    model: Model
    chunks: tuple[Piece, ...]
    usage: Usage | None
    expires: float
    size: int


def cache_key(device_id: str, model_id: str, body: Json, wire: str = "openai_chat") -> bytes:
    """Everything that changes the answer: the device, the model, the request with `stream`, and the wire it goes out in."""
    said = {k: v for k, v in body.items() if k not in _IGNORED}
    digest = hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=20)
    digest.update(f"\0{device_id}\0{model_id}\0{wire}".encode())
    return digest.digest()


class ResponseCache:
    """Answers by key, oldest use first out, bounded in bytes and in time (`ttl` seconds)."""

    def __init__(self, *, ttl: float, max_bytes: int, monotonic: Callable[[], float]) -> None:
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self._entries: OrderedDict[bytes, CachedReply] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> CachedReply | None:
        """A kept answer that still holds."""
        if (entry := self._entries.get(key)) is None:
            return None
        if entry.expires <= self._monotonic():
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(
        self, key: bytes, model: Model, chunks: tuple[Piece, ...], usage: Usage | None, finish_reason: str | None
    ) -> None:
        """Keep a finished answer, if it is one and fits."""
        entry = CachedReply(model, chunks, usage, self._monotonic() + self._ttl, sum(map(weight, chunks)) + 200)
        if finish_reason not in _KEPT or entry.size > self._max_bytes // 4:
            return
        self._forget(key)
        self._entries[key] = entry
        self._bytes += entry.size
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: bytes) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._bytes -= entry.size
