"""A typical home's requests as numbers, to which the dial is fitted: cheaprouter/routing/data/typical.json.

The shares are those of a home's traffic in the development data: commands, small talk, questions, tool calls. What is kept of
each request is what a decision looks at: chance of failing, expected gain, kind, tokens in and out. No text.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import random
from collections.abc import Callable, Iterator
from typing import Any

from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract

SHARES = {"ha": 0.20, "hads_dev": 0.05, "clinc": 0.15, "mmlu": 0.25, "mmlupro": 0.15, "bfcl": 0.20}
ROWS = 200
Judge = Callable[[dict[str, Any]], tuple[float, float, str]]


def bodies(folder: pathlib.Path, rows: int = ROWS, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Rows of the mix: the same ones for the same seed."""
    dice = random.Random(seed)
    for name, share in SHARES.items():
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf8") as lines:
            found = [json.loads(line) for line in lines]
        yield from dice.sample(found, min(len(found), round(rows * share)))


def write(folder: pathlib.Path, out: pathlib.Path, judge: Judge | None = None) -> None:
    """Write the sample. `judge`: chance of failing, expected gain and kind of a row; without it, what the shipped model says of it."""
    judge = judge or shipped()
    kept = []
    for row in bodies(folder):
        fail, gain, kind = judge(row)
        features = extract(body(row))
        kept.append([round(fail, 4), round(gain, 4), kind, features.prompt_tokens, features.expected_output_tokens])
    kept.sort()
    lines = ",\n  ".join(json.dumps(one) for one in kept)
    told = "development data in the shares of a home: script/training/typical.py; chance of failing, gain, kind, tokens in, tokens out"
    (out / "typical.json").write_text(f'{{"source": "{told}", "requests": [\n  {lines}\n]}}\n', encoding="utf8")


def body(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the chat body it stands for."""
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    return dict(row.get("request") or {"messages": row["messages"], **tools})


def shipped() -> Judge:
    """What the model in the package says."""
    model = DifficultyModel.load()

    def judge(row: dict[str, Any]) -> tuple[float, float, str]:
        difficulty = model.judge(extract(body(row)))
        return difficulty.score, difficulty.gain, difficulty.kind.value

    return judge
