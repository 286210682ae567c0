"""What a request cost before it was answered: tries that came to nothing and are billed all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..core.models import Model, Usage
from ..core.records import dataclass

_SURE: Final = {"free": 0, "cache": 1, "reported": 2, "computed": 3, "disputed": 4, "estimated": 5, "unknown": 6}
"""On whose word a cost is, the surest first."""


@dataclass(slots=True)
class Tries:
    """Sums of them. `model`: the last that cost something. `paid`: pico-dollars, of an unknown cost what is known of it."""

    model: Model
    count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    paid: int = 0
    source: str = "free"

    def add(self, model: Model, usage: Usage, source: str, paid: int) -> None:
        """Another one; `source` as `billed` tells it."""
        self.model = model
        self.count += 1
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cached_tokens += usage.cached_tokens
        self.cache_write_tokens += usage.cache_write_tokens
        self.reasoning_tokens += usage.reasoning_tokens
        self.estimated = self.estimated or usage.estimated
        self.paid += paid
        self.source = _less_sure(self.source, source)

    def cost_with(self, amount: int | None, source: str) -> tuple[int | None, str]:
        """What all of it cost, and on whose word: that of the least sure part. None where nobody knows what the answer did."""
        return None if amount is None else amount + self.paid, _less_sure(self.source, source)

    def usage_with(self, answer: Usage) -> Usage:
        """The tokens of all of it."""
        return replace(
            answer,
            prompt_tokens=self.prompt_tokens + answer.prompt_tokens,
            completion_tokens=self.completion_tokens + answer.completion_tokens,
            cached_tokens=self.cached_tokens + answer.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + answer.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + answer.reasoning_tokens,
            estimated=self.estimated or answer.estimated,
        )


def _less_sure(one: str, other: str) -> str:
    return max(one, other, key=lambda source: _SURE.get(source, 0))
