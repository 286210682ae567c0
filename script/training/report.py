"""The figures that a fitted model reached, on data that it was not fitted to, as the tables of the model card."""

from __future__ import annotations

import sys

import numpy as np

from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract
from training import metrics
from training.corpus import Table
from training.main import ROOT, fit, predict

LABELLED = ("mmlu", "mmlupro", "bfcl", "gsm8k_train")
TWINS = {"gsm8k_train": "llmrouter_queries/gsm8k", "mmlu": "llmrouter_queries/mmlu"}
"""Groups elsewhere that hold the same kind of rows, left out together with the source."""
ODD = ("mmlu/high_school_mathematics", "mmlu/college_mathematics", "mmlu/college_physics")
"""Subjects in which the strong model's answers were not recognised when the data were labelled (right in 4 to 35 %)."""
MIX = {
    "ha": 900,
    "clinc": 600,
    "mmlu": 600,
    "gsm8k_train": 500,
    "mmlupro": 400,
    "bfcl": 400,
    "llmrouter_queries": 300,
    "arenahard": 80,
}


def quality(table: Table) -> tuple[metrics.Floats, metrics.Floats]:
    """Quality of a small and of a large model on each row: measured where there are labels, expected otherwise."""
    weak = 1 - table.column("target")
    return weak, weak + table.column("gain")


def left_out(table: Table) -> dict[str, metrics.Floats]:
    """Raw scores of each labelled source from a model that never saw it."""
    found = {}
    for name in LABELLED:
        hidden = (table.source == name) | (table.group == TWINS.get(name, ""))
        model = fit(table, np.flatnonzero(~hidden))
        found[name] = predict(model, table, np.flatnonzero(table.source == name))
    return found


def mix(table: Table, seed: int) -> tuple[np.ndarray, metrics.Floats, metrics.Floats]:
    """A home's traffic: half commands and small talk, half everything else, with right or wrong drawn where only a rate is known."""
    rng = np.random.default_rng(seed)
    fail, gain = table.column("target"), table.column("gain")
    weak, strong = quality(table)
    drawn = ~np.isin(table.source, ("mmlu", "mmlupro", "bfcl"))
    failed = rng.random(len(fail)) < fail
    rescued = rng.random(len(fail)) < gain / np.maximum(fail, 1e-9)
    weak = np.where(drawn, (~failed).astype(float), weak)
    strong = np.where(drawn, (~failed | rescued).astype(float), strong)
    rows = [
        rng.choice(np.flatnonzero(table.source == s), n, replace=False)
        for s, n in MIX.items()
        if (table.source == s).sum() >= n
    ]
    chosen = np.concatenate(rows)
    return chosen, weak[chosen], strong[chosen]


def figures(
    table: Table, raw: metrics.Floats, score: metrics.Floats, cutoffs: tuple[float, float, float]
) -> dict[str, str]:
    """Every figure of the card, formatted, by the name of its place."""
    weak, strong = quality(table)
    length = np.array([float(len(r.said)) for r in table.rows])
    out = {"benchmarks": _benchmarks(table, raw, length, weak, strong), "mix": _mix(table, raw, score, length)}
    simple = {s: float((score[table.source == s] < cutoffs[0]).mean()) for s in ("ha", "clinc")}
    hard = float((score[table.source == "arenahard"] >= cutoffs[1]).mean())
    out["tiers"] = "\n".join(
        [
            f"| home commands judged SIMPLE, each language by a model that never saw it | {simple['ha']:.4f} |",
            f"| assistant small talk judged SIMPLE, out of fold | {simple['clinc']:.4f} |",
            f"| arena-hard judged COMPLEX or above, out of fold | {hard:.3f} |",
        ]
    )
    return out


def _benchmarks(
    table: Table, raw: metrics.Floats, length: metrics.Floats, weak: metrics.Floats, strong: metrics.Floats
) -> str:
    unseen, lines = left_out(table), []
    for name in LABELLED:
        m = table.source == name
        lines.append(_line(name, raw[m], unseen[name], length[m], weak[m], strong[m]))
        if name == "mmlu":
            normal = ~np.isin(table.group, ODD)
            inside = normal[m]
            both = m & normal
            lines.append(
                _line(
                    "mmlu without 3 odd subjects",
                    raw[both],
                    unseen[name][inside],
                    length[both],
                    weak[both],
                    strong[both],
                )
            )
    return "\n".join(lines)


def _line(
    name: str,
    raw: metrics.Floats,
    unseen: metrics.Floats,
    length: metrics.Floats,
    weak: metrics.Floats,
    strong: metrics.Floats,
) -> str:
    values = [metrics.apgr(s, weak, strong) for s in (length, raw, unseen)]
    failed = weak < np.median(weak) if name == "gsm8k_train" else weak < 0.5
    values += [metrics.auc(s, failed) for s in (length, raw, unseen)]
    return f"| {name} | {len(raw)} | " + " | ".join(f"{v:.3f}" for v in values) + " |"


def _mix(table: Table, raw: metrics.Floats, score: metrics.Floats, length: metrics.Floats) -> str:
    rows: dict[str, list[list[float]]] = {"router": [], "length of the message": [], "each source's true gain": []}
    errors = []
    for seed in range(5):
        chosen, weak, strong = mix(table, seed)
        kind = np.where(table.source == "llmrouter_queries", table.group, table.source)[chosen]
        oracle = np.array([(strong - weak)[kind == k].mean() for k in kind])
        for name, s in zip(rows, (raw[chosen], length[chosen], oracle), strict=True):
            rows[name].append(
                [metrics.apgr(s, weak, strong), metrics.saved(s, weak, strong), metrics.auc(s, weak < 0.5)]
            )
        errors.append(metrics.calibration_error(score[chosen], 1 - weak, np.ones(len(chosen))))
    lines = [f"| {name} | " + " | ".join(f"{v:.3f}" for v in np.mean(found, 0)) + " |" for name, found in rows.items()]
    return "\n".join([*lines, "", f"Calibration error of the score on this mix: {np.mean(errors):.3f}."])


def written(model: DifficultyModel) -> str:
    """Hand-written tiers and perturbations, judged by the packed file."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import routing_cases as cases  # noqa: PLC0415 - found only after the path is set

    found = [*cases.written(), *cases.built()]
    right = sum(model.score(extract(body)).tier.value in accepted for _, accepted, body in found)
    kept = total = 0
    for _, _, body in cases.written():
        text = body["messages"][0]["content"]
        tier = model.score(extract(body)).tier
        for change in cases.PERTURBATIONS.values():
            kept += model.score(extract(cases.ask(change(text)))).tier is tier
            total += 1
    return (
        f"| hand-written requests given an accepted tier ({len(found)}) | {right / len(found):.3f} |\n"
        f"| tier kept when said differently ({len(cases.PERTURBATIONS)} ways) | {kept / total:.3f} |"
    )
