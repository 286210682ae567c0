"""Which of the models that can serve a request should: difficulty, quality and expected cost into one order. Pure.

The chance that a model fails is that of a small model (the request's difficulty), its odds divided by e for every so many
points of quality above that small model's. From there each profile has its own rule; none looks at latency, or at a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..core.models import Model, Profile
from .candidates import CONTEXT_MARGIN, Candidate, Constraints, Needs, too_big, too_slow

SMALL_QUALITY: Final = 35.0
"""Quality of the small models whose failures the difficulty was learned from."""

QUALITY_PER_E: Final = 12.5
"""Points of quality that divide the odds of failing by e. An estimate: from 50 to 83 points, odds fall to a fourteenth."""

ECO_BAR: Final = 0.6
"""The chance of success from which `eco` is content."""

REPEAT: Final = 4.0
"""How many times a good model's cost a failed answer weighs at `cost_quality` 5: it has to be noticed, asked again, and
answered by that model. A good model is then taken where it is likelier to succeed by a quarter, whatever the size of the
request: SIMPLE requests stay with a small one, COMPLEX ones leave it."""

PATIENCE: Final = 0.0005
"""USD on top: where even a good model costs next to nothing, there is little to save."""

PEER: Final = 10.0
"""Models within so many points of the best count as good ones."""

STEPS_PER_TENFOLD: Final = 2.5
"""Steps of `cost_quality` that make a failure weigh ten times as much."""

STICKY_SLACK: Final = 1.15
"""How much better another model must be before a conversation leaves the one it is on."""

_MIDDLE: Final = 5.0
_SURE: Final = 0.9999


class Option:
    """A candidate with this request's numbers: expected reply (tokens), cost (USD), chance of failing, place in the order."""

    __slots__ = ("candidate", "cost", "fail", "output", "quality", "rank")

    def __init__(self, candidate: Candidate, cost: float, output: int) -> None:
        self.candidate = candidate
        self.cost = cost
        self.output = output
        self.quality = candidate.quality
        self.fail = 0.0
        self.rank: tuple[float | str, ...] = ()

    @property
    def model(self) -> Model:
        """The model behind it."""
        return self.candidate.model


def fitting(
    candidates: Iterable[Candidate],
    needs: Needs,
    constraints: Constraints,
    average_output: Callable[[str], int | None],
    cached: tuple[str, int] | None = None,
) -> list[Option]:
    """Candidates that the request's size and the ceilings on cost and latency leave, each with its cost.

    `cached`: the id of the model whose provider still has that many tokens of the prompt in its cache.
    """
    prompt, found = needs.prompt_tokens, []
    largest = int(prompt * CONTEXT_MARGIN) + (needs.output_tokens if needs.max_tokens is None else needs.max_tokens)
    held, known = cached if cached is not None else ("", 0)
    guess = needs.reply(None)
    for candidate in candidates:
        model = candidate.model
        if candidate.context is not None and candidate.context < largest and too_big(model, needs):
            continue
        if constraints.max_first_token_ms is not None and too_slow(model, constraints):
            continue
        usual = average_output(model.id)
        output = guess if usual is None else needs.reply(usual)
        cost = candidate.cost(prompt, output, min(prompt, known) if model.id == held else 0)
        if constraints.max_cost is None or cost <= constraints.max_cost:
            found.append(Option(candidate, cost, output))
    return found


def factor(quality: float) -> float:
    """What the odds of failing are multiplied with at a quality."""
    return math.exp((SMALL_QUALITY - quality) / QUALITY_PER_E)


def failing(difficulty: float, multiplier: float) -> float:
    """The chance that a model fails, by the difficulty (that a small one does) and the model's `factor`."""
    level = min(_SURE, max(0.0, difficulty))
    odds = level / (1.0 - level) * multiplier
    return odds / (1.0 + odds)


def weight(cost_quality: float, good: float) -> float:
    """What a failure weighs in USD. `cost_quality`: 0 (cost) .. 10 (quality); `good`: USD that a good model would take."""
    return float((PATIENCE + REPEAT * good) * 10 ** ((cost_quality - _MIDDLE) / STEPS_PER_TENFOLD))


def shade(options: Sequence[Option]) -> None:
    """Keep guesses from ranking above what was measured: an unmeasured quality counts just below the best measured one."""
    best = max((option.quality for option in options if option.candidate.measured), default=None)
    if best is None:
        return
    for option in options:
        if not option.candidate.measured and option.quality >= best:
            option.quality = best - 0.01


def order(options: list[Option], profile: Profile, difficulty: float, cost_quality: float) -> None:
    """Sort by a profile's rule, best first; equal ones by quality, then by name."""
    shade(options)
    level = min(_SURE, max(0.0, difficulty))
    base = level / (1.0 - level)
    for option in options:
        candidate = option.candidate
        odds = base * (candidate.factor if option.quality == candidate.quality else factor(option.quality))
        option.fail = odds / (1.0 + odds)
    if profile is Profile.AUTO:
        lam = weight(cost_quality, _good_cost(options))
        for option in options:
            option.rank = (option.cost + lam * option.fail, -option.quality, option.candidate.model.id)
    elif profile is Profile.ECO:
        for option in options:
            enough = 1.0 - option.fail >= ECO_BAR
            option.rank = (0, option.cost, -option.quality) if enough else (1, option.fail, option.cost)
            option.rank = (*option.rank, option.candidate.model.id)
    else:
        for option in options:
            option.rank = (-option.quality, option.cost, option.candidate.model.id)
    options.sort(key=_by_rank)


def close(held: Option, best: Option, profile: Profile) -> bool:
    """Whether the model a conversation is on is nearly as good a choice as the best, so that it should stay."""
    if profile is Profile.AUTO:
        return float(held.rank[0]) <= float(best.rank[0]) * STICKY_SLACK
    if profile is Profile.ECO:
        return held.rank[0] == 0 and held.cost <= best.cost * STICKY_SLACK
    return held.quality >= best.quality


def _by_rank(option: Option) -> tuple[float | str, ...]:
    return option.rank


def _good_cost(options: Sequence[Option]) -> float:
    """The least that one of the best models would cost."""
    best = max(option.quality for option in options)
    return min(option.cost for option in options if option.quality >= best - PEER)


def mixed(ranked: Sequence[Model], count: int) -> tuple[Model, ...]:
    """The first model and at most `count` stand-ins, in order.

    Never two of one provider or family in a row where it can be helped: those fail together.
    """
    if not ranked:
        return ()
    chain = [ranked[0]]
    rest = list(ranked[1:])
    while rest and len(chain) <= count:
        last = chain[-1]
        pick = next((m for m in rest if m.provider != last.provider and m.family != last.family), None)
        pick = pick or next((m for m in rest if m.provider != last.provider), rest[0])
        rest.remove(pick)
        chain.append(pick)
    return tuple(chain)
