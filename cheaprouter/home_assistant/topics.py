"""Every topic's name, made and understood in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..core.records import dataclass

_LONGEST: Final = 256
"""Bytes of a response topic that we publish to."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Names under one base topic (`cheaprouter`) and one discovery prefix (`homeassistant`).

    `answers`: filters of further topics that publishers may have their answers on.
    """

    base: str
    prefix: str
    answers: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """`online` or `offline`, retained; the last will."""
        return f"{self.base}/status"

    @property
    def birth(self) -> str:
        """Where Home Assistant says that it started."""
        return f"{self.prefix}/status"

    def place(self, slug: str | None) -> str:
        """Where a device's topics are; None: the hub's."""
        return self.base if slug is None else f"{self.base}/device/{slug}"

    def state(self, slug: str | None) -> str:
        """Totals and settings, retained JSON."""
        return f"{self.place(slug)}/state"

    def details(self, slug: str | None) -> str:
        """What goes beyond the state: speed, when a limit resets, providers; retained JSON."""
        return f"{self.place(slug)}/details"

    def availability(self, slug: str) -> str:
        """`online` while the device is known, retained."""
        return f"{self.place(slug)}/availability"

    def event(self, slug: str | None) -> str:
        """Things that happened, not retained."""
        return f"{self.place(slug)}/event"

    def command(self, slug: str | None, setting: str) -> str:
        """Where a setting is changed."""
        return f"{self.place(slug)}/{setting}/set"

    def chat(self, slug: str | None, part: str) -> str:
        """`request`, `response` or `stream` of chat."""
        return f"{self.place(slug)}/chat/{part}"

    def response(self, verb: str) -> str:
        """Where the answer to `request/<verb>` goes."""
        return f"{self.base}/response/{verb}"

    def discovery(self, discovery_id: str) -> str:
        """Home Assistant's device discovery."""
        return f"{self.prefix}/device/{discovery_id}/config"

    def retained(self, slug: str | None) -> tuple[str, ...]:
        """All that stays at the broker for a device, or for the hub."""
        last = self.status if slug is None else self.availability(slug)
        return (self.state(slug), self.details(slug), last)

    def discovered(self, topic: str) -> str | None:
        """The id that is announced on a topic of Home Assistant's device discovery; None for another topic."""
        before, after = f"{self.prefix}/device/", "/config"
        return topic[len(before) : -len(after)] if topic.startswith(before) and topic.endswith(after) else None

    def own(self) -> list[str]:
        """Where only we publish, and others are heard that do: see the room that watches it."""
        return [self.status, self.details(None), self.availability("+")]

    def subscriptions(self, *, commands: bool, chat: bool, discovery: bool) -> list[str]:
        """What to listen to."""
        filters = [f"{self.base}/request/+"]
        if commands:
            filters += [f"{self.base}/+/set", f"{self.base}/device/+/+/set"]
        if chat:
            filters += [f"{self.base}/chat/request", f"{self.base}/device/+/chat/request"]
        if discovery:
            filters.append(self.birth)
        return filters

    def inside(self, topic: str) -> list[str] | None:
        """A topic's levels below the base; None for one elsewhere."""
        if not topic.startswith(f"{self.base}/"):
            return None
        return topic[len(self.base) + 1 :].split("/")

    def may_answer_on(self, topic: str) -> bool:
        """Whether a publisher may have its answer there: where our answers are, and where `answers` lets them go.

        Anywhere else a request would write with our rights what its sender may not, or call itself: our own topics and
        discovery are out whatever `answers` says.
        """
        if not topic or len(topic.encode()) > _LONGEST or topic.startswith("$") or set(topic) & set("+#\0"):
            return False
        if topic == self.base or topic.startswith(f"{self.prefix}/"):
            return False
        match self.inside(topic):
            case None:
                return any(fits(allowed, topic) for allowed in self.answers)
            case ["response", _, *_] | ["chat", "response", *_] | ["device", _, "chat", "response", *_]:
                return True
            case _:
                return False


def fits(allowed: str, topic: str) -> bool:
    """Whether a topic is among those of an MQTT filter: `+` is one level, `#` at the end any number, none included."""
    return _fits(allowed.split("/"), topic.split("/"))


def _fits(allowed: Sequence[str], levels: Sequence[str]) -> bool:
    for place, wanted in enumerate(allowed):
        if wanted == "#":
            return True
        if place >= len(levels) or wanted not in {"+", levels[place]}:
            return False
    return len(levels) == len(allowed)
