"""How hard a request is: the probability that a small model fails at it, from a small trained model. Plain Python, no clock.

The raw score is a sum: shallow trees over the named counts, and the mean weight of the text's hashed words and word pairs.
A table fitted out of fold turns it into a probability. Being a sum, it can say what it is made of.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, Self

from ..core.models import Difficulty, Tier
from . import weights as files
from .features import Features
from .measures import COUNTS, counts, normalise, pieces
from .text import Ask, find_ask, follows_up, is_closing, squeeze

FILE: Final = "difficulty.bin"
INHERIT: Final = 0.85
"""What a short follow-up keeps of the difficulty of the question before it."""
INHERIT_DEPTH: Final = 3
"""How many questions back a chain of follow-ups is traced."""
SHOWN: Final = 0.004
"""Contributions smaller than this are left out of the explanation."""

_LENGTH: Final = COUNTS.index("length")
_TIERS: Final = (Tier.SIMPLE, Tier.MEDIUM, Tier.COMPLEX, Tier.REASONING)


class Contributions(Mapping[str, float]):
    """What a score is made of, worked out when first looked at: most requests are never explained."""

    def __init__(self, work: Callable[[], dict[str, float]]) -> None:
        self._work = work
        self._parts: dict[str, float] | None = None

    def _all(self) -> dict[str, float]:
        if self._parts is None:
            self._parts = self._work()
        return self._parts

    def __getitem__(self, name: str) -> float:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


@dataclass(frozen=True, slots=True)
class DifficultyModel:
    """The trained model. Load it once and keep it: it does not change."""

    trained: files.Trained

    @classmethod
    def load(cls) -> Self:
        """The model that ships with the package. Raises ValueError for a damaged file."""
        return cls(files.parse(resources.files("cheaprouter.routing").joinpath("data", FILE).read_bytes()))

    @property
    def cutoffs(self) -> tuple[float, float, float]:
        """Scores from which MEDIUM, COMPLEX and REASONING begin."""
        return self.trained.cutoffs

    def score(self, features: Features) -> Difficulty:
        """The difficulty of what is asked now; a short follow-up keeps most of that of the question before it."""
        own = self._score(features.said, features.images)
        inherited = self._inherited(features) if features.previous else 0.0
        score = round(max(own, inherited), 6)

        def explain() -> dict[str, float]:
            parts = self._explain(features.said, features.images)
            if inherited > own:
                parts["follow_up"] = round(inherited - own, 4)
            return parts

        return Difficulty(score, self.tier(score), Contributions(explain))

    def tier(self, score: float) -> Tier:
        """The word for a score."""
        return _TIERS[bisect_right(self.trained.cutoffs, score)]

    def _score(self, said: str, images: int) -> float:
        ask = find_ask(said)
        if _nothing_asked(ask):
            return self.trained.calibrated[0]
        text = normalise(ask.text)
        row = counts(ask, text, images)
        known = self.trained
        total = known.base + known.grow(row) + known.slope * row[_LENGTH] + self._wording(pieces(text))
        return interpolate(known.raw, known.calibrated, total)

    def _wording(self, places: set[int]) -> float:
        if not places:
            return 0.0
        table = self.trained.weights
        return self.trained.scale * sum([table[place] for place in places]) / math.sqrt(len(places))

    def _inherited(self, features: Features) -> float:
        """The difficulty that the questions before hand down to this one, 0 where it stands alone."""
        kept, said, best = 1.0, features.said, 0.0
        for earlier in features.previous[: -INHERIT_DEPTH - 1 : -1]:
            if not _leans(said):
                break
            kept *= INHERIT
            best = max(best, kept * self._score(earlier, 0))
            said = earlier
        return best

    def _explain(self, said: str, images: int) -> dict[str, float]:
        """Parts of the raw sum by name, against the average request. Small ones are left out."""
        ask = find_ask(said)
        if _nothing_asked(ask):
            return {"nothing_asked": round(self.trained.calibrated[0], 4)}
        text = normalise(ask.text)
        row = counts(ask, text, images)
        parts = {"average": self.trained.average, "wording": self._wording(pieces(text)), **self.trained.paths(row)}
        parts["length"] = parts.get("length", 0.0) + self.trained.slope * row[_LENGTH]
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


def _leans(said: str) -> bool:
    text = squeeze(said).casefold()
    return not is_closing(text) and follows_up(text)
