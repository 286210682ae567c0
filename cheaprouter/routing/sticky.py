"""Conversations: one stays with its model while that pays, and leaves it when it failed.

What a provider has read of a conversation it reads again at a fraction of the price; another one reads it anew. So a switch has to
save more than that costs, by the prices of both and over the turns that are still to come.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple
from zlib import crc32

from ..core.models import Model, RouteDecision
from ..core.records import dataclass
from ..wire.prompt_cache import PromptCache

MOST: Final = 2000
"""Conversations remembered; the longest unused go."""

MEMORY: Final = 3600.0
"""Seconds after which a conversation is forgotten."""

MOST_TURNS: Final = 10.0
"""Turns that a conversation is expected to have still, at most. It is expected to have as many as it had: the longer one has
gone on, the longer it will (Lindy's law, which holds for whatever may end at any time)."""

_REMEMBERED: Final = 2
"""Models that a conversation was on before this one, whose caches may still hold its beginning."""

RETRY_SPAN: Final = 120.0
"""Seconds within which the same request after a failure counts as another try."""


class Seen(NamedTuple):
    """What a model's provider has seen of a conversation: an estimate in tokens, and when (monotonic seconds)."""

    model_id: str
    prompt_tokens: int
    at: float


@dataclass(slots=True, eq=False)
class Pin:
    """The model a conversation was last served by. `quality`: what to be better than, once it `failed`.

    `prompt_tokens`: estimate of the prompt that its provider has seen, uncorrected as the next one will be. `at`: monotonic
    seconds. `answers`: how many the conversation had. `before`: other models that it was on.
    """

    model_id: str
    quality: float
    prompt_tokens: int
    at: float
    failed: bool = False
    answers: int = 1
    before: tuple[Seen, ...] = ()

    def outlook(self, now: float, kept: Callable[[str], PromptCache]) -> Outlook | None:
        """What of it is still in caches; None where nothing is. `kept`: what the provider of a model keeps."""
        warm = {
            one.model_id: one.prompt_tokens
            for one in (*self.before, Seen(self.model_id, self.prompt_tokens, self.at))
            if now - one.at <= (cache := kept(one.model_id)).seconds and one.prompt_tokens >= cache.least
        }
        return Outlook(self.model_id, warm, min(MOST_TURNS, self.answers)) if warm else None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a choice within a conversation has to know of caches.

    `held`: the model that it is on. `warm`: tokens of the prompt in the caches of models' providers. `turns`: how many more are
    expected.
    """

    held: str
    warm: Mapping[str, int]
    turns: float


LEAST_KEPT: Final = 1024
"""Tokens of a prompt below which no vendor in the cloud keeps its beginning."""

_LONG_SYSTEM: Final = 4 * LEAST_KEPT
_TELLING: Final = 2000
"""Characters that tell beginnings apart, as in `Features.opening_key`."""


def affinity(device_id: str, system: str, asked: str) -> int:
    """A number that a device's requests have in common whose prompts begin alike; the same after a restart.

    Instructions that are kept by themselves make alike all that begins with them; else it is the conversation.
    """
    opening = system[:_TELLING] if len(system) >= _LONG_SYSTEM else f"{system[:_TELLING]}\0{asked[:_TELLING]}"
    return crc32(f"{device_id}\0{opening}".encode("utf-8", "replace"))


def over_the_turns(now: Sequence[float], later: Sequence[float], held: int | None, turns: float) -> list[float]:
    """What each choice comes to, of which the least is the best: its own cost now, less what it saves in the turns to come.

    `now`: USD of this turn on each, whose cache is cold but for those that the conversation was on. `later`: of a further turn,
    once each has it in its cache. `held`: the place of the model that the conversation is on: nothing is lost by a turn on a
    dearer one, since the next may go back; None where it can no longer be chosen.
    """
    if held is None:
        return [one + turns * more for one, more in zip(now, later, strict=True)]
    stays = later[held]
    return [one + turns * min(0.0, more - stays) for one, more in zip(now, later, strict=True)]


class StickyStore:
    """Pins by device and conversation, so that two devices' equal words never meet. Bounded.

    `last_failure`: monotonic seconds; no pin failed later.
    """

    def __init__(self, most: int = MOST) -> None:
        self._pins: OrderedDict[tuple[str, int], Pin] = OrderedDict()
        self._most = most
        self.last_failure = -inf

    def __len__(self) -> int:
        return len(self._pins)

    def find(self, device_id: str, key: int, now: float) -> Pin | None:
        """The conversation's pin, if it is not too old. `now`: monotonic seconds."""
        pin = self._pins.get((device_id, key))
        if pin is None or now - pin.at > MEMORY:
            return None
        return pin

    def remember(self, device_id: str, decision: RouteDecision, model: Model, now: float) -> None:
        """The conversation was served by that model. A model asked for by name pins nothing."""
        pin = Pin(model.id, model.quality.value, decision.estimated_prompt, now)
        if decision.conversation_key is not None:
            self._go_on(pin, self._pins.get((device_id, decision.conversation_key)))
        self._put(device_id, decision, pin)

    def failed(self, device_id: str, decision: RouteDecision, now: float) -> None:
        """The chosen model did not answer, or answered badly: the next try should be a better one's."""
        self.last_failure = max(self.last_failure, now)
        self._put(device_id, decision, Pin(decision.model.id, decision.model.quality.value, 0, now, failed=True))

    @staticmethod
    def _go_on(pin: Pin, last: Pin | None) -> None:
        """Take over what is known of the conversation."""
        if last is None or last.failed:
            return
        pin.answers = last.answers + 1
        before = last.before
        if last.model_id != pin.model_id:
            before = (*before, Seen(last.model_id, last.prompt_tokens, last.at))
        pin.before = tuple([one for one in before if one.model_id != pin.model_id][-_REMEMBERED:])

    def _put(self, device_id: str, decision: RouteDecision, pin: Pin) -> None:
        if decision.named or decision.conversation_key is None:
            return
        key = (device_id, decision.conversation_key)
        self._pins[key] = pin
        self._pins.move_to_end(key)
        if len(self._pins) > self._most:
            self._pins.popitem(last=False)
