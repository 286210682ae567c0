"""A connection of the API, and what chat requests take past aiohttp's objects where there is nothing unusual about them.

aiohttp's connection stays: a chat request whose head is usual (see `heads`) is answered here, and all else goes to aiohttp
as it came, on the same connection and in the order in which it came. Both give the same answers.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler, RequestPayloadError

from ..control import Control
from ..core.errors import CheapRouterError
from ..wire.openai_chat.encode import error_body
from .chat import PATIENCE, ChatDoor, Known
from .context import CONTROL, error_response, internal_error, translate
from .guard import SERVER_NAME
from .heads import Head, Heads, is_begun
from .output import Output, whole
from .paths import tidy
from .unreadable import refusal

_LOG: Final = logging.getLogger(__name__)

READ_BUFFER: Final = 256 * 1024
"""Bytes that are read at a time, at most."""

_MOST_HELD: Final = 1 << 16
"""Bytes of further requests that wait for the one that is answered; with more the client is not read any more."""

_DROPPED: Final = struct.pack("ii", 1, 0)
"""Linger for no time: what a client has not taken by now is thrown away."""

_END: Final = b"\r\n\r\n"
_LOST: Final = -1


class Line(RequestHandler, asyncio.BufferedProtocol):
    """One client. `_due`: how much aiohttp's message has left, `_LOST` where nobody here knows where it ends.

    Of a usual request first part of the head has `_begun`, then `_head` is there and `_missing` bytes of the body are not;
    then it runs (`_busy`), in `_task` unless it ends at once, and what comes meanwhile is `_held`.
    """

    __slots__ = (
        "_begun", "_body", "_buffer", "_busy", "_door", "_due", "_head", "_heads", "_held", "_left", "_missing", "_out", "_task", "_unread", "known", "peer",
    )  # fmt: skip

    def __init__(self, manager: LineServer, **options: Any) -> None:
        super().__init__(manager, **options)
        self._parser = None  # most connections never need aiohttp's, which takes a kilobyte
        self._door = manager.door
        self._buffer = manager.buffer
        self._heads = manager.heads
        self._due = 0
        self._begun = b""
        self._head: Head | None = None
        self._missing = 0
        self._body = bytearray()
        self._held = bytearray()
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self._out: Output | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._left = 0
        self.peer = ""
        self.known: Known | None = None

    # --- what comes --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        name = self.peername
        self.peer = "" if name is None else str(name if isinstance(name, str) else name[0])

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to. A protocol without a buffer has new bytes of 256 KiB made for every read, which cost more than reading."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if self._force_close or self._close:
            return  # as aiohttp does: a request that is not whole yet is not taken any more
        if self._busy:
            self._hold(data)
        elif self._head is not None:
            self._gather(self._head, data)
        elif self._due or not self._idle():
            self._pass_on(data)
        else:
            self._begin(self._begun + data)

    def _begin(self, data: bytes) -> None:
        """Take what stands at the beginning of a request; one that goes no further is closed as an idle connection is."""
        found = self._heads.find(data, self._make_parser)
        self._begun = b""
        if found is not None and self._door.takes(found[0]):
            head, missing, start = found
            if len(data) - start == missing:
                self._run(head, data[start:])
            else:
                self._missing = missing
                self._gather(head, data[start:])
        elif is_begun(data):
            self._begun = data
        else:
            self._pass_on(data)

    def _idle(self) -> bool:
        """Whether aiohttp waits for a request on this connection, or is about to: before Python 3.12 its task has yet to begin."""
        if self._waiter is None:
            return self._request_count == 0 and not self._messages
        return not self._waiter.done() and not self._messages

    def _make_parser(self) -> HttpRequestParser:
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
        )

    def _pass_on(self, data: bytes) -> None:
        """Give aiohttp what is not ours, and count along where its message ends."""
        first = self._due == 0 and self._idle()
        if self._parser is None and self.transport is not None:
            self._parser = self._make_parser()
        super().data_received(data)
        if self._due > 0:
            self._due -= len(data)  # below nought: another request has begun with it
        elif data:
            self._due = _rest(data, self._messages) if first else _LOST

    def _gather(self, head: Head, data: bytes) -> None:
        """Take the next bytes of a usual request's body, and run the request once it is whole."""
        self._missing -= len(data)
        if self._missing > 0:
            self._head = head
            self._body += data
            self._keep_until(self._loop.time() + PATIENCE)
            return
        if self._missing < 0:
            self._hold(data[self._missing :])
            data = data[: self._missing]
        if self._body:
            data = bytes(self._body + data)
            self._body.clear()
        self._head = None
        self._run(head, data)

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _MOST_HELD:
            self._pause_transport_reading()

    # --- a usual request ---------------------------------------------------------------------------------------

    def _run(self, head: Head, body: bytes) -> None:
        assert self._manager is not None
        self._busy = True
        self._request_count += 1
        self._manager.requests_count += 1
        answer = self._answer(head, body)
        if sys.version_info >= (3, 12):
            task = asyncio.Task(answer, loop=self._loop, eager_start=True)  # it runs to where it first waits, now
        else:
            task = asyncio.Task(answer, loop=self._loop)
        if not task.done():
            self._task = task

    async def _answer(self, head: Head, body: bytes) -> None:
        serving = self._door.serve(self, head, body)
        del body  # it is not kept for as long as the answer takes
        try:
            await serving
            if self._paused:
                await self._drain_helper()
        except asyncio.CancelledError:
            self.force_close()
            raise
        except ConnectionResetError:
            self.force_close()  # the client left: what it had is booked, and there is nobody to tell
        except Exception:  # noqa: BLE001 - as in `errors_middleware`, the last line before a client
            self._fail(head)
        finally:
            self._ended()

    def send(self, status: int, headers: Mapping[str, str], body: bytes, last: str = "") -> None:
        """Send a whole reply; nothing where the client is gone."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(whole(status, headers, body, last))

    def open(self) -> Output:
        """For a reply that comes in pieces."""
        self._out = Output(self, self._loop)
        return self._out

    def _fail(self, head: Head) -> None:
        """A bug of ours must still leave as an error that clients can read, or end what they read."""
        _LOG.exception("POST %s failed", head.path)
        if self._out is not None and self._out.started:
            self.force_close()
        else:
            error = internal_error()
            self.send(error.status, error.headers, error_body(error))

    def _ended(self) -> None:
        """A reply is out: the next request's turn, or the end of the connection."""
        self._task = self._out = None
        if self.transport is None or self._close or self._force_close:
            if self.transport is not None:
                self.transport.close()
            return
        self._keep_until(self._loop.time() + self._keepalive_timeout)
        if self._held:
            self._loop.call_soon(self._go_on)  # and not now: as many may wait as the stack is not deep
        else:
            self._busy = False

    def _go_on(self) -> None:
        held = bytes(self._held)
        self._held.clear()
        self._busy = False
        if len(held) > _MOST_HELD:
            self._resume_transport_reading()
        self.data_received(held)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp's parser refuses, and its own failures: as all errors are told, and without its name and version."""
        answer = super().handle_error(request, status, exc, message)
        if isinstance(self._manager, LineServer):
            answer = self._manager.answer(internal_error() if status >= 500 else refusal(status, exc))
            answer.force_close()
        return answer

    # --- time, and the end -------------------------------------------------------------------------------------

    def _keep_until(self, when: float) -> None:
        self._next_keepalive_close_time = when
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(when, self._process_keepalive)

    def _process_keepalive(self) -> None:
        if self._busy:
            self._keepalive_handle = None  # the end of the reply sets another
        elif self._head is not None and self._loop.time() >= self._next_keepalive_close_time:
            self._keepalive_handle = None
            self._door.give_up(self, self._head)
            self.force_close()
        else:
            super()._process_keepalive()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()
        if self._out is not None:
            self._out.paused = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_reading()
        if self._out is not None:
            self._out.resumed()

    def _expect_reading(self) -> None:
        """A client that is behind must read something within `http.client_idle`, be it little: what it is served holds a slot and money."""
        if self.transport is not None and self._unread is None and isinstance(self._manager, LineServer):
            self._left = self.transport.get_write_buffer_size()
            self._unread = self._loop.call_later(self._manager.client_idle, self._look_at_reading)

    def _look_at_reading(self) -> None:
        self._unread = None
        if self.transport is None:
            return
        if self.transport.get_write_buffer_size() < self._left:
            self._expect_reading()
        else:
            _LOG.info("A client at %s has read nothing for a while, and is cut off", self.peer)
            if (
                client := self.transport.get_extra_info("socket")
            ) is not None:  # or the system would keep what is unread
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROPPED)
            self.transport.abort()

    def _forget_reading(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._forget_reading()
        self._head = None
        self._begun = b""
        self._body.clear()
        self._held.clear()
        if self._task is not None:
            self._task.cancel()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's own signature
        """Let the request that is answered end, as aiohttp does with its own; then that one, and the connection."""
        if self._task is not None:
            self._force_close = True
            _, late = await asyncio.wait({self._task}, timeout=timeout)
            for task in late:
                task.cancel()
                await asyncio.wait({task}, timeout=timeout)
        await super().shutdown(timeout)


def _rest(data: bytes, messages: Sequence[tuple[Any, Any]]) -> int:
    """How much of its body a message still lacks that began with `data`; `_LOST` where that cannot be told from its head."""
    start = data.find(_END) + len(_END)
    if start < len(_END) or len(messages) != 1:
        return _LOST
    message = messages[0][0]
    if not isinstance(message, RawRequestMessage) or message.chunked or message.upgrade:
        return _LOST
    return int(message.headers.get(hdrs.CONTENT_LENGTH, "0")) - (len(data) - start)


class LineServer(web.Server):
    """aiohttp's server, with such lines. `like`: the one that the application made."""

    def __init__(self, control: Control, like: web.Server) -> None:
        super().__init__(
            self._handle,
            request_factory=self._make_request,
            handler_cancellation=like.handler_cancellation,
            loop=like._loop,  # noqa: SLF001 - there is no other way to have what the application gave it
            **like._kwargs,  # noqa: SLF001 - likewise
        )
        self._like = like
        self._control = control
        self.door = ChatDoor(control)
        self.buffer = memoryview(bytearray(READ_BUFFER))  # of all lines: what is read is taken out at once
        self.heads = Heads()

    def __call__(self) -> RequestHandler:
        return Line(self, loop=self._loop, **self._kwargs)

    @property
    def client_idle(self) -> float:
        """Seconds, as the settings say now."""
        return self._control.gateway.world.settings.http.client_idle

    def answer(self, error: CheapRouterError) -> web.Response:
        """An error that is told past the application."""
        headers = {hdrs.SERVER: SERVER_NAME, "x-request-id": self._control.gateway.new_id()}
        return error_response(error, headers)

    def _make_request(self, message: RawRequestMessage, *rest: Any) -> web.BaseRequest:
        target = tidy(message.path)
        if target != message.path:
            path, _, query = target.partition("?")
            url = message.url.build(path=path, query_string=query, encoded=True)
            message = message._replace(path=target, url=url)
        return self._like.request_factory(message, *rest)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The application's answer; what aiohttp refuses before our middlewares (`Expect`) is told as they would."""
        try:
            return await self._like.request_handler(request)
        except web.HTTPException as error:
            if error.status < 400 or not isinstance(request, web.Request):
                raise
            return self.answer(translate(request, error))


class LineRunner(web.AppRunner):
    """aiohttp's runner, with such a server for the site that has a `CONTROL`."""

    async def _make_server(self) -> web.Server:
        return LineServer(self.app[CONTROL], await super()._make_server())
