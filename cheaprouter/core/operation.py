"""What the gateway serves: an operation of some kind, whatever door it came in by."""

from __future__ import annotations

from typing import Protocol

from .models import Json


class Operation(Protocol):
    """A checked request, as far as letting in, choosing, sending and booking it need to know.

    `kind`: which kind of models can serve it (`chat`, …). `model`: as asked for. `body`: what is asked; nobody changes it in
    place. `stream`: the answer is wanted in pieces, in the door's `wire`: `openai_chat` (bytes) or `events` (canonical ones).
    `include_usage`: the client wants to be told the usage at a stream's end. `max_tokens`: the client's ceiling on one
    reply; `n`: how many replies.
    """

    @property
    def kind(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def body(self) -> Json: ...
    @property
    def stream(self) -> bool: ...
    @property
    def include_usage(self) -> bool: ...
    @property
    def max_tokens(self) -> int | None: ...
    @property
    def n(self) -> int: ...
    @property
    def wire(self) -> str: ...
