"""Tables and contexts for tests of the decision, small enough to read."""

from __future__ import annotations

from typing import Any

from cheaprouter.catalog.table import ModelTable
from cheaprouter.config.schema import build
from cheaprouter.config.settings import DeviceSettings
from cheaprouter.core.models import Difficulty, Kind, Model, Tier
from cheaprouter.routing.choose import ECO_BAR, Weighed
from cheaprouter.routing.router import RouteContext, Router
from tests.builders import NOON, HandClock, a_model

SMALL = a_model("lab/small", 40, ("0.1", "0.4"))
BIG = a_model("lab/big", 90, ("3", "15"))
MIDDLE = a_model("other/middle", 65, ("0.5", "2"))
LOCAL = a_model("home/llama", 36, ("0", "0"), local=True)


class FixedDifficulty:
    """Says what it is told to, and counts how often it was asked."""

    def __init__(self, score: float = 0.01) -> None:
        self.value = score
        self.asked = 0

    def score(self, features: object) -> Difficulty:
        self.asked += 1
        tier = Tier.SIMPLE if self.value < 0.2 else Tier.REASONING if self.value > 0.8 else Tier.COMPLEX
        return Difficulty(self.value, tier, {"wording": self.value}, gain=self.value)

    judge = score


def router(*models: Model, difficulty: float = 0.01, clock: HandClock | None = None, **settings: Any) -> Router:
    settings.setdefault("providers", {"ollama": {}})
    return Router(
        ModelTable(models or (SMALL, BIG)), build(settings), FixedDifficulty(difficulty), monotonic=clock or HandClock()
    )


def context(**given: Any) -> RouteContext:
    policy = DeviceSettings(**given.pop("policy", {}))
    return RouteContext(**{"device_id": "kitchen", "policy": policy, "at": NOON, "now": 1000.0, **given})


def weighed(level: float, weight: float, kind: Kind = Kind.GENERAL, bar: float = ECO_BAR) -> Weighed:
    """What a request is weighed by."""
    return level, weight, bar, kind
