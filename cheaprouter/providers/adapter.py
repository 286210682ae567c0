"""One provider's wire and quirks. Adapters are pure: values into values, no I/O; how requests get out is `Transport`."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import urlsplit

import orjson

from ..config.kinds import ProviderKind, Timeouts, is_local
from ..config.references import Hidden
from ..config.secret import secrets_of
from ..config.settings import ProviderSettings
from ..core.models import Json, Model, Operation, Usage
from ..wire.bill import parse_amount
from ..wire.events import StreamReader, Trouble
from ..wire.openai_chat.encode import assemble
from ..wire.openai_chat.lenient import loads
from ..wire.openai_chat.shapes import BrokenError, error_in
from ..wire.openai_chat.thoughts import Keep, Recall, give_back
from ..wire.openai_chat.whole import ENDS
from ..wire.sse import BOM, looks_like_events
from ..wire.usage import usage_inside
from .complaints import Changes
from .completion import Completion
from .endpoint import Endpoint, Link
from .failures import (
    NOT_KNOWN,
    Asked,
    Failure,
    clean_message,
    degraded,
    finish_failure,
    in_band,
    judge,
)
from .refusals import IGNORED, REQUIRED, STREAM, THOUGHTS, TOOLS_STREAMED
from .transport import Exchange, WireRequest

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
TINY_LIMIT: Final = 16
"""With so few tokens allowed, an empty answer is no surprise: clients probe with 1 or 3."""


class Adapter(ABC):
    """Settings and kind, put together once. `now`: seconds since the epoch, for what upstreams date or leave undated."""

    chat_path: ClassVar[str] = "/chat/completions"
    stream_ends: tuple[bytes, ...] = ENDS
    pauses: Callable[[Json], bool] | None = None
    """Says of a body whether its stream may only pause where it ends, see `go_on`; None: none does."""
    fixed_headers: ClassVar[Mapping[str, str]] = {"Content-Type": "application/json"}

    def __init__(self, settings: ProviderSettings, kind: ProviderKind, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.name = settings.name
        self.kind = settings.kind
        self.base_url = address(settings.base_url, kind)
        self.shown_url = "(not shown)" if isinstance(settings.base_url, Hidden) else self.base_url
        self.local = is_local(settings)
        self.goes_on = kind.goes_on
        self.timeouts = settings.timeouts or kind.timeouts
        self.headers_within = header_limit(self.timeouts, stream=True)
        self.api_keys = settings.api_keys
        self.secrets = tuple(sorted(secrets_of(settings), key=len, reverse=True))
        self.quirks = kind.quirks
        self.url = f"{self.base_url}{self.chat_path}"
        self.link = Link(settings.ca_file or "", settings.verify_tls, settings.proxy or "")
        self._models_url = f"{self.base_url}{kind.models_path}"
        self._key_url = f"{self.base_url}{kind.key_path}" if kind.key_path else ""
        self._headers = {key: self._with_key(kind.auth, key, settings.headers) for key in (None, *self.api_keys)}
        self._endpoints = {key: Endpoint("POST", self.url, own, self.link) for key, own in self._headers.items()}

    def _with_key(self, auth: str, key: str | None, own: Mapping[str, str]) -> dict[str, str]:
        """The headers of every request with this key; the user's own win."""
        headers = dict(self.fixed_headers)
        if key:
            headers |= {"Authorization": f"Bearer {key}"} if auth == "authorization" else {auth: key}
        taken = {name.lower() for name in own}
        return {name: value for name, value in headers.items() if name.lower() not in taken} | dict(own)

    def prepare(
        self,
        request: Operation,
        model: Model,
        api_key: str | None,
        learned: Changes,
        recall: Recall | None = None,
        *,
        stream: bool | None = None,
        on_head: Callable[[int], bool] | None = None,
        on_left: Callable[[Exchange], None] | None = None,
    ) -> WireRequest:
        """Turn a request into what this provider wants. Raises UntranslatableError.

        `recall`: gives the thoughts before tool calls, for a model that `wants_thoughts`. `stream`: whether a stream is asked
        for, whatever the client wants; None: as it wants. `on_head`, `on_left`: see `WireRequest`.
        """
        body = self._body(request, model, learned, stream=request.stream if stream is None else stream)
        if recall is not None:
            give_back(body, recall)
        return WireRequest(self._endpoints[api_key], orjson.dumps(body), on_head, on_left)

    def wants_thoughts(self, model: Model, learned: Changes) -> bool:
        """Whether a model refuses a history whose tool calls have lost the thoughts before them."""
        if learned.get(THOUGHTS) == REQUIRED:
            return True
        rules = self.quirks.models
        return any(rule.thoughts and re.search(rule.pattern, model.upstream) for rule in rules)

    def asks_stream(self, request: Operation, learned: Changes) -> bool:
        """Whether the upstream is asked for a stream: wherever it can answer with one, whatever the client wants."""
        if learned and (STREAM in learned or (TOOLS_STREAMED in learned and request.body.get("tools"))):
            return False
        return request.stream or (
            self.quirks.plain is not None
            and not (request.body.keys() & self.quirks.plain)
            and not request.body.get("audio")
            and not (learned and _better_plain(learned))
        )

    def at_once(self, whole: bytes, request: Operation, *, think: bool) -> Completion | None:  # noqa: ARG002 - see those that can
        """The completion that a whole stream makes, where that is to be had without reading it event by event."""
        return None

    def whole_reader(self, request: Operation, keep: Keep | None, *, think: bool) -> StreamReader:
        """A reader that gives events, for a stream of which nothing but the whole is wanted."""
        return self.reader(request, "events", keep, think=think)

    def made_of(self, reader: StreamReader, body: bytes, headers: Mapping[str, str]) -> Completion:
        """The completion that a stream made."""
        usage = self.with_cost(reader.usage, headers)
        return Completion(body, usage, reader.finish_reason, reader.written)

    @abstractmethod
    def _body(self, request: Operation, model: Model, learned: Changes, *, stream: bool) -> Json: ...

    def complete(
        self, body: bytes, request: Operation, headers: Mapping[str, str] = _NO_HEADERS, *, think: bool = False
    ) -> Completion | Failure:
        """Judge a whole reply of status 200, whatever its content type says: it may be a stream that nobody asked for.

        `think`: see `reader`.
        """
        body = body.removeprefix(BOM)
        try:
            done = self._whole(body, request, think=think)
        except BrokenError:
            return self._degraded("invalid_reply", "answered with JSON that is no completion")
        except orjson.JSONEncodeError:
            return self._degraded("invalid_reply", "answered with JSON that is nested too deep")
        except ValueError:  # no JSON
            done = self._no_json(body, request, think=think)
        if self.quirks.cost_header and not isinstance(done, Failure):
            done.usage = self.with_cost(done.usage, headers)
        return done

    def _no_json(self, body: bytes, request: Operation, *, think: bool) -> Completion | Failure:
        if looks_like_events(body):
            try:
                return self._assembled(body, request, think=think)
            except orjson.JSONEncodeError:
                return self._degraded("invalid_reply", "answered with JSON that is nested too deep")
        return self._degraded("invalid_reply", "answered with something that is not JSON")

    @abstractmethod
    def _whole(self, body: bytes, request: Operation, *, think: bool) -> Completion | Failure: ...

    def _assembled(self, body: bytes, request: Operation, *, think: bool) -> Completion | Failure:
        reader = self.reader(request, "events", think=think)
        pieces = reader.feed(body) + reader.finish()
        if (failure := self.judge_stream(reader, request.max_tokens)) is not None:
            return failure
        reply = orjson.dumps(assemble(piece for piece in pieces if not isinstance(piece, bytes)))
        return Completion(reply, reader.usage, reader.finish_reason, reader.written)

    def use_in(self, body: bytes, request: Operation) -> tuple[Usage | None, int, bool]:
        """What a reply of status 200 that is no answer tells: its usage, characters that were written, and whether any were.

        No characters of what is neither JSON nor events: nobody knows how many. Nothing was written where it is an error or a page.
        """
        body = body.removeprefix(BOM)
        if looks_like_events(body):
            reader = self.reader(request, "events")
            reader.feed(body)
            reader.finish()
            return reader.usage, reader.output_characters, reader.said or reader.trouble is not Trouble.ERROR
        try:
            reply = loads(body)[0]
        except ValueError:
            usage = self._usage(found) if (found := usage_inside(body)) is not None else None
            return usage, 0, not body.lstrip().startswith(b"<")
        if isinstance(reply, list) and reply:
            reply = reply[0]
        if not isinstance(reply, dict):
            return None, 0, True
        return self._usage(reply), self._written(reply), error_in(reply) is None

    @abstractmethod
    def _usage(self, reply: Json) -> Usage | None: ...

    @abstractmethod
    def _written(self, reply: Json) -> int: ...

    @abstractmethod
    def reader(self, request: Operation, wire: str, keep: Keep | None = None, *, think: bool = False) -> StreamReader:
        """A fresh reader for one stream, which gives it in that wire (see `Operation.wire`): bytes pass where they can.

        `keep`: told the thoughts before tool calls, for a model that `wants_thoughts`. `think`: answers of this model may
        begin with thoughts between tags.
        """

    def go_on(
        self,
        reader: StreamReader,  # noqa: ARG002 - see the adapters that need it
        request: Operation,  # noqa: ARG002
        model: Model,  # noqa: ARG002
        api_key: str | None,  # noqa: ARG002
        learned: Changes,  # noqa: ARG002
    ) -> WireRequest | None:
        """Where a stream only paused: what to ask so that it goes on, read by the same reader; else None."""
        return None

    def judge(
        self, status: int, headers: Mapping[str, str], body: bytes, now: float, asked: Asked = NOT_KNOWN
    ) -> Failure:
        """Say what a status of 400 or more means. `now`: seconds since the epoch. `asked`: what it is an answer to."""
        return judge(self.name, status, headers, body, now=now, secrets=self.secrets, asked=asked)

    def judge_stream(self, reader: StreamReader, max_tokens: int | None = None) -> Failure | None:
        """Say what a stream's trouble means; None where there is none."""
        trouble = reader.trouble
        if not reader.said and (slip := finish_failure(self.name, reader.finish_reason)) is not None:
            return slip
        if trouble is None or (trouble is Trouble.EMPTY and is_tiny(max_tokens)):
            return None
        if reader.error:
            return in_band(self.name, reader.error, self.secrets, self._now())
        code, words = _TROUBLES[trouble]
        if trouble is Trouble.EARLY and not reader.said:
            code = "empty_reply"
        return degraded(code, f"{self.name} {words}.")

    def with_cost(self, usage: Usage | None, headers: Mapping[str, str]) -> Usage | None:
        """Usage with the USD that the response headers say this request was billed."""
        name = self.quirks.cost_header
        cost = parse_amount(headers.get(name)) if name else None
        return usage if cost is None else replace(usage or Usage(), reported_cost=cost)

    def clean(self, text: str) -> str:
        """The same text without any of this provider's secrets."""
        return clean_message(text, self.secrets)

    def models_request(self, api_key: str | None) -> WireRequest:
        """How to ask which models there are."""
        return self._get(self._models_url, api_key)

    def own_request(self, path: str, body: bytes | None, api_key: str | None) -> WireRequest:
        """A request of a local server's own API, which is beside the one that all have in common."""
        root = self.base_url.removesuffix("/v1")
        method = "GET" if body is None else "POST"
        return WireRequest(Endpoint(method, f"{root}{path}", self._headers[api_key], self.link), body)

    def key_request(self, api_key: str | None) -> WireRequest | None:
        """How to ask whether a key is good, where the list of models does not tell; else None."""
        return self._get(self._key_url, api_key) if self._key_url and api_key else None

    def _get(self, url: str, api_key: str | None) -> WireRequest:
        return WireRequest(Endpoint("GET", url, self._headers[api_key], self.link))

    def _degraded(self, code: str, words: str) -> Failure:
        return degraded(code, f"{self.name} {words}.")


