"""What lies at the broker until it is taken away: of devices that are gone, and under names that are no longer ours.

It is remembered in a file before it is published, so that it can be taken away also after a crash.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Final

import orjson

from ..control import Control
from ..core.records import dataclass
from ..home_assistant import discovery
from ..home_assistant.topics import Topics
from .messages import Outgoing

_LOG = logging.getLogger(__name__)

Send = Callable[[Outgoing], Awaitable[None]]

HUB: Final = ""
"""The hub's key among devices' ids, none of which is empty."""


@dataclass(frozen=True, slots=True)
class Place:
    """The broker and the names under which things were published; a change of names means cleaning up under the old."""

    broker: str
    base: str
    prefix: str


@dataclass(slots=True)
class Published:
    """One device as published; `components`: key to platform, empty where it was not announced to Home Assistant."""

    slug: str | None
    discovery_id: str
    components: dict[str, str] = field(default_factory=dict)


class Memory:
    """Survives in a small JSON file; without a path, only in memory. The hub's key is ""."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = b""
        self.place: Place | None = None
        self.known: dict[str, Published] = {}

    def load(self) -> None:
        """Read the file. One that cannot be read or understood counts as empty, and is said so."""
        if self._path is None:
            return
        try:
            raw = self._path.read_bytes()
            data = orjson.loads(raw)
            place = Place(**data["place"])
            known = {key: Published(**value) for key, value in data["known"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            _LOG.warning("%s cannot be used (%s): old topics at the broker may stay", self._path, error)
            return
        self._written, self.place, self.known = raw, place, known

    def save(self) -> None:
        """Write the file if anything changed, whole or not at all; called before a new topic is first published."""
        if self._path is None or self.place is None:
            return
        raw = orjson.dumps({"place": self.place, "known": self.known})
        if raw == self._written:
            return
        draft = self._path.with_suffix(".new")
        try:
            draft.write_bytes(raw)
            draft.replace(self._path)
        except OSError as error:
            _LOG.warning("%s cannot be written: %s", self._path, error)
            return
        self._written = raw


class Retained:
    """Writes down what is published before it is, and empties what is not wanted any more."""

    def __init__(self, topics: Topics, control: Control, memory: Memory) -> None:
        self._topics = topics
        self._control = control
        self._memory = memory

    def remember(self, device_id: str, slug: str | None) -> Published:
        """Note that a device (HUB with slug None) is published; to be called before it is."""
        instance = self._control.instance_id
        identifier = discovery.hub_id(instance) if slug is None else discovery.device_id(instance, slug)
        known = self._memory.known.get(device_id)
        if known is None or known.discovery_id != identifier:
            known = self._memory.known[device_id] = Published(slug, identifier)
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

    def _is_current(self, device_id: str, known: Published) -> bool:
        if device_id == HUB:
            return known.slug is None
        return self._control.knows(device_id) and known.slug == self._control.slug(device_id)

    async def _leave(self, send: Send, old: Topics) -> None:
        """Empty the topics of an old base or prefix; an announcement that stays where it is must not go."""
        for known in self._memory.known.values():
            if old.prefix != self._topics.prefix:
                await send(Outgoing(old.discovery(known.discovery_id), b"", retain=True))
                known.components = {}
            if old.base != self._topics.base:
                for topic in old.retained(known.slug):
                    await send(Outgoing(topic, b"", retain=True))

    async def _empty(self, send: Send, known: Published) -> Sequence[str]:
        topics = (self._topics.discovery(known.discovery_id), *self._topics.retained(known.slug))
        for topic in topics:
            await send(Outgoing(topic, b"", retain=True))
        return topics
