"""Say a thing once: a publisher in a loop, or a broker that is away for a day, must not fill the log."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 256


class Once:
    """Logs a warning the first time its key is seen; keys are forgotten oldest first."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._seen: OrderedDict[str, None] = OrderedDict()

    def warning(self, key: str, message: str, *args: object) -> None:
        """Log unless the same key was logged."""
        if key in self._seen:
            self._seen.move_to_end(key)
            return
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self._log.warning(message, *args)

    def again(self, prefix: str = "lost ") -> None:
        """Keys that begin so are news again."""
        for key in [k for k in self._seen if k.startswith(prefix)]:
            del self._seen[key]
