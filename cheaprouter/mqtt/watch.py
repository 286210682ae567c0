"""What others publish where only we do: it is put right, and a second router under our names is noticed.

A stray `offline`, emptied topics and a device that was deleted in Home Assistant would otherwise last until the next
connection. What is retained is no news: it lay there before we listened.
"""

from __future__ import annotations

import contextlib
import math
from typing import Final

import orjson

from ..core.calendar import Clock
from . import payloads
from .messages import LARGEST, Incoming
from .pacing import Once
from .publisher import Publisher

RIVAL_SECONDS: Final = 180.0
"""How long after its last word another router is taken to be there."""

ANSWER_SECONDS: Final = 60.0
"""How often another router is told that we are here: it must hear of us before it takes us to be gone."""


class Watch:
    """`take` is handed what arrives on `filters`. `identity`: which router we are, as our details say it."""

    def __init__(self, publisher: Publisher, identity: str, clock: Clock, once: Once) -> None:
        self._topics = publisher.topics
        self._identity = identity
        self._publisher = publisher
        self._clock = clock
        self._once = once
        self._rival: str | None = None
        self._heard_at = -math.inf
        self._answered_at = -math.inf

    def take(self, message: Incoming) -> bool:
        """Whether the message was on a topic of ours, and is done with."""
        topics = self._topics
        if (discovered := topics.discovered(message.topic)) is not None:
            if not message.payload and not message.retain:
                self._publisher.deleted(discovered)
            return True
        match topics.inside(message.topic):
            case ["status"]:
                self._heal(None, message)
            case ["device", slug, "availability"]:
                self._heal(slug, message)
            case ["details"]:
                self._compare(message)
            case _:
                return False
        return True

    def _heal(self, slug: str | None, message: Incoming) -> None:
        if not message.retain and message.payload != payloads.ONLINE:
            self._publisher.heal(slug, wiped=not message.payload)

    def _compare(self, message: Incoming) -> None:
        """Another router's details under our names: both are told, and each repeats its own for the other."""
        if message.retain or not 0 < len(message.payload) <= LARGEST:
            return
        said = None
        with contextlib.suppress(orjson.JSONDecodeError):
            said = orjson.loads(message.payload)
        router = said.get("router") if isinstance(said, dict) else None
        if not isinstance(router, str) or router == self._identity:
            return
        now = self._clock.monotonic()
        self._rival, self._heard_at = router[:64], now
        self._once.error(f"rival {self._rival}", "%s", self._told())
        if now - self._answered_at >= ANSWER_SECONDS:
            self._answered_at = now
            self._publisher.repeat_details()

    def _told(self) -> str:
        return (
            f"Another router ({self._rival}) publishes on the same MQTT base topic, {self._topics.base}: each undoes what the"
            " other says. Give one of them another `mqtt.base_topic`."
        )

    def problems(self) -> tuple[str, ...]:
        """That there is another router, for `/health`."""
        if self._clock.monotonic() - self._heard_at > RIVAL_SECONDS:
            self._once.again("rival ")
            return ()
        return (self._told(),)
