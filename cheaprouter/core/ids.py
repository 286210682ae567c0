"""Names: a device's id as it is used, its slug for topics, and header values that any client can read. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from .errors import SettingError

LONGEST_ID: Final = 64
FORGOTTEN: Final = "(forgotten)"
"""Whose totals those of forgotten devices become; no device can be called so, parentheses being its own."""

OTHERS: Final = "others"
"""The one device that newcomers count as where there is no room for them."""

ADMIN: Final = "admin"
"""The device that requests with the admin key count to, where they name none."""

MQTT: Final = "mqtt"
"""The device that asks on the router's own chat topic."""

OWN_DEVICES: Final = frozenset({OTHERS, ADMIN, MQTT})
"""Devices that are the router's own: things can be set for them, and nobody can call itself so."""

RESERVED: Final = OWN_DEVICES | {FORGOTTEN, "hub", "everyone", "defaults"}
"""Names that mean something else than a device wherever devices are shown or set, in small letters."""

_GUEST: Final = "-guest"

_HALF: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of surrogate pairs that no escaped byte gives."""

LATEST: Final = ":latest"
_UNSAFE: Final = re.compile(r"[^\x20-\x7e]+")
LONGEST_HEADER: Final = 300
"""Characters of a header of ours, at most."""


def clean_id(value: str) -> str:
    """A device id as it is used: printable characters, composed, without spaces around, at most 64; "" where none is left."""
    cleaned = _cleaned(value)
    return cleaned.strip("()") if cleaned == FORGOTTEN else cleaned


def _cleaned(value: str) -> str:
    if value.isascii() and value.isprintable() and len(value) <= LONGEST_ID:
        return value.strip()
    printable = "".join(c for c in _repaired(value[: 16 * LONGEST_ID]) if c.isprintable())
    return unicodedata.normalize("NFC", printable).strip()[:LONGEST_ID].strip()


def is_reserved(device_id: str) -> bool:
    """Whether that is a name of the router's own, or only looks different from one."""
    return unicodedata.normalize("NFKC", device_id).casefold() in RESERVED


def free_id(device_id: str) -> str:
    """Who somebody is that names itself so: a guest, where that is a name of the router's own."""
    return device_id[: LONGEST_ID - len(_GUEST)] + _GUEST if is_reserved(device_id) else device_id


def device_scope(device_id: str) -> str:
    """A device's id as settings are kept by. Raises SettingError for one with nothing printable, or one that no device can have."""
    scope = _cleaned(device_id)
    if not scope:
        raise SettingError("A device's id needs at least one printable character.", param="device")
    if is_reserved(scope) and scope not in OWN_DEVICES:
        raise reserved_error(scope)
    return scope


def key_owner(device_id: str) -> str:
    """The same for whom a key is for: not the router's own devices either, which nobody is."""
    owner = device_scope(device_id)
    if is_reserved(owner):
        raise reserved_error(owner)
    return owner


def reserved_error(name: str) -> SettingError:
    """For a name that nobody can have."""
    return SettingError(f"`{name}` is a name of the router's own: no device can be called so.", param="device")


def _repaired(value: str) -> str:
    """The text of a header that was no UTF-8, which the server escapes: some clients send Latin-1."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("latin-1") if not _HALF.search(value) else value
    return value


@lru_cache(maxsize=1024)
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


@lru_cache(maxsize=1024)
def network_of(peer: str) -> str:
    """Whom an address counts as where somebody could have many: an IPv4 address itself, an IPv6 one its /64."""
    name = address_id(peer).removeprefix("lan-")
    if ":" in name:
        return str(IPv6Network((name, 64), strict=False))
    return peer[:LONGEST_ID] if name == "unknown" else name


def slugify(device_id: str) -> str:
    """A device id in `[a-z0-9_]`, for topics and entity ids; not unique."""
    plain = unicodedata.normalize("NFKD", device_id).encode("ascii", "ignore").decode().lower()
    words = "".join(c if c.isalnum() else " " for c in plain).split()
    return "_".join(words)[:48].strip("_") or "device"


def unique_slug(device_id: str, taken: Collection[str]) -> str:
    """A slug that nobody has: with some of the id's hash at its end where the plain one is taken, or the router's own."""
    slug = slugify(device_id)
    if slug not in taken and (slug not in RESERVED or device_id in OWN_DEVICES):
        return slug
    digest = hashlib.sha256(device_id.encode("utf-8", "surrogatepass")).hexdigest()
    length = 6
    while f"{slug}_{digest[:length]}" in taken:
        length += 1
    return f"{slug}_{digest[:length]}"


@lru_cache(maxsize=1024)
def ascii_header(text: str) -> str:
    """A header value that any client can read: printable ASCII, one line, not endless."""
    if len(text) <= LONGEST_HEADER and text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub("?", text)[:LONGEST_HEADER]


def other_spelling(model_id: str) -> str:
    """The same model with Ollama's default tag where it is not written, and without it where it is."""
    return model_id.removesuffix(LATEST) if model_id.endswith(LATEST) else model_id + LATEST
