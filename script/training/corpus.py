"""The training material: requests, the chance that a small model fails at each, and how much each counts."""

from __future__ import annotations

import gzip
import json
import pathlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from cheaprouter.routing.features import extract
from cheaprouter.routing.measures import BITS, counts, normalise, pieces
from cheaprouter.routing.text import find_ask

SOURCES = (
    "mmlu", "mmlupro", "bfcl", "gsm8k_train", "numersense", "arenahard", "llmrouter_queries", "selfinstruct", "msvamp", "xquad", "clinc", "ha",
)  # fmt: skip
PAIRS = {
    "mmlu": ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    "mmlupro": ("meta-llama-3_1-8b-instruct", "meta-llama-3_1-70b-instruct"),
    "bfcl": ("meta-llama_meta-llama-3-8b-instruct", "claude-3-5-sonnet-20240620"),
}
WEIGHT = {
    "clinc": 0.15,
    "ha": 0.4,
    "gsm8k_train": 0.5,
    "msvamp": 0.5,
    "xquad": 0.5,
    "arenahard": 2.0,
    "selfinstruct": 2.0,
    "hand": 3.0,
}
SMALL = (
    "meta-llama-3_1-8b-instruct", "meta-llama-3-8b", "mixtral-8x7b-instruct-v0.1", "phi-3-mini-4k-instruct", "mistral-7b-v0.2-hf",
    "mistral-7b-instruct-v0.2", "qwen1.5-7b-chat", "gemma-7b", "mathstral-7b", "meta-llama-3_1-8b",
)  # fmt: skip
GSM8K_BY_STEPS = (0.12, 0.17, 0.26, 0.36, 0.46, 0.54, 0.60, 0.66)
"""Share of GSM8K questions of 1..8 steps that a 7-8B or Mixtral-sized model of 2024 gets wrong (about a third overall)."""
BY_TASK = {
    "natural_qa": 0.45, "trivia_qa": 0.32, "mmlu": 0.35, "mbpp": 0.38, "gsm8k": 0.33, "commonsense_qa": 0.25, "arc_challenge": 0.18,
    "openbook_qa": 0.22, "math": 0.60, "human_eval": 0.45, "agentverse-logicgrid": 0.60, "commongen": 0.35, "agentverse-mgsm": 0.25,
}  # fmt: skip
"""What 7-8B instruct models of 2024 commonly get wrong on these tasks; the rows carry no labels of their own."""
BY_SOURCE = {"arenahard": 0.62, "selfinstruct": 0.15, "msvamp": 0.16, "xquad": 0.15, "clinc": 0.015, "ha": 0.01}


@dataclass
class Row:
    """One request with its target."""

    source: str
    group: str
    said: str
    target: float
    weight: float
    weak: float = float("nan")
    strong: float = float("nan")
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class Table:
    """Rows as arrays, aligned."""

    rows: list[Row]
    dense: np.ndarray
    pieces: sp.csr_matrix

    @property
    def source(self) -> np.ndarray:
        return np.array([r.source for r in self.rows])

    @property
    def group(self) -> np.ndarray:
        return np.array([f"{r.source}/{r.group}" for r in self.rows])

    def column(self, name: str) -> np.ndarray:
        return np.array([getattr(r, name) for r in self.rows], dtype=float)


def read(folder: pathlib.Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


def load(folder: pathlib.Path) -> list[Row]:
    """Every development row with its target."""
    return [_row(name, raw) for name in SOURCES for raw in read(folder, name)]


def _row(name: str, raw: dict[str, Any]) -> Row:
    labels = raw.get("labels") or {}
    said = extract({"messages": raw["messages"]}).said
    row = Row(name, raw["group"], said, _target(name, raw, labels), WEIGHT.get(name, 1.0), meta=raw.get("meta") or {})
    if name in PAIRS:
        weak, strong = PAIRS[name]
        row.weak, row.strong = labels.get(weak, float("nan")), labels.get(strong, float("nan"))
    return row


def _target(name: str, raw: dict[str, Any], labels: dict[str, float]) -> float:  # noqa: PLR0911 - a table of sources
    if name == "mmlu":
        return 1 - labels[PAIRS["mmlu"][0]]
    if name == "mmlupro":
        return 1 - float(np.mean([labels[m] for m in SMALL if m in labels]))
    if name == "bfcl":
        return 1 - float(np.mean(list(labels.values())))
    if name == "numersense":
        return 1 - float(
            np.mean([v for k, v in labels.items() if any(s in k for s in ("8b", "3.5-turbo", "mini", "flash"))])
        )
    if name == "gsm8k_train":
        return GSM8K_BY_STEPS[min(8, max(1, raw["meta"]["n_steps"])) - 1]
    if name == "llmrouter_queries":
        return BY_TASK[raw["group"]]
    return BY_SOURCE[name]


def tabulate(rows: list[Row]) -> Table:
    """The rows measured, exactly as the router measures them."""
    dense, indices, values, ends = [], [], [], [0]
    for row in rows:
        ask = find_ask(row.said)
        text = normalise(ask.text)
        dense.append(counts(ask, text))
        places = pieces(text)
        indices.extend(places)
        values.extend([1 / np.sqrt(max(1, len(places)))] * len(places))
        ends.append(len(indices))
    matrix = sp.csr_matrix((np.array(values, dtype=np.float32), indices, ends), shape=(len(rows), 1 << BITS))
    return Table(rows, np.array(dense), matrix)
