"""What is published, as bytes: states for Home Assistant and others, events for automations. No I/O."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from ..core.events import (
    BudgetReached,
    BudgetWarning,
    Event,
    FallbackUsed,
    ProviderDown,
    ProviderUp,
    RateLimited,
    RequestCompleted,
)
from ..core.models import Json
from ..home_assistant.discovery import PROVIDER_STATES
from ..home_assistant.topics import Topics
from .messages import Outgoing, encode

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"

DOWN: Final = frozenset({"down", "cooling_down", "unauthorized"})
"""Provider states in which it answers nobody."""

QUIET_SECONDS: Final = 60.0
"""A fallback between the same two models is told once in that time: while a provider is down every request is one."""

_PAIRS: Final = 256

_SHORTEST_STREAM: Final = 0.05
"""Seconds below which a speed says nothing."""


def visible(providers: Sequence[Json]) -> list[Json]:
    """Without the mock, where there is a real one."""
    real = [p for p in providers if p.get("kind") != "mock"]
    return real or list(providers)


def provider_states(providers: Sequence[Json]) -> dict[str, str]:
    """Each provider's state by its name, alone: no address, no key. A state without a name of its own is `unknown`."""
    states = {str(p["name"]): str(p.get("state")) for p in providers}
    return {name: value if value in PROVIDER_STATES else "unknown" for name, value in states.items()}


def hub_details(
    router: str, version: str, providers: Sequence[Json], tokens_per_second: float | None, latest_version: str = ""
) -> Json:
    """What the hub tells beyond its totals. `latest_version`: what the app store has, "" where nobody knows.

    `router`: which one it is, the hub's id in Home Assistant, so that two on one base topic notice each other.
    """
    states = provider_states(providers)
    return {
        "router": router,
        "version": version,
        "latest_version": latest_version or version,
        "providers": states,
        "providers_down": [name for name, value in states.items() if value in DOWN],
        "tokens_per_second": tokens_per_second,
    }


def speed(done: RequestCompleted) -> float | None:
    """Tokens a second of a streamed reply; None where it says nothing: a stream out of the cache comes in one piece."""
    if done.first_token_ms is None or done.completion_tokens < 2:
        return None
    seconds = (done.latency_ms - done.first_token_ms) / 1000
    return round((done.completion_tokens - 1) / seconds, 1) if seconds >= _SHORTEST_STREAM else None


class Notices:
    """Bus events as messages: on the hub's event topic, and on the device's that they are about.

    `name` of a device for people, and `slug`: its name in topics, None for one that has none of its own. `money`: the currency
    that amounts are shown in, and how much of it one USD is.
    """

    def __init__(
        self,
        topics: Topics,
        slug: Callable[[str], str | None],
        name: Callable[[str], str],
        money: Callable[[], tuple[str, Decimal]],
    ) -> None:
        self._topics = topics
        self._money = money
        self._slug = slug
        self._name = name
        self._told: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def messages(self, event: Event, now: float) -> Sequence[Outgoing]:
        """What to publish for an event, nothing for most. `now`: monotonic seconds."""
        payload = self._payload(event, now)
        if payload is None:
            return ()
        device_id = getattr(event, "device_id", None)
        places: list[str | None] = [None]
        if device_id is not None:
            payload |= {"device": device_id, "device_name": self._name(device_id)}
            if (slug := self._slug(device_id)) is not None:
                places.append(slug)
        body = encode(payload)
        return [Outgoing(self._topics.event(place), body) for place in places]

    def _payload(self, event: Event, now: float) -> Json | None:
        payload: Json | None = None
        match event:
            case RateLimited(limit=limit, retry_after=wait):
                payload = {"event_type": "rate_limited", "limit": limit, "retry_after": wait and round(wait, 1)}
            case BudgetWarning():
                payload = {"event_type": "budget_warning"} | self._budget(event)
            case BudgetReached():
                payload = {"event_type": "budget_reached"} | self._budget(event) | {"action": event.action}
            case FallbackUsed():
                payload = self._fallback(event, now)
            case ProviderDown(provider=provider):
                payload = {"event_type": "provider_down", "provider": provider, "reason": event.reason,
                           "cooldown": event.cooldown}  # fmt: skip
            case ProviderUp(provider=provider):
                payload = {"event_type": "provider_up", "provider": provider, "downtime": event.downtime}
        if payload is not None:
            payload["timestamp"] = event.timestamp  # type: ignore[attr-defined]  # each of the six has one
        return payload

    def _fallback(self, event: FallbackUsed, now: float) -> Json | None:
        """`repeats`: how many of the kind were kept quiet since the last one told. None: keep this one quiet, too."""
        key = (event.device_id, event.from_model, event.to_model)
        last, repeats = self._told.get(key, (-math.inf, 0))
        if now - last < QUIET_SECONDS:
            self._told[key] = (last, repeats + 1)
            return None
        self._told[key] = (now, 0)
        self._told.move_to_end(key)
        if len(self._told) > _PAIRS:
            self._told.popitem(last=False)
        return {"event_type": "fallback_used", "from_model": event.from_model, "to_model": event.to_model,
                "code": event.code, "repeats": repeats}  # fmt: skip

    def _budget(self, event: BudgetWarning | BudgetReached) -> Json:
        percent = round(float(event.spent / event.budget * 100), 1) if event.budget else None
        currency, rate = self._money()
        amounts = {"spent": event.spent * rate, "budget": event.budget * rate, "currency": currency}
        return {"period": event.period, "percent": percent, **amounts}
