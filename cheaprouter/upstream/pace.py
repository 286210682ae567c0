"""How models write: when they begin, tokens a second, thoughts that are not shown. Learned of whole answers, for those cut short."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import field
from typing import Final

from ..books.rows import INDEX, Row
from ..core.models import Capability, Model, Usage
from ..core.records import dataclass

NOTICED: Final = 0.1
"""Seconds for which an upstream goes on writing until it knows that nobody reads: half a round trip, and its server's next look."""

LATE: Final = 1.0
"""Seconds since the last piece of an answer that was dropped in which more may have come that nobody has read yet: after a longer
silence there is none."""

_WEIGHT: Final = 0.2
"""Of the newest answer in the moving averages: the last ten or so count."""

_MOST: Final = 1000
_LEAST_TOKENS: Final = 20
_LEAST_SECONDS: Final = 0.2
_LEAST_CHARACTERS: Final = 80
_TOKENS_A_CHARACTER: Final = 0.25
_MODEL, _PROVIDER, _ATTEMPTS = (INDEX[name] for name in ("model_id", "provider", "attempts"))
_LATENCY, _FIRST = (INDEX[name] for name in ("latency_ms", "first_token_ms"))
_COMPLETION, _REASONING = INDEX["completion_tokens"], INDEX["reasoning_tokens"]
_CLOUD_RATE: Final = 80.0
_LOCAL_RATE: Final = 10.0
"""Tokens a second where nothing was seen yet: what usual models write in a quiet hour."""

_FAST: Final = 500.0
"""Tokens a second above which one answer alone is not believed: it may have come in a burst."""

_WAIT: Final = 0.5
"""Seconds until a model writes, where nothing is known of any of its provider: that much silence is no sign of thoughts."""

_SILENT: Final = 1.35
"""So many times what is usual at its provider, and `_WAIT` / 5 more, a model's silence must be that is taken for thoughts."""

_ENOUGH: Final = 5
"""Answers, of a model and of its provider, before their silences are compared. Of those the last twenty or so count."""

_UNSEEN: Final = 64
"""Tokens, beside as many as were seen, that are billed more and no sign of thoughts yet: an end, a role, names of tools."""

_THOUGHT: Final = 4
"""Times what is shown that such thoughts may be, where nobody says that the model has any."""


@dataclass(slots=True)
class Silence:
    """Seconds before the first token: an average that one answer moves little."""

    count: int = 0
    value: float = 0.0

    def add(self, seconds: float) -> None:
        """Take one more."""
        self.count += 1
        self.value += (seconds - self.value) / min(self.count, 20)


@dataclass(slots=True)
class Manner:
    """Of one model: moving averages, 0 where nothing is known.

    `rate`: tokens a second from sending to the end. `usual`: tokens of an answer. `density`: tokens a character. `hidden`:
    tokens of thoughts that are not shown.
    Of answers that were seen as they were written: `shown` tokens in `wrote` seconds, the first of them after `first` seconds.
    `silence`: of those that nobody counted.
    """

    rate: float = 0.0
    usual: float = 0.0
    density: float = _TOKENS_A_CHARACTER
    hidden: float = 0.0
    shown: float = 0.0
    wrote: float = 0.0
    first: float = 0.0
    silence: Silence = field(default_factory=Silence)

    @property
    def speed(self) -> float:
        """Tokens a second while it writes: of sums, since one answer may have come in a burst."""
        return self.shown / self.wrote if self.wrote else self.rate

    def see(self, shown: float, wrote: float, first: float) -> None:
        """Take one that was seen as it was written."""
        weight = _WEIGHT if self.wrote else 1.0
        self.shown += weight * (shown - self.shown)
        self.wrote += weight * (wrote - self.wrote)
        self.first += weight * (first - self.first)

    @property
    def wait(self) -> float:
        """Seconds until it writes its first token, be that a thought."""
        return max(0.0, self.first - self.hidden * self.wrote / self.shown) if self.wrote else 0.0


