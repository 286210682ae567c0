"""What a refused request asked, as far as it helps to understand the refusal."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import orjson

from ...core.models import Json, Model

_BYTES_PER_TOKEN: Final = 4
"""Of JSON in UTF-8: English text has about four characters a token, Chinese three bytes a character."""

_EMBEDDED: Final = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]{512,}")
"""Images and sounds in base64, which are no text."""


_LONGEST: Final = 16 * 1024 * 1024
"""Bytes of a request that are looked at: with pictures of more, a refusal is understood by its own words."""


class Asked(NamedTuple):
    """`model`: its name upstream. `fullness`: prompt and answer over its window by our estimate, 1 where it is just full, 0 where unknown.

    `body`: what was sent, empty where that is unknown.
    """

    model: str = ""
    fullness: float = 0.0
    body: bytes = b""

    def decoded(self) -> Json | None:
        """What was sent, None where that is unknown."""
        sent = orjson.loads(self.body) if 0 < len(self.body) <= _LONGEST else None
        return sent if isinstance(sent, dict) else None


NOT_KNOWN: Final = Asked()


def asked_of(model: Model, body: bytes, max_tokens: int | None) -> Asked:
    """What this body asks of this model, roughly: only for judging a refusal, so without a tokenizer."""
    if not model.context or len(body) > _LONGEST:
        return Asked(model.upstream, body=body)
    text = len(_EMBEDDED.sub(b"", body)) / _BYTES_PER_TOKEN
    return Asked(model.upstream, (text + (max_tokens or 0)) / model.context, body)
