"""One provider's wire and quirks. Adapters are pure: values into values, no I/O; how requests get out is `Transport`."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import orjson

from ..config.kinds import GENERIC, ProviderKind, Timeouts, is_local, kind_of
from ..config.references import Hidden
from ..config.settings import ProviderSettings
from ..core.models import Json, Model, Operation, Usage
from ..core.records import dataclass
from ..wire.anthropic.pause import SaidBlocks, may_pause
from ..wire.anthropic.reply import MessageReader, MessageStream
from ..wire.anthropic.request import to_messages
from ..wire.anthropic.shape import json_tool
from ..wire.bill import parse_amount
from ..wire.events import StreamReader, Trouble
from ..wire.openai_chat import quirks as quirk_rules
from ..wire.openai_chat.canon import Canon, is_usual
from ..wire.openai_chat.chunks import characters, choices_of, has_content
from ..wire.openai_chat.decode import ChatStream
from ..wire.openai_chat.encode import ChunkEncoder, assemble
from ..wire.openai_chat.lenient import loads
from ..wire.openai_chat.shapes import BrokenError, error_in
from ..wire.openai_chat.thoughts import Keep, Recall, give_back
from ..wire.openai_chat.whole import ENDS, WholeChat, one_text
from ..wire.sse import BOM, looks_like_events
from ..wire.usage import read_usage
from . import refusals, unsupported
from .complaints import Changes
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

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
TINY_LIMIT: Final = 16
"""With so few tokens allowed, an empty answer is no surprise: clients probe with 1 or 3."""


class WireRequest(NamedTuple):
    """What goes out. `body` is final bytes.

    `on_head`: may be told a reply's status when its headers come before any of its body; whoever waits for the reply is then
    left to wait for the body too where this says so. For replies that are of no use before: it spares a task being woken.
    """

    endpoint: Endpoint
    body: bytes | None = None
    on_head: Callable[[int], bool] | None = None

    @property
    def method(self) -> str:
        return self.endpoint.method

    @property
    def url(self) -> str:
        return self.endpoint.url

    @property
    def headers(self) -> Mapping[str, str]:
        return self.endpoint.headers


class TransportError(Exception):
    """No usable reply came over the network. `code` is an `upstream_…` code; `message` clean and short.

    `again`: as in `Response`.

    `silent`: nothing at all was said until the time was over.
    """

    def __init__(self, code: str, message: str, *, silent: bool = False) -> None:
        super().__init__(message)
        self.again = False
        self.code = code
        self.message = message
        self.silent = silent


class Sink(Protocol):
    """Takes a body as it comes, called by the connection itself: no task stands between."""

    def feed(self, data: bytes) -> None:
        """Some more of it, decompressed; never empty."""

    def end(self, error: TransportError | None) -> None:
        """Nothing more comes, said once; `error` where something is missing."""


class Response(Protocol):
    """An upstream's reply whose headers have come. Waiting on it may be cancelled without losing bytes.

    `again`: the request had gone out before, on a kept connection which the server closed without a word.
    """

    __slots__ = ()
    again: bool = False
    status: int
    headers: Mapping[str, str]

    async def chunk(self) -> bytes:
        """What has come, decompressed, as soon as something has; empty at the end. Raises TransportError where it breaks off."""

    def abort(self) -> None:
        """Drop the connection now; nothing when it is already done."""

    def release(self) -> None:
        """All that matters was read: keep the connection if the end of the body comes soon, else drop it."""

    def pipe(self, sink: Sink) -> bool:
        """From now on push the body into `sink`; False: this reply can only be pulled.

        What has come already is handed over at once, an end included. After `abort` or `release` nothing more is.
        """
        del sink
        return False

    def pause(self) -> None:
        """Push no more for now: the upstream is made to wait."""
        raise RuntimeError("nothing is pushed")

    def resume(self) -> None:
        """Push again, first of all what came meanwhile."""
        raise RuntimeError("nothing is pushed")

    async def read(self, limit: int, *, cut: bool = False) -> bytes:
        """The whole body. Raises TransportError where it breaks off or is longer than `limit` bytes, unless it is to be `cut`."""
        parts, size = [], 0
        while part := await self.chunk():
            parts.append(part)
            size += len(part)
            if size > limit:
                self.abort()
                if cut:
                    break
                raise TransportError("invalid_reply", "The reply is too long.")
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Transport(Protocol):
    """How requests get out. Header names in `Response.headers` are looked up in lower case."""

    async def open(self, request: WireRequest, connect_timeout: float) -> Response:
        """Send, and wait for the headers. Raises TransportError; other limits on time are the caller's."""

    async def close(self) -> None:
        """Drop all connections."""


