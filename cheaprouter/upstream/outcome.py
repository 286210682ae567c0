"""What the pool gives back: an answer, whole or coming, or the error for a client whom nobody answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, Protocol

from ..core.errors import CheapRouterError, LimitError, UpstreamError
from ..core.models import Attempt, Model, Usage
from ..core.records import dataclass
from ..providers.adapter import Adapter
from ..providers.failures import Action, Failure
from ..providers.transport import TransportError
from ..wire.events import Failed, Piece, Ping, StreamReader
from ..wire.openai_chat.encode import HEARTBEAT as BEAT
from ..wire.openai_chat.encode import error_event
from .basin import Meter, unpaid
from .call import MOST_PAUSES, Streaming, transport_failure
from .left import Left
from .unanswered import LONGEST_READ_ON
from .verify import Caught
from .watchdog import HEARTBEAT, Watchdog

HEARTBEAT_SECONDS: Final = 15.0


class Tab(Protocol):
    """What a request's tries go on: an account."""

    def top_up(self, model: Model, rate: int, wait: float) -> None:
        """Called before each try. Raises a LimitError where the price of a stand-in cannot be reserved.

        `rate`: tokens a second that the model writes (0: to its end, whoever reads), from `wait` seconds on.
        """

    def go_on(self, model: Model, rate: int, used: Usage | None) -> None:
        """Called before a paused turn is asked to go on."""

    def tried(self, model: Model, usage: Usage) -> None:
        """A try was no answer, and is billed all the same. A prompt or completion that nobody told is `estimated`."""

    def put_aside(self, model: Model, usage: Usage) -> Callable[[], None]:
        """As `tried`, of an answer that goes out after all if nothing better comes: what is returned takes it back."""

    def leave(self, left: Left) -> None:
        """The request is cancelled during a try, which whoever cancelled it must `end`."""


class Output(Protocol):
    """Where a stream is poured: a client's connection. `paused`: the client is behind, and should be let catch up.

    `on_resume`: called each time it has.
    """

    paused: bool
    on_resume: Callable[[], None] | None

    def write(self, piece: bytes) -> None:
        """Hand on a piece; never waits. Raises ConnectionResetError where the client is gone."""

    async def drained(self) -> None:
        """Wait until it is not paused."""


@dataclass(slots=True)
class WholeReply:
    """A complete answer. `usage`: `estimated` where the upstream told none; None where nothing was written.

    `spent`: the limit by which it was cut short. `caught`: what was seen to be wrong, with it or with the one that it replaces.
    """

    model: Model
    attempts: tuple[Attempt, ...]
    body: bytes
    usage: Usage | None
    finish_reason: str | None = None
    output_characters: int = 0
    spent: LimitError | None = None
    caught: Caught | None = None


@dataclass(slots=True)
class StreamReply:
    """An answer that is coming, in the wire that the operation names. Its first content is at hand, so the status is 200.

    Iterate `chunks` to the end, or `close` it. `usage`, `finish_reason`, `error_code` and `output_characters` grow
    while it runs; an `error_code` means that an error went out last, of that `error_status`. `caught`: as of a whole one;
    what is seen as it goes by is known at its end.
    """

    model: Model
    attempts: tuple[Attempt, ...]
    chunks: AsyncIterator[Piece]
    close: Callable[[], None]
    usage: Usage | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    error_status: int = 502
    output_characters: int = 0
    caught: Caught | None = None

    @property
    def left(self) -> Left | None:
        """What is to be read on where its client leaves in the middle: None where the upstream stops with us, or is to."""
        return LeftStream(self.model, self.chunks) if isinstance(self.chunks, Relay) and self.chunks.lingers else None

    def pour(self, out: Output) -> Awaitable[None]:
        """Hand all of it to `out` as it comes; the same as to iterate, and cheaper."""
        chunks = self.chunks
        return chunks.pour(out) if isinstance(chunks, Relay) else pull(chunks, out)


class UpstreamFailed(Exception):  # noqa: N818 - it is the outcome of a request, raised once, not an error of ours
    """No candidate answered. `attempts`: all that was tried; `error`: what the client should see."""

    def __init__(self, attempts: tuple[Attempt, ...], error: Exception) -> None:
        super().__init__(str(error))
        self.attempts = attempts
        self.error = error


