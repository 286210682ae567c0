"""Recorded requests once more, by other settings: what they would have cost, who would have answered, and how well.

Pure. No text is needed, and none was kept: each request is its score and its tokens. What is not recorded is taken to be as usual: that
any model could serve it, and that answers are as long as they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from ..core.models import Profile
from ..core.records import dataclass
from .choose import ECO_BAR, Field
from .dial import LEAST_GAIN, Dial, turns, usual_gain

MOST: Final = 10_000
"""Requests that are replayed at most: the last ones."""

_USUAL: Final = 0.2
"""How hard a request counts as where none has a score."""


class Recorded(NamedTuple):
    """A request of the past. `score`: the chance that a small model fails; None: not worked out. `cost`: USD, None: unknown.

    `chosen`: a profile chose its model, which is asked again; a model asked for by name stays.
    """

    model_id: str
    prompt: int
    output: int
    cached: int
    cost: float | None
    score: float | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """Settings to rehearse. `dial`: of its models; `cost_quality` counts for `auto` alone."""

    name: str
    field: Field
    dial: Dial
    profile: Profile
    cost_quality: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What it came to. `usd`: of all requests whose cost is known. `models`: requests by model.

    `good`: the expected part of good answers, 0..1; None where that is not known of any.
    """

    name: str
    usd: float
    good: float | None
    models: Counter[str]


def as_recorded(past: Sequence[Recorded], chance: Callable[[str, float], float | None]) -> Outcome:
    """What was. `chance`: that a model fails at a score, None for a model that is no longer there."""
    level, good, known = usual(past), 0.0, 0
    for one in past:
        fails = chance(one.model_id, level if one.score is None else one.score)
        if fails is not None:
            good, known = good + 1.0 - fails, known + 1
    usd = float(sum(Decimal(str(one.cost)) for one in past if one.cost is not None))
    return Outcome("as recorded", usd, good / known if known else None, Counter(one.model_id for one in past))


def rehearse(scenario: Scenario, past: Sequence[Recorded]) -> Outcome:
    """What would have been."""
    field, worth = scenario.field, scenario.dial.worth(scenario.cost_quality)
    usd, good, known, level = 0.0, 0.0, 0, usual(past)
    models: Counter[str] = Counter()
    for one in past:
        score = level if one.score is None else one.score
        place = field.places.get(one.model_id)
        if one.chosen and len(field):
            place = _place(scenario, field.costs(one.prompt, one.output, {}), worth, score)
            candidate = field.candidates[place]
            models[candidate.id] += 1
            usd += candidate.cost(one.prompt, one.output, min(one.prompt, one.cached))
        else:
            models[one.model_id] += 1
            usd += one.cost or 0.0
        if place is not None:
            good, known = good + 1.0 - field.view.chances(score)[place], known + 1
    return Outcome(scenario.name, usd, good / known if known else None, models)


def _place(scenario: Scenario, costs: Sequence[float], worth: float, score: float) -> int:
    """Whom the profile takes, at these costs (USD), where a failed answer counts for `worth`."""
    view = scenario.field.view
    if scenario.profile is Profile.AUTO:
        most = worth * max(LEAST_GAIN, usual_gain(score))
        return [place for least, place in turns(costs, view.shares) if least <= most][-1]
    if scenario.profile is Profile.ECO:
        fails = view.chances(score)
        will_do = [place for place, chance in enumerate(fails) if 1.0 - chance >= ECO_BAR]
        if not will_do:
            return fails.index(min(fails))
        return min(will_do, key=lambda place: (costs[place], view.standings[place]))
    return min(range(len(costs)), key=view.standings.__getitem__)


def usual(past: Sequence[Recorded]) -> float:
    """The mean score, for requests that have none."""
    scores = [one.score for one in past if one.score is not None]
    return sum(scores) / len(scores) if scores else _USUAL


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """The outcomes as lines of text, the models of each in the order of their shares."""
    width = max(len(one.name) for one in outcomes)
    lines = [f"{'':{width}} {'cost $':>12} {'good answers':>13}  models"]
    for one in outcomes:
        total = sum(one.models.values()) or 1
        shares = ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in one.models.most_common(4))
        good = "unknown" if one.good is None else f"{100 * one.good:.1f} %"
        more = f" and {len(one.models) - 4} more" if len(one.models) > 4 else ""
        lines.append(f"{one.name:{width}} {one.usd:12.4f} {good:>13}  {shares}{more}")
    return lines
