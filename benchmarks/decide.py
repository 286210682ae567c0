"""How long a decision takes, by the size of the table: `python benchmarks/decide.py`. CPU time, the best of many, in microseconds.

Measured apart: looking at the request (features), judging how hard it is (difficulty), and deciding, where the text was heard
lately, with another number in it, and where it is new.
"""

from __future__ import annotations

import itertools
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
from cheaprouter.routing.recent import RecentScores
from cheaprouter.routing.router import RouteContext, Router
from cheaprouter.wire.openai_chat.request import ChatRequest, parse

RUNS, TIMES = 100, 40
SYSTEM = (
    "You are a helpful home assistant. Keep answers short, name the device and the action, and never invent a device."
)
WORDS = "red green blue north south east west apple pear stone river cloud lamp chair table window".split()  # noqa: SIM905
PROMPTS = {
    "command": "turn on the kitchen lights please",
    "timer": "Set a timer for 10 minutes and dim the lights to 30 percent in the living room, then tell me what the weather is like",
    "question": "Explain how a heat pump can deliver more heat than the electricity it uses, and where the limit is. "
    * 2,
}
LAB = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
SMALL = {"id": "small", "quality": 40, "price": {"input": "0.1", "output": "0.4"}}
BIG = {"id": "big", "quality": 90, "price": {"input": 3, "output": 15}}


def ladder(count: int) -> dict[str, object]:
    """Models of ten providers, each better and dearer than the one before, so that each request is really judged."""
    providers: dict[str, dict[str, object]] = {f"lab{i}": {**LAB, "models": []} for i in range(10)}
    for number in range(count):
        price = {"input": f"{0.05 * (number + 1):.2f}", "output": f"{0.2 * (number + 1):.2f}"}
        provider = providers[f"lab{number * 10 // count}"]
        provider["models"].append({"id": f"m{number}", "quality": 32 + 2 * number, "price": price})  # type: ignore[attr-defined]
    return providers


def chats(text: str, profile: str, count: int = 4096) -> list[ChatRequest]:
    """Requests with other words at the end, none twice."""
    ends = itertools.islice(itertools.product(WORDS, repeat=3), count)
    return [chat(f"{text} {' '.join(end)}", profile) for end in ends]


def chat(text: str, profile: str) -> ChatRequest:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return parse({"model": f"blockrun/{profile}", "messages": messages})


def main() -> None:
    catalog, difficulty = Catalog.load(), DifficultyModel.load()
    judge = DifficultyModel(difficulty.trained, RecentScores(most=0))
    tables = {
        "1 model": {"lab": {**LAB, "models": [SMALL]}},
        "2 models": {"lab": {**LAB, "models": [SMALL, BIG]}},
        "30 models": ladder(30),
        "all of the catalogue": {kind: {"api_key": "none"} for kind in catalog.kinds()},
    }
    context = RouteContext("bench", DeviceSettings(), datetime.now(UTC), time.monotonic())
    for prompt, text in PROMPTS.items():
        body = chat(text, "auto").body
        show(prompt, "features", timed(lambda body=body: extract(body)))
        show(prompt, "features and difficulty", timed(lambda body=body: judge.judge(extract(body))))
        for size, providers in tables.items():
            settings = build({"providers": providers})
            router = Router(build_models(settings, {}, catalog), settings, difficulty)
            for profile in ("auto", "eco", "premium"):
                again, new = itertools.repeat(chat(text, profile)), itertools.cycle(chats(text, profile))
                show(prompt, f"{profile}, {size}", timed(lambda r=router, q=again: r.decide(next(q), context)))
                if profile == "auto":
                    show(
                        prompt,
                        f"{profile}, {size}, new text",
                        timed(lambda r=router, q=new: r.decide(next(q), context)),
                    )


def timed(run: Callable[[], object]) -> float:
    run()
    best = float("inf")
    for _ in range(RUNS):
        began = time.thread_time_ns()
        for _ in range(TIMES):
            run()
        best = min(best, (time.thread_time_ns() - began) / TIMES / 1000)
    return best


def show(prompt: str, what: str, figure: float) -> None:
    print(f"{prompt:10} {what:36} {figure:7.1f} us")


if __name__ == "__main__":
    main()
