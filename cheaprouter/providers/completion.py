"""A whole reply, judged."""

from __future__ import annotations

from ..core.models import Usage
from ..core.records import dataclass


@dataclass(slots=True)
class Completion:
    """A whole reply, as bytes for the client, and what it says of itself. `output_characters`: where they were counted."""

    body: bytes
    usage: Usage | None
    finish_reason: str | None
    output_characters: int = 0
