"""What goes out and what comes in, free of any MQTT library; answers are `{"status", "data", "error", "transaction"}`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from typing import Any, Final

import orjson

from ..core.errors import CheapRouterError, InvalidRequestError, LimitError, UpstreamError
from ..core.models import Json
from ..core.records import dataclass
from ..wire.decode import decode_message
from ..wire.openai_chat.encode import error_object

LARGEST: Final = 1024 * 1024
"""Bytes of a question: a long conversation fits; pictures belong to HTTP."""

KEEP_AT_MOST: Final = 256
KEEP_SECONDS: Final = 3600.0
"""How many messages, and how old ones, wait for a broker that is away: an hour-old event still tells something, a
day-old one would start automations for nothing."""

_EXACT: Final = 2**53
"""Whole numbers from there on are no longer exact where JSON is read."""


class BusyError(CheapRouterError):
    """Too many questions at once: ask again."""

    status = 503
    code = "busy"


class InternalError(CheapRouterError):
    """Something that should not happen; the log has it."""

    def __init__(self) -> None:
        super().__init__("Something went wrong inside the router; its log says what.")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. `correlation`: MQTT 5 correlation data, where the asker gave some."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that arrived. `response_topic` and `correlation` are MQTT 5's."""

    topic: str
    payload: bytes
    retain: bool = False
    response_topic: str | None = None
    correlation: bytes | None = None

    def read(self) -> bytes:
        """The payload. Raises InvalidRequestError where it is too large."""
        if len(self.payload) > LARGEST:
            raise InvalidRequestError(f"The message is larger than {LARGEST} bytes.", code="request_too_large")
        return self.payload

    def read_object(self) -> Json:
        """A JSON object, or nothing at all for an empty one. Raises InvalidRequestError."""
        payload = self.read()
        value = decode_message(payload, "The message") if payload.strip() else {}
        if not isinstance(value, dict):
            raise InvalidRequestError("The message must be a JSON object.")
        return value


@dataclass(slots=True)
class Outbox:
    """Messages that are sent once, in order: events and answers. Bounded; the oldest goes first, and is counted."""

    _waiting: deque[tuple[float, Outgoing]] = field(default_factory=lambda: deque(maxlen=KEEP_AT_MOST))
    dropped: int = 0

    def put(self, message: Outgoing, now: float) -> None:
        """Queue at the end; `now` is monotonic seconds."""
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
        self._waiting.append((now, message))

    def first(self, now: float) -> Outgoing | None:
        """The next one to send, which stays until `sent`; what grew too old is dropped."""
        while self._waiting and now - self._waiting[0][0] > KEEP_SECONDS:
            self._waiting.popleft()
            self.dropped += 1
        return self._waiting[0][1] if self._waiting else None

    def sent(self, message: Outgoing) -> None:
        """Forget a message that the broker has; a full box may have dropped it meanwhile."""
        if self._waiting and self._waiting[0][1] is message:
            self._waiting.popleft()

    def __len__(self) -> int:
        return len(self._waiting)


def encode(value: Mapping[str, Any]) -> bytes:
    """JSON; money leaves as a number (an endless budget as null), times as ISO 8601."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() and abs(value) < _EXACT else float(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(type(value).__name__)


def transaction_of(body: Json) -> str | int | None:
    """The asker's own mark, handed back: a short text or a number."""
    mark = body.get("transaction")
    if isinstance(mark, str):
        return mark[:128]
    return mark if isinstance(mark, int) and not isinstance(mark, bool) and abs(mark) < _EXACT else None


def error_data(error: CheapRouterError) -> Json:
    """OpenAI's error object, with the status and the seconds to wait where waiting helps."""
    data: Json = {**error_object(error)["error"], "status": error.status}
    if isinstance(error, (LimitError, UpstreamError)) and error.retry_after is not None:
        data["retry_after"] = math.ceil(error.retry_after)
    return data
