"""Short lists: which candidates a choice looks at.

What a request's size does not change (kind, abilities, rules, the current price) is worked out once for each combination and
kept, so that a decision looks at a few dozen models and not at hundreds. Of many candidates only the best by price and
quality are short-listed: layer after layer of models that no other beats in every respect. The rest is there for when too
few of those fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Final

from ..catalog.prices import active_price
from ..catalog.table import ModelTable
from ..core.models import Capability, Kind
from .candidate import Candidate
from .candidates import Bounds, barred
from .choose import Field
from .dial import LEAST_GAIN, NO_CHOICE, Dial, Typical, fitted, turns, typical_home

LENGTH: Final = 20
"""How many candidates a short list holds, where there are as many; more where more of them are beaten by none."""

_KEPT: Final = 128
_QUARTER: Final = 900
"""Seconds. Prices change at most every quarter of an hour."""


class Shortlist:
    """Candidates that pass the fixed rules: the best of them, and all."""

    def __init__(self, best: Sequence[Candidate], every: Sequence[Candidate]) -> None:
        self.best = Field(best)
        self.count = len(every)
        self._every = every

    @cached_property
    def every(self) -> Field:
        """All of them: made when first needed, which it seldom is."""
        return self.best if self.count == len(self.best) else Field(self._every)


class Shortlists:
    """Short lists of one table."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table
        self._rules: OrderedDict[Bounds, Ruled] = OrderedDict()
        self._dials: OrderedDict[tuple[str, ...], Dial] = OrderedDict()
        self.timed = any(price.valid_from or price.daily for model in table.models for price in model.prices)

    def under(self, bounds: Bounds) -> Ruled:
        """Those under these rules, for whoever asks for one again and again. The longest unused go."""
        if bounds not in self._rules:
            self._rules[bounds] = Ruled(self, bounds)
            if len(self._rules) > _KEPT:
                self._rules.popitem(last=False)
        self._rules.move_to_end(bounds)
        return self._rules[bounds]

    def dial(self, of: Shortlist) -> Dial:
        """The dial for a short list. Fitted once for a set of models: a failed answer counts the same at any hour."""
        dial = self._dials.get(of.best.ids)
        if dial is None:
            dial = self._dials[of.best.ids] = (
                fitted([moves(of.best, one) for one in typical_home()]) if len(of.best) > 1 else NO_CHOICE
            )
            if len(self._dials) > _KEPT:
                self._dials.popitem(last=False)
        return dial

    def made(self, capabilities: frozenset[Capability], bounds: Bounds, at: datetime) -> Shortlist:
        every = tuple(
            Candidate(model, price)
            for model in self._table.models
            if barred(model, capabilities, bounds) is None and (price := active_price(model, at)) is not None
        )
        return Shortlist(_layers(every), every)


class Ruled:
    """Short lists under the same rules, made when first needed. There are no more of them than sets of abilities."""

    def __init__(self, of: Shortlists, bounds: Bounds) -> None:
        self._of = of
        self._timed = of.timed
        self._bounds = bounds
        self._lists: dict[frozenset[Capability], Shortlist] = {}
        self._quarter = 0

    def dial(self, at: datetime) -> Dial:
        """The dial for those that may be asked for plain text. `at`: UTC, for prices."""
        return self._of.dial(self.get(frozenset(), at))

    def get(self, capabilities: frozenset[Capability], at: datetime) -> Shortlist:
        """The candidates for these needs at a moment (UTC)."""
        if self._timed and (quarter := int(at.timestamp()) // _QUARTER) != self._quarter:
            self._lists.clear()
            self._quarter = quarter
        try:
            return self._lists[capabilities]
        except KeyError:
            made = self._lists[capabilities] = self._of.made(capabilities, self._bounds, at)
            return made


def moves(field: Field, one: Typical) -> list[float]:
    """The worths (USD of a failed answer) from which on a request goes to another candidate, rising."""
    gain = max(LEAST_GAIN, one.gain)
    view = field.views.get(Kind(one.kind), field.view)
    return [weight / gain for weight, _ in turns(field.costs(one.prompt, one.output, {}), view.shares)[1:]]


def _layers(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    if len(candidates) <= LENGTH:
        return tuple(candidates)
    best: list[Candidate] = []
    rest = list(candidates)
    while rest and len(best) < LENGTH:
        front = [one for one in rest if not any(_beats(other, one) for other in rest)]
        front.sort(key=lambda one: (one.cost(3, 1), one.id))
        # The first layer holds the best choice for any weights and stays whole; of the others a few stand-ins will do.
        best += front if not best else front[: LENGTH - len(best)]
        taken = {id(one) for one in front}
        rest = [one for one in rest if id(one) not in taken]
    return tuple(best)


def _beats(one: Candidate, other: Candidate) -> bool:
    """Worse in nothing that a choice looks at; between equals, the one that comes first by name."""
    (_, in1, out1, _), (_, in2, out2, _) = one.brackets[-1], other.brackets[-1]
    if in1 > in2 or out1 > out2 or one.quality < other.quality or one.measured < other.measured:
        return False
    if any(known.value > one.model.quality_at(kind).value for kind, known in other.model.abilities):
        return False
    better = in1 < in2 or out1 < out2 or one.quality > other.quality or one.measured > other.measured
    return better or one.id < other.id
