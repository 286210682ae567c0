"""Which models can and may serve a request, by hard facts; why each of the others cannot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from ..catalog.prices import active_price
from ..catalog.table import ModelTable
from ..core.ids import other_spelling
from ..core.models import Capability, Dropped, Model
from ..core.records import dataclass
from .candidate import Candidate
from .features import Features

CONTEXT_MARGIN: Final = 1.15
"""How far a prompt may turn out longer than its estimate, which is made without the model's tokenizer."""


@dataclass(slots=True, eq=False)
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
        guess, most = self.output_tokens if usual is None else (self.output_tokens + usual) // 2, self.max_tokens
        return self.replies * (guess if most is None or 1 <= guess <= most else max(1, min(guess, most)))

    def largest(self) -> int:
        """Tokens that a window must hold at most: the prompt with a margin, and the whole reply."""
        reply = self.output_tokens if self.max_tokens is None else self.max_tokens
        return int(self.prompt_tokens * CONTEXT_MARGIN) + reply

    def window(self, model: Model) -> int:
        """Tokens that a model's window must hold: no model writes a longer reply than it can."""
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


# --- who is out, and why ----------------------------------------------------------------------------------------------


def matches(patterns: Collection[str], model: Model) -> bool:
    """Whether a model is among ids and patterns such as `provider/*`."""
    names = (model.id, other_spelling(model.id)) if patterns else ()
    return any(pattern in names or ("*" in pattern and fnmatchcase(model.id, pattern)) for pattern in patterns)


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
