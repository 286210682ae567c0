"""Who is calling, by the keys in force."""

from __future__ import annotations

import hmac
import math
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from ..books.database import Database
from ..core.errors import AuthenticationError
from ..core.ids import ADMIN, address_id, clean_id, free_id, is_reserved
from ..core.models import Caller, KeyKind
from ..core.records import dataclass
from . import keys
from .keys import ID, KEY_PREFIX, Held, hash_key

USES_PAUSE: Final = 60.0
"""Seconds between two writings of when keys were used last."""

_USER_HEADERS: Final = ("x-openwebui-user-name", "x-openwebui-user-email", "x-openwebui-user-id")


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by their ids. `devices`: those that hold; `expired`: those that did. `admin`: the admin key's hash, "" for none.

    `keyed`: devices that have a key, be it an expired one.
    """

    devices: Mapping[str, Held] = field(default_factory=dict)
    admin: str = ""
    keyed: frozenset[str] = frozenset()
    expired: Mapping[str, Held] = field(default_factory=dict)


class Callers:
    """Knows the keys; `admin_key_file` None: there is no admin key but the one in the settings."""

    def __init__(self, admin_key_file: Path | None) -> None:
        self._admin_key_file = admin_key_file
        self._configured = False
        self._admin_key_seen: tuple[int, int] | None = None
        self._edits = 0
        self._stale = False
        self._found: Mapping[str, Held] = {}
        self._next_end = math.inf
        self._uses: dict[str, int] = {}
        self._uses_written = -math.inf
        self._used: set[str] = set()
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

    def note_use(self, caller: Caller) -> None:
        """A caller was let in by a key."""
        if caller.key_id:
            self._used.add(caller.key_id)

    def take(self, found: Mapping[str, Held], now: float) -> None:
        """Put these keys in force, and no others. `now`: Unix seconds."""
        ends = {key: math.inf if held.expires_at is None else held.expires_at for key, held in found.items()}
        self._found = found
        self._next_end = min((end for end in ends.values() if end > now), default=math.inf)
        self.keyring = Keyring(
            {key: held for key, held in found.items() if ends[key] > now},
            self.keyring.admin,
            frozenset(held.device_id for held in found.values()),
            {key: held for key, held in found.items() if ends[key] <= now},
        )

    def expire(self, now: float) -> None:
        """Keys whose time is over hold no more."""
        if now >= self._next_end:
            self.take(self._found, now)

    def forget(self, device_id: str, now: float) -> None:
        """A device's keys are worthless from now on, whatever a reading that is under way brings."""
        self._edits += 1
        self.take({key: held for key, held in self._found.items() if held.device_id != device_id}, now)

    async def refresh(self, database: Database, now: float) -> bool:
        """Read again what another process may have changed; True if devices' keys did. Raises sqlite3.Error."""
        edits, stale, self._stale = self._edits, self._stale, False

        def look(connection: sqlite3.Connection) -> tuple[str | None, dict[str, Held] | None]:
            changed = database.changed_elsewhere(connection) or stale
            return self._look_at_admin_key(), keys.load(connection) if changed else None

        admin, found = await database.read(look)
        if admin is not None:
            self._take_admin_key(admin)
        if found is None:
            return False
        if edits != self._edits:  # read before a key was taken away here: what was read is older than what holds
            self._stale = True
            return False
        same = found == self._found
        self.take(found, now)
        return not same

    async def reload(self, database: Database, now: float) -> None:
        """Read the keys again after changing them. Raises sqlite3.Error."""
        while True:
            edits = self._edits
            found = await database.read(keys.load)
            if edits == self._edits:
                break
        self.take(found, now)

    def last_uses(self, now: float) -> Mapping[str, int]:
        """By their ids when keys were used that is not written down yet, in Unix seconds."""
        self._uses |= dict.fromkeys(self._used, int(now))
        self._used.clear()
        return self._uses

    async def write_uses(self, database: Database, now: float, monotonic: float) -> None:
        """Write down when keys were used last, at most once a minute. Raises sqlite3.Error; then it is tried again."""
        uses = dict(self.last_uses(now))
        if not uses or monotonic - self._uses_written < USES_PAUSE:
            return
        self._uses_written = monotonic
        found = {self._found[key].digest: at for key, at in uses.items() if key in self._found}
        await database.run(lambda connection: keys.write_uses(connection, found))
        self._uses = {key: at for key, at in self._uses.items() if at != uses.get(key)}

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
        ring = self.keyring
        self.keyring = Keyring(ring.devices, hash_key(key) if key else "", ring.keyed, ring.expired)


def _credentials(headers: Mapping[str, str]) -> list[str]:
    """All keys that a request carries."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    found = [token if scheme.lower() == "bearer" else "", headers.get("x-api-key", ""), headers.get("api-key", "")]
    return [key for token in found if (key := token.strip())]


def _held(held: Mapping[str, Held], digest: str) -> Held | None:
    """The key of that hash. It is found by its id, which is no secret; how long the rest takes to compare tells nothing."""
    found = held.get(digest[:ID])
    return found if found is not None and hmac.compare_digest(found.digest, digest) else None


def identify(headers: Mapping[str, str], peer: str, keyring: Keyring, *, keys_required: bool) -> Caller:
    """The caller: by a device's key, the admin key, then where keys are not required by header, client or address.

    Raises AuthenticationError for an expired or unknown `cr-…` key, and for none at all where keys are required.
    """
    tokens = _credentials(headers)
    user = _user(headers)
    expired: Held | None = None
    for token in tokens:
        digest = hash_key(token)
        if (held := _held(keyring.devices, digest)) is not None:
            return Caller(held.device_id, KeyKind.DEVICE, "key", user, held.id)
        if keyring.admin and hmac.compare_digest(digest, keyring.admin):
            named = clean_id(headers.get("x-device-id") or "")
            if named and named not in keyring.keyed and not is_reserved(named):
                return Caller(named, KeyKind.ADMIN, "header", user)
            return Caller(ADMIN, KeyKind.ADMIN, "key", user)
        expired = expired or _held(keyring.expired, digest)
    if expired is not None:
        raise _ended(expired)
    if keys_required or any(token.startswith(KEY_PREFIX) for token in tokens):
        raise AuthenticationError(
            "This key is not known here. Check it, or ask whoever runs CheapRouter for a new one."
            if tokens
            else "An API key is needed here: send `Authorization: Bearer cr-...`."
        )
    return _without_key(headers, peer, keyring.keyed, user)


def _ended(held: Held) -> AuthenticationError:
    """Told to nobody but who has the key itself."""
    at = datetime.fromtimestamp(held.expires_at or 0, UTC)
    return AuthenticationError(
        f"This key has expired, on {at:%Y-%m-%d at %H:%M} UTC. Ask whoever runs CheapRouter for a new one.",
        code="api_key_expired",
    )


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
