"""What tries teach: breakers, latencies, parameters to rename or leave out, and the events of a provider's going down and coming back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..core.calendar import Clock
from ..core.events import EventBus, ProviderDown, ProviderUp
from ..core.models import Json, Model
from ..providers.failures import Action, Failure
from .health import Down, Health, Target

_LOG = logging.getLogger(__name__)
_WEIGHT: Final = 0.2
"""Of the newest latency in the moving average: the last ten or so count."""


class Observer:
    """Books outcomes. `latency`: model id to milliseconds until the first token, moving average."""

    def __init__(self, health: Health, bus: EventBus, clock: Clock) -> None:
        self._health = health
        self._bus = bus
        self._clock = clock
        self._known: dict[str, set[tuple[int, str]]] = {}
        self._down: dict[str, float] = {}
        self.latency: dict[str, float] = {}

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
        self._health.succeed(target)
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
        if provider in self._down or not (failure.action is Action.KEY or self._all_down(provider, now)):
            return
        self._down[provider] = now
        cooldown = None if failure.action is Action.KEY else down.cooldown
        reason = f"{_what(down)}: {failure.message.removeprefix(f'{provider}: ')}"
        self._bus.publish(ProviderDown(provider, reason, cooldown, self._clock.utcnow()))

    def down_since(self, provider: str) -> float | None:
        """The monotonic second since when it is down, None while it is up."""
        return self._down.get(provider)

    def forget(self, provider: str) -> None:
        """It was reconfigured or removed."""
        self._down.pop(provider, None)
        self._known.pop(provider, None)

    def _remember(self, target: Target) -> None:
        self._known.setdefault(target.model.provider, set()).add((target.key, target.model.id))

    def _all_down(self, provider: str, now: float) -> bool:
        """Whether nothing of it that was ever asked may be asked now."""
        breakers = dict(self._health.of_provider(provider))
        for key, model in self._known.get(provider, ()):
            scopes = ((provider, -1, ""), (provider, key, ""), (provider, key, model))
            if all(breakers[scope].allows(now) for scope in scopes if scope in breakers):
                return False
        return True

    def _note(self, model_id: str, seconds: float) -> None:
        old = self.latency.get(model_id)
        self.latency[model_id] = seconds * 1000 if old is None else old + _WEIGHT * (seconds * 1000 - old)


def _what(down: Down) -> str:
    if down.model:
        return down.model
    return down.provider if down.key < 0 else f"{down.provider} (key {down.key + 1})"


_MOST: Final = 500
_NOTHING: Final[Mapping[str, str | None]] = MappingProxyType({})


class Learned:
    """Changes by provider and upstream model, as long as the process runs; the oldest go first."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], dict[str, str | None]] = {}

    def of(self, model: Model) -> Mapping[str, str | None]:
        """The changes for requests to this model."""
        return self._changes.get((model.provider, model.upstream), _NOTHING) if self._changes else _NOTHING

    def learn(self, model: Model, change: Mapping[str, str | None]) -> bool:
        """Remember a change; False where it was known already, so that another try is pointless.

        A rename that was refused too turns into leaving out, never back into the first name.
        """
        known = self._changes.setdefault((model.provider, model.upstream), {})
        fresh = {name: new for name, new in change.items() if name not in known and name not in known.values()}
        if not fresh:
            return False
        known.update(fresh)
        while len(self._changes) > _MOST:
            del self._changes[next(iter(self._changes))]
        return True

    def status(self, provider: str) -> Json:
        """For people: upstream model to its changes; "" for a parameter that is left out."""
        return {
            model: {name: new or "" for name, new in changes.items()}
            for (owner, model), changes in self._changes.items()
            if owner == provider and changes
        }
