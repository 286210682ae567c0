"""Which devices have topics of their own and are announced: so many at most, and always those that something is set for.

A device keeps its place for good once it has called over more than a day, and while it has a key or spent something this
month. Another may have that of any other one which has been silent for a day.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator
from typing import Final

from ..control import Control

_LOG = logging.getLogger(__name__)

IDLE_SECONDS: Final = 86_400.0
"""How long a device has been silent when a newcomer may have its place."""

LOOK_SECONDS: Final = 60.0
"""After nobody was found to give up a place: how long nobody is looked for."""


class Places:
    """`most`: how many there are; those that are set up come first, and have one beyond that number, too.

    `lost` is told of each device that loses its place to another. `barred`: devices that get none, whatever they are.
    """

    def __init__(self, most: int, control: Control, lost: Callable[[str], None], barred: Container[str] = ()) -> None:
        self._most = most
        self._barred = barred
        self._accounts = control.accounts
        self._known = control.accounts.known
        self._lost = lost
        self._taken: dict[str, None] = {}
        self._look_at = 0.0
        self._told = False

    def __contains__(self, device_id: object) -> bool:
        return device_id in self._taken

    def __iter__(self) -> Iterator[str]:
        return iter(self._taken)

    def choose(self, earlier: Container[str]) -> None:
        """Give all places anew: to devices that had one `earlier` and are known, settled ones first, then to those that called last."""
        configured: list[str] = []
        others: list[str] = []
        for device_id in self._known.recent():
            if device_id in self._barred:
                continue
            (configured if self._accounts.is_set_up(device_id) else others).append(device_id)
        # Stable: among equals comes first who called last.
        others.sort(key=lambda device_id: (device_id not in earlier, not self._known.is_settled(device_id)))
        room = max(0, self._most - len(configured))
        before, self._taken = self._taken, dict.fromkeys(sorted(configured + others[:room]))
        for device_id in before:
            if device_id not in self._taken:
                self._lost(device_id)
        if len(others) > room:
            self._tell()

    def take(self, device_id: str) -> bool:
        """Give a device a place, if it is known and there is one; whether it has one now."""
        if device_id in self._taken:
            return True
        if device_id not in self._known or device_id in self._barred:
            return False
        if len(self._taken) >= self._most:
            configured = self._accounts.is_set_up(device_id)
            found = self._longest_idle() if configured else self._idle(device_id)
            if found is not None:
                self.leave(found)
                self._lost(found)
            elif not configured:
                self._tell()
                return False
        self._taken[device_id] = None
        return True

    def leave(self, device_id: str) -> None:
        """A device is gone: its place is free."""
        self._taken.pop(device_id, None)

    def _idle(self, device_id: str) -> str | None:
        """Who has been silent long enough, or where a settled device asks, the longest; O(1) for a while after there was nobody."""
        clock = self._accounts.clock
        if clock.monotonic() < self._look_at:
            return None
        found = self._longest_idle()
        if found is not None and (
            self._known.is_settled(device_id)
            or self._known.last_seen(found) <= clock.utcnow().timestamp() - IDLE_SECONDS
        ):
            return found
        self._look_at = clock.monotonic() + LOOK_SECONDS
        return None

    def _longest_idle(self) -> str | None:
        """Of those that are not settled."""
        candidates = (device_id for device_id in self._taken if not self._known.is_settled(device_id))
        return min(candidates, key=self._known.last_seen, default=None)

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            told = "MQTT shows %s devices (mqtt.max_devices); more of them count in the router's own figures only"
            _LOG.warning(told, self._most)
