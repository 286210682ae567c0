"""Who may see the site: Home Assistant's Supervisor and this machine. Decided by the socket, never by a header."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

from ..core.records import dataclass

SUPERVISOR: Final = ipaddress.ip_address("172.30.32.2")
"""The Supervisor's address on the apps' network: the same in every installation."""

_BASE_PATH: Final = re.compile(r"/api/hassio_ingress/[A-Za-z0-9_-]{1,128}")
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at the page. `name`: as Home Assistant says, "" where nobody said. `base`: what goes before our paths."""

    name: str = ""
    base: str = ""


def admit(peer: str | None, headers: Mapping[str, str]) -> Visitor | None:
    """The visitor behind a socket; None: not to be served.

    On this machine the `Host` must be local too, so that no web page can reach the site by a name of its own that leads
    here. The Supervisor has checked that already, and passes Home Assistant's user on.
    """
    address = _address(peer)
    if address is None:
        return None
    local = address.is_loopback and _host(headers.get("Host", "")) in _LOCAL_NAMES and _same_origin(headers)
    if address != SUPERVISOR and not local:
        return None
    return Visitor(_name(headers), base_path(headers.get("X-Ingress-Path", "")))


def base_path(header: str) -> str:
    """The path under which Home Assistant serves us, without a slash at its end; "" for anything else than its form."""
    path = header.rstrip("/")
    return path if _BASE_PATH.fullmatch(path) else ""


def _address(peer: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address((peer or "").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _host(value: str) -> str:
    """The host of a `Host` header, without its port."""
    return re.sub(r":\d+$", "", value.strip().lower())


def _same_origin(headers: Mapping[str, str]) -> bool:
    origin = headers.get("Origin")
    return origin is None or origin.lower() == f"http://{headers.get('Host', '').lower()}"


def _name(headers: Mapping[str, str]) -> str:
    text = headers.get("X-Remote-User-Display-Name") or headers.get("X-Remote-User-Name") or ""
    return "".join(c for c in text if c.isprintable())[:64]
