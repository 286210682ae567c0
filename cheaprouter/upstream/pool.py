"""Sends a request to the first candidate that answers, and keeps count of who is well.

It fails over only while nothing has reached the client. A policy's refusal is never worked around: what the caller
may not use is not in the chain, or `keep` and `top_up` say so.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ..config.settings import Settings
from ..core.clock import Clock
from ..core.errors import LimitError
from ..core.events import EventBus
from ..core.models import Attempt, Json, Model
from ..core.operation import Operation
from ..providers.adapter import Adapter, Transport
from ..providers.failures import Failure
from . import survey
from .call import Answered, Call, Streaming
from .health import Health, Target
from .learned import Learned
from .observe import Observer
from .outcome import final_error
from .plan import Plan, make_plan
from .reply import StreamReply, TopUp, UpstreamFailed, WholeReply
from .stream import HEARTBEAT_SECONDS, Relay, replay
from .transport import SchemeTransport
from .watchdog import Watchdog

_LOG = logging.getLogger(__name__)


class Pool:
    """All upstreams. `sleep`, `jitter` and `heartbeat` are there for tests."""

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        settings: Settings,
        transport: Transport,
        mock: Transport | None,
        bus: EventBus,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._transport = SchemeTransport(transport, mock)
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._heartbeat = heartbeat
        self._paused: set[str] = set()
        self.health = Health()
        self.learned = Learned()
        self._observer = Observer(self.health, bus, clock)
        self._adapters: Mapping[str, Adapter] = {}
        self._keys: dict[str, int] = {}
        self.reconfigure(settings, adapters)

    def reconfigure(self, settings: Settings, adapters: Mapping[str, Adapter]) -> None:
        """Use other settings from the next request on; those that run keep theirs. Changed providers start afresh."""
        for name, old in self._adapters.items():
            new = adapters.get(name)
            if new is None or (new.base_url, new.api_keys) != (old.base_url, old.api_keys):
                self.health.forget(name)
                self._observer.forget(name)
        self._settings = settings
        self._adapters = dict(adapters)
        self._keys = {name: len(adapter.api_keys) for name, adapter in adapters.items()}

    async def send(
        self,
        chain: Sequence[Model],
        request: Operation,
        *,
        top_up: TopUp | None = None,
        keep: Callable[[Model], bool] | None = None,
    ) -> WholeReply | StreamReply:
        """The first answer that any of the chain gives. Raises UpstreamFailed once there is none to be had.

        `keep`: whether a stand-in may be used; `top_up`: called before one is tried, and its LimitError passes it over.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        usable = [m for m in chain if m.provider in self._adapters and m.provider not in self._paused]
        plan = make_plan(usable, self._keys, self.health, self._settings.routing.max_attempts)
        total = self._adapters[usable[0].provider].timeouts.total if usable else 0.0
        end = started + total
        attempts: list[Attempt] = []
        paid = {chain[0].id} if chain else set()
        while (target := plan.next(self._clock.monotonic())) is not None:
            if not self._affordable(target.model, paid, top_up, keep):
                plan.pass_over(target)
                continue
            began = loop.time()
            outcome, watch = await self._try(target, request, end)
            spent = loop.time() - began
            if not isinstance(outcome, Failure):
                attempts.append(Attempt(target.model.id, target.model.provider, "ok", 200, spent))
                return self._reply(target, outcome, watch, attempts=tuple(attempts), request=request, spent=spent)
            attempts.append(
                Attempt(target.model.id, target.model.provider, outcome.code, outcome.status, spent, outcome.message)
            )
            await self._after(plan, target, outcome, end - loop.time())
            if loop.time() >= end:
                break
        raise UpstreamFailed(tuple(attempts), self._final(plan))

    @staticmethod
    def _affordable(model: Model, paid: set[str], top_up: TopUp | None, keep: Callable[[Model], bool] | None) -> bool:
        if model.id in paid:
            return True
        if keep is not None and not keep(model):
            return False
        try:
            if top_up is not None:
                top_up(model)
        except LimitError:
            return False
        paid.add(model.id)
        return True

    async def _try(
        self, target: Target, request: Operation, end: float
    ) -> tuple[Answered | Streaming | Failure, Watchdog]:
        model = target.model
        adapter = self._adapters[model.provider]
        watch = Watchdog(asyncio.get_running_loop(), end)
        self.health.begin(target, self._clock.monotonic())
        call = Call(
            adapter,
            model,
            request,
            adapter.api_keys[target.key] if adapter.api_keys else None,
            self.learned.of(model),
            self._transport,
            watch,
            self._clock.utcnow,
            filter_fails=self._settings.routing.fallback_on_content_filter,
        )
        try:
            outcome = await call.run()
        except BaseException:
            watch.stop()
            self.health.abandon(target)
            raise
        if not isinstance(outcome, Streaming):
            watch.stop()
        return outcome, watch

    async def _after(self, plan: Plan, target: Target, failure: Failure, left: float) -> None:
        """Book a failure, and wait where the same target gets another chance."""
        now = self._clock.monotonic()
        fresh = bool(failure.adapt) and self.learned.learn(target.model, failure.adapt)
        if fresh:
            _LOG.info("%s does not take %s: it is changed from now on", target.model.id, ", ".join(failure.adapt))
        self._observer.failed(target, failure)
        delay = plan.failed(target, failure, now, left, self._jitter(), fresh=fresh)
        if delay > 0:
            await self._sleep(delay)

    def _reply(
        self,
        target: Target,
        outcome: Answered | Streaming,
        watch: Watchdog,
        *,
        attempts: tuple[Attempt, ...],
        request: Operation,
        spent: float,
    ) -> WholeReply | StreamReply:
        model = target.model
        if isinstance(outcome, Answered):
            self._observer.succeeded(target, spent if request.stream else None)
            done = outcome.completion
            if outcome.pieces is None:
                return WholeReply(model, attempts, done.body, done.usage, done.finish_reason, outcome.output_characters)
            chunks = replay(outcome.pieces)
            return StreamReply(model, attempts, chunks, lambda: None, done.usage, done.finish_reason)
        self._observer.answering(target, spent)
        relay = Relay(
            self._adapters[model.provider],
            outcome,
            watch,
            lambda failure: self._ended(target, failure),
            self._heartbeat,
            events=request.wire == "events",
        )
        reply = StreamReply(model, attempts, relay, relay.close)
        relay.reply = reply
        return reply

    def _ended(self, target: Target, failure: Failure | None) -> None:
        if failure is None:
            self._observer.succeeded(target, None)
        else:
            self._observer.failed(target, failure)

    def _final(self, plan: Plan) -> Exception:
        now = self._clock.monotonic()
        targets = {target: None for target, _ in plan.failures} | dict.fromkeys(plan.skipped)
        waits = [] if plan.sole else [self.health.remaining(target, now) for target in targets]
        failures = [failure for _, failure in plan.failures]
        if not failures:
            failures = [f for t in plan.skipped if (f := survey.blocked(self.health, t, now)) is not None]
        return final_error(failures, waits)

    def healthy(self, model: Model) -> bool:
        """Whether a request to it would be tried just now."""
        if model.provider not in self._adapters or model.provider in self._paused:
            return False
        if not self.health.breakers:
            return True
        now = self._clock.monotonic()
        keys = range(max(1, self._keys[model.provider]))
        return any(self.health.allows(Target(model, key), now) for key in keys)

    def latency(self, model: Model) -> float | None:
        """Milliseconds to its first token as of late; None where nothing is known."""
        return self._observer.latency.get(model.id)

    def clear_cooldowns(self) -> None:
        """Try everything again from the next request on. What was down is up once it answers, and that is told."""
        self.health.forget()

    def pause(self, provider: str, paused: bool) -> None:  # noqa: FBT001 - a setter
        """Leave a provider alone, or no longer."""
        (self._paused.add if paused else self._paused.discard)(provider)

    def status(self) -> list[Json]:
        """Every provider: state, keys, cool-downs, what was learned, latency."""
        now = self._clock.monotonic()
        return [
            survey.describe(adapter, self.health, self.learned, self._observer, now=now, paused=name in self._paused)
            for name, adapter in self._adapters.items()
        ]

    async def check(self, name: str) -> Json:
        """Ask a provider now: are its keys valid, which models are there, how long does it take. KeyError: no such one."""
        return await survey.check(self._adapters[name], self._transport, self._clock)

    async def discover(self) -> Mapping[str, list[Json]]:
        """What the providers that are to be asked say they have. Those that do not answer are left out."""
        wanted = {p.name for p in self._settings.providers if survey.wants_discovery(p)}
        return await survey.discover(
            [a for n, a in self._adapters.items() if n in wanted], self._transport, self._clock
        )

    async def close(self) -> None:
        """Drop all connections."""
        await self._transport.close()
