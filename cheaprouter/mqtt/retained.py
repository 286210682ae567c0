"""What lies at the broker until it is taken away: of devices that are gone, and under names that are no longer ours.

That a device is gone reaches only who is connected just then, so it is said again for some days, whenever we connect or Home
Assistant has started. It is remembered in a file before it is published, so that it can be taken away also after a crash.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from ..control import Control
from ..core.models import Json
from ..core.records import dataclass
from ..home_assistant import discovery
from ..home_assistant.topics import Topics
from .messages import Outgoing

_LOG = logging.getLogger(__name__)

Send = Callable[[Outgoing], Awaitable[None]]

GONE_SECONDS: Final = 7 * 86_400
"""How long it is said again that a device is gone: somebody who was on holiday starts Home Assistant again."""

MOST_GONE: Final = 500
"""Devices of which it is said again, those that went last."""

HUB: Final = ""
"""The hub's key among devices' ids, none of which is empty."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where things were published: the broker, the names there, and the hub's own id; a change means cleaning up there."""

    broker: str
    base: str
    prefix: str
    hub: str

    def discovery_id(self, slug: str | None) -> str:
        """A device's id in Home Assistant, or the hub's."""
        return self.hub if slug is None else f"{self.hub}_{slug}"


@dataclass(slots=True)
class Published:
    """One device as published; `components`: key to platform, empty where it was not announced to Home Assistant.

    Nearly all devices have the same ones: they share one dict (`Memory.shared`), which is never changed.
    """

    slug: str | None
    components: Mapping[str, str]


class Memory:
    """Survives in a small JSON file; without a path, only in memory. The hub's key is "".

    `gone`: slugs of devices that were taken away, and until when (Unix seconds) that is said again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = hash(b"")
        self._shared: dict[frozenset[tuple[str, str]], Mapping[str, str]] = {}
        self.place: Place | None = None
        self.known: dict[str, Published] = {}
        self.gone: dict[str, int] = {}

    def shared(self, components: Mapping[str, str]) -> Mapping[str, str]:
        """The same components, held once for all devices that have them."""
        return self._shared.setdefault(frozenset(components.items()), components)

    def load(self) -> None:
        """Read the file. One that cannot be read or understood counts as empty, and is said so."""
        if self._path is None:
            return
        try:
            raw = self._path.read_bytes()
            self.place, self.known, self.gone = self._understood(orjson.loads(raw))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            _LOG.warning("%s cannot be used (%s): old topics at the broker may stay", self._path, error)
            return
        self._written = hash(raw)

    def _understood(self, data: Any) -> tuple[Place, dict[str, Published], dict[str, int]]:
        if "components" not in data:
            data = _of_before(data)
        components = [self.shared(dict(found)) for found in data["components"]]
        known = {key: Published(slug, components[which]) for key, (slug, which) in data["known"].items()}
        gone = {str(slug): int(until) for slug, until in data.get("gone", {}).items()}
        return Place(**data["place"]), known, gone

    def save(self) -> None:
        """Write the file if anything changed, whole or not at all; called before a new topic is first published."""
        if self._path is None or self.place is None:
            return
        numbers: dict[int, int] = {}
        components: list[Mapping[str, str]] = []
        known: dict[str, tuple[str | None, int]] = {}
        for key, published in self.known.items():
            number = numbers.setdefault(id(published.components), len(components))
            if number == len(components):
                components.append(published.components)
            known[key] = (published.slug, number)
        raw = orjson.dumps({"place": self.place, "components": components, "known": known, "gone": self.gone})
        if hash(raw) == self._written:
            return
        draft = self._path.with_suffix(".new")
        try:
            draft.write_bytes(raw)
            draft.replace(self._path)
        except OSError as error:
            _LOG.warning("%s cannot be written: %s", self._path, error)
            return
        self._written = hash(raw)


def _of_before(data: Any) -> Json:
    """A file of version 0.1, with the discovery id and the components of each device in full, in today's shape."""
    known = data["known"]
    hubs = [d["discovery_id"].removesuffix("" if d["slug"] is None else f"_{d['slug']}") for d in known.values()]
    return {
        "place": {**data["place"], "hub": hubs[0] if hubs else ""},
        "components": [device["components"] for device in known.values()],
        "known": {key: (device["slug"], number) for number, (key, device) in enumerate(known.items())},
    }


