"""Everything that speaks, more or less, OpenAI's wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import orjson

from ..config.kinds import GENERIC, ProviderKind
from ..config.settings import ProviderSettings
from ..core.models import Json, Model, Operation, Usage
from ..wire.events import StreamReader
from ..wire.openai_chat import quirks as quirk_rules
from ..wire.openai_chat.canon import Canon, is_usual
from ..wire.openai_chat.chunks import characters, choices_of
from ..wire.openai_chat.decode import ChatStream
from ..wire.openai_chat.lenient import loads
from ..wire.openai_chat.marks import mark_cache
from ..wire.openai_chat.one_text import OneText
from ..wire.openai_chat.shapes import error_in
from ..wire.openai_chat.thoughts import Keep
from ..wire.openai_chat.whole import WholeChat
from ..wire.usage import read_usage
from . import unsupported
from .adapter import EMPTY_ENDS, Adapter, is_tiny
from .complaints import Changes
from .completion import Completion
from .failures import Failure, in_band

_OTHERS_THOUGHTS: Final = {"messages.thinking_blocks": None}
"""Signed by Anthropic: nobody else can read them, and some refuse them."""

_INTEGERS: Final = ("max_tokens", "max_completion_tokens", "n", "seed")


class OpenAICompatible(Adapter):
    """For everything that speaks, more or less, OpenAI's wire. Fields that nobody here knows pass through both ways."""

    def __init__(self, settings: ProviderSettings, kind: ProviderKind, now: Callable[[], float] = time.time) -> None:
        super().__init__(settings, kind, now)
        self._texts = OneText(self.quirks)

    def _body(self, request: Operation, model: Model, learned: Changes, *, stream: bool) -> Json:
        """The client's body with the upstream's model id, a question for usage, and what the quirks want."""
        body = {**request.body, "model": model.upstream}
        if [message for message in body["messages"] if "thinking_blocks" in message]:
            unsupported.apply(body, _OTHERS_THOUGHTS)
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
        if request.marked is not self.quirks.cache_control:
            self._mark(body, request, model)
        if self.quirks is not GENERIC:
            quirk_rules.apply(body, self.quirks, model.upstream)
        if learned:
            unsupported.apply(body, learned)
        return body

    @staticmethod
    def _mark(body: Json, request: Operation, model: Model) -> None:
        """Take off the client's marks of what to cache, where they are not taken; set ours where it set none."""
        if request.marked:
            quirk_rules.unmark(body)
        else:
            mark_cache(body, model.upstream)

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
            return in_band(self.name, error, self.secrets, self._now())
        canon = Canon(self.quirks, think=think)
        changed = canon.whole(reply)
        if (failure := self._judged(reply, canon, request.max_tokens)) is not None:
            return failure
        return _completion(orjson.dumps(reply) if changed or not strict else body, reply)

    def _usage(self, reply: Json) -> Usage | None:
        return read_usage(reply)

    def _written(self, reply: Json) -> int:
        choices = choices_of(reply)
        return sum(characters(choice.get("message")) for choice in choices)

    def _judged(self, reply: Json, canon: Canon, max_tokens: int | None) -> Failure | None:
        """Why a reply is no answer; None where it is one."""
        if not reply["choices"]:
            return self._degraded("no_choices", "answered without choices")
        if canon.failed:
            return in_band(self.name, canon.failed, self.secrets, self._now())
        if canon.failed is not None:
            return self._degraded("upstream_error", "broke off with an error")
        if not canon.said and reply["choices"][0]["finish_reason"] in EMPTY_ENDS and not is_tiny(max_tokens):
            return self._degraded("empty_reply", "answered with nothing")
        return None

    def at_once(self, whole: bytes, request: Operation, *, think: bool) -> Completion | None:
        if think or self.quirks.cost_header or wants_json(request) or (found := self._texts.read(whole)) is None:
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
