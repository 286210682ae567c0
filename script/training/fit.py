"""The two halves of the model and its calibration: shallow trees over the counts, ridge weights of the hashed pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge

ROUNDS = 60
"""Trees of each head. Two hundred rank no better where whole sources are left out, and take three times as long."""
DEPTH = 4
RATE = 0.1
LEAF = 30
STRENGTH = 300.0
"""How strongly the words' weights are held down: a hundred times what fits best on requests of sources that were seen."""
POINTS = 96
"""Points of the calibration table."""
BLUR = 0.025
"""How far the steps of the isotonic fit are smoothed, in units of the raw sum."""
RARE = 3
"""Pieces seen in fewer requests get no weight."""


@dataclass
class Raw:
    """A fitted head before calibration. `weights` None: it has no words."""

    trees: HistGradientBoostingRegressor
    weights: np.ndarray | None

    def predict(self, dense: np.ndarray, pieces: sp.csr_matrix) -> np.ndarray:
        sums = self.trees.predict(dense)
        return sums if self.weights is None else sums + pieces @ self.weights


def fit_trees(
    dense: np.ndarray, target: np.ndarray, weight: np.ndarray, rising: Sequence[bool], rounds: int = ROUNDS
) -> HistGradientBoostingRegressor:
    """Trees on the counts."""
    return HistGradientBoostingRegressor(
        max_iter=rounds,
        max_depth=DEPTH,
        learning_rate=RATE,
        min_samples_leaf=LEAF,
        early_stopping=False,
        monotonic_cst=[int(r) for r in rising],
        random_state=0,
    ).fit(dense, target, sample_weight=weight)


def fit_words(pieces: sp.csr_matrix, rest: np.ndarray, weight: np.ndarray, strength: float = STRENGTH) -> np.ndarray:
    """Weights of the pieces on what the trees leave over."""
    common = np.flatnonzero(np.asarray((pieces > 0).sum(0)).ravel() >= RARE)
    ridge = Ridge(alpha=strength, solver="sparse_cg", tol=1e-4, fit_intercept=False)
    ridge.fit(pieces[:, common], rest, sample_weight=weight)
    weights = np.zeros(pieces.shape[1])
    weights[common] = ridge.coef_
    return weights


@dataclass
class Flat:
    """Trees as complete binary trees: `feature` and `threshold` of the inner nodes, `value` of all nodes, level by level."""

    base: float
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray


def flatten(model: HistGradientBoostingRegressor) -> Flat:
    """The trees in the layout that the router walks. A node's value is the mean of what lies below it."""
    inner, every = (1 << DEPTH) - 1, (1 << (DEPTH + 1)) - 1
    found = [one[0].nodes for one in model._predictors]  # noqa: SLF001 - scikit-learn offers no public way to read them
    feature = np.zeros((len(found), inner), np.uint8)
    threshold = np.full((len(found), inner), np.inf)
    value = np.zeros((len(found), every))

    def place(tree: int, nodes: np.ndarray, node: int, at: int) -> float:
        here = nodes[node]
        leaf = bool(here["is_leaf"])
        if at >= inner:
            value[tree, at] = here["value"]
            return float(here["value"])
        if not leaf:
            feature[tree, at], threshold[tree, at] = here["feature_idx"], here["num_threshold"]
        below = (node, node) if leaf else (int(here["left"]), int(here["right"]))
        left, right = (place(tree, nodes, child, 2 * at + 1 + i) for i, child in enumerate(below))
        shares = (1.0, 1.0) if leaf else tuple(float(nodes[child]["count"]) for child in below)
        value[tree, at] = (left * shares[0] + right * shares[1]) / sum(shares)
        return float(value[tree, at])

    for tree, nodes in enumerate(found):
        place(tree, nodes, 0, 0)
    return Flat(float(np.ravel(model._baseline_prediction)[0]), feature, threshold, value)  # noqa: SLF001 - as above


def fit_calibration(
    raw: np.ndarray, target: np.ndarray, weight: np.ndarray, bounds: tuple[float, float] = (0.003, 0.985)
) -> tuple[np.ndarray, np.ndarray]:
    """Raw sums to what they mean: isotonic, smoothed, and rising everywhere, so that no two sums become alike."""
    low, high = bounds
    isotonic = IsotonicRegression(y_min=low, y_max=high, out_of_bounds="clip").fit(raw, target, sample_weight=weight)
    xs = np.linspace(raw.min() - 0.3, raw.max() + 0.3, POINTS)
    fine = np.linspace(-3 * BLUR, 3 * BLUR, 61)
    bell = np.exp(-0.5 * (fine / BLUR) ** 2)
    smooth = np.array([np.average(isotonic.predict(x + fine), weights=bell) for x in xs])
    return xs, 0.988 * smooth + 0.012 * high * np.linspace(0, 1, POINTS)
