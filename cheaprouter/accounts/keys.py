"""Keys: a device's own ones in the database (hashed), the admin's in a file. Also for the command line, in another process."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..core.ids import clean_id

KEY_PREFIX: Final = "cr-"
"""How our own keys begin. A wrong one is always refused: whoever sends it means a device."""

ADMIN_PREFIX: Final = f"{KEY_PREFIX}admin-"
_BYTES: Final = 32
_HINT: Final = 7
_ID: Final = 12
"""Characters of a key's hash that name it: enough to be alone, too few to be of use."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key: an id to name it by, whose it is, how it begins, since when (Unix seconds)."""

    id: str
    device_id: str
    hint: str
    created_at: int


def hash_key(key: str) -> str:
    """A key as it is stored. Keys are 256 random bits: a plain hash cannot be turned back."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def add(connection: sqlite3.Connection, device_id: str, now: float | None = None) -> str:
    """Make a key for a device; this is the only time it can be seen. Raises ValueError for an id with nothing printable."""
    cleaned = clean_id(device_id)
    if not cleaned:
        raise ValueError("A device's name needs at least one printable character.")
    key = KEY_PREFIX + secrets.token_urlsafe(_BYTES)
    row = (hash_key(key), cleaned, key[:_HINT] + "...", int(time.time() if now is None else now))
    connection.execute("INSERT INTO device_key (hash, device_id, hint, created_at) VALUES (?, ?, ?, ?)", row)
    return key


def listed(connection: sqlite3.Connection) -> list[KeyInfo]:
    """All keys, oldest first."""
    query = f"SELECT substr(hash, 1, {_ID}), device_id, hint, created_at FROM device_key ORDER BY created_at, device_id"  # noqa: S608 - a number
    return [KeyInfo(*row) for row in connection.execute(query)]


def revoke(connection: sqlite3.Connection, which: str) -> int:
    """Withdraw one key by its id or by itself, or all keys of a device; returns how many."""
    query = "DELETE FROM device_key WHERE device_id = ? OR hash = ? OR substr(hash, 1, ?) = ?"
    return connection.execute(query, (clean_id(which), hash_key(which), _ID, which)).rowcount


def load(connection: sqlite3.Connection) -> dict[str, str]:
    """Hash to device id, of every key."""
    return dict(connection.execute("SELECT hash, device_id FROM device_key"))


def admin_key(path: Path) -> tuple[str, bool]:
    """The admin key in the file, made there if it is missing or empty; and whether it was made now. Raises OSError."""
    try:
        key = path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        key = ""
    return (key, False) if key else (reset_admin_key(path), True)


def reset_admin_key(path: Path) -> str:
    """Put a new admin key into the file, readable by nobody else; the old one ends. Raises OSError."""
    key = ADMIN_PREFIX + secrets.token_urlsafe(_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="ascii") as writer:
        writer.write(key + "\n")
        writer.flush()
        os.fsync(writer.fileno())
    partial.replace(path)
    return key


def erase(connection: sqlite3.Connection, device_id: str) -> None:
    """Remove all keys of a device."""
    connection.execute("DELETE FROM device_key WHERE device_id = ?", (device_id,))
