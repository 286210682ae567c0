"""What requests usually turn out to be: output tokens of a model, and how far prompt estimates are off."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict, deque
from contextlib import suppress
from typing import Final

from ..core.models import Usage
from ..core.records import dataclass
from . import totals as books
from .database import Database
from .rows import INDEX, Row

WEIGHT: Final = 0.05
"""How much one request moves an average once there are some: the last twenty or so count."""

ENOUGH: Final = 3
"""Requests seen before an average is believed."""

RECENT: Final = 500
"""Requests looked at after a restart."""

LONG: Final = 0.95
"""Which part of the replies are not longer than one that is called long."""

_SPARE: Final = 32
"""Tokens, and a quarter, by which a reply may be longer than a long one until it is out of the ordinary."""

_LAST: Final = 40
"""Replies of which the long ones are known."""

_HIDES: Final = 20
"""Replies in a row that must show all they are counted by, until a model is taken not to hide its thoughts any more."""

_UNSEEN: Final = 64
"""Tokens more than were seen that say nothing yet: an end, a role, names of tools."""

_MOST_DENSE: Final = 1.5
"""By how much our count of a reply's tokens is over its upstream's, at most."""

_SOME: Final = 200
"""Tokens of a reply from which on the two counts are worth comparing."""

_FULL: Final = round(1 / WEIGHT)
_MOST: Final = 1000
_LONGEST: Final = 2**40
_LEAST_PROMPT: Final = 20
"""Shorter prompts say little about an estimate: a chat template's own tokens dominate them."""

_STATUS, _MODEL, _COMPLETION = (INDEX[name] for name in ("status", "model_id", "completion_tokens"))
_ESTIMATED, _CACHED = INDEX["estimated"], INDEX["cached"]


@dataclass(slots=True)
class _Mean:
    count: int = 0
    value: float = 0.0

    def add(self, sample: float) -> bool:
        """Take a sample; whether there were enough to believe the average."""
        self.count += 1
        self.value += (sample - self.value) * (WEIGHT if self.count > _FULL else 1 / self.count)
        return self.count >= ENOUGH


Replies = tuple[str, str, bool]
"""A model's id, what it is asked for (`chat`, …), and whether for several replies at once."""


class Habits:
    """Moving averages for each model; at most a thousand models, the longest unused go.

    `outputs`: output tokens that a reply of a model usually has. `corrections`: by what to multiply an estimate of a prompt
    to get what the model's upstream counts. Both by model id, and only once they are believed. `long`: output tokens of which
    few replies have more, each for itself where there are several. `hiding`: above 0 for a model that is billed for more than
    it shows, as those are that keep their thoughts; absent where nobody knows. `dense`: by how much
    our count of a model's output is over its upstream's, 1 to 1.5; absent where nobody knows.
    """

    def __init__(self) -> None:
        self._means: OrderedDict[str, tuple[_Mean, _Mean]] = OrderedDict()
        self._last: OrderedDict[Replies, deque[int]] = OrderedDict()
        self.hiding: dict[str, int] = {}
        self.dense: dict[str, float] = {}
        self.outputs: dict[str, int] = {}
        self.corrections: dict[str, float] = {}
        self.long: dict[Replies, int] = {}

    def restore(self, database: Database) -> list[Row]:
        """Begin with the output of the last requests; what their prompts were taken for is not in the books.

        Returns those that tell something, oldest first: answers that were counted by their upstreams.
        """
        rows: list[Row] = []
        with suppress(sqlite3.Error):
            for row in reversed(database.read_sync(lambda c: books.recent(c, RECENT))):
                if row[_STATUS] == 200 and row[_MODEL] and not row[_CACHED] and not row[_ESTIMATED]:
                    self.observe(row[_MODEL], 0, Usage(completion_tokens=row[_COMPLETION]))
                    rows.append(row)
        return rows

    def observe(
        self,
        model_id: str,
        estimated_prompt: int,
        usage: Usage,
        *,
        kind: str = "chat",
        n: int = 1,
        seen: int = 0,
    ) -> None:
        """Learn from a request what the upstream counted; counts of our own teach nothing.

        `estimated_prompt`: the estimate as it was before any correction. Fed with the corrected one, the correction would
        settle at the square root of the truth. `kind`, `n`: see `Replies`. `seen`: tokens by what was seen of the reply, 0
        where nobody looked.
        """
        if usage.estimated:
            return
        means = self._means.get(model_id)
        if means is None:
            means = self._new(model_id)
        self._means.move_to_end(model_id)
        output, ratio = means
        if usage.completion_tokens and output.add(usage.completion_tokens):
            self.outputs[model_id] = round(output.value)
        if usage.completion_tokens:
            self._note((model_id, kind, n > 1), -(-usage.completion_tokens // n))
        if seen:
            hidden = usage.completion_tokens > 2 * seen + _UNSEEN
            self.hiding[model_id] = _HIDES if hidden else max(0, self.hiding.get(model_id, 0) - 1)
            if usage.completion_tokens >= _SOME:
                self._compare(model_id, seen / usage.completion_tokens)
        if estimated_prompt >= _LEAST_PROMPT and usage.prompt_tokens:
            off = usage.prompt_tokens / estimated_prompt
            if ratio.add(off if 0.25 <= off <= 4.0 else min(4.0, max(0.25, off))):
                self.corrections[model_id] = ratio.value

    def _note(self, replies: Replies, size: int) -> None:
        """Take the size of one more; of the last ones it is known which is a long one, once there are enough."""
        last = self._last.get(replies)
        if last is None:
            last = self._last[replies] = deque(maxlen=_LAST)
            if len(self._last) > _MOST:
                gone, _ = self._last.popitem(last=False)
                self.long.pop(gone, None)
        else:
            self._last.move_to_end(replies)
        last.append(min(_LONGEST, size))
        if (count := len(last)) >= ENOUGH:
            long = sorted(last)[int(count * LONG) if count > _HIDES else count - 1]
            self.long[replies] = long + long // 4 + _SPARE

    def _compare(self, model_id: str, ratio: float) -> None:
        """Our count of a reply by its upstream's. What was hidden, or written densely, lowers it at once: it must not be too high."""
        ratio = min(_MOST_DENSE, max(1.0, ratio))
        before = self.dense.get(model_id, ratio)
        self.dense[model_id] = ratio if ratio < before else before + (ratio - before) * WEIGHT

    def _new(self, model_id: str) -> tuple[_Mean, _Mean]:
        means = self._means[model_id] = (_Mean(), _Mean())
        if len(self._means) > _MOST:
            gone, _ = self._means.popitem(last=False)
            self.outputs.pop(gone, None)
            self.corrections.pop(gone, None)
            self.hiding.pop(gone, None)
            self.dense.pop(gone, None)
        return means
