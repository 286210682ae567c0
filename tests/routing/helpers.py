"""Tables and contexts for tests of the decision, small enough to read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from cheaprouter.catalog.table import ModelTable
from cheaprouter.config.schema import build
from cheaprouter.config.settings import DeviceSettings
from cheaprouter.core.models import FREE, Capability, Difficulty, Model, Price, Quality, Rates, Tier
from cheaprouter.routing.router import RouteContext, Router
from cheaprouter.wire.openai_chat.request import parse

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ALL = frozenset(Capability)


def model(
    model_id: str, quality: float | Quality = 50, price: tuple[str, str] | None = ("1", "1"), **more: Any
) -> Model:
    provider, _, upstream = model_id.partition("/")
    free = price == ("0", "0")
    prices = () if price is None else (FREE if free else Price(Rates(Decimal(price[0]), Decimal(price[1]))),)
    given: dict[str, Any] = {
        "quality": quality if isinstance(quality, Quality) else Quality(quality, "configured"),
        "prices": prices,
        "capabilities": ALL,
        "context": 128_000,
        "family": provider,
        **more,
    }
    return Model(id=model_id, provider=provider, upstream=upstream, **given)


SMALL = model("lab/small", 40, ("0.1", "0.4"))
BIG = model("lab/big", 90, ("3", "15"))
MIDDLE = model("other/middle", 65, ("0.5", "2"))
LOCAL = model("home/llama", 36, ("0", "0"), local=True)


class FixedDifficulty:
    """Says what it is told to, and counts how often it was asked."""

    def __init__(self, score: float = 0.05) -> None:
        self.value = score
        self.asked = 0

    def score(self, features: object) -> Difficulty:
        self.asked += 1
        tier = Tier.SIMPLE if self.value < 0.2 else Tier.REASONING if self.value > 0.8 else Tier.COMPLEX
        return Difficulty(self.value, tier, {"wording": self.value})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def router(*models: Model, difficulty: float = 0.05, clock: Clock | None = None, **settings: Any) -> Router:
    settings.setdefault("providers", {"ollama": {}})
    return Router(
        ModelTable(models or (SMALL, BIG)), build(settings), FixedDifficulty(difficulty), monotonic=clock or Clock()
    )


def context(**given: Any) -> RouteContext:
    policy = DeviceSettings(**given.pop("policy", {}))
    return RouteContext(**{"device_id": "kitchen", "policy": policy, "at": NOON, "now": 1000.0, **given})


def request(text: str = "turn on the light", model: str = "blockrun/auto", **more: Any):
    messages = more.pop("messages", None) or [{"role": "user", "content": text}]
    return parse({"model": model, "messages": messages, **more})


def chat(*texts: str) -> list[dict[str, str]]:
    """A conversation that begins and ends with the user."""
    return [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(texts)]
