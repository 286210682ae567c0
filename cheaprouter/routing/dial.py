"""The dial between cost and quality: what a failed answer counts for (USD) at each of its steps, fitted to the models in use.

A failed answer costs the same whatever the request's own price. How much that is at a step nobody can say once and for all:
with one set of models a cent moves everything to the best, with another nothing. So it is fitted: over a typical home's
requests, each step from 0 to 10 moves the same share of them to another, better model.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from importlib import resources
from math import ceil, inf
from typing import Final

import orjson

from ..core.records import dataclass

STEPS: Final = 10
"""The dial's steps: at 0 the cheapest answers everything, at 10 the best does."""

FILE: Final = "typical.json"

LEAST_GAIN: Final = 0.001
"""What a better model gains at least: where nothing is to be gained, no amount would move a request."""

_ALIKE: Final = 15
"""Typical requests that tell together what is usually gained."""


@dataclass(frozen=True, slots=True)
class Typical:
    """A request of a typical home: the chance that a small model fails, what a large one gains, its kind, tokens in and out."""

    fail: float
    gain: float
    kind: str
    prompt: int
    output: int


@cache
def typical_home() -> tuple[Typical, ...]:
    """The shipped sample, see script/training/typical.py."""
    read = orjson.loads(resources.files("cheaprouter.routing").joinpath("data", FILE).read_bytes())
    return tuple(Typical(*row) for row in read["requests"])


@cache
def _by_fail() -> tuple[tuple[float, ...], tuple[float, ...]]:
    rows = sorted((one.fail, one.gain) for one in typical_home())
    return tuple(fail for fail, _ in rows), tuple(gain for _, gain in rows)


def usual_gain(fail: float) -> float:
    """What a large model usually gains where a small one fails with that chance: the mean of those most alike."""
    fails, gains = _by_fail()
    first = min(max(0, bisect_right(fails, fail) - _ALIKE // 2), max(0, len(gains) - _ALIKE))
    near = gains[first : first + _ALIKE]
    return sum(near) / len(near)


def turns(costs: Sequence[float], shares: Sequence[float]) -> list[tuple[float, int]]:
    """Which candidate a request goes to as failures weigh more: each with the weight (USD) from which on it is the one.

    `costs`: USD of each candidate; `shares`: how much of what a better model gains each has. The first is the cheapest, from
    0 on; the last is the best.
    """
    here = min(range(len(costs)), key=lambda place: (costs[place], -shares[place]))
    found = [(0.0, here)]
    while True:
        cost, share = costs[here], shares[here]
        best, least, most = -1, inf, share
        for place, other in enumerate(shares):
            if other > share:
                slope = (costs[place] - cost) / (other - share)
                if slope < least or (slope == least and other > most):
                    best, least, most = place, slope, other
        if best < 0:
            return found
        here = best
        found.append((least, here))


@dataclass(frozen=True, slots=True)
class Dial:
    """`worths`: USD that a failed answer counts for at each whole step, 0 to 10; that of 10 moves all that can be moved."""

    worths: tuple[float, ...]

    def worth(self, at: float) -> float:
        """USD that a failed answer counts for at a point of the dial; infinite at its end, where cost does not count."""
        if at >= STEPS:
            return inf
        step = int(at)
        low, high = self.worths[step], self.worths[step + 1]
        if at <= 0 or high <= 0:
            return 0.0
        return high * at if low <= 0 else low * float((high / low) ** (at - step))


NO_CHOICE: Final = Dial((0.0,) * (STEPS + 1))
"""Where one candidate is both the cheapest and the best."""


def fitted(requests: Sequence[Sequence[float]]) -> Dial:
    """The dial whose steps each make a like share of all the moves there are: its worths are the tenths of theirs.

    `requests`: for each one the worths (USD of a failed answer) from which on it goes to another candidate, rising.
    """
    every = sorted(worth for moves in requests for worth in moves)
    if not every:
        return NO_CHOICE
    return Dial((0.0, *(every[ceil(len(every) * step / STEPS) - 1] for step in range(1, STEPS + 1))))
