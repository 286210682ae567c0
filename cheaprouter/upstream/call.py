"""One try at one target: out over the transport, judged on the way back, up to the first content."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import field, replace
from datetime import datetime
from functools import partial
from typing import Final

import orjson

from ..config.kinds import Timeouts
from ..core.errors import LimitError
from ..core.models import Model, Operation, Usage
from ..core.records import dataclass
from ..providers.adapter import Adapter, header_limit
from ..providers.completion import Completion
from ..providers.failures import Action, Failure, asked_of, degraded
from ..providers.gathering import Gathering
from ..providers.transport import Exchange, Response, Transport, TransportError, WireRequest
from ..providers.unsupported import Changes
from ..wire import UntranslatableError
from ..wire.checks.fault import Fault
from ..wire.events import Piece, StreamReader
from ..wire.openai_chat.chunks import explode
from ..wire.openai_chat.encode import to_stream
from ..wire.openai_chat.thoughts import Keep, Recall, hear
from ..wire.sse import looks_like_events
from ..wire.tally import others_first
from .basin import LONGEST_REPLY, Basin, Meter, unpaid
from .unanswered import LONGEST_ERROR
from .verify import Guard, Tap
from .watchdog import Watchdog

TIMEOUT_COOLDOWN: Final = 15.0
_NEVER: Final = float("inf")
_MOST_BLANK: Final = 1 << 20
"""Bytes of white space before a reply: some servers send a blank now and then while they think."""

_NOT_SENT: Final = frozenset({"upstream_unreachable", "upstream_tls"})
MOST_PAUSES: Final = 8
"""Times that a turn goes on which its upstream paused."""


@dataclass(slots=True)
class Answered:
    """A whole answer for a client that wanted a stream, as its pieces."""

    completion: Completion
    pieces: list[Piece]


@dataclass(slots=True)
class Streaming:
    """An answer whose first content is at hand. `ended`: all of it is. `go_on`: asks for the rest where it only paused.

    `fault`: what is wrong with it, where it was held back and looked at. `tap`: where it is looked at as it goes by.
    """

    response: Response
    reader: StreamReader
    first: list[Piece]
    ended: bool
    go_on: Callable[[], Awaitable[Response | Failure | None]] | None = None
    fault: Fault | None = None
    tap: Tap | None = None


@dataclass(slots=True)
class Asker:
    """What is known of who asks. `expected_output`: tokens, 0 where that is unknown. `named`: the models are named by the user.

    `meter`: None where nothing is limited.
    `request_id`: ours, sent along so that a provider's log can be compared with ours; "" for none. `affinity`: see
    `RouteDecision`. `guard`: what is looked at in an answer before it leaves, None for nothing.
    """

    device_id: str = ""
    expected_output: int = 0
    named: bool = False
    meter: Meter | None = None
    request_id: str = ""
    affinity: int | None = None
    guard: Guard | None = None


NOBODY: Final = Asker()


@dataclass(slots=True)
class Call:
    """What one try needs. `utcnow`: for dated headers. `writing`: seconds that a whole reply may take to be written.

    `learned`: changes for this model. `streamed`: a stream is asked for. `wrote`: seconds from the first content to the end
    of a reply that was `gathered`. `ignored`: it came whole though a stream was asked for. `again`: see `Response`, known once
    it has run. `pauses`: times that a gathered turn was asked to go on. `before_each`: called before it is, with what was used so
    far. `spent`: why a gathered reply had to end early. `expected`: tokens that its answer probably has.

    `guard`: see `Asker`; `held`: seconds for which a stream was held back by it, from its first content.

    What is known of its cost where it is no answer: `sent`: the request is out, though no headers came; `accepted`: a reply of
    status 200 began, which is in `gathering`, `reading`, or `start` and `parts`; `refused`: what an error told of a usage.
    """

    adapter: Adapter
    model: Model
    request: Operation
    api_key: str | None
    learned: Changes
    streamed: bool
    transport: Transport
    watch: Watchdog
    utcnow: Callable[[], datetime]
    filter_fails: bool
    request_id: str = ""
    writing: float = 0.0
    keep: Keep | None = None
    recall: Recall | None = None
    response: Response | None = None
    wrote: float = 0.0
    gathered: bool = False
    ignored: bool = False
    again: bool = False
    lost: float = 0.0
    pauses: int = 0
    meter: Meter | None = None
    spent: LimitError | None = None
    before_each: Callable[[Usage | None], None] | None = None
    expected: int = 0
    sent: bool = False
    accepted: bool = False
    exchange: Exchange | None = None
    gathering: Gathering | None = None
    basin: Basin | None = None
    reading: StreamReader | None = None
    start: bytes = b""
    parts: list[bytes] = field(default_factory=list)
    filtered: Completion | None = None
    refused: Usage | None = None
    guard: Guard | None = None
    held: float = 0.0

    async def run(self) -> Completion | Answered | Streaming | Failure:
        """Try. The watch is stopped by whoever made it.

        A cancellation from outside goes on up, and leaves the connection as it is: see `unanswered`.
        """
        watch = self.watch
        keep = False
        watch.enter()
        try:
            limits, stream = self.adapter.timeouts, self.streamed
            within = self.adapter.headers_within if stream else header_limit(limits, stream=False, writing=self.writing)
            watch.expect("headers", within)
            wire = self._prepared() if not self.request.size else await self._prepared_in_turns()
            self.response = response = await self.transport.open(wire, limits.connect, self.request_id)
            self.again, self.lost = response.again, response.lost
            if response.status != 200:
                return await self._refused(response, limits, wire.body or b"")
            self.accepted = True
            if not self.request.stream:
                return await (self._gathered(response) if stream else self._whole(response))
            outcome = await self._stream(response)
            if keep := isinstance(outcome, Streaming):
                watch.leave()
        except UntranslatableError as error:
            message = f"{self.adapter.name} cannot be asked this: {error}."
            return Failure(Action.NEXT, "unsupported_content", message, status=400)
        except TransportError as error:
            self.again, self.lost = self.again or error.again, self.lost or error.lost
            self.sent = self.sent or error.code not in _NOT_SENT
            return transport_failure(self.adapter, error)
        except asyncio.CancelledError:
            if not watch.caught():
                keep = True
                raise
            self.abandon_exchange()
            return timeout_failure(self.adapter, watch)
        finally:
            if self.response is not None and not keep:
                self.response.release() if watch.what == "read" else self.response.abort()
        return outcome

    def _left(self, exchange: Exchange) -> None:
        """Whoever waits for the headers is cancelled."""
        self.sent, self.exchange = True, exchange

    def _prepared(self) -> WireRequest:
        return self.adapter.prepare(
            self.request,
            self.model,
            self.api_key,
            self.learned,
            self.recall,
            stream=self.streamed,
            on_head=self._begins if self.streamed else None,
            on_left=self._left,
        )

    async def _prepared_in_turns(self) -> WireRequest:
        """A long one takes long to write: others have their turn before and after."""
        await others_first()
        wire = self._prepared()
        await others_first()
        return wire

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
        self.refused = self.adapter.use_in(body, self.request)[0] if b"usage" in body else None
        if response.status < 400:
            message = f"{self.adapter.name} answered with status {response.status}; redirects are not followed."
            return degraded("upstream_redirect" if response.status >= 300 else "invalid_reply", message)
        asked = asked_of(self.model, sent, self.request.max_tokens)
        failure = self.adapter.judge(response.status, response.headers, body, self.utcnow().timestamp(), asked)
        if failure.code == "content_filter" and self.filter_fails:
            return replace(failure, action=Action.NEXT)
        return failure

    async def _whole(self, response: Response, start: bytes = b"") -> Completion | Failure:
        self.start = start
        body = start + await response.read(LONGEST_REPLY, into=self.parts)
        self.watch.what = "read"
        completion = self.adapter.complete(body, self.request, response.headers, think=self.model.think_tags)
        if isinstance(completion, Failure):
            self.start, self.parts = body, []
        elif self.keep is not None:
            hear(completion.body, self.keep)
        return self._unfiltered(completion) if self.filter_fails else completion

    def _unfiltered(self, completion: Completion | Failure) -> Completion | Failure:
        if not isinstance(completion, Failure) and completion.finish_reason == "content_filter":
            self.filtered = completion
            return degraded("content_filter", f"{self.adapter.name} filtered the answer.")
        return completion

    async def _gathered(self, response: Response) -> Completion | Failure:
        """Gather a stream for a client that wants a whole reply. Nothing has left before its end, so any failure is another's turn."""
        start = await response.chunk()
        if not start.strip():
            start = await self._first(response)
        if not start.startswith(b"data:") and (start.startswith(b"{") or not looks_like_events(start)):
            self.ignored = True
            return await self._whole(response, start)
        self.gathered = True
        if self.keep is None and start.endswith(self.adapter.stream_ends):
            done = self.adapter.at_once(start, self.request, think=self.model.think_tags)
            if done is not None:  # it has come whole, as short ones do
                self.watch.what = "read"
                return self._unfiltered(done) if self.filter_fails else done
        gathering = self.gathering = Gathering(self.adapter, self.request, self.keep, think=self.model.think_tags)
        gathering.feed(start)
        broken = None if gathering.over else await self._rest(response, gathering)
        for _ in range(
            MOST_PAUSES if self.adapter.pauses is not None and self.adapter.pauses(self.request.body) else 0
        ):
            if broken or self.spent or (wire := gathering.resumed(self._next_part)) is None:
                break
            response.release()
            if self.before_each is not None:
                self.before_each(gathering.reader.usage)
            self.pauses += 1
            self.watch.expect("headers", self.adapter.timeouts.first_token)
            self.response = response = await self.transport.open(wire, self.adapter.timeouts.connect, self.request_id)
            if response.status != 200:
                return await self._refused(response, self.adapter.timeouts, wire.body or b"")
            broken = await self._rest(response, gathering)
        return self._end_of(gathering, response, broken)

    def _end_of(self, gathering: Gathering, response: Response, broken: TransportError | None) -> Completion | Failure:
        """What was gathered, once nothing more comes or may come."""
        if self.spent is not None:
            self.watch.what = "cut"
            return gathering.cut(response.headers, 0 if self.meter is None else self.meter.prompt)
        self.watch.what = "read"
        completion = gathering.completion(response.headers)
        if broken is not None and isinstance(completion, Failure):
            raise broken
        return self._unfiltered(completion) if self.filter_fails else completion

    async def _first(self, response: Response) -> bytes:
        """What comes after the headers, and blank lines, once it does; nothing at the end."""
        self._begins(response.status)
        blank = 0
        while (data := await response.chunk()) and not data.strip():
            blank += len(data)
            if blank > _MOST_BLANK:
                raise TransportError("invalid_reply", "The reply begins with blank lines without end.")
        return data

    async def _rest(self, response: Response, gathering: Gathering) -> TransportError | None:
        """Take all that comes; why it broke off, where it did."""
        self._begins(response.status)
        basin = self.basin = Basin(gathering, self.watch, self.adapter.timeouts.idle, self.meter)
        try:
            if not response.pipe(basin):
                while not gathering.over and (data := await response.chunk()):
                    basin.feed(data)
                basin.end(None)
            await basin.full
        except TransportError as error:
            return error
        except asyncio.CancelledError:  # all was said, where only the word that it was is missing
            if self.watch.what != "idle" or not gathering.complete or not self.watch.caught():
                raise
        self.basin = None
        if basin.began:
            self.wrote = self.watch.now() - basin.began
        self.spent = basin.spent
        return basin.error

    def abandon_exchange(self) -> None:
        """Wait for no headers any more."""
        if self.exchange is not None:
            self.exchange.abandon()

    def timing(self) -> tuple[float, float | None]:
        """Seconds for which its reply was seen to be written, and those since its last piece: None where it ended by itself."""
        basin = self.basin
        if basin is None or not basin.began:
            return self.wrote, None if self.wrote else 0.0
        seen = max(basin.began, self.watch.seen)
        return seen - basin.began, None if basin.over else self.watch.now() - seen

    def _next_part(self, reader: StreamReader) -> WireRequest | None:
        return self.adapter.go_on(reader, self.request, self.model, self.api_key, self.learned)

    async def _go_on(self, reader: StreamReader) -> Response | Failure | None:
        """The reply that a paused stream goes on in; None where it did not pause."""
        if (wire := self._next_part(reader)) is None:
            return None
        if self.before_each is not None:
            self.before_each(reader.usage)
        response = await self.transport.open(wire, self.adapter.timeouts.connect, self.request_id)
        return (
            response
            if response.status == 200
            else await self._refused(response, self.adapter.timeouts, wire.body or b"")
        )

    async def _stream(self, response: Response) -> Answered | Streaming | Failure:
        """Read until the first content; what comes before is held back, so that a failure can still be another's turn."""
        start = await self._first(response)
        if start and not looks_like_events(start):
            return await self._whole_for_stream(start, response)
        reader = self.reading = self.adapter.reader(
            self.request, self.request.wire, self.keep, think=self.model.think_tags
        )
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
        fault = tap = None
        if self.guard is not None:
            if self.guard.holds:
                fault, ended = await self._held(self.guard, response, reader, pieces, ended=ended)
                if reader.trouble is not None and (failure := self.adapter.judge_stream(reader)) is not None:
                    return failure  # nothing of it has left
            tap = None if fault is not None else self.guard.tap()
        if self.request.wire != "events" and len(pieces) != 1:
            pieces = [b"".join(piece for piece in pieces if isinstance(piece, bytes))]
        go_on = (
            partial(self._go_on, reader)
            if self.adapter.pauses is not None and self.adapter.pauses(self.request.body)
            else None
        )
        return Streaming(response, reader, pieces, ended, go_on, fault, tap)

    async def _held(
        self, guard: Guard, response: Response, reader: StreamReader, pieces: list[Piece], *, ended: bool
    ) -> tuple[Fault | None, bool]:
        """What is wrong with a stream that is held back for it, and whether it has ended meanwhile."""
        began = self.watch.now()
        self.watch.flow(self.adapter.timeouts.idle, _NEVER)

        async def feed() -> list[Piece] | None:
            nonlocal ended
            if ended:
                return None
            data = await response.chunk()
            self.watch.seen = self.watch.now()
            made = reader.feed(data) if data else reader.finish()
            ended = not data or reader.done
            return made

        fault = await guard.hold(feed, pieces, reader, lambda: not unpaid(reader, self.meter))
        self.held = self.watch.now() - began
        if ended:
            self.watch.what = "read"
        return fault, ended

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
    """No reply, or half of one: once more where a new connection may do, else the next.

    Who let a connection wait till the end of its time is not asked for another.
    """
    again = error.code in ("upstream_unreachable", "upstream_reset", "upstream_tls")
    message = f"{adapter.name}: {adapter.clean(error.message)}"
    if error.silent:
        return Failure(Action.NEXT, error.code, message, status=502, cooldown=TIMEOUT_COOLDOWN)
    return Failure(Action.RETRY if again else Action.NEXT, error.code, message, status=502)


def timeout_failure(adapter: Adapter, watch: Watchdog) -> Failure:
    """A limit ran out: the next, and this one is left alone for a moment."""
    words = {"headers": "did not answer", "first_token": "sent nothing"}
    message = f"{adapter.name} {words.get(watch.what, 'did not finish')} within {watch.limit:g} s."
    return Failure(Action.NEXT, "upstream_timeout", message, status=504, cooldown=TIMEOUT_COOLDOWN)
