"""Which devices are known, by what slug, since when; never more than so many. Changes are told at once, and written down soon after."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from ..books import totals
from ..books.database import Database
from ..core.events import DeviceAdded, DeviceRemoved, EventBus
from ..core.ids import FORGOTTEN, unique_slug
from ..core.records import dataclass

OVERFLOW: Final = "other-devices"
"""Who newcomers count as while no known device can be forgotten for them."""


@dataclass(slots=True)
class Device:
    """One device. Times in Unix seconds."""

    slug: str
    first_seen: int
    last_seen: int


@dataclass(eq=False)
class KnownDevices:
    """Devices in the order in which they last called. `most`: how many; `keep`: which ones must not be forgotten.

    `forgotten` is called with those that went.
    """

    most: int
    bus: EventBus
    keep: Callable[[str], bool]
    forgotten: Callable[[list[str]], None]

    def __post_init__(self) -> None:
        self._devices: OrderedDict[str, Device] = OrderedDict()
        self._slugs: dict[str, str] = {}
        self._unsaved: set[str] = set()
        self._gone: set[str] = set()
        self._to_fold: set[str] = set()

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._devices

    def ids(self) -> list[str]:
        """All that are known, by name."""
        return sorted(self._devices)

    def slug(self, device_id: str) -> str:
        """The device's own slug; for one that is not known, the one it would get."""
        device = self._devices.get(device_id)
        return unique_slug(device_id, self._slugs) if device is None else device.slug

    def for_slug(self, slug: str) -> str | None:
        """Whose slug that is."""
        return self._slugs.get(slug)

    def stand_in(self, device_id: str) -> str:
        """Who that device counts as: itself, or for a newcomer that there is no room for, `OVERFLOW`."""
        if device_id in self._devices or len(self._devices) < self.most or not all(map(self.keep, self._devices)):
            return device_id
        return OVERFLOW

    # --- coming and going --------------------------------------------------------------------------------------

    def seen(self, device_id: str, now: int) -> None:
        """A device calls, at `now` (Unix seconds); O(1) for one that is known."""
        device = self._devices.get(device_id)
        if device is None:
            self.restore(device_id, now, now)
            self._added(device_id)
            return
        device.last_seen = max(device.last_seen, now)
        self._devices.move_to_end(device_id)

    def register(self, device_ids: Iterable[str]) -> None:
        """Know devices that never called, or did so before."""
        for device_id in device_ids:
            if device_id not in self._devices:
                self.restore(device_id, 0, 0)
                self._added(device_id)

    def restore(self, device_id: str, first_seen: int, last_seen: int, slug: str | None = None) -> None:
        """Take a device in, by a slug that it had before if that is still free; nobody is told."""
        if slug is None or slug in self._slugs:
            slug = unique_slug(device_id, self._slugs)
        self._devices[device_id] = Device(slug, first_seen, last_seen)
        self._slugs[slug] = device_id

    def remove(self, device_id: str) -> None:
        """Forget a device by hand."""
        if device_id in self._devices:
            self._forget([device_id])

    def trim(self, but: str | None = None) -> None:
        """Forget the longest idle ones that nothing is set for, never `but`, until the rest is few enough."""
        idle = (device_id for device_id in self._devices if device_id != but and not self.keep(device_id))
        if gone := list(islice(idle, max(0, len(self._devices) - self.most))):
            self._forget(gone)

    def _added(self, device_id: str) -> None:
        self._unsaved.add(device_id)
        self.bus.publish(DeviceAdded(device_id))
        self.trim(but=device_id)

    def _forget(self, device_ids: list[str]) -> None:
        for device_id in device_ids:
            del self._slugs[self._devices.pop(device_id).slug]
        self.forgotten(device_ids)
        self._unsaved.difference_update(device_ids)
        self._gone.update(device_ids)
        for device_id in device_ids:
            self.bus.publish(DeviceRemoved(device_id))

    # --- on disk -----------------------------------------------------------------------------------------------

    def orphans(self, booked: Iterable[str]) -> None:
        """Of all that have totals: who was forgotten just before a crash still has some of its own. To be folded."""
        self._to_fold.update(d for d in booked if d != FORGOTTEN and d not in self._devices)

    def save_all(self) -> None:
        """Write everyone down with the next `write`, for when each called last."""
        self._unsaved.update(self._devices)

    async def write(self, database: Database) -> None:
        """Bring the database up to date. Raises sqlite3.Error; then it is tried again the next time."""
        # Totals are folded a round after the device went: its last bookings are in the database by then.
        gone, self._gone = {d for d in self._gone if d not in self._devices}, set()
        fold, self._to_fold = [d for d in self._to_fold if d not in self._devices], set(gone)
        rows = [(i, d.slug, d.first_seen, d.last_seen) for i in self._unsaved if (d := self._devices.get(i))]
        self._unsaved.clear()
        if not (fold or gone or rows):
            return

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM device WHERE id = ?", [(device_id,) for device_id in gone])
            # One that took over a forgotten one's slug may do so.
            connection.executemany(
                "INSERT OR REPLACE INTO device (id, slug, first_seen, last_seen) VALUES (?, ?, ?, ?)", rows
            )
            totals.fold(connection, fold)

        try:
            await database.run(write)
        except sqlite3.Error:
            self._gone |= gone
            self._to_fold.update(fold)
            self._unsaved.update(row[0] for row in rows)
            raise


def load(connection: sqlite3.Connection) -> list[tuple[str, str, int, int]]:
    """(id, slug, first seen, last seen), the longest idle first."""
    return list(connection.execute("SELECT id, slug, first_seen, last_seen FROM device ORDER BY last_seen"))