class Retained:
    """Writes down what is published before it is, and empties what is not wanted any more.

    `wanted`: which devices are to have topics.
    """

    def __init__(self, topics: Topics, control: Control, memory: Memory, wanted: Container[str]) -> None:
        self._topics = topics
        self._control = control
        self._memory = memory
        self._wanted = wanted
        self._here = Place("", topics.base, topics.prefix, discovery.hub_id(control.instance_id))

    def slug(self, device_id: str) -> str | None:
        """The device's name in topics; None: the hub's are meant."""
        return None if device_id == HUB else self._control.slug(device_id)

    def discovery_id(self, slug: str | None) -> str:
        """Under which id a device, or the hub, is announced."""
        return self._here.discovery_id(slug)

    def remember(self, device_ids: Iterable[str]) -> None:
        """Note that devices are published; to be called before they are."""
        known, new = self._memory.known, False
        for device_id in device_ids:
            slug = self.slug(device_id)
            if slug is not None:
                self._memory.gone.pop(slug, None)
            if device_id not in known or known[device_id].slug != slug:
                known[device_id] = Published(slug, self._memory.shared({}))
                new = True
        if new:
            self._memory.save()

    async def remove(self, send: Send, device_id: str) -> None:
        """Take a device's topics away."""
        known = self._memory.known.get(device_id)
        if known is None:
            return
        await self._empty(send, known)
        del self._memory.known[device_id]
        self._note_gone(known)
        self._memory.save()

    def _note_gone(self, known: Published) -> None:
        if known.slug is not None and known.components:
            gone = self._memory.gone
            gone[known.slug] = int(self._control.accounts.clock.unix()) + GONE_SECONDS
            while len(gone) > MOST_GONE:
                del gone[next(iter(gone))]

    async def repeat_gone(self, send: Send) -> None:
        """Say again which devices are gone."""
        gone, now = self._memory.gone, self._control.accounts.clock.unix()
        for slug in [slug for slug, until in gone.items() if until < now]:
            del gone[slug]
        for slug in list(gone):
            await send(Outgoing(self._topics.discovery(self.discovery_id(slug)), b"", retain=True))

    async def clean_up(self, send: Send, broker: str) -> None:
        """Take away what an earlier run or other settings left at this broker; what lies at another one is forgotten."""
        place = replace(self._here, broker=broker)
        old, memory = self._memory.place, self._memory
        if old != place:
            memory.gone.clear()
        if old is not None and old.broker != place.broker:
            memory.known.clear()
        elif old is not None and old != place:
            await self._leave(send, old)
        memory.place = place
        gone = [known for known in memory.known.items() if not self._is_current(*known)]
        for device_id, known in gone:
            await self._empty(send, known)
            del memory.known[device_id]
            self._note_gone(known)
        memory.save()

    def _is_current(self, device_id: str, known: Published) -> bool:
        if device_id == HUB:
            return known.slug is None
        return device_id in self._wanted and known.slug == self._control.slug(device_id)

    async def _leave(self, send: Send, old: Place) -> None:
        """Empty the topics of an old base, prefix or hub; an announcement that stays where it is must not go."""
        topics = Topics(old.base, old.prefix)
        for known in self._memory.known.values():
            if (old.prefix, old.hub) != (self._here.prefix, self._here.hub):
                await send(Outgoing(topics.discovery(old.discovery_id(known.slug)), b"", retain=True))
                known.components = self._memory.shared({})
            if old.base != self._topics.base:
                for topic in topics.retained(known.slug):
                    await send(Outgoing(topic, b"", retain=True))

    async def _empty(self, send: Send, known: Published) -> None:
        for topic in (self._topics.discovery(self.discovery_id(known.slug)), *self._topics.retained(known.slug)):
            await send(Outgoing(topic, b"", retain=True))
