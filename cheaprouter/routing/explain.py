"""One answer a payload, for `cheaprouter route --jsonl`: the score, its tier, how long it took and what it is made of."""

from __future__ import annotations

import time
from typing import Any

from .difficulty import DifficultyModel
from .features import extract


def score_payload(model: DifficultyModel, payload: object) -> dict[str, Any]:
    """Judge one chat body. Never raises: junk is judged as an empty request. `latency_us`: features and score together."""
    began = time.perf_counter_ns()
    features = extract(payload)
    difficulty = model.score(features)
    micros = (time.perf_counter_ns() - began) / 1000
    return {
        "score": difficulty.score,
        "tier": difficulty.tier.value,
        "latency_us": round(micros, 1),
        "ask": features.ask[:200],
        "prompt_tokens": features.prompt_tokens,
        "needs": sorted(features.needs),
        "contributions": dict(difficulty.contributions),
    }
