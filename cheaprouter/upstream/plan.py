"""Which target is tried next, when to give up, and what a client is told then. Pure: the pool does what it says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Final

from ..core.errors import UpstreamError
from ..core.models import Model
from ..core.records import dataclass
from ..providers.adapter import Adapter
from ..providers.failures import Action, Failure, Meaning
from .health import UNREACHABLE, Health, Target

SHORT_WAIT: Final = 3.0
"""A rate limit that ends within so many seconds is waited for, rather than going to another model."""

QUICK: Final = 0.05
"""Seconds before a connection is tried again, at least; an error status gets 0.2 to 0.6."""

_MOST_ADAPTATIONS: Final = 5
"""Some vendors name one field at a time; each is learned for good."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The providers of one configuration: an adapter each, and how requests go to them.

    `most_attempts`: tries a request, retries included. `filter_fails`: a filtered answer is another model's turn.
    `discovered`: those whose own list of models is to be read.
    """

    adapters: Mapping[str, Adapter]
    most_attempts: int = 6
    filter_fails: bool = False
    discovered: frozenset[str] = frozenset()


@dataclass(slots=True)
class SendPlan:
    """The candidates of one request in order, each model behind each of its provider's keys.

    `named`: the user has named them all, so one whose window is not known may do where another's was too small.
    """

    targets: deque[Target]
    health: Health
    most: int
    sole: bool
    named: bool = False
    attempts: int = 0
    failures: list[tuple[Target, Failure]] = field(default_factory=list)
    skipped: list[Target] = field(default_factory=list)
    _again: Target | None = None
    _retried: set[str] = field(default_factory=set)
    _adapted: int = 0

    def begin(self, target: Target) -> None:
        """This one was tried already, before there was a plan."""
        self.targets.remove(target)
        self.attempts += 1

    def next(self, now: float) -> Target | None:
        """The next target to try; None when there is none, or enough was tried."""
        if self.attempts >= self.most:
            return None
        target, self._again = self._again, None
        while target is None and self.targets:
            candidate = self.targets.popleft()
            if self.sole or self.health.allows(candidate, now):
                target = candidate
            else:
                self.skipped.append(candidate)
        if target is None and not self.attempts:
            target = self._last_resort(now)
        if target is not None:
            self.attempts += 1
        return target

    def _last_resort(self, now: float) -> Target | None:
        """With one provider and key there is nobody to spare them for: ask, unless the upstream itself said when."""
        if len({(t.model.provider, t.key) for t in self.skipped}) != 1:
            return None
        for target in self.skipped:
            breaker = self.health.blocking(target, now)
            if breaker is not None and not breaker.told:
                self.skipped.remove(target)
                return target
        return None

    def pass_over(self, target: Target) -> None:
        """It was not tried after all: the caller may not use that model."""
        self.attempts -= 1
        self._keep(_other_model, target)

    def failed(self, target: Target, failure: Failure, now: float, left: float, jitter: float, *, fresh: bool) -> float:
        """Book a failure; seconds to wait before `next`.

        `left`: seconds to the deadline. `jitter`: 0..1. `fresh`: something was learned, so the same model may do now.
        """
        self.failures.append((target, failure))
        model = target.model
        first = model.id not in self._retried
        if failure.action is Action.RETRY and first:
            self._retried.add(model.id)
            quick = failure.code in UNREACHABLE or failure.code == "upstream_reset" or failure.meaning is Meaning.SLIP
            delay = QUICK * (1 + jitter) if quick else 0.2 + 0.4 * jitter
            return self._repeat(target, max(delay, failure.retry_after or 0.0), left)
        if failure.action is Action.ADAPT and fresh and self._adapted < _MOST_ADAPTATIONS:
            self._adapted += 1
            return self._repeat(target, 0.0, left)
        if failure.action is Action.WAIT and first and not self._other_key(target, now):
            self._retried.add(model.id)
            if failure.retry_after is not None and failure.retry_after <= SHORT_WAIT:
                return self._repeat(target, failure.retry_after, left)
        self._exclude(target, failure)
        return 0.0

    def _repeat(self, target: Target, delay: float, left: float) -> float:
        if delay >= left:
            return 0.0
        self._again = target
        return delay

    def _other_key(self, target: Target, now: float) -> bool:
        return any(t.model is target.model and self.health.allows(t, now) for t in self.targets)

    def _exclude(self, target: Target, failure: Failure) -> None:
        """Leave out what would fail for the same reason."""
        if failure.action is Action.KEY:
            self._keep(lambda other, failed: not other.within(failure, failed), target)
        else:
            stays = _STAYS.get(failure.code) or _STAYS.get(failure.action, _other_model)
            self._keep(_perhaps_wider if stays is _wider and self.named else stays, target)

    def _keep(self, stays: Callable[[Target, Target], bool], failed: Target) -> None:
        self.targets = deque(target for target in self.targets if stays(target, failed))


def _other_model(target: Target, failed: Target) -> bool:
    return target.model.id != failed.model.id


def _wider(target: Target, failed: Target) -> bool:
    context, narrow = target.model.context, failed.model.context
    return context is not None and (narrow is None or context > narrow) and _other_model(target, failed)


def _perhaps_wider(target: Target, failed: Target) -> bool:
    return _wider(target, failed) or (target.model.context is None and _other_model(target, failed))


def _served_by_another(target: Target, failed: Target) -> bool:
    """Whether it is not the same model of the same provider, under whatever id."""
    ours, theirs = target.model, failed.model
    return _other_model(target, failed) and (ours.provider, ours.upstream) != (theirs.provider, theirs.upstream)


_STAYS: Final[Mapping[str, Callable[[Target, Target], bool]]] = {
    Action.FINAL: lambda *_: False,
    Action.CONTEXT: _wider,
    Action.WAIT: lambda *_: True,
    "upstream_timeout": _served_by_another,
    **dict.fromkeys(UNREACHABLE, lambda target, failed: target.model.provider != failed.model.provider),
}
"""Which of the targets left may do after a failure, by its code or action."""


def make_plan(
    chain: Sequence[Model],
    upstreams: Upstreams,
    health: Health,
    turns: Mapping[str, int],
    *,
    named: bool = False,
    affinity: int | None = None,
) -> SendPlan:
    """Each model behind each key of its provider, the key first whose turn it is (`turns`: by provider, its place).

    Or, where there is an `affinity` (see `RouteDecision`), the key that goes with it. Models of providers that are not there are
    left out. `named`: see `SendPlan`.
    """
    targets: deque[Target] = deque()
    for model in chain:
        adapter = upstreams.adapters.get(model.provider)
        if adapter is not None:
            keys = len(adapter.api_keys) or 1
            turn = turns.get(model.provider, 0) if affinity is None else affinity
            targets.extend(Target(model, (turn + place) % keys) for place in range(keys))
    return SendPlan(targets, health, upstreams.most_attempts, sole=len(targets) == 1, named=named)


_ABOUT_KEYS: Final = frozenset({401, 402, 403})
"""Clients take these for a fault of their own key, and ask their users for another one."""

_CLIENTS_FAULT: Final = frozenset({Action.ADAPT, Action.CONTEXT, Action.FINAL})
_PASSING: Final = frozenset({Action.COOL, Action.WAIT})


def final_error(failures: Sequence[Failure], waits: Sequence[float]) -> UpstreamError:
    """One error for all failures.

    `waits`: seconds until each candidate that is cooling down may be asked
    again; none for a sole one, which stays usable.

    What is temporary wins over what is the request's fault, for a retry may then help; a provider that refused *our*
    key is never told as 401: the caller's own key is fine.
    """
    wait = min((w for w in waits if w > 0), default=None)
    faults = [f for f in failures if _is_clients(f)]
    others = [f for f in failures if not _is_clients(f) and f.action is not Action.KEY]
    if final := next((f for f in failures if f.action is Action.FINAL), None):
        return _as_it_came(final)
    if others:
        return _temporary(others, wait)
    if faults:
        return _as_it_came(faults[0])
    if failures:
        last = failures[-1]
        trouble = "No provider is paid for this" if last.code == "upstream_payment" else "No provider accepts its key"
        return UpstreamError(f"{trouble}: {last.message}", status=502, code=last.code, retry=False)
    message = "No model that could answer is available just now."
    return UpstreamError(message, status=503, code="all_down", retry_after=wait)


_FIELDS: Final = {"tools": "tools", "json_schema": "response_format", "vision": "messages", "audio": "messages"}
"""Which field of a request asks for what a model lacks."""


def _is_clients(failure: Failure) -> bool:
    return failure.action in _CLIENTS_FAULT or (failure.action is Action.NEXT and 400 <= (failure.status or 0) < 500)


def _as_it_came(failure: Failure) -> UpstreamError:
    status = failure.status or 400
    if status in _ABOUT_KEYS:
        status = 404 if failure.code == "model_not_allowed" else 400
    if failure.meaning is Meaning.CAPABILITY:
        status = 400
    kind = "invalid_request_error" if status < 500 else "server_error"
    return UpstreamError(
        failure.message,
        status=status if 400 <= status < 500 else 400,
        code=failure.code,
        error_type=failure.error_type or kind,
        param=failure.param or _FIELDS.get(failure.capability),
    )


def _temporary(failures: Sequence[Failure], wait: float | None) -> UpstreamError:
    last = failures[-1]
    told = min((f.retry_after for f in failures if f.retry_after is not None), default=None)
    if told is not None:
        wait = told if wait is None else min(wait, told)
    if all(f.action is Action.WAIT for f in failures):
        code, kind = "rate_limit_exceeded", "rate_limit_error"
        return UpstreamError(last.message, status=429, code=code, error_type=kind, retry_after=wait)
    if all(f.code == "upstream_timeout" for f in failures):
        return UpstreamError(last.message, status=504, code="upstream_timeout")
    if any(f.action in _PASSING or f.code in UNREACHABLE or f.code == "all_down" for f in failures):
        return UpstreamError(last.message, status=503, code=last.code, retry_after=wait)
    return UpstreamError(last.message, status=502, code=last.code)
