"""Keys in force, and whom a request with or without one belongs to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from ..books.database import Database
from ..config.kinds import MOCK, is_local
from ..config.settings import Auth, ProviderSettings, Settings
from ..core.models import Caller, Json
from . import identity, keys, registry
from .identity import Keyring
from .registry import Registry


def costs_money(provider: ProviderSettings) -> bool:
    """Whether requests to a provider may cost something: not the mock, a local one, or one whose prices are all zero."""
    if not provider.enabled or provider.kind == MOCK or is_local(provider):
        return False
    prices = [model.price for model in provider.models]
    return not prices or not all(
        p is not None and not (p.rates.input or p.rates.output or p.tiers or p.per_request) for p in prices
    )


class Callers:
    """Knows the keys; `admin_key_file` None: there is no admin key but the one in the settings."""

    def __init__(
        self,
        settings: Settings,
        devices: Registry,
        admin_key_file: Path | None,
        costs: Callable[[ProviderSettings], bool],
    ) -> None:
        self._devices = devices
        self._admin_key_file = admin_key_file
        self._costs = costs
        self._keyring = Keyring()
        self._admin_key_seen: tuple[int, int] | None = None
        self.keyed: frozenset[str] = frozenset()
        self.admin_key = ""
        self.load(settings)

    def load(self, settings: Settings) -> None:
        """Take new settings."""
        self._settings = settings
        self.auth = settings.auth or (Auth.KEYS if any(map(self._costs, settings.providers)) else Auth.OPEN)
        self._admin_key_seen = None
        if settings.admin_key or self._admin_key_file is None:
            self._take_admin_key(settings.admin_key or "")
        elif (key := self.look_at_admin_key()) is not None:
            self._take_admin_key(key)

    def identify(self, headers: Mapping[str, str], peer: str) -> Caller:
        """The caller of a request. Raises AuthenticationError."""
        caller = identity.identify(headers, peer, self._keyring, self.keyed, keys_required=self.auth is Auth.KEYS)
        if caller.device_id not in self._devices and not self._devices.room():
            return Caller(registry.OVERFLOW, caller.key, caller.source, caller.sub_identity)
        return caller

    def take(self, found: Mapping[str, str]) -> None:
        """Put these keys (hash to device) in force, and no others."""
        self._keyring = Keyring(dict(found), self._keyring.admin)
        self.keyed = frozenset(found.values())

    def without(self, device_id: str) -> dict[str, str]:
        """The keys in force but a device's."""
        return {digest: owner for digest, owner in self._keyring.devices.items() if owner != device_id}

    async def refresh(self, database: Database) -> bool:
        """Read again what another process may have changed; True if devices' keys did. Raises sqlite3.Error."""
        admin, found = await database.read(lambda c: (self.look_at_admin_key(), self._look_at_keys(c, database)))
        if admin is not None:
            self._take_admin_key(admin)
        if found is None:
            return False
        same = found == self._keyring.devices
        self.take(found)
        return not same

    async def reload(self, database: Database) -> None:
        """Read the keys again after changing them. Raises sqlite3.Error."""
        self.take(await database.read(keys.load))

    def look_at_admin_key(self) -> str | None:
        """The admin key if its file changed since it was read last. Reads the disk."""
        if self._admin_key_file is None or self._settings.admin_key:
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

    @staticmethod
    def _look_at_keys(connection: sqlite3.Connection, database: Database) -> dict[str, str] | None:
        return keys.load(connection) if database.changed_elsewhere(connection) else None

    def _take_admin_key(self, key: str) -> None:
        self.admin_key = key
        self._keyring = Keyring(self._keyring.devices, identity.hash_key(key) if key else "")


async def shown(database: Database) -> list[Json]:
    """The keys there are, without the keys: id, device, hint, created_at (Unix seconds). Raises sqlite3.Error."""
    found = await database.read(keys.listed)
    return [{"id": k.id, "device": k.device_id, "hint": k.hint, "created_at": k.created_at} for k in found]


def erase(connection: sqlite3.Connection, device_id: str) -> None:
    """Remove all keys of a device from the database."""
    connection.execute("DELETE FROM device_key WHERE device_id = ?", (device_id,))
