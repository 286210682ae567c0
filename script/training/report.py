"""The figures that a fitted model reached, on data that it was not fitted to, as the tables of the model card."""

from __future__ import annotations

import pathlib
import sys

import numpy as np

from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract
from cheaprouter.routing.measures import COUNTS
from training import metrics, mix
from training.corpus import Table
from training.fit import fit_trees, fit_words
from training.main import RISING, ROOT, fit

BENCHMARKS = ("mmlu", "mmlupro", "bfcl", "gsm8k_train")
KNOWN_BEFORE = tuple(not name.startswith(("tool", "code_l", "code_b", "code_d", "code_n")) for name in COUNTS)
"""The counts that the recipe before this one had."""


def before(table: Table, rows: np.ndarray, of: Table, at: np.ndarray) -> metrics.Floats:
    """The recipe before this one, for comparison: one head on failures and half as much again of the gain, 200 trees, words held down by 3,
    no counts of tools and attached code, none of what is made up. Scores of some rows of another table."""
    rows = rows[~np.isin(table.source[rows], ("made", "hads_dev"))]
    known = np.flatnonzero(KNOWN_BEFORE)
    target, weight = (table.column("target") + 1.5 * table.column("gain"))[rows], table.column("weight")[rows]
    trees = fit_trees(table.dense[rows][:, known], target, weight, [COUNTS[k] in RISING for k in known], 200)
    words = fit_words(table.pieces[rows], target - trees.predict(table.dense[rows][:, known]), weight, 3.0)
    length = of.dense[at, COUNTS.index("length")]
    return trees.predict(of.dense[at][:, known]) + of.pieces[at] @ words + 0.1 * length


def _hidden(table: Table, name: str) -> np.ndarray:
    sources, groups = mix.TWINS.get(name, ((name,), ()))
    return np.isin(table.source, sources) | np.isin(table.group, groups)


class LeftOut:
    """Scores of requests by models that saw neither their source nor its twins: of a home's mix and of whole benchmarks."""

    def __init__(self, table: Table, traffic: mix.Mix) -> None:
        of = traffic.table
        self.fail, self.gain, self.old = (np.zeros(len(of.rows)) for _ in range(3))
        self.benchmarks: dict[str, tuple[metrics.Floats, metrics.Floats, metrics.Floats]] = {}
        done: set[tuple[object, ...]] = set()
        for name in (*mix.SHARES, *BENCHMARKS):
            key = mix.TWINS.get(name, ((name,), ()))
            if key in done:
                continue
            done.add(key)
            seen = np.flatnonzero(~_hidden(table, name))
            model = fit(table, seen)
            sources = key[0] if name in {"mmlu", "mmlupro"} else (name,)
            at = np.flatnonzero(np.isin(of.source, sources))
            if len(at):
                self.fail[at], self.gain[at] = model.predict(of, at)
                self.old[at] = before(table, seen, of, at)
            for one in (one for one in sources if one in BENCHMARKS):
                rows = np.flatnonzero(table.source == one)
                self.benchmarks[one] = (*model.predict(table, rows), before(table, seen, table, rows))


def figures(
    table: Table,
    raw: tuple[metrics.Floats, metrics.Floats],
    score: metrics.Floats,
    cutoffs: tuple[float, float, float],
    data: pathlib.Path,
    cache: pathlib.Path | None,
) -> dict[str, str]:
    """Every figure of the card, formatted, by the name of its place."""
    traffic = mix.build(data, cache)
    unseen = LeftOut(table, traffic)
    simple = {s: float((score[table.source == s] < cutoffs[0]).mean()) for s in ("ha", "clinc")}
    hard = float((score[table.source == "arenahard"] >= cutoffs[1]).mean())
    tiers = [
        f"| home commands judged SIMPLE, each language by a model that never saw it | {simple['ha']:.4f} |",
        f"| assistant small talk judged SIMPLE, out of fold | {simple['clinc']:.4f} |",
        f"| arena-hard judged COMPLEX or above, out of fold | {hard:.3f} |",
    ]
    return {"benchmarks": _benchmarks(table, raw[1], unseen), "mix": _mix(traffic, unseen), "tiers": "\n".join(tiers)}


def _benchmarks(table: Table, gain: metrics.Floats, unseen: LeftOut) -> str:
    lines = []
    weak = 1 - table.column("target")
    strong = weak + table.column("gain")
    length = table.dense[:, COUNTS.index("length")]
    for name in BENCHMARKS:
        rows = table.source == name
        fail, new, old = unseen.benchmarks[name]
        w, s = weak[rows], strong[rows]
        failed = w < np.median(w) if name == "gsm8k_train" else w < 0.5
        scores = (length[rows], old, new, gain[rows])
        low, high = _interval(new, old, w, s)
        cells = [f"{metrics.apgr(one, w, s):.3f}" for one in scores]
        cells += [
            f"{low:+.3f} … {high:+.3f}",
            *(f"{metrics.auc(one, failed):.3f}" for one in (length[rows], old, fail)),
        ]
        lines.append(f"| {name} | {rows.sum()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _interval(
    new: metrics.Floats, old: metrics.Floats, weak: metrics.Floats, strong: metrics.Floats
) -> tuple[float, float]:
    rng, found = np.random.default_rng(1), []
    for _ in range(200):
        rows = rng.integers(0, len(new), len(new))
        found.append(
            metrics.apgr(new[rows], weak[rows], strong[rows]) - metrics.apgr(old[rows], weak[rows], strong[rows])
        )
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _mix(traffic: mix.Mix, unseen: LeftOut) -> str:
    length = np.array([float(len(row.said)) for row in traffic.table.rows])
    source = traffic.table.source
    gains = traffic.quality[:, 1] - traffic.quality[:, 0]
    kinds = np.array([gains[source == name].mean() for name in source])
    rows = {
        "length of the message": length,
        "the recipe before": unseen.old,
        "this one: chance of failing": unseen.fail,
        "this one: gain": unseen.gain,
        "each source's true gain": kinds,
    }
    lines = [
        f"| {name} | " + " | ".join(f"{v:.3f}" for v in mix.figures(one, traffic)) + " |" for name, one in rows.items()
    ]
    low, high = mix.gained(unseen.gain, unseen.old, traffic)
    told = f"Gain against the recipe before, 95 % interval: APGR {low[0]:+.3f} … {high[0]:+.3f}, saved {low[1]:+.3f} … {high[1]:+.3f}."
    return "\n".join([*lines, "", told])


def calibration(model: DifficultyModel, traffic: mix.Mix) -> str:
    """What the packed file says of the mix and of real home commands, beside what was seen. In sample."""
    of = traffic.table
    bodies = [{"messages": [{"role": "user", "content": row.said}], "tools": row.tools} for row in of.rows]
    said, seen = np.array([model.judge(extract(body)).score for body in bodies]), 1 - traffic.quality[:, 0]
    home = of.source == "hads_dev"
    error = metrics.calibration_error(said, seen, np.ones(len(said)))
    return f"Calibration error of the score on this mix: {error:.3f}; on real home commands it says {said[home].mean():.3f}, and {seen[home].mean():.3f} fail."


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
