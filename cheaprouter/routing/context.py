"""What a decision is given, and what it has worked out so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ..config.settings import BudgetAction, DeviceSettings
from ..core.models import Difficulty, Model, Profile
from .access import Access
from .candidates import Constraints, Needs
from .features import Features
from .resolve import Target
from .sticky import Pin


class DifficultyScorer(Protocol):
    """What a router needs of the difficulty model."""

    def score(self, features: Features) -> Difficulty:
        """How hard a request is."""


@dataclass(frozen=True, slots=True)
class RouteContext:
    """What a decision may know besides the request.

    `policy`: the device's effective settings. `budget_action`: what a spent budget asks for, None while there is money.
    `at`: UTC, for prices. `now`: monotonic seconds. `healthy`, `latency` (first token, ms), `average_output` (tokens a reply
    of a model id usually has) and `correction` (actual over estimated prompt tokens) tell what was seen of models.
    `only_local`: cloud models are paused. `profile`, `cost_quality`: the home's, where changed at run time; None: as
    configured.
    """

    device_id: str
    policy: DeviceSettings
    at: datetime
    now: float
    budget_action: BudgetAction | None = None
    healthy: Callable[[Model], bool] = lambda _: True
    latency: Callable[[Model], float | None] = lambda _: None
    average_output: Callable[[str], int | None] = lambda _: None
    correction: Callable[[str], float] = lambda _: 1.0
    only_local: bool = False
    profile: Profile | None = None
    cost_quality: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the model's name and the device's rules make of a request, whatever it says; kept for the next one."""

    policy: DeviceSettings
    target: Target
    access: Access
    max_cost: float | None
    cost_quality: float


@dataclass(slots=True)
class Case:
    """One request on its way to a decision."""

    features: Features
    needs: Needs
    target: Target
    access: Access
    constraints: Constraints
    cost_quality: float
    pin: Pin | None = None
    difficulty: Difficulty | None = None
    kept_on: bool = False
    escalated: bool = False
