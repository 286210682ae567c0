"""What all adapters have in common: addresses, headers, errors, the list of models."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar
from urllib.parse import urlsplit

from ..config.settings import ProviderSettings
from ..core.models import Json
from .base import Failure, WireRequest
from .failures import clean_message, judge
from .listing import parse_listing
from .presets import Preset
from .usage import parse_cost


class BaseAdapter:
    """Settings and preset, put together once."""

    chat_path: ClassVar[str] = "/chat/completions"
    fixed_headers: ClassVar[Mapping[str, str]] = {"Content-Type": "application/json"}

    def __init__(self, settings: ProviderSettings, preset: Preset) -> None:
        self.name = settings.name
        self.kind = settings.kind
        self.base_url = address(settings.base_url, preset)
        self.local = preset.local if settings.local is None else settings.local
        self.timeouts = settings.timeouts or preset.timeouts
        self.api_keys = settings.api_keys
        self.quirks = preset.quirks
        self.url = f"{self.base_url}{self.chat_path}"
        self._models_url = f"{self.base_url}{preset.models_path}"
        self._key_url = f"{self.base_url}{preset.key_path}" if preset.key_path else ""
        self._auth = preset.auth
        self._own_headers = dict(settings.headers)
        self._headers: dict[str | None, dict[str, str]] = {}

    def headers(self, api_key: str | None) -> dict[str, str]:
        """The headers of every request with this key; the user's own win."""
        found = self._headers.get(api_key)
        if found is None:
            found = dict(self.fixed_headers)
            if api_key:
                bearer = self._auth == "authorization"
                found |= {"Authorization": f"Bearer {api_key}"} if bearer else {self._auth: api_key}
            own = {name.lower() for name in self._own_headers}
            found = {name: value for name, value in found.items() if name.lower() not in own} | self._own_headers
            self._headers[api_key] = found
        return found

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Failure:
        """See `failures.judge`."""
        return judge(self.name, status, headers, body, now=now, secrets=self.api_keys)

    def reported_cost(self, headers: Mapping[str, str]) -> Decimal | None:
        """What the provider's cost header says, where it has one."""
        if not self.quirks.cost_header or (value := headers.get(self.quirks.cost_header)) is None:
            return None
        return parse_cost(value)

    def clean(self, text: str) -> str:
        """See `failures.clean_message`."""
        return clean_message(text, self.api_keys)

    def models_request(self, api_key: str | None) -> WireRequest | None:
        """The list of models."""
        return WireRequest("GET", self._models_url, self.headers(api_key))

    def key_request(self, api_key: str | None) -> WireRequest | None:
        """Only for those whose list of models is public."""
        return WireRequest("GET", self._key_url, self.headers(api_key)) if self._key_url and api_key else None

    def parse_models(self, body: bytes) -> list[Json]:
        """See `listing.parse_listing`."""
        return parse_listing(body)


def address(given: str, preset: Preset) -> str:
    """The user's address or the preset's, without a slash at the end. A bare host gets the preset's path."""
    if not given:
        return preset.base_url.rstrip("/")
    given = given.strip().rstrip("/")
    return given if urlsplit(given).path else given + urlsplit(preset.base_url).path
