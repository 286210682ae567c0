"""How models write: tokens a second, characters a token, thoughts that are not shown. Learned of whole answers, for those cut short."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from ..books.rows import INDEX, Row
from ..core.models import Capability, Model, Usage
from ..core.records import dataclass

NOTICED: Final = 0.1
"""Seconds for which an upstream goes on writing until it knows that nobody reads."""

_WEIGHT: Final = 0.2
"""Of the newest answer in the moving averages: the last ten or so count."""

_MOST: Final = 1000
_LEAST_TOKENS: Final = 20
_LEAST_SECONDS: Final = 0.2
_LEAST_CHARACTERS: Final = 80
_TOKENS_A_CHARACTER: Final = 0.25
_MODEL, _LATENCY, _ATTEMPTS = (INDEX[name] for name in ("model_id", "latency_ms", "attempts"))
_COMPLETION, _REASONING = INDEX["completion_tokens"], INDEX["reasoning_tokens"]
_CLOUD_RATE: Final = 80.0
_LOCAL_RATE: Final = 10.0
"""Tokens a second where nothing was seen yet: what usual models write in a quiet hour."""

_FAST: Final = 500.0
"""Tokens a second above which one answer alone is not believed: it may have come in a burst."""


@dataclass(slots=True)
class Manner:
    """Of one model. `rate`: tokens a second from sending to the end, `usual`: tokens of an answer, both 0 where unknown.

    `density`: tokens a character. `hidden`: tokens of thoughts that are not shown.
    """

    rate: float = 0.0
    usual: float = 0.0
    density: float = _TOKENS_A_CHARACTER
    hidden: float = 0.0


class Pace:
    """Of at most a thousand models; the longest unused go."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Manner] = OrderedDict()

    def answered(self, model_id: str, usage: Usage, seconds: float, characters: int) -> None:
        """A whole answer came, that many seconds after it was asked for. `characters` 0: not counted. Short ones tell little."""
        tokens = usage.completion_tokens
        if tokens < _LEAST_TOKENS or usage.estimated:
            return
        known = self._known.get(model_id)
        if known is None:
            known = self._known[model_id] = Manner()
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        known.usual += (tokens - known.usual) * (_WEIGHT if known.usual else 1.0)
        if seconds >= _LEAST_SECONDS:
            rate = tokens / seconds
            known.rate = rate if not known.rate else known.rate + _WEIGHT * (rate - known.rate)
        if characters >= _LEAST_CHARACTERS:
            shown = max(1, tokens - usage.reasoning_tokens)
            density = min(4.0, max(0.05, shown / characters))
            known.density += _WEIGHT * (density - known.density)
        known.hidden += _WEIGHT * (usage.reasoning_tokens - known.hidden)

    def restore(self, rows: Iterable[Row]) -> None:
        """Begin with what the books tell of whole answers, oldest first. How dense a text was is not in them."""
        for row in rows:
            if row[_ATTEMPTS] == 1:
                told = Usage(completion_tokens=row[_COMPLETION], reasoning_tokens=row[_REASONING])
                self.answered(row[_MODEL], told, row[_LATENCY] / 1000, 0)

    def rate(self, model: Model) -> int:
        """Tokens a second, at least one."""
        known = self._known.get(model.id)
        if known is None or known.rate < 1:
            return int(_LOCAL_RATE if model.local else _CLOUD_RATE)
        return int(known.rate)

    def usual(self, model: Model) -> int:
        """Tokens that its answers have; 0 where that is not known."""
        known = self._known.get(model.id)
        return 0 if known is None else round(known.usual)

    def written(self, model: Model, characters: int, seconds: float, wrote: float = 0.0, *, whole: bool) -> int:
        """Tokens that an answer will have of which so many characters were seen in so many seconds, in `wrote` of them.

        Of one that is not `whole` more was written than came, and of thoughts that are not shown what the time allowed.
        """
        known = self._known.get(model.id) or Manner()
        by_time = (known.rate or (_LOCAL_RATE if model.local else _CLOUD_RATE)) * (seconds + NOTICED)
        if not characters:
            return 0 if whole else round(by_time)
        thinks = known.hidden or Capability.REASONING in model.capabilities
        seen = known.density * characters
        if not whole:
            # A rate from its sending on is less than that of its writing, most of all where answers are short. The first
            # piece was there at the beginning.
            own = min(_FAST, seen / (wrote + NOTICED)) if wrote >= _LEAST_SECONDS else 0.0
            seen += NOTICED * max(known.rate, own)
        return round(seen + min(known.hidden, by_time)) if thinks else round(seen)
