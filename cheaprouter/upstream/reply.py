"""What the pool gives back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from ..core.models import Attempt, Model, Usage
from ..wire.events import Piece

TopUp = Callable[[Model], None]
"""Called before a stand-in is tried; raises a LimitError where its price cannot be reserved."""


@dataclass(slots=True)
class WholeReply:
    """A complete answer. `usage` None: the upstream told none."""

    model: Model
    attempts: tuple[Attempt, ...]
    body: bytes
    usage: Usage | None
    finish_reason: str | None = None
    output_characters: int = 0


@dataclass(slots=True)
class StreamReply:
    """An answer that is coming. Its first content is at hand, so the status is known to be 200.

    Iterate `chunks` to the end, or `close` it. `usage`, `finish_reason`, `error_code` and `output_characters` grow
    while it runs; an `error_code` means that an error went out last. The pieces are what the request's `wire` says.
    """

    model: Model
    attempts: tuple[Attempt, ...]
    chunks: AsyncIterator[Piece]
    close: Callable[[], None]
    usage: Usage | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    output_characters: int = 0
    extra: dict[str, str] = field(default_factory=dict)


class UpstreamFailed(Exception):  # noqa: N818 - it is the outcome of a request, raised once, not an error of ours
    """No candidate answered. `attempts`: all that was tried; `error`: what the client should see."""

    def __init__(self, attempts: tuple[Attempt, ...], error: Exception) -> None:
        super().__init__(str(error))
        self.attempts = attempts
        self.error = error
