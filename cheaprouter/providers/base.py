"""What the pool needs of a provider's wire format. Adapters are pure: they turn values into values, and do no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from ..config.settings import Timeouts
from ..core.models import Json, Model, Usage
from ..wire.openai_chat.request import ChatRequest


class Action(StrEnum):
    """What a failure asks for. See `upstream.pool` for how each is done."""

    RETRY = "retry"  # once more, the same model, after a moment
    NEXT = "next"  # the next candidate, at once
    COOL = "cool"  # next, and leave this one alone for a while
    WAIT = "wait"  # rate limited: wait if that is short, else next, and cool for just as long
    KEY = "key"  # this key is no good: disable it, use another or the next candidate
    ADAPT = "adapt"  # the request can be changed to what this model takes: once more
    CONTEXT = "context"  # too long for this model: only larger windows
    FINAL = "final"  # the client's own fault, or the model's last word: hand it on


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What goes out. `body` is final bytes."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed try, judged. `retry_after` in seconds; `message` is clean of secrets; `adapt`: the learned change."""

    action: Action
    code: str
    message: str
    status: int | None = None
    retry_after: float | None = None
    error_type: str | None = None
    param: str | None = None
    adapt: Mapping[str, str | None] = field(default_factory=dict)
    cooldown: float | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole reply, as bytes for the client, and what it says of itself."""

    body: bytes
    usage: Usage | None
    finish_reason: str | None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes of a stream, ready for the client. `content`: they hold text, a tool call, reasoning or a refusal."""

    data: bytes
    content: bool = False


class StreamDecoder(Protocol):
    """Reads one upstream stream: `feed` until the first content, then `push`, and `finish` once at the end.

    `failure`: the stream carried an error or ended wrongly. `done`: the upstream said that it is complete.
    `usage`, `finish_reason`, `model`: as far as seen. `output_characters`: text so far, for an estimate where no usage comes.
    """

    failure: Failure | None
    done: bool
    usage: Usage | None
    finish_reason: str | None
    model: str | None

    @property
    def output_characters(self) -> int:
        """Characters of text so far; a rough count where the bytes were passed on unread."""

    def feed(self, data: bytes) -> list[Frame]:
        """Take what came from the network; give what can go on, each event judged."""

    def push(self, data: bytes) -> bytes:
        """The same once content has been seen: bytes in, bytes out, events read only where they matter."""

    def finish(self) -> list[Frame]:
        """The connection ended, or `done`; sets `failure` where that was too early, or without any content."""


class UntranslatableError(ValueError):
    """The request holds something that this provider's wire has nothing like; says what."""


class TransportError(Exception):
    """No usable reply came over the network. `code` is an `upstream_…` code; `message` clean and short."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Response(Protocol):
    """An upstream's reply whose headers have come. Waiting on it may be cancelled without losing bytes."""

    status: int
    headers: Mapping[str, str]

    async def read(self, limit: int) -> bytes:
        """The whole body, decompressed. Raises TransportError where it breaks off or is longer than `limit` bytes."""

    async def chunk(self) -> bytes:
        """What has come, as soon as something has; empty at the end. Raises TransportError where it breaks off."""

    def abort(self) -> None:
        """Drop the connection now; nothing when it is already done."""

    def release(self) -> None:
        """All that matters was read: keep the connection if the end of the body comes soon, else drop it."""


class Transport(Protocol):
    """How requests get out. Header names in `Response.headers` are looked up in lower case."""

    async def open(self, request: WireRequest, connect_timeout: float) -> Response:
        """Send, and wait for the headers. Raises TransportError; other limits on time are the caller's."""

    async def close(self) -> None:
        """Drop all connections."""


class Adapter(Protocol):
    """One provider's wire format and quirks."""

    name: str
    kind: str
    base_url: str
    local: bool
    timeouts: Timeouts
    api_keys: tuple[str, ...]

    def prepare(
        self, request: ChatRequest, model: Model, api_key: str | None, learned: Mapping[str, str | None]
    ) -> WireRequest:
        """Turn a chat request into what this provider wants. `learned`: parameters to rename, or drop (None).

        Raises UntranslatableError.
        """

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Failure:
        """Say what a status of 400 or more means. `now`: seconds since the epoch, for a dated Retry-After."""

    def complete(self, body: bytes, request: ChatRequest, model: Model) -> Completion | Failure:
        """Judge a whole reply of status 200, whatever its content type says."""

    def decoder(self, request: ChatRequest, model: Model) -> StreamDecoder:
        """A fresh reader for one stream."""

    def reported_cost(self, headers: Mapping[str, str]) -> Decimal | None:
        """USD that the response headers say this request was billed; None where they do not."""

    def clean(self, text: str) -> str:
        """The same text without any of this provider's keys."""

    def models_request(self, api_key: str | None) -> WireRequest | None:
        """How to ask which models there are; None where there is no such question."""

    def key_request(self, api_key: str | None) -> WireRequest | None:
        """How to ask whether a key is good, where the list of models does not tell; else None."""

    def parse_models(self, body: bytes) -> list[Json]:
        """The answer to it: objects with at least `id`, and `context`, `name` where told."""
