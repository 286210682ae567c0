"""From a provider's settings to its adapter."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..config.settings import ProviderSettings
from .anthropic import Anthropic
from .base import Adapter
from .openai_compatible import OpenAICompatible
from .presets import GENERIC, LOCAL_TIMEOUTS, PRESETS, Preset

MOCK_URL = "mock://mock/v1"


def preset_for(provider: ProviderSettings) -> Preset:
    """The preset of a provider's kind. `openai` with somebody else's address is a server we know nothing about.

    Raises KeyError for a kind that does not exist; the schema has refused those before.
    """
    if provider.kind == "mock":
        return Preset("mock", MOCK_URL, local=True)
    preset = PRESETS[provider.kind]
    if provider.kind == "openai" and provider.base_url and urlsplit(provider.base_url).hostname != "api.openai.com":
        timeouts = LOCAL_TIMEOUTS if provider.local else preset.timeouts
        return Preset("openai", provider.base_url, quirks=GENERIC, timeouts=timeouts)
    return preset


def adapter_for(provider: ProviderSettings) -> Adapter:
    """The adapter that speaks this provider's wire."""
    preset = preset_for(provider)
    return Anthropic(provider, preset) if preset.wire == "anthropic" else OpenAICompatible(provider, preset)
