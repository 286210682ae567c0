"""Where requests of one kind go, and the bytes they all begin with. Pure: made once for a provider and key, not for each request."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
"""Headers that say where a request ends: never the user's to set."""


REQUEST_ID: Final = "x-request-id"


class Link(NamedTuple):
    """How a provider is reached. "": no file of further trusted certificates, no proxy (`http://user:password@host:port`)."""

    ca_file: str = ""
    verify_tls: bool = True
    proxy: str = ""


DIRECT: Final = Link()


class Origin(NamedTuple):
    """What connections have to have in common for one to serve another's request."""

    tls: bool
    host: str
    port: int
    link: Link


class Endpoint:
    """One method, address and set of headers.

    `origin`: None where the address is no usable one of HTTP; `problem` says why then, or what is wrong with the headers.
    """

    __slots__ = ("_bare", "_head", "_own_id", "headers", "link", "method", "origin", "problem", "url")

    def __init__(self, method: str, url: str, headers: Mapping[str, str], link: Link = DIRECT) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.link = link
        self.origin: Origin | None = None
        self.problem = ""
        self._head = self._bare = b""
        self._own_id = any(name.lower() == REQUEST_ID for name in headers)
        try:
            parts = _split(url)
            tls = parts.scheme == "https"
            self.origin = Origin(tls, parts.hostname or "", parts.port or (443 if tls else 80), link)
        except ValueError:
            self.problem = "The server's address is not a usable URL."
            return
        try:
            self._bare = _head(method, parts, headers, link)
            self._head = self._bare + b"Content-Length: "
        except UnicodeEncodeError:
            self.problem = "A configured header holds characters that HTTP has not."
        except ValueError:
            self.problem = "A configured header holds a line break."

    def message(self, body: bytes | None, request_id: str = "") -> bytes:
        """A whole request. `request_id`: by which a server's log and ours can be compared, unless the headers hold another."""
        if body is None:
            return self._bare + b"\r\n"
        if not request_id or self._own_id:
            return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)
        return b"%s%d\r\nx-request-id: %s\r\n\r\n%s" % (self._head, len(body), request_id.encode("ascii"), body)

    def head(self, size: int, request_id: str = "") -> bytes:
        """What goes before a body of so many bytes."""
        told = b"x-request-id: %s\r\n" % request_id.encode("ascii") if request_id and not self._own_id else b""
        return b"%s%d\r\n%s\r\n" % (self._head, size, told)


class ProxyAddress(NamedTuple):
    """`login`: the value of the header that carries it; "" for none."""

    host: str
    port: int
    login: str


def proxy_address(url: str) -> ProxyAddress:
    """A proxy's URL taken apart. Raises ValueError."""
    parts = _split(url)
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    login = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode() if name or password else ""
    return ProxyAddress(parts.hostname or "", parts.port or 80, login)


def _split(url: str) -> SplitResult:
    """Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or " " in url:
        raise ValueError(url)
    _ = parts.port  # raises for one that is none
    return parts


def _head(method: str, parts: SplitResult, headers: Mapping[str, str], link: Link) -> bytes:
    """The request line and headers. Raises ValueError where one could smuggle in another."""
    authority = parts.netloc.rpartition("@")[2]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    through_proxy = link.proxy and parts.scheme == "http"
    lines = [f"{method} {f'http://{authority}' if through_proxy else ''}{path} HTTP/1.1"]
    if not any(name.lower() == "host" for name in headers):
        lines.append(f"Host: {authority}")
    if through_proxy and (login := proxy_address(link.proxy).login):
        lines.append(f"Proxy-Authorization: {login}")
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in _FRAMING]
    if any(c in line for line in lines for c in "\r\n\0"):
        raise ValueError
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
