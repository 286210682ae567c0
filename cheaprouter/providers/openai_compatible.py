"""OpenAI's chat completions wire, with a provider's quirks. Fields that nobody here knows pass through both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from ..config.settings import ProviderSettings
from ..core.models import Model
from ..wire.openai_chat.request import ChatRequest
from . import quirks as quirk_rules
from . import unsupported
from .adapter import BaseAdapter
from .base import Completion, Failure, StreamDecoder, WireRequest
from .completion import judge_completion
from .openai_stream import OpenAIStream
from .presets import GENERIC, Preset

_INTEGERS: Final = ("max_tokens", "max_completion_tokens", "n", "seed")


class OpenAICompatible(BaseAdapter):
    """The adapter for everything that speaks, more or less, OpenAI's wire."""

    def __init__(self, settings: ProviderSettings, preset: Preset) -> None:
        super().__init__(settings, preset)
        self._plain = preset.quirks == GENERIC

    def prepare(
        self, request: ChatRequest, model: Model, api_key: str | None, learned: Mapping[str, str | None]
    ) -> WireRequest:
        """The client's body with the upstream's model id, a question for usage, and what the quirks want."""
        body = dict(request.body)
        body["model"] = model.upstream
        for name in _INTEGERS:
            if isinstance(value := body.get(name), float):
                body[name] = int(value)  # some clients send 1.0, which some servers refuse
        if request.stream:
            if self.quirks.stream_usage:
                body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
            else:
                body.pop("stream_options", None)
        if not self._plain:
            quirk_rules.apply(body, self.quirks, model.upstream)
        if learned:
            unsupported.apply(body, learned)
        return WireRequest("POST", self.url, self.headers(api_key), orjson.dumps(body))

    def complete(self, body: bytes, request: ChatRequest, model: Model) -> Completion | Failure:  # noqa: ARG002 - protocol
        """See `completion.judge_completion`."""
        return judge_completion(self.name, body, self.quirks, max_tokens=request.max_tokens, secrets=self.api_keys)

    def decoder(self, request: ChatRequest, model: Model) -> StreamDecoder:  # noqa: ARG002 - protocol
        """See `openai_stream`."""
        return OpenAIStream(
            self.name,
            self.quirks,
            want_usage=request.include_usage,
            max_tokens=request.max_tokens,
            secrets=self.api_keys,
        )
