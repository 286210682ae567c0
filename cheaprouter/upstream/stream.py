"""The rest of a stream, from the first content to its end: bytes on their way, nothing done that need not be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from ..core.errors import UpstreamError
from ..providers.base import Action, Adapter, Failure, TransportError
from ..wire.openai_chat.errors import error_event
from .call import Streaming, with_cost
from .outcome import StreamReply
from .watchdog import HEARTBEAT, Watchdog

HEARTBEAT_SECONDS: Final = 15.0
_BEAT: Final = b": keep-alive\n\n"


class Relay:
    """Iterates over what goes to the client. `on_end` is called once, with the failure where there was one."""

    __slots__ = ("_adapter", "_call", "_ended", "_first", "_on_end", "_over", "_watch", "reply")

    def __init__(
        self,
        adapter: Adapter,
        call: Streaming,
        watch: Watchdog,
        on_end: Callable[[Failure | None], None],
        heartbeat: float,
    ) -> None:
        self._adapter = adapter
        self._call = call
        self._watch = watch
        self._on_end = on_end
        self._first = call.first
        self._ended = call.ended
        self._over = False
        self.reply: StreamReply | None = None
        watch.flow(adapter.timeouts.idle, heartbeat)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:  # noqa: PLR0911 - one return for each thing that can come next
        if self._first:
            first, self._first = self._first, b""
            return first
        while not self._ended:
            decoder = self._call.decoder
            if decoder.failure is not None:
                return self._broken(decoder.failure)
            if decoder.done:
                break
            data = await self._wait()
            if data is None:
                return _BEAT
            if isinstance(data, Failure):
                return self._broken(data)
            if not data:
                return self._last()
            if out := decoder.push(data):
                return out
        failure = self._call.decoder.failure
        if failure is not None and not self._over:
            return self._broken(failure)
        self._finish(None)
        raise StopAsyncIteration

    async def _wait(self) -> bytes | Failure | None:
        """The next bytes; None where a heartbeat is due; a failure where the stream broke."""
        watch = self._watch
        watch.enter()
        try:
            data = await self._call.response.chunk()
        except asyncio.CancelledError:
            reason = watch.caught()
            if not reason:
                self.close()
                raise
            if reason == HEARTBEAT:
                watch.beat = asyncio.get_running_loop().time()
                return None
            message = f"{self._adapter.name} fell silent."
            return Failure(Action.NEXT, reason, message, status=504)
        except TransportError:
            return b""  # whether anything is missing, the decoder knows
        else:
            watch.seen = watch.now()
            return data
        finally:
            watch.leave()

    def _last(self) -> bytes:
        """The connection ended: what is left goes out, or the error."""
        decoder = self._call.decoder
        self._ended = True
        out = b"".join(frame.data for frame in decoder.finish())
        if decoder.failure is not None:
            return out + self._broken(decoder.failure)
        return out or b": end\n\n"

    def _broken(self, failure: Failure) -> bytes:
        """The last thing a client hears of a stream that failed: never a finish, never [DONE]."""
        self._ended = True
        status = 502 if failure.status is None or failure.status < 500 else failure.status
        error = UpstreamError(failure.message, status=status, code=failure.code)
        if self.reply is not None:
            self.reply.error_code = failure.code
        self._finish(failure)
        return error_event(error)

    def _finish(self, failure: Failure | None) -> None:
        if self._over:
            return
        self._over = True
        self._watch.stop()
        if failure is None:
            self._call.response.release()
        else:
            self._call.response.abort()
        self._tell()
        self._on_end(failure)

    def close(self) -> None:
        """Stop now: the connection is dropped, what was used so far is told."""
        if self._over:
            return
        self._over = self._ended = True
        self._first = b""
        self._watch.stop()
        self._call.response.abort()
        self._tell()

    def _tell(self) -> None:
        decoder, reply = self._call.decoder, self.reply
        if reply is not None:
            reply.usage = with_cost(decoder.usage, self._call.cost)
            reply.finish_reason = decoder.finish_reason
            reply.output_characters = decoder.output_characters


async def replay(events: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Events that are all there already."""
    for event in events:
        yield event
