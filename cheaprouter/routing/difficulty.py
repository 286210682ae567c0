"""How hard a request is: the probability that a small model fails at it, from a small trained model. Plain Python.

The raw score is a sum: shallow trees over the named counts, and the mean weight of the text's hashed words and word pairs.
A table fitted out of fold turns it into a probability. Being a sum, it can say what it is made of.
"""

from __future__ import annotations

import math
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from importlib import resources
from typing import Any, Final, Self

from ..core.models import Difficulty, Kind, Tier
from ..core.records import dataclass
from .features import Features, extract
from .kinds import LONG_PROMPT, around, kind_of
from .measures import COUNTS, counts, normalise, pieces, words_of
from .recent import Judged, RecentScores
from .stakes import at_stake
from .text import LONG, Ask, clip, find_ask, follows_up, is_closing, squeeze
from .tools import NO_TOOLS, Toolbox, Toolboxes
from .trained import Trained, read_trained

FILE: Final = "difficulty.bin"
INHERIT: Final = 0.85
"""What a short follow-up keeps of the difficulty of the question before it."""
INHERIT_DEPTH: Final = 3
"""How many questions back a chain of follow-ups is traced."""
HOME_FAILS: Final = 0.2
"""How often models of 4 to 8 billion parameters fail at the plainest commands to a home, which stay SIMPLE: they take the wrong device,
or none (home-assistant-datasets, reports of 2026-08-22; 0.21 over all of the development half that can be done)."""
SHOWN: Final = 0.004
"""Contributions smaller than this are left out of the explanation."""

_LENGTH: Final = COUNTS.index("length")
_FAR: Final = 3.0
_TIERS: Final = (Tier.SIMPLE, Tier.MEDIUM, Tier.COMPLEX, Tier.REASONING)


class Contributions(Mapping[str, float]):
    """What a score is made of, worked out when first looked at: most requests are never explained."""

    __slots__ = ("_features", "_inherited", "_known", "_model", "_own")

    def __init__(self, model: DifficultyModel, features: Features, own: float, inherited: float) -> None:
        self._model = model
        self._features = features
        self._own = own
        self._inherited = inherited
        self._known: dict[str, float] | None = None

    def _parts(self) -> dict[str, float]:
        if self._known is None:
            self._known = self._model.parts(self._features)
            if self._inherited > self._own:
                self._known["follow_up"] = round(self._inherited - self._own, 4)
        return self._known

    def __getitem__(self, name: str) -> float:
        return self._parts()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts())

    def __len__(self) -> int:
        return len(self._parts())


