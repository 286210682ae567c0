"""Anthropic's Messages API as an upstream: OpenAI's wire on our side, theirs on the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import ClassVar

import orjson

from ..config.settings import ProviderSettings
from ..core.models import Model
from ..wire.openai_chat.request import ChatRequest
from . import anthropic_cache, unsupported
from .adapter import BaseAdapter
from .anthropic_format import json_tool, learned_only, to_messages
from .anthropic_reply import to_completion, to_usage
from .anthropic_stream import AnthropicStream
from .base import Completion, Failure, StreamDecoder, UntranslatableError, WireRequest
from .completion import is_empty
from .failures import degraded, in_band
from .presets import Preset

API_VERSION = "2023-06-01"


class Anthropic(BaseAdapter):
    """See `base.Adapter`. `now`: seconds since the epoch, for `created`, which Anthropic does not tell."""

    chat_path: ClassVar[str] = "/messages"
    fixed_headers: ClassVar[Mapping[str, str]] = {"Content-Type": "application/json", "anthropic-version": API_VERSION}

    def __init__(self, settings: ProviderSettings, preset: Preset, now: Callable[[], float] = time.time) -> None:
        super().__init__(settings, preset)
        self._now = now

    def prepare(
        self, request: ChatRequest, model: Model, api_key: str | None, learned: Mapping[str, str | None]
    ) -> WireRequest:
        """The same request in Anthropic's words. Raises UntranslatableError."""
        try:
            body = to_messages(request.body, model)
        except UntranslatableError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UntranslatableError("a field that is not of the shape the API describes") from error
        anthropic_cache.mark(body)
        unsupported.apply(body, learned_only(learned))
        return WireRequest("POST", self.url, self.headers(api_key), orjson.dumps(body))

    def complete(self, body: bytes, request: ChatRequest, model: Model) -> Completion | Failure:  # noqa: ARG002 - protocol
        """Judge and translate a whole reply."""
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError:
            return degraded("invalid_reply", f"{self.name} answered with something that is not JSON.")
        if not isinstance(message, dict):
            return degraded("invalid_reply", f"{self.name} answered with JSON that is no message.")
        if message.get("type") == "error" or message.get("error"):
            return in_band(self.name, message, 0.0, self.api_keys)
        if not isinstance(message.get("content"), list):
            return degraded("no_choices", f"{self.name} answered without content.")
        reply = to_completion(message, created=int(self._now()), tool=json_tool(request.body))
        choice = reply["choices"][0]
        if is_empty([choice["message"]], choice["finish_reason"], request.max_tokens):
            return degraded("empty_reply", f"{self.name} answered with nothing.")
        return Completion(orjson.dumps(reply), to_usage(message.get("usage")), choice["finish_reason"], reply["model"])

    def decoder(self, request: ChatRequest, model: Model) -> StreamDecoder:  # noqa: ARG002 - protocol
        """See `anthropic_stream`."""
        return AnthropicStream(
            self.name,
            created=int(self._now()),
            want_usage=request.include_usage,
            tool=json_tool(request.body),
            max_tokens=request.max_tokens,
            secrets=self.api_keys,
        )

    def models_request(self, api_key: str | None) -> WireRequest | None:
        """All models on one page."""
        return WireRequest("GET", f"{self._models_url}?limit=1000", self.headers(api_key))
