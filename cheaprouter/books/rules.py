"""What each value of the small tables must be, wherever it comes from: the database, or the second file of keys and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

_TEXT: Final = "text"
_JSON: Final = "json"
_MAYBE: Final = "text or nothing"
_TIME: Final = "seconds"
_MAYBE_TIME: Final = "seconds or nothing"
_COUNT: Final = "count"
RULES: Final[Mapping[str, Mapping[str, str]]] = {
    "setting": {
        "scope": _TEXT, "name": _TEXT, "value": _JSON, "baseline": _JSON, "source": _TEXT, "changed_at": _TIME,
    },
    "device": {"id": _TEXT, "slug": _TEXT, "name": _MAYBE, "first_seen": _TIME, "last_seen": _TIME},
    "device_key": {
        "hash": _TEXT, "device_id": _TEXT, "hint": _TEXT, "created_at": _TIME, "expires_at": _MAYBE_TIME,
        "used_at": _MAYBE_TIME, "days": _MAYBE_TIME,
    },
    "forgiven": {"scope": _TEXT, "day": _COUNT, "day_amount": _COUNT, "month_amount": _COUNT},
}  # fmt: skip
"""What each value of the small tables must be. All of a table is read at start: one bad value must not take the rest along."""

_SECONDS: Final = 253_402_300_800
_MOST: Final = 2**61


def fits(value: Any, rule: str) -> bool:
    """Whether a value is what its rule says."""
    if rule == _MAYBE_TIME and value is None:
        return True
    if rule in {_TIME, _MAYBE_TIME, _COUNT}:
        return isinstance(value, int) and 0 <= value < (_MOST if rule == _COUNT else _SECONDS)
    if rule == _JSON and isinstance(value, str):
        try:
            orjson.loads(value)
        except ValueError:
            return False
    return isinstance(value, str) or (rule == _MAYBE and value is None)
