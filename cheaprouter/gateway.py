"""The line of a request: admit, choose, reserve, send, stream, settle. Readable from top to bottom."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import field
from datetime import datetime
from functools import partial
from typing import Any, Final

from .accounts.account import Account
from .accounts.accounts import Accounts
from .config.settings import BudgetAction, DeviceSettings, Verify
from .core.errors import BudgetError, CheapRouterError, LimitError, NotConfiguredError, ShuttingDownError
from .core.events import AnswerRejected
from .core.ids import LONGEST_HEADER, ascii_header
from .core.models import Caller, Json, Model, Operation, RouteDecision, Usage
from .core.money import usd_text
from .core.records import dataclass
from .learning import Learning
from .routing.router import RouteContext
from .upstream.cache import CachedReply, cache_key
from .upstream.call import Asker
from .upstream.left import Left, LeftBehind
from .upstream.outcome import Output, StreamReply, UpstreamFailed, WholeReply, pull
from .upstream.pool import Pool
from .upstream.verify import Guard
from .wire.events import Piece
from .world import World

CLIENT_CLOSED: Final = 499
"""Recorded where the client went away first (nginx's number for it; no client ever sees it)."""

_MOST_CACHED: Final = 1024 * 1024
"""Bytes of a request whose answer may be kept: a picture hardly comes twice, and its hash takes as long as all the rest."""


def _nothing() -> None: ...


@dataclass(slots=True)
class Reply:
    """What a front door renders: headers, and either `body` or `chunks` in the wire that it asked for.

    `close` it, whatever happened: that books it, a whole one best once it has left. `poured`: does the same as to iterate
    over the chunks, for less; None where it cannot be.
    """

    headers: dict[str, str]
    body: bytes | None = None
    chunks: AsyncIterator[Piece] | None = None
    close: Callable[[], None] = _nothing
    poured: Callable[[Output], Awaitable[None]] | None = None

    def pour(self, out: Output) -> Awaitable[None]:
        """Hand all chunks to `out`, to the end."""
        if self.poured is not None:
            return self.poured(out)
        assert self.chunks is not None
        return pull(self.chunks, out)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that could not even be understood, as far as it is booked."""

    model: str
    kind: str = "chat"
    body: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    n: int = 1
    wire: str = "openai_chat"
    marked: bool = False
    size: int = 0

    def capped(self, most: int) -> Refused:  # noqa: ARG002 - it is never sent
        return self


class Gateway:
    """Takes a checked request from a known caller to an answer, and books it. `world`: what further requests are served by."""

    def __init__(self, world: World, accounts: Accounts, pool: Pool) -> None:
        self.world = world
        self.accounts = accounts
        self.pool = pool
        self._prefix = secrets.token_hex(6)
        self._count = itertools.count(1)
        self.draining = False
        self.cut_off = False  # from here on it is we who end replies, not their clients
        self.running = 0
        self.left_behind = LeftBehind()
        self.learning: Learning | None = None
        self._idle: asyncio.Event | None = None

    def new_id(self) -> str:
        """A request id: unique without asking the system for randomness each time."""
        return f"req_{self._prefix}{next(self._count):08x}"

    async def serve(
        self, operation: Operation, caller: Caller, *, via: str = "http", request_id: str | None = None
    ) -> Reply:
        """Serve one request. Raises CheapRouterError, already booked; a cancellation is booked too."""
        world = self.world
        account = Account(
            self.accounts,
            world.policies,
            operation,
            caller,
            request_id or self.new_id(),
            via=via,
            baseline=world.router.baseline,
        )
        self.running += 1
        account.on_close = self._leave
        try:
            return await self._serve(world, account)
        except CheapRouterError as error:
            account.close(error.status, error=error.code)
            raise
        except asyncio.CancelledError:
            self._abandoned(account, account.left)
            raise
        except BaseException:
            account.close(500, error="internal_error")
            raise

    def _abandoned(self, account: Account, left: Left | None) -> None:
        """The client left, or we end: book what went upstream, once it is known what became of it."""
        why = self._why_ended()
        if left is None:
            account.close(why[0], error=why[1])
            return
        device_id = account.caller.device_id
        if self.cut_off or not self.left_behind.takes(left, device_id):
            self._book_left(account, left.model, why, left.end())
        else:
            account.free_slot()
            self.left_behind.read_on(left, device_id, partial(self._book_left, account, left.model, why))

    def _book_left(self, account: Account, model: Model, why: tuple[int, str], used: Usage | None) -> None:
        if used is not None:
            account.tried(model, used)
        account.close(why[0], error=why[1])

    async def _serve(self, world: World, account: Account) -> Reply:
        if self.draining:
            raise ShuttingDownError("The router is restarting; try again in a moment.")
        if world.locked:
            raise NotConfiguredError("The router's configuration cannot be read; /health says what is wrong with it.")
        decision = account.decision = self._decide(world, account, account.admit())
        if decision.came_back and decision.rejected:
            rejected = AnswerRejected(account.id, account.caller.device_id, decision.rejected, decision.came_back)
            self.accounts.bus.publish(rejected)
        wanted = account.policy.device.cache
        caches = world.settings.cache.enabled if wanted is None else wanted
        caches = caches and account.operation.size <= _MOST_CACHED
        if caches and (kept := world.cache.get(_key(account, decision.model))) is not None:
            return self._replay(account, kept)
        try:
            account.reserve(decision)
        except BudgetError as error:
            decision = self._afford(world, account, error)
        operation, verify = account.operation, world.settings.verify
        body, chat = operation.body, operation.kind == "chat"
        # Without a call: hardly any request has what can be exactly wrong.
        exact = chat and ("tools" in body or "response_format" in body or "functions" in body)
        looks = exact if verify is Verify.TOOLS else chat and verify is Verify.ON
        try:
            reply = await self.pool.send(
                world.upstreams,
                decision.model,
                lambda: decision.fallbacks,
                account.operation,
                account,
                Asker(
                    account.caller.device_id,
                    decision.expected_output,
                    decision.named,
                    account.hold,
                    account.id,
                    decision.affinity,
                    Guard(operation, texts=verify is Verify.ON, named=decision.named) if looks else None,
                ),
            )
        except UpstreamFailed as failed:
            account.attempts = failed.attempts
            world.router.failed(account.caller.device_id, decision)
            raise failed.error from failed
        account.model, account.attempts = reply.model, reply.attempts
        if reply.model is not decision.model:
            account.tell_fallback()
        if reply.caught is not None:
            _tell_caught(account, reply)
        account.token()
        # Kept as the answer of whoever gave it: a stand-in's is never told as the chosen model's.
        key = _key(account, reply.model) if caches else None
        if isinstance(reply, WholeReply):
            return self._whole(world, account, decision, reply, key)
        world.router.served(account.caller.device_id, decision, reply.model)
        return self._stream(world, account, reply, key)

    def _decide(self, world: World, account: Account, action: BudgetAction | None) -> RouteDecision:
        device_id, policy = account.caller.device_id, account.policy.device
        context = self._context(world, device_id, policy, account.at, account.started, action)
        try:
            return world.router.decide(account.operation, context)
        except BudgetError as error:
            if self.accounts.in_doubt(world.policies, device_id):
                raise _in_doubt() from error
            raise

    def explain(self, body: Json, device_id: str) -> Json:
        """Which model a body would go to for that device and why; nobody is called."""
        world, accounts = self.world, self.accounts
        at = accounts.clock.utcnow()
        action = accounts.budget_action(world.policies, device_id, accounts.calendar.day(at.timestamp()))
        policy = world.policies.of(device_id).device
        return world.router.explain(
            body, self._context(world, device_id, policy, at, accounts.clock.monotonic(), action)
        )

    def _context(
        self,
        world: World,
        device_id: str,
        policy: DeviceSettings,
        at: datetime,
        now: float,
        action: BudgetAction | None,
    ) -> RouteContext:
        """What a decision may know: the device's settings, the time, and how the upstreams are."""
        hub, habits = world.policies.hub, self.accounts.habits
        return RouteContext(
            device_id,
            policy,
            at,
            now,
            action,
            self.pool.down(world.upstreams, world.table.models),
            self.pool.latency,
            habits.outputs,
            habits.corrections,
            hub.cloud_paused,
            hub.profile,
            hub.cost_quality,
        )

    def _afford(self, world: World, account: Account, error: BudgetError) -> RouteDecision:
        """Where the rest of a budget is too small and free models may stand in: choose among those. Raises the error else."""
        if error.action != BudgetAction.FREE:
            raise error
        decision = account.decision = self._decide(world, account, BudgetAction.FREE)
        account.reserve(decision)
        return decision

    def _whole(
        self, world: World, account: Account, decision: RouteDecision, reply: WholeReply, key: bytes | None
    ) -> Reply:
        """Settled before it leaves, since its headers tell what it cost and what is left; booked once it has."""
        account.settle(reply.usage, reply.output_characters)
        if key is not None and reply.spent is None:
            world.cache.put(key, reply.model, (reply.body,), reply.usage, reply.finish_reason)
        headers = self._headers(account)
        if account.cost is not None:
            headers["x-cheaprouter-cost-usd"] = usd_text(account.cost)
        if reply.spent is not None:
            headers["x-cheaprouter-cut"] = reply.spent.limit

        def close() -> None:
            if not account.closed:
                account.close(200)
                world.router.served(account.caller.device_id, decision, reply.model)
                self._score_later(world, account, reply.finish_reason)

        return Reply(headers, body=reply.body, close=close)

    def _stream(self, world: World, account: Account, reply: StreamReply, key: bytes | None) -> Reply:
        def end(why: tuple[int, str], _: Usage | None = None) -> None:
            reply.close()
            if reply.caught is not None:
                _tell_caught(account, reply)
            status, code = why
            account.close(status, usage=reply.usage, output_characters=reply.output_characters, error=code)

        def close() -> None:
            left = None if account.closed or self.cut_off else reply.left
            why = self._why_ended()
            if left is None or not self.left_behind.takes(left, account.caller.device_id):
                end(why)
            else:
                account.free_slot()
                self.left_behind.read_on(left, account.caller.device_id, partial(end, why))

        async def pour(out: Output) -> None:
            await reply.pour(out)
            _ended(account, reply)
            self._score_later(world, account, reply.finish_reason)

        # What is to be kept for the next time goes by piece by piece.
        poured = pour if key is None else None
        return Reply(self._headers(account), None, _relay(world, account, reply, key), close, poured)

    def _score_later(self, world: World, account: Account, finish: str | None) -> None:
        """Where nobody needed to know how hard a request was: find out of some, once their replies have left.

        `finish`: why the reply ended; that tools were called teaches something, where calls are looked at.
        """
        decision = account.decision
        if self.learning is not None and decision is not None and account.model is not None:
            calls = finish == "tool_calls" and world.settings.verify is not Verify.OFF
            self.learning.served(account.id, account.caller.device_id, decision, account.model, calls=calls)
        if decision is None or decision.score_later is None:
            return

        def score() -> None:
            if (difficulty := world.router.score_skipped(decision)) is not None:
                self.accounts.recorder.amend(account.seq, difficulty.tier.value, difficulty.score)

        asyncio.get_running_loop().call_soon(score)

    def _replay(self, account: Account, kept: CachedReply) -> Reply:
        account.model, account.cached = kept.model, True
        account.token()
        account.close(200, usage=kept.usage or Usage())
        headers = {**self._headers(account), "x-cheaprouter-cache": "hit"}
        if account.operation.stream:
            return Reply(headers, chunks=_each(kept.chunks))
        body = kept.chunks[0]
        assert isinstance(body, bytes)
        return Reply({**headers, "x-cheaprouter-cost-usd": "0"}, body=body)

    def _headers(self, account: Account) -> dict[str, str]:
        assert account.model is not None
        assert account.decision is not None
        reason = account.decision.reason  # one line of ASCII
        return {
            "x-request-id": account.id,
            "x-cheaprouter-model": ascii_header(account.model.id),
            "x-cheaprouter-provider": ascii_header(account.model.provider),
            "x-cheaprouter-attempts": str(len(account.attempts)),
            "x-cheaprouter-reason": reason if len(reason) <= LONGEST_HEADER else ascii_header(reason),
            **account.rate_headers(),
        }

    def refused(self, error: CheapRouterError, caller: Caller, model: str, *, via: str = "http") -> str:
        """Book a request that could not even be parsed or admitted; returns its id."""
        account = Account(self.accounts, self.world.policies, Refused(model), caller, self.new_id(), via=via)
        account.close(error.status, error=error.code)
        return account.id

    def _why_ended(self) -> tuple[int, str]:
        """What to book for a reply that neither ended nor failed, in the moment in which it is given up."""
        return (ShuttingDownError.status, "shutting_down") if self.cut_off else (CLIENT_CLOSED, "client_disconnected")

    def _leave(self) -> None:
        self.running -= 1
        if self.running == 0 and self._idle is not None:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no request runs."""
        self._idle = asyncio.Event()
        if self.running:
            await self._idle.wait()


async def _relay(world: World, account: Account, reply: StreamReply, key: bytes | None) -> AsyncIterator[Piece]:
    kept: list[Piece] = []
    async for chunk in reply.chunks:
        if key is not None:
            kept.append(chunk)
        yield chunk
    if key is not None and reply.error_code is None:
        world.cache.put(key, reply.model, tuple(kept), reply.usage, reply.finish_reason)
    _ended(account, reply)


def _ended(account: Account, reply: StreamReply) -> None:
    """Book a stream that came to its end, a good one or the upstream's."""
    if reply.caught is not None:
        _tell_caught(account, reply)
    status = 200 if reply.error_code is None else reply.error_status
    account.close(status, usage=reply.usage, output_characters=reply.output_characters, error=reply.error_code)


def _tell_caught(account: Account, reply: WholeReply | StreamReply) -> None:
    """Tell once what was wrong with an answer."""
    caught, reply.caught = reply.caught, None
    if caught is not None:
        account.tell_caught(caught.model_id, caught.fault.kind.value, caught.fault.why, replaced=caught.replaced)


async def _each(chunks: Iterable[Piece]) -> AsyncIterator[Piece]:
    for chunk in chunks:
        yield chunk


def _key(account: Account, model: Model) -> bytes:
    operation = account.operation
    return cache_key(account.caller.device_id, model.id, operation.body, operation.wire)


def _in_doubt() -> BudgetError:
    return BudgetError(
        "Part of the books could not be read, so nobody knows what was spent: only models that cost nothing are asked "
        "until whoever runs CheapRouter has acknowledged it (POST /router/problems/ack).",
        retry_after=None,
        limit="books",
    )


def limit_headers(error: CheapRouterError, rate_headers: dict[str, str]) -> dict[str, str]:
    """The headers of an error, with the device's limits where it is about them."""
    return {**rate_headers, **error.headers} if isinstance(error, LimitError) else error.headers
