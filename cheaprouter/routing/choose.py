"""Which of the models that can serve a request should: difficulty, quality and expected cost into one order.

The chance that a model fails is that of a small model (the request's difficulty), its odds divided by e for every so many
points of quality above that small model's. From there each profile has its own rule; none looks at latency, or at a clock.
What a request does not change about the order is worked out once for a set of candidates, so that a choice is one pass over
plain numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from ..core.models import Model, Profile
from ..core.records import dataclass
from .candidate import Candidate, factor
from .candidates import Constraints, Needs, too_big
from .sticky import Outlook, over_the_turns

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

_LEVELS: Final = 64
"""Levels of difficulty for which a field keeps its candidates' chances."""

_SIZES: Final = 64
"""Sizes of requests for which a field keeps its candidates' costs."""

_MIDDLE: Final = 5.0
_SURE: Final = 0.9999


Rank = tuple[float | str, ...]
"""What candidates are sorted by, the best one's the least."""


class Field:
    """The candidates that a request may choose among, and all that no request changes about them.

    `qualities`: those that count. `best`: the place of the best one; of equals, the first by name. `window`: tokens that fit
    into any of their windows.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = tuple(candidates)
        self.ids = tuple([one.id for one in candidates])
        self.places = {name: place for place, name in enumerate(self.ids)}
        self.qualities = _shaded(candidates)
        self.factors = tuple([factor(quality) for quality in self.qualities])
        self.standings = tuple([(-quality, name) for quality, name in zip(self.qualities, self.ids, strict=True)])
        self.best = min(range(len(self.ids)), key=self.standings.__getitem__, default=0)
        peer = max(self.qualities, default=0.0) - PEER
        self.peers = tuple([place for place, quality in enumerate(self.qualities) if quality >= peer])
        self.window = min([one.context for one in candidates if one.context is not None], default=inf)
        self._steps = sorted({above for one in candidates for above, *_ in one.brackets if above >= 0})
        self._rates: dict[int, tuple[tuple[float, float, float], ...]] = {}
        self._chances: dict[float, list[float]] = {}
        self._entries: dict[object, Entries] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def entries(self, prompt: int, guess: int, outputs: dict[int, int]) -> Entries:
        """The candidates with these numbers, see `Entries`. Kept for some: what was heard before is as long as it was then."""
        numbers = (prompt, guess, *outputs.items())
        try:
            return self._entries[numbers]
        except KeyError:
            if len(self._entries) >= _SIZES:
                self._entries.clear()
            found = self._entries[numbers] = Entries(self, self.costs(prompt, guess, outputs), guess, outputs)
            return found

    def costs(self, prompt: int, guess: int, outputs: dict[int, int]) -> list[float]:
        """USD that each candidate is expected to take. `outputs`: tokens of a reply by place, where more is known than the guess."""
        rates, sent, got = self.rates(prompt), float(prompt), float(guess)
        costs = [sent * rate_in + got * rate_out + per_request for rate_in, rate_out, per_request in rates]
        for place, output in outputs.items():
            rate_in, rate_out, per_request = rates[place]
            costs[place] = prompt * rate_in + output * rate_out + per_request
        return costs

    def rates(self, prompt: int) -> tuple[tuple[float, float, float], ...]:
        """Each candidate's USD for a token in, a token out and the request itself, where the prompt is of that length."""
        step = bisect_left(self._steps, prompt)
        try:
            return self._rates[step]
        except KeyError:
            rates = self._rates[step] = tuple((*one.rates(prompt)[:2], one.per_request) for one in self.candidates)
            return rates

    def chances(self, difficulty: float) -> list[float]:
        """Each candidate's chance of failing. Kept for some levels: what was heard before is as hard as it was then."""
        try:
            return self._chances[difficulty]
        except KeyError:
            if len(self._chances) >= _LEVELS:
                self._chances.clear()
            base = _odds(difficulty)
            found = [(odds := base * multiplier) / (1.0 + odds) for multiplier in self.factors]  # as in `failing`
            self._chances[difficulty] = found
            return found