@dataclass(slots=True)
class Completion:
    """A whole reply, as bytes for the client, and what it says of itself. `output_characters`: where they were counted."""

    body: bytes
    usage: Usage | None
    finish_reason: str | None
    output_characters: int = 0


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
        self.timeouts = settings.timeouts or kind.timeouts
        self.headers_within = header_limit(self.timeouts, stream=True)
        self.api_keys = settings.api_keys
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
    ) -> WireRequest:
        """Turn a request into what this provider wants. Raises UntranslatableError.

        `recall`: gives the thoughts before tool calls, for a model that `wants_thoughts`. `stream`: whether a stream is asked
        for, whatever the client wants; None: as it wants.
        """
        body = self._body(request, model, learned, stream=request.stream if stream is None else stream)
        if recall is not None:
            give_back(body, recall)
        return WireRequest(self._endpoints[api_key], orjson.dumps(body))

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
        return Completion(body, usage, reader.finish_reason, reader.output_characters)

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
        return Completion(reply, reader.usage, reader.finish_reason, reader.output_characters)

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
        return judge(self.name, status, headers, body, now=now, secrets=self.api_keys, asked=asked)

    def judge_stream(self, reader: StreamReader, max_tokens: int | None = None) -> Failure | None:
        """Say what a stream's trouble means; None where there is none."""
        trouble = reader.trouble
        if not reader.said and (slip := finish_failure(self.name, reader.finish_reason)) is not None:
            return slip
        if trouble is None or (trouble is Trouble.EMPTY and _tiny(max_tokens)):
            return None
        if reader.error:
            return in_band(self.name, reader.error, self.api_keys, self._now())
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
        """The same text without any of this provider's keys."""
        return clean_message(text, self.api_keys)

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
    Trouble.ENDLESS: ("invalid_reply", "sent an event without an end"),
    Trouble.EARLY: ("upstream_truncated", "ended its answer too early"),
    Trouble.EMPTY: ("empty_reply", "answered with nothing"),
}
_OTHERS_THOUGHTS: Final = {"messages.thinking_blocks": None}
"""Signed by Anthropic: nobody else can read them, and some refuse them."""

_UNCOUNTED: Final = frozenset({"stream_options", "stream.usage"})
"""Learned where streams tell no usage: what a plain reply costs is known, so that is asked for where a stream is not needed."""

_INTEGERS: Final = ("max_tokens", "max_completion_tokens", "n", "seed")
_EMPTY_ENDS: Final = (None, "stop", "tool_calls", "")
"""Reasons that explain no empty answer."""


_ANTHROPIC_TIERS: Final = {
    **dict.fromkeys(("auto", "priority", "scale", "performance"), "auto"),
    **dict.fromkeys(("standard_only", "default", "standard", "on_demand"), "standard_only"),
}
"""What OpenAI's and others' tiers are called: https://platform.claude.com/docs/en/api/service-tiers (2026-11)."""


def header_limit(limits: Timeouts, *, stream: bool, writing: float = 0.0) -> float:
    """Seconds until headers must have come; a whole reply is written before they are sent, which takes `writing` seconds."""
    if limits.headers is not None:
        return limits.headers
    return limits.first_token if stream else min(limits.total, limits.first_token + writing)


def _better_plain(learned: Changes) -> bool:
    """Whether a stream is of no use to a client that wants none: it comes whole anyway, or does not tell what it costs."""
    return not learned.keys().isdisjoint(IGNORED) or bool(_UNCOUNTED & learned.keys() and "plain.usage" not in learned)


