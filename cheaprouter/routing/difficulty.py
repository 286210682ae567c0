"""How hard a request is: the probability that a small model fails at it, from a small trained model. Plain Python, no clock.

The raw score is a sum: one step function for each named count, and the mean weight of the text's hashed pieces. A table
fitted out of fold turns it into a probability. Being a sum, it can say what it is made of.
"""

from __future__ import annotations

import json
import math
import struct
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from typing import Final, Self

from cheaprouter.models import Difficulty, Tier
from cheaprouter.routing.features import Features
from cheaprouter.routing.measures import counts, normalise, pieces
from cheaprouter.routing.text import find_ask, follows_up, is_closing, squeeze

MAGIC: Final = b"CRD1"
FILE: Final = "difficulty.bin"
INHERIT: Final = 0.85
"""What a short follow-up keeps of the difficulty of the question before it."""
INHERIT_DEPTH: Final = 3
"""How many questions back a chain of follow-ups is traced."""
SHOWN: Final = 0.004
"""Contributions smaller than this are left out of the explanation."""


@dataclass(frozen=True, slots=True)
class Step:
    """One count's part: `values[i]` where the count is in the i-th interval between `edges`."""

    name: str
    edges: array[float]
    values: array[float]

    def at(self, count: float) -> float:
        """The contribution of a count."""
        return self.values[bisect_right(self.edges, count)]


@dataclass(frozen=True, slots=True)
class DifficultyModel:
    """The trained model. `cutoffs`: scores from which MEDIUM, COMPLEX and REASONING begin."""

    bias: float
    steps: tuple[Step, ...]
    weights: array[int]
    scale: float
    raw: array[float]
    calibrated: array[float]
    cutoffs: tuple[float, float, float]

    @classmethod
    def load(cls) -> Self:
        """The model that ships with the package. Raises ValueError for a damaged file."""
        return cls.parse(resources.files("cheaprouter.routing").joinpath("data", FILE).read_bytes())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """A model from a file's bytes: magic, length of a JSON head, the head, then little-endian floats and int8 weights."""
        if data[:4] != MAGIC:
            raise ValueError(f"not a difficulty model: it begins with {data[:4]!r}")
        (size,) = struct.unpack_from("<I", data, 4)
        head = json.loads(data[8 : 8 + size])
        floats = array("f")
        end = 8 + size + 4 * head["floats"]
        floats.frombytes(data[8 + size : end])
        weights = array("b")
        weights.frombytes(data[end:])
        if len(weights) != 1 << head["bits"]:
            raise ValueError(f"a difficulty model with {len(weights)} weights, expected {1 << head['bits']}")
        source = iter(floats)
        bias, scale, *cutoffs = islice(source, 5)
        steps = tuple(
            Step(name, array("f", islice(source, n)), array("f", islice(source, n + 1))) for name, n in head["steps"]
        )
        table = head["table"]
        raw, calibrated = array("f", islice(source, table)), array("f", islice(source, table))
        medium, complex_, reasoning = cutoffs
        return cls(bias, steps, weights, scale, raw, calibrated, (medium, complex_, reasoning))

    def score(self, features: Features) -> Difficulty:
        """The difficulty of what is asked now; a short follow-up keeps most of that of the question before it."""
        parts, own = self._parts(features.said, features.images)
        inherited = self._inherited(features) if features.previous else 0.0
        if inherited > own:
            parts["follow_up"] = inherited - own
        score = round(max(own, inherited), 4)
        return Difficulty(score, self.tier(score), parts)

    def tier(self, score: float) -> Tier:
        """The word for a score."""
        return _TIERS[bisect_right(self.cutoffs, score)]

    def raw_parts(self, said: str, images: int = 0) -> dict[str, float]:
        """What the uncalibrated sum is made of, by name."""
        ask = find_ask(said)
        text = normalise(ask.text)
        row = counts(ask, text, images)
        parts = {step.name: step.at(count) for step, count in zip(self.steps, row, strict=True)}
        parts["wording"] = self._wording(pieces(text))
        return parts

    def _parts(self, said: str, images: int) -> tuple[dict[str, float], float]:
        text = squeeze(said).casefold()
        if not text or is_closing(text):
            low = self.calibrated[0]
            return {"nothing_asked": low}, low
        parts = self.raw_parts(said, images)
        total = self.bias + math.fsum(parts.values())
        shown = {name: round(value, 4) for name, value in parts.items() if abs(value) >= SHOWN}
        return shown, self.calibrate(total)

    def _wording(self, places: set[int]) -> float:
        if not places:
            return 0.0
        weights = self.weights
        return self.scale * sum([weights[place] for place in places]) / math.sqrt(len(places))

    def _inherited(self, features: Features) -> float:
        """The difficulty that the asks before hand down to this one, 0 where it stands alone."""
        kept, said = 1.0, features.said
        for earlier in features.previous[: -INHERIT_DEPTH - 1 : -1]:
            if not _leans(said):
                return 0.0
            kept *= INHERIT
            said = earlier
            if not _leans(earlier):
                break
        return kept * self._parts(said, 0)[1]

    def calibrate(self, total: float) -> float:
        """The probability for a raw sum: straight lines between the table's points."""
        return interpolate(self.raw, self.calibrated, total)


def interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """The value at `x` on the line through the points, flat beyond both ends."""
    at = bisect_right(xs, x)
    if at == 0:
        return ys[0]
    if at == len(xs):
        return ys[-1]
    left, right = xs[at - 1], xs[at]
    return ys[at - 1] + (ys[at] - ys[at - 1]) * (x - left) / (right - left)


def _leans(said: str) -> bool:
    text = squeeze(said).casefold()
    return not is_closing(text) and follows_up(text)


_TIERS: Final[Mapping[int, Tier] | tuple[Tier, ...]] = (Tier.SIMPLE, Tier.MEDIUM, Tier.COMPLEX, Tier.REASONING)
