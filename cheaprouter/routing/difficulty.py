"""How hard a request is: the probability that a small model fails at it, from a small trained model. Plain Python.

The raw score is a sum: shallow trees over the named counts, and the mean weight of the text's hashed words and word pairs.
A table fitted out of fold turns it into a probability. Being a sum, it can say what it is made of.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from typing import Any, Final, Self

from ..core.models import Difficulty, Tier
from ..core.records import dataclass
from .features import Features, extract
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

MAGIC: Final = b"CRD3"

Node = tuple[int, float, Any, Any]
"""Which count, its threshold, what follows where it is not above it, what follows where it is: a node, or a leaf's value."""


class Contributions(Mapping[str, float]):
    """What a score is made of, worked out when first looked at: most requests are never explained."""

    def __init__(self, work: Callable[[], dict[str, float]]) -> None:
        self._work = work

    @cached_property
    def _parts(self) -> dict[str, float]:
        return self._work()

    def __getitem__(self, name: str) -> float:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


@dataclass(frozen=True, slots=True)
class DifficultyModel:
    """The trained model. Load it once and keep it: it does not change."""

    trained: Trained

    @classmethod
    def load(cls) -> Self:
        """The model that ships with the package. Raises ValueError for a damaged file."""
        return cls(read_trained(resources.files("cheaprouter.routing").joinpath("data", FILE).read_bytes()))

    def score(self, features: Features) -> Difficulty:
        """The difficulty of what is asked now; a short follow-up keeps most of that of the question before it."""
        own = self._score(features.asked, features.images)
        inherited = self._inherited(features) if features.previous else 0.0
        score = round(max(own, inherited), 6)

        def explain() -> dict[str, float]:
            parts = self._explain(features.asked, features.images)
            if inherited > own:
                parts["follow_up"] = round(inherited - own, 4)
            return parts

        return Difficulty(score, self.tier(score), Contributions(explain))

    def tier(self, score: float) -> Tier:
        """The word for a score."""
        return _TIERS[bisect_right(self.trained.cutoffs, score)]

    def _score(self, ask: Ask, images: int) -> float:
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
            best = max(best, kept * self._score(find_ask(earlier), 0))
            said = earlier
        return best

    def _explain(self, ask: Ask, images: int) -> dict[str, float]:
        """Parts of the raw sum by name, against the average request. Small ones are left out."""
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


# --- the trained numbers: magic, length of a JSON head, the head, little-endian arrays --------------------------------


@dataclass(frozen=True, slots=True)
class Trained:
    """Trees over counts, weights of hashed pieces, calibration.

    `base` and `average`: the sum without any tree, and of an average request. `slope`: what a request gains with the log of its
    length, on top of what the trees make of it: length orders kinds of requests that no training data holds. `trees`: for walking; `nodes`: their nodes'
    means level by level, for explaining. `weights` times `scale` are a piece's. `raw` → `calibrated`: the table of
    probabilities. `cutoffs`: scores from which MEDIUM, COMPLEX and REASONING begin.
    """

    base: float
    average: float
    slope: float
    scale: float
    cutoffs: tuple[float, ...]
    raw: array[float]
    calibrated: array[float]
    counts: tuple[str, ...]
    trees: tuple[Node, ...]
    nodes: tuple[array[float], ...]
    weights: array[int]

    def grow(self, row: Sequence[float]) -> float:
        """The trees' sum for a row of counts."""
        total = 0.0
        for tree in self.trees:
            node: Any = tree
            while type(node) is tuple:  # a leaf is a float
                at, threshold, low, high = node
                node = high if row[at] > threshold else low
            total += node
        return total

    def paths(self, row: Sequence[float]) -> dict[str, float]:
        """Each count's share of the trees' sum: what every split on it adds to the mean of its node."""
        parts: dict[str, float] = {}
        for tree, means in zip(self.trees, self.nodes, strict=True):
            node: Any = tree
            place = 0
            while type(node) is tuple:
                at, threshold, low, high = node
                above = row[at] > threshold
                below = 2 * place + 1 + above
                name = self.counts[at]
                parts[name] = parts.get(name, 0.0) + means[below] - means[place]
                node, place = (high if above else low), below
        return parts


def read_trained(data: bytes) -> Trained:
    """A model from a file's bytes. Raises ValueError where they are not one."""
    if data[:4] != MAGIC:
        raise ValueError(f"not a difficulty model: it begins with {data[:4]!r}")
    (size,) = struct.unpack_from("<I", data, 4)
    start = 8 + size
    head = json.loads(data[8:start])
    inner, every = (1 << head["depth"]) - 1, (1 << (head["depth"] + 1)) - 1
    floats = _array("f", data[start : (start := start + 4 * head["floats"])])
    features = data[start : (start := start + inner * head["trees"])]
    weights = _array("b", data[start:])
    if len(weights) != 1 << head["bits"]:
        raise ValueError(f"a difficulty model with {len(weights)} weights, expected {1 << head['bits']}")
    base, scale, slope, *cutoffs = floats[:6]
    at = 6 + 2 * head["table"]
    raw, calibrated = floats[6 : 6 + head["table"]], floats[6 + head["table"] : at]
    thresholds, values = floats[at : at + inner * head["trees"]], floats[at + inner * head["trees"] :]
    nodes = tuple(values[t * every : (t + 1) * every] for t in range(head["trees"]))
    trees = tuple(
        _node(0, features[t * inner :], thresholds[t * inner : (t + 1) * inner], nodes[t]) for t in range(head["trees"])
    )
    average, names = base + sum(means[0] for means in nodes), tuple(head["counts"])
    return Trained(base, average, slope, scale, tuple(cutoffs), raw, calibrated, names, trees, nodes, weights)


def _node(place: int, features: bytes, thresholds: array[float], means: array[float]) -> Any:
    if place >= len(thresholds):
        return means[place]
    low = _node(2 * place + 1, features, thresholds, means)
    high = _node(2 * place + 2, features, thresholds, means)
    if thresholds[place] == math.inf:  # no split here: both sides are the same
        return low
    return (features[place], thresholds[place], low, high)


def _array(code: str, data: bytes) -> array[Any]:
    values: array[Any] = array(code)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values
