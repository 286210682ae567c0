"""OpenAI's chat completions wire, with a provider's quirks. Fields that nobody here knows pass through both ways."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from ..config.settings import ProviderSettings
from ..models import Json, Model
from ..protocol.chat import ChatRequest
from . import quirks as quirk_rules
from . import unsupported
from .base import Completion, Failure, StreamDecoder, WireRequest
from .completion import judge_completion
from .failures import clean_message, judge
from .listing import parse_listing
from .openai_stream import OpenAIStream
from .presets import Preset
from .quirks import Quirks
from .usage import parse_cost


class OpenAICompatible:
    """The adapter for everything that speaks, more or less, OpenAI's wire."""

    def __init__(self, settings: ProviderSettings, preset: Preset) -> None:
        self.name = settings.name
        self.kind = settings.kind
        self.base_url = (settings.base_url or preset.base_url).rstrip("/")
        self.local = preset.local if settings.local is None else settings.local
        self.timeouts = settings.timeouts or preset.timeouts
        self.api_keys = settings.api_keys
        self._quirks = preset.quirks
        self._plain = preset.quirks == Quirks()
        self._auth = preset.auth
        self._url = f"{self.base_url}/chat/completions"
        self._models_url = f"{self.base_url}{preset.models_path}"
        self._own_headers = dict(settings.headers)
        self._headers: dict[str | None, dict[str, str]] = {}

    def prepare(
        self, request: ChatRequest, model: Model, api_key: str | None, learned: Mapping[str, str | None]
    ) -> WireRequest:
        """The client's body with the upstream's model id, a question for usage, and what the quirks want."""
        body = dict(request.body)
        body["model"] = model.upstream
        if request.stream:
            if self._quirks.stream_usage:
                body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
            else:
                body.pop("stream_options", None)
        if not self._plain:
            quirk_rules.apply(body, self._quirks, model.upstream)
        if learned:
            unsupported.apply(body, learned)
        return WireRequest("POST", self._url, self.headers(api_key), orjson.dumps(body))

    def headers(self, api_key: str | None) -> dict[str, str]:
        """The headers of every request with this key; the user's own win."""
        found = self._headers.get(api_key)
        if found is None:
            found = {"Content-Type": "application/json"}
            if api_key:
                found.update(
                    {"Authorization": f"Bearer {api_key}"} if self._auth == "authorization" else {self._auth: api_key}
                )
            own = {name.lower() for name in self._own_headers}
            found = {name: value for name, value in found.items() if name.lower() not in own} | self._own_headers
            self._headers[api_key] = found
        return found

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Failure:
        """See `failures.judge`."""
        return judge(self.name, status, headers, body, now=now, secrets=self.api_keys)

    def complete(self, body: bytes, request: ChatRequest, model: Model) -> Completion | Failure:  # noqa: ARG002 - protocol
        """See `completion.judge_completion`."""
        return judge_completion(self.name, body, self._quirks, max_tokens=request.max_tokens, secrets=self.api_keys)

    def decoder(self, request: ChatRequest, model: Model) -> StreamDecoder:  # noqa: ARG002 - protocol
        """See `openai_stream`."""
        return OpenAIStream(
            self.name,
            self._quirks,
            want_usage=request.include_usage,
            max_tokens=request.max_tokens,
            secrets=self.api_keys,
        )

    def reported_cost(self, headers: Mapping[str, str]) -> Decimal | None:
        """What the provider's cost header says, where it has one."""
        if not self._quirks.cost_header:
            return None
        value: Any = headers.get(self._quirks.cost_header)
        return None if value is None else parse_cost(value)

    def clean(self, text: str) -> str:
        """See `failures.clean_message`."""
        return clean_message(text, self.api_keys)

    def models_request(self, api_key: str | None) -> WireRequest | None:
        """The list of models, as OpenAI has it."""
        return WireRequest("GET", self._models_url, self.headers(api_key))

    def parse_models(self, body: bytes) -> list[Json]:
        """See `listing.parse_listing`."""
        return parse_listing(body)
