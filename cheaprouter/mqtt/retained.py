"""What lies at the broker until it is taken away: of devices that are gone, and under names that are no longer ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ..home_assistant import discovery
from ..home_assistant.topics import Topics
from .memory import Known, Memory, Place
from .messages import Outgoing
from .ports import ControlPort

Send = Callable[[Outgoing], Awaitable[None]]

HUB: Final = ""
"""The hub's key among devices' ids, none of which is empty."""


class Retained:
    """Writes down what is published before it is, and empties what is not wanted any more."""

    def __init__(self, topics: Topics, control: ControlPort, memory: Memory) -> None:
        self._topics = topics
        self._control = control
        self._memory = memory

    def remember(self, device_id: str, slug: str | None) -> Known:
        """Note that a device (HUB with slug None) is published; to be called before it is."""
        instance = self._control.instance_id
        identifier = discovery.hub_id(instance) if slug is None else discovery.device_id(instance, slug)
        known = self._memory.known.get(device_id)
        if known is None or known.discovery_id != identifier:
            known = self._memory.known[device_id] = Known(slug, identifier)
            self._memory.save()
        return known

    async def remove(self, send: Send, device_id: str) -> Sequence[str]:
        """Take a device's topics away; which they were."""
        known = self._memory.known.get(device_id)
        if known is None:
            return ()
        topics = await self._empty(send, known)
        del self._memory.known[device_id]
        self._memory.save()
        return topics

    async def clean_up(self, send: Send, broker: str) -> None:
        """Take away what an earlier run or other settings left at this broker; what lies at another one is forgotten."""
        place = Place(broker, self._topics.base, self._topics.prefix)
        old, memory = self._memory.place, self._memory
        if old is not None and old.broker != place.broker:
            memory.known.clear()
        elif old is not None and old != place:
            await self._leave(send, Topics(old.base, old.prefix))
        memory.place = place
        for device_id, known in list(memory.known.items()):
            if not self._is_current(device_id, known):
                await self._empty(send, known)
                del memory.known[device_id]
        memory.save()

    def _is_current(self, device_id: str, known: Known) -> bool:
        if device_id == HUB:
            return known.slug is None
        return device_id in self._control.device_ids() and known.slug == self._control.slug(device_id)

    async def _leave(self, send: Send, old: Topics) -> None:
        """Empty the topics of an old base or prefix; an announcement that stays where it is must not go."""
        for known in self._memory.known.values():
            if old.prefix != self._topics.prefix:
                await send(Outgoing(old.discovery(known.discovery_id), b"", retain=True))
                known.components = {}
            if old.base != self._topics.base:
                for topic in old.retained(known.slug):
                    await send(Outgoing(topic, b"", retain=True))

    async def _empty(self, send: Send, known: Known) -> Sequence[str]:
        topics = (self._topics.discovery(known.discovery_id), *self._topics.retained(known.slug))
        for topic in topics:
            await send(Outgoing(topic, b"", retain=True))
        return topics
