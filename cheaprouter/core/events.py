"""What happened, told to whoever listens: recorder, metrics, MQTT, dashboard. A slow listener never slows a reply."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from .models import RequestRecord


@dataclass(frozen=True, slots=True)
class Event:
    """Root of all events."""


@dataclass(frozen=True, slots=True)
class RequestCompleted(Event):
    """A request ended: answered, refused or failed. Published once for each, after it was booked."""

    record: RequestRecord


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
class ModelsChanged(Event):
    """The set of routable models changed: configuration reloaded, or a local server's list was read."""


class Subscription:
    """One listener's bounded queue; the oldest event goes when it is full, and is counted in `dropped`."""

    def __init__(self, limit: int, unsubscribe: Callable[[Subscription], None]) -> None:
        self._queue: deque[Event] = deque(maxlen=limit)
        self._ready = asyncio.Event()
        self._unsubscribe = unsubscribe
        self.dropped = 0

    def put(self, event: Event) -> None:
        """Queue an event; never blocks."""
        if len(self._queue) == self._queue.maxlen:
            self.dropped += 1
        self._queue.append(event)
        self._ready.set()

    async def get(self) -> Event:
        """Wait for the next event."""
        while not self._queue:
            self._ready.clear()
            await self._ready.wait()
        return self._queue.popleft()

    def drain(self) -> list[Event]:
        """Take everything that is queued, without waiting."""
        events = list(self._queue)
        self._queue.clear()
        return events

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Event]:
        while True:
            yield await self.get()

    def close(self) -> None:
        """Stop listening."""
        self._unsubscribe(self)


@dataclass(slots=True)
class EventBus:
    """Hands each event to every subscriber at once, in the event loop's thread."""

    _subscriptions: list[Subscription] = field(default_factory=list)
    _callbacks: list[Callable[[Event], Any]] = field(default_factory=list)

    def subscribe(self, limit: int = 1024) -> Subscription:
        """Listen with a queue of at most `limit` events; `close()` on what is returned ends it."""
        subscription = Subscription(limit, self._subscriptions.remove)
        self._subscriptions.append(subscription)
        return subscription

    def on(self, callback: Callable[[Event], Any]) -> Callable[[], None]:
        """Call a quick, synchronous function for each event; returns what ends it."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def publish(self, event: Event) -> None:
        """Tell everyone; never blocks. A callback must not raise."""
        for callback in self._callbacks:
            callback(event)
        for subscription in self._subscriptions:
            subscription.put(event)
