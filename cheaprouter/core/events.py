"""What happened, told to whoever listens: recorder, metrics, MQTT, dashboard. A slow listener never slows a reply."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from .records import dataclass

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Root of all events."""


@dataclass(frozen=True, slots=True)
class RequestCompleted(Event):
    """A request ended: answered, refused or failed. Published once for each, after it was booked.

    Times in milliseconds since it came in: until its first token, None where nothing came, and until its end.
    """

    device_id: str
    stream: bool
    completion_tokens: int
    first_token_ms: float | None
    latency_ms: float


@dataclass(frozen=True, slots=True)
class RateLimited(Event):
    """A device ran into one of its limits; once for each device, limit and window, not for each request.

    `retry_after` in seconds, None where waiting does not help.
    """

    device_id: str
    limit: str
    retry_after: float | None
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class BudgetWarning(Event):
    """Spend crossed the soft threshold. `period`: `daily` or `monthly`; `device_id` None for the budget above all devices."""

    device_id: str | None
    period: str
    spent: Decimal
    budget: Decimal
    percent: float
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class BudgetReached(Event):
    """A budget is spent; `action` is what happens to further requests (`refuse`, `free` or `eco`)."""

    device_id: str | None
    period: str
    spent: Decimal
    budget: Decimal
    action: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class FallbackUsed(Event):
    """Another model answered than the one chosen first."""

    device_id: str
    from_model: str
    to_model: str
    code: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class AnswerCaught(Event):
    """Something was wrong with a model's answer. `fault`: a word of `wire.checks.fault`. `replaced`: another's went out instead."""

    request_id: str
    device_id: str
    model_id: str
    fault: str
    replaced: bool


@dataclass(frozen=True, slots=True)
class AnswerRejected(Event):
    """A request says that the answer before it was no good. `request_id`: its own; `model_id`: who answered before; `why`: in words."""

    request_id: str
    device_id: str
    model_id: str
    why: str


@dataclass(frozen=True, slots=True)
class ProviderDown(Event):
    """A provider (or one of its keys or models) stopped being usable. `until`: seconds of cool-down, None: until changed."""

    provider: str
    reason: str
    cooldown: float | None
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class ProviderUp(Event):
    """A provider that was down answered again. `downtime` in seconds."""

    provider: str
    downtime: float
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class SettingsChanged(Event):
    """A run-time setting changed. `device_id` None: the hub's own."""

    device_id: str | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceAdded(Event):
    """A device called for the first time, or was configured."""

    device_id: str


@dataclass(frozen=True, slots=True)
class DeviceRemoved(Event):
    """A device was forgotten, by hand or by age."""

    device_id: str


@dataclass(frozen=True, slots=True)
class AbilitiesChanged(Event):
    """It was learned that a model lacks an ability that it was taken to have, or that was forgotten again."""


@dataclass(frozen=True, slots=True)
class ModelsChanged(Event):
    """The set of routable models changed: configuration reloaded, or a local server's list was read."""


class Subscription:
    """One listener's bounded queue; the oldest event goes when it is full, and is counted in `dropped`. `close()` ends it."""

    def __init__(self, limit: int, bus: EventBus) -> None:
        self._queue: deque[Event] = deque(maxlen=limit)
        self._ready = asyncio.Event()
        self.dropped = 0
        self.close = bus.on(self.put)

    def put(self, event: Event) -> None:
        """Queue an event; never blocks."""
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1
        self._queue.append(event)
        self._ready.set()

    async def get(self) -> Event:
        while not self._queue:
            self._ready.clear()
            await self._ready.wait()
        return self._queue.popleft()

    def drain(self) -> list[Event]:
        """Take everything that is queued, without waiting."""
        events = list(self._queue)
        self._queue.clear()
        return events


class EventBus:
    """Hands each event to every listener at once, in the event loop's thread. No listener's failure reaches another."""

    def __init__(self) -> None:
        self._listeners: list[tuple[Callable[[Any], Any], tuple[type[Event], ...]]] = []
        self._by_kind: dict[type[Event], tuple[Callable[[Any], Any], ...]] = {}
        self._told: set[tuple[str, str, str]] = set()

    def subscribe(self, limit: int = 1024) -> Subscription:
        """Listen with a queue of at most `limit` events."""
        return Subscription(limit, self)

    def on(self, callback: Callable[[Any], Any], *kinds: type[Event]) -> Callable[[], None]:
        """Call a quick, synchronous function for each event of these kinds, or of all; returns what ends it."""
        listener = (callback, kinds or (Event,))
        self._listeners.append(listener)
        self._by_kind.clear()

        def leave() -> None:
            with contextlib.suppress(ValueError):  # it is gone already
                self._listeners.remove(listener)
            self._by_kind.clear()

        return leave

    def listeners(self, kind: type[Event]) -> tuple[Callable[[Any], Any], ...]:
        """Who is told of events of a kind; where that is nobody, none need be made."""
        found = self._by_kind.get(kind)
        if found is None:
            found = tuple(callback for callback, kinds in self._listeners if issubclass(kind, kinds))
            self._by_kind[kind] = found
        return found

    def publish(self, event: Event) -> None:
        """Tell everyone; never blocks and never raises. Whoever listens or leaves meanwhile counts from the next event on."""
        for callback in self.listeners(type(event)):
            try:
                callback(event)
            except Exception as error:  # noqa: BLE001 - the boundary: what happened has happened, whoever fails to hear of it
                self._failed(callback, event, error)

    def _failed(self, callback: Callable[[Event], Any], event: Event, error: Exception) -> None:
        """Log it, once for each listener, event and class of error."""
        listener = getattr(callback, "__qualname__", repr(type(callback)))
        kind = (listener, type(event).__name__, type(error).__name__)
        if kind not in self._told:
            self._told.add(kind)
            _LOG.error("%s could not take in %s", kind[0], kind[1], exc_info=error)
