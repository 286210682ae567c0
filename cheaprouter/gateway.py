"""The line of a chat request: admit, choose, reserve, send, stream, settle. Readable from top to bottom."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from .accounts.account import Account, Books, ascii_header
from .catalog.prices import cost
from .config.settings import BudgetAction
from .core.errors import BudgetError, CheapRouterError, LimitError, ShuttingDownError
from .core.models import Caller, Model, RouteDecision, Usage
from .routing.router import RouteContext, Router
from .upstream.cache import CachedReply, ResponseCache, cache_key
from .upstream.pool import Pool
from .upstream.reply import StreamReply, UpstreamFailed, WholeReply
from .wire.events import Piece
from .wire.openai_chat.request import ChatRequest

CLIENT_CLOSED: Final = 499
"""Recorded where the client went away first (nginx's number for it; no client ever sees it)."""

_RESERVED_OUTPUT: Final = 1024
"""Most output tokens that a reservation assumes; see the contract of the token limit."""


@dataclass(slots=True)
class ChatReply:
    """What a front door renders: headers, and either `body` or `chunks`. `close` it, whatever happened."""

    headers: dict[str, str]
    body: bytes | None = None
    chunks: AsyncIterator[Piece] | None = None
    close: Callable[[], None] = field(default=lambda: None)


class Gateway:
    """Takes a checked request from a known caller to an answer, and books it."""

    def __init__(
        self, books: Books, router: Router, pool: Pool, cache: ResponseCache, *, cache_default: bool = False
    ) -> None:
        self.books = books
        self.router = router
        self.pool = pool
        self.cache = cache
        self.cache_default = cache_default
        self.draining = False
        self.cut_off = False  # from here on it is we who end replies, not their clients
        self.running = 0
        self._idle: asyncio.Event | None = None
        self._prefix = secrets.token_hex(6)
        self._count = itertools.count(1)

    def new_id(self) -> str:
        """A request id: unique without asking the system for randomness each time."""
        return f"req_{self._prefix}{next(self._count):08x}"

    async def chat(
        self, request: ChatRequest, caller: Caller, *, via: str = "http", request_id: str | None = None
    ) -> ChatReply:
        """Serve one request. Raises CheapRouterError, already booked; a cancellation is booked too."""
        account = Account(
            self.books,
            request,
            caller,
            request_id or self.new_id(),
            via,
            self.books.clock.monotonic(),
            self.router.baseline,
        )
        self.running += 1
        account.on_close.append(self._leave)
        try:
            return await self._chat(account)
        except CheapRouterError as error:
            account.close(error.status, error=error.code)
            raise
        except asyncio.CancelledError:
            status, code = self._why_ended()
            account.close(status, error=code)
            raise
        except BaseException:
            account.close(500, error="internal_error")
            raise

    async def _chat(self, account: Account) -> ChatReply:
        if self.draining:
            raise ShuttingDownError("The router is restarting; try again in a moment.")
        account.admission = self.books.devices.admit(account.caller)
        decision = account.decision = self._decide(account)
        key = self._cache_key(account, decision)
        if key is not None and (kept := self.cache.get(key)) is not None:
            return self._replay(account, kept)
        decision = self._afford(account, decision)
        try:
            reply = await self.pool.send(
                decision.chain, account.request, top_up=lambda model: self._top_up(account, model)
            )
        except UpstreamFailed as failed:
            account.attempts = failed.attempts
            self.router.failed(account.caller.device_id, decision)
            raise failed.error from failed
        account.model, account.attempts = reply.model, reply.attempts
        account.tell_fallback()
        self.router.served(account.caller.device_id, decision, reply.model)
        if isinstance(reply, WholeReply):
            return self._whole(account, reply, key)
        return self._stream(account, reply, key)

    def _decide(self, account: Account) -> RouteDecision:
        return self.router.decide(account.request, self.context(account.caller.device_id))

    def _afford(self, account: Account, decision: RouteDecision) -> RouteDecision:
        """Reserve; where the rest of a budget is too small and free models may stand in, choose among those."""
        try:
            self._reserve(account, decision)
        except BudgetError as error:
            if error.action != BudgetAction.FREE:
                raise
            context = replace(self.context(account.caller.device_id), budget_action=BudgetAction.FREE)
            decision = account.decision = self.router.decide(account.request, context)
            self._reserve(account, decision)
        return decision

    def context(self, device_id: str) -> RouteContext:
        """What a decision for that device may know: its policy, the time, and how the upstreams are."""
        books = self.books
        hub = books.devices.hub
        return RouteContext(
            device_id=device_id,
            policy=books.devices.policy(device_id),
            budget_action=books.devices.budget_action(device_id),
            at=books.clock.utcnow(),
            now=books.clock.monotonic(),
            healthy=self.pool.healthy,
            latency=self.pool.latency,
            average_output=books.averages.output,
            correction=books.averages.correction,
            only_local=hub.cloud_paused,
            profile=hub.profile,
            cost_quality=hub.cost_quality,
        )

    def _reserve(self, account: Account, decision: RouteDecision) -> None:
        assert account.admission is not None
        output = self._reserved_output(account.request, decision.model)
        amount = cost(Usage(decision.prompt_tokens, output), decision.model, self.books.clock.utcnow())
        self.books.devices.reserve(account.admission, decision.prompt_tokens + output, amount)

    def _top_up(self, account: Account, model: Model) -> None:
        assert account.admission is not None
        assert account.decision is not None
        output = self._reserved_output(account.request, model)
        amount = cost(Usage(account.decision.prompt_tokens, output), model, self.books.clock.utcnow())
        self.books.devices.top_up(account.admission, amount)

    def _reserved_output(self, request: ChatRequest, model: Model) -> int:
        usual = self.books.averages.output(model.id) or _RESERVED_OUTPUT
        return min(request.max_tokens or _RESERVED_OUTPUT, usual, _RESERVED_OUTPUT)

    def _whole(self, account: Account, reply: WholeReply, key: bytes | None) -> ChatReply:
        account.token()
        record = account.close(200, usage=reply.usage, output_characters=reply.output_characters)
        assert record is not None
        if key is not None:
            self.cache.put(key, (reply.body,), reply.usage, reply.finish_reason)
        headers = self._headers(account)
        if record.cost is not None:
            headers["x-cheaprouter-cost-usd"] = format_usd(record.cost)
        return ChatReply(headers, body=reply.body)

    def _stream(self, account: Account, reply: StreamReply, key: bytes | None) -> ChatReply:
        account.token()

        def close() -> None:
            reply.close()
            status, code = self._why_ended()
            account.close(status, usage=reply.usage, output_characters=reply.output_characters, error=code)

        return ChatReply(self._headers(account), chunks=self._relay(account, reply, key), close=close)

    async def _relay(self, account: Account, reply: StreamReply, key: bytes | None) -> AsyncIterator[Piece]:
        kept: list[Piece] = []
        async for chunk in reply.chunks:
            if key is not None:
                kept.append(chunk)
            yield chunk
        if key is not None and reply.error_code is None:
            self.cache.put(key, tuple(kept), reply.usage, reply.finish_reason)
        status = 200 if reply.error_code is None else 502
        account.close(status, usage=reply.usage, output_characters=reply.output_characters, error=reply.error_code)

    def _cache_key(self, account: Account, decision: RouteDecision) -> bytes | None:
        wanted = self.books.devices.policy(account.caller.device_id).cache
        if not (self.cache_default if wanted is None else wanted):
            return None
        return cache_key(account.caller.device_id, decision.model.id, account.request.body, account.request.wire)

    def _replay(self, account: Account, kept: CachedReply) -> ChatReply:
        assert account.decision is not None
        account.model, account.cached = account.decision.model, True
        account.token()
        account.close(200, usage=kept.usage or Usage())
        headers = {**self._headers(account), "x-cheaprouter-cache": "hit"}
        if account.request.stream:
            return ChatReply(headers, chunks=_each(kept.chunks))
        body = kept.chunks[0]
        assert isinstance(body, bytes)
        return ChatReply({**headers, "x-cheaprouter-cost-usd": "0"}, body=body)

    def _headers(self, account: Account) -> dict[str, str]:
        assert account.model is not None
        assert account.decision is not None
        return {
            "x-request-id": account.id,
            "x-cheaprouter-model": ascii_header(account.model.id),
            "x-cheaprouter-provider": ascii_header(account.model.provider),
            "x-cheaprouter-attempts": str(len(account.attempts)),
            "x-cheaprouter-reason": ascii_header(account.decision.reason),
            **self.books.devices.rate_headers(account.caller.device_id),
        }

    def refused(self, error: CheapRouterError, caller: Caller, model: str, *, via: str = "http") -> str:
        """Book a request that could not even be parsed or admitted; returns its id."""
        request = ChatRequest({}, model, [], stream=False, include_usage=False, max_tokens=None, n=1)
        account = Account(self.books, request, caller, self.new_id(), via, self.books.clock.monotonic())
        account.close(error.status, error=error.code)
        return account.id

    def _why_ended(self) -> tuple[int, str]:
        """What to book for a reply that neither ended nor failed."""
        return (ShuttingDownError.status, "shutting_down") if self.cut_off else (CLIENT_CLOSED, "client_disconnected")

    def _leave(self, _record: object) -> None:
        self.running -= 1
        if self.running == 0 and self._idle is not None:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no request runs."""
        self._idle = asyncio.Event()
        if self.running:
            await self._idle.wait()


async def _each(chunks: Iterable[Piece]) -> AsyncIterator[Piece]:
    for chunk in chunks:
        yield chunk


def format_usd(amount: Decimal) -> str:
    """A plain decimal without an exponent: `0.000012`."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def limit_headers(error: CheapRouterError, rate_headers: dict[str, str]) -> dict[str, str]:
    """The headers of an error, with the device's limits where it is about them."""
    return {**rate_headers, **error.headers} if isinstance(error, LimitError) else error.headers
