"""Sends announcements and states, those alone that the broker has otherwise. Of what it has a hash is kept, never the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from ..config.settings import MqttSettings
from ..control import Control
from ..core.models import Json
from ..core.records import dataclass
from ..home_assistant import discovery
from ..home_assistant.discovery import Announcement, Choices
from ..home_assistant.names import names as entity_names
from ..home_assistant.topics import Topics
from . import payloads, shown
from .messages import Outgoing, encode
from .retained import HUB, Memory, Retained, Send

GAP_SECONDS: Final = 0.02
"""Between two announcements: 10 ms were enough for Home Assistant 2026.11 on a PC."""

Part = Literal["config", "state", "details", "availability"]


@dataclass(slots=True)
class Sent:
    """What the broker has of a device, as `hash` of the bytes: 64 bits, by a key that each process draws anew. None: unknown."""

    config: int | None = None
    state: int | None = None
    details: int | None = None
    availability: int | None = None


class Sender:
    """Makes messages on demand and sends them one by one. `speed` and `limit_resets`: what the details tell beside."""

    def __init__(
        self, settings: MqttSettings, control: Control, topics: Topics, memory: Memory, retained: Retained
    ) -> None:
        self.speed: dict[str, float] = {}
        self.limit_resets: dict[str, str] = {}
        self._settings = settings
        self._control = control
        self._topics = topics
        self._memory = memory
        self._retained = retained
        self._sent: dict[str, Sent] = {}

    def forget(self, device_id: str | None = None) -> None:
        """Nobody knows any more what the broker has: of a device, or (None) of all."""
        if device_id is None:
            self._sent.clear()
        else:
            self._sent.pop(device_id, None)

    def again(self, device_id: str, part: Part = "state") -> None:
        """Send that part of it the next time even if the broker has it."""
        if device_id in self._sent:
            setattr(self._sent[device_id], part, None)

    async def remove(self, send: Send, device_id: str) -> None:
        """Take away all that a device has at the broker."""
        await self._retained.remove(send, device_id)
        self.forget(device_id)

    async def announce(self, send: Send, device_ids: Sequence[str]) -> list[str]:
        """Announce devices to Home Assistant. Returns those to announce again soon: without components that went now."""
        self._retained.remember(device_ids)
        changed = [(device_id, new) for device_id in device_ids if (new := self._changed(device_id)) is not None]
        self._memory.save()
        again = []
        for device_id, new in changed:
            topic = self._topics.discovery(new.discovery_id)
            await self._put(send, device_id, "config", topic, new.payload)
            known = self._memory.known[device_id]
            if known.components != new.components:
                known.components = self._memory.shared(new.components)
                again.append(device_id)
            await asyncio.sleep(GAP_SECONDS)
        if again:
            self._memory.save()
        return again

    def _changed(self, device_id: str) -> Announcement | None:
        """The announcement, if the broker has another one; what it names is remembered along with what was named before."""
        known = self._memory.known[device_id]
        wanted = self._settings.discovery and (device_id == HUB or self._settings.device_discovery)
        if not wanted:
            return Announcement(self._retained.discovery_id(known.slug), b"", {}) if known.components else None
        new = self._announcement(device_id, known.slug, known.components)
        if device_id in self._sent and self._sent[device_id].config == hash(new.payload):
            return None
        known.components = self._memory.shared({**known.components, **new.components})
        return new

    def _announcement(self, device_id: str, slug: str | None, gone: Mapping[str, str]) -> Announcement:
        control, names = self._control, (self._topics, self._control.instance_id, self._control.version)
        models = () if slug is None else control.options("model")
        words = entity_names(control.world.settings.language)
        choices = Choices(
            control.options("profile"), models, control.currency, self._settings.commands, words, control.page
        )
        if slug is None:
            providers = sorted(str(p["name"]) for p in payloads.visible(control.providers()))
            return discovery.announce_hub(*names, choices, providers, gone)
        return discovery.announce_device(*names, slug, control.device_name(device_id), choices, gone)

    async def show(self, send: Send, device_ids: Sequence[str]) -> None:
        """Send states and details that changed."""
        self._retained.remember(device_ids)
        for device_id in device_ids:
            slug = self._retained.slug(device_id)
            state, details = self._hub() if slug is None else self._device(device_id)
            await self._put(send, device_id, "state", self._topics.state(slug), encode(state))
            await self._put(send, device_id, "details", self._topics.details(slug), encode(details))
            if slug is not None:
                await self._put(send, device_id, "availability", self._topics.availability(slug), payloads.ONLINE)

    def _hub(self) -> tuple[Json, Json]:
        control, router = self._control, self._retained.discovery_id(None)
        providers, speed = payloads.visible(control.providers()), self.speed.get(HUB)
        details = payloads.hub_details(router, control.version, providers, speed, control.latest_version)
        return shown.state(control, None), details | {"currency": control.currency, "usd_rate": control.usd_rate}

    def _device(self, device_id: str) -> tuple[Json, Json]:
        details: Json = {"id": device_id, "name": self._control.device_name(device_id)}
        details["tokens_per_second"] = self.speed.get(device_id)
        details["limit_resets_at"] = self.limit_resets.get(device_id)
        details["profile"] = self._control.world.policies.effective(device_id)["profile"]
        return shown.state(self._control, device_id), details

    async def _put(self, send: Send, device_id: str, part: Part, topic: str, payload: bytes) -> None:
        """Send a retained message if the broker has other bytes."""
        sent = self._sent.setdefault(device_id, Sent())
        if getattr(sent, part) != (now := hash(payload)):
            await send(Outgoing(topic, payload, retain=True))
            setattr(sent, part, now)
