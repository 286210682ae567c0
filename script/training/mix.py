"""A home's traffic made of the development data, and what scores are worth on it.

The shares, the prices and the draw are those of the outside evaluator, so that the figures can be told beside its own.
"""

from __future__ import annotations

import json
import pathlib
from typing import NamedTuple

import numpy as np

from training import metrics
from training.corpus import HOME_BEST, HOME_SMALL, PAIRS, Row, Table, can_be_done, read, row_of, tabulate

SHARES = {"ha": 0.20, "hads_dev": 0.05, "clinc": 0.15, "mmlu": 0.25, "mmlupro": 0.15, "bfcl": 0.20}
PRICE = (0.24, 24.7)
"""USD per million tokens of a small and of a frontier model (RouteLLM, appendix D)."""
OUTPUT = {"ha": 40, "hads_dev": 40, "clinc": 80, "mmlu": 150, "bfcl": 60}
"""Tokens of a reply where the rows do not tell."""
PAIR = {**PAIRS, "mmlupro": ("meta-llama-3_1-8b-instruct", "meta-llama-3_1-70b-instruct")}
TWINS = {
    "mmlu": (("mmlu", "mmlupro"), ("llmrouter_queries/mmlu",)),
    "mmlupro": (("mmlu", "mmlupro"), ("llmrouter_queries/mmlu",)),
    "gsm8k_train": (("gsm8k_train",), ("llmrouter_queries/gsm8k",)),
    "ha": (("ha", "hads_dev"), ("made/home", "made/odd")),
}
"""What is left out with a source: sources, and groups elsewhere, that hold rows of the same kind."""


class Mix(NamedTuple):
    """Requests with the quality of a small and of a large model on each, and what each would cost."""

    table: Table
    quality: metrics.Floats
    cost: metrics.Floats


def build(folder: pathlib.Path, cache: pathlib.Path | None, n: int = 4000, seed: int = 7) -> Mix:
    """The traffic: the same for the same seed."""
    rng, rows, known, costs = np.random.default_rng(seed), list[Row](), list[tuple[float, float]](), list[list[float]]()
    for name, share in SHARES.items():
        pool = [(raw, q) for raw in read(folder, name) if (q := _quality(name, raw)) is not None]
        k = round(n * share)
        picked = rng.permutation(len(pool))[:k] if len(pool) >= k else rng.integers(0, len(pool), k)
        for raw, quality in (pool[at] for at in picked):
            row = row_of(name, raw)
            assert row is not None
            tokens = len(raw["messages"][-1]["content"]) / 4 + len(json.dumps(raw.get("tools") or "")) / 4
            out = float(np.mean(list(raw["otok"].values()))) if raw.get("otok") else OUTPUT.get(name, 200)
            rows.append(row)
            known.append(quality)
            costs.append([(tokens + out) * price / 1e6 for price in PRICE])
    return Mix(tabulate(rows, cache), np.array(known), np.array(costs))


def _quality(name: str, raw: dict) -> tuple[float, float] | None:
    labels = raw.get("labels") or {}
    if name in {"ha", "clinc"}:
        return 1.0, 1.0
    if name == "hads_dev":
        small, best = ([labels[m] for m in models if m in labels] for models in (HOME_SMALL, HOME_BEST))
        return (float(np.mean(small)), float(np.mean(best))) if can_be_done(labels) else None
    weak, strong = PAIR[name]
    return (labels[weak], labels[strong]) if weak in labels and strong in labels else None


def figures(score: metrics.Floats, mix: Mix, rows: np.ndarray | None = None) -> tuple[float, float, float]:
    """APGR, cost saved at 95 % of the large model's quality, AUC of "the small model fails"."""
    at = np.arange(len(score)) if rows is None else rows
    (weak, strong), cost = mix.quality[at].T, mix.cost[at]
    score = score[at]
    return metrics.apgr(score, weak, strong), _saved(score, weak, strong, cost), metrics.auc(score, weak < 0.5)


def _saved(score: metrics.Floats, weak: metrics.Floats, strong: metrics.Floats, cost: metrics.Floats) -> float:
    order = np.argsort(-score, kind="stable")
    quality = weak.mean() + np.concatenate([[0.0], np.cumsum(_shared((strong - weak)[order], score[order]))]) / len(
        score
    )
    spent = cost[:, 0].sum() + np.concatenate(
        [[0.0], np.cumsum(_shared((cost[:, 1] - cost[:, 0])[order], score[order]))]
    )
    grid, steps = np.linspace(0, 1, 201), np.linspace(0, 1, len(quality))
    enough = np.interp(grid, steps, quality) >= 0.95 * strong.mean() - 1e-12
    return float(1 - np.interp(grid, steps, spent)[enough].min() / cost[:, 1].sum()) if enough.any() else 0.0


def _shared(values: metrics.Floats, score: metrics.Floats) -> metrics.Floats:
    """Values of equal scores, each as their mean."""
    _, first, size = np.unique(-score, return_index=True, return_counts=True)
    return np.repeat(np.add.reduceat(values, first) / size, size)


def gained(
    new: metrics.Floats, old: metrics.Floats, mix: Mix, draws: int = 200
) -> tuple[metrics.Floats, metrics.Floats]:
    """The 95 % interval of what new scores have more than old ones: APGR and cost saved (low ends, high ends)."""
    rng, found = np.random.default_rng(1), []
    for _ in range(draws):
        rows = rng.integers(0, len(new), len(new))
        found.append(np.subtract(figures(new, mix, rows)[:2], figures(old, mix, rows)[:2]))
    low, high = np.percentile(found, [2.5, 97.5], axis=0)
    return low, high
