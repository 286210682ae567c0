"""The two halves of the model and its calibration: step functions of the counts, ridge weights of the hashed pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge

BINS = 24
ROUNDS = 60
RATE = 0.15
SMOOTHING = 60.0


@dataclass
class Gam:
    """A sum of step functions. `edges[j]` and `values[j]` belong to column j."""

    bias: float
    edges: list[np.ndarray]
    values: list[np.ndarray]

    def predict(self, rows: np.ndarray) -> np.ndarray:
        total = np.full(len(rows), self.bias)
        for j, (edges, values) in enumerate(zip(self.edges, self.values, strict=True)):
            total += values[np.searchsorted(edges, rows[:, j], side="right")]
        return total


def fit_gam(rows: np.ndarray, target: np.ndarray, weight: np.ndarray, rising: Sequence[bool]) -> Gam:
    """Cyclic boosting, one column at a time; the columns in `rising` may only rise."""
    edges = [_edges(rows[:, j]) for j in range(rows.shape[1])]
    bins = [np.searchsorted(e, rows[:, j], side="right") for j, e in enumerate(edges)]
    mass = [np.bincount(b, weight, len(e) + 1) for b, e in zip(bins, edges, strict=True)]
    values = [np.zeros(len(e) + 1) for e in edges]
    bias = float(np.average(target, weights=weight))
    left = target - bias
    for _ in range(ROUNDS):
        for j, (b, m) in enumerate(zip(bins, mass, strict=True)):
            if len(m) < 2:
                continue
            step = RATE * np.bincount(b, weight * left, len(m)) / (m + SMOOTHING)
            new = values[j] + step
            if rising[j]:
                new = (
                    IsotonicRegression().fit(np.arange(len(new)), new, sample_weight=m + 1).predict(np.arange(len(new)))
                )
            left -= (new - values[j])[b]
            values[j] = new
    for j, m in enumerate(mass):
        shift = float(np.average(values[j], weights=m))
        values[j] -= shift
        bias += shift
    return Gam(bias, edges, values)


def _edges(column: np.ndarray) -> np.ndarray:
    found = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1]))
    unique = np.unique(column)
    if len(unique) <= BINS:
        return (unique[1:] + unique[:-1]) / 2
    tail = np.quantile(column, [0.97, 0.99, 0.997])
    found = np.unique(np.concatenate([found, tail]))
    return found[(found > unique[0])].astype(np.float32).astype(float)


def fit_ridge(pieces: sp.csr_matrix, target: np.ndarray, weight: np.ndarray, strength: float) -> np.ndarray:
    """Weights of the hashed pieces for what the counts leave over. No intercept: an unknown text gets nothing."""
    ridge = Ridge(alpha=strength, solver="sparse_cg", tol=1e-4, fit_intercept=False)
    return ridge.fit(pieces, target, sample_weight=weight).coef_


def fit_calibration(
    raw: np.ndarray, target: np.ndarray, weight: np.ndarray, points: int = 40
) -> tuple[np.ndarray, np.ndarray]:
    """Raw sums to probabilities: isotonic, thinned to a few points, made strictly rising so that ranks are kept."""
    isotonic = IsotonicRegression(y_min=0.004, y_max=0.99, out_of_bounds="clip").fit(raw, target, sample_weight=weight)
    xs = np.unique(np.quantile(raw, np.linspace(0, 1, points)))
    width = np.gradient(xs)
    smooth = [np.mean(isotonic.predict(np.linspace(x - w / 2, x + w / 2, 21))) for x, w in zip(xs, width, strict=True)]
    ys = np.maximum.accumulate(np.asarray(smooth)) + np.linspace(0, 0.004, len(xs))
    xs = np.concatenate([[xs[0] - 0.25], xs, [xs[-1] + 0.25]])
    ys = np.concatenate([[max(0.002, ys[0] - 0.01)], ys, [min(0.995, ys[-1] + 0.03)]])
    return xs, ys
