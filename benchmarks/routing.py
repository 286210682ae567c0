"""How fast the router judges, what it weighs, and how sensibly it judges hand-written requests.

    python benchmarks/routing.py [-v]       # -v names each miss

Latency is features and score together, as a request with a new text pays it: no score is remembered here. Ranking quality is measured by the trainer, on data that are
not shipped: see cheaprouter/routing/data/MODEL_CARD.md.
"""

from __future__ import annotations

import collections
import pathlib
import resource
import statistics
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import routing_cases as cases

from cheaprouter.routing.difficulty import FILE, DifficultyModel
from cheaprouter.routing.features import extract
from cheaprouter.routing.recent import RecentScores

WORDS = "every sensor in the house reports its state once a minute and the hub keeps a week of readings for later "
LOADS: dict[str, tuple[dict[str, Any], int]] = {
    "home command": (cases.ask("turn on the hallway lamp please"), 3000),
    "home command, Cyrillic": (cases.ask("выключи телевизор в спальне"), 3000),
    "question, 500 characters": (cases.ask((WORDS * 6)[:480] + " what does it cost?"), 500),
    "distinct words, 2.4 kB": (cases.ask(" ".join(f"w{i}ord value{i * 7}" for i in range(150))), 200),
    "distinct words, 100 kB": (cases.ask(" ".join(f"w{i}ord value{i * 7}" for i in range(6000))[:100_000]), 100),
    "pasted 100 kB": (cases.ask("```\n" + WORDS * 950 + "\n```\nSum it up."), 100),
    "one letter, 100 kB": (cases.ask("a" * 100_000), 100),
    "lines, 100 kB": (cases.ask("a b\n" * 25_000), 100),
    "quotes, 100 kB": (cases.ask('"it\'s" ' * 14_000), 100),
    "Han, 100 kB": (cases.ask("设计一个容错的分布式系统并证明其正确性。" * 5000), 100),
}


def main() -> None:
    before = _memory()
    began = time.perf_counter()
    model = DifficultyModel(DifficultyModel.load().trained, RecentScores(most=0))
    model.score(extract(cases.ask("What is the capital of Norway?")))
    print(
        f"load {1000 * (time.perf_counter() - began):.0f} ms, memory +{_memory() - before:.1f} MB (imports not counted)"
    )
    size = (pathlib.Path(cases.__file__).parent.parent / "cheaprouter/routing/data" / FILE).stat().st_size
    print(f"file {size:,} bytes\n\nlatency, microseconds            p50      p99")
    for name, (body, times) in LOADS.items():
        taken = sorted(_once(model, body) for _ in range(times))
        print(f"{name:28} {statistics.median(taken):8.0f} {taken[int(0.99 * (len(taken) - 1))]:8.0f}")
    _tiers(model, verbose="-v" in sys.argv)
    _kept(model)


def _once(model: DifficultyModel, body: dict[str, Any]) -> float:
    began = time.perf_counter_ns()
    model.score(extract(body))
    return (time.perf_counter_ns() - began) / 1000


def _memory() -> float:
    """Peak resident memory of this process, MB. Linux counts it in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _tiers(model: DifficultyModel, *, verbose: bool) -> None:
    right: dict[str, list[bool]] = collections.defaultdict(list)
    for kind, accepted, body in [*cases.written(), *cases.built()]:
        found = model.score(extract(body))
        right[kind].append(found.tier.value in accepted)
        if verbose and not right[kind][-1]:
            print(f"   {kind}: {found.score:.3f} {found.tier.value}: {str(body.get('messages'))[-100:]}")
    print("\ntier accepted by a person")
    for kind, hits in right.items():
        print(f"{kind:28} {sum(hits):4} of {len(hits)}")
    every = [hit for hits in right.values() for hit in hits]
    print(f"{'all':28} {sum(every) / len(every):.3f}")


def _kept(model: DifficultyModel) -> None:
    print("\ntier kept when said differently")
    every: list[bool] = []
    for name, change in cases.PERTURBATIONS.items():
        hits = []
        for _, _, body in cases.written():
            changed = cases.ask(change(body["messages"][0]["content"]))
            hits.append(model.score(extract(changed)).tier is model.score(extract(body)).tier)
        print(f"{name:28} {sum(hits) / len(hits):.3f}")
        every += hits
    print(f"{'all':28} {sum(every) / len(every):.3f}")


if __name__ == "__main__":
    main()
