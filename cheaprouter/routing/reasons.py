"""Decisions in words, ASCII, one sentence each, and in numbers for whoever asks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..catalog.quality import measured
from ..config.settings import BudgetAction
from ..core.errors import BudgetError, NoCandidateError
from ..core.models import Difficulty, Dropped, Json, Model, Profile, RouteDecision
from .access import Access
from .candidates import CONTEXT_MARGIN
from .choose import Option, factor, failing
from .features import Features
from .resolve import Target

_RULES: Final = {
    Profile.AUTO: "best balance of cost and quality",
    Profile.ECO: "cheapest that should do",
    Profile.PREMIUM: "best available",
    Profile.FREE: "best of those that cost nothing",
}
_MOST_REASONS: Final = 4


@dataclass(frozen=True, slots=True)
class How:
    """How a choice came about: among how many, at what difficulty (None: nobody had to ask), and what tipped it."""

    candidates: int
    difficulty: Difficulty | None
    kept_on: bool
    escalated: bool
    cooling: bool


def named(target: Target, model: Model) -> str:
    """Why a model was taken that a name stood for."""
    asked = target.steps[0]
    if target.pinned:
        return _plain(f"this device always uses {model.id}")
    if target.wildcard:
        return _plain(f"{asked} is unknown here, and unknown models go to {model.id}")
    if len(target.steps) > 1:
        return _plain(f"{asked} stands for {model.id}")
    return _plain(f"{model.id} was asked for by name")


def chosen(target: Target, granted: Access, option: Option, how: How) -> str:
    """Why a profile chose a model."""
    model = option.model
    who = _who(target, granted)
    if how.candidates == 1:
        told = f"{model.id} is the only model that can serve it"
    elif how.kept_on:
        told = f"the conversation stays on {model.id}"
    elif how.escalated:
        told = f"{model.id} is better than the model that did not satisfy before"
    else:
        told = f"{model.id} is the {_RULES[granted.profile]} of {how.candidates} candidates"
    detail = [f"quality {option.candidate.quality:.0f}"]
    if how.difficulty is not None:
        detail.insert(0, f"{how.difficulty.tier.value} {how.difficulty.score:.2f}")
    detail.append("free" if not option.cost else f"about ${option.cost:.6f}")
    late = "; it is cooling down, as all are" if how.cooling else ""
    return _plain(f"{who}: {told} ({', '.join(detail)}){late}")


def _who(target: Target, granted: Access) -> str:
    name = target.steps[0]
    if granted.budget is BudgetAction.FREE:
        return f"{name}, but the budget is spent, so only what is free"
    if granted.budget is BudgetAction.ECO:
        return f"{name}, but the budget is spent, so eco"
    if target.pinned:
        return f"this device uses {target.steps[-1]}"
    word = granted.profile.value
    return word if name == granted.profile.model_id else f"{name} as {word}"


def no_candidate(granted: Access, dropped: Sequence[Dropped]) -> NoCandidateError | BudgetError:
    """The error where nothing is left, saying what stood in the way of how many."""
    counted = Counter(item.reason for item in dropped if "own name" not in item.reason)
    listing = "; ".join(f"{count} x {reason}" for reason, count in counted.most_common(_MOST_REASONS))
    told = f" ({listing})" if listing else ""
    if granted.budget is BudgetAction.FREE:
        return BudgetError(
            f"The budget is spent, and no model that costs nothing can serve this request{told}.",
            retry_after=None,
            limit="budget",
        )
    if granted.bounds.free_only:
        return NoCandidateError(
            f"No model that costs nothing can serve this request{told}. Add a server at home, such as Ollama, or list a free model."
        )
    return NoCandidateError(f"No configured model can serve this request{told or ': there are none'}.")


# --- numbers, for `cheaprouter route` and /router/route --------------------------------------------------------------


def view(
    asked: str, target: Target, profile: Profile, features: Features, difficulty: Difficulty, dropped: Sequence[Dropped]
) -> Json:
    """What was made of the request, and who is out."""
    return {
        "requested_model": asked,
        "resolved": list(target.steps),
        "profile": profile.value if target.model is None else None,
        "features": {
            "ask": features.ask[:200],
            "prompt_tokens": features.prompt_tokens,
            "expected_output_tokens": features.expected_output_tokens,
            "max_tokens": features.max_tokens,
            "needs": sorted(need.value for need in features.needs),
            "turns": features.turns,
            "in_tool_loop": features.in_tool_loop,
            "repeats": features.repeats,
            "context_margin": CONTEXT_MARGIN,
        },
        "score": difficulty.score,
        "tier": difficulty.tier.value,
        "contributions": dict(difficulty.contributions),
        "dropped": [{"id": item.model_id, "reason": item.reason} for item in dropped],
    }


def row(option: Option, level: float, *, healthy: bool) -> Json:
    """One candidate's numbers. `level`: the difficulty it was weighed at, or would have been."""
    model = option.model
    return {
        "id": model.id,
        "quality": model.quality.value,
        "quality_source": model.quality.source,
        "measured": measured(model.quality),
        "expected_cost_usd": round(option.cost, 9),
        "expected_output_tokens": option.output,
        "failure_probability": round(failing(level, factor(option.quality)), 4),
        "healthy": healthy,
    }


def outcome(decision: RouteDecision) -> dict[str, Any]:
    """The choice itself."""
    return {
        "model": decision.model.id,
        "fallbacks": [model.id for model in decision.fallbacks],
        "reason": decision.reason,
        "named": decision.named,
        "expected_cost_usd": None if decision.expected_cost is None else float(decision.expected_cost),
    }


def _plain(text: str) -> str:
    """ASCII on one line: it travels in a header."""
    return (
        text if text.isascii() and text.isprintable() else text.encode("ascii", "replace").decode().replace("\n", " ")
    )
