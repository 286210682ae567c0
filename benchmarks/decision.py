"""What the decision is worth, whatever the scores: cost saved at 95 % of the strong model's quality, on a home's traffic.

    python benchmarks/decision.py --data DIR [--scores FILE]

`DIR` holds the development data (*.jsonl.gz, see script/training). `FILE`: JSON lines {"id", "score", "gain"} of a model that did
not see the rows it scores; without it the shipped model's scores are used, which did see them: an upper bound for the scores,
and just as good to compare rules by. Two models, a small and a frontier one, at RouteLLM's prices. Printed: the rule by fixed
money per failure against the one before it (a failure weighed as a multiple of the request's own price), each at every setting
that it can have; what the dial does at each step; what the words for tiers are worth alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
import pathlib
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "script")]

from training.typical import SHARES, body  # noqa: E402 - the path comes first

from cheaprouter.core.models import Tier  # noqa: E402 - as above
from cheaprouter.routing.dial import STEPS, fitted  # noqa: E402 - as above
from cheaprouter.routing.difficulty import DifficultyModel  # noqa: E402 - as above
from cheaprouter.routing.features import extract  # noqa: E402 - as above

PRICES = (0.24, 24.7)
"""USD per million tokens of a small and a frontier model: RouteLLM, appendix D."""

OUTPUT = {"ha": 40, "hads_dev": 40, "clinc": 80, "mmlu": 150, "bfcl": 60}
"""Tokens of a reply, where the rows do not tell."""

PAIRS = {
    "mmlu": ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    "mmlupro": ("meta-llama-3_1-8b-instruct", "meta-llama-3_1-70b-instruct"),
    "bfcl": ("meta-llama_meta-llama-3-8b-instruct", "claude-3-5-sonnet-20240620"),
}
HOME_SMALL = ("qwen3-4b", "qwen3-8b", "qwen3.5-4b", "gemma4-e4b", "ministral-3-8b")
HOME_BEST = ("claude-3-7-sonnet", "gemini-2.5-flash", "gpt-oss-20b")
ORDER = tuple(Tier)
KEEP = 0.95
SLACK, REPEAT = 0.0005, 4.0
"""What the rule before weighed a failure as: so many USD, and so many times the good model's price for the request."""


@dataclass
class Case:
    """One request: quality and cost (USD) of either model, what was expected of it, and what was said of it."""

    weak: float
    strong: float
    cheap: float
    dear: float
    expected: tuple[float, float]
    score: float
    gain: float
    tier: Tier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--scores", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=200, help="of the bootstrap")
    args = parser.parse_args()
    print("\n".join(report(args.data, args.scores, args.rounds)))


def report(data: pathlib.Path, scores: pathlib.Path | None = None, rounds: int = 200) -> list[str]:
    """The lines that are printed."""
    cases = load(data, scores)
    rules = {
        "a multiple of its price (before)": before,
        "fixed money, equal scores": fixed,
        "fixed money, the gain": by_gain,
    }
    lines = [f"{len(cases)} requests; all strong: quality {mean(c.strong for c in cases):.3f}"]
    lines += [f"{name:34} saved at {KEEP:.0%} quality {saved(cases, rule):.3f}" for name, rule in rules.items()]
    dice, gains = random.Random(1), []
    for _ in range(rounds):
        some = dice.choices(cases, k=len(cases))
        gains.append(saved(some, fixed) - saved(some, before))
    low, high = (sorted(gains)[int(len(gains) * at)] for at in (0.025, 0.975))
    lines.append(f"equal scores, fixed money less before: {statistics.fmean(gains):+.3f} [{low:+.3f} {high:+.3f}]")
    lines += ["", "own tiers: quality kept, cost saved, share strong"]
    for least in (Tier.MEDIUM, Tier.COMPLEX, Tier.REASONING):
        lines.append(
            f"strong from {least:10} {told(cases, [ORDER.index(c.tier) >= ORDER.index(least) for c in cases])}"
        )
    lines += ["", "the dial: quality kept, cost saved, share strong"]
    dial = fitted([[(c.expected[1] - c.expected[0]) / max(c.gain, 0.001)] for c in cases])
    for step in range(STEPS + 1):
        worth = dial.worth(step)
        lines.append(
            f"{step:2} {told(cases, [c.expected[1] - c.expected[0] <= worth * max(c.gain, 0.001) for c in cases])}"
        )
    return lines


