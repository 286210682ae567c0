"""The trained numbers of the difficulty model, read from its file, and the sum of its trees."""

from __future__ import annotations

import json
import math
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from ..core.records import dataclass

MAGIC: Final = b"CRD4"

_DEEPEST: Final = 4
"""Sixteen leaves of a tree fill two bytes of a mask."""


Splits = tuple[int, float, tuple[float, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Trees:
    """Complete binary trees over a row of counts, each of the same depth.

    `features` and `thresholds`: the inner nodes of all trees, level by level, tree after tree; infinite where there is no
    split. `means`: a tree's nodes' means, leaves last. `masks`: for each count that is split on, its place in the row, its
    lowest threshold, all of them in order, and which leaves can still be reached above so many of them, two bytes a tree.
    """

    inner: int
    features: bytes
    thresholds: array[float]
    means: tuple[tuple[float, ...], ...]
    masks: tuple[Splits, ...]
    every: int
    ones: int
    low: bytes
    high: bytes
    heads: tuple[tuple[tuple[float, ...], ...], ...]

    @classmethod
    def of(
        cls, depth: int, features: bytes, thresholds: array[float], means: tuple[tuple[float, ...], ...], first: int
    ) -> Trees:
        """The trees, made ready to be summed. `first`: how many of them are the first head's; the others are the second's."""
        if not 0 < depth <= _DEEPEST:
            raise ValueError(f"a difficulty model with trees of depth {depth}")
        inner = (1 << depth) - 1
        ones = int.from_bytes(b"\1\0" * len(means), "little")
        # A leaf's place among its tree's nodes, by its bit in the lower or in the upper byte.
        low = bytes(inner + at.bit_length() - 1 if at else 0 for at in range(256))
        high = bytes(inner + at.bit_length() + 7 if at else 0 for at in range(256))
        every, masks = _masks(depth, features, thresholds)
        heads = (means[:first], means[first:])
        return cls(inner, features, thresholds, means, masks, every, ones, low, high, heads)

    def grow(self, row: Sequence[float]) -> tuple[float, float]:
        """The sum of each head's trees for a row of counts.

        No tree is walked: each split that a count is above rules out the leaves on its lower side, and the first leaf left
        of each tree is its value (QuickScorer, Lucchese et al., SIGIR 2015), for all trees at once in one long integer.
        """
        left = self.every
        for at, lowest, thresholds, masks in self.masks:
            if (value := row[at]) > lowest:
                left &= masks[bisect_left(thresholds, value)]
        size = 2 * len(self.means)
        first = (left & ~(left - self.ones)).to_bytes(size, "little")
        low = int.from_bytes(first[::2].translate(self.low), "little")
        places = (low + int.from_bytes(first[1::2].translate(self.high), "little")).to_bytes(size // 2, "little")
        fails = gains = 0.0  # one after the other: `sum` rounds otherwise from Python 3.12 on
        fail, gain = self.heads
        for means, place in zip(fail, places, strict=False):
            fails += means[place]
        for means, place in zip(gain, places[len(fail) :], strict=True):
            gains += means[place]
        return fails, gains

    def paths(self, row: Sequence[float], names: Sequence[str]) -> dict[str, float]:
        """Each count's share of the first head's sum: what every split on it adds to the mean of its node."""
        parts: dict[str, float] = {}
        for tree, means in enumerate(self.heads[0]):
            start, place = tree * self.inner, 0
            while place < self.inner:
                at, threshold = self.features[start + place], self.thresholds[start + place]
                below = 2 * place + 1 + (row[at] > threshold)
                if threshold != math.inf:
                    parts[names[at]] = parts.get(names[at], 0.0) + means[below] - means[place]
                place = below
        return parts


def _masks(depth: int, features: bytes, thresholds: array[float]) -> tuple[int, tuple[Splits, ...]]:
    inner, leaves = (1 << depth) - 1, 1 << depth
    trees = len(features) // inner
    every = int.from_bytes(((1 << leaves) - 1).to_bytes(2, "little") * trees, "little")
    ruled_out: dict[int, dict[float, int]] = {}
    for node, threshold in enumerate(thresholds):
        if threshold == math.inf:
            continue
        tree, place = divmod(node, inner)
        level = (place + 1).bit_length() - 1
        width = leaves >> level
        first = (place + 1 - (1 << level)) * width
        of = ruled_out.setdefault(features[node], {})
        of[threshold] = of.get(threshold, 0) | ((1 << width // 2) - 1) << (16 * tree + first)
    made = []
    for at, by_threshold in ruled_out.items():
        steps, order = [every], sorted(by_threshold)
        for threshold in order:
            steps.append(steps[-1] & ~by_threshold[threshold])
        made.append((at, order[0], tuple(order), tuple(steps)))
    return every, tuple(made)


@dataclass(frozen=True, slots=True)
class Head:
    """What turns a sum into what it means.

    `base`: the sum without any tree. `slope`: what a request adds with the log of its length, on top of what the trees make of
    it: length orders kinds of requests that no training data holds. `raw` → `told`: the table.
    """

    base: float
    slope: float
    raw: array[float]
    told: array[float]


@dataclass(frozen=True, slots=True)
class Trained:
    """Trees over counts, weights of hashed pieces, calibration.

    `fail` makes the probability that a small model fails, of its trees and of the pieces; `gain` how much likelier a large one
    succeeds, of its trees alone. `average`: the first sum of an average request. `weights` times `scale` are a piece's. `cutoffs`:
    probabilities from which MEDIUM, COMPLEX and REASONING begin. `means` and `spreads`: of each count, over what it was
    trained on.
    """

    fail: Head
    gain: Head
    average: float
    scale: float
    cutoffs: tuple[float, ...]
    counts: tuple[str, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    trees: Trees
    weights: array[int]


def read_trained(data: bytes) -> Trained:
    """A model from a file's bytes: magic, length of a JSON head, the head, little-endian arrays.

    Raises ValueError where they are not one.
    """
    if data[:4] != MAGIC:
        raise ValueError(f"not a difficulty model: it begins with {data[:4]!r}")
    (size,) = struct.unpack_from("<I", data, 4)
    start = 8 + size
    head = json.loads(data[8:start])
    inner, every = (1 << head["depth"]) - 1, (1 << (head["depth"] + 1)) - 1
    count, table, names = sum(head["trees"]), head["table"], tuple(head["counts"])
    sizes = (3, *[table] * 4, *[len(names)] * 2, inner * count, every * count)
    floats = _array("f", data[start : (start := start + 4 * sum(sizes))])
    features = data[start : (start := start + inner * count)]
    weights = _array("b", data[start:])
    if len(weights) != 1 << head["bits"]:
        raise ValueError(f"a difficulty model with {len(weights)} weights, expected {1 << head['bits']}")
    ends = list(accumulate(sizes))
    first, *rest = (floats[end - size : end] for size, end in zip(sizes, ends, strict=True))
    raw, calibrated, raw_gain, gains, means, spreads, thresholds, values = rest
    nodes = tuple(tuple(values[t * every : (t + 1) * every]) for t in range(count))
    trees = Trees.of(head["depth"], features, thresholds, nodes, head["trees"][0])
    fail = Head(first[0], head["slopes"][0], raw, calibrated)
    gain = Head(first[1], head["slopes"][1], raw_gain, gains)
    average = fail.base + sum(tree[0] for tree in trees.heads[0])
    return Trained(
        fail, gain, average, first[2], tuple(head["cutoffs"]), names, tuple(means), tuple(spreads), trees, weights
    )


def _array(code: str, data: bytes) -> array[Any]:
    values: array[Any] = array(code)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values