_TROUBLES: Final = {
    Trouble.ERROR: ("upstream_error", "broke off with an error"),
    Trouble.BROKEN: ("invalid_reply", "sent an event that cannot be read"),
    Trouble.ENDLESS: ("invalid_reply", "sent events without an end"),
    Trouble.EARLY: ("upstream_truncated", "ended its answer too early"),
    Trouble.EMPTY: ("empty_reply", "answered with nothing"),
}
_UNCOUNTED: Final = frozenset({"stream_options", "stream.usage"})
"""Learned where streams tell no usage: what a plain reply costs is known, so that is asked for where a stream is not needed."""

EMPTY_ENDS: Final = (None, "stop", "tool_calls", "")
"""Reasons that explain no empty answer."""


def header_limit(limits: Timeouts, *, stream: bool, writing: float = 0.0) -> float:
    """Seconds until headers must have come; a whole reply is written before they are sent, which takes `writing` seconds."""
    if limits.headers is not None:
        return limits.headers
    return limits.first_token if stream else min(limits.total, limits.first_token + writing)


def _better_plain(learned: Changes) -> bool:
    """Whether a stream is of no use to a client that wants none: it comes whole anyway, or does not tell what it costs."""
    return not learned.keys().isdisjoint(IGNORED) or bool(_UNCOUNTED & learned.keys() and "plain.usage" not in learned)


def is_tiny(max_tokens: int | None) -> bool:
    return max_tokens is not None and max_tokens <= TINY_LIMIT


def address(given: str, kind: ProviderKind) -> str:
    """The user's address or the kind's, without a slash at the end. A bare host gets the kind's path."""
    if not given:
        return kind.base_url.rstrip("/")
    given = given.strip().rstrip("/")
    return given if urlsplit(given).path else given + urlsplit(kind.base_url).path
