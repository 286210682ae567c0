"""Strangers: whether one more may be a device of its own, and how many callers were turned away.

Monotonic seconds are handed in. Whatever comes, a bounded amount is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..config.settings import HttpSettings
from ..core.addresses import Proxies
from ..core.ids import address_id, network_of
from .known import KnownDevices

MINUTES: Final = 60
"""Minutes that what an address added counts."""

MOST_ADDRESSES: Final = 2000
"""Addresses that are counted by themselves at a time; all further ones share one count."""

MOST_BEYOND: Final = 1000
"""Devices that the house itself may add beyond what there is room for."""

_OURS: Final = frozenset(map(address_id, ("::1", "172.30.32.2")))
_LOOPBACK: Final = "lan-127."
_FURTHER: Final = "(further)"
_SECONDS: Final = 60


class Arrivals:
    """Devices that each address has added within the last hour; kept by the minute, so never more than a whole hour is missed."""

    def __init__(self) -> None:
        self._added: OrderedDict[str, dict[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._added)

    def take(self, network: str, now: float, most: int) -> bool:
        """Let an address (as `network_of` has it) add one more, if it has not added `most` yet."""
        minute = int(now // 60)
        if network not in self._added and not self._has_room(minute):
            network = _FURTHER
        added = self._added.get(network, {})
        recent = {at: count for at, count in added.items() if at >= minute - MINUTES}
        if sum(recent.values()) >= most:
            return False
        recent[minute] = recent.get(minute, 0) + 1
        self._added[network] = recent
        self._added.move_to_end(network)
        return True

    def _has_room(self, minute: int) -> bool:
        """Whether one more address can be counted by itself; the one that added something longest ago makes room if that was long ago."""
        if len(self._added) >= MOST_ADDRESSES:
            network, added = next(iter(self._added.items()))
            if max(added) < minute - MINUTES:
                del self._added[network]
        return len(self._added) < MOST_ADDRESSES


class Strangers:
    """Lets newcomers in that nobody has set anything up for, as far as there is room and their address has not added too many."""

    def __init__(self, known: KnownDevices, http: HttpSettings) -> None:
        self._known = known
        self._arrivals = Arrivals()
        self.configure(http)

    def configure(self, http: HttpSettings) -> None:
        """Take the settings: how many an address may add, and which addresses are proxies'."""
        self._most = http.max_new_devices_per_hour
        self._proxies = Proxies(http.trusted_proxies)

    def may_come(self, peer: str, now: float) -> bool:
        """Whether a newcomer from that address is a device of its own; what comes from the house itself is not counted."""
        known = self._known
        if is_ours(peer) or self._proxies.trusts(peer):
            return known.has_room() or known.crowd < MOST_BEYOND
        return known.has_room() and self._arrivals.take(network_of(peer), now, self._most)


def is_ours(peer: str) -> bool:
    """Whether an address is this machine's, or Home Assistant's Supervisor's: strangers have none of these."""
    name = address_id(peer)
    return name in _OURS or name.startswith(_LOOPBACK)


class TurnedAway:
    """Callers that were refused for want of a key: all since the start, and those of the last minute."""

    def __init__(self) -> None:
        self.total = 0
        self._at = [0] * _SECONDS
        self._counts = [0] * _SECONDS

    def note(self, now: float) -> None:
        """One more."""
        second = int(now)
        place = second % _SECONDS
        if self._at[place] != second:
            self._at[place], self._counts[place] = second, 0
        self._counts[place] += 1
        self.total += 1

    def last_minute(self, now: float) -> int:
        """How many within the last sixty seconds."""
        since = int(now) - _SECONDS
        return sum(count for at, count in zip(self._at, self._counts, strict=True) if at > since)
