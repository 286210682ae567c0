"""Routing metrics as RouteLLM (arXiv 2406.18665) defines them. `score`: higher goes to the strong model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHARES = np.linspace(0, 1, 11)


def recovered(score: Floats, weak: Floats, strong: Floats, shares: Floats = SHARES) -> Floats:
    """Share of the quality gap that is recovered when each share of calls goes to the strong model. Ties count as their mean."""
    order = np.argsort(-score, kind="stable")
    gain = (strong - weak)[order]
    _, first, size = np.unique(-score[order], return_index=True, return_counts=True)
    gain = np.repeat(np.add.reduceat(gain, first) / size, size)
    curve = np.concatenate([[0.0], np.cumsum(gain)]) / gain.sum()
    return np.interp(shares, np.linspace(0, 1, len(curve)), curve)


def apgr(score: Floats, weak: Floats, strong: Floats) -> float:
    """Average performance gap recovered: 0.5 is random."""
    return float(np.trapezoid(recovered(score, weak, strong), SHARES))


def saved(score: Floats, weak: Floats, strong: Floats, ratio: float = 20.0, keep: float = 0.95) -> float:
    """Cost saved against always calling the strong model, which costs `ratio` weak calls, while `keep` of its quality is kept."""
    shares = np.linspace(0, 1, 201)
    quality = weak.mean() + recovered(score, weak, strong, shares) * (strong.mean() - weak.mean())
    enough = shares[quality >= keep * strong.mean() - 1e-12]
    return float(1 - (enough.min() * (ratio - 1) + 1) / ratio) if len(enough) else 0.0


def auc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative."""
    _, place, size = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(size) - (size - 1) / 2)[place]
    hits, misses = positive.sum(), (~positive).sum()
    return float((rank[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def calibration_error(predicted: Floats, observed: Floats, weight: Floats, bins: int = 15) -> float:
    """Mean distance of predicted and observed, over bins of equal size."""
    edges = np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1])
    inside = np.digitize(predicted, edges)
    total = 0.0
    for k in np.unique(inside):
        m = inside == k
        total += weight[m].sum() * abs(
            np.average(predicted[m], weights=weight[m]) - np.average(observed[m], weights=weight[m])
        )
    return float(total / weight.sum())
