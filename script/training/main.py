"""Fit, calibrate, measure, pack."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.measures import BITS, COUNTS
from cheaprouter.routing.trained import read_trained
from training.corpus import GSM8K_BY_STEPS, HAND, Table, load, tabulate
from training.fit import DEPTH, ROUNDS, Raw, fit_calibration, fit_raw, flatten
from training.pack import pack

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RISING = frozenset({
    "length", "words", "sentences", "numbers", "quantities", "number_size", "decimals", "symbols", "brackets", "latex", "stem_length", "clauses",
    "option_length", "option_overlap", "option_numeric", "long_words", "proof", "maths", "design", "systems", "analyse", "steps", "logic", "constraint",
})  # fmt: skip
"""Counts that may only raise the trees' sum: more of them never makes a request easier."""
GAIN = 1.5
"""How much the large model's advantage counts beside the small one's failures when requests are ranked."""
SLOPE = 0.1
"""Added for each unit of log length. Chosen with whole sources left out: it helps those, and costs the others next to nothing."""
FOLDS = 5
CUTOFFS = (0.25, 0.39, 0.62)
WHOLE = ("gsm8k_train", "bfcl", "clinc", "msvamp", "hand", "numersense", "llmrouter_queries", "arenahard")
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
    (out / "MODEL_CARD.md").write_text(card(table, raw, calibration, packed), encoding="utf8")
    print(f"trained on {len(table.rows)} requests in {time.time() - began:.0f} s, {len(packed)} bytes")


def card(table: Table, raw: np.ndarray, calibration: tuple[np.ndarray, np.ndarray], packed: bytes) -> str:
    """The model card's text, with the figures in it."""
    from training import report  # noqa: PLC0415 - it fits models with the functions above

    medium, complex_, reasoning = CUTOFFS
    facts = {
        "rows": f"{len(table.rows):,}",
        "bytes": f"{len(packed):,}",
        "trees": ROUNDS,
        "depth": DEPTH,
        "counts": len(COUNTS),
        "places": f"{1 << BITS:,}",
        "gain": GAIN,
        "medium": medium,
        "complex": complex_,
        "reasoning": reasoning,
        "steps": ", ".join(f"{s:.2f}" for s in GSM8K_BY_STEPS),
        "hand": sum(r.source == "hand" for r in table.rows),
        "levels": ", ".join(f"{name} {rate}" for name, rate in HAND.items()),
        **report.figures(table, raw, np.interp(raw, *calibration), CUTOFFS),
        "written": report.written(DifficultyModel(read_trained(packed))),
    }
    return (pathlib.Path(__file__).parent / "card.md").read_text(encoding="utf8").format(**facts)
