"""One try at one target: out over the transport, judged on the way back, up to the first content."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import orjson

from ..config.kinds import Timeouts
from ..core.models import Model, Operation
from ..core.records import dataclass
from ..providers.adapter import Adapter, Completion, Response, Transport, TransportError, WireRequest
from ..providers.failures import Action, Failure, asked_of, degraded
from ..providers.unsupported import Learned
from ..wire import UntranslatableError
from ..wire.events import Piece, StreamReader
from ..wire.openai_chat.chunks import explode
from ..wire.openai_chat.encode import to_stream
from ..wire.sse import looks_like_events
from .watchdog import Watchdog

LONGEST_REPLY: Final = 64 * 1024 * 1024
LONGEST_ERROR: Final = 256 * 1024
TIMEOUT_COOLDOWN: Final = 15.0


@dataclass(slots=True)
class Answered:
    """A whole answer for a client that wanted a stream, as its pieces."""

    completion: Completion
    pieces: list[Piece]


@dataclass(slots=True)
class Streaming:
    """An answer whose first content is at hand. `ended`: all of it is."""

    response: Response
    reader: StreamReader
    first: list[Piece]
    ended: bool


@dataclass(slots=True)
class Call:
    """What one try needs. `utcnow`: for dated headers. `again`: see `Response`, known once it has run."""

    adapter: Adapter
    model: Model
    request: Operation
    api_key: str | None
    learned: Learned
    transport: Transport
    watch: Watchdog
    utcnow: Callable[[], datetime]
    filter_fails: bool
    again: bool = False

    async def run(self) -> Completion | Answered | Streaming | Failure:
        """Try. A cancellation from outside drops the connection and goes on up. The watch is stopped by whoever made it."""
        response: Response | None = None
        watch = self.watch
        keep = False
        watch.enter()
        try:
            limits = self.adapter.timeouts
            learned = self.learned.of(self.model)
            stream = self.request.stream and "stream" not in learned
            watch.expect("headers", self.adapter.header_limits[stream])
            wire = self.adapter.prepare(self.request, self.model, self.api_key, learned)
            if stream:
                wire = WireRequest(wire.endpoint, wire.body, self._begins)
            response = await self.transport.open(wire, limits.connect)
            self.again = response.again
            if response.status != 200:
                return await self._refused(response, limits, wire.body or b"")
            if not self.request.stream:
                return await self._whole(response)
            outcome = await self._stream(response)
            if keep := isinstance(outcome, Streaming):
                watch.leave()
        except UntranslatableError as error:
            message = f"{self.adapter.name} cannot be asked this: {error}."
            return Failure(Action.NEXT, "unsupported_content", message, status=400)
        except TransportError as error:
            self.again = self.again or error.again
            return transport_failure(self.adapter, error)
        except asyncio.CancelledError:
            if not watch.caught():
                raise
            return timeout_failure(self.adapter, watch)
        finally:
            if response is not None and not keep:
                response.release() if watch.what == "read" else response.abort()
        return outcome

    def _begins(self, status: int) -> bool:
        """A stream's headers have come: from now on it is its first content that is waited for."""
        if status == 200 and self.watch.what == "headers":
            self.watch.expect("first_token", self.adapter.timeouts.first_token)
        return status == 200

    async def _refused(self, response: Response, limits: Timeouts, sent: bytes) -> Failure:
        """Read what is wrong. A success that is not 200, and a redirect, are no answers either."""
        self.watch.expect("error", limits.first_token)
        body = await response.read(LONGEST_ERROR, cut=True)
        self.watch.what = "read"
        if response.status < 400:
            message = f"{self.adapter.name} answered with status {response.status}; redirects are not followed."
            return degraded("upstream_redirect" if response.status >= 300 else "invalid_reply", message)
        asked = asked_of(self.model, sent, self.request.max_tokens)
        failure = self.adapter.judge(response.status, response.headers, body, self.utcnow().timestamp(), asked)
        if failure.code == "content_filter" and self.filter_fails:
            return replace(failure, action=Action.NEXT)
        return failure

    async def _whole(self, response: Response, start: bytes = b"") -> Completion | Failure:
        body = start + await response.read(LONGEST_REPLY)
        self.watch.what = "read"
        completion = self.adapter.complete(body, self.request, response.headers, think=self.model.think_tags)
        if isinstance(completion, Failure):
            return completion
        if completion.finish_reason == "content_filter" and self.filter_fails:
            return degraded("content_filter", f"{self.adapter.name} filtered the answer.")
        return completion

    async def _stream(self, response: Response) -> Answered | Streaming | Failure:
        """Read until the first content; what comes before is held back, so that a failure can still be another's turn."""
        self._begins(response.status)
        start = b""
        while not start.strip() and (data := await response.chunk()):
            start += data
        if start and not looks_like_events(start):
            return await self._whole_for_stream(start, response)
        reader = self.adapter.reader(self.request, self.request.wire, think=self.model.think_tags)
        pieces = reader.feed(start) if start else []
        ended = not start
        while not (ended or reader.done or reader.said or reader.trouble is not None):
            data = await response.chunk()
            ended = not data
            pieces += reader.feed(data) if data else ()
        ended = ended or reader.done
        if ended:
            self.watch.what = "read"
            pieces += reader.finish()
        if not reader.said and (failure := self.adapter.judge_stream(reader, self.request.max_tokens)) is not None:
            return failure
        if reader.finish_reason == "content_filter" and self.filter_fails:
            return degraded("content_filter", f"{self.adapter.name} filtered the answer.")
        if self.request.wire != "events" and len(pieces) != 1:
            pieces = [b"".join(piece for piece in pieces if isinstance(piece, bytes))]
        return Streaming(response, reader, pieces, ended)

    async def _whole_for_stream(self, start: bytes, response: Response) -> Answered | Failure:
        """A whole reply came though a stream was asked for."""
        completion = await self._whole(response, start)
        if isinstance(completion, Failure):
            return completion
        events = explode(orjson.loads(completion.body))
        try:
            made = to_stream(events, want_usage=self.request.include_usage)
            return Answered(completion, [*(events if self.request.wire == "events" else made)])
        except orjson.JSONEncodeError:
            return degraded("invalid_reply", f"{self.adapter.name} answered with JSON that is nested too deep.")


def transport_failure(adapter: Adapter, error: TransportError) -> Failure:
    """No reply, or half of one: once more where a new connection may do, else the next."""
    again = error.code in ("upstream_unreachable", "upstream_reset", "upstream_tls")
    message = f"{adapter.name}: {adapter.clean(error.message)}"
    return Failure(Action.RETRY if again else Action.NEXT, error.code, message, status=502)


def timeout_failure(adapter: Adapter, watch: Watchdog) -> Failure:
    """A limit ran out: the next, and this one is left alone for a moment."""
    words = {"headers": "did not answer", "first_token": "sent nothing"}
    message = f"{adapter.name} {words.get(watch.what, 'did not finish')} within {watch.limit:g} s."
    return Failure(Action.NEXT, "upstream_timeout", message, status=504, cooldown=TIMEOUT_COOLDOWN)
