"""Fit, calibrate, measure, pack."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from cheaprouter.routing.measures import COUNTS
from training.corpus import Table, load, tabulate
from training.fit import Raw, fit_calibration, fit_raw, flatten
from training.pack import pack

RISING = frozenset(
    {
        "length",
        "words",
        "sentences",
        "numbers",
        "quantities",
        "symbols",
        "stem_length",
        "latex",
        "proof",
        "design",
        "maths",
        "systems",
    }
)
GAIN = 1.5
"""How much the large model's advantage counts beside the small one's failures when requests are ranked."""
SLOPE = 0.1
"""Added for each unit of log length. Chosen with whole sources left out: it helps those, and costs the others next to nothing."""
FOLDS = 5
CUTOFFS = (0.25, 0.42, 0.62)
WHOLE = ("gsm8k_train", "bfcl", "clinc", "msvamp", "xquad", "hand", "numersense", "llmrouter_queries", "arenahard")
"""Sources whose rows are spread over the folds; in the others whole groups (domains, languages) are left out together."""


def fit(table: Table, rows: np.ndarray) -> Raw:
    target = (table.column("target") + GAIN * table.column("gain"))[rows]
    return fit_raw(
        table.dense[rows], table.pieces[rows], target, table.column("weight")[rows], [name in RISING for name in COUNTS]
    )


def predict(model: Raw, table: Table, rows: np.ndarray) -> np.ndarray:
    """The raw sums, as the router computes them."""
    return model.predict(table.dense[rows], table.pieces[rows]) + SLOPE * table.dense[rows, COUNTS.index("length")]


def folds(table: Table) -> np.ndarray:
    """A fold for each row: whole domains and languages together, where a source has them."""
    rng = np.random.default_rng(7)
    groups = sorted(set(table.group))
    of_group = {g: i % FOLDS for i, g in enumerate(rng.permutation(groups))}
    grouped = np.array([of_group[g] for g in table.group])
    return np.where(np.isin(table.source, WHOLE), rng.integers(0, FOLDS, len(grouped)), grouped)


def out_of_fold(table: Table, fold: np.ndarray) -> np.ndarray:
    """Each row's raw score from a model that has not seen its fold."""
    raw = np.zeros(len(fold))
    for k in range(FOLDS):
        held = np.flatnonzero(fold == k)
        raw[held] = predict(fit(table, np.flatnonzero(fold != k)), table, held)
    return raw


def train(data: pathlib.Path, out: pathlib.Path) -> None:
    began = time.time()
    table = tabulate(load(data))
    raw = out_of_fold(table, folds(table))
    calibration = fit_calibration(raw, table.column("target"), table.column("weight"))
    model = fit(table, np.arange(len(table.rows)))
    out.mkdir(exist_ok=True)
    packed = pack(
        flatten(model.trees), names=COUNTS, weights=model.weights, slope=SLOPE, table=calibration, cutoffs=CUTOFFS
    )
    (out / "difficulty.bin").write_bytes(packed)
    print(f"trained on {len(table.rows)} requests in {time.time() - began:.0f} s, {len(packed)} bytes")
