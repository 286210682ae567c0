"""Fit, calibrate, pack."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from cheaprouter.routing.measures import COUNTS
from training.corpus import Table, load, tabulate
from training.fit import Gam, fit_calibration, fit_gam, fit_ridge
from training.pack import pack

RISING = frozenset(
    {
        "length",
        "words",
        "sentences",
        "numbers",
        "symbols",
        "stem_length",
        "proof",
        "maths",
        "design",
        "analyse",
        "options",
        "latex",
    }
)
STRENGTH = 8.0
WORDING = 0.7
FOLDS = 5
CUTOFFS = (0.22, 0.45, 0.62)


def fit(table: Table, rows: np.ndarray) -> tuple[Gam, np.ndarray]:
    target, weight = table.column("target")[rows], table.column("weight")[rows]
    gam = fit_gam(table.dense[rows], target, weight, [name in RISING for name in COUNTS])
    left = target - gam.predict(table.dense[rows])
    return gam, WORDING * fit_ridge(table.pieces[rows], left, weight, STRENGTH)


def predict(model: tuple[Gam, np.ndarray], table: Table, rows: np.ndarray) -> np.ndarray:
    gam, weights = model
    return gam.predict(table.dense[rows]) + table.pieces[rows] @ weights


def out_of_fold(table: Table) -> np.ndarray:
    """Each row's raw score from a model that has not seen its group."""
    groups = sorted(set(table.group))
    fold_of = {g: i for i, g in enumerate(np.random.default_rng(7).permutation(groups))}
    folds = np.array([fold_of[g] % FOLDS for g in table.group])
    big = {g for g in groups if (table.group == g).sum() > 1500}
    spread = np.arange(len(folds)) % FOLDS
    folds = np.where(np.isin(table.group, list(big)), spread, folds)
    raw = np.zeros(len(folds))
    for k in range(FOLDS):
        held = np.flatnonzero(folds == k)
        raw[held] = predict(fit(table, np.flatnonzero(folds != k)), table, held)
    return raw


def train(data: pathlib.Path, out: pathlib.Path) -> None:
    began = time.time()
    table = tabulate(load(data))
    raw = out_of_fold(table)
    calibration = fit_calibration(raw, table.column("target"), table.column("weight"))
    gam, weights = fit(table, np.arange(len(table.rows)))
    steps = list(zip(COUNTS, gam.edges, gam.values, strict=True))
    out.mkdir(exist_ok=True)
    (out / "difficulty.bin").write_bytes(pack(gam.bias, steps, weights, calibration, CUTOFFS))
    print(f"trained on {len(table.rows)} requests in {time.time() - began:.0f} s")
