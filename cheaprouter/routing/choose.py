"""Which of the models that can serve a request should: difficulty, quality and expected cost into one order.

`auto` pays for a better model where what it gains is worth more than it costs. What a large model gains over a small one is
the request's (`gain`); each candidate has some of it, by its quality (`share`); a failed answer counts for a fixed amount of
money (`dial`), never for a multiple of the request's own price. So a request is one number, its weight: USD that a large
model's answer is worth more than a small one's; and a candidate is two, its cost and what it lacks of the best one's share.
None of the rules looks at latency, or at a clock. What a request does not change about the order is worked out once for a
set of candidates, so that a choice is one pass over plain numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from ..core.models import Kind, Model, Profile
from ..core.records import dataclass
from .candidate import Candidate, factor, share
from .candidates import Constraints, Needs, too_big
from .dial import LEAST_GAIN
from .stakes import STEP
from .sticky import Outlook, over_the_turns

ECO_BAR: Final = 0.6
"""The chance of success from which `eco` is content."""

HIGH_BAR: Final = 0.8
"""The same where a wrong answer hurts."""

HOME_MOST: Final = 50.0
"""Quality at home commands that a model has at most unless it was measured there: the largest do as well as good ones of 8 to 30
billion parameters (home-assistant-datasets, reports of 2026-08-22; the best measured has 53)."""

HOME_PEER: Final = 10.0
"""At home commands `premium` takes the cheapest of those within so many points of the best: no frontier price for a lamp."""

STICKY_SLACK: Final = 1.15
"""How much better another model must be before a conversation leaves the one it is on."""

_LEVELS: Final = 64
"""Levels of difficulty for which a field keeps its candidates' chances."""

_SIZES: Final = 64
"""Sizes of requests for which a field keeps its candidates' costs."""

_SURE: Final = 0.9999


Rank = tuple[float | str, ...]
"""What candidates are sorted by, the best one's the least."""


Weighed = tuple[float, float, float, Kind]
"""What a request is weighed by: the chance that a small model fails; USD that a large model's answer is worth more than a small
one's, infinite where cost does not count; the chance of success that `eco` wants; and the kind that it is of."""

UNASKED: Final[Weighed] = (0.0, 0.0, ECO_BAR, Kind.GENERAL)
"""Where nobody asked how hard it is."""


class View:
    """How good a field's candidates are at one kind of request.

    `qualities`: those that count. `shares`: how much each has of what a large model gains; `lacks`: how much less than the
    best. `best`: the place of the best one; of equals, the first by name. `kind`: the first that it is the view of. `peers`:
    who is so good that only the price tells them apart, None where all count for what they are.
    """

    __slots__ = ("_chances", "best", "factors", "kind", "lacks", "peers", "qualities", "shares", "standings")

    def __init__(self, qualities: tuple[float, ...], ids: Sequence[str], kind: Kind = Kind.GENERAL) -> None:
        self.qualities = qualities
        self.kind = kind
        least = max(qualities, default=0.0) - HOME_PEER
        self.peers = frozenset(p for p, own in enumerate(qualities) if own >= least) if kind is Kind.HOME else None
        self.factors = tuple([factor(quality) for quality in qualities])
        self.shares = tuple([share(quality) for quality in qualities])
        most = max(self.shares, default=0.0)
        self.lacks = tuple([most - own for own in self.shares])
        self.standings = tuple([(-quality, name) for quality, name in zip(qualities, ids, strict=True)])
        self.best = min(range(len(ids)), key=self.standings.__getitem__, default=0)
        self._chances: dict[float, list[float]] = {}

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


