"""What models thought before they called tools, remembered for those that want it back; in memory only, for a while."""

from __future__ import annotations

from typing import Final

MOST_OF_A_DEVICE: Final = 1 << 20
MOST: Final = 8 << 20
"""Characters. Thoughts before one call are mostly a few thousand; a conversation goes back some dozens of calls."""


class Memory:
    """By device and tool call id: no device is told another's. The oldest go first, a device's own or everybody's."""

    def __init__(self, most: int = MOST, most_of_a_device: int = MOST_OF_A_DEVICE) -> None:
        self._most = most
        self._most_of_a_device = most_of_a_device
        self._kept: dict[str, dict[str, str]] = {}
        self._sizes: dict[str, int] = {}
        self._size = 0

    def keep(self, device_id: str, call_id: str, thoughts: str) -> None:
        """Remember; thoughts that alone are too many are not."""
        size = len(call_id) + len(thoughts)
        if size > min(self._most, self._most_of_a_device):
            return
        own = self._kept.pop(device_id, {})
        self._kept[device_id] = own  # the last to be forgotten
        if (old := own.pop(call_id, None)) is not None:
            self._count(device_id, -len(call_id) - len(old))
        own[call_id] = thoughts
        self._count(device_id, size)
        while self._sizes[device_id] > self._most_of_a_device:
            self._forget_oldest(device_id)
        while self._size > self._most:
            self._forget_oldest(next(iter(self._kept)))

    def recall(self, device_id: str, call_id: str) -> str | None:
        """What is remembered of a call."""
        own = self._kept.get(device_id)
        return None if own is None else own.get(call_id)

    def _forget_oldest(self, device_id: str) -> None:
        own = self._kept[device_id]
        call_id = next(iter(own))
        self._count(device_id, -len(call_id) - len(own.pop(call_id)))
        if not own:
            del self._kept[device_id], self._sizes[device_id]

    def _count(self, device_id: str, more: int) -> None:
        self._sizes[device_id] = self._sizes.get(device_id, 0) + more
        self._size += more
