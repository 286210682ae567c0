"""Which devices are known, by what slug, since when; never more than so many. Changes are told at once, and written down soon after.

Nothing here looks at all devices while a request waits, however many there are.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from ..books import totals
from ..books.database import Database
from ..core.events import DeviceAdded, DeviceRemoved, EventBus
from ..core.ids import FORGOTTEN, OTHERS, unique_slug
from ..core.records import dataclass

SETTLED: Final = 86_400
"""Seconds over which a device has called, after which it is never forgotten for another."""

MOST_PASSED: Final = 100
"""Devices with requests under way that one newcomer's search for an idle one passes over."""

MOST_WRITTEN: Final = 1000
"""Devices written down, or folded, in one transaction: bookings wait for no more than that."""


@dataclass(slots=True)
class Device:
    """One device. Times in Unix seconds."""

    slug: str
    first_seen: int
    last_seen: int


@dataclass(eq=False)
class KnownDevices:
    """Devices that may be forgotten, in the order in which they last called, and apart from them those that may not.

    `most`: how many, `OTHERS` not counted; `keep`: which ones must not be forgotten, beside those that have called over more
    than a day; `busy`: which ones not just now. `forgotten` is called with each that goes. Where `keep` has come to spare
    fewer than before, call `reconsider`.
    """

    most: int
    bus: EventBus
    keep: Callable[[str], bool]
    busy: Callable[[str], bool]
    forgotten: Callable[[str], None]

    def __post_init__(self) -> None:
        self._idle: OrderedDict[str, Device] = OrderedDict()
        self._aside: dict[str, Device] = {}
        self._slugs: dict[str, str] = {}
        self._unsaved: set[str] = set()
        self._called: set[str] = set()
        self._gone: set[str] = set()
        self._to_fold: set[str] = set()

    def __contains__(self, device_id: object) -> bool:
        return device_id in self._idle or device_id in self._aside

    def __len__(self) -> int:
        return len(self._idle) + len(self._aside)

    def ids(self) -> list[str]:
        """All that are known, by name."""
        return sorted((*self._idle, *self._aside))

    def recent(self) -> list[str]:
        """All that are known, the one that called last first. Takes its time, with many."""
        return sorted((*self._aside, *self._idle), key=self.last_seen)[::-1]

    def last_seen(self, device_id: str) -> int:
        """When a device called last, in Unix seconds; 0: never, or nobody knows."""
        device = self._find(device_id)
        return 0 if device is None else device.last_seen

    def slug(self, device_id: str) -> str:
        """The device's own slug; for one that is not known, the one it would get."""
        device = self._find(device_id)
        return unique_slug(device_id, self._slugs) if device is None else device.slug

    def for_slug(self, slug: str) -> str | None:
        """Whose slug that is."""
        return self._slugs.get(slug)

    def has_room(self) -> bool:
        """Whether a newcomer can be taken in: there is room, or one that may be forgotten for it."""
        return len(self) < self._room or self._longest_idle() is not None

    @property
    def crowd(self) -> int:
        """How many more there are than there should be, since none could be forgotten; below 0: so many have room."""
        return len(self) - self._room

    @property
    def _room(self) -> int:
        return self.most + (OTHERS in self)

    def is_settled(self, device_id: str) -> bool:
        """Whether a device is never forgotten for another."""
        device = self._find(device_id)
        called_over = 0 if device is None else device.last_seen - device.first_seen
        return called_over >= SETTLED or self.keep(device_id)

    def _find(self, device_id: str) -> Device | None:
        return self._idle.get(device_id) or self._aside.get(device_id)

    # --- coming and going --------------------------------------------------------------------------------------

    def seen(self, device_id: str, now: int) -> None:
        """A device calls, at `now` (Unix seconds)."""
        device = self._idle.get(device_id)
        if device is not None:
            self._idle.move_to_end(device_id)
        elif (device := self._aside.get(device_id)) is None:
            self.restore(device_id, now, now)
            self._added(device_id)
            return
        if now > device.last_seen:
            self._note(device_id, device, now)

    def _note(self, device_id: str, device: Device, now: int) -> None:
        """When a device called, written down at once where it was the first time, or the one that settles it."""
        device.first_seen = device.first_seen or now
        settles = device.last_seen - device.first_seen < SETTLED <= now - device.first_seen
        (self._unsaved if settles or not device.last_seen else self._called).add(device_id)
        device.last_seen = now

    def register(self, device_ids: Iterable[str]) -> None:
        """Know devices that never called, or did so before."""
        for device_id in device_ids:
            if device_id not in self:
                self.restore(device_id, 0, 0)
                self._added(device_id)

    def restore(self, device_id: str, first_seen: int, last_seen: int, slug: str | None = None) -> None:
        """Take a device in, by a slug that it had before if that is still free; nobody is told."""
        if slug is None or slug in self._slugs:
            slug = unique_slug(device_id, self._slugs)
        self._idle[device_id] = Device(slug, first_seen, last_seen)
        self._slugs[slug] = device_id

    def remove(self, device_id: str) -> None:
        """Forget a device by hand."""
        if device_id in self:
            self._forget(device_id)

    def trim(self, but: str | None = None) -> None:
        """Forget the longest idle ones that nothing is set for, never `but`, until the rest is few enough."""
        while len(self) > self._room and (device_id := self._longest_idle(but)) is not None:
            self._forget(device_id)

    def reconsider(self) -> None:
        """Those set aside that may be forgotten by now take their places among the idle again."""
        if freed := [device_id for device_id in self._aside if not self.is_settled(device_id)]:
            self._idle.update((device_id, self._aside.pop(device_id)) for device_id in freed)
            self._idle = OrderedDict(sorted(self._idle.items(), key=lambda item: item[1].last_seen))

    def _longest_idle(self, but: str | None = None) -> str | None:
        """The first that may be forgotten, never `but`; None: there is none.

        Those that must be kept are set aside on the way, each of them once. One with requests under way is not idle: it goes
        to the end.
        """
        passed = 0
        while self._idle and passed <= MOST_PASSED:
            device_id = next(iter(self._idle))
            if self.is_settled(device_id):
                self._aside[device_id] = self._idle.pop(device_id)
            elif device_id == but or self.busy(device_id):
                self._idle.move_to_end(device_id)
                passed += 1
            else:
                return device_id
        return None

    def _added(self, device_id: str) -> None:
        self._unsaved.add(device_id)
        self.bus.publish(DeviceAdded(device_id))
        self.trim(but=device_id)

    def _forget(self, device_id: str) -> None:
        device = self._idle.pop(device_id, None) or self._aside.pop(device_id)
        del self._slugs[device.slug]
        self.forgotten(device_id)
        self._unsaved.discard(device_id)
        self._called.discard(device_id)
        self._gone.add(device_id)
        self.bus.publish(DeviceRemoved(device_id))

    # --- on disk -----------------------------------------------------------------------------------------------

    def orphans(self, booked: Iterable[str]) -> None:
        """Of all that have totals: who was forgotten just before a crash still has some of its own. To be folded."""
        self._to_fold.update(d for d in booked if d != FORGOTTEN and d not in self)

    def save_calls(self) -> None:
        """Write down with the next `write` when those called last that did since they were written down."""
        self._unsaved |= self._called
        self._called.clear()

    @property
    def unwritten(self) -> bool:
        """Whether there is something to write down."""
        return bool(self._unsaved or self._gone)

    async def write(self, database: Database) -> None:
        """Bring the database up to date, `MOST_WRITTEN` devices at a time. Raises sqlite3.Error; then it is tried again the next time."""
        # Totals are folded a round after the device went: its last bookings are in the database by then.
        fold, gone, unsaved = _some(self._to_fold), _some(self._gone), _some(self._unsaved)
        fold, gone = {d for d in fold if d not in self}, {d for d in gone if d not in self}
        rows = [(i, d.slug, d.first_seen, d.last_seen) for i in unsaved if (d := self._find(i)) is not None]
        self._to_fold |= gone
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
            self._to_fold |= fold
            self._unsaved |= unsaved
            raise


def _some(devices: set[str]) -> set[str]:
    """Take out as many as are written at once."""
    taken = set(islice(devices, MOST_WRITTEN))
    devices -= taken
    return taken


def load(connection: sqlite3.Connection) -> list[tuple[str, str, int, int]]:
    """(id, slug, first seen, last seen), the longest idle first."""
    return list(connection.execute("SELECT id, slug, first_seen, last_seen FROM device ORDER BY last_seen"))
