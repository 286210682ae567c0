"""Keys as they are kept: devices' own ones in the database (hashed), the admin's in a file.

They are also made, renewed and withdrawn by the command line, in another process.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..core.errors import SettingError
from ..core.ids import clean_id, key_owner
from ..core.models import Json
from ..core.private_files import replace_private
from ..core.records import dataclass

KEY_PREFIX: Final = "cr-"
"""How our own keys begin. A wrong one is always refused: whoever sends it means a device."""

ADMIN_PREFIX: Final = f"{KEY_PREFIX}admin-"
ID: Final = 12
"""Characters of a key's hash that name it: enough to be alone, too few to be of use."""

MOST_DAYS: Final = 3650
MOST_GRACE: Final = 8760.0
"""Hours: a year."""

GRACE: Final = 24.0
"""Hours that a renewed key's predecessor goes on, where nothing is said."""

_BYTES: Final = 32
_HINT: Final = 7
_DAY: Final = 86_400
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key: an id to name it by, whose it is, how it begins, and its times (Unix seconds; None: never).

    `used_at` is some seconds behind while the router runs: uses are written down once a minute.
    """

    id: str
    device_id: str
    hint: str
    created_at: int
    expires_at: int | None
    used_at: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """A key that was given out, as callers are known by it. `expires_at`: Unix seconds, None: it does not."""

    digest: str
    device_id: str
    expires_at: int | None = None

    @property
    def id(self) -> str:
        """What it is named by."""
        return self.digest[:ID]


@dataclass(frozen=True, slots=True)
class Renewed:
    """A key in place of others. `ending`: these, as they are from now on."""

    key: str
    device_id: str
    expires_at: int | None
    ending: tuple[KeyInfo, ...]


def hash_key(key: str) -> str:
    """A key as it is stored. Keys are 256 random bits: a plain hash cannot be turned back."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def add(connection: sqlite3.Connection, device_id: str, now: float | None = None, days: int | None = None) -> str:
    """Make a key for a device, for so many days or for good; this is the only time it can be seen.

    Raises SettingError for a name that no device can have, and for days out of bounds.
    """
    cleaned = key_owner(device_id)
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise SettingError(f"`days` must be a whole number from 1 to {MOST_DAYS}.", param="days")
    key, at = KEY_PREFIX + secrets.token_urlsafe(_BYTES), _seconds(now)
    ends = None if days is None else at + days * _DAY
    connection.execute(
        "INSERT INTO device_key (hash, device_id, hint, created_at, expires_at, days) VALUES (?, ?, ?, ?, ?, ?)",
        (hash_key(key), cleaned, key[:_HINT] + "...", at, ends, days),
    )
    return key


def rotate(
    connection: sqlite3.Connection,
    which: str,
    now: float | None = None,
    days: int | None = None,
    grace: float = GRACE,
) -> Renewed | None:
    """Make a key in place of one (by its id or by itself) or of all of a device; those go on for `grace` hours, and no longer.

    The new one is for as many days as the newest of them was, unless `days` says otherwise. None: there is no such key.
    Raises SettingError for numbers out of bounds.
    """
    if not 0 <= grace <= MOST_GRACE:
        raise SettingError(f"`grace_hours` must be a number from 0 to {MOST_GRACE:.0f}.", param="grace_hours")
    at = _seconds(now)
    query = f"SELECT hash, device_id, days FROM device_key WHERE {_NAMED} ORDER BY created_at, hash"  # noqa: S608 - our own words
    rows = connection.execute(query, _names(which)).fetchall()
    if not rows:
        return None
    _, device_id, lasted = rows[-1]
    key = add(connection, device_id, at, lasted if days is None else days)
    end = at + int(grace * _HOUR)
    for digest, _, _ in rows:
        change = "UPDATE device_key SET expires_at = min(coalesce(expires_at, ?), ?) WHERE hash = ?"
        connection.execute(change, (end, end, digest))
    known = {info.id: info for info in listed(connection)}
    return Renewed(
        key, device_id, known[hash_key(key)[:ID]].expires_at, tuple(known[digest[:ID]] for digest, _, _ in rows)
    )


def listed(connection: sqlite3.Connection) -> list[KeyInfo]:
    """All keys, oldest first; those that have expired, too."""
    query = f"SELECT substr(hash, 1, {ID}), device_id, hint, created_at, expires_at, used_at FROM device_key WHERE {_SOUND} ORDER BY created_at, device_id"  # noqa: S608 - a number
    return [KeyInfo(*row) for row in connection.execute(query)]


def shown(info: KeyInfo, now: float) -> Json:
    """A key as the API tells of it. Times in Unix seconds; null: never."""
    return {
        "id": info.id,
        "device": info.device_id,
        "hint": info.hint,
        "created_at": info.created_at,
        "expires_at": info.expires_at,
        "expired": info.expires_at is not None and info.expires_at <= now,
        "last_used_at": info.used_at,
    }


def revoke(connection: sqlite3.Connection, which: str) -> int:
    """Withdraw one key by its id or by itself, or all keys of a device; returns how many."""
    return connection.execute(f"DELETE FROM device_key WHERE {_NAMED}", _names(which)).rowcount  # noqa: S608 - our own words


def load(connection: sqlite3.Connection) -> dict[str, Held]:
    """Every key by its id."""
    query = f"SELECT hash, device_id, expires_at FROM device_key WHERE {_SOUND}"  # noqa: S608 - our own words
    return {held.id: held for held in (Held(*row) for row in connection.execute(query))}


def write_uses(connection: sqlite3.Connection, uses: dict[str, int]) -> None:
    """Note when keys were used last: Unix seconds by their hashes."""
    change = "UPDATE device_key SET used_at = max(coalesce(used_at, 0), ?) WHERE hash = ?"
    connection.executemany(change, [(at, digest) for digest, at in uses.items()])


def erase(connection: sqlite3.Connection, device_id: str) -> None:
    """Remove all keys of a device."""
    connection.execute("DELETE FROM device_key WHERE device_id = ?", (device_id,))


SHORTEST_ADMIN_KEY: Final = 16
"""Characters of an admin key that is believed of its file; ours are longer."""


def admin_key(path: Path) -> tuple[str, bool]:
    """The admin key in the file, made there if it is missing or cut short; and whether it was made now. Raises OSError."""
    try:
        key = path.read_text("ascii").strip()
        with suppress(OSError):  # another user's, or a disk that cannot be written to
            path.chmod(0o600)
    except (FileNotFoundError, UnicodeDecodeError):
        key = ""
    # What is left of a damaged one could be guessed, or sent by nobody.
    sound = len(key) >= SHORTEST_ADMIN_KEY and key.isprintable()
    return (key, False) if sound else (reset_admin_key(path), True)


def reset_admin_key(path: Path) -> str:
    """Put a new admin key into the file, readable by nobody else; the old one ends. Raises OSError."""
    key = ADMIN_PREFIX + secrets.token_urlsafe(_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_private(path, f"{key}\n".encode("ascii"))
    return key


_SOUND: Final = "typeof(expires_at) IN ('integer', 'null')"
"""A key whose end cannot be read does not hold, and is not one for ever: whoever put it there did not come by us."""

_NAMED: Final = f"device_id = ? OR hash = ? OR substr(hash, 1, {ID}) = ?"


def _names(which: str) -> tuple[str, str, str]:
    return clean_id(which), hash_key(which), which


def _seconds(now: float | None) -> int:
    return int(time.time() if now is None else now)