class Field:
    """The candidates that a request may choose among, and all that no request changes about them.

    `view`: how good they are; `views`: the same at kinds of requests at which they differ; `every`: each of these once. `window`: tokens that fit into any of their windows.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = tuple(candidates)
        self.ids = tuple([one.id for one in candidates])
        self.places = {name: place for place, name in enumerate(self.ids)}
        self.view = View(_shaded(candidates), self.ids)
        self.views = _by_kind(self)
        self.every = (self.view, *self.views.values())
        self.window = min([one.context for one in candidates if one.context is not None], default=inf)
        self._steps = sorted({above for one in candidates for above, *_ in one.brackets if above >= 0})
        self._rates: dict[int, tuple[tuple[float, float, float], ...]] = {}
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


def _shaded(candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Keep guesses from ranking above what was measured: an unmeasured quality counts just below the best measured one."""
    best = max([one.quality for one in candidates if one.measured], default=inf)
    return tuple([best - 0.01 if one.quality >= best and not one.measured else one.quality for one in candidates])


def _by_kind(field: Field) -> dict[Kind, View]:
    """How good candidates are at those kinds at which that is another order than in general."""
    found, general = {}, field.view.qualities
    for kind in Kind:
        if kind is Kind.HOME or any(one.good_at(kind) for one in field.candidates):
            most = HOME_MOST if kind is Kind.HOME else inf
            own = [one.good_at(kind) for one in field.candidates]
            qualities = tuple([min(most, usual) if at is None else at for at, usual in zip(own, general, strict=True)])
            if qualities != general or kind is Kind.HOME:
                found[kind] = View(qualities, field.ids, kind)
    return found


class Entries:
    """A field with a request's numbers: each candidate's cost (USD) and expected reply (tokens). Nobody changes one.

    `guess`: the reply of all but those in `outputs`, by place, of whom more is known. `sure`: see there; `settled` keeps the
    same for the worths that failed answers were counted at. `last`: what `first` found last, and for what. `later`: within a
    conversation what a further turn will cost each, once it has this one in its cache; `held`, `turns`: see `over_the_turns`.
    """

    __slots__ = ("costs", "field", "guess", "held", "last", "later", "outputs", "settled", "sure", "turns")

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
        self.settled: dict[tuple[Profile, float], int | None] = {}
        self.last: tuple[tuple[Profile, Weighed], int] | None = None


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
        field.view.qualities[place],
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


def ranks(entries: Entries, profile: Profile, weighed: Weighed) -> list[Rank]:
    """The place of each candidate in the order of a profile's rule; equal ones by quality, then by name."""
    view, costs = entries.field.views.get(weighed[3], entries.field.view), entries.costs
    standings = view.standings
    if profile is Profile.AUTO and weighed[1] < inf:
        losses = _losses(entries, view, weighed[1])
        return [(loss, *standing) for loss, standing in zip(losses, standings, strict=True)]
    if profile is Profile.ECO:
        costs = _in_the_long_run(entries, costs, entries.later)
        chances = view.chances(weighed[0])
        bar = weighed[2]
        return [_above_a_bar(bar, *each) for each in zip(costs, chances, standings, strict=True)]
    if profile is Profile.AUTO:  # its end of the dial: the best, whatever it is about
        standings, peers = entries.field.view.standings, None
    else:
        peers = view.peers
    if peers is not None:
        rows = enumerate(zip(costs, standings, strict=True))
        return [(0, cost, *own) if place in peers else (1, own[0], cost, own[1]) for place, (cost, own) in rows]
    return [(worse, cost, name) for cost, (worse, name) in zip(costs, standings, strict=True)]


def first(entries: Entries, profile: Profile, weighed: Weighed) -> int:
    """The place of the best candidate: the least of `ranks`. Of requests alike in everything looked for once."""
    asked = (profile, weighed)
    if entries.last is None or entries.last[0] != asked:
        entries.last = asked, _first(entries, profile, weighed)
    return entries.last[1]


def _first(entries: Entries, profile: Profile, weighed: Weighed) -> int:
    # Without ranking the rest where `auto` needs no tie broken.
    if profile is Profile.AUTO and weighed[1] < inf:
        losses = _losses(entries, entries.field.views.get(weighed[3], entries.field.view), weighed[1])
        least = min(losses)
        if losses.count(least) == 1:
            return losses.index(least)
    order = ranks(entries, profile, weighed)
    return order.index(min(order))


