"""Where a request comes from: the peer of its connection, or whom a trusted proxy in front of us names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol

from .records import dataclass

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MOST_HOPS: Final = 20
"""Hops that are looked at, the last ones; nobody has as many proxies."""

_LONGEST: Final = 64
"""Characters of one hop: the longest address with brackets and a port has fewer."""

_PORT: Final = re.compile(r":[0-9]{1,5}\Z")
_PAIR: Final = re.compile(
    r"""[ \t]*([\w!#$%&'*+.^`|~-]{1,32})=(?:"([^"\\]{0,100})"|([^\s",;=]{1,100}))[ \t]*""", re.ASCII
)
_SCHEMES: Final = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


class Headers(Protocol):
    """A request's headers, in the order in which they came; names ignore case."""

    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]:
        """All values of one name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Whence a request comes. `scheme`: `http` or `https` as it left the client, "" where nobody that is trusted says."""

    address: str
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies that are believed (`http.trusted_proxies`), by address or network. None: what a request says of its way is ignored."""

    networks: tuple[Network, ...] = ()

    def trusts(self, address: str) -> bool:
        """Whether that is one of them."""
        return bool(self.networks) and _among(self.networks, address)

    def caller(self, peer: str, headers: Headers) -> Seen:
        """Who sent a request. `peer`: the other end of its connection.

        Each proxy writes down whom it was asked by behind what it was told, so that only the end of the list is sure: the
        caller is the last that is no trusted proxy. What cannot be read is not believed, nor anything before it.
        `Forwarded` (RFC 7239) counts where there is no `X-Forwarded-For`, which nearly every proxy writes.
        """
        if not self.trusts(peer):
            return Seen(peer)
        told = headers.getall("X-Forwarded-For", ())
        if told:
            hops = [_bare(hop) for hop in _last(told)]
            schemes: list[str] = [
                _SCHEMES.get(s.strip().lower(), "") for s in _last(headers.getall("X-Forwarded-Proto", ()))
            ]
        else:
            pairs = [_element(text) for text in _last(headers.getall("Forwarded", ()))]
            hops = [_bare(pair.get("for", "")) for pair in pairs]
            schemes = [_SCHEMES.get(pair.get("proto", "").lower(), "") for pair in pairs]
            if not pairs:
                schemes = [_SCHEMES.get(s.strip().lower(), "") for s in _last(headers.getall("X-Forwarded-Proto", ()))]
        return self._walk(peer, hops, schemes)

    def _walk(self, peer: str, hops: Sequence[str], schemes: Sequence[str]) -> Seen:
        """`hops` and `schemes`: the last ones first; "" for what cannot be read."""
        address, steps = peer, 0
        for hop in hops:
            if not hop:
                break
            address, steps = hop, steps + 1
            if not self.trusts(hop):
                break
        # A scheme for each hop, or one that the last proxy has put in place of what it was told.
        place = max(steps - 1, 0) if len(schemes) == len(hops) else 0
        return Seen(address, schemes[place] if place < len(schemes) else "")


def parse(text: str) -> Address:
    """An address without its zone; an IPv4 address however it was written. Raises ValueError."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=1024)
def _among(networks: tuple[Network, ...], address: str) -> bool:
    try:
        found = parse(address)
    except ValueError:
        return False
    return any(found in network for network in networks)


def _last(values: Sequence[str]) -> Iterator[str]:
    """The parts of a list in headers, the last first. Commas within quotes part as well: no proxy of ours writes such."""
    left = _MOST_HOPS
    for value in reversed(values):
        for part in reversed(value.rsplit(",", left)):
            if left == 0:
                return
            left -= 1
            yield part


def _bare(hop: str) -> str:
    """The address of a hop such as `192.168.1.7`, `192.168.1.7:5000`, `2001:db8::1` or `[2001:db8::1]:5000`; "" for anything else."""
    hop = hop.strip()
    if len(hop) > _LONGEST:
        return ""
    if hop.startswith("["):
        inner, closed, port = hop[1:].partition("]")
        hop = inner if closed and (not port or _PORT.fullmatch(port)) else ""
    elif hop.count(":") == 1:
        hop = _PORT.sub("", hop)
    try:
        return str(parse(hop))
    except ValueError:
        return ""


def _element(text: str) -> dict[str, str]:
    """The pairs of one element of `Forwarded` by their names in lower case; none where any of it is not of its form."""
    found: dict[str, str] = {}
    for part in text.split(";", 8):
        pair = _PAIR.fullmatch(part)
        if pair is None or pair[1].lower() in found:
            return {}
        found[pair[1].lower()] = pair[2] if pair[2] is not None else pair[3]
    return found
