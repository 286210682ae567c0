"""Who is calling: from headers and an address to a device. Pure; what is known of keys is handed in."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote

from ..core.errors import AuthenticationError, SettingError
from ..core.models import Caller, KeyKind

KEY_PREFIX: Final = "cr-"
"""How our own keys begin. A wrong one is always refused: whoever sends it means a device."""

LONGEST_ID: Final = 64
ADMIN_ID: Final = "admin"
"""The device that requests with the admin key count to, where they name none."""

_HALF: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of surrogate pairs that no escaped byte gives."""

_RESERVED: Final = frozenset({"(forgotten)"})


@dataclass(frozen=True, slots=True)
class Keyring:
    """Known keys by their hash. `admin`: the admin key's hash, "" for none."""

    devices: Mapping[str, str] = field(default_factory=dict)
    admin: str = ""

    @property
    def keyed(self) -> Collection[str]:
        """Devices that have a key."""
        return frozenset(self.devices.values())


def hash_key(key: str) -> str:
    """A key as it is stored. Keys are 256 random bits: a plain hash cannot be turned back."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def clean_id(value: str) -> str:
    """A device id as it is used: printable characters, composed, without spaces around, at most 64; "" where none is left."""
    if value.isascii() and value.isprintable() and len(value) <= LONGEST_ID:
        cleaned = value.strip()
    else:
        printable = "".join(c for c in _repaired(value[: 16 * LONGEST_ID]) if c.isprintable())
        cleaned = unicodedata.normalize("NFC", printable).strip()[:LONGEST_ID].strip()
    return cleaned.strip("()") if cleaned in _RESERVED else cleaned


def device_scope(device_id: str) -> str:
    """A device's id as settings are kept by. Raises SettingError for one with nothing printable."""
    scope = clean_id(device_id)
    if not scope:
        raise SettingError("A device's id needs at least one printable character.", param="device")
    return scope


def _repaired(value: str) -> str:
    """The text of a header that was no UTF-8, which the server escapes: some clients send Latin-1."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("latin-1") if not _HALF.search(value) else value
    return value


def address_id(peer: str) -> str:
    """`lan-<ip>` for a peer's address, the same for an IPv4 address however it came; `lan-unknown` where there is none."""
    bare = peer.strip().partition("%")[0].strip("[]")
    try:
        address = ip_address(bare)
    except ValueError:
        return "lan-unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return f"lan-{address.ipv4_mapped}"
    return f"lan-{address.compressed}"


def credentials(headers: Mapping[str, str]) -> list[str]:
    """All keys that a request carries. `headers` ignores case, or has lower-case names."""
    found = []
    authorization = headers.get("authorization")
    if authorization:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and (token := token.strip()):
            found.append(token)
    found.extend(token for name in ("x-api-key", "api-key") if (token := (headers.get(name) or "").strip()))
    return found


def identify(
    headers: Mapping[str, str], peer: str, keyring: Keyring, keyed: Collection[str], *, keys_required: bool
) -> Caller:
    """The caller: by a device's key, the admin key, then where keys are not required by header, client or address.

    Raises AuthenticationError for an unknown `cr-…` key, and for none at all where keys are required.
    """
    tokens = credentials(headers)
    user = _user(headers)
    for token in tokens:
        digest = hash_key(token)
        device_id = keyring.devices.get(digest)
        if device_id is not None:
            return Caller(device_id, KeyKind.DEVICE, "key", user)
        if keyring.admin and digest == keyring.admin:
            named = clean_id(headers.get("x-device-id") or "")
            if named and named not in keyed:
                return Caller(named, KeyKind.ADMIN, "header", user)
            return Caller(ADMIN_ID, KeyKind.ADMIN, "key", user)
    if keys_required or any(token.startswith(KEY_PREFIX) for token in tokens):
        raise AuthenticationError(
            "This key is not known here. Check it, or ask whoever runs CheapRouter for a new one."
            if tokens
            else "An API key is needed here: send `Authorization: Bearer cr-...`."
        )
    return _without_key(headers, peer, keyed, user)


def _without_key(headers: Mapping[str, str], peer: str, keyed: Collection[str], user: str) -> Caller:
    # A device that has a key is that device only with it: whoever merely names it is somebody else.
    named = headers.get("x-device-id")
    if named and (device_id := clean_id(named)) and device_id not in keyed:
        return Caller(device_id, KeyKind.NONE, "header", user)
    if user and (device_id := clean_id(f"openwebui-{user}")) not in keyed:
        return Caller(device_id, KeyKind.NONE, "client", user)
    device_id = address_id(peer)
    if device_id in keyed:
        device_id = f"{device_id}-guest"
    return Caller(device_id, KeyKind.NONE, "address", user)


def _user(headers: Mapping[str, str]) -> str:
    """Who sits at an Open WebUI that forwards its users: the name, or what there is."""
    for name in ("x-openwebui-user-name", "x-openwebui-user-email", "x-openwebui-user-id"):
        if (value := headers.get(name)) and (user := clean_id(unquote(value))):
            return user
    return ""


def slugify(device_id: str) -> str:
    """A device id in `[a-z0-9_]`, for topics and entity ids; not unique."""
    plain = unicodedata.normalize("NFKD", device_id).encode("ascii", "ignore").decode().lower()
    words = "".join(c if c.isalnum() else " " for c in plain).split()
    return "_".join(words)[:48].strip("_") or "device"


def unique_slug(device_id: str, taken: Collection[str]) -> str:
    """A slug that nobody has: with some of the id's hash at its end where the plain one is taken."""
    slug = slugify(device_id)
    if slug not in taken:
        return slug
    digest = hashlib.sha256(device_id.encode("utf-8", "surrogatepass")).hexdigest()
    length = 6
    while f"{slug}_{digest[:length]}" in taken:
        length += 1
    return f"{slug}_{digest[:length]}"
