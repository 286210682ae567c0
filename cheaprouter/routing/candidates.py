"""Which models can and may serve a request, by hard facts; why each of the others cannot.

What a request's size does not change (kind, abilities, rules, the current price) is worked out once for each combination and
kept, so that a decision looks at a few dozen models and not at hundreds. Of many candidates only the best by price and
quality are short-listed: layer after layer of models that no other beats in every respect. The rest is there for when too
few of those fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from math import exp
from typing import Final

from ..catalog.prices import active_price
from ..catalog.quality import measured
from ..catalog.table import ModelTable
from ..core.models import Capability, Dropped, Model, Price, Rates
from ..core.records import dataclass
from .features import Features

CONTEXT_MARGIN: Final = 1.15
"""How far a prompt may turn out longer than its estimate, which is made without the model's tokenizer."""

SMALL_QUALITY: Final = 35.0
"""Quality of the small models whose failures the difficulty was learned from."""

QUALITY_PER_E: Final = 12.5
"""Points of quality that divide the odds of failing by e. An estimate: from 50 to 83 points, odds fall to a fourteenth."""

LENGTH: Final = 20
"""How many candidates a short list holds, where there are as many; more where more of them are beaten by none."""

_KEPT: Final = 128
_QUARTER: Final = 900
"""Seconds. Prices change at most every quarter of an hour."""
_MILLION: Final = 1e6


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of a model.

    `output_tokens`: one reply's likely length; `max_tokens`: the client's own ceiling on it; `replies`: how many it wants.
    """

    capabilities: frozenset[Capability] = frozenset()
    prompt_tokens: int = 0
    output_tokens: int = 0
    max_tokens: int | None = None
    replies: int = 1

    @classmethod
    def of(cls, features: Features, replies: int = 1) -> Needs:
        """The needs of a measured request."""
        output, most = features.expected_output_tokens, features.max_tokens
        return cls(features.needs, features.prompt_tokens, output, most, replies)

    def reply(self, usual: int | None) -> int:
        """Expected tokens of all replies; what a model usually writes counts as much as the guess from the request."""
        guess = self.output_tokens if usual is None else (self.output_tokens + usual) // 2
        return self.replies * (guess if self.max_tokens is None else max(1, min(guess, self.max_tokens)))

    def window(self, model: Model) -> int:
        """Tokens that a model's window must hold: the prompt with a margin, and the reply."""
        reply = self.output_tokens if self.max_tokens is None else self.max_tokens
        if model.max_output is not None:
            reply = min(reply, model.max_output)
        return int(self.prompt_tokens * CONTEXT_MARGIN) + reply


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which models a profile may use for this device and alias. Hashable: what passes is kept for the next request.

    `kind`: what the request needs a model of.
    """

    allow: tuple[str, ...] | None = None
    alias_models: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    free_only: bool = False
    only_local: bool = False
    kind: str = "chat"


@dataclass(frozen=True, slots=True)
class Constraints:
    """All that a request's model must keep to. `max_cost`: USD expected; `max_first_token_ms`: by what was seen so far."""

    bounds: Bounds = Bounds()
    max_cost: float | None = None
    max_first_token_ms: float | None = None


class Candidate:
    """A model with its current rates as plain numbers, USD a token, for quick sums. Bookings use `catalog.prices`."""

    __slots__ = ("brackets", "context", "factor", "free", "id", "measured", "model", "per_request", "quality")

    def __init__(self, model: Model, price: Price) -> None:
        self.model = model
        self.id = model.id
        self.quality = model.quality.value
        self.measured = measured(model.quality)
        self.factor = factor(self.quality)
        self.free = model.free
        self.per_request = float(price.per_request)
        self.context = model.context
        tiers = [(tier.above_prompt_tokens, *_per_token(tier.rates)) for tier in reversed(price.tiers)]
        self.brackets = (*tiers, (-1, *_per_token(price.rates)))

    def cost(self, prompt: int, output: int, cached: int = 0) -> float:
        """USD expected for that many tokens, `cached` of the prompt read from the provider's cache."""
        for above, rate_in, rate_out, rate_cached in self.brackets:
            if prompt > above:
                return (prompt - cached) * rate_in + cached * rate_cached + output * rate_out + self.per_request
        return self.per_request


def _per_token(rates: Rates) -> tuple[float, float, float]:
    cached = rates.input if rates.cached_input is None else rates.cached_input
    return float(rates.input) / _MILLION, float(rates.output) / _MILLION, float(cached) / _MILLION


def factor(quality: float) -> float:
    """What the odds of failing are multiplied with at a quality."""
    return exp((SMALL_QUALITY - quality) / QUALITY_PER_E)


# --- who is out, and why ----------------------------------------------------------------------------------------------


