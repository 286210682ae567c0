"""How often answers were caught that something was wrong with, since the start: by model, fault, and whether another replaced it."""

from __future__ import annotations

from typing import Final

from ..core.events import AnswerCaught

MOST: Final = 500
"""Series of their own; what comes later counts for `OTHER`."""

OTHER: Final = "other"
_NAME: Final = "cheaprouter_answers_caught_total"


class CaughtCounts:
    """Counts what is published."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, bool], int] = {}

    def count(self, event: AnswerCaught) -> None:
        key = event.model_id, event.fault, event.replaced
        if key not in self._counts and len(self._counts) >= MOST:
            key = OTHER, event.fault, event.replaced
        self._counts[key] = self._counts.get(key, 0) + 1

    def lines(self) -> list[str]:
        """As Prometheus reads them."""
        told = [f"# HELP {_NAME} Answers that something was wrong with since the start.", f"# TYPE {_NAME} counter"]
        for (model, fault, replaced), count in sorted(self._counts.items()):
            name = model.encode("utf-8", "replace").decode().translate(_ESCAPES)
            told.append(f'{_NAME}{{model="{name}",fault="{fault}",replaced="{str(replaced).lower()}"}} {count}')
        return told


_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
