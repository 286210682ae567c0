"""The trained numbers and the file that holds them: magic, length of a JSON head, the head, little-endian arrays."""

from __future__ import annotations

import json
import math
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

MAGIC: Final = b"CRD3"

Node = tuple[int, float, Any, Any]
"""Which count, its threshold, what follows where it is not above it, what follows where it is: a node, or a leaf's value."""


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
    cutoffs: tuple[float, float, float]
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


def parse(data: bytes) -> Trained:
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
    at, table = 6, head["table"]
    raw, calibrated = floats[at : at + table], floats[at + table : at + 2 * table]
    at += 2 * table
    thresholds, values = floats[at : at + inner * head["trees"]], floats[at + inner * head["trees"] :]
    nodes = tuple(values[t * every : (t + 1) * every] for t in range(head["trees"]))
    trees = tuple(
        _node(0, features[t * inner :], thresholds[t * inner : (t + 1) * inner], nodes[t]) for t in range(head["trees"])
    )
    average = base + sum(means[0] for means in nodes)
    medium, complex_, reasoning = cutoffs
    return Trained(
        base,
        average,
        slope,
        scale,
        (medium, complex_, reasoning),
        raw,
        calibrated,
        tuple(head["counts"]),
        trees,
        nodes,
        weights,
    )


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
