"""Sends a request to the first candidate that answers, and keeps count of who is well.

It fails over only while nothing has reached the client. A policy's refusal is never worked around: what the caller
may not use is not in the chain, or `Tab.top_up` says so.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from ..core.calendar import Clock
from ..core.errors import LimitError
from ..core.events import AbilitiesChanged, EventBus, ProviderUp
from ..core.models import Attempt, Json, Model, Operation, Usage
from ..providers.adapter import Adapter
from ..providers.completion import Completion
from ..providers.failures import Failure
from ..providers.mock import SchemeTransport
from ..providers.refusals import IGNORED, NEVER_COUNTED, UNCOUNTED
from ..providers.transport import Transport
from ..providers.unsupported import Learned
from ..wire.checks.fault import Fault
from . import survey
from .call import NOBODY, Answered, Asker, Call, Streaming
from .health import Health, Observer, Target
from .outcome import HEARTBEAT_SECONDS, Relay, StreamReply, Tab, UpstreamFailed, WholeReply, replay
from .pace import Pace
from .plan import SendPlan, Upstreams, final_error, make_plan
from .thoughts import Memory
from .unanswered import USUAL_OUTPUT, Costs, Unanswered, abandon
from .verify import Caught, Guard
from .watchdog import Watchdog, Watches

_LOG = logging.getLogger(__name__)
_NOBODY: Final[frozenset[str]] = frozenset()
_TO_ITS_END: Final = 0, 0.0
"""Of an upstream that writes an answer to its end, whoever reads it: no rate, and no wait."""


class Pool:
    """All upstreams. `sleep`, `jitter` and `heartbeat` are there for tests."""

    def __init__(
        self,
        transport: Transport,
        mock: Transport | None,
        bus: EventBus,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        heartbeat: float = HEARTBEAT_SECONDS,
        pace: Pace | None = None,
    ) -> None:
        self._transport = SchemeTransport(transport, mock)
        self._bus = bus
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._heartbeat = heartbeat
        self._paused: set[str] = set()
        self._turns: dict[str, int] = {}
        self._targets: dict[tuple[str, int], Target] = {}
        self._watched: Watches | None = None
        self._down: frozenset[str] | None = None
        self._down_about = (0, 0, 0)
        self._down_of: object = None
        self._down_until = 0.0
        self._loop_time = time.monotonic  # the clock of asyncio's timers, and uvloop's
        self.health = Health()
        self.learned = Learned()
        self.thoughts = Memory()
        self._observer = Observer(self.health, bus, clock)
        bus.on(lambda up: self._may_be_able_now(up.provider), ProviderUp)
        self._pace = pace or Pace()
        self._costs = Costs(self._pace, self._loop_time)
        self.latency: Mapping[str, float] = self._observer.latency  # milliseconds to the first token, by model id

    def changed(self, before: Upstreams, now: Upstreams) -> None:
        """Other upstreams are in force: those that changed start afresh. Requests under way keep theirs."""
        self._targets.clear()
        for name, old in before.adapters.items():
            new = now.adapters.get(name)
            if new is None or (new.base_url, new.api_keys, new.link) != (old.base_url, old.api_keys, old.link):
                self.health.forget(name)
                self.learned.forget(name)
                self._observer.forget(name)
                self._turns.pop(name, None)

    async def send(
        self,
        upstreams: Upstreams,
        model: Model,
        stand_ins: Callable[[], Sequence[Model]],
        request: Operation,
        tab: Tab | None = None,
        asker: Asker = NOBODY,
    ) -> WholeReply | StreamReply:
        """The first answer that any of them gives. Raises UpstreamFailed once there is none to be had.

        `stand_ins`: asked only where `model` cannot be, or fails. `tab`: what tries cost; a LimitError before one passes
        it over.
        """
        began = self._loop_time()
        adapter = upstreams.adapters.get(model.provider)
        if adapter is None or (target := self._at_once(adapter, model, asker.affinity)) is None:
            return await self._fail_over(upstreams, (model, *stand_ins()), request, tab, asker, began)
        if tab is not None:
            tab.top_up(model, *(_TO_ITS_END if adapter.goes_on else self._pace.rate(model)))
        end = began + adapter.timeouts.total
        outcome, call = await self._try(upstreams, target, request, asker, end, tab, asker.guard)
        if isinstance(outcome, Failure):
            failed = target, outcome, call.again
            return await self._fail_over(upstreams, (model, *stand_ins()), request, tab, asker, began, failed)
        tries = target.answered
        if call.again or call.pauses:
            tries = (*(_unanswered(target),) * call.again, *target.answered * (1 + call.pauses))
        spent = self._loop_time() - began - call.held
        if asker.guard is not None and (fault := _fault(asker.guard, outcome)) is not None:
            answer = _Answer(target, outcome, call, tries, spent)
            return await self._instead(upstreams, answer, fault, stand_ins, request, tab, asker, end)
        return self._reply(target, outcome, call, tries, spent)

    def _at_once(self, adapter: Adapter, model: Model, affinity: int | None) -> Target | None:
        """The target to ask without further thought; None where anything is unusual. `affinity`: see `RouteDecision`."""
        if model.provider in self._paused:
            return None
        keys = len(adapter.api_keys)
        place = 0
        if keys > 1:
            place = (self._turns.get(model.provider, 0) if affinity is None else affinity) % keys
        target = self._targets.get((model.id, place))
        if target is None or target.model is not model:
            target = self._targets[model.id, place] = Target(model, place)
        if self.health.breakers and not self.health.allows(target, self._clock.monotonic()):
            return None
        return target

    async def _fail_over(
        self,
        upstreams: Upstreams,
        chain: Sequence[Model],
        request: Operation,
        tab: Tab | None,
        asker: Asker,
        began: float,
        failed: tuple[Target, Failure, bool] | None = None,
    ) -> WholeReply | StreamReply:
        """One after the other. `failed`: the first was tried already, and whether it had gone out `again`."""
        usable = [m for m in chain if m.provider in upstreams.adapters and m.provider not in self._paused]
        plan = make_plan(usable, upstreams, self.health, self._turns, named=asker.named, affinity=asker.affinity)
        end = began + (upstreams.adapters[usable[0].provider].timeouts.total if usable else 0.0)
        attempts: list[Attempt] = []
        if failed is not None:
            first, failure, again = failed
            plan.begin(first)
            attempts += [*(_unanswered(first),) * again, _attempt(first, failure)]
            await self._after(plan, first, failure, end - self._loop_time())
        while self._loop_time() < end and (target := plan.next(self._clock.monotonic())) is not None:
            if tab is not None and not self._affordable(upstreams, target.model, tab):
                plan.pass_over(target)
                continue
            tried = self._loop_time()
            outcome, call = await self._try(upstreams, target, request, asker, end, tab, asker.guard)
            spent = self._loop_time() - tried - call.held
            attempts += (_unanswered(target),) * call.again
            if not isinstance(outcome, Failure):
                tries = (*attempts, *target.answered * (1 + call.pauses))
                if asker.guard is not None and (fault := _fault(asker.guard, outcome)) is not None:
                    answer = _Answer(target, outcome, call, tries, spent)
                    left = [one.model for one in plan.targets]
                    return await self._instead(upstreams, answer, fault, partial(tuple, left), request, tab, asker, end)
                return self._reply(target, outcome, call, tries, spent)
            attempts.append(_attempt(target, outcome))
            await self._after(plan, target, outcome, end - self._loop_time())
        raise UpstreamFailed(tuple(attempts), self._final(plan))

    async def _instead(
        self,
        upstreams: Upstreams,
        answer: _Answer,
        fault: Fault,
        stand_ins: Callable[[], Sequence[Model]],
        request: Operation,
        tab: Tab | None,
        asker: Asker,
        end: float,
    ) -> WholeReply | StreamReply:
        """Ask a better model once, where there is one that may be asked: nothing has left yet. Where that comes to nothing, the answer goes out as it is.

        It was an answer all the same: its upstream is well, and bills it.
        """
        target, tries = answer.target, answer.tries
        better = None
        take_back = None
        if asker.guard is not None and not asker.guard.named and self._loop_time() < end:
            take_back = None if tab is None else tab.put_aside(target.model, self._billed(answer))
            better = self._better(upstreams, target.model, stand_ins(), tab, asker)
        if better is not None:
            self._observer.succeeded(target, None)
            tries = (*tries[:-1], _faulty(target, fault))
            began = self._loop_time()
            try:
                outcome, call = await self._try(upstreams, better, request, asker, end, tab)
            except BaseException:
                answer.drop()
                raise
            lost = (_unanswered(better),) * call.again
            if not isinstance(outcome, Failure):
                answer.drop()
                tries = (*tries, *lost, *better.answered * (1 + call.pauses))
                reply = self._reply(better, outcome, call, tries, self._loop_time() - began)
                reply.caught = Caught(target.model.id, fault, replaced=True)
                return reply
            self._observer.failed(better, outcome)
            tries = (*tries[:-1], *lost, _attempt(better, outcome), _faulty(target, fault))
        if take_back is not None:
            take_back()
        reply = self._reply(target, answer.outcome, answer.call, tries, answer.spent)
        reply.caught = Caught(target.model.id, fault, replaced=False)
        return reply

    def _billed(self, answer: _Answer) -> Usage:
        """What an answer is billed, be it whole or as far as it has come."""
        whole, call = _whole(answer.outcome), answer.call
        if whole is None:
            used = self._costs.used(call, self._loop_time() - answer.spent, left=True)
        else:
            used = whole.usage or self._uncounted(call, whole, answer.spent)
        return used or Usage(estimated=True)

    def _better(
        self, upstreams: Upstreams, than: Model, models: Iterable[Model], tab: Tab | None, asker: Asker
    ) -> Target | None:
        """The first of better models that is well and can be paid."""
        for model in models:
            adapter = upstreams.adapters.get(model.provider)
            if adapter is None or model.quality.value <= than.quality.value:
                continue
            target = self._at_once(adapter, model, asker.affinity)
            if target is not None and (tab is None or self._affordable(upstreams, model, tab)):
                return target
        return None

    def _affordable(self, upstreams: Upstreams, model: Model, tab: Tab) -> bool:
        try:
            goes_on = upstreams.adapters[model.provider].goes_on
            tab.top_up(model, *(_TO_ITS_END if goes_on else self._pace.rate(model)))
        except LimitError:
            return False
        return True

    async def _try(
        self,
        upstreams: Upstreams,
        target: Target,
        request: Operation,
        asker: Asker,
        end: float,
        tab: Tab | None,
        guard: Guard | None = None,
    ) -> tuple[Completion | Answered | Streaming | Failure, Call]:
        model = target.model
        adapter = upstreams.adapters[model.provider]
        keys = adapter.api_keys
        if len(keys) > 1 and asker.affinity is None:
            self._turns[model.provider] = target.key + 1
        if self.health.breakers:
            self.health.begin(target, self._clock.monotonic())
        learned = self.learned.of(model)
        meter, streamed = asker.meter, adapter.asks_stream(request, learned)
        # What goes on writing once it is dropped cannot be ended either: it may have no more than is reserved.
        most = None if meter is None else meter.ceiling(model, whole=not streamed or adapter.goes_on)
        request = request if most is None else request.capped(most)
        watch = Watchdog(self._watched or self._watches(), self._loop_time, end)
        call = Call(
            adapter,
            model,
            request,
            keys[target.key] if keys else None,
            learned,
            streamed,
            self._transport,
            watch,
            self._clock.utcnow,
            upstreams.filter_fails,
            asker.request_id,
            meter=meter,
            guard=guard,
        )
        if not call.streamed:
            expected = asker.expected_output or request.max_tokens or USUAL_OUTPUT
            call.writing = expected / self._observer.rate(model.id, local=adapter.local)
        if (learned or adapter.quirks.models) and adapter.wants_thoughts(model, learned):
            call.keep = partial(self.thoughts.keep, asker.device_id)
            call.recall = partial(self.thoughts.recall, asker.device_id)
        call.expected = asker.expected_output
        if tab is not None and adapter.pauses is not None:
            call.before_each = partial(tab.go_on, model, self._pace.rate(model)[0])
        began = self._loop_time()
        try:
            outcome = await call.run()
        except BaseException:
            watch.stop()
            self.health.abandon(target)
            if tab is None:
                abandon(call)
            else:
                tab.leave(Unanswered(call, self._costs, began))
            raise
        if not isinstance(outcome, Streaming):
            watch.stop()
        if tab is not None and (call.again or isinstance(outcome, Failure)):
            self._put_on(tab, call, outcome, began)
        return outcome, call

    def _put_on(self, tab: Tab, call: Call, outcome: object, began: float) -> None:
        """What was no answer and is billed all the same: a try that failed, and one that was lost with its connection."""
        model = call.model
        if (used := self._costs.lost(call)) is not None:
            tab.tried(model, used)
        if isinstance(outcome, Failure) and (used := self._costs.used(call, began + call.lost)) is not None:
            tab.tried(model, used)

    def _watches(self) -> Watches:
        """Made with the first request: a pool may be made before there is a loop."""
        self._watched = Watches(asyncio.get_running_loop())
        return self._watched

    async def _after(self, plan: SendPlan, target: Target, failure: Failure, left: float) -> None:
        """Book a failure, and wait where the same target gets another chance."""
        now = self._clock.monotonic()
        fresh = bool(failure.adapt) and self.learned.learn(target.model, failure.adapt)
        if fresh:
            _LOG.info("%s does not take %s: it is changed from now on", target.model.id, ", ".join(failure.adapt))
        if failure.capability and self.learned.lack(target.model, failure.capability, failure.message):
            _LOG.info("%s cannot do %s: %s", target.model.id, failure.capability, failure.message)
            self._bus.publish(AbilitiesChanged())
        self._observer.failed(target, failure)
        delay = plan.failed(target, failure, now, left, self._jitter(), fresh=fresh)
        if delay > 0:
            await self._sleep(delay)

    def _reply(
        self,
        target: Target,
        outcome: Completion | Answered | Streaming,
        call: Call,
        attempts: tuple[Attempt, ...],
        spent: float,
    ) -> WholeReply | StreamReply:
        """`spent`: seconds that the try took, of a stream to its first content."""
        model = target.model
        if isinstance(outcome, Completion):
            self._observer.succeeded(target, spent - call.wrote if call.gathered else None)
            if call.ignored:
                self.learned.learn(model, IGNORED)
            usage = outcome.usage
            if usage is None:
                self.learned.learn(model, UNCOUNTED if call.gathered else NEVER_COUNTED)
                usage = self._uncounted(call, outcome, spent)
            else:
                self._pace.answered(model.id, model.provider, usage, spent, outcome.output_characters, call.wrote)
                if call.wrote:
                    self._observer.wrote(model.id, usage, call.wrote)
            return WholeReply(
                model, attempts, outcome.body, usage, outcome.finish_reason, outcome.output_characters, call.spent
            )
        if isinstance(outcome, Answered):
            self._observer.succeeded(target, spent)
            done = outcome.completion
            return StreamReply(
                model,
                attempts,
                replay(outcome.pieces),
                lambda: None,
                done.usage or self._uncounted(call, done, spent),
                done.finish_reason,
                output_characters=done.output_characters,
            )
        self._observer.answering(target, spent)
        began, reader = self._loop_time() - call.held, outcome.reader

        def weigh(characters: int, whole: bool) -> int:  # noqa: FBT001 - as `Relay` has it
            seen = max(began, call.watch.seen)
            if whole:
                return self._costs.whole(call, characters, spent, seen - began)
            late = None if reader.trouble is not None else self._loop_time() - seen
            return self._costs.cut(call, characters, spent, seen - began, late)

        relay = Relay(
            call.adapter,
            outcome,
            call.watch,
            lambda failure, used: self._ended(target, failure, used, began, spent, reader.written),
            self._heartbeat,
            weigh,
            events=call.request.wire == "events",
            meter=call.meter,
            lingers=call.adapter.goes_on and not model.free,
        )
        relay.reply = StreamReply(model, attempts, relay, relay.close)
        return relay.reply

    def _uncounted(self, call: Call, answer: Completion, spent: float) -> Usage | None:
        """What a whole answer used that nobody counted; None where nothing was written."""
        if not answer.output_characters:
            return None
        output = self._costs.whole(call, answer.output_characters, spent - call.wrote, call.wrote)
        return Usage(completion_tokens=output, estimated=True)

    def _ended(
        self, target: Target, failure: Failure | None, used: Usage | None, began: float, spent: float, characters: int
    ) -> None:
        if failure is None:
            self._observer.succeeded(target, None)
            if used is not None:
                wrote = self._loop_time() - began
                self._observer.wrote(target.model.id, used, wrote)
                model = target.model
                self._pace.answered(model.id, model.provider, used, spent + wrote, characters, wrote)
        else:
            self._observer.failed(target, failure)

    def _final(self, plan: SendPlan) -> Exception:
        now = self._clock.monotonic()
        targets = {target: None for target, _ in plan.failures} | dict.fromkeys(plan.skipped)
        waits = [] if plan.sole else [self.health.remaining(target, now) for target in targets]
        failures = [failure for _, failure in plan.failures]
        if not failures:
            failures = [f for t in plan.skipped if (f := survey.blocked(self.health, t, now)) is not None]
        return final_error(failures, waits)

    # --- how they are ------------------------------------------------------------------------------------------

    def down(self, upstreams: Upstreams, models: Iterable[Model]) -> frozenset[str]:
        """Ids of the models that would not be tried just now.

        Looked for only where something failed, and again only once something changed: there may be hundreds of models.
        """
        if not self.health.breakers and not self._paused:
            return _NOBODY
        now = self._clock.monotonic()
        about = self.health.changes, id(upstreams), id(models)
        if self._down is None or about != self._down_about or now >= self._down_until:
            self._down = frozenset(model.id for model in models if not self._allowed(upstreams, model, now))
            self._down_about, self._down_until = about, self.health.same_until(now)
            self._down_of = upstreams, models  # kept, so that nothing else gets their ids
        return self._down

    def _allowed(self, upstreams: Upstreams, model: Model, now: float) -> bool:
        adapter = upstreams.adapters.get(model.provider)
        if adapter is None or model.provider in self._paused:
            return False
        return any(self.health.allows(Target(model, key), now) for key in range(len(adapter.api_keys) or 1))

    def clear_cooldowns(self) -> None:
        """Try everything again from the next request on. What was down is up once it answers, and that is told."""
        self.health.forget()
        self._may_be_able_now()

    def _may_be_able_now(self, provider: str | None = None) -> None:
        """A server that was away may have been started with other options: what its models lacked is found out anew."""
        if self.learned.forget_lacking(provider):
            self._bus.publish(AbilitiesChanged())

    def pause(self, provider: str, paused: bool) -> None:  # noqa: FBT001 - a setter
        """Leave a provider alone, or no longer."""
        (self._paused.add if paused else self._paused.discard)(provider)
        self._down = None

    def status(self, upstreams: Upstreams) -> list[Json]:
        """Every provider: state, keys, cool-downs, what was learned, latency."""
        now = self._clock.monotonic()
        return [
            survey.describe(adapter, self.health, self.learned, self._observer, now=now, paused=name in self._paused)
            for name, adapter in upstreams.adapters.items()
        ]

    async def check(self, adapter: Adapter) -> Json:
        """Ask a provider now: are its keys valid, which models are there, how long does it take."""
        return await survey.check(adapter, self._transport, self._clock)

    async def discover(self, upstreams: Upstreams) -> dict[str, list[Json]]:
        """What the providers that are to be asked say they have. Those that do not answer are left out."""
        wanted = [adapter for name, adapter in upstreams.adapters.items() if name in upstreams.discovered]
        return await survey.discover(wanted, self._transport, self._clock)

    async def close(self) -> None:
        """Drop all connections."""
        if self._watched is not None:
            self._watched.stop()
        await self._transport.close()


class _Answer(NamedTuple):
    """An answer that is not sent on yet. `spent`: seconds that it took, of a stream to its first content."""

    target: Target
    outcome: Completion | Answered | Streaming
    call: Call
    tries: tuple[Attempt, ...]
    spent: float

    def drop(self) -> None:
        """It is not wanted any more."""
        if isinstance(self.outcome, Streaming):
            self.call.watch.stop()
            abandon(self.call)


def _whole(outcome: Completion | Answered | Streaming) -> Completion | None:
    return outcome if isinstance(outcome, Completion) else outcome.completion if isinstance(outcome, Answered) else None


def _fault(guard: Guard, outcome: Completion | Answered | Streaming) -> Fault | None:
    """What is wrong with an answer that has come whole, or was held back."""
    whole = _whole(outcome)
    if whole is not None:
        return guard.of_completion(whole)
    return outcome.fault if isinstance(outcome, Streaming) else None


def _faulty(target: Target, fault: Fault) -> Attempt:
    return Attempt(target.model.id, target.model.provider, fault.kind.value, None, fault.why)


def _attempt(target: Target, failure: Failure) -> Attempt:
    return Attempt(target.model.id, target.model.provider, failure.code, failure.status, failure.message)


def _unanswered(target: Target) -> Attempt:
    """The call that was lost with a kept connection: it left, and may even have been worked on."""
    message = "The server closed a kept connection without an answer."
    return Attempt(target.model.id, target.model.provider, "upstream_reset", None, message)
