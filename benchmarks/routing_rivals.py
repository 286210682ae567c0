"""The same requests, judged by this router and by the two heuristics that LiteLLM offers for the same purpose (`heuristic`, `heuristic_v2`).

    python benchmarks/routing_rivals.py --data DIR       # the folder of the development data, which is not shipped

LiteLLM is no dependency: where it is not installed, this router's figures stand alone. APGR: the share of a large model's advantage that is
recovered, over all shares of its calls, 0.5 for calls at random (RouteLLM, arXiv 2406.18665). Its heuristics give one of four tiers (the first
also a score); ours ranks by the gain. A router trained on a source is not tested by it: ours was on all of these, so read its column as an upper
bound, and its model card for what it does with sources left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import pathlib
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import routing_cases as cases

from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract

PAIRS = {
    "mmlu": ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    "mmlupro": ("meta-llama-3_1-8b-instruct", "meta-llama-3_1-70b-instruct"),
    "bfcl": ("meta-llama_meta-llama-3-8b-instruct", "claude-3-5-sonnet-20240620"),
}
TIERS = ("SIMPLE", "MEDIUM", "COMPLEX", "REASONING")
ACCEPTED = {"ha": TIERS[:1], "clinc": TIERS[:1], "arenahard": TIERS[2:]}
EVERY = {"clinc": 20, "ha": 6, "mmlu": 4, "mmlupro": 4}
"""Of the larger sources each so-many-th row."""

Judge = Callable[[dict[str, Any]], tuple[float, str]]
"""A rank, higher for a large model, and a tier."""


def ours() -> Judge:
    model = DifficultyModel.load()

    def judge(body: dict[str, Any]) -> tuple[float, str]:
        found = model.judge(extract(body))
        return found.gain, found.tier.value

    return judge


def theirs() -> dict[str, Judge]:
    """LiteLLM's heuristics, where it is installed."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would fetch a price list otherwise
    try:
        from litellm.router_strategy.adaptive_router.classifier import classify_prompt  # noqa: PLC0415 - may be missing
        from litellm.router_strategy.complexity_router import ComplexityRouter  # noqa: PLC0415 - as above
        from litellm.router_strategy.complexity_router.tier_predictor import (  # noqa: PLC0415 - as above
            TierSuccessPredictor,
            resolve_tier_artifact,
        )
    except ImportError:
        return {}
    router = ComplexityRouter("auto", None, derive_savings_baseline=False)
    predictor = TierSuccessPredictor(resolve_tier_artifact("ultrafeedback"))

    def first(body: dict[str, Any]) -> tuple[float, str]:
        tier, score, _ = router.classify(_said(body))
        return float(score), tier.value

    def second(body: dict[str, Any]) -> tuple[float, str]:
        said = _said(body)
        found = predictor.predict(said, classify_prompt(said))
        return 1 - found.probabilities[1], TIERS[found.required_tier - 1]

    return {"LiteLLM heuristic": first, "LiteLLM heuristic_v2": second}


def _said(body: dict[str, Any]) -> str:
    content = (body.get("messages") or [{}])[-1].get("content") or ""
    return content if isinstance(content, str) else " ".join(str(part.get("text", "")) for part in content)


def apgr(ranks: list[float], weak: list[float], strong: list[float]) -> float:
    """The mean share recovered at 0, 10 … 100 % of calls, by trapezia; equal ranks count as their mean."""
    gains = [s - w for w, s in zip(weak, strong, strict=True)]
    of_rank: dict[float, list[float]] = {}
    for rank, gain in zip(ranks, gains, strict=True):
        of_rank.setdefault(rank, []).append(gain)
    curve = [0.0]
    for rank in sorted(of_rank, reverse=True):
        mean = sum(of_rank[rank]) / len(of_rank[rank])
        start = curve[-1]
        curve += [start + mean * (at + 1) for at in range(len(of_rank[rank]))]
    share = [_at(curve, tenth / 10) / sum(gains) for tenth in range(11)]
    return sum((a + b) / 2 for a, b in pairwise(share)) / 10


def _at(curve: list[float], part: float) -> float:
    place = part * (len(curve) - 1)
    low = int(place)
    high = min(low + 1, len(curve) - 1)
    return curve[low] + (curve[high] - curve[low]) * (place - low)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    folder = parser.parse_args().data
    judges = {"CheapRouter (in sample)": ours(), **theirs()}
    print(f"{'':34}" + "".join(f"{name:>26}" for name in judges))
    for name, (small, large) in PAIRS.items():
        rows = [row for row in _read(folder, name) if small in row["labels"] and large in row["labels"]]
        weak, strong = ([row["labels"][model] for row in rows] for model in (small, large))
        _line(
            f"{name}: APGR", [apgr([judge(_body(row))[0] for row in rows], weak, strong) for judge in judges.values()]
        )
    for name, tiers in ACCEPTED.items():
        rows = _read(folder, name)
        _line(
            f"{name}: share {' or '.join(tiers)}",
            [_share(judge, [(tiers, _body(row)) for row in rows]) for judge in judges.values()],
        )
    written = [(accepted, body) for _, accepted, body in cases.written()]
    _line("hand-written: accepted tier", [_share(judge, written) for judge in judges.values()])


def _share(judge: Judge, rows: list[tuple[Any, dict[str, Any]]]) -> float:
    return sum(judge(body)[1] in accepted for accepted, body in rows) / len(rows)


def _line(name: str, values: list[float]) -> None:
    print(f"{name:34}" + "".join(f"{value:26.3f}" for value in values))


def _read(folder: pathlib.Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf8") as lines:
        return [json.loads(line) for line in lines][:: EVERY.get(name, 1)]


def _body(row: dict[str, Any]) -> dict[str, Any]:
    return {"messages": row["messages"], **({"tools": row["tools"]} if row.get("tools") else {})}


if __name__ == "__main__":
    main()
