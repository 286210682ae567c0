"""How long a decision takes, by the size of the table: `python benchmarks/decide.py`. Best and median of many, in microseconds.

Measured apart: looking at the request (features), judging how hard it is (difficulty), and choosing.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cheaprouter.catalog.build import build_models
from cheaprouter.catalog.catalog import Catalog
from cheaprouter.config.schema import build
from cheaprouter.config.settings import DeviceSettings
from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract
from cheaprouter.routing.router import RouteContext, Router
from cheaprouter.wire.openai_chat.request import parse

RUNS = 2000
PROMPTS = {
    "command": "turn on the kitchen lights please",
    "question": "Explain how a heat pump can deliver more heat than the electricity it uses, and where the limit is. "
    * 2,
}
LAB = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
SMALL = {"id": "small", "quality": 40, "price": {"input": "0.1", "output": "0.4"}}
BIG = {"id": "big", "quality": 90, "price": {"input": 3, "output": 15}}


def main() -> None:
    catalog, difficulty = Catalog.load(), DifficultyModel.load()
    tables = {
        "1 model": {"lab": {**LAB, "models": [SMALL]}},
        "2 models": {"lab": {**LAB, "models": [SMALL, BIG]}},
        "all of the catalogue": {kind: {"api_key": "none"} for kind in catalog.kinds()},
    }
    context = RouteContext("bench", DeviceSettings(), datetime.now(UTC), time.monotonic())
    for prompt, text in PROMPTS.items():
        body = {"model": "blockrun/auto", "messages": [{"role": "user", "content": text}]}
        show(prompt, "features", timed(lambda body=body: extract(body)))
        show(prompt, "features and difficulty", timed(lambda body=body: difficulty.score(extract(body))))
        for size, providers in tables.items():
            settings = build({"providers": providers})
            router = Router(build_models(settings, {}, catalog), settings, difficulty)
            for profile in ("auto", "eco", "premium"):
                request = parse({**body, "model": f"blockrun/{profile}"})
                show(prompt, f"{profile}, {size}", timed(lambda r=router, q=request: r.decide(q, context)))


def timed(run: Callable[[], object]) -> tuple[float, float]:
    run()
    spent = []
    for _ in range(RUNS):
        began = time.perf_counter_ns()
        run()
        spent.append((time.perf_counter_ns() - began) / 1000)
    return min(spent), statistics.median(spent)


def show(prompt: str, what: str, figures: tuple[float, float]) -> None:
    print(f"{prompt:10} {what:32} best {figures[0]:7.1f}  median {figures[1]:7.1f} us")


if __name__ == "__main__":
    main()
