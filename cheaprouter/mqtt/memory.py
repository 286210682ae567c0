"""What lies retained at the broker because of us, so that it can be taken away again, also after a crash."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The broker and the names under which things were published; a change of names means cleaning up under the old."""

    broker: str
    base: str
    prefix: str


@dataclass(slots=True)
class Known:
    """One device as published; `components`: key to platform, empty where it was not announced to Home Assistant."""

    slug: str | None
    discovery_id: str
    components: dict[str, str] = field(default_factory=dict)


class Memory:
    """Survives in a small JSON file; without a path, only in memory. The hub's key is ""."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = b""
        self.place: Place | None = None
        self.known: dict[str, Known] = {}

    def load(self) -> None:
        """Read the file. One that cannot be read or understood counts as empty, and is said so."""
        if self._path is None:
            return
        try:
            raw = self._path.read_bytes()
            data = orjson.loads(raw)
            place = Place(**data["place"])
            known = {key: Known(**value) for key, value in data["known"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            _LOG.warning("%s cannot be used (%s): old topics at the broker may stay", self._path, error)
            return
        self._written, self.place, self.known = raw, place, known

    def save(self) -> None:
        """Write the file if anything changed, whole or not at all; called before a new topic is first published."""
        if self._path is None or self.place is None:
            return
        raw = orjson.dumps({"place": _fields(self.place), "known": {k: _fields(v) for k, v in self.known.items()}})
        if raw == self._written:
            return
        draft = self._path.with_suffix(".new")
        try:
            draft.write_bytes(raw)
            draft.replace(self._path)
        except OSError as error:
            _LOG.warning("%s cannot be written: %s", self._path, error)
            return
        self._written = raw


def _fields(value: Place | Known) -> Mapping[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
