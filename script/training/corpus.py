"""The training material: requests, the chance that a small model fails at each, and how much each counts."""

from __future__ import annotations

import gzip
import hashlib
import json
import pathlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from cheaprouter.routing import features, lexicon, marks, measures, text, tools
from cheaprouter.routing.features import extract
from cheaprouter.routing.measures import BITS, counts, normalise, pieces, words_of
from cheaprouter.routing.text import find_ask
from cheaprouter.routing.tools import NO_TOOLS, opened
from training.made import RATES, made

SOURCES = (
    "mmlu", "mmlupro", "bfcl", "gsm8k_train", "numersense", "arenahard", "llmrouter_queries", "selfinstruct", "msvamp", "clinc", "ha", "hads_dev",
)  # fmt: skip
PAIRS = {
    "mmlu": ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    "mmlupro": ("meta-llama-3_1-8b-instruct", "meta-llama-3_1-70b-instruct"),
    "bfcl": ("meta-llama_meta-llama-3-8b-instruct", "claude-3-5-sonnet-20240620"),
}
WEIGHT = {
    "clinc": 1.5,
    "ha": 8.0,
    "bfcl": 5.0,
    "gsm8k_train": 2.0,
    "msvamp": 0.4,
    "arenahard": 6.0,
    "selfinstruct": 3.0,
    "hand": 16.0,
    "hads_dev": 12.0,
    "made": 6.0,
    "made code": 20.0,
}
ALIKE = {"hand": 0.2, "ha": 0.5, "clinc": 1.0, "arenahard": 0.5, "made": 0.3}
"""What of these weights counts where scores are turned into probabilities: they were raised for the order of requests alone."""
MOST = {"clinc": 5000, "gsm8k_train": 4000, "msvamp": 1500, "ha": 4000}
"""Of larger sources so many rows are drawn, each counting for as many as it stands for: enough, and a third of the time."""
HOME_SMALL = ("qwen3-4b", "qwen3-8b", "qwen3.5-4b", "gemma4-e4b", "ministral-3-8b")
HOME_BEST = ("claude-3-7-sonnet", "gemini-2.5-flash", "gpt-oss-20b")
"""What a home's own server runs in 2026, and models of which the best shows whether an item can be done at all."""
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
GAIN_BY_TASK = {
    "natural_qa": 0.15, "trivia_qa": 0.20, "mmlu": 0.20, "mbpp": 0.20, "gsm8k": 0.25, "commonsense_qa": 0.08, "arc_challenge": 0.12,
    "openbook_qa": 0.12, "math": 0.32, "human_eval": 0.28, "agentverse-logicgrid": 0.25, "commongen": 0.15, "agentverse-mgsm": 0.15,
}  # fmt: skip
"""By how much GPT-4-sized models of 2024 are better at these tasks."""
GAIN = {
    "gsm8k_train": 0.65,
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
BY_SOURCE = {"arenahard": 0.62, "selfinstruct": 0.15, "msvamp": 0.16, "clinc": 0.015, "ha": 0.02}
HA_ENGLISH = 0.15
"""English commands fail as those of the home-assistant-datasets do, less for being the plainest there are; of others nothing is known."""


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
    tools: list[Any] = field(default_factory=list)
    id: str = ""


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
    """The development rows, the hand-written ones and those made up, each with its target."""
    rows = [row for name in SOURCES for row in _source(folder, name)]
    written = hand()
    homely = [row.said for row in rows if row.source in {"ha", "hads_dev"} and len(row.said) < 200]
    easy = [row.said for row in written if row.group in {"easy", "light", "mid"}]
    return [*rows, *written, *(_made(*one) for one in made(homely, easy))]


def _source(folder: pathlib.Path, name: str) -> list[Row]:
    rows = [row for raw in read(folder, name) if (row := row_of(name, raw)) is not None]
    most = MOST.get(name, len(rows))
    if len(rows) <= most:
        return rows
    share = len(rows) / most
    rows = [rows[at] for at in sorted(np.random.default_rng(3).permutation(len(rows))[:most])]
    for row in rows:
        row.weight *= share
    return rows


def _made(kind: str, said: str, tools: list[Any]) -> Row:
    fail, gain = RATES[kind]
    weight = WEIGHT["made code" if kind.startswith("code") else "made"]
    return Row("made", kind, said, fail, gain, weight, tools=tools)


def hand() -> list[Row]:
    """The hand-written requests beside this file."""
    rows = []
    for path in sorted(pathlib.Path(__file__).parent.glob("hand_*.tsv")):
        for line in path.read_text(encoding="utf8").splitlines():
            if line and not line.startswith("#"):
                level, said = line.split("\t")
                fail = HAND[level]
                rows.append(Row("hand", level, said, fail, fail * GAIN["hand"], WEIGHT["hand"]))
    return rows


def row_of(name: str, raw: dict[str, Any]) -> Row | None:
    """A row of a source; None where the item is known to be at fault."""
    labels = raw.get("labels") or {}
    if name == "hads_dev" and not can_be_done(labels):
        return None
    said = extract({"messages": raw["messages"]}).said
    fail, gain = _target(name, raw, labels)
    tools = raw.get("tools") or []
    row = Row(
        name,
        raw["group"],
        said,
        fail,
        gain,
        WEIGHT.get(name, 1.0),
        meta=raw.get("meta") or {},
        tools=tools,
        id=raw["id"],
    )
    if name in PAIRS:
        weak, strong = PAIRS[name]
        row.weak, row.strong = labels.get(weak, float("nan")), labels.get(strong, float("nan"))
    return row


def can_be_done(labels: dict[str, float]) -> bool:
    return any(m in labels for m in HOME_SMALL) and max(labels.get(m, 0.0) for m in HOME_BEST) >= 0.5


def _target(name: str, raw: dict[str, Any], labels: dict[str, float]) -> tuple[float, float]:
    """How likely a small model fails, and how much likelier a large one succeeds."""
    if name == "mmlu":
        weak, strong = (labels[m] for m in PAIRS["mmlu"])
    elif name == "mmlupro":
        weak, strong = _mean(labels, SMALL), _mean(labels, LARGE)
    elif name == "bfcl":
        weak, strong = _mean(labels, TOOL_SMALL), _mean(labels, TOOL_LARGE)
    elif name == "hads_dev":
        weak, strong = _mean(labels, HOME_SMALL), _mean(labels, HOME_BEST)
    elif name == "llmrouter_queries":
        return BY_TASK[raw["group"]], GAIN_BY_TASK[raw["group"]]
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
    return HA_ENGLISH if name == "ha" and raw["group"].startswith("en") else BY_SOURCE[name]


def _mean(labels: dict[str, float], models: tuple[str, ...]) -> float:
    return float(np.mean([labels[m] for m in models if m in labels]))


def tabulate(rows: list[Row], cache: pathlib.Path | None = None) -> Table:
    """The rows measured, exactly as the router measures them. `cache`: a folder where that is kept for the next time."""
    place = None if cache is None else cache / f"{_fingerprint(rows)}.npz"
    if place is not None and place.exists():
        kept = np.load(place)
        dense, indices, ends = kept["dense"], kept["indices"], kept["ends"]
    else:
        dense, indices, ends = _measured(rows)
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            np.savez(place, dense=dense, indices=indices, ends=ends)
    each = np.diff(ends)
    values = np.repeat(1 / np.sqrt(np.maximum(1, each)), each).astype(np.float32)
    return Table(rows, dense, sp.csr_matrix((values, indices, ends), shape=(len(rows), 1 << BITS)))


def _measured(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dense, indices, ends = [], [], [0]
    for row in rows:
        ask = find_ask(row.said)
        told = normalise(ask.text)
        words = words_of(told)
        box = opened(row.tools, 0, len(json.dumps(row.tools, separators=(",", ":")))) if row.tools else NO_TOOLS
        dense.append(counts(ask, told, words, 0, box))
        indices.extend(sorted(pieces(told, words)))
        ends.append(len(indices))
    return np.array(dense), np.array(indices, np.int32), np.array(ends, np.int32)


def _fingerprint(rows: list[Row]) -> str:
    """Changes with the rows, and with the code that measures them."""
    digest = hashlib.sha256()
    for module in (features, lexicon, marks, measures, text, tools):
        digest.update(pathlib.Path(module.__file__).read_bytes())
    for row in rows:
        digest.update(json.dumps([row.said, row.tools]).encode())
    return digest.hexdigest()[:24]
