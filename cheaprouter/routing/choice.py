"""One request's choice among the candidates that fit: who is first, who comes after, and whether anybody has to know how hard it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..core.models import Difficulty, Model, Profile
from ..core.records import dataclass
from .choose import ECO_BAR, HIGH_BAR, UNASKED, Entries, Weighed, close, first, mixed, ranks, settled
from .dial import LEAST_GAIN
from .features import Features
from .stakes import LEAST_AT_STAKE, STEP
from .sticky import Pin

_LOOKED_AT: Final = 12
"""How many of the best are looked for among those that may be asked: enough for a chain that mixes providers."""

_ESCALATED: Final = 0.6
"""Least difficulty of a question that came back, and least gain: whatever answered it before did not satisfy."""

SCORED: Final = (Profile.AUTO, Profile.ECO)
"""Profiles that ask how hard a request is."""


@dataclass(slots=True, eq=False)
class Choice:
    """What a request is chosen by, as it was when the choice was made.

    `worth`: USD that a failed answer counts for, infinite where cost does not count. `pin`: the model its conversation is on, None where that plays no part. `down`: ids of models that may not be asked now.
    `most`: how many may stand in. `difficulty`: None until it is needed. `kept_on`: the conversation stays where it is;
    `escalated`: it leaves a model that did not satisfy. `came_back`: whether the request is another try, None until it is needed;
    `why_back`: what in it says so, see `comeback`.
    """

    entries: Entries
    profile: Profile
    worth: float
    features: Features
    pin: Pin | None
    down: frozenset[str]
    most: int
    score: Callable[[Features], Difficulty]
    difficulty: Difficulty | None = None
    kept_on: bool = False
    escalated: bool = False
    came_back: bool | None = None
    why_back: str = ""
    _weighed: Weighed | None = None

    def place(self) -> int:
        """The place of the best that may be asked now; where all are down, of the best."""
        if self.pin is None and not self.down:
            try:
                place = self.entries.settled[self.profile, self.worth]
            except KeyError:  # the first of its size
                place = settled(self.entries, self.profile, self.worth)
            return self._best() if place is None else place
        if (place := self._sure()) is not None:
            return place
        if not self.down and self.pin is not None and not self._again():
            held, best = self.entries.field.places.get(self.pin.model_id), self._best()
            if held is None or not self._stays(held, best):
                return best
            self.kept_on = True
            return held
        order, ids = self.order(), self.entries.field.ids
        place = next((one for one in order if ids[one] not in self.down), order[0])
        self.kept_on = self.kept_on and place == order[0]
        return place

    def _sure(self) -> int | None:
        """The place of the candidate that wins however hard the request is, so that nobody has to find out."""
        entries = self.entries
        if len(entries.costs) == 1:
            return 0
        if self.pin is None:
            place = settled(self.entries, self.profile, self.worth)
            return None if place is None or entries.field.ids[place] in self.down else place
        if self._again():
            return None
        held = entries.field.places.get(self.pin.model_id)
        place = (
            held if held is not None and self.features.in_tool_loop else settled(self.entries, self.profile, self.worth)
        )
        if place is None or entries.field.ids[place] in self.down or held not in (None, place):
            return None
        self.kept_on = held is not None
        return place

    def order(self) -> list[int]:
        """The places of all that fit, best first, with the conversation's own model in front where it should stay.

        Or behind, where it has failed.
        """
        entries, pin = self.entries, self.pin
        if len(entries.costs) == 1:
            return [0]
        found = ranks(entries, self.profile, self._weigh())
        order = sorted(range(len(found)), key=found.__getitem__)
        if pin is None:
            return order
        if self._again():
            quality = entries.field.view.qualities
            better = [one for one in order if quality[one] > pin.quality]
            self.escalated = bool(better) and better[0] != order[0]
            return [*better, *(one for one in order if quality[one] <= pin.quality)]
        held = entries.field.places.get(pin.model_id)
        if held is None:
            return order
        if self._stays(held, order[0]):
            self.kept_on = True
            order.remove(held)
            order.insert(0, held)
        return order

    def _best(self) -> int:
        """The place of the best, whatever model the conversation is on and whoever is down."""
        return first(self.entries, self.profile, self._weigh())

    def _stays(self, held: int, best: int) -> bool:
        """Whether the conversation stays with the model that it is on."""
        if held == best or self.features.in_tool_loop:
            return True
        return close(self.entries, self.profile, self._weigh(), held, best)

    def stand_ins(self) -> tuple[Model, ...]:
        """Who comes after the chosen model; those that may not be asked now go last."""
        ready, cooling = list[Model](), list[Model]()
        for place in self.order():
            model = self.entries.field.candidates[place].model
            (cooling if model.id in self.down else ready).append(model)
            if len(ready) >= _LOOKED_AT:
                break
        chain = mixed(ready, self.most)
        if cooling:
            chain = (*chain, *cooling)[: self.most + 1]
        return chain[1:]

    def score_later(self) -> Difficulty:
        """How hard the request is, where nobody had to know."""
        return self.score(self.features)

    def _weigh(self) -> Weighed:
        """What the request counts as, by how hard it is and what about; nothing where the profile does not ask."""
        if self._weighed is None:
            if self.profile not in SCORED and not self.entries.field.views:
                return UNASKED
            if self.difficulty is None:
                self.difficulty = self.score(self.features)
            hard = self.difficulty
            if self.pin is None and not (
                self.features.previous or self.why_back or hard.stakes
            ):  # `weigh`, without the call
                gain = max(LEAST_GAIN, hard.gain)
                self._weighed = hard.score, self.worth * gain, ECO_BAR, hard.kind
            else:
                self._weighed = self.weigh(hard)
        return self._weighed

    def weigh(self, hard: Difficulty) -> Weighed:
        """What a request counts as that is so hard; or more where the question came back: it is harder than it looks."""
        level, gain = hard.score, max(LEAST_GAIN, hard.gain)
        if (self.pin is not None or self.features.previous or self.why_back) and self._again():
            level, gain = max(level, _ESCALATED), max(gain, _ESCALATED)
        if hard.stakes:
            return max(level, LEAST_AT_STAKE), self.worth * gain * STEP, HIGH_BAR, hard.kind
        return level, self.worth * gain, ECO_BAR, hard.kind

    def _again(self) -> bool:
        if self.came_back is None:
            self.came_back = bool(self.why_back) or (self.pin is not None and self.pin.failed) or self.features.repeats
        return self.came_back
