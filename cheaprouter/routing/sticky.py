"""Conversations: one stays with its model while that pays, and leaves it when it failed."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import Final

from ..core.models import Model, RouteDecision
from ..core.records import dataclass

MOST: Final = 2000
"""Conversations remembered; the longest unused go."""

MEMORY: Final = 3600.0
"""Seconds after which a conversation is forgotten."""

CACHE_LIFE: Final = 300.0
"""Seconds that vendors keep a prompt's prefix in their cache, as most document."""

RETRY_SPAN: Final = 120.0
"""Seconds within which the same request after a failure counts as another try."""


@dataclass(slots=True, eq=False)
class Pin:
    """The model a conversation was last served by. `quality`: what to be better than, once it `failed`.

    `prompt_tokens`: estimate of the prompt that its provider has seen, uncorrected as the next one will be. `at`: monotonic
    seconds.
    """

    model_id: str
    quality: float
    prompt_tokens: int
    at: float
    failed: bool = False


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
        self._put(device_id, decision, Pin(model.id, model.quality.value, decision.estimated_prompt, now))

    def failed(self, device_id: str, decision: RouteDecision, now: float) -> None:
        """The chosen model did not answer, or answered badly: the next try should be a better one's."""
        self.last_failure = max(self.last_failure, now)
        self._put(device_id, decision, Pin(decision.model.id, decision.model.quality.value, 0, now, failed=True))

    def _put(self, device_id: str, decision: RouteDecision, pin: Pin) -> None:
        if decision.named or decision.conversation_key is None:
            return
        key = (device_id, decision.conversation_key)
        self._pins[key] = pin
        self._pins.move_to_end(key)
        if len(self._pins) > self._most:
            self._pins.popitem(last=False)
