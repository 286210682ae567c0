"""Decisions in words, ASCII, one sentence each, and in numbers for whoever asks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from math import floor, inf, log10
from typing import Any, Final

from ..catalog import prices
from ..catalog.quality import measured
from ..config.settings import BudgetAction
from ..core.errors import BudgetError, NoCandidateError
from ..core.models import Difficulty, Dropped, Json, Model, Profile, RouteDecision, Usage
from .access import Access, Resolution
from .candidate import Candidate, factor
from .candidates import CONTEXT_MARGIN
from .choose import RankedCandidate, failing
from .features import Features

_RULES: Final = {
    Profile.ECO: "cheapest that should do",
    Profile.PREMIUM: "best available",
    Profile.FREE: "best of those that cost nothing",
}
AT_HOME: Final = "cheapest of those that are good at home commands"
"""What `premium` takes there, and `free`."""

_BEST: Final = (_RULES[Profile.PREMIUM], _RULES[Profile.FREE])
_STAKES: Final = {
    "health": "a wrong answer counted more, as health is",
    "law": "a wrong answer counted more, as rights are",
    "money": "a wrong answer counted more, as savings are",
    "electricity": "a wrong answer counted more, as safety is",
}
_SPENT: Final = {
    BudgetAction.FREE: "but the budget is spent, so only what is free",
    BudgetAction.ECO: "but the budget is spent, so eco",
}
_MOST_REASONS: Final = 4


def named(target: Resolution, model: Model) -> str:
    """Why a model was taken that a name stood for."""
    asked = target.steps[0]
    if target.pinned:
        return f"this device always uses {model.id}"
    if target.wildcard:
        return f"{asked} is unknown here, and unknown models go to {model.id}"
    if len(target.steps) > 1:
        return f"{asked} stands for {model.id}"
    return f"{model.id} was asked for by name"


def who(target: Resolution, granted: Access) -> str:
    """On whose word a profile chooses."""
    name = target.steps[0]
    if granted.budget is not None:
        return f"{name}, {_SPENT[granted.budget]}"
    if target.pinned:
        return f"this device uses {target.steps[-1]}"
    word = granted.profile.value
    return word if name == granted.profile.model_id else f"{name} as {word}"


def rule(profile: Profile, worth: float) -> str:
    """What a profile chooses by, to be read after "is the". `worth`: USD that a failed answer counts for to `auto`."""
    if profile is not Profile.AUTO or worth == inf:
        return _RULES.get(profile, _RULES[Profile.PREMIUM])
    return f"best value, a failed answer counted as {usd(worth)}," if worth else "cheapest"


def usd(amount: float) -> str:
    """An amount with two digits that tell something: `$0.031`, `$12`."""
    digits = 0 if amount >= 10 or amount <= 0 else 1 - floor(log10(amount))
    return f"${amount:.{digits}f}"


def chosen(
    asked: str,
    rule: str,
    one: Candidate,
    cost: float,
    candidates: int,
    hard: Difficulty | None,
    *,
    kept_on: bool,
    escalated: bool,
    cooling: bool,
) -> str:
    """Why a profile chose a model.

    `asked`: on whose word, see `who`. `rule`: what is chosen by, see there. `cost`: USD expected. `hard`: how hard it is, None: nobody had to ask.
    """
    name = one.id
    level = f"{hard.tier} {hard.score:.2f}, " if hard is not None else ""
    price = f"about ${cost:.6f}" if cost else "free"
    if candidates == 1:
        told = f"{name} is the only model that can serve it"
    elif kept_on:
        told = f"the conversation stays on {name}"
    elif escalated:
        told = f"{name} is better than the model that did not satisfy before"
    else:
        told = f"{name} is the {rule} of {candidates} candidates"
    if hard is not None and hard.stakes and rule not in _BEST:
        told = f"{told}, {_STAKES[hard.stakes]} at stake"
    late = "; it is cooling down, as all are" if cooling else ""
    return f"{asked}: {told} ({level}{one.shown}, {price}){late}"


def ascii_line(text: str) -> str:
    """ASCII on one line: it travels in a header."""
    return "".join(c if c.isprintable() else " " for c in text.encode("ascii", "replace").decode())


def no_candidate(granted: Access, dropped: Sequence[Dropped]) -> NoCandidateError | BudgetError:
    """The error where nothing is left, saying what stood in the way of how many."""
    counted = Counter(item.reason for item in dropped if "own name" not in item.reason)
    listing = "; ".join(f"{count} x {reason}" for reason, count in counted.most_common(_MOST_REASONS))
    told = f" ({listing})" if listing else ""
    if granted.budget is BudgetAction.FREE:
        told = f"The budget is spent, and no model that costs nothing can serve this request{told}."
        return BudgetError(told, retry_after=None, limit="budget")
    if granted.bounds.free_only:
        return NoCandidateError(
            f"No model that costs nothing can serve this request{told}. Add a server at home, such as Ollama, or list a free model."
        )
    return NoCandidateError(f"No configured model can serve this request{told or ': there are none'}.")


# --- numbers, for `cheaprouter route` and /router/route --------------------------------------------------------------


def view(
    target: Resolution, profile: Profile, features: Features, difficulty: Difficulty, dropped: Sequence[Dropped]
) -> Json:
    """What was made of the request, and who is out."""
    return {
        "requested_model": target.steps[0],
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


def row(one: RankedCandidate, level: float, *, healthy: bool) -> Json:
    """One candidate's numbers. `level`: the difficulty it was weighed at, or would have been."""
    model = one.candidate.model
    return {
        "id": model.id,
        "quality": model.quality.value,
        "quality_source": model.quality.source,
        "measured": measured(model.quality),
        "expected_cost_usd": round(one.cost, 9),
        "expected_output_tokens": one.output,
        "failure_probability": round(failing(level, factor(one.quality)), 4),
        "healthy": healthy,
    }


def outcome(decision: RouteDecision, at: datetime) -> dict[str, Any]:
    """The choice itself. `at`: UTC, for prices."""
    amount = prices.cost(Usage(decision.prompt_tokens, decision.expected_output), decision.model, at)
    return {
        "model": decision.model.id,
        "fallbacks": [model.id for model in decision.fallbacks],
        "reason": decision.reason,
        "named": decision.named,
        "expected_cost_usd": None if amount is None else float(amount),
    }
