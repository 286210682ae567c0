"""What we say ourselves, as JSON: that can always be written, whatever words of others are in it."""

from __future__ import annotations

import json
from typing import Any

import orjson


def written(value: Any) -> bytes:
    """JSON in UTF-8. Halves of characters, as odd bytes in headers and addresses become, are told as question marks."""
    try:
        return orjson.dumps(value, default=str)
    except orjson.JSONEncodeError:
        return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace")
