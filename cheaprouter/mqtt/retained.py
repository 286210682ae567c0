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

    `gone`: slugs of devices that were taken away, and until when (Unix seconds) that is said again. `deleted`: devices that
    somebody deleted in Home Assistant. `leaving`: topics that are emptied once Home Assistant no longer listens to them.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = hash(b"")
        self._shared: dict[frozenset[tuple[str, str]], Mapping[str, str]] = {}
        self.place: Place | None = None
        self.known: dict[str, Published] = {}
        self.gone: dict[str, int] = {}
        self.deleted: dict[str, None] = {}
        self.leaving: dict[str, None] = {}

    def shared(self, components: Mapping[str, str]) -> Mapping[str, str]:
        """The same components, held once for all devices that have them."""
        return self._shared.setdefault(frozenset(components.items()), components)

    def load(self) -> None:
        """Read the file. One that cannot be read or understood counts as empty, and is said so."""
        if self._path is None:
            return
        try:
            raw = self._path.read_bytes()
            self._take(orjson.loads(raw))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            _LOG.warning("%s cannot be used (%s): old topics at the broker may stay", self._path, error)
            return
        self._written = hash(raw)

    def _take(self, data: Any) -> None:
        """Raises as `load` knows it for what makes no sense; nothing is taken of it then."""
        if "components" not in data:
            data = _of_before(data)
        components = [self.shared(_sound(dict(found))) for found in data["components"]]
        known = {
            key: Published(slug if slug is None else _part(slug), components[which])
            for key, (slug, which) in data["known"].items()
        }
        gone = {_part(slug): _moment(until) for slug, until in data.get("gone", {}).items()}
        deleted = dict.fromkeys(str(device_id) for device_id in data.get("deleted", ()))
        leaving = dict.fromkeys(_topic(topic) for topic in data.get("leaving", ()))
        place = Place(**data["place"])
        for levels in (place.broker, place.base, place.prefix, place.hub):
            _topic(levels)
        self.place, self.known, self.gone, self.deleted, self.leaving = place, known, gone, deleted, leaving

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
        devices = {"known": known, "gone": self.gone, "deleted": list(self.deleted)}
        raw = orjson.dumps({"place": self.place, "components": components, **devices, "leaving": list(self.leaving)})
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


_LONGEST: Final = 256
"""Characters of what topics are made of; the broker refuses one that is too long, or has a wildcard or a NUL in it."""


def _topic(text: Any) -> str:
    """Raises ValueError for what cannot stand in a topic: it would be refused again at each start."""
    if not isinstance(text, str) or len(text) > _LONGEST or not text.isprintable() or set(text) & {"+", "#"}:
        raise ValueError("no topic can be made of it")
    return text


def _part(text: Any) -> str:
    """The same for what stands between two slashes."""
    if not _topic(text) or "/" in text:
        raise ValueError("no topic can be made of it")
    return str(text)


def _moment(told: Any) -> int:
    """Unix seconds; the year 9999 ends before 2^38 of them. Raises ValueError."""
    if type(told) is not int or not 0 <= told < 1 << 38:
        raise ValueError("no time")
    return told


def _sound(components: Mapping[Any, Any]) -> dict[str, str]:
    return {_part(key): _part(platform) for key, platform in components.items()}


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
            if self._memory.leaving:
                self._stay(slug)
            if device_id not in known or known[device_id].slug != slug:
                known[device_id] = Published(slug, self._memory.shared({}))
                new = True
        if new:
            self._memory.save()

    def _stay(self, slug: str | None) -> None:
        """What is published again is not to be emptied."""
        for topic in self._all(slug):
            self._memory.leaving.pop(topic, None)

    def _all(self, slug: str | None) -> tuple[str, ...]:
        return (self._topics.discovery(self.discovery_id(slug)), *self._topics.retained(slug))

    async def remove(self, send: Send, device_id: str) -> None:
        """Take a device out of Home Assistant; its other topics are emptied by `leave`."""
        known = self._memory.known.pop(device_id, None)
        if known is None:
            return
        discovered, *others = self._all(known.slug)
        self._memory.leaving |= dict.fromkeys(others)
        self._note_gone(known)
        self._memory.save()
        await send(Outgoing(discovered, b"", retain=True))

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
        if old is not None and (old.prefix, old.hub, old.broker) != (place.prefix, place.hub, place.broker):
            memory.gone.clear()
        if old is not None and old.broker != place.broker:
            memory.known.clear()
            memory.leaving.clear()
        elif old is not None and old != place:
            self._move(old)
        memory.place = place
        for device_id in [
            device_id for device_id, known in memory.known.items() if not self._is_current(device_id, known)
        ]:
            await self.remove(send, device_id)
        memory.save()

    def _is_current(self, device_id: str, known: Published) -> bool:
        if device_id == HUB:
            return known.slug is None
        return device_id in self._wanted and known.slug == self._control.slug(device_id)

    def _move(self, old: Place) -> None:
        """Other names: all is published under them first, since Home Assistant complains of empty states that it still reads."""
        topics, leaving = Topics(old.base, old.prefix), self._memory.leaving
        for known in self._memory.known.values():
            if (old.prefix, old.hub) != (self._here.prefix, self._here.hub):
                leaving[topics.discovery(old.discovery_id(known.slug))] = None
                known.components = self._memory.shared({})
            if old.base != self._topics.base:
                leaving |= dict.fromkeys(topics.retained(known.slug))

    async def leave(self, send: Send) -> None:
        """Empty what is no longer published, Home Assistant having had its time to hear that it moved or went."""
        leaving = self._memory.leaving
        for topic in list(leaving):
            await send(Outgoing(topic, b"", retain=True))
            leaving.pop(topic, None)
        self._memory.save()