def _shaded(candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Keep guesses from ranking above what was measured: an unmeasured quality counts just below the best measured one."""
    best = max([one.quality for one in candidates if one.measured], default=inf)
    return tuple([best - 0.01 if one.quality >= best and not one.measured else one.quality for one in candidates])


class Entries:
    """A field with a request's numbers: each candidate's cost (USD) and expected reply (tokens). Nobody changes one.

    `guess`: the reply of all but those in `outputs`, by place, of whom more is known. `sure`: see there. `last`: what `first`
    found last, and for what. `later`: within a conversation what a further turn will cost each, once it has this one in its
    cache; `held`, `turns`: see `over_the_turns`.
    """

    __slots__ = ("costs", "field", "guess", "held", "last", "later", "outputs", "sure", "turns")

    def __init__(
        self,
        field: Field,
        costs: list[float],
        guess: int,
        outputs: dict[int, int],
        later: list[float] | None = None,
        held: int | None = None,
        turns: float = 0.0,
    ) -> None:
        self.field = field
        self.costs = costs
        self.guess = guess
        self.outputs = outputs
        self.later = later
        self.held = held
        self.turns = turns
        self.sure = sure(self) if costs else None
        self.last: tuple[tuple[Profile, float, float], int] | None = None


@dataclass(slots=True, eq=False)
class RankedCandidate:
    """One candidate with this request's numbers: cost (USD), expected reply (tokens), quality that counts."""

    candidate: Candidate
    cost: float
    output: int
    quality: float


def at_place(entries: Entries, place: int) -> RankedCandidate:
    """One of the entries."""
    field = entries.field
    return RankedCandidate(
        field.candidates[place],
        entries.costs[place],
        entries.outputs.get(place, entries.guess),
        field.qualities[place],
    )


def fitting(
    field: Field,
    needs: Needs,
    constraints: Constraints,
    outputs: Mapping[str, int],
    latency: Mapping[str, float],
    outlook: Outlook | None = None,
) -> Entries:
    """Candidates that the request's size and the ceilings on cost and latency leave, each with its cost.

    `outputs`: tokens that a reply of a model usually has; `latency`: milliseconds until its first token; as far as known.
    `outlook`: of the conversation, where providers have some of it in their caches.
    """
    slowest, dearest = constraints.max_first_token_ms, constraints.max_cost
    if needs.largest() > field.window:
        kept = [one for one in field.candidates if one.context is None or not too_big(one.model, needs)]
        field = _without(field, kept)
    if slowest is not None:
        field = _without(field, [one for one in field.candidates if latency.get(one.id, 0.0) <= slowest])
    entries = _priced(field, needs, outputs, outlook)
    if dearest is None:
        return entries
    costs = zip(field.candidates, entries.costs, strict=True)
    fewer = _without(field, [one for one, cost in costs if cost <= dearest])
    return entries if fewer is field else _priced(fewer, needs, outputs, outlook)


def _without(field: Field, kept: Sequence[Candidate]) -> Field:
    return field if len(kept) == len(field) else Field(kept)


def _priced(field: Field, needs: Needs, usual: Mapping[str, int], outlook: Outlook | None) -> Entries:
    prompt, guess, places = needs.prompt_tokens, needs.reply(None), field.places
    outputs = {places[name]: needs.reply(usual[name]) for name in usual.keys() & places.keys()} if usual else {}
    if outlook is None:
        return field.entries(prompt, guess, outputs)
    costs, later = [], []
    for place, one in enumerate(field.candidates):
        output, warm = outputs.get(place, guess), min(prompt, outlook.warm.get(one.id, 0))
        costs.append(one.in_talk(prompt, output, warm))
        later.append(one.in_talk(prompt, output, prompt))
    return Entries(field, costs, guess, outputs, later, places.get(outlook.held), outlook.turns)


def failing(difficulty: float, multiplier: float) -> float:
    """The chance that a model fails, by the difficulty (that a small one does) and the model's `factor`."""
    odds = _odds(difficulty) * multiplier
    return odds / (1.0 + odds)


def _odds(difficulty: float) -> float:
    level = min(_SURE, max(0.0, difficulty))
    return level / (1.0 - level)


def weight(cost_quality: float, good: float) -> float:
    """What a failure weighs in USD. `cost_quality`: 0 (cost) .. 10 (quality); `good`: USD that a good model would take."""
    return float((PATIENCE + REPEAT * good) * 10 ** ((cost_quality - _MIDDLE) / STEPS_PER_TENFOLD))


def ranks(entries: Entries, profile: Profile, difficulty: float, cost_quality: float) -> list[Rank]:
    """The place of each candidate in the order of a profile's rule; equal ones by quality, then by name."""
    standings, costs = entries.field.standings, entries.costs
    if profile is Profile.AUTO:
        losses = _losses(entries, difficulty, cost_quality)
        return [(loss, *standing) for loss, standing in zip(losses, standings, strict=True)]
    if profile is Profile.ECO:
        costs = _in_the_long_run(entries, costs, entries.later)
        chances = entries.field.chances(difficulty)
        return [_above_a_bar(*each) for each in zip(costs, chances, standings, strict=True)]
    return [(worse, cost, name) for cost, (worse, name) in zip(costs, standings, strict=True)]


def first(entries: Entries, profile: Profile, difficulty: float, cost_quality: float) -> int:
    """The place of the best candidate: the least of `ranks`. Of requests alike in everything looked for once."""
    asked = (profile, difficulty, cost_quality)
    if entries.last is None or entries.last[0] != asked:
        entries.last = asked, _first(entries, profile, difficulty, cost_quality)
    return entries.last[1]


def _first(entries: Entries, profile: Profile, difficulty: float, cost_quality: float) -> int:
    # Without ranking the rest where `auto` needs no tie broken.
    if profile is Profile.AUTO:
        losses = _losses(entries, difficulty, cost_quality)
        least = min(losses)
        if losses.count(least) == 1:
            return losses.index(least)
    order = ranks(entries, profile, difficulty, cost_quality)
    return order.index(min(order))


def _losses(entries: Entries, difficulty: float, cost_quality: float) -> list[float]:
    """`auto`: the cost, and what a failure weighs. A good model's cost: the least that one of the best would take."""
    field, costs = entries.field, entries.costs
    lam = weight(cost_quality, min(map(costs.__getitem__, field.peers)))
    chances = field.chances(difficulty)
    losses = [cost + lam * fail for cost, fail in zip(costs, chances, strict=True)]
    if entries.later is None:
        return losses
    later = [cost + lam * fail for cost, fail in zip(entries.later, chances, strict=True)]
    return _in_the_long_run(entries, losses, later)


def _in_the_long_run(entries: Entries, now: list[float], later: list[float] | None) -> list[float]:
    return now if later is None else over_the_turns(now, later, entries.held, entries.turns)


def _above_a_bar(cost: float, fail: float, standing: tuple[float, str]) -> Rank:
    """`eco`: the cheapest that should do; where none should, the likeliest."""
    return (0, cost, *standing) if 1.0 - fail >= ECO_BAR else (1, fail, cost, standing[1])


def sure(entries: Entries) -> int | None:
    """The place of the candidate that `auto` and `eco` choose however hard a request is; None where there is none.

    None is cheaper than it, none is better, and of equally good ones it is the first by name: so it comes first whatever a
    failure weighs and however likely one is.
    """
    best, later = entries.field.best, entries.later
    if later is not None and later[best] > min(later):
        return None
    return best if entries.costs[best] <= min(entries.costs) else None


def close(entries: Entries, profile: Profile, difficulty: float, cost_quality: float, held: int, best: int) -> bool:
    """Whether the model a conversation is on is nearly as good a choice as the best, so that it should stay."""
    if profile is Profile.AUTO:
        losses = _losses(entries, difficulty, cost_quality)
        return losses[held] <= losses[best] + (STICKY_SLACK - 1.0) * abs(losses[best])
    if profile is Profile.ECO:
        good = 1.0 - entries.field.chances(difficulty)[held] >= ECO_BAR
        costs = _in_the_long_run(entries, entries.costs, entries.later)
        return good and costs[held] <= costs[best] + (STICKY_SLACK - 1.0) * abs(costs[best])
    return entries.field.qualities[held] >= entries.field.qualities[best]


def mixed(ranked: Sequence[Model], count: int) -> tuple[Model, ...]:
    """The first model and at most `count` stand-ins, in order.

    Never two of one provider or family in a row where it can be helped: those fail together.
    """
    rest = list(ranked)
    chain = rest[:1]
    del rest[:1]
    while rest and len(chain) <= count:
        last = chain[-1]
        pick = rest[0]
        if pick.provider == last.provider or pick.family == last.family:
            others = [model for model in rest if model.provider != last.provider]
            pick = next((model for model in others if model.family != last.family), others[0] if others else pick)
        rest.remove(pick)
        chain.append(pick)
    return tuple(chain)