def before(case: Case) -> float:
    """What a request had to be worth, in multiples, to go to the strong model."""
    cheap, dear = case.expected
    return case.score * (SLACK + REPEAT * dear) / (dear - cheap)


def fixed(case: Case) -> float:
    """The same scores, by failures avoided for a dollar."""
    return case.score / (case.expected[1] - case.expected[0])


def by_gain(case: Case) -> float:
    return case.gain / (case.expected[1] - case.expected[0])


def saved(cases: Sequence[Case], rule: Any) -> float:
    """The most that is saved while enough of the strong model's quality is kept, over every threshold of a rule."""
    order = sorted(cases, key=rule, reverse=True)
    quality, cost = sum(c.weak for c in cases), sum(c.cheap for c in cases)
    needed, whole = KEEP * sum(c.strong for c in cases), sum(c.dear for c in cases)
    least = cost if quality >= needed else float("inf")
    for case in order:
        quality += case.strong - case.weak
        cost += case.dear - case.cheap
        if quality >= needed and cost < least:
            least = cost
    return max(0.0, 1 - least / whole)


def told(cases: Sequence[Case], strong: Sequence[bool]) -> str:
    got = sum(c.strong if s else c.weak for c, s in zip(cases, strong, strict=True))
    cost = sum(c.dear if s else c.cheap for c, s in zip(cases, strong, strict=True))
    kept, rest = got / sum(c.strong for c in cases), 1 - cost / sum(c.dear for c in cases)
    return f"{kept:.3f} {rest:.3f} {sum(strong) / len(cases):.3f}"


def mean(values: Any) -> float:
    return statistics.fmean(values)


# --- a home's traffic -------------------------------------------------------------------------------------------------


def load(folder: pathlib.Path, scores: pathlib.Path | None, count: int = 4000, seed: int = 7) -> list[Case]:
    """The mix: each source's share, with qualities known for both models."""
    dice, model, by_id = random.Random(seed), DifficultyModel.load(), {}
    if scores is not None:
        with scores.open(encoding="utf8") as lines:
            by_id = {row["id"]: row for row in map(json.loads, lines)}
    cases = []
    for name, share in SHARES.items():
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf8") as lines:
            rows = [(row, known) for row in map(json.loads, lines) if (known := qualities(name, row)) is not None]
        wanted = round(count * share)
        picked = dice.sample(rows, wanted) if len(rows) >= wanted else dice.choices(rows, k=wanted)
        cases += [_case(name, row, known, model, by_id.get(row["id"])) for row, known in picked]
    return cases


def qualities(name: str, row: dict[str, Any]) -> tuple[float, float] | None:
    """Of the small and the strong model; None where it is not known, or the best fail: then the item is at fault."""
    if name in {"ha", "clinc"}:
        return 1.0, 1.0
    labels = row["labels"]
    if name == "hads_dev":
        small, best = ([labels[m] for m in some if m in labels] for some in (HOME_SMALL, HOME_BEST))
        return (mean(small), mean(best)) if small and best and max(best) >= 0.5 else None
    weak, strong = PAIRS[name]
    return (labels[weak], labels[strong]) if weak in labels and strong in labels else None


def _case(name: str, row: dict[str, Any], known: tuple[float, float], model: DifficultyModel, given: Any) -> Case:
    asked = row["messages"][-1]["content"]
    sent = len(asked if isinstance(asked, str) else json.dumps(asked)) / 4 + len(json.dumps(row.get("tools") or "")) / 4
    got = mean(row["otok"].values()) if row.get("otok") else OUTPUT.get(name, 200)
    features = extract(body(row))
    hard = model.judge(features)
    guess = features.prompt_tokens + features.expected_output_tokens
    costs, expected = ([tokens * price / 1e6 for price in PRICES] for tokens in (sent + got, guess))
    score, gain = (hard.score, hard.gain) if given is None else (given["score"], given.get("gain", given["score"]))
    return Case(
        *known, *costs, (expected[0], expected[1]), score, gain, hard.tier if given is None else model.tier(score)
    )


if __name__ == "__main__":
    main()
