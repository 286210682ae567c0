"""What the gateway serves: chat today, and whatever a later front door can ask for."""

from __future__ import annotations

from typing import Protocol

from .models import Json


class Operation(Protocol):
    """A checked request, as far as those between the front door and the upstream need to know it.

    `kind`: which models can serve it (`Model.kind`). `body`: the client's own object; nobody changes it in place.
    `max_tokens`, `n`: most tokens of one answer (None: no limit given), and how many answers. `wire`: what the front door
    wants a stream to be made of: `openai_chat`, bytes of that wire, or `events`, see `wire.events`.
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
