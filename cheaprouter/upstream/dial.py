"""Opens connections: the name is looked up, the addresses tried, TLS set up, a proxy asked for a tunnel."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..providers.endpoint import Link, Origin, ProxyAddress, proxy_address
from ..providers.transport import TransportError
from .tunnel import Tunnel

_P = TypeVar("_P", bound=asyncio.BaseProtocol)

_SECOND_ADDRESS: Final = 0.25
"""Seconds until a host's next address is tried beside the first: a broken IPv6 must not cost a time-out (RFC 8305)."""

REMEMBERED: Final = 10.0
"""Seconds that the address which answered is used without another look-up, as long as aiohttp keeps a look-up."""

_MOST_NAMES: Final = 256


class Contexts:
    """TLS settings as `ssl` wants them, made once for each link and off the loop: reading all authorities takes a while."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._turn = asyncio.Lock()

    async def of(self, link: Link) -> ssl.SSLContext:
        """Raises TransportError where the file of certificates cannot be used."""
        key = link.ca_file, link.verify_tls
        async with self._turn:
            if key not in self._made:
                try:
                    made = await asyncio.get_running_loop().run_in_executor(None, make_context, *key)
                except OSError as error:
                    words = "The file of trusted certificates (`ca_file`) cannot be used."
                    raise TransportError("upstream_tls", words) from error
                self._made[key] = made
            return self._made[key]


def make_context(ca_file: str, verify: bool) -> ssl.SSLContext:  # noqa: FBT001 - called through an executor, which takes no names
    """The system's authorities and those in the file. Raises OSError, of which ssl's errors are a kind."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
        # What a household signs itself is trusted as it is: a server's own certificate, or one without every extension.
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Dialer:
    """See the module. Remembers for a moment which address of a name answered, so that a burst looks it up once."""

    def __init__(self) -> None:
        self._contexts = Contexts()
        self._known: dict[tuple[str, int], tuple[str, float]] = {}
        self._turns: dict[tuple[str, int], asyncio.Lock] = {}

    async def connect(self, origin: Origin, factory: Callable[[], _P]) -> _P:
        """A connection to the origin or, where one is set, through its proxy. Raises OSError, ValueError, TransportError."""
        tls = await self._contexts.of(origin.link) if origin.tls else None
        if not origin.link.proxy:
            return await self._reach(origin.host, origin.port, factory, tls)
        proxy = proxy_address(origin.link.proxy)
        if tls is None:
            return await self._reach(proxy.host, proxy.port, factory, None)
        return await self._tunnel(proxy, origin, factory, tls)

    async def _reach(self, name: str, port: int, factory: Callable[[], _P], tls: ssl.SSLContext | None) -> _P:
        if _is_address(name):
            return (await _open(factory, name, name, port, tls))[1]
        key = name, port
        if (found := await self._by_memory(key, factory, tls)) is not None:
            return found
        turn = self._turns.get(key) or self._new_turn(key)
        async with turn:  # the first of a burst looks the name up, and the others use what it finds
            if (found := await self._by_memory(key, factory, tls)) is not None:
                return found
            transport, protocol = await _open(factory, name, name, port, tls)
            if peer := transport.get_extra_info("peername"):
                self._known[key] = peer[0], asyncio.get_running_loop().time() + REMEMBERED
            return protocol

    async def _by_memory(
        self, key: tuple[str, int], factory: Callable[[], _P], tls: ssl.SSLContext | None
    ) -> _P | None:
        address, until = self._known.get(key, ("", 0.0))
        if not address or until < asyncio.get_running_loop().time():
            return None
        try:
            return (await _open(factory, address, key[0], key[1], tls))[1]
        except OSError:
            return None  # it may have moved

    def _new_turn(self, key: tuple[str, int]) -> asyncio.Lock:
        if len(self._turns) >= _MOST_NAMES:
            self._turns.clear()
            self._known.clear()
        return self._turns.setdefault(key, asyncio.Lock())

    async def _tunnel(self, proxy: ProxyAddress, origin: Origin, factory: Callable[[], _P], tls: ssl.SSLContext) -> _P:
        """Ask a proxy for a way to the origin, and set up TLS on it: the proxy sees a name, and no request."""
        tunnel = await self._reach(proxy.host, proxy.port, Tunnel, None)
        try:
            transport = await tunnel.ask(origin, proxy.login)
            protocol = factory()
            loop = asyncio.get_running_loop()
            secured = await loop.start_tls(transport, protocol, tls, server_hostname=origin.host)
        except BaseException:
            tunnel.drop()
            raise
        if secured is None:  # closed while it was set up
            raise ConnectionResetError
        protocol.connection_made(secured)
        return protocol


async def _open(
    factory: Callable[[], _P], address: str, name: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.Transport, _P]:
    loop = asyncio.get_running_loop()
    more: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": name}
    # To try several at a time takes tasks and garbage, which one that is known does without; uvloop never does it.
    if not _is_address(address) and isinstance(loop, asyncio.BaseEventLoop):
        more |= {"happy_eyeballs_delay": _SECOND_ADDRESS, "interleave": 1}
    return await loop.create_connection(factory, address, port, **more)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
