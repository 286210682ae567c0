"""What goes out and what comes in, free of any MQTT library."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

KEEP_AT_MOST: Final = 256
KEEP_SECONDS: Final = 3600.0
"""How many messages, and how old ones, wait for a broker that is away: an hour-old event still tells something, a
day-old one would start automations for nothing."""


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
