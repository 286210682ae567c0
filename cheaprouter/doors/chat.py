"""The chat door, for usual requests: what `openai.chat_completions` does, without aiohttp's objects and to the same effect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from ..accounts.callers import Keyring
from ..control import Control
from ..core.access import ACCESS, log_request
from ..core.errors import AuthenticationError, CheapRouterError
from ..core.models import Caller
from ..gateway import Reply, limit_headers
from ..wire.decode import decode, decode_in_turns
from ..wire.embedded import LONG
from ..wire.openai_chat import request as protocol
from ..wire.openai_chat.encode import error_body
from ..world import World
from .bodies import GivenUpError
from .guard import host_allowed
from .heads import Head
from .openai import STREAM_HEADERS
from .output import Output

Known = tuple[Head, Keyring, World, str, Caller]
"""Of whom a connection spoke last: by what head, keys and settings, from which address, and who that is."""


class Client(Protocol):
    """The connection that a request came by. `peer`: its address; `known`: who it was the last time, and by what."""

    peer: str
    known: Known | None

    def send(self, status: int, headers: Mapping[str, str], body: bytes, last: str = "") -> None:
        """Send a whole reply; `last` as in `output.head`."""

    def open(self) -> Output:
        """For a reply that comes in pieces."""


class ChatDoor:
    """All chats of a site."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._gateway = control.gateway
        self._left: deque[Reply] = deque()

    def takes(self, head: Head) -> bool:
        """Whether that head may come in as things stand; what may not is refused on aiohttp's road."""
        world = self._gateway.world
        if head.allowed is not world:
            head.allowed = world if host_allowed(head.host, world) else None
        return head.allowed is world

    async def serve(self, client: Client, head: Head, body: bytes) -> None:
        """Answer one request. Raises ConnectionResetError where the client left; that is booked then."""
        control, gateway, caller = self._control, self._gateway, None
        try:
            caller = self._identify(client, head)
            if (size := len(body)) <= LONG:
                checked = protocol.parse(decode(body))
            else:
                checked = protocol.parse(await decode_in_turns(bytearray(body)))
                checked.size = size
            del body  # it is not kept for as long as the answer takes
        except CheapRouterError as error:
            self._refuse(client, head, error, caller)
            return
        request_id = gateway.new_id()
        try:
            reply = await gateway.serve(checked, caller, request_id=request_id)
        except CheapRouterError as error:
            headers = limit_headers(error, control.accounts.rate_headers(caller.device_id))
            client.send(error.status, {**error.headers, "x-request-id": request_id, **headers}, error_body(error))
            return
        if reply.body is not None:
            try:
                client.send(200, reply.headers, reply.body)
            finally:
                self._close_soon(reply)
        else:
            await _stream(client.open(), reply)

    def _close_soon(self, reply: Reply) -> None:
        """Book it once all that has come just now is looked at: nobody waits for it, and several in a row take less than each alone."""
        self._left.append(reply)
        if self._gateway.running <= 1:
            self._close_all()
        elif len(self._left) == 1:
            asyncio.get_running_loop().call_soon(self._close_all)

    def _close_all(self) -> None:
        try:
            while self._left:
                self._left.popleft().close()
        finally:
            if self._left:  # one could not be booked: that is no reason not to book the others
                asyncio.get_running_loop().call_soon(self._close_all)

    def give_up(self, client: Client, head: Head, error: GivenUpError) -> None:
        """The body does not come, or is not waited for."""
        caller = None
        with contextlib.suppress(AuthenticationError):
            caller = self._identify(client, head)
        self._refuse(client, head, error, caller, "Connection: close\r\n")

    def _identify(self, client: Client, head: Head) -> Caller:
        """Who asks; found out anew only where the head, the keys or the settings are others. Raises AuthenticationError."""
        accounts, world = self._control.accounts, self._gateway.world
        keyring, known = accounts.callers.keyring, client.known
        if known is None or known[0] is not head or known[1] is not keyring or known[2] is not world:
            address = world.proxies.caller(client.peer, head.every).address
            known = (head, keyring, world, address, accounts.recognize(head.headers, address, world.auth))
            client.known = known
        return accounts.let_in(known[4], known[3])

    def _refuse(
        self, client: Client, head: Head, error: CheapRouterError, caller: Caller | None, last: str = ""
    ) -> None:
        """Answer what never reached the gateway, and book it, unless nobody knows for whom: who has no key gets no row."""
        request_id = self._gateway.new_id() if caller is None else self._gateway.refused(error, caller, "")
        if caller is None and ACCESS.isEnabledFor(logging.INFO):
            log_request("POST", head.path.partition("?")[0], error.status, 0.0, id=request_id)
        client.send(error.status, {**error.headers, "x-request-id": request_id}, error_body(error), last)


async def _stream(out: Output, reply: Reply) -> None:
    """Write each piece as it comes; whatever happens, the reply is closed, and with it the upstream's."""
    try:
        out.start({**reply.headers, **STREAM_HEADERS})
        await reply.pour(out)
        out.end()
    finally:
        reply.close()