def matches(patterns: Iterable[str], model: Model) -> bool:
    """Whether a model is among ids and patterns such as `provider/*`."""
    return any(pattern == model.id or ("*" in pattern and fnmatchcase(model.id, pattern)) for pattern in patterns)


def of_kind(kind: str) -> str:
    """`a chat model`, `an embedding model`."""
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind} model"


def barred(model: Model, capabilities: frozenset[Capability], bounds: Bounds) -> str | None:
    """Why a profile cannot or may not use a model, whatever the size of the request; None where it can."""
    missing = capabilities - model.capabilities
    for out, reason in (
        (model.kind != bounds.kind, f"it is {of_kind(model.kind)}"),
        (not model.priced, "its price is unknown"),
        (model.hidden, "it answers only to its own name"),
        (bounds.only_local and not model.local, "it is not at home, and cloud models are paused"),
        (bounds.free_only and not model.free, "it costs money"),
        (bounds.allow is not None and not matches(bounds.allow, model), "this device may not use it"),
        (bounds.alias_models and not matches(bounds.alias_models, model), "the alias does not name it"),
        (matches(bounds.exclude, model), "it is excluded"),
    ):
        if out:
            return reason
    return f"it cannot do {', '.join(sorted(missing))}" if missing else None


def too_big(model: Model, needs: Needs) -> str | None:
    """Why a request does not fit into a model's window; None where it does, or the window is unknown."""
    if model.context is None or needs.window(model) <= model.context:
        return None
    return f"its window of {model.context} tokens is too small for about {needs.window(model)}"


def too_slow(seen: float | None, limit: float | None) -> str | None:
    """Why a model is too slow for a ceiling on its first token (ms); None where it is not, or has not been `seen`."""
    if limit is None or seen is None or seen <= limit:
        return None
    return f"its first token usually takes {seen:.0f} ms, more than {limit:.0f}"


def too_dear(cost: float, limit: float | None) -> str | None:
    """Why an expected cost (USD) is above the ceiling; None where it is not."""
    if limit is None or cost <= limit:
        return None
    return f"it would cost about ${cost:.6f}, above the ceiling of ${limit:.6f}"


def select(
    table: ModelTable, needs: Needs, constraints: Constraints, at: datetime, latency: Mapping[str, float]
) -> tuple[list[Model], list[Dropped]]:
    """Every model that can and may serve the request, and every other with the reason.

    `at`: UTC, for prices. `latency`: model id to milliseconds until its first token, as far as known.
    """
    kept: list[Model] = []
    dropped: list[Dropped] = []
    for model in table.models:
        reason = (
            barred(model, needs.capabilities, constraints.bounds)
            or too_big(model, needs)
            or too_slow(latency.get(model.id), constraints.max_first_token_ms)
            or _priced_out(model, needs, constraints, at)
        )
        if reason is None:
            kept.append(model)
        else:
            dropped.append(Dropped(model.id, reason))
    return kept, dropped


def _priced_out(model: Model, needs: Needs, constraints: Constraints, at: datetime) -> str | None:
    price = active_price(model, at)
    if price is None:
        return "its price is unknown"
    return too_dear(Candidate(model, price).cost(needs.prompt_tokens, needs.reply(None)), constraints.max_cost)


def ceiling(*limits: Decimal | None) -> float | None:
    """The lowest of some ceilings, as a plain number; None where there is none."""
    known = [limit for limit in limits if limit is not None]
    return float(min(known)) if known else None


# --- short lists ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Candidates that pass the fixed rules: the best of them, and all."""

    best: tuple[Candidate, ...]
    every: tuple[Candidate, ...]


class Shortlists:
    """Short lists of one table, made when first needed; the longest unused go."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table
        self._lists: OrderedDict[tuple[frozenset[Capability], Bounds, int], Shortlist] = OrderedDict()
        self._timed = any(price.valid_from or price.daily for model in table.models for price in model.prices)

    def get(self, capabilities: frozenset[Capability], bounds: Bounds, at: datetime) -> Shortlist:
        """The candidates for these needs and rules at a moment (UTC)."""
        key = (capabilities, bounds, int(at.timestamp()) // _QUARTER if self._timed else 0)
        if key not in self._lists:
            self._lists[key] = self._made(capabilities, bounds, at)
            if len(self._lists) > _KEPT:
                self._lists.popitem(last=False)
        self._lists.move_to_end(key)
        return self._lists[key]

    def _made(self, capabilities: frozenset[Capability], bounds: Bounds, at: datetime) -> Shortlist:
        every = tuple(
            Candidate(model, price)
            for model in self._table.models
            if barred(model, capabilities, bounds) is None and (price := active_price(model, at)) is not None
        )
        return Shortlist(_layers(every), every)


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
    better = in1 < in2 or out1 < out2 or one.quality > other.quality or one.measured > other.measured
    return better or one.id < other.id