def _tiny(max_tokens: int | None) -> bool:
    return max_tokens is not None and max_tokens <= TINY_LIMIT


def address(given: str, kind: ProviderKind) -> str:
    """The user's address or the kind's, without a slash at the end. A bare host gets the kind's path."""
    if not given:
        return kind.base_url.rstrip("/")
    given = given.strip().rstrip("/")
    return given if urlsplit(given).path else given + urlsplit(kind.base_url).path


class OpenAICompatible(Adapter):
    """For everything that speaks, more or less, OpenAI's wire. Fields that nobody here knows pass through both ways."""

    def _body(self, request: Operation, model: Model, learned: Changes, *, stream: bool) -> Json:
        """The client's body with the upstream's model id, a question for usage, and what the quirks want."""
        body = {**request.body, "model": model.upstream}
        if [message for message in body["messages"] if "thinking_blocks" in message]:
            refusals.apply(body, _OTHERS_THOUGHTS)
        for name in _INTEGERS:
            if isinstance(value := body.get(name), float):
                body[name] = int(value)  # some clients send 1.0, which some servers refuse
        options = body.pop("stream_options", None)  # some refuse them without a stream
        if stream:
            body["stream"] = True
            if self.quirks.stream_usage:
                body["stream_options"] = self._stream_options(options, request)
        elif request.stream:  # it was refused, and what comes instead is made one
            del body["stream"]
        if request.marked and not self.quirks.cache_control:
            quirk_rules.unmark(body)
        if self.quirks is not GENERIC:
            quirk_rules.apply(body, self.quirks, model.upstream)
        if learned:
            unsupported.apply(body, learned)
        return body

    def _stream_options(self, options: Json | None, request: Operation) -> Json:
        """The client's, and that usage is wanted; nothing is hidden from a reader of ours."""
        plain = {"include_obfuscation": False} if self.quirks.obfuscates and not request.stream else {}
        return {**(options or {}), "include_usage": True, **plain}

    def _whole(self, body: bytes, request: Operation, *, think: bool) -> Completion | Failure:
        """Its bytes are handed on as they are, unless something in it has to be put right."""
        reply, strict = loads(body)
        think = think or wants_json(request)
        if strict and not think and is_usual(reply):
            return _completion(body, reply)
        if isinstance(reply, list) and reply:
            reply, strict = reply[0], False
        if not isinstance(reply, dict):
            return self._degraded("invalid_reply", "answered with JSON that is no completion")
        if (error := error_in(reply)) is not None:
            return in_band(self.name, error, self.api_keys, self._now())
        canon = Canon(self.quirks, think=think)
        changed = canon.whole(reply)
        if (failure := self._judged(reply, canon, request.max_tokens)) is not None:
            return failure
        return _completion(orjson.dumps(reply) if changed or not strict else body, reply)

    def _judged(self, reply: Json, canon: Canon, max_tokens: int | None) -> Failure | None:
        """Why a reply is no answer; None where it is one."""
        if not reply["choices"]:
            return self._degraded("no_choices", "answered without choices")
        if canon.failed:
            return in_band(self.name, canon.failed, self.api_keys, self._now())
        if canon.failed is not None:
            return self._degraded("upstream_error", "broke off with an error")
        if not canon.said and reply["choices"][0]["finish_reason"] in _EMPTY_ENDS and not _tiny(max_tokens):
            return self._degraded("empty_reply", "answered with nothing")
        return None

    def at_once(self, whole: bytes, request: Operation, *, think: bool) -> Completion | None:
        if think or self.quirks.cost_header or wants_json(request) or (found := one_text(whole, self.quirks)) is None:
            return None
        reply, text = found
        reason = reply["choices"][0]["finish_reason"]
        return Completion(orjson.dumps(reply), read_usage(reply), reason, len(text))

    def whole_reader(self, request: Operation, keep: Keep | None, *, think: bool) -> StreamReader:
        return WholeChat(self.quirks, keep=keep, think=think or wants_json(request))

    def reader(self, request: Operation, wire: str, keep: Keep | None = None, *, think: bool = False) -> StreamReader:
        think, events = think or wants_json(request), wire == "events"
        return ChatStream(self.quirks, want_usage=request.include_usage, events=events, keep=keep, think=think)