class Relay:
    """The rest of a stream, from the first content to its end: iterates over what goes to the client, or is poured.

    `on_end` is called once, with the failure where there was one, and what was used as far as it was told. `weigh`: the tokens
    that characters of an answer are which was cut short, or is whole and was not counted. `lingers`: it is written and billed to its end, so that nothing is
    lost by reading on; then it stays open where its client leaves, until it is closed.
    """

    __slots__ = (
        "_adapter", "_ended", "_events", "_go_on_in", "_heartbeat", "_held", "_meter", "_on_end", "_out", "_over", "_pauses", "_poured", "_reader",
        "_ready", "_response", "_spent", "_tap", "_used", "_watch", "_weigh", "lingers", "reply",
    )  # fmt: skip

    def __init__(
        self,
        adapter: Adapter,
        call: Streaming,
        watch: Watchdog,
        on_end: Callable[[Failure | None, Usage | None], None],
        heartbeat: float,
        weigh: Callable[[int, bool], int],
        *,
        events: bool,
        meter: Meter | None = None,
        lingers: bool = False,
    ) -> None:
        self._adapter = adapter
        self.lingers = lingers
        self._meter = meter
        self._spent: LimitError | None = None
        self._response = call.response
        self._go_on_in = call.go_on
        self._used: Usage | None = None
        self._reader = call.reader
        self._watch = watch
        self._on_end = on_end
        self._heartbeat = heartbeat
        self._weigh = weigh
        self._events = events
        # An iterator lets go of what it was over once that has been handed on: a first piece may be large, and streams are long.
        self._ready: Iterator[Piece] = iter(call.first)
        self._tap = call.tap
        if self._tap is not None:
            self._tap.see(call.first)
        self._ended = call.ended
        self._over = self._held = False
        self._pauses = 0
        self._out: Output | None = None
        self._poured: asyncio.Future[None] | None = None
        self.reply: StreamReply | None = None

    # --- poured: the transport calls, and nothing waits but for the end ---------------------------------------------

    async def pour(self, out: Output) -> None:
        """Hand everything to `out` as it comes, to the end; where the transport cannot push, it is asked."""
        behind = out.paused
        while not behind and (piece := next(self._ready, None)) is not None:
            out.write(_bytes(piece))
            behind = out.paused
        if not (behind or self._ended or self._go_on_in or self._reader.done or self._reader.trouble):
            self._out, self._poured = out, asyncio.get_running_loop().create_future()
            self._watch.flow(self._adapter.timeouts.idle, self._heartbeat, self._due)
            if self._response.pipe(self):
                out.on_resume = self._go_on
                try:
                    await self._poured
                finally:
                    out.on_resume = None
                    self._leave()
                return
            self._watch.flow(self._adapter.timeouts.idle, self._heartbeat)
        await pull(self, out)

    def feed(self, data: bytes) -> None:
        """Bytes have come: called by the transport."""
        out, reader = self._out, self._reader
        if self._over or out is None:
            return
        watch = self._watch
        watch.seen = watch.now()
        pieces = reader.feed(data)
        if self._tap is not None:
            self._tap.see(pieces)
        if not self._write(pieces):
            return
        meter = self._meter
        if reader.done or reader.trouble is not None:
            self._conclude()
        elif (
            meter is not None
            and (reader.output_characters >= meter.characters or reader.pieces >= meter.pieces)
            and (spent := meter.more(reader.written)) is not None
        ):
            self._write((self._exhausted(spent),))
            self._let_go()
        elif out.paused and not self._held:
            self._held = True
            self._response.pause()

    def end(self, error: TransportError | None) -> None:  # noqa: ARG002 - whether anything is missing, the reader knows
        """No more bytes come: called by the transport."""
        if self._over or self._out is None:
            return
        self._ended = True
        if self._write(self._reader.finish()):
            self._conclude()

    def _write(self, pieces: Iterable[Piece]) -> bool:
        """Hand pieces on; False where the client is gone, which is for whoever pours to know."""
        assert self._out is not None
        try:
            for piece in pieces:
                assert isinstance(piece, bytes)  # since that is what was asked for
                self._out.write(piece)
        except ConnectionResetError as error:
            if self._poured is not None and not self._poured.done():
                self._poured.set_exception(error)
            return False
        return True

    def _conclude(self) -> None:
        """Say the last word, where it is over."""
        reader = self._reader
        if reader.trouble is not None and (failure := self._judged()) is not None:
            self._give_up(failure)
        elif self._ended or reader.done:
            self._finish(None)
            self._let_go()

    def _give_up(self, failure: Failure) -> None:
        self._write((self._broken(failure),))
        self._let_go()

    def _let_go(self) -> None:
        if self._poured is not None and not self._poured.done():
            self._poured.set_result(None)

    def _go_on(self) -> None:
        """The client has caught up."""
        if self._held and not self._over:
            self._held = False
            self._watch.seen = self._watch.now()
            self._response.resume()

    def _due(self, reason: str) -> None:
        """The watch's limit is reached."""
        watch = self._watch
        if self._held and watch.now() >= watch.end:  # the upstream is not to blame, so its failure it is not
            late = UpstreamError(
                "The answer was not read within the time it may take.", status=504, code="client_too_slow"
            )
            self._write((self._exhausted(late),))
            self._let_go()
        elif self._held:  # the client takes its time
            watch.seen = watch.now()
        elif reason == HEARTBEAT:
            watch.beat = watch.now()
            self._write((BEAT,))
        elif self._reader.complete:
            self.end(None)  # all was said; only the word that it was is missing
        else:
            self._give_up(self._silent(reason))

    # --- iterated over: a task waits for each piece -----------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        reader = self._reader
        while True:
            for piece in self._ready:
                return piece
            if self._over:
                raise StopAsyncIteration
            if (last := self._last()) is not None:
                return last
            if self._ended or reader.done:
                if (failure := await self._resumed()) is not None:
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
            pieces = reader.feed(data) if data else reader.finish()
            self._ready = iter(pieces if self._tap is None else self._tap.see(pieces))
            self._spent = self._measure()

    def _last(self) -> Piece | None:
        """What is to be said where it cannot go on."""
        if self._spent is not None:
            return self._exhausted(self._spent)
        if self._reader.trouble is not None and (failure := self._judged()) is not None:
            return self._broken(failure)
        return None

    def _measure(self) -> LimitError | None:
        """Whether a reply that goes on may do so."""
        meter, reader = self._meter, self._reader
        if meter is None or self._ended or reader.done or reader.trouble is not None:
            return None
        if reader.output_characters < meter.characters and reader.pieces < meter.pieces:
            return None
        return meter.more(reader.written)

    async def _resumed(self) -> Failure | None:
        """Go on where the upstream only paused, in another reply."""
        watch = self._watch
        if self._go_on_in is None or self._pauses >= MOST_PAUSES:
            return None
        watch.flow(self._adapter.timeouts.first_token, float("inf"))
        watch.enter()
        try:
            found = await self._go_on_in()
        except asyncio.CancelledError:
            if reason := watch.caught():
                return self._silent(reason)
            self.close()
            raise
        except TransportError as error:
            return transport_failure(self._adapter, error)
        finally:
            watch.leave()
        if found is None or isinstance(found, Failure):
            return found
        self._pauses += 1
        self._response.release()
        self._response, self._ended = found, False
        watch.flow(self._adapter.timeouts.idle, self._heartbeat)
        return None

    def _judged(self) -> Failure | None:
        """Whether it failed. A stream without any content came this far because that was no surprise."""
        reader = self._reader
        return self._adapter.judge_stream(reader) if reader.said else None

    async def _wait(self) -> bytes | Failure | None:
        """The next bytes; None where a heartbeat is due; a failure where the stream broke."""
        watch = self._watch
        if watch.what != "idle":
            watch.flow(self._adapter.timeouts.idle, self._heartbeat)
        watch.enter()
        try:
            data = await self._response.chunk()
        except asyncio.CancelledError:
            reason = watch.caught()
            if not reason:
                self._leave()
                raise
            if reason == HEARTBEAT:
                watch.beat = watch.now()
                return None
            return b"" if self._reader.complete else self._silent(reason)
        except TransportError:
            return b""  # whether anything is missing, the reader knows
        else:
            watch.seen = watch.now()
            return data
        finally:
            watch.leave()

    # --- the end -----------------------------------------------------------------------------------------------------

    def _silent(self, reason: str) -> Failure:
        return Failure(Action.NEXT, reason, f"{self._adapter.name} fell silent.", status=504)

    def _broken(self, failure: Failure) -> Piece:
        """The last thing a client hears of a stream that failed: never a finish, never [DONE]."""
        self._ended = True
        status = 502 if failure.status is None or failure.status < 500 else failure.status
        error = UpstreamError(failure.message, status=status, code=failure.code)
        if self.reply is not None:
            self.reply.error_code = failure.code
        self._finish(failure)
        return self._told(error)

    def _exhausted(self, error: LimitError | UpstreamError) -> Piece:
        """The last thing where its client may have no more: the upstream is stopped, and not to blame."""
        self._ended = True
        if self.reply is not None:
            self.reply.error_code, self.reply.error_status = error.code, error.status
        if self._stop(keep=False):
            self._on_end(None, self._used)
        return self._told(error)

    def _told(self, error: CheapRouterError) -> Piece:
        return Failed(error) if self._events else error_event(error)

    def _finish(self, failure: Failure | None) -> None:
        if self._stop(keep=failure is None):
            self._on_end(failure, self._used)

    def close(self) -> None:
        """Stop now: the connection is dropped, what was used so far is told."""
        self._ended = True
        self._ready = iter(())
        self._stop(keep=self._reader.done)

    def _leave(self) -> None:
        """The client has gone."""
        if self.lingers:
            self._out = None
        else:
            self.close()

    async def read_on(self) -> None:
        """Take the rest for what it says of its use, as far as that may be spent. Raises TransportError."""
        self._watch.stop()
        rest = Rest(self._reader, self._meter)
        if self._over or rest.read.done():
            return
        if not self._response.pipe(rest):
            while not rest.read.done() and (data := await self._response.chunk()):
                rest.feed(data)
            return
        if self._held:
            self._response.resume()
        await rest.read

    def _stop(self, *, keep: bool) -> bool:
        """Let go of the upstream and tell what was used; False where that was done before."""
        if self._over:
            return False
        self._over = True
        self._watch.stop()
        response, reader = self._response, self._reader
        reply, self.reply = self.reply, None  # they know each other, and would wait for the garbage collector
        response.release() if keep else response.abort()
        if reply is not None:
            self._used = reply.usage = self._adapter.with_cost(self._usage(), response.headers)
            reply.finish_reason = reader.finish_reason
            reply.output_characters = reader.written
            if self._tap is not None and (fault := self._tap.fault()) is not None:
                reply.caught = Caught(reply.model.id, fault, replaced=False)
        return True

    def _usage(self) -> Usage | None:
        """Its counts. Those of a stream that did not finish are from its beginning, so the output is at least what came."""
        reader = self._reader
        usage, whole = reader.usage, reader.finish_reason is not None
        if whole and (usage is not None or not reader.written):
            return usage
        least = self._weigh(reader.written, whole)
        if usage is None:
            return Usage(completion_tokens=least, estimated=True) if least else None
        return replace(usage, completion_tokens=max(least, usage.completion_tokens), estimated=True)


