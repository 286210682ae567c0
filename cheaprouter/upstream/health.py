"""Who may be asked just now: breakers for a provider, each of its keys, a key's free and paid models, and each model behind a key.

Pure; time is handed in.

A breaker is available, cooling down, or probing. It cools down for a time that later failures extend and never shorten.
When that is over, one request goes ahead as a probe; until it is back, others count the target as down.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Final

from ..core.calendar import Clock
from ..core.events import EventBus, ProviderDown, ProviderUp
from ..core.models import Attempt, Model, Usage
from ..core.records import dataclass
from ..providers.failures import Action, Failure, Meaning, Reach

_LOG = logging.getLogger(__name__)

KEY_COOLDOWN: Final = 600.0
"""A key that was refused is tried again after ten minutes: bills get paid, keys get their rights."""

_FIRST: Final = 5.0
_LONGEST: Final = 120.0
_LONGEST_UNREACHABLE: Final = 30.0
"""The home's own connection comes back, and then nobody wants to wait for two minutes."""

_TRIP_AFTER: Final = 3
"""Failures in a row, none of which asked for a cool-down by itself, before a target is left alone."""

_PROBE_SECONDS: Final = 60.0
"""A probe that has not come back by then no longer keeps others away."""


UNREACHABLE: Final = frozenset({"upstream_unreachable", "upstream_tls"})
"""The whole provider is out of reach: all its models wait together."""

_TRIP_UNREACHABLE: Final = 2
"""A failure and its quick retry."""

_DATED: Final = (Action.WAIT, Action.COOL)
_PLACES: Final[Mapping[Reach, int]] = {Reach.PROVIDER: 0, Reach.KEY: 1, Reach.TIER: 2, Reach.MODEL: 3}
"""Where in `Target.scopes` the breaker is that a failure concerns."""

FREE: Final = "(free)"
PAID: Final = "(paid)"
TIERS: Final[Mapping[str, str]] = {FREE: "its free models", PAID: "its paid models"}

Scope = tuple[str, int, str]
"""A breaker's name: provider, the key's place (-1: all), model id ("": all; `FREE`, `PAID`: all that cost nothing, or something)."""


def reach_of(failure: Failure) -> Reach:
    """How far a failure reaches: as it says itself, else by its code or action."""
    if failure.code in UNREACHABLE:
        return Reach.PROVIDER
    return failure.reach or (Reach.KEY if failure.action is Action.KEY else Reach.MODEL)


class State(StrEnum):
    AVAILABLE = "available"
    COOLING = "cooling_down"
    PROBING = "probing"


@dataclass(slots=True)
class Breaker:
    """One breaker. `until`: end of the cool-down. `told`: the upstream itself said how long. Times are monotonic seconds."""

    until: float | None = None
    failures: int = 0
    trips: int = 0
    since: float | None = None
    probe: float | None = None
    reason: str = ""
    message: str = ""
    status: int | None = None
    told: bool = False

    def state(self, now: float) -> StrEnum:
        if self.until is None:
            return State.AVAILABLE
        if self.probe is not None and now - self.probe < _PROBE_SECONDS:
            return State.PROBING
        return State.COOLING if now < self.until else State.AVAILABLE

    def allows(self, now: float) -> bool:
        """Whether a request may go ahead, as a probe where a cool-down has just ended."""
        return self.state(now) is State.AVAILABLE

    def ends(self) -> tuple[float, ...]:
        """When its state changes by itself."""
        if self.until is None:
            return ()
        return (self.until,) if self.probe is None else (self.until, self.probe + _PROBE_SECONDS)

    def begin(self, now: float) -> None:
        """A request goes ahead: the probe, if one is due."""
        if self.until is not None:
            self.probe = now

    def abandon(self) -> None:
        """It ended without a word about the upstream (the client left, the request was at fault)."""
        self.probe = None

    def answer(self) -> None:
        """Content came, so it is up; whether it can finish too, `failures` waits to see."""
        self.until = self.since = self.probe = None
        self.told = False

    def fail(self, failure: Failure, now: float, cooldown: float | None, *, after: int = _TRIP_AFTER) -> bool:
        """It failed; cool down that long, or where None, once it failed `after` times in a row, by its record.

        True at the transition from up to down.
        """
        self.probe = None
        self.failures += 1
        self.reason, self.message, self.status = failure.code, failure.message, failure.status
        if cooldown is None:
            if self.failures < after and self.until is None:
                return False
            cooldown = self.guess()
        self.trips += 1
        until = now + cooldown
        if self.until is None or until > self.until:
            self.until, self.told = until, failure.action in _DATED and failure.retry_after is not None
        was_up = self.since is None
        if was_up:
            self.since = now
        return was_up

    def guess(self) -> float:
        """Seconds to leave it alone for, by its record."""
        return min(_LONGEST, _FIRST * 2.0 ** min(self.trips, 10))