def _completion(body: bytes, reply: Json) -> Completion:
    """A whole reply in OpenAI's shape, `body` as it is handed on. Where nobody counted its tokens, its text is measured."""
    usage = read_usage(reply)
    counted = usage is not None and usage.completion_tokens
    size = 0 if counted else sum(characters(choice.get("message")) for choice in choices_of(reply))
    return Completion(body, usage, reply["choices"][0]["finish_reason"], size)


def wants_json(request: Operation) -> bool:
    """Whether the answer is to be JSON and nothing else: then thoughts must not stand before it."""
    wanted = request.body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")


class Anthropic(Adapter):
    """Anthropic's Messages API; `created`, which it does not tell, is now."""

    chat_path: ClassVar[str] = "/messages"
    pauses = staticmethod(may_pause)
    stream_ends: tuple[bytes, ...] = (b'"message_stop"}\n\n', b'"message_stop" }\n\n')
    fixed_headers: ClassVar[Mapping[str, str]] = {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}

    def _body(self, request: Operation, model: Model, learned: Changes, *, stream: bool) -> Json:
        """The same request in Anthropic's words. What is taken here has one name only, so nothing is renamed."""
        body = to_messages(request.body, model, learned)
        if stream:
            body["stream"] = True
        else:
            body.pop("stream", None)
        if "service_tier" in body and (tier := _ANTHROPIC_TIERS.get(str(body.pop("service_tier")))):
            body["service_tier"] = tier
        unsupported.apply(body, {name: new for name, new in learned.items() if new is None or "." in name})
        return body

    def _whole(self, body: bytes, request: Operation, *, think: bool) -> Completion | Failure:  # noqa: ARG002 - it tells them apart
        message = orjson.loads(body)
        if not isinstance(message, dict):
            return self._degraded("invalid_reply", "answered with JSON that is no message")
        content = message.get("content")
        if (content is None or message.get("error")) and (error := error_in(message)) is not None:
            return in_band(self.name, error, self.api_keys, self._now())
        if not isinstance(content, list):
            return self._degraded("no_choices", "answered without content")
        reader = MessageReader(created=int(self._now()), tool=json_tool(request.body))
        reply = assemble(reader.whole(message))
        choice = reply["choices"][0]
        choice.setdefault("logprobs", None)
        if not has_content(choice["message"]) and reader.finish_reason in _EMPTY_ENDS and not _tiny(request.max_tokens):
            return self._degraded("empty_reply", "answered with nothing")
        usage = reader.usage
        size = 0 if usage is not None and usage.completion_tokens else characters(choice["message"])
        return Completion(orjson.dumps(reply), usage, reader.finish_reason, size)

    def reader(self, request: Operation, wire: str, keep: Keep | None = None, *, think: bool = False) -> StreamReader:
        del (
            keep,
            think,
        )  # thoughts are signed here, and lost ones are got along without; they come as blocks of their own
        encoder = None if wire == "events" else ChunkEncoder(want_usage=request.include_usage)
        said = SaidBlocks() if may_pause(request.body) else None
        return MessageStream(created=int(self._now()), tool=json_tool(request.body), encoder=encoder, said_blocks=said)

    def go_on(
        self, reader: StreamReader, request: Operation, model: Model, api_key: str | None, learned: Changes
    ) -> WireRequest | None:
        """A paused turn goes on where what was said is sent back as it came."""
        if not isinstance(reader, MessageStream) or not reader.paused or reader.said_blocks is None:
            return None
        body = self._body(request, model, learned, stream=True)
        said = {"role": "assistant", "content": reader.said_blocks.content()}
        if body["messages"][-1]["role"] == "assistant":
            said["content"] = [*body["messages"].pop()["content"], *said["content"]]
        reader.resume()
        return WireRequest(self._endpoints[api_key], orjson.dumps({**body, "messages": [*body["messages"], said]}))


def adapter_for(provider: ProviderSettings) -> Adapter:
    kind = kind_of(provider)
    return Anthropic(provider, kind) if kind.wire == "anthropic" else OpenAICompatible(provider, kind)
