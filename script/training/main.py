"""Fit, calibrate, measure, pack."""

from __future__ import annotations

import pathlib
import time
from typing import NamedTuple

import numpy as np

from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.measures import BITS, COUNTS
from cheaprouter.routing.trained import read_trained
from training.corpus import ALIKE, GSM8K_BY_STEPS, HAND, Table, load, tabulate
from training.fit import DEPTH, ROUNDS, STRENGTH, Raw, fit_calibration, fit_trees, fit_words, flatten
from training.pack import Points, pack

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RISING = frozenset({
    "length", "words", "sentences", "numbers", "quantities", "number_size", "decimals", "symbols", "brackets", "latex", "stem_length", "clauses",
    "option_length", "option_overlap", "option_numeric", "long_words", "proof", "maths", "design", "systems", "analyse", "steps", "logic", "constraint",
    "code_lines", "code_branches", "code_loops", "code_definitions", "code_names", "code_depth", "tool_parameters", "tool_size",
})  # fmt: skip
"""Counts that may only raise the trees' sum: more of them never makes a request easier."""
SLOPES = (0.05, 0.01)
"""Added to each head's sum for each unit of log length. Chosen with whole sources left out."""
FOLDS = 5
CUTOFFS = (0.25, 0.3, 0.6)
WHOLE = ("gsm8k_train", "bfcl", "clinc", "msvamp", "hand", "made", "numersense", "llmrouter_queries", "arenahard")
"""Sources whose rows are spread over the folds; in the others whole groups (domains, languages) are left out together."""


class Heads(NamedTuple):
    """The two heads of a fitted model."""

    fail: Raw
    gain: Raw

    def predict(self, table: Table, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The raw sums of both, as the router computes them."""
        length = table.dense[rows, COUNTS.index("length")]
        fail, gain = (head.predict(table.dense[rows], table.pieces[rows]) for head in self)
        return fail + SLOPES[0] * length, gain + SLOPES[1] * length


def fit(table: Table, rows: np.ndarray) -> Heads:
    """Both heads, from some rows of a table."""
    rising, dense, weight = [name in RISING for name in COUNTS], table.dense[rows], table.column("weight")[rows]
    target, gain = table.column("target")[rows], table.column("gain")[rows]
    trees = fit_trees(dense, target, weight, rising)
    words = fit_words(table.pieces[rows], target - trees.predict(dense), weight)
    return Heads(Raw(trees, words), Raw(fit_trees(dense, gain, weight, rising), None))


def folds(table: Table) -> np.ndarray:
    """A fold for each row: whole domains and languages together, where a source has them."""
    rng = np.random.default_rng(7)
    groups = sorted(set(table.group))
    of_group = {g: i % FOLDS for i, g in enumerate(rng.permutation(groups))}
    grouped = np.array([of_group[g] for g in table.group])
    return np.where(np.isin(table.source, WHOLE), rng.integers(0, FOLDS, len(grouped)), grouped)


def out_of_fold(table: Table, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's raw sums from a model that has not seen its fold."""
    fail, gain = np.zeros(len(fold)), np.zeros(len(fold))
    for k in range(FOLDS):
        held = np.flatnonzero(fold == k)
        fail[held], gain[held] = fit(table, np.flatnonzero(fold != k)).predict(table, held)
    return fail, gain


def train(data: pathlib.Path, out: pathlib.Path, cache: pathlib.Path | None = None, *, brief: bool = False) -> None:
    """Write the model, and its card unless `brief`. `cache`: a folder where measured requests are kept for the next time."""
    began = time.time()
    table = tabulate(load(data), cache)
    raw, raw_gain = out_of_fold(table, folds(table))
    target, gain, weight = (table.column(name) for name in ("target", "gain", "weight"))
    alike = weight * np.array([ALIKE.get(row.source, 1.0) for row in table.rows])
    tables = fit_calibration(raw, target, alike), fit_calibration(raw_gain, gain, alike, (0.0, 0.6))
    model = fit(table, np.arange(len(table.rows)))
    assert model.fail.weights is not None
    spread = table.dense.mean(0), np.maximum(table.dense.std(0), 0.05)
    packed = pack(
        (flatten(model.fail.trees), flatten(model.gain.trees)),
        names=COUNTS,
        weights=model.fail.weights,
        slopes=SLOPES,
        tables=tables,
        cutoffs=CUTOFFS,
        spread=spread,
    )
    out.mkdir(exist_ok=True)
    (out / "difficulty.bin").write_bytes(packed)
    if not brief:
        (out / "MODEL_CARD.md").write_text(card(table, (raw, raw_gain), tables, packed, data, cache), encoding="utf8")
    print(f"trained on {len(table.rows)} requests in {time.time() - began:.0f} s, {len(packed)} bytes")


def card(
    table: Table,
    raw: tuple[np.ndarray, np.ndarray],
    tables: tuple[Points, Points],
    packed: bytes,
    data: pathlib.Path,
    cache: pathlib.Path | None,
) -> str:
    """The model card's text, with the figures in it."""
    from training import mix, report  # noqa: PLC0415 - they fit models with the functions above

    medium, complex_, reasoning = CUTOFFS
    model = DifficultyModel(read_trained(packed))
    facts = {
        "rows": f"{len(table.rows):,}",
        "bytes": f"{len(packed):,}",
        "trees": ROUNDS,
        "depth": DEPTH,
        "counts": len(COUNTS),
        "places": f"{1 << BITS:,}",
        "strength": f"{STRENGTH:.0f}",
        "medium": medium,
        "complex": complex_,
        "reasoning": reasoning,
        "steps": ", ".join(f"{s:.2f}" for s in GSM8K_BY_STEPS),
        "hand": sum(r.source == "hand" for r in table.rows),
        "made": sum(r.source == "made" for r in table.rows),
        "levels": ", ".join(f"{name} {rate}" for name, rate in HAND.items()),
        **report.figures(table, raw, np.interp(raw[0], *tables[0]), CUTOFFS, data, cache),
        "calibration": report.calibration(model, mix.build(data, cache)),
        "written": report.written(model),
    }
    text = (pathlib.Path(__file__).parent / "card.md").read_text(encoding="utf8").format(**facts)
    print("\n".join(f"{name}:\n{facts[name]}" for name in ("benchmarks", "mix", "calibration", "tiers", "written")))
    return text
