"""Which devices are known, by what slug, since when; never more than so many."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from .identity import unique_slug

OVERFLOW: Final = "other-devices"
"""Who newcomers count as while no known device can be forgotten for them."""


class Known:
    """One device. Times in Unix seconds."""

    __slots__ = ("first_seen", "last_seen", "slug")

    def __init__(self, slug: str, first_seen: int, last_seen: int) -> None:
        self.slug = slug
        self.first_seen = first_seen
        self.last_seen = last_seen


class Registry:
    """Devices in the order in which they last called. `keep` says which ones must not be forgotten."""

    def __init__(self, most: int, keep: Callable[[str], bool]) -> None:
        self.most = most
        self._keep = keep
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._slugs: dict[str, str] = {}

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._known

    def ids(self) -> list[str]:
        """All that are known, by name."""
        return sorted(self._known)

    def seen(self, device_id: str, now: int) -> bool:
        """Note a call; True if the device was not known. O(1) for one that was."""
        known = self._known.get(device_id)
        if known is None:
            self.add(device_id, now, now)
            return True
        known.last_seen = max(known.last_seen, now)
        self._known.move_to_end(device_id)
        return False

    def add(self, device_id: str, first_seen: int, last_seen: int, slug: str | None = None) -> None:
        """Take a device in, by a slug that it had before if that is still free."""
        if slug is None or slug in self._slugs:
            slug = unique_slug(device_id, self._slugs)
        self._known[device_id] = Known(slug, first_seen, last_seen)
        self._slugs[slug] = device_id

    def room(self) -> bool:
        """Whether a newcomer can be taken in, if need be for an idle one."""
        return len(self._known) < self.most or any(not self._keep(device_id) for device_id in self._known)

    def surplus(self, but: str | None = None) -> list[str]:
        """Forget the longest idle ones that nothing is set for until the rest is few enough; returns who went, never `but`."""
        over = len(self._known) - self.most
        if over <= 0:
            return []
        gone: list[str] = []
        for device_id in self._known:
            if device_id != but and not self._keep(device_id):
                gone.append(device_id)
                if len(gone) == over:
                    break
        for device_id in gone:
            self.remove(device_id)
        return gone

    def remove(self, device_id: str) -> bool:
        """Forget a device; False if it was not known."""
        known = self._known.pop(device_id, None)
        if known is not None:
            del self._slugs[known.slug]
        return known is not None

    def get(self, device_id: str) -> Known | None:
        """What is known of a device."""
        return self._known.get(device_id)

    def slug(self, device_id: str) -> str:
        """The device's own slug; for one that is not known, the one it would get."""
        known = self._known.get(device_id)
        return unique_slug(device_id, self._slugs) if known is None else known.slug

    def for_slug(self, slug: str) -> str | None:
        """Whose slug that is."""
        return self._slugs.get(slug)


def load(connection: sqlite3.Connection) -> list[tuple[str, str, int, int]]:
    """(id, slug, first seen, last seen), the longest idle first."""
    query = "SELECT id, slug, first_seen, last_seen FROM device ORDER BY last_seen"
    return list(connection.execute(query))


def save(connection: sqlite3.Connection, devices: Iterable[tuple[str, str, int, int]]) -> None:
    """Write devices down; one that took over a forgotten one's slug may do so."""
    connection.executemany(
        "INSERT OR REPLACE INTO device (id, slug, first_seen, last_seen) VALUES (?, ?, ?, ?)", devices
    )


def delete(connection: sqlite3.Connection, device_ids: Iterable[str]) -> None:
    """Remove devices from the database."""
    connection.executemany("DELETE FROM device WHERE id = ?", [(device_id,) for device_id in device_ids])
