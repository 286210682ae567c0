"""What requests usually turn out to be: output tokens of a model, and how far prompt estimates are off."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from contextlib import suppress
from typing import Final

from ..core.models import Usage
from . import totals as books
from .database import Database
from .rows import from_row

WEIGHT: Final = 0.05
"""How much one request moves an average once there are some: the last twenty or so count."""

ENOUGH: Final = 3
"""Requests seen before an average is believed."""

RECENT: Final = 500
"""Requests looked at after a restart."""

_MOST: Final = 1000
_LEAST_PROMPT: Final = 20
"""Shorter prompts say little about an estimate: a chat template's own tokens dominate them."""


class _Mean:
    __slots__ = ("count", "value")

    def __init__(self) -> None:
        self.count = 0
        self.value = 0.0

    def add(self, sample: float) -> None:
        self.count += 1
        self.value += (sample - self.value) * max(WEIGHT, 1 / self.count)


class Averages:
    """Moving averages for each model; at most a thousand models, the longest unused go.

    `outputs`: model id to output tokens that a reply of it usually has. `corrections`: model id to what a prompt estimate is
    multiplied with to get what its upstream counts. Both only once there were a few.
    """

    def __init__(self) -> None:
        self._models: OrderedDict[str, tuple[_Mean, _Mean]] = OrderedDict()
        self.outputs: dict[str, int] = {}
        self.corrections: dict[str, float] = {}

    def restore(self, database: Database) -> None:
        """Begin with the output of the last requests; what their prompts were taken for is not in the books."""
        with suppress(sqlite3.Error):
            for row in reversed(database.read_sync(lambda c: books.recent(c, RECENT))):
                record = from_row(row)
                if record.status == 200 and record.model_id and not record.cached:
                    self.observe(record.model_id, 0, record.usage)

    def observe(self, model_id: str, estimated_prompt: int, usage: Usage) -> None:
        """Learn from a request: what its prompt was taken for, and what the upstream counted. Counts of our own teach nothing."""
        if usage.estimated:
            return
        means = self._models.get(model_id)
        if means is None:
            means = self._models[model_id] = (_Mean(), _Mean())
            if len(self._models) > _MOST:
                gone, _ = self._models.popitem(last=False)
                self.outputs.pop(gone, None)
                self.corrections.pop(gone, None)
        else:
            self._models.move_to_end(model_id)
        output, ratio = means
        if usage.completion_tokens:
            output.add(usage.completion_tokens)
            if output.count >= ENOUGH:
                self.outputs[model_id] = round(output.value)
        if estimated_prompt >= _LEAST_PROMPT and usage.prompt_tokens:
            ratio.add(min(4.0, max(0.25, usage.prompt_tokens / estimated_prompt)))
            if ratio.count >= ENOUGH:
                self.corrections[model_id] = ratio.value

    def output(self, model_id: str) -> int | None:
        """Output tokens that a reply of the model usually has; None until there were a few."""
        return self.outputs.get(model_id)

    def correction(self, model_id: str) -> float:
        """By what to multiply a prompt estimate to get what the model's upstream counts; 1 until that is known."""
        return self.corrections.get(model_id, 1.0)