class Pace:
    """Of at most a thousand models; the longest unused go."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Manner] = OrderedDict()
        self._usual: dict[str, Silence] = {}

    # --- learning ------------------------------------------------------------------------------------------------

    def answered(
        self, model_id: str, provider: str, usage: Usage, seconds: float, characters: int, wrote: float = 0.0
    ) -> None:
        """A whole answer came, that many seconds after it was asked for, and was seen to be written for the last `wrote` of them.

        `characters` 0: not counted. Short ones tell little, our own estimates nothing.
        """
        tokens = usage.completion_tokens
        if tokens < _LEAST_TOKENS or usage.estimated:
            return
        known = self._known.get(model_id) or self._new(model_id)
        hidden = _hidden(usage, known.density * characters)
        shown = max(1, tokens - hidden)
        known.usual += (tokens - known.usual) * (_WEIGHT if known.usual else 1.0)
        if seconds >= _LEAST_SECONDS:
            rate = tokens / seconds
            known.rate = rate if not known.rate else known.rate + _WEIGHT * (rate - known.rate)
        if characters >= _LEAST_CHARACTERS:
            density = min(4.0, max(0.05, shown / characters))
            known.density += _WEIGHT * (density - known.density)
        known.hidden += _WEIGHT * (hidden - known.hidden)
        if wrote >= _LEAST_SECONDS:
            known.see(shown, wrote, seconds - wrote)
            self._wait(provider, max(0.0, seconds - wrote - hidden / known.speed))

    def _wait(self, provider: str, seconds: float) -> None:
        """So long a model of that provider was silent without thinking. There are only as many as are configured."""
        usual = self._usual.get(provider)
        if usual is None:
            usual = self._usual[provider] = Silence()
        usual.add(seconds)

    def _new(self, model_id: str) -> Manner:
        known = self._known[model_id] = Manner()
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return known

    def restore(self, rows: Iterable[Row]) -> None:
        """Begin with what the books tell of whole answers, oldest first. How dense a text was is not in them."""
        for row in rows:
            if row[_ATTEMPTS] == 1:
                told = Usage(completion_tokens=row[_COMPLETION], reasoning_tokens=row[_REASONING])
                seconds, first = row[_LATENCY] / 1000, row[_FIRST]
                wrote = 0.0 if first is None else seconds - first / 1000
                self.answered(row[_MODEL], row[_PROVIDER], told, seconds, 0, wrote)

    # --- telling -------------------------------------------------------------------------------------------------

    def rate(self, model: Model) -> tuple[int, float]:
        """Tokens a second, at least one; and the seconds until it begins to write them."""
        known = self._known.get(model.id)
        if known is None or (speed := known.speed) < 1:
            return int(_LOCAL_RATE if model.local else _CLOUD_RATE), _WAIT / 2
        return int(speed), known.wait

    def usual(self, model: Model) -> int:
        """Tokens that its answers have; 0 where that is not known."""
        known = self._known.get(model.id)
        return 0 if known is None else round(known.usual)

    def silent(self, model: Model, seconds: float) -> int:
        """Tokens that it wrote in so many seconds from being asked, of which nothing was seen."""
        rate, wait = self.rate(model)
        return round(rate * max(0.0, seconds + NOTICED - wait))

    def cut(self, model: Model, characters: int, before: float, wrote: float, late: float | None) -> int:
        """Tokens that an answer has which came to no end, of which so many characters were seen, the first after `before` seconds.

        `wrote`: seconds from then to the last. `late`: seconds since, where it was dropped: more was written than came. None
        where it ended by itself. With it come thoughts that are not shown, by the time before the first.
        """
        known = self._known.get(model.id) or Manner()
        seen = known.density * characters
        if late is not None:
            # The first piece was there at the beginning. A rate from its sending on is less than that of its writing.
            own = min(_FAST, seen / (wrote + NOTICED)) if wrote >= _LEAST_SECONDS else 0.0
            seen += (NOTICED + (late if late <= LATE else 0.0)) * max(known.speed, own)
        if known.hidden:
            thoughts = known.speed * max(0.0, before - known.wait) if known.wrote else known.hidden
            return round(seen + min(2 * known.hidden, thoughts))
        return round(seen + self._unseen(model, seen, before, wrote))

    def whole(self, model: Model, characters: int, before: float, wrote: float) -> int:
        """Tokens of a whole answer that nobody counted, as for `cut`. How fast it came is learned: nothing else will tell it."""
        known = self._known.get(model.id) or self._new(model.id)
        shown = known.density * characters
        if shown >= _LEAST_TOKENS and wrote >= _LEAST_SECONDS:
            known.see(shown, wrote, before)
            known.silence.add(before)
            if Capability.REASONING not in model.capabilities:  # else how long it was silent says nothing of others
                self._wait(model.provider, before)
        tokens = shown + self._unseen(model, shown, before, wrote)
        known.usual += (tokens - known.usual) * (_WEIGHT if known.usual else 1.0)
        return round(tokens)

    def _unseen(self, model: Model, shown: float, before: float, wrote: float) -> float:
        """Tokens of thoughts that nobody shows or counts: by how much longer it was silent than is usual at its provider.

        Where nobody says that it thinks, only of one that is clearly slower to begin on average, by that average, and not many
        times what it shows: single answers wait for many reasons.
        """
        known, usual = self._known.get(model.id) or Manner(), self._usual.get(model.provider)
        base = usual.value if usual is not None and usual.count >= _ENOUGH else _WAIT
        speed = min(_FAST, shown / wrote) if wrote >= _LEAST_SECONDS else known.speed or self.rate(model)[0]
        if Capability.REASONING in model.capabilities:
            return speed * max(0.0, before - base - (0.0 if wrote else shown / speed))
        own = known.silence
        if usual is None or min(own.count, usual.count) < _ENOUGH or own.value < _SILENT * base + _WAIT / 5:
            return 0.0
        return min(speed * (own.value - base), _THOUGHT * shown)


def _hidden(usage: Usage, seen: float) -> int:
    """Tokens of thoughts that were not shown, of an answer of which so many were `seen`, 0 where nobody looked."""
    tokens, told = usage.completion_tokens, usage.reasoning_tokens
    if told:
        return 0 if seen > tokens - told / 2 else told
    return tokens - round(seen) if seen and tokens > 2 * seen + _UNSEEN else 0
