"""Logging to stderr, with every registered secret blotted out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"
_SHORTEST: Final = 6
"""Shorter values are not masked: they would blot out ordinary words, and are no keys."""

_KEY_SHAPES: Final = re.compile(r"\b(?:cr|sk|gsk|brk_live|xai|nvapi)[-_][A-Za-z0-9_\-]{12,}")
"""Keys by their looks, for those that nobody registered: a caller's own, say."""


class Redactor(logging.Filter):
    """Replaces secrets in a record's text before any handler sees it."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secrets: Iterable[str]) -> None:
        """Add values that no log line may show."""
        self._secrets.update(s for s in secrets if len(s) >= _SHORTEST)
        ordered = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def clean(self, text: str) -> str:
        """The same text without secrets; for errors and pages as well as logs."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        return _KEY_SHAPES.sub(MASK, text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the rendered message and the traceback, and let the record pass."""
        record.msg, record.args = self.clean(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.clean(record.exc_text)
        return True


def setup(level: str, redactor: Redactor) -> None:
    """Send everything to stderr at `level` (Python's names, lower case allowed), through the redactor."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    handler.addFilter(redactor)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # Broken HTTP from port scanners is not worth a traceback each; what our handlers raise is logged by `api.errors`.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
