"""Which of the models that can serve a request should: difficulty, quality and expected cost into one order.

The chance that a model fails is that of a small model (the request's difficulty), its odds divided by e for every so many
points of quality above that small model's. From there each profile has its own rule; none looks at latency, or at a clock.
A conversation stays with its model while that pays, and leaves it when it failed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

from ..core.models import Model, Profile, RouteDecision
from ..core.records import dataclass
from .candidates import CONTEXT_MARGIN, Candidate, Constraints, Needs, factor, too_big

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

MOST: Final = 2000
"""Conversations remembered; the longest unused go."""

MEMORY: Final = 3600.0
"""Seconds after which a conversation is forgotten."""

CACHE_LIFE: Final = 300.0
"""Seconds that vendors keep a prompt's prefix in their cache, as most document."""

RETRY_SPAN: Final = 120.0
"""Seconds within which the same request after a failure counts as another try."""

_MIDDLE: Final = 5.0
_SURE: Final = 0.9999


@dataclass(slots=True, eq=False)
class RankedCandidate:
    """A candidate with this request's numbers: cost (USD), expected reply (tokens), quality that counts, place in the order.

    `fail`: the chance that it fails.
    """

    candidate: Candidate
    cost: float
    output: int
    quality: float
    fail: float = 0.0
    rank: tuple[float | str, ...] = ()


def fitting(
    candidates: Iterable[Candidate],
    needs: Needs,
    constraints: Constraints,
    outputs: Mapping[str, int],
    latency: Mapping[str, float],
    cached: tuple[str, int] | None = None,
) -> list[RankedCandidate]:
    """Candidates that the request's size and the ceilings on cost and latency leave, each with its cost.

    `outputs`: tokens that a reply of a model usually has; `latency`: milliseconds until its first token; as far as known.
    `cached`: the id of the model whose provider still has that many tokens of the prompt in its cache.
    """
    prompt, found = needs.prompt_tokens, []
    largest = int(prompt * CONTEXT_MARGIN) + (needs.output_tokens if needs.max_tokens is None else needs.max_tokens)
    held, known = cached if cached is not None else ("", 0)
    guess, slowest, dearest = needs.reply(None), constraints.max_first_token_ms, constraints.max_cost
    for candidate in candidates:
        if candidate.context is not None and candidate.context < largest and too_big(candidate.model, needs):
            continue
        if slowest is not None and latency.get(candidate.id, 0.0) > slowest:
            continue
        usual = outputs.get(candidate.id)
        output = guess if usual is None else needs.reply(usual)
        seen = min(prompt, known) if candidate.id == held else 0
        cost = 0.0 if candidate.free else candidate.cost(prompt, output, seen)
        if dearest is None or cost <= dearest:
            found.append(RankedCandidate(candidate, cost, output, candidate.quality))
    return found


def failing(difficulty: float, multiplier: float) -> float:
    """The chance that a model fails, by the difficulty (that a small one does) and the model's `factor`."""
    level = min(_SURE, max(0.0, difficulty))
    odds = level / (1.0 - level) * multiplier
    return odds / (1.0 + odds)


def weight(cost_quality: float, good: float) -> float:
    """What a failure weighs in USD. `cost_quality`: 0 (cost) .. 10 (quality); `good`: USD that a good model would take."""
    return float((PATIENCE + REPEAT * good) * 10 ** ((cost_quality - _MIDDLE) / STEPS_PER_TENFOLD))


def order(ranked: list[RankedCandidate], profile: Profile, difficulty: float, cost_quality: float) -> None:
    """Sort by a profile's rule, best first; equal ones by quality, then by name."""
    _shade(ranked)
    level = min(_SURE, max(0.0, difficulty))
    base = level / (1.0 - level)
    for one in ranked:
        candidate = one.candidate
        odds = base * (candidate.factor if one.quality == candidate.quality else factor(one.quality))
        one.fail = odds / (1.0 + odds)
    _RULES.get(profile, _by_quality)(ranked, cost_quality)
    ranked.sort(key=_BY_RANK)


