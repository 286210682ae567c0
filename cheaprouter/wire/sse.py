"""Server-sent events without I/O: bytes in whatever pieces the network gives, whole events out."""

from __future__ import annotations

from typing import Final

MAX_EVENT_BYTES: Final = 32 * 1024 * 1024
"""An event without an end in sight; pictures in base64 stay below this."""

BOM: Final = b"\xef\xbb\xbf"
"""A byte order mark in UTF-8: some servers send one before anything else."""


class EventTooLargeError(ValueError):
    """One event grew past MAX_EVENT_BYTES."""


class EventCutter:
    """Gathers network chunks and gives bytes that end on an event's boundary, line ends made LF.

    `parts`: what is held of an event that is not whole; `carriage`: a CR came last, and a LF may follow.
    """

    __slots__ = ("_held", "carriage", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._held = 0
        self.carriage = False

    def feed(self, data: bytes) -> bytes:
        """All whole events so far, blank lines included, or nothing yet. Raises EventTooLargeError."""
        if self.carriage or b"\r" in data:
            data = self._unify(data)
        parts = self.parts
        if not parts:
            if data.endswith(b"\n\n"):
                return data
            cut = data.rfind(b"\n\n") + 2
            if cut == 1:
                self._keep(data)
                return b""
            self._keep(data[cut:])
            return data[:cut]
        if parts[-1].endswith(b"\n") and data.startswith(b"\n"):
            cut = max(1, data.rfind(b"\n\n") + 2)
        elif (cut := data.rfind(b"\n\n") + 2) == 1:
            self._keep(data)
            return b""
        parts.append(data[:cut])
        whole = b"".join(parts)
        parts.clear()
        self._held = 0
        self._keep(data[cut:])
        return whole

    def rest(self) -> bytes:
        """What is left at the end of the stream: an event whose blank line never came, or nothing."""
        whole = b"".join(self.parts) + (b"\n" if self.carriage else b"")
        self.parts.clear()
        self._held = 0
        self.carriage = False
        return whole

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self.parts.append(data)
        self._held += len(data)
        if self._held > MAX_EVENT_BYTES:
            raise EventTooLargeError

    def _unify(self, data: bytes) -> bytes:
        """CRLF and CR become LF; a CR at the very end waits for the LF that may follow."""
        if self.carriage:
            data = b"\r" + data
        self.carriage = data.endswith(b"\r")
        if self.carriage:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def split(whole: bytes) -> list[bytes]:
    """The events in what a cutter gave, without their blank lines."""
    return [block for part in whole.split(b"\n\n") if (block := part.strip(b"\n"))]


def parse(block: bytes) -> tuple[str, bytes | None]:
    """An event's name ("" where it has none) and data; data None for comments and events without any."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return "", block[6:]
    name = ""
    data: list[bytes] = []
    for line in block.removeprefix(BOM).split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return name, b"\n".join(data) if data else None


def event(data: bytes, name: str = "") -> bytes:
    """One event as bytes. `data` has no line breaks: JSON never does."""
    return (b"event: " + name.encode() + b"\n" if name else b"") + b"data: " + data + b"\n\n"


DONE: Final = event(b"[DONE]")


def looks_like_events(start: bytes) -> bool:
    """Whether a body that begins so is an event stream, whatever its content type says."""
    start = start[:64].removeprefix(BOM).lstrip(b"\r\n \t")
    return start.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))
