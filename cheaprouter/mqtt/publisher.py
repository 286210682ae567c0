"""Decides what is to be published and when; what is in it is the sender's business, and how it is sent the bridge's.

Order on a connection: `online`, since most of what Home Assistant needs lies at the broker already; the states, each with that
its device is there; then the hub is announced, and each device. What is no longer ours is emptied last. Afterwards only what changed is sent, compared byte by byte. A request marks its device, no more: nothing
is made or sent, and nobody woken, until the mark is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import math
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import Final

from ..config.settings import MqttSettings
from ..control import Control
from ..core.calendar import Clock
from ..core.events import (
    BudgetReached,
    BudgetWarning,
    DeviceAdded,
    DeviceRemoved,
    Event,
    FallbackUsed,
    ModelsChanged,
    ProviderDown,
    ProviderUp,
    RateLimited,
    RequestCompleted,
    SettingsChanged,
)
from ..home_assistant.topics import Topics
from . import payloads
from .messages import Outbox, Outgoing
from .pacing import Throttle
from .payloads import Notices
from .places import Places
from .retained import HUB, Memory, Retained, Send
from .sender import Sender

REFRESH_SECONDS: Final = 30.0
"""How often what was active lately is compared anew: buckets refill and days end without an event."""

SETTLE_SECONDS: Final = 120.0
"""How long after its last event a device counts as active: buckets are full after one minute, at the latest."""

DEBOUNCE_SECONDS: Final = 0.75
"""Home Assistant loses components of a new device when two different announcements follow each other at once."""

GATHER_SECONDS: Final = 0.1
"""How long the first request of a quiet device waits for those of others."""

LEAVE_SECONDS: Final = 5.0
"""From an announcement, or from taking it back, until topics are emptied that Home Assistant may still listen to."""

HEAL_SECONDS: Final = 1.0
"""Least time between two corrections of what somebody else publishes on our topics: it may be somebody who does so for ever."""

WIPE_SECONDS: Final = 2.0
"""How long whoever empties our topics may go on with it, until all is published again."""

BATCH: Final = 20
"""Announcements, and states, between two looks at what is more urgent."""


class Publisher:
    """Holds what changed; bounded by the number of devices that have places.

    `wake` is told when `flush` has something to do, in monotonic seconds.
    """

    kinds: Final[tuple[type[Event], ...]] = (
        SettingsChanged, DeviceAdded, DeviceRemoved, ModelsChanged, ProviderDown, ProviderUp, RateLimited, BudgetWarning,
        BudgetReached, FallbackUsed,
    )  # fmt: skip
    """What `on_event` is for, connected or not; requests are told to `on_request`, while there is a connection."""

    def __init__(
        self, settings: MqttSettings, control: Control, memory: Memory, clock: Clock, wake: Callable[[float], None]
    ) -> None:
        self.topics = Topics(settings.base_topic, settings.discovery_prefix, settings.response_topics)
        self.outbox = Outbox()
        self._control = control
        self._memory = memory
        self._clock = clock
        self._wake = wake
        self._places = Places(settings.max_devices, control, self._forget, memory.deleted)
        self._may_return = settings.deleted_devices == "return"
        self._retained = Retained(self.topics, control, memory, self._places)
        self._sender = Sender(settings, control, self.topics, memory, self._retained)
        self._states: Throttle[str] = Throttle(settings.interval, min(GATHER_SECONDS, settings.interval))
        self._announcements: Throttle[str] = Throttle(DEBOUNCE_SECONDS)
        self._notices = Notices(self.topics, self._own_slug, control.device_name, self._money)
        self._settle = SETTLE_SECONDS + settings.interval
        self._active: OrderedDict[str, float] = OrderedDict()
        self._refresh_at = clock.monotonic() + REFRESH_SECONDS
        self._day = self._today()
        self._gone: dict[str, None] = {}
        self._repeat_at = math.inf
        self._leave_at = math.inf
        self._status_at = math.inf
        self._status_said_at = -math.inf
        self._places.choose(memory.known)

    # --- what happens

    def on_request(self, event: RequestCompleted) -> None:
        """Mark the device and the hub, unless they are; quick, never raises, never waits."""
        device_id = event.device_id
        if self._memory.deleted:
            self._come_back(device_id)
        if event.stream and (speed := payloads.speed(event)) is not None:
            self._sender.speed[HUB] = speed
            if device_id in self._places:
                self._sender.speed[device_id] = speed
        if device_id not in self._states or HUB not in self._states:
            now = self._clock.monotonic()
            self._note_active(device_id, now)
            self._wake(min(self._states.touch(device_id, now), self._states.touch(HUB, now)))

    def _come_back(self, device_id: str) -> None:
        """A device that was deleted in Home Assistant is used all the same; so is the hub, whoever asks."""
        deleted, now = self._memory.deleted, self._clock.monotonic()
        if HUB in deleted:
            del deleted[HUB]
            self._announcements.touch_at(HUB, now + DEBOUNCE_SECONDS)
        if device_id in deleted and self._may_return:
            del deleted[device_id]
            self._changed(device_id, now)

    def on_event(self, event: Event) -> None:
        """Note what another event changes; quick, never raises, never waits."""
        now = self._clock.monotonic()
        match event:
            case SettingsChanged(device_id=None):
                self.refresh(now)
            case SettingsChanged(device_id=str(device_id)) | DeviceAdded(device_id=device_id):
                self._changed(device_id, now)
            case DeviceRemoved(device_id=device_id):
                self._places.leave(device_id)
                self._memory.deleted.pop(device_id, None)
                self._forget(device_id)
                self._states.touch(HUB, now)
            case ModelsChanged():
                self._places.choose(frozenset(self._places))
                self.announce_all(now + DEBOUNCE_SECONDS)
                self.refresh(now)
            case _:
                self._tell(event, now)
        self._wake(now)

    def _changed(self, device_id: str, now: float) -> None:
        """A device is new, has a place now, or other settings."""
        if self._places.take(device_id):
            self._note_active(device_id, now)
            self._states.touch_at(device_id, now)
            self._announcements.touch_at(device_id, now + DEBOUNCE_SECONDS)

    def _tell(self, event: Event, now: float) -> None:
        """What automations wait for, and the states that it changes."""
        match event:
            case ProviderDown() | ProviderUp():
                self._states.touch_at(HUB, now)
            case RateLimited(device_id=device_id) if device_id in self._places:
                self._note_active(device_id, now)
                self._states.touch_at(device_id, now)
                if event.retry_after is not None:
                    with contextlib.suppress(OverflowError):  # beyond the year 9999 it is as good as never
                        until = event.timestamp + dt.timedelta(seconds=event.retry_after)
                        self._sender.limit_resets[device_id] = until.isoformat(timespec="seconds")
        for message in self._notices.messages(event, now):
            self.outbox.put(message, now)

    def _note_active(self, device_id: str, now: float) -> None:
        if device_id in self._places:
            self._active[device_id] = now
            self._active.move_to_end(device_id)

    def _forget(self, device_id: str) -> None:
        """A device is gone, or lost its place: so are its topics."""
        self._states.forget(device_id)
        self._announcements.forget(device_id)
        self._active.pop(device_id, None)
        self._sender.speed.pop(device_id, None)
        self._sender.limit_resets.pop(device_id, None)
        if device_id in self._memory.known:
            self._gone[device_id] = None

    def _money(self) -> tuple[str, Decimal]:
        settings = self._control.world.settings
        return settings.currency, settings.usd_rate

    def _own_slug(self, device_id: str) -> str | None:
        return self._control.slug(device_id) if device_id in self._places else None

    def _all(self) -> list[str]:
        return [HUB, *self._places]

    def refresh(self, now: float) -> None:
        """Compare every state with what the broker has, now."""
        for device_id in self._all():
            self._states.touch_at(device_id, now)
        self._refresh_at = now + REFRESH_SECONDS

    def _refresh_active(self, now: float) -> None:
        """Compare those that may have changed without an event: all once a day has ended, else what was active lately."""
        before, self._day = self._day, self._today()
        if self._day != before:
            self.refresh(now)
            return
        while self._active and next(iter(self._active.values())) <= now - self._settle:
            self._active.popitem(last=False)
        for device_id in (HUB, *self._active):
            self._states.touch_at(device_id, now)
        self._refresh_at = now + REFRESH_SECONDS

    def _today(self) -> int:
        accounts = self._control.accounts
        return accounts.calendar.day(accounts.clock.utcnow().timestamp())

    def announce_all(self, when: float) -> None:
        """Announce everything that changed, at that time."""
        for device_id in self._all():
            if device_id not in self._memory.deleted:
                self._announcements.touch_at(device_id, when)

    def show(self, device_id: str | None) -> None:
        """Publish this state even if the broker has it: someone tried to change it."""
        now = self._clock.monotonic()
        self._sender.again(device_id or HUB)
        self._states.touch_at(device_id or HUB, now)
        self._wake(now)

    def say(self, message: Outgoing) -> None:
        """Send a message once, after those that wait."""
        now = self._clock.monotonic()
        self.outbox.put(message, now)
        self._wake(now)

    def repeat_all(self, when: float) -> None:
        """Publish everything again, at that time: Home Assistant started, and perhaps the broker lost what it had."""
        self._repeat_at = min(when, self._repeat_at)
        self._wake(self._repeat_at)

    # --- what others did to our topics

    def heal(self, slug: str | None, *, wiped: bool) -> None:
        """Somebody else said that we (None), or a device, are not there. `wiped`: emptied that topic, and perhaps others."""
        device_id = HUB if slug is None else self._control.device_for_slug(slug)
        if device_id is None or (device_id != HUB and device_id not in self._places):
            return
        now = self._clock.monotonic()
        when = max(now, self._status_said_at + HEAL_SECONDS)
        if wiped:
            self.repeat_all(now + WIPE_SECONDS)
        self._sender.again(device_id, "availability")
        if device_id == HUB:
            self._status_at = min(self._status_at, when)
        self._states.touch_at(device_id, when)
        self._wake(when)

    def deleted(self, discovery_id: str) -> None:
        """Somebody deleted what is announced under that id in Home Assistant, which emptied its announcement."""
        announced = ((device, known.slug) for device, known in self._memory.known.items() if known.components)
        ids = (device for device, slug in announced if self._retained.discovery_id(slug) == discovery_id)
        if (device_id := next(ids, None)) is None:
            return
        self._memory.deleted[device_id] = None
        self._sender.forget(device_id)
        if device_id != HUB:
            self._places.leave(device_id)
            self._forget(device_id)
        self._wake(self._clock.monotonic())

    def repeat_details(self) -> None:
        """Say once more which router this is."""
        now = self._clock.monotonic()
        self._sender.again(HUB, "details")
        self._states.touch_at(HUB, now)
        self._wake(now)

    # --- what is sent

    def next_due(self) -> float:
        """When `flush` has something to do, in monotonic seconds."""
        now = self._clock.monotonic()
        if self.outbox.first(now) is not None or self._gone:
            return now
        times = (self._states.next_due(), self._announcements.next_due())
        later = (self._refresh_at, self._repeat_at, self._leave_at, self._status_at)
        return min(*later, *(t for t in times if t is not None))

    async def open(self, send: Send, broker: str) -> None:
        """Everything, in order, on a new connection."""
        self._sender.forget()
        self._states.clear()
        self._announcements.clear()
        self._places.choose({*self._memory.known, *self._places})
        self._gone.clear()
        self._leave_at = math.inf
        await self._retained.clean_up(send, broker)
        self._retained.remember(self._all())
        await self._say_online(send)
        await self._retained.repeat_gone(send)
        now = self._clock.monotonic()
        self.refresh(now)
        await self._flush_until(send, self._states, now)
        now = self._clock.monotonic()
        self.announce_all(now)
        await self._flush_until(send, self._announcements, now)
        self._leave_at = self._clock.monotonic() + LEAVE_SECONDS
        await self._say_online(send)  # once more: a second router may have said otherwise while all this was sent

    async def _repeat(self, send: Send, now: float) -> None:
        self._repeat_at = math.inf
        self._sender.forget()
        await self._say_online(send)
        await self._retained.repeat_gone(send)
        self.refresh(now)
        self.announce_all(now)

    async def _say_online(self, send: Send) -> None:
        self._status_at, self._status_said_at = math.inf, self._clock.monotonic()
        await send(Outgoing(self.topics.status, payloads.ONLINE, retain=True))

    async def _flush_until(self, send: Send, throttle: Throttle[str], now: float) -> None:
        """Flush until nothing is left that was due by then."""
        while (due := throttle.next_due()) is not None and due <= now:
            await self.flush(send)
            await asyncio.sleep(0)

    async def flush(self, send: Send) -> None:
        """Send what is due, a batch of it. Raises what `send` raises: the connection is lost, and `open` on the next sends all."""
        now = self._clock.monotonic()
        if now >= self._refresh_at:
            self._refresh_active(now)
        for device_id in list(islice(self._gone, BATCH)):
            if device_id not in self._places:
                await self._sender.remove(send, device_id)
                self._leave_at = min(self._leave_at, now + LEAVE_SECONDS)
            self._gone.pop(device_id, None)
        if now >= self._status_at:
            await self._say_online(send)
        if now >= self._leave_at:
            self._leave_at = math.inf
            await self._retained.leave(send)
        if now >= self._repeat_at:
            await self._repeat(send, now)
        while (message := self.outbox.first(now)) is not None:
            await send(message)
            self.outbox.sent(message)
        for device_id in await self._sender.announce(send, self._placed(self._announcements.take(now, BATCH))):
            self._announcements.touch_at(device_id, self._clock.monotonic() + DEBOUNCE_SECONDS)
        await self._sender.show(send, self._placed(self._states.take(now, BATCH)))

    def _placed(self, device_ids: list[str]) -> list[str]:
        """Those of them that have a place, or get one as they are active; of others nothing is kept."""
        for device_id in device_ids:
            if device_id != HUB and device_id not in self._places:
                self._states.forget(device_id)
                self._changed(device_id, self._clock.monotonic())
        return [device_id for device_id in device_ids if device_id == HUB or device_id in self._places]