def _losses(entries: Entries, view: View, weight: float) -> list[float]:
    """`auto`: what each candidate costs, and what the answers are worth that it fails at and the best would not (USD)."""
    lacks, later = view.lacks, entries.later
    losses = [cost + weight * lack for cost, lack in zip(entries.costs, lacks, strict=True)]
    if later is None:
        return losses
    # A hard turn says nothing of those to come: a better model is worth this turn what it gains, and later no more than the one
    # that the conversation is on. A worse one does lack something later, too.
    least = 0.0 if entries.held is None else lacks[entries.held]
    further = [cost + weight * max(least, lack) for cost, lack in zip(later, lacks, strict=True)]
    return _in_the_long_run(entries, losses, further)


def _in_the_long_run(entries: Entries, now: list[float], later: list[float] | None) -> list[float]:
    return now if later is None else over_the_turns(now, later, entries.held, entries.turns)


def _above_a_bar(bar: float, cost: float, fail: float, standing: tuple[float, str]) -> Rank:
    """`eco`: the cheapest that should do; where none should, the likeliest."""
    return (0, cost, *standing) if 1.0 - fail >= bar else (1, fail, cost, standing[1])


def sure(entries: Entries) -> int | None:
    """The place of the candidate that `auto` and `eco` choose however hard a request is; None where there is none.

    None is cheaper than it, none is better, and of equally good ones it is the first by name: so it comes first whatever a
    failure weighs and however likely one is.
    """
    best, later = entries.field.view.best, entries.later
    if later is not None and later[best] > min(later):
        return None
    if any(view.best != best for view in entries.field.views.values()):
        return None
    return best if entries.costs[best] <= min(entries.costs) else None


def settled(entries: Entries, profile: Profile, worth: float) -> int | None:
    """The place of the candidate that a profile chooses however hard a request is, whatever it is about; None: one has to know.

    `worth`: USD that a failed answer counts for to `auto`, once where nothing is at stake. What a candidate loses is a straight
    line over the request's weight, so whoever comes first at both ends comes first in between. Kept for requests of that size.
    Within a conversation, whose further turns count as well, the lines bend: only who is `sure` is known there.
    """
    asked = (profile, worth)
    try:
        return entries.settled[asked]
    except KeyError:
        if len(entries.settled) >= _LEVELS:
            entries.settled.clear()
        found = entries.settled[asked] = _settled(entries, profile, worth)
        return found


def _settled(entries: Entries, profile: Profile, worth: float) -> int | None:
    ends: tuple[float, ...] = (0.0,)
    if profile is Profile.AUTO:
        ends = (worth * LEAST_GAIN, worth * STEP)
    if profile is Profile.ECO or (profile is Profile.AUTO and entries.later is not None and worth < inf):
        return entries.sure
    if worth == inf:
        return _first(entries, profile, (0.0, inf, ECO_BAR, Kind.GENERAL))
    winners = {_first(entries, profile, (0.0, end, ECO_BAR, view.kind)) for view in entries.field.every for end in ends}
    return winners.pop() if len(winners) == 1 else None


def close(entries: Entries, profile: Profile, weighed: Weighed, held: int, best: int) -> bool:
    """Whether the model a conversation is on is nearly as good a choice as the best, so that it should stay."""
    view, costs = entries.field.views.get(weighed[3], entries.field.view), entries.costs
    if profile is Profile.AUTO and weighed[1] < inf:
        losses = _losses(entries, view, weighed[1])
        return losses[held] <= losses[best] + (STICKY_SLACK - 1.0) * abs(losses[best])
    if profile is Profile.ECO:
        good = 1.0 - view.chances(weighed[0])[held] >= weighed[2]
        costs = _in_the_long_run(entries, costs, entries.later)
        return good and costs[held] <= costs[best] + (STICKY_SLACK - 1.0) * abs(costs[best])
    return view.qualities[held] >= view.qualities[best]


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
