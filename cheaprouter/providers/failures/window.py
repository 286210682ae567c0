"""How much of a model's window a request takes, roughly: only for judging a refusal, so without a tokenizer."""

from __future__ import annotations

import re
from typing import Final

_BYTES_PER_TOKEN: Final = 4
"""Of JSON in UTF-8: English text has about four characters a token, Chinese three bytes a character."""

_EMBEDDED: Final = re.compile(rb"[A-Za-z0-9+/=]{512,}")
"""Images and sounds in base64, which are no text."""


def fullness(body: bytes, max_tokens: int | None, window: int | None) -> float:
    """Prompt and answer over the window, 1 where it is just full; 0 where the window is unknown."""
    if not window:
        return 0.0
    text = len(_EMBEDDED.sub(b"", body)) / _BYTES_PER_TOKEN
    return (text + (max_tokens or 0)) / window
