"""Devices that come and go, told to everyone whom it concerns and written down soon after."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from ..books import totals as books
from ..books.database import Database
from ..core.events import DeviceAdded, DeviceRemoved, EventBus
from . import registry
from .registry import Registry


class Roster:
    """Keeps registry, database and listeners in step. `forgotten` is called with those that went."""

    def __init__(self, devices: Registry, bus: EventBus, forgotten: Callable[[list[str]], None]) -> None:
        self._devices = devices
        self._bus = bus
        self._forgotten = forgotten
        self._unsaved: set[str] = set()
        self._gone: set[str] = set()
        self._to_fold: set[str] = set()

    def seen(self, device_id: str, now: int) -> None:
        """A device calls, at `now` (Unix seconds); O(1) for one that is known."""
        if self._devices.seen(device_id, now):
            self._added(device_id)

    def enrol(self, device_ids: Iterable[str]) -> None:
        """Know devices that never called, or did so before."""
        for device_id in device_ids:
            if device_id not in self._devices:
                self._devices.add(device_id, 0, 0)
                self._added(device_id)

    def trim(self) -> None:
        """Forget what is too much."""
        self._dropped(self._devices.surplus())

    def remove(self, device_id: str) -> None:
        """Forget a device by hand."""
        if self._devices.remove(device_id):
            self._dropped([device_id])

    def orphans(self, booked: Iterable[str]) -> None:
        """Of all that have totals: who was forgotten just before a crash still has some of its own. To be folded."""
        self._to_fold.update(d for d in booked if d != books.FORGOTTEN and d not in self._devices)

    def save_all(self) -> None:
        """Write everyone down with the next `write`, for when each called last."""
        self._unsaved.update(self._devices.ids())

    async def write(self, database: Database) -> None:
        """Bring the database up to date. Raises sqlite3.Error; then it is tried again the next time."""
        # Totals are folded a round after the device went: its last bookings are in the database by then.
        gone, self._gone = {d for d in self._gone if d not in self._devices}, set()
        fold, self._to_fold = [d for d in self._to_fold if d not in self._devices], set(gone)
        rows = [(d, k.slug, k.first_seen, k.last_seen) for d in self._unsaved if (k := self._devices.get(d))]
        self._unsaved.clear()
        if not (fold or gone or rows):
            return

        def write(connection: sqlite3.Connection) -> None:
            registry.delete(connection, gone)
            registry.save(connection, rows)
            books.fold(connection, fold)

        try:
            await database.run(write)
        except sqlite3.Error:
            self._gone |= gone
            self._to_fold.update(fold)
            self._unsaved.update(row[0] for row in rows)
            raise

    def _added(self, device_id: str) -> None:
        self._unsaved.add(device_id)
        self._bus.publish(DeviceAdded(device_id))
        self._dropped(self._devices.surplus(but=device_id))

    def _dropped(self, device_ids: list[str]) -> None:
        if not device_ids:
            return
        self._forgotten(device_ids)
        self._unsaved.difference_update(device_ids)
        self._gone.update(device_ids)
        for device_id in device_ids:
            self._bus.publish(DeviceRemoved(device_id))