@dataclass(frozen=True, slots=True)
class Target:
    """A model behind one key. `key`: its place among the provider's keys; 0 where there is none.

    `answered`: the try that went well.
    """

    model: Model
    key: int = 0
    answered: tuple[Attempt, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answered", (Attempt(self.model.id, self.model.provider, "ok", 200),))

    @property
    def scopes(self) -> tuple[Scope, Scope, Scope, Scope]:
        """Names of the breakers that a request to it passes: provider, key, the key's free or paid models, model."""
        model, key = self.model, self.key
        provider = model.provider
        tier = FREE if model.free or model.upstream.endswith(":free") else PAID
        return ((provider, -1, ""), (provider, key, ""), (provider, key, tier), (provider, key, model.id))

    def within(self, failure: Failure, failed: Target) -> bool:
        """Whether a failure of that target reaches this one, too."""
        place = _PLACES[reach_of(failure)]
        return self.scopes[place] == failed.scopes[place]


@dataclass(frozen=True, slots=True)
class Down:
    """A breaker opened. `cooldown` in seconds."""

    provider: str
    key: int
    model: str
    reason: str
    cooldown: float


@dataclass(slots=True)
class Health:
    """All breakers. Only those that have failed are kept. `changes`: counts what happened to them."""

    breakers: dict[Scope, Breaker] = field(default_factory=dict)
    changes: int = 0

    def allows(self, target: Target, now: float) -> bool:
        """Whether all its breakers let a request go ahead."""
        breakers = self.breakers
        return not breakers or all(breakers[s].allows(now) for s in target.scopes if s in breakers)

    def same_until(self, now: float) -> float:
        """Until when all of them say the same as now, unless something happens to one."""
        ends = [end for breaker in self.breakers.values() for end in breaker.ends() if end > now]
        return min(ends, default=float("inf"))

    def begin(self, target: Target, now: float) -> None:
        for breaker in self._of(target):
            breaker.begin(now)
            self.changes += 1

    def abandon(self, target: Target) -> None:
        for breaker in self._of(target):
            breaker.abandon()
            self.changes += 1

    def answer(self, target: Target) -> None:
        for breaker in self._of(target):
            breaker.answer()
            self.changes += 1

    def succeed(self, target: Target) -> None:
        """It answered in full: all of them start afresh."""
        if self.breakers:
            for scope in target.scopes:
                if self.breakers.pop(scope, None) is not None:
                    self.changes += 1

    def fail(self, target: Target, failure: Failure, now: float) -> Down | None:
        """Book a failure with the breaker it concerns. What went down by it, at the transition only."""
        self.abandon(target)
        if not _blames(failure):
            return None
        reach = reach_of(failure)
        scope = target.scopes[_PLACES[reach]]
        breaker = self.breakers.setdefault(scope, Breaker())
        self.changes += 1
        after = _TRIP_UNREACHABLE if reach is Reach.PROVIDER else _TRIP_AFTER
        if not breaker.fail(failure, now, _cooldown(failure, reach, breaker), after=after) or breaker.until is None:
            return None
        return Down(*scope, failure.code, breaker.until - now)

    def remaining(self, target: Target, now: float) -> float:
        """Seconds until it may be asked again; 0 when it may be now."""
        ends: list[float] = [b.until - now for b in self._of(target) if b.until is not None and not b.allows(now)]
        return max([0.0, *ends])

    def blocking(self, target: Target, now: float) -> Breaker | None:
        """The breaker that keeps it away for longest."""
        blocked = [b for b in self._of(target) if not b.allows(now)]
        return max(blocked, key=lambda b: b.until or 0.0) if blocked else None

    def forget(self, provider: str | None = None) -> None:
        """End all cool-downs, of one provider or of all."""
        self.breakers = {s: b for s, b in self.breakers.items() if provider is not None and s[0] != provider}
        self.changes += 1

    def of_provider(self, provider: str) -> Iterator[tuple[Scope, Breaker]]:
        return ((scope, breaker) for scope, breaker in self.breakers.items() if scope[0] == provider)

    def _of(self, target: Target) -> Iterator[Breaker]:
        if self.breakers:
            for scope in target.scopes:
                if (breaker := self.breakers.get(scope)) is not None:
                    yield breaker


def _cooldown(failure: Failure, reach: Reach, breaker: Breaker) -> float | None:
    """Seconds to leave alone what it reaches: as was said, else as its meaning has it; None: as the breaker's record says."""
    if failure.action is Action.KEY:
        return failure.retry_after or failure.cooldown or KEY_COOLDOWN
    if failure.action is Action.WAIT:
        guess = breaker.guess() if failure.cooldown is None else failure.cooldown
        return guess if failure.retry_after is None else failure.retry_after
    if reach is Reach.PROVIDER and breaker.failures:
        return min(_LONGEST_UNREACHABLE, breaker.guess())
    return failure.cooldown


def _blames(failure: Failure) -> bool:
    """Whether it says something about the target, not about the request or this one answer."""
    if failure.meaning is Meaning.SLIP:
        return False
    if failure.action is Action.NEXT:
        return failure.cooldown is not None or failure.code == "upstream_timeout" or (failure.status or 0) >= 500
    return failure.action in (Action.KEY, Action.WAIT, Action.COOL, Action.RETRY)


_WEIGHT: Final = 0.2
"""Of the newest latency in the moving average: the last ten or so count."""

_LEAST_TOKENS: Final = 20
_LEAST_SECONDS: Final = 0.5
_CLOUD_RATE: Final = 20.0
_LOCAL_RATE: Final = 5.0
"""Tokens a second where nothing was seen yet: a large model at a cloud in the rush hour, and one at home without a GPU."""


class Observer:
    """Books outcomes. `latency`: model id to milliseconds until the first token, `rates`: to tokens a second; moving averages."""

    def __init__(self, health: Health, bus: EventBus, clock: Clock) -> None:
        self._health = health
        self._bus = bus
        self._clock = clock
        self._known: dict[str, dict[tuple[int, str], Target]] = {}
        self._down: dict[str, float] = {}
        self.latency: dict[str, float] = {}
        self.rates: dict[str, float] = {}

    def answering(self, target: Target, seconds: float) -> None:
        """First content of a stream came after so long: the target is up, though it has not finished yet."""
        self._note(target.model.id, seconds)
        self._remember(target)
        self._health.answer(target)
        self._up(target.model.provider)

    def succeeded(self, target: Target, seconds: float | None) -> None:
        """A complete answer; `seconds` to its first content, where that was measured."""
        if seconds is not None:
            self._note(target.model.id, seconds)
        self._remember(target)
        if self._health.breakers:
            self._health.succeed(target)
        if self._down:
            self._up(target.model.provider)

    def _up(self, provider: str) -> None:
        since = self._down.pop(provider, None)
        if since is not None:
            downtime = self._clock.monotonic() - since
            _LOG.info("%s answers again after %.0f s", provider, downtime)
            self._bus.publish(ProviderUp(provider, downtime, self._clock.utcnow()))

    def failed(self, target: Target, failure: Failure) -> None:
        """A failed try, or a stream that broke off."""
        self._remember(target)
        now = self._clock.monotonic()
        down = self._health.fail(target, failure, now)
        if down is None:
            return
        _LOG.warning("%s is left alone for %.0f s: %s", _what(down), down.cooldown, failure.message)
        provider = target.model.provider
        account = failure.action is Action.KEY and reach_of(failure) is not Reach.MODEL
        if provider in self._down or not (account or self._all_down(provider, now)):
            return
        self._down[provider] = now
        cooldown = None if account else down.cooldown
        reason = f"{_what(down)}: {failure.message.removeprefix(f'{provider}: ')}"
        self._bus.publish(ProviderDown(provider, reason, cooldown, self._clock.utcnow()))

    def wrote(self, model_id: str, usage: Usage, seconds: float) -> None:
        """A reply was written in so many seconds from its first content on. Short ones tell little, and are not counted."""
        tokens = usage.completion_tokens - usage.reasoning_tokens
        if tokens >= _LEAST_TOKENS and seconds >= _LEAST_SECONDS:
            rate, old = tokens / seconds, self.rates.get(model_id)
            self.rates[model_id] = rate if old is None else old + _WEIGHT * (rate - old)

    def rate(self, model_id: str, *, local: bool) -> float:
        """Tokens a second that a model writes, as seen or as the slower ones do."""
        return self.rates.get(model_id) or (_LOCAL_RATE if local else _CLOUD_RATE)

    def down_since(self, provider: str) -> float | None:
        """The monotonic second since when it is down, None while it is up."""
        return self._down.get(provider)

    def forget(self, provider: str) -> None:
        """It was reconfigured or removed."""
        self._down.pop(provider, None)
        self._known.pop(provider, None)

    def _remember(self, target: Target) -> None:
        self._known.setdefault(target.model.provider, {})[target.key, target.model.id] = target

    def _all_down(self, provider: str, now: float) -> bool:
        """Whether nothing of it that was ever asked may be asked now."""
        return not any(self._health.allows(target, now) for target in self._known.get(provider, {}).values())

    def _note(self, model_id: str, seconds: float) -> None:
        old = self.latency.get(model_id)
        self.latency[model_id] = seconds * 1000 if old is None else old + _WEIGHT * (seconds * 1000 - old)


def _what(down: Down) -> str:
    if down.key < 0:
        return down.provider
    if down.model in TIERS:
        return f"{down.provider} (key {down.key + 1}, {TIERS[down.model]})"
    return down.model or f"{down.provider} (key {down.key + 1})"
