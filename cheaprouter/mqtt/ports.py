"""What this room needs of the others: the facade over everything that is no chat, and the line of a chat request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from ..core.errors import CheapRouterError
from ..core.models import Caller, Json
from ..wire.events import Piece
from ..wire.openai_chat.request import ChatRequest


class ControlPort(Protocol):
    """States, settings and reports. Everything but the coroutines returns at once and raises CheapRouterError."""

    @property
    def instance_id(self) -> str:
        """A persistent id of this installation, hexadecimal."""
        ...

    @property
    def version(self) -> str: ...

    @property
    def latest_version(self) -> str:
        """What the app store has; "" where nobody knows."""
        ...

    @property
    def currency(self) -> str:
        """ISO 4217 code that costs are shown in."""
        ...

    def hub_state(self) -> Json: ...

    def device_state(self, device_id: str) -> Json: ...

    def device_ids(self) -> Sequence[str]: ...

    def slug(self, device_id: str) -> str:
        """A device's name in topics, `[a-z0-9_]`, the same for ever, no two alike."""
        ...

    def device_for_slug(self, slug: str) -> str | None: ...

    def device_name(self, device_id: str) -> str:
        """For people."""
        ...

    def options(self, setting: str, device_id: str | None) -> Sequence[str]:
        """What a select may show for `profile` or `model`."""
        ...

    def set_hub(self, name: str, value: Any, source: str = "api") -> Any:
        """Raises SettingError saying what is allowed. None: back to what the configuration says."""
        ...

    def set_device(self, device_id: str, name: str, value: Any, source: str = "api") -> Any: ...

    def reset_budget(self, device_id: str | None) -> None: ...

    def clear_cooldowns(self) -> None: ...

    def providers(self) -> Sequence[Json]: ...

    def models(self) -> Sequence[Json]: ...

    def health(self) -> Json: ...

    def explain(self, body: Json, device_id: str) -> Json: ...

    async def usage_report(self, query: Json) -> Json: ...


class ChatReplyPort(Protocol):
    """A reply, whole (`body`) or as a stream of what the request's `wire` says (`chunks`)."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes | None: ...

    @property
    def chunks(self) -> AsyncIterator[Piece] | None: ...

    @property
    def close(self) -> Callable[[], None]:
        """Give up: the upstream call ends at once. Does nothing after the end."""
        ...


class GatewayPort(Protocol):
    """The line of a chat request: limits, choice, upstream, books."""

    async def chat(self, request: ChatRequest, caller: Caller, *, via: str = "http") -> ChatReplyPort:
        """Raises CheapRouterError."""
        ...

    def refused(self, error: CheapRouterError, caller: Caller, model: str, *, via: str = "http") -> str:
        """Book a request that could not even be understood."""
        ...
