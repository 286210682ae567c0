"""What learning at home is worth, and what lies do to it: `python -m training.home --data DIR` (from `script/`).

A home's traffic is made of the development data, five devices with mixes of their own. Each request's score is out of fold: of a
model that saw neither it nor its group. The product's own head (`routing.home`) learns from some of the requests, and is judged by
APGR (RouteLLM, arXiv 2406.18665) on others. Labels are pairs (both models' answers graded) or thumbs (one answer of the model that
served), honest or poisoned.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cheaprouter.routing.difficulty import GAIN, DifficultyModel
from cheaprouter.routing.home import HomeHead, Lesson, Lessons, residual
from training.corpus import Table, load, tabulate
from training.fit import fit_calibration, fit_raw
from training.metrics import apgr

SHARES = {"ha": 0.25, "clinc": 0.15, "mmlu": 0.25, "mmlupro": 0.15, "bfcl": 0.20}
DEVICES = {"ha": 0, "clinc": 1, "mmlu": 2, "mmlupro": 3, "bfcl": 4}
ELSEWHERE = 0.2
"""Share of the requests that come from any of the devices."""

FOLDS = 3
JUDGED = 2000
SEEDS = 6
WIDEST = 8.0
LABELS = (200, 250, 1000, 3000)


@dataclass
class Labels:
    """Residuals as they were, devices, true gains, and chance."""

    off: np.ndarray
    device: np.ndarray
    gain: np.ndarray
    rng: np.random.Generator

    def flipped(self, share: float) -> np.ndarray:
        return np.where(self.rng.random(len(self.off)) < share, -self.off, self.off)

    def worst(self) -> np.ndarray:
        """What misleads most: the less a better model gained, the more is said that it gained."""
        return -np.sign(self.gain - self.gain.mean())


POISONS: dict[str, Callable[[Labels], np.ndarray]] = {
    "honest": lambda told: told.off,
    "30 % the other way round": lambda told: told.flipped(0.3),
    "all the other way round": lambda told: told.flipped(1.0),
    "one device says always bad": lambda told: np.where(told.device == 0, 1.0, told.off),
    "one device lies at its worst": lambda told: np.where(told.device == 2, told.worst(), told.off),
    "all say always bad": lambda told: np.ones_like(told.off),
    "noise": lambda told: told.rng.choice([-1.0, 1.0], len(told.off)),
    "all lie at their worst": Labels.worst,
}
"""Residuals as they are told."""


def scores(table: Table, rows: np.ndarray) -> np.ndarray:
    """Out of fold by group, as probabilities."""
    group = table.group[rows]
    names = sorted(set(group))
    fold_of = {name: i % FOLDS for i, name in enumerate(np.random.default_rng(7).permutation(names))}
    fold = np.array([fold_of[name] for name in group])
    lone = np.array([sum(1 for other in names if other.split("/")[0] == name.split("/")[0]) < FOLDS for name in group])
    fold[lone] = np.random.default_rng(8).integers(0, FOLDS, lone.sum())
    target, weight = table.column("target")[rows], table.column("weight")[rows]
    aim = target + 1.5 * table.column("gain")[rows]
    raw = np.zeros(len(rows))
    for k in range(FOLDS):
        seen, held = rows[fold != k], rows[fold == k]
        model = fit_raw(
            table.dense[seen], table.pieces[seen], aim[fold != k], weight[fold != k], [False] * table.dense.shape[1]
        )
        raw[fold == k] = model.predict(table.dense[held], table.pieces[held])
    return np.interp(raw, *fit_calibration(raw, target, weight))


class Home:
    """Requests with their scores, qualities of both models, and vectors."""

    def __init__(self, folder: pathlib.Path, most: int = 3000) -> None:
        rows = [row for row in load(folder) if row.source in SHARES]
        rng = np.random.default_rng(3)
        kept: list[int] = []
        source = np.array([row.source for row in rows])
        for name in SHARES:
            places = np.flatnonzero(source == name)
            kept += list(rng.permutation(places)[:most])
        table = tabulate([rows[i] for i in kept])
        self.weak, self.strong = table.column("weak"), table.column("strong")
        self.source = table.source
        for name in ("ha", "clinc"):
            self.weak[self.source == name] = self.strong[self.source == name] = 1.0
        known = ~np.isnan(self.weak) & ~np.isnan(self.strong)
        self.score = scores(table, np.arange(len(table.rows)))
        names = DifficultyModel.load().vector_names()
        counts = np.clip(table.dense / WIDEST, -1, 1)
        self.vector = np.c_[self.score, GAIN * self.score, counts]
        assert self.vector.shape[1] == len(names)
        self.names = names
        self.pools = {name: np.flatnonzero(known & (self.source == name)) for name in SHARES}

    def traffic(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Places of so many requests, and their devices."""
        picked = [rng.choice(self.pools[name], round(count * share)) for name, share in SHARES.items()]
        places = rng.permutation(np.concatenate(picked))
        device = np.array([DEVICES[name] for name in self.source[places]])
        moved = rng.random(len(places)) < ELSEWHERE
        device[moved] = rng.integers(0, len(DEVICES), moved.sum())
        return places, device

    def gained(self, labels: int, spoil: Callable[[Labels], np.ndarray], seed: int, *, pairs: bool) -> float:
        """APGR with what was learned, less that without."""
        rng = np.random.default_rng(seed)
        places, device = self.traffic(labels + JUDGED, rng)
        gain = (self.strong - self.weak)[places]
        if pairs:
            off = gain - GAIN * self.score[places]
        else:
            large = rng.random(len(places)) < 0.2
            good = np.where(large, self.strong[places], self.weak[places])
            told = zip(self.score[places], large, good, strict=True)
            off = np.array([residual(s, GAIN * s, float(big), g) for s, big, g in told])
        off = np.clip(spoil(Labels(off, device, gain, rng)), -1, 1)
        lessons = Lessons(self.names)
        for i in range(labels):
            lessons.add(
                Lesson(
                    f"d{device[i]}", float(off[i]), 1.0 if pairs else 0.5, self.vector[places[i]].tolist(), seen=pairs
                )
            )
        head = [step for step in lessons.solve() if step is not None][-1]
        assert isinstance(head, HomeHead)
        judged, vectors = places[labels:], self.vector[places[labels:]]
        before = GAIN * self.score[judged]
        learned = np.array(
            [head.correction(f"d{d}", v, g) for d, v, g in zip(device[labels:], vectors.tolist(), before, strict=True)]
        )
        quality = self.weak[judged], self.strong[judged]
        return apgr(before + learned, *quality) - apgr(before, *quality)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What learning at home is worth, and what lies do to it.")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with the *.jsonl.gz files")
    home = Home(parser.parse_args().data)
    print(f"{'labels':8} {'told':30} " + " ".join(f"{count:>16}" for count in LABELS))
    for pairs in (True, False):
        for name, spoil in POISONS.items():
            found = [[home.gained(count, spoil, seed, pairs=pairs) for seed in range(SEEDS)] for count in LABELS]
            cells = [f"{np.mean(one):+.3f} ({min(one):+.3f})" for one in found]
            print(
                f"{'pairs' if pairs else 'thumbs':8} {name:30} " + " ".join(f"{cell:>16}" for cell in cells), flush=True
            )


if __name__ == "__main__":
    main()