def _shade(ranked: Sequence[RankedCandidate]) -> None:
    """Keep guesses from ranking above what was measured: an unmeasured quality counts just below the best measured one."""
    best = max([one.quality for one in ranked if one.candidate.measured], default=None)
    if best is None:
        return
    for one in ranked:
        if one.quality >= best and not one.candidate.measured:
            one.quality = best - 0.01


def _by_expected_loss(ranked: Sequence[RankedCandidate], cost_quality: float) -> None:
    """`auto`: the cost, and what a failure weighs. A good model's cost: the least that one of the best would take."""
    peer = max([one.quality for one in ranked]) - PEER
    lam = weight(cost_quality, min([one.cost for one in ranked if one.quality >= peer]))
    for one in ranked:
        one.rank = (one.cost + lam * one.fail, -one.quality, one.candidate.id)


def _by_cost_above_a_bar(ranked: Sequence[RankedCandidate], _: float) -> None:
    """`eco`: the cheapest that should do; where none should, the likeliest."""
    for one in ranked:
        enough = 1.0 - one.fail >= ECO_BAR
        one.rank = (0, one.cost, -one.quality) if enough else (1, one.fail, one.cost)
        one.rank = (*one.rank, one.candidate.id)


def _by_quality(ranked: Sequence[RankedCandidate], _: float) -> None:
    for one in ranked:
        one.rank = (-one.quality, one.cost, one.candidate.id)


_RULES: Final[Mapping[Profile, Callable[[Sequence[RankedCandidate], float], None]]] = {
    Profile.AUTO: _by_expected_loss,
    Profile.ECO: _by_cost_above_a_bar,
}
_BY_RANK: Final = attrgetter("rank")


def close(held: RankedCandidate, best: RankedCandidate, profile: Profile) -> bool:
    """Whether the model a conversation is on is nearly as good a choice as the best, so that it should stay."""
    if profile is Profile.AUTO:
        return float(held.rank[0]) <= float(best.rank[0]) * STICKY_SLACK
    if profile is Profile.ECO:
        return held.rank[0] == 0 and held.cost <= best.cost * STICKY_SLACK
    return held.quality >= best.quality


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


# --- conversations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pin:
    """The model a conversation was last served by. `quality`: what to be better than, once it `failed`.

    `prompt_tokens`: estimate of the prompt that its provider has seen, uncorrected as the next one will be. `at`: monotonic
    seconds.
    """

    model_id: str
    quality: float
    prompt_tokens: int
    at: float
    failed: bool = False


class StickyStore:
    """Pins by device and conversation, so that two devices' equal words never meet. Bounded."""

    def __init__(self, most: int = MOST) -> None:
        self._pins: OrderedDict[tuple[str, str], Pin] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._pins)

    def find(self, device_id: str, key: str, now: float) -> Pin | None:
        """The conversation's pin, if it is not too old. `now`: monotonic seconds."""
        pin = self._pins.get((device_id, key))
        if pin is None or now - pin.at > MEMORY:
            return None
        return pin

    def remember(self, device_id: str, decision: RouteDecision, model: Model, now: float) -> None:
        """The conversation was served by that model. A model asked for by name pins nothing."""
        self._put(device_id, decision, Pin(model.id, model.quality.value, decision.estimated_prompt, now))

    def failed(self, device_id: str, decision: RouteDecision, now: float) -> None:
        """The chosen model did not answer, or answered badly: the next try should be a better one's."""
        self._put(device_id, decision, Pin(decision.model.id, decision.model.quality.value, 0, now, failed=True))

    def _put(self, device_id: str, decision: RouteDecision, pin: Pin) -> None:
        if decision.named or not decision.conversation_key:
            return
        key = (device_id, decision.conversation_key)
        self._pins[key] = pin
        self._pins.move_to_end(key)
        if len(self._pins) > self._most:
            self._pins.popitem(last=False)