@dataclass(frozen=True, slots=True)
class DifficultyModel:
    """The trained model, which does not change, and what it said of recent texts. Load it once and keep it."""

    trained: Trained
    recent: RecentScores = field(default_factory=RecentScores)
    toolboxes: Toolboxes = field(default_factory=Toolboxes)

    @classmethod
    def load(cls) -> Self:
        """The model that ships with the package. Raises ValueError for a damaged file."""
        return cls(read_trained(resources.files("cheaprouter.routing").joinpath("data", FILE).read_bytes()))

    def judge(self, features: Features) -> Difficulty:
        """The difficulty of what is asked now, and nothing of what it is made of.

        A short follow-up keeps most of the difficulty of the question before it.
        """
        own = self._own(features.said, features.images, features)
        if features.previous:
            kept, earlier = self._inherited(features)
            if earlier is not None and kept * earlier.score > own.score:
                own = self._handed_down(earlier, kept)
        return own.difficulty

    def score(self, features: Features) -> Difficulty:
        """The same with what it is made of."""
        told, own = self.judge(features), self._own(features.said, features.images, features).score
        kept, earlier = self._inherited(features) if features.previous else (0.0, None)
        parts = Contributions(self, features, own, 0.0 if earlier is None else kept * earlier.score)
        return Difficulty(told.score, told.tier, parts, told.gain, told.kind, told.row, told.stakes)

    def vector(self, difficulty: Difficulty) -> list[float]:
        """What a home may learn by: the chance of failing, the gain, and the ask's counts as they differ from the usual.

        A count is told in its spreads (standard deviations) above the mean of what the model was trained on, at most `_FAR` of
        them. Of the same length and order for every request (`vector_names`), all counts 0 where nothing is asked.
        """
        known = self.trained
        row = difficulty.row or known.means
        scaled = [(count - mean) / spread for count, mean, spread in zip(row, known.means, known.spreads, strict=True)]
        return [difficulty.score, difficulty.gain, *[min(_FAR, max(-_FAR, one)) for one in scaled]]

    def vector_names(self) -> tuple[str, ...]:
        """The names of a `vector`'s numbers, for whoever explains what was learned."""
        return ("fail", "gain", *self.trained.counts)

    def _handed_down(self, earlier: Judged, kept: float) -> Judged:
        score, told = kept * earlier.score, earlier.difficulty
        rounded = round(score, 6)
        return Judged(
            score,
            Difficulty(
                rounded,
                self.tier(rounded),
                gain=round(kept * told.gain, 6),
                kind=told.kind,
                row=told.row,
                stakes=told.stakes,
            ),
        )

    def tier(self, score: float) -> Tier:
        """The word for a score."""
        return _TIERS[bisect_right(self.trained.cutoffs, score)]

    def _own(self, said: str, images: int, features: Features | None = None) -> Judged:
        """A message's difficulty by itself. `features`: those of the request, where it is the last message."""
        box = (
            NO_TOOLS
            if features is None or not features.tools
            else self.toolboxes.of(features.offered, features.schemas)
        )
        usual = features is None or (box is NO_TOOLS and features.prompt_tokens < LONG_PROMPT)
        key = self.recent.key(said, images, 0 if usual or features is None else around(features, box))
        found = self.recent.get(key)
        if found is None:
            found = self._judged(find_ask(said) if features is None else features.asked, images, features, box)
            self.recent.put(key, found)
        return found

    def _judged(self, ask: Ask, images: int, features: Features | None, box: Toolbox = NO_TOOLS) -> Judged:
        fail, gain, counted = self.trained.fail, self.trained.gain, array("f")
        if _nothing_asked(ask):
            score, gained = fail.told[0], gain.told[0]
        else:
            row, places = _measured(ask, images, box)
            fails, gains = self.trained.trees.grow(row)
            length, counted = row[_LENGTH], array("f", row)
            score = interpolate(fail.raw, fail.told, fail.base + fails + fail.slope * length + self._wording(places))
            gained = interpolate(gain.raw, gain.told, gain.base + gains + gain.slope * length)
        kind = kind_of(counted, features, box)
        if kind is Kind.HOME and score < (medium := self.trained.cutoffs[0]):
            score = HOME_FAILS + (medium - HOME_FAILS) * score / medium
        stakes = "" if kind is Kind.HOME else at_stake(ask.text)  # a lamp is no electrician's work
        rounded = round(score, 6)
        told = Difficulty(rounded, self.tier(rounded), gain=round(gained, 6), kind=kind, row=counted, stakes=stakes)
        return Judged(score, told)

    def _wording(self, places: set[int]) -> float:
        if not places:
            return 0.0
        weight = self.trained.weights.__getitem__
        return self.trained.scale * sum(map(weight, places)) / math.sqrt(len(places))

    def _inherited(self, features: Features) -> tuple[float, Judged | None]:
        """The question before that hands down most difficulty to this one, and how much of it; None where it stands alone."""
        kept, said = 1.0, features.said
        best: tuple[float, Judged | None] = (0.0, None)
        most = 0.0
        for earlier in features.previous[: -INHERIT_DEPTH - 1 : -1]:
            if not _leans(said):
                break
            kept *= INHERIT
            own = self._own(earlier, 0)
            if kept * own.score > most:
                most, best = kept * own.score, (kept, own)
            said = earlier
        return best

    def parts(self, features: Features) -> dict[str, float]:
        """Parts of the raw sum of what is asked now by name, against the average request. Small ones are left out."""
        ask = features.asked
        known = self.trained
        if _nothing_asked(ask):
            return {"nothing_asked": round(known.fail.told[0], 4)}
        box = self.toolboxes.of(features.offered, features.schemas) if features.tools else NO_TOOLS
        row, places = _measured(ask, features.images, box)
        parts = {"average": known.average, "wording": self._wording(places), **known.trees.paths(row, known.counts)}
        parts["length"] = parts.get("length", 0.0) + known.fail.slope * row[_LENGTH]
        return {name: round(part, 4) for name, part in parts.items() if abs(part) >= SHOWN}


def interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """The value at `x` on the line through the points, flat beyond both ends."""
    at = bisect_right(xs, x)
    if at == 0:
        return ys[0]
    if at == len(xs):
        return ys[-1]
    left, right = xs[at - 1], xs[at]
    return ys[at - 1] + (ys[at] - ys[at - 1]) * (x - left) / (right - left)


def _nothing_asked(ask: Ask) -> bool:
    return not ask.text or is_closing(ask.text.casefold())


def _measured(ask: Ask, images: int, box: Toolbox) -> tuple[list[float], set[int]]:
    text = normalise(ask.text)
    words = words_of(text)
    return counts(ask, text, words, images, box), pieces(text, words)


def _leans(said: str) -> bool:
    text = squeeze(clip(said, LONG)).casefold()
    return not is_closing(text) and follows_up(text)


def score_payload(model: DifficultyModel, payload: object) -> dict[str, Any]:
    """Judge one chat body. Never raises: junk is judged as an empty request. `latency_us`: features and score together."""
    began = time.perf_counter_ns()
    features = extract(payload)
    difficulty = model.score(features)
    micros = (time.perf_counter_ns() - began) / 1000
    return {
        "score": difficulty.score,
        "tier": difficulty.tier.value,
        "latency_us": round(micros, 1),
        "ask": features.ask[:200],
        "prompt_tokens": features.prompt_tokens,
        "needs": sorted(features.needs),
        "contributions": dict(difficulty.contributions),
    }
