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
from ..home_assistant import discovery
from ..home_assistant.discovery import Choices
from ..home_assistant.topics import Topics
from . import payloads
from .messages import Outbox, Outgoing, encode
from .pacing import Throttle
from .payloads import Notices
from .retained import HUB, Memory, Published, Retained, Send

REFRESH_SECONDS: Final = 30.0
"""How often everything is compared anew: buckets refill and days end without an event."""

DEBOUNCE_SECONDS: Final = 0.75
"""Home Assistant loses components of a new device when two different announcements follow each other at once."""

_MANY: Final = 2000
"""Events until it is asked which devices are strangers: so many may be noted before."""

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
        self._events = 0
        self._patience = _MANY

    # --- what happens

    def on_event(self, event: Event) -> None:
        """Note what an event changes; quick, never raises, never waits."""
        now = self._clock.monotonic()
        self._events += 1
        if self._events > self._patience:
            self._forget_strangers()
        match event:
            case RequestCompleted(device_id=device_id):
                if event.stream:
                    self._note_speed(event)
                self._states.touch(device_id, now)
                self._states.touch(HUB, now)
            case SettingsChanged(device_id=None):
                self.refresh(now)
            case SettingsChanged(device_id=str(device_id)):
                self._changed(device_id, now)
            case DeviceAdded(device_id=device_id):
                self._gone.discard(device_id)
                self._changed(device_id, now)
            case DeviceRemoved(device_id=device_id):
                self._forget(device_id)
                self._states.touch(HUB, now)
            case ModelsChanged():
                self.announce_all(now + DEBOUNCE_SECONDS)
                self.refresh(now)
            case _:
                self._tell(event, now)
        self._wake()

    def _changed(self, device_id: str, now: float) -> None:
        self._states.touch_at(device_id, now)
        self._announcements.touch_at(device_id, now + DEBOUNCE_SECONDS)

    def _tell(self, event: Event, now: float) -> None:
        """What automations wait for, and the states that it changes."""
        match event:
            case ProviderDown() | ProviderUp():
                self._states.touch_at(HUB, now)
            case RateLimited(device_id=device_id):
                self._states.touch_at(device_id, now)
                if event.retry_after is not None:
                    with contextlib.suppress(OverflowError):  # beyond the year 9999 it is as good as never
                        until = event.timestamp + dt.timedelta(seconds=event.retry_after)
                        self._limit_resets[device_id] = until.isoformat(timespec="seconds")
        for message in self._notices.messages(event, now):
            self.outbox.put(message, now)

    def _note_speed(self, done: RequestCompleted) -> None:
        """Of streams alone: a whole reply comes in one piece, and so do streams out of the cache."""
        if done.first_token_ms is None or done.completion_tokens < 2:
            return
        seconds = (done.latency_ms - done.first_token_ms) / 1000
        if seconds >= _SHORTEST_STREAM:
            speed = round((done.completion_tokens - 1) / seconds, 1)
            self._speed[done.device_id] = self._speed[HUB] = speed

    def _forget_strangers(self) -> None:
        """Callers that are not remembered as devices must not pile up here, least of all while no broker is there.

        After a sweep there come twice as many events as was kept: the work for one event stays the same however many.
        """
        noted = {*self._states, *self._speed, *self._limit_resets} - {HUB}
        strangers = [device_id for device_id in noted if not self._control.knows(device_id)]
        for device_id in strangers:
            self._forget(device_id)
        self._events, self._patience = 0, max(_MANY, 2 * (len(noted) - len(strangers)))

    def _forget(self, device_id: str) -> None:
        self._states.forget(device_id)
        self._announcements.forget(device_id)
        self._speed.pop(device_id, None)
        self._limit_resets.pop(device_id, None)
        if device_id in self._memory.known:
            self._gone.add(device_id)

    def _all(self) -> list[str]:
        return [HUB, *self._control.device_ids()]

    def refresh(self, now: float) -> None:
        """Compare every state with what the broker has, now."""
        for device_id in self._all():
            self._states.touch_at(device_id, now)
        self._refresh_at = now + REFRESH_SECONDS

    def announce_all(self, when: float) -> None:
        """Announce everything that changed, at that time."""
        for device_id in self._all():
            self._announcements.touch_at(device_id, when)

    def show(self, device_id: str | None) -> None:
        """Publish this state even if the broker has it: someone tried to change it."""
        self._sent.pop(self.topics.state(self._slug(device_id or HUB)), None)
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
        for device_id in self._all():
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
        await self._put(send, self.topics.status, payloads.ONLINE)

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

    async def _put(self, send: Send, topic: str, payload: bytes) -> None:
        """Send a retained message if the broker has other bytes."""
        if self._sent.get(topic) != payload:
            await send(Outgoing(topic, payload, retain=True))
            self._sent[topic] = payload

    async def _show_state(self, send: Send, device_id: str) -> None:
        control, speed, slug = self._control, self._speed.get(device_id), self._slug(device_id)
        if device_id == HUB:
            state, providers = control.hub_state(), payloads.visible(control.providers())
            details = payloads.hub_details(control.version, providers, speed, control.latest_version)
        elif control.knows(device_id):
            self._retained.remember(device_id, slug)
            state, resets = control.device_state(device_id), self._limit_resets.get(device_id)
            details = {"id": device_id, "name": control.device_name(device_id)}
            details |= {"tokens_per_second": speed, "limit_resets_at": resets}
        else:
            return
        await self._put(send, self.topics.state(slug), encode(state))
        await self._put(send, self.topics.details(slug), encode(details))
        if slug is not None:
            await self._put(send, self.topics.availability(slug), payloads.ONLINE)

    def _slug(self, device_id: str) -> str | None:
        return None if device_id == HUB else self._control.slug(device_id)

    async def _announce(self, send: Send, device_id: str) -> None:
        if device_id != HUB and not self._control.knows(device_id):
            return
        known = self._retained.remember(device_id, self._slug(device_id))
        topic = self.topics.discovery(known.discovery_id)
        if not self._settings.discovery or (device_id != HUB and not self._settings.device_discovery):
            if known.components:
                await self._put(send, topic, b"")
                known.components = {}
                self._memory.save()
            return
        new = self._announcement(device_id, known)
        if self._sent.get(topic) == new.payload:
            return
        removed = known.components.keys() - new.components.keys()
        known.components = {**known.components, **new.components}
        self._memory.save()
        await self._put(send, topic, new.payload)
        if removed:
            known.components = dict(new.components)
            self._memory.save()
            self._announcements.touch_at(device_id, self._clock.monotonic() + DEBOUNCE_SECONDS)
        await asyncio.sleep(GAP_SECONDS)

    def _announcement(self, device_id: str, known: Published) -> discovery.Announcement:
        control, names = self._control, (self.topics, self._control.instance_id, self._control.version)
        models = () if device_id == HUB else control.options("model")
        choices = Choices(control.options("profile"), models, control.currency, self._settings.commands)
        if device_id == HUB:
            providers = sorted(str(p["name"]) for p in payloads.visible(control.providers()))
            return discovery.announce_hub(*names, choices, providers, known.components)
        name = control.device_name(device_id)
        return discovery.announce_device(*names, known.slug or "", name, choices, known.components)
