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
from cheaprouter.routing.measures import BITS, counts, normalise, pieces, words_of
from cheaprouter.routing.text import find_ask

SOURCES = (
    "mmlu", "mmlupro", "bfcl", "gsm8k_train", "numersense", "arenahard", "llmrouter_queries", "selfinstruct", "msvamp", "clinc", "ha",
)  # fmt: skip
PAIRS = {
    "mmlu": ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    "mmlupro": ("meta-llama-3_1-8b-instruct", "meta-llama-3_1-70b-instruct"),
    "bfcl": ("meta-llama_meta-llama-3-8b-instruct", "claude-3-5-sonnet-20240620"),
}
WEIGHT = {
    "clinc": 0.4,
    "ha": 4.0,
    "bfcl": 5.0,
    "gsm8k_train": 2.0,
    "msvamp": 0.4,
    "arenahard": 4.0,
    "selfinstruct": 3.0,
    "hand": 6.0,
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
HAND = {"trivial": 0.01, "easy": 0.04, "light": 0.12, "mid": 0.30, "hard": 0.64, "hardest": 0.80}
"""What the levels of the hand-written requests stand for."""
GAIN = {
    "gsm8k_train": 0.65,
    "llmrouter_queries": 0.45,
    "arenahard": 0.6,
    "selfinstruct": 0.4,
    "msvamp": 0.6,
    "numersense": 0.5,
    "hand": 0.6,
}
"""Share of a small model's failures that a large one would not have, where no labels say so."""
LARGE = (
    "meta-llama-3_1-70b-instruct", "gemini-1.5-pro-002", "deepseek-coder-v2", "gemini-1.5-flash-002", "qwen1.5-110b", "meta-llama-3-70b",
)  # fmt: skip
TOOL_SMALL = (
    "meta-llama_meta-llama-3-8b-instruct", "google_gemma-7b-it", "thudm_glm-4-9b-chat", "mistral-tiny-2312", "gpt-3.5-turbo-0125",
    "claude-3-haiku-20240307", "nousresearch_hermes-2-pro-mistral-7b", "open-mixtral-8x7b", "gemini-1.0-pro", "snowflake_arctic",
)  # fmt: skip
TOOL_LARGE = (
    "claude-3-5-sonnet-20240620", "gpt-4-0613", "claude-3-opus-20240229", "gpt-4-1106-preview", "gpt-4-0125-preview",
    "nvidia_nemotron-4-340b-instruct", "gpt-4-turbo-2024-04-09", "meta-llama_meta-llama-3-70b-instruct",
)  # fmt: skip
BY_SOURCE = {"arenahard": 0.62, "selfinstruct": 0.15, "msvamp": 0.16, "clinc": 0.015, "ha": 0.01}


@dataclass
class Row:
    """One request with its target."""

    source: str
    group: str
    said: str
    target: float
    gain: float
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
    """Every development row and every hand-written one, with its target."""
    return [_row(name, raw) for name in SOURCES for raw in read(folder, name)] + hand()


def hand() -> list[Row]:
    """The hand-written requests beside this file."""
    rows = []
    for path in sorted(pathlib.Path(__file__).parent.glob("hand_*.tsv")):
        for line in path.read_text(encoding="utf8").splitlines():
            if line and not line.startswith("#"):
                level, text = line.split("\t")
                fail = HAND[level]
                rows.append(Row("hand", level, text, fail, fail * GAIN["hand"], WEIGHT["hand"]))
    return rows


def _row(name: str, raw: dict[str, Any]) -> Row:
    labels = raw.get("labels") or {}
    said = extract({"messages": raw["messages"]}).said
    fail, gain = _target(name, raw, labels)
    row = Row(name, raw["group"], said, fail, gain, WEIGHT.get(name, 1.0), meta=raw.get("meta") or {})
    if name in PAIRS:
        weak, strong = PAIRS[name]
        row.weak, row.strong = labels.get(weak, float("nan")), labels.get(strong, float("nan"))
    return row


def _target(name: str, raw: dict[str, Any], labels: dict[str, float]) -> tuple[float, float]:
    """How likely a small model fails, and how much likelier a large one succeeds."""
    if name == "mmlu":
        weak, strong = (labels[m] for m in PAIRS["mmlu"])
    elif name == "mmlupro":
        weak, strong = _mean(labels, SMALL), _mean(labels, LARGE)
    elif name == "bfcl":
        weak, strong = _mean(labels, TOOL_SMALL), _mean(labels, TOOL_LARGE)
    else:
        fail = _prior(name, raw, labels)
        return fail, fail * GAIN.get(name, 0.0)
    return 1 - weak, strong - weak


def _prior(name: str, raw: dict[str, Any], labels: dict[str, float]) -> float:
    if name == "numersense":
        return 1 - float(
            np.mean([v for k, v in labels.items() if any(s in k for s in ("8b", "3.5-turbo", "mini", "flash"))])
        )
    if name == "gsm8k_train":
        return GSM8K_BY_STEPS[min(8, max(1, raw["meta"]["n_steps"])) - 1]
    return BY_TASK[raw["group"]] if name == "llmrouter_queries" else BY_SOURCE[name]


def _mean(labels: dict[str, float], models: tuple[str, ...]) -> float:
    return float(np.mean([labels[m] for m in models if m in labels]))


def tabulate(rows: list[Row]) -> Table:
    """The rows measured, exactly as the router measures them."""
    dense, indices, values, ends = [], [], [], [0]
    for row in rows:
        ask = find_ask(row.said)
        text = normalise(ask.text)
        words = words_of(text)
        dense.append(counts(ask, text, words))
        places = pieces(text, words)
        indices.extend(places)
        values.extend([1 / np.sqrt(max(1, len(places)))] * len(places))
        ends.append(len(indices))
    matrix = sp.csr_matrix((np.array(values, dtype=np.float32), indices, ends), shape=(len(rows), 1 << BITS))
    return Table(rows, np.array(dense), matrix)
