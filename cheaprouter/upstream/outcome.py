"""What the pool gives back: an answer, whole or coming, or the error for a client whom nobody answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import Final

from ..core.errors import UpstreamError
from ..core.models import Attempt, Model, Usage
from ..core.records import dataclass
from ..providers.adapter import Adapter, TransportError
from ..providers.failures import Action, Failure
from ..wire.events import Failed, Piece, Ping, StreamReader
from ..wire.openai_chat.encode import HEARTBEAT as BEAT
from ..wire.openai_chat.encode import error_event
from .call import Streaming
from .watchdog import HEARTBEAT, Watchdog

HEARTBEAT_SECONDS: Final = 15.0

TopUp = Callable[[Model], None]
"""Called before a stand-in is tried; raises a LimitError where its price cannot be reserved."""


@dataclass(slots=True)
class WholeReply:
    """A complete answer. `usage` None: the upstream told none."""

    model: Model
    attempts: tuple[Attempt, ...]
    body: bytes
    usage: Usage | None
    finish_reason: str | None = None
    output_characters: int = 0


@dataclass(slots=True)
class StreamReply:
    """An answer that is coming, in the wire that the operation names. Its first content is at hand, so the status is 200.

    Iterate `chunks` to the end, or `close` it. `usage`, `finish_reason`, `error_code` and `output_characters` grow
    while it runs; an `error_code` means that an error went out last.
    """

    model: Model
    attempts: tuple[Attempt, ...]
    chunks: AsyncIterator[Piece]
    close: Callable[[], None]
    usage: Usage | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    output_characters: int = 0


class UpstreamFailed(Exception):  # noqa: N818 - it is the outcome of a request, raised once, not an error of ours
    """No candidate answered. `attempts`: all that was tried; `error`: what the client should see."""

    def __init__(self, attempts: tuple[Attempt, ...], error: Exception) -> None:
        super().__init__(str(error))
        self.attempts = attempts
        self.error = error


class Relay:
    """The rest of a stream, from the first content to its end: iterates over what goes to the client.

    `on_end` is called once, with the failure where there was one.
    """

    __slots__ = ("_adapter", "_call", "_ended", "_events", "_on_end", "_over", "_ready", "_watch", "reply")

    def __init__(
        self,
        adapter: Adapter,
        call: Streaming,
        watch: Watchdog,
        on_end: Callable[[Failure | None], None],
        heartbeat: float,
        *,
        events: bool,
    ) -> None:
        self._adapter = adapter
        self._call = call
        self._watch = watch
        self._on_end = on_end
        self._events = events
        self._ready = deque(call.first)
        self._ended = call.ended
        self._over = False
        self.reply: StreamReply | None = None
        watch.flow(adapter.timeouts.idle, heartbeat)

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        reader = self._call.reader
        while not self._ready:
            if self._over:
                raise StopAsyncIteration
            if reader.trouble is not None and (failure := self._judged()) is not None:
                return self._broken(failure)
            if self._ended or reader.done:
                self._finish(None)
                raise StopAsyncIteration
            data = await self._wait()
            if data is None:
                return Ping() if self._events else BEAT
            if isinstance(data, Failure):
                return self._broken(data)
            self._ended = not data
            self._ready.extend(reader.feed(data) if data else reader.finish())
        return self._ready.popleft()

    def _judged(self) -> Failure | None:
        """Whether it failed. A stream without any content came this far because that was no surprise."""
        reader = self._call.reader
        return self._adapter.judge_stream(reader) if reader.said else None

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
                watch.beat = watch.now()
                return None
            return Failure(Action.NEXT, reason, f"{self._adapter.name} fell silent.", status=504)
        except TransportError:
            return b""  # whether anything is missing, the reader knows
        else:
            watch.seen = watch.now()
            return data
        finally:
            watch.leave()

    def _broken(self, failure: Failure) -> Piece:
        """The last thing a client hears of a stream that failed: never a finish, never [DONE]."""
        self._ended = True
        status = 502 if failure.status is None or failure.status < 500 else failure.status
        error = UpstreamError(failure.message, status=status, code=failure.code)
        if self.reply is not None:
            self.reply.error_code = failure.code
        self._finish(failure)
        return Failed(error) if self._events else error_event(error)

    def _finish(self, failure: Failure | None) -> None:
        if self._stop(keep=failure is None):
            self._on_end(failure)

    def close(self) -> None:
        """Stop now: the connection is dropped, what was used so far is told."""
        self._ended = True
        self._ready.clear()
        self._stop(keep=False)

    def _stop(self, *, keep: bool) -> bool:
        """Let go of the upstream and tell what was used; False where that was done before."""
        if self._over:
            return False
        self._over = True
        self._watch.stop()
        response, reader, reply = self._call.response, self._call.reader, self.reply
        response.release() if keep else response.abort()
        if reply is not None:
            reply.usage = self._adapter.with_cost(_usage_of(reader), response.headers)
            reply.finish_reason = reader.finish_reason
            reply.output_characters = reader.output_characters
        return True


def _usage_of(reader: StreamReader) -> Usage | None:
    """Its counts. Those of a stream that did not finish are from its beginning, so the output is at least what came."""
    usage, least = reader.usage, (reader.output_characters + 3) // 4
    if usage is None or reader.finish_reason is not None or usage.completion_tokens >= least:
        return usage
    return replace(usage, completion_tokens=least, estimated=True)


async def replay(pieces: Iterable[Piece]) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece
