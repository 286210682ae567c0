"""Who is calling, by the keys in force: a device's own ones in the database (hashed), the admin's in a file.

Keys are also made and withdrawn by the command line, in another process.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Collection, Mapping
from dataclasses import field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from ..books.database import Database
from ..core.errors import AuthenticationError
from ..core.ids import ADMIN, address_id, clean_id, free_id, is_reserved, key_owner
from ..core.models import Caller, KeyKind
from ..core.private_files import replace_private
from ..core.records import dataclass

KEY_PREFIX: Final = "cr-"
"""How our own keys begin. A wrong one is always refused: whoever sends it means a device."""

ADMIN_PREFIX: Final = f"{KEY_PREFIX}admin-"
_BYTES: Final = 32
_HINT: Final = 7
_ID: Final = 12
"""Characters of a key's hash that name it: enough to be alone, too few to be of use."""

_USER_HEADERS: Final = ("x-openwebui-user-name", "x-openwebui-user-email", "x-openwebui-user-id")


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
    """Make a key for a device; this is the only time it can be seen. Raises SettingError for a name that no device can have."""
    cleaned = key_owner(device_id)
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
    replace_private(path, f"{key}\n".encode("ascii"))
    return key


def erase(connection: sqlite3.Connection, device_id: str) -> None:
    """Remove all keys of a device."""
    connection.execute("DELETE FROM device_key WHERE device_id = ?", (device_id,))


@dataclass(frozen=True, slots=True)
class Keyring:
    """Known keys by their hash. `admin`: the admin key's hash, "" for none. `keyed`: devices that have a key."""

    devices: Mapping[str, str] = field(default_factory=dict)
    admin: str = ""
    keyed: frozenset[str] = frozenset()


class Callers:
    """Knows the keys; `admin_key_file` None: there is no admin key but the one in the settings."""

    def __init__(self, admin_key_file: Path | None) -> None:
        self._admin_key_file = admin_key_file
        self._configured = False
        self._admin_key_seen: tuple[int, int] | None = None
        self._edits = 0
        self._stale = False
        self.keyring = Keyring()
        self.admin_key = ""

    @property
    def keyed(self) -> frozenset[str]:
        """Devices that have a key."""
        return self.keyring.keyed

    def configure(self, admin_key: str | None) -> None:
        """Take the admin key of the settings; None: the file's."""
        self._configured = admin_key is not None
        self._admin_key_seen = None
        if admin_key is not None or self._admin_key_file is None:
            self._take_admin_key(admin_key or "")
        elif (found := self._look_at_admin_key()) is not None:
            self._take_admin_key(found)

    def take(self, found: Mapping[str, str]) -> None:
        """Put these keys (hash to device) in force, and no others."""
        self.keyring = Keyring(dict(found), self.keyring.admin, frozenset(found.values()))

    def forget(self, device_id: str) -> None:
        """A device's keys are worthless from now on, whatever a reading that is under way brings."""
        self._edits += 1
        self.take({digest: owner for digest, owner in self.keyring.devices.items() if owner != device_id})

    async def refresh(self, database: Database) -> bool:
        """Read again what another process may have changed; True if devices' keys did. Raises sqlite3.Error."""
        edits, stale, self._stale = self._edits, self._stale, False

        def look(connection: sqlite3.Connection) -> tuple[str | None, dict[str, str] | None]:
            changed = database.changed_elsewhere(connection) or stale
            return self._look_at_admin_key(), load(connection) if changed else None

        admin, found = await database.read(look)
        if admin is not None:
            self._take_admin_key(admin)
        if found is None:
            return False
        if edits != self._edits:  # read before a key was taken away here: what was read is older than what holds
            self._stale = True
            return False
        same = found == self.keyring.devices
        self.take(found)
        return not same

    async def reload(self, database: Database) -> None:
        """Read the keys again after changing them. Raises sqlite3.Error."""
        while True:
            edits = self._edits
            found = await database.read(load)
            if edits == self._edits:
                break
        self.take(found)

    def _look_at_admin_key(self) -> str | None:
        """The admin key if its file changed since it was read last. Reads the disk."""
        if self._admin_key_file is None or self._configured:
            return None
        try:
            status = self._admin_key_file.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen == self._admin_key_seen:
                return None
            key = self._admin_key_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        self._admin_key_seen = seen
        return key

    def _take_admin_key(self, key: str) -> None:
        self.admin_key = key
        self.keyring = Keyring(self.keyring.devices, hash_key(key) if key else "", self.keyring.keyed)


def _credentials(headers: Mapping[str, str]) -> list[str]:
    """All keys that a request carries."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    found = [token if scheme.lower() == "bearer" else "", headers.get("x-api-key", ""), headers.get("api-key", "")]
    return [key for token in found if (key := token.strip())]


def identify(headers: Mapping[str, str], peer: str, keyring: Keyring, *, keys_required: bool) -> Caller:
    """The caller: by a device's key, the admin key, then where keys are not required by header, client or address.

    Raises AuthenticationError for an unknown `cr-…` key, and for none at all where keys are required.
    """
    tokens = _credentials(headers)
    user = _user(headers)
    for token in tokens:
        digest = hash_key(token)
        device_id = keyring.devices.get(digest)
        if device_id is not None:
            return Caller(device_id, KeyKind.DEVICE, "key", user)
        if keyring.admin and digest == keyring.admin:
            named = clean_id(headers.get("x-device-id") or "")
            if named and named not in keyring.keyed and not is_reserved(named):
                return Caller(named, KeyKind.ADMIN, "header", user)
            return Caller(ADMIN, KeyKind.ADMIN, "key", user)
    if keys_required or any(token.startswith(KEY_PREFIX) for token in tokens):
        raise AuthenticationError(
            "This key is not known here. Check it, or ask whoever runs CheapRouter for a new one."
            if tokens
            else "An API key is needed here: send `Authorization: Bearer cr-...`."
        )
    return _without_key(headers, peer, keyring.keyed, user)


def _without_key(headers: Mapping[str, str], peer: str, keyed: Collection[str], user: str) -> Caller:
    # A device that has a key is that device only with it: whoever merely names it is somebody else.
    named = headers.get("x-device-id")
    if named and (device_id := free_id(clean_id(named))) and device_id not in keyed:
        return Caller(device_id, KeyKind.NONE, "header", user)
    if user and (device_id := clean_id(f"openwebui-{user}")) not in keyed:
        return Caller(device_id, KeyKind.NONE, "client", user)
    device_id = address_id(peer)
    if device_id in keyed:
        device_id = f"{device_id}-guest"
    return Caller(device_id, KeyKind.NONE, "address", user)


def _user(headers: Mapping[str, str]) -> str:
    """Who sits at an Open WebUI that forwards its users: the name, or what there is."""
    for name in _USER_HEADERS:
        if (value := headers.get(name)) and (user := clean_id(unquote(value))):
            return user
    return ""