class Rest:
    """What still comes of a stream that nobody waits for: called by the transport. `read`: done at its end."""

    def __init__(self, reader: StreamReader, meter: Meter | None) -> None:
        self._reader = reader
        self._meter = meter
        self._size = 0
        self.read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if reader.done or reader.trouble is not None:
            self.end(None)

    def feed(self, data: bytes) -> None:
        if self.read.done():
            return
        reader = self._reader
        reader.feed(data)
        self._size += len(data)
        if reader.done or reader.trouble is not None or self._size > LONGEST_READ_ON or unpaid(reader, self._meter):
            self.end(None)

    def end(self, error: TransportError | None) -> None:  # noqa: ARG002 - what is missing is estimated
        if not self.read.done():
            self.read.set_result(None)


class LeftStream:
    """See `Left`: its reply tells what was used, once it is ended."""

    def __init__(self, model: Model, relay: Relay) -> None:
        self.model = model
        self._relay = relay

    async def read_on(self) -> None:
        await self._relay.read_on()

    def end(self) -> Usage | None:
        self._relay.close()
        return None


async def replay(pieces: Iterable[Piece]) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


async def pull(pieces: AsyncIterator[Piece], out: Output) -> None:
    """Ask for every piece and hand it on, as fast as `out` takes them."""
    async for piece in pieces:
        out.write(_bytes(piece))
        if out.paused:
            await out.drained()


def _bytes(piece: Piece) -> bytes:
    """What is poured is bytes, since that is what was asked for."""
    assert isinstance(piece, bytes)
    return piece
