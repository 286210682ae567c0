"""What a refused request asked, as far as it helps to understand the refusal."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ...core.models import Model

_BYTES_PER_TOKEN: Final = 4
"""Of JSON in UTF-8: English text has about four characters a token, Chinese three bytes a character."""

_EMBEDDED: Final = re.compile(rb"[A-Za-z0-9+/=]{512,}")
"""Images and sounds in base64, which are no text."""


class Asked(NamedTuple):
    """`model`: its name upstream. `fullness`: prompt and answer over its window by our estimate, 1 where it is just full, 0 where unknown."""

    model: str = ""
    fullness: float = 0.0


NOT_KNOWN: Final = Asked()


def asked_of(model: Model, body: bytes, max_tokens: int | None) -> Asked:
    """What this body asks of this model, roughly: only for judging a refusal, so without a tokenizer."""
    if not model.context:
        return Asked(model.upstream)
    text = len(_EMBEDDED.sub(b"", body)) / _BYTES_PER_TOKEN
    return Asked(model.upstream, (text + (max_tokens or 0)) / model.context)
