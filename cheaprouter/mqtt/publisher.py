"""Decides what is to be published and when; how is the bridge's business.

Order on a connection: what is gone is taken away, the hub is announced, then the devices, then come their states, and
last `online`. Afterwards only what changed is sent, compared byte by byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable
from typing import Final

from ..config.settings import MqttSettings
from ..control import Control
from ..core.calendar import Clock
from ..core.events import (
    DeviceAdded,
    DeviceRemoved,
    Event,
    ModelsChanged,
    ProviderDown,
    ProviderUp,
    RateLimited,
    RequestCompleted,
    SettingsChanged,
)
from ..core.models import RequestRecord
from ..home_assistant import discovery
from ..home_assistant.entities import Choices
from ..home_assistant.topics import Topics
from . import payloads
from .messages import Outbox, Outgoing
from .pacing import Throttle
from .payloads import Notices
from .retained import HUB, Memory, Published, Retained, Send

REFRESH_SECONDS: Final = 30.0
"""How often everything is compared anew: buckets refill and days end without an event."""

DEBOUNCE_SECONDS: Final = 0.75
"""Home Assistant loses components of a new device when two different announcements follow each other at once."""

_MANY: Final = 2000
"""Devices that are noted before it is asked which of them are strangers."""

_SHORTEST_STREAM: Final = 0.05
"""Seconds below which a speed says nothing."""

GAP_SECONDS: Final = 0.02
"""Between two announcements: 10 ms were enough for Home Assistant 2026.11 on a PC."""


class Publisher:
    """Holds what changed and what the broker has; bounded by the number of devices."""

    def __init__(
        self, settings: MqttSettings, control: Control, memory: Memory, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self.topics = Topics(settings.base_topic, settings.discovery_prefix)
        self.outbox = Outbox()
        self._settings = settings
        self._control = control
        self._memory = memory
        self._retained = Retained(self.topics, control, memory)
        self._clock = clock
        self._wake = wake
        self._states: Throttle[str] = Throttle(settings.interval)
        self._announcements: Throttle[str] = Throttle(DEBOUNCE_SECONDS)
        self._notices = Notices(self.topics, control.slug, control.device_name)
        self._sent: dict[str, bytes] = {}
        self._speed: dict[str, float] = {}
        self._limit_resets: dict[str, str] = {}
        self._refresh_at = clock.monotonic() + REFRESH_SECONDS
        self._gone: set[str] = set()
        self._room = _MANY

    # --- what happens

    def on_event(self, event: Event) -> None:
        """Note what an event changes; quick, never raises, never waits."""
        now = self._clock.monotonic()
        match event:
            case RequestCompleted(record=record):
                self._note_speed(record)
                self._states.touch(record.device_id, now)
                self._keep_small()
                self._states.touch(HUB, now)
            case SettingsChanged(device_id=device_id):
                self._setting_changed(device_id, now)
            case DeviceAdded(device_id=device_id):
                self._gone.discard(device_id)
                self._states.touch_at(device_id, now)
                self._announcements.touch_at(device_id, now + DEBOUNCE_SECONDS)
            case DeviceRemoved(device_id=device_id):
                self._forget(device_id)
                self._states.touch(HUB, now)
            case ModelsChanged():
                self.announce_all(now + DEBOUNCE_SECONDS)
                self.refresh(now)
            case ProviderDown() | ProviderUp():
                self._states.touch_at(HUB, now)
            case RateLimited(device_id=device_id):
                self._note_limit(event, now)
        for message in self._notices.messages(event, now):
            self.outbox.put(message, now)
        self._wake()

    def _setting_changed(self, device_id: str | None, now: float) -> None:
        """Settings are shown at once, also those of devices that follow the hub's."""
        if device_id is None:
            self.refresh(now)
            return
        self._states.touch_at(device_id, now)
        self._announcements.touch_at(device_id, now + DEBOUNCE_SECONDS)

    def _note_speed(self, record: RequestRecord) -> None:
        """Of streams alone: a whole reply comes in one piece, and so do streams out of the cache."""
        if not record.stream or record.first_token_ms is None or record.usage.completion_tokens < 2:
            return
        seconds = (record.latency_ms - record.first_token_ms) / 1000
        if seconds >= _SHORTEST_STREAM:
            speed = round((record.usage.completion_tokens - 1) / seconds, 1)
            self._speed[record.device_id] = self._speed[HUB] = speed

    def _note_limit(self, event: RateLimited, now: float) -> None:
        self._states.touch_at(event.device_id, now)
        if event.retry_after is not None:
            with contextlib.suppress(OverflowError):  # beyond the year 9999 it is as good as never
                until = event.timestamp + dt.timedelta(seconds=event.retry_after)
                self._limit_resets[event.device_id] = until.isoformat(timespec="seconds")
        self._keep_small()

    def _keep_small(self) -> None:
        """Callers that are not remembered as devices must not pile up here, least of all while no broker is there.

        After a sweep there is room for three times what was kept: the work for one event stays the same however many.
        """
        if max(len(self._speed), len(self._states), len(self._limit_resets)) <= self._room:
            return
        noted = {*self._states, *self._speed, *self._limit_resets} - {HUB}
        strangers = [device_id for device_id in noted if not self._control.knows(device_id)]
        for device_id in strangers:
            self._forget(device_id)
        self._room = max(_MANY, 3 * (len(noted) - len(strangers)))

    def _forget(self, device_id: str) -> None:
        self._states.forget(device_id)
        self._announcements.forget(device_id)
        self._speed.pop(device_id, None)
        self._limit_resets.pop(device_id, None)
        if device_id in self._memory.known:
            self._gone.add(device_id)

    def refresh(self, now: float) -> None:
        """Compare every state with what the broker has, now."""
        for device_id in (HUB, *self._control.device_ids()):
            self._states.touch_at(device_id, now)
        self._refresh_at = now + REFRESH_SECONDS

    def announce_all(self, when: float) -> None:
        """Announce everything that changed, at that time."""
        for device_id in (HUB, *self._control.device_ids()):
            self._announcements.touch_at(device_id, when)

    def show(self, device_id: str | None) -> None:
        """Publish this state even if the broker has it: someone tried to change it."""
        slug = None if device_id is None else self._control.slug(device_id)
        self._sent.pop(self.topics.state(slug), None)
        self._states.touch_at(device_id or HUB, self._clock.monotonic())
        self._wake()

    def say(self, message: Outgoing) -> None:
        """Send a message once, after those that wait."""
        self.outbox.put(message, self._clock.monotonic())
        self._wake()

    def repeat_all(self, when: float) -> None:
        """Publish everything again, at that time: Home Assistant started, and perhaps the broker lost what it had."""
        self._sent.clear()
        self.announce_all(when)
        for device_id in (HUB, *self._control.device_ids()):
            self._states.touch_at(device_id, when)
        self._wake()

    # --- what is sent

    def next_due(self) -> float:
        """When `flush` has something to do, in monotonic seconds."""
        now = self._clock.monotonic()
        if self.outbox.first(now) is not None or self._gone:
            return now
        times = (self._states.next_due(), self._announcements.next_due(), self._refresh_at)
        return min(t for t in times if t is not None)

    async def open(self, send: Send, broker: str) -> None:
        """Everything, in order, on a new connection."""
        self._sent.clear()
        self._gone.clear()
        await self._retained.clean_up(send, broker)
        now = self._clock.monotonic()
        self.announce_all(now)
        self.refresh(now)
        await self.flush(send)
        await self._put(send, Outgoing(self.topics.status, payloads.ONLINE, retain=True))

    async def flush(self, send: Send) -> None:
        """Send what is due. Raises what `send` raises: the connection is lost then, and `open` on the next one sends all."""
        now = self._clock.monotonic()
        if now >= self._refresh_at:
            self.refresh(now)
        await self._remove_gone(send)
        while (message := self.outbox.first(now)) is not None:
            await send(message)
            self.outbox.sent(message)
        for device_id in self._announcements.take(now):
            await self._announce(send, device_id)
        for device_id in self._states.take(now):
            await self._show_state(send, device_id)

    async def _remove_gone(self, send: Send) -> None:
        for device_id in list(self._gone):
            for topic in await self._retained.remove(send, device_id):
                self._sent.pop(topic, None)
            self._gone.discard(device_id)

    async def _put(self, send: Send, message: Outgoing) -> None:
        """Send a retained message if the broker has other bytes."""
        if self._sent.get(message.topic) != message.payload:
            await send(message)
            self._sent[message.topic] = message.payload

    async def _show_state(self, send: Send, device_id: str) -> None:
        if device_id == HUB:
            await self._put(
                send, Outgoing(self.topics.state(None), payloads.encode(self._control.hub_state()), retain=True)
            )
            control, providers = self._control, payloads.visible(self._control.providers())
            details = payloads.hub_details(control.version, providers, self._speed.get(HUB), control.latest_version)
            await self._put(send, Outgoing(self.topics.details(None), payloads.encode(details), retain=True))
            return
        if not self._control.knows(device_id):
            return
        slug = self._control.slug(device_id)
        self._retained.remember(device_id, slug)
        body = payloads.encode(self._control.device_state(device_id))
        await self._put(send, Outgoing(self.topics.state(slug), body, retain=True))
        name, speed = self._control.device_name(device_id), self._speed.get(device_id)
        details = payloads.device_details(device_id, name, speed, self._limit_resets.get(device_id))
        await self._put(send, Outgoing(self.topics.details(slug), payloads.encode(details), retain=True))
        await self._put(send, Outgoing(self.topics.availability(slug), payloads.ONLINE, retain=True))

    async def _announce(self, send: Send, device_id: str) -> None:
        if device_id != HUB and not self._control.knows(device_id):
            return
        known = self._retained.remember(device_id, None if device_id == HUB else self._control.slug(device_id))
        topic = self.topics.discovery(known.discovery_id)
        if not self._settings.discovery or (device_id != HUB and not self._settings.device_discovery):
            if known.components:
                await self._put(send, Outgoing(topic, b"", retain=True))
                known.components = {}
                self._memory.save()
            return
        new = self._announcement(device_id, known)
        removed = known.components.keys() - new.components.keys()
        if self._sent.get(topic) == new.payload:
            return
        known.components = {**known.components, **new.components}
        self._memory.save()
        await self._put(send, Outgoing(topic, new.payload, retain=True))
        if removed:
            known.components = dict(new.components)
            self._memory.save()
            self._announcements.touch_at(device_id, self._clock.monotonic() + DEBOUNCE_SECONDS)
        await asyncio.sleep(GAP_SECONDS)

    def _announcement(self, device_id: str, known: Published) -> discovery.Announcement:
        control, gone = self._control, known.components
        options = control.options
        if device_id == HUB:
            choices = Choices(options("profile"), (), control.currency, self._settings.commands)
            providers = sorted(str(p["name"]) for p in payloads.visible(control.providers()))
            return discovery.announce_hub(self.topics, control.instance_id, control.version, choices, providers, gone)
        choices = Choices(options("profile"), options("model"), control.currency, self._settings.commands)
        name = control.device_name(device_id)
        slug = known.slug or ""
        return discovery.announce_device(self.topics, control.instance_id, control.version, slug, name, choices, gone)
