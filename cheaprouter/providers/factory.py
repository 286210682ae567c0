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
    """The preset of a provider's kind. `openai` with an address that is nobody's we know is a plain server.

    Raises KeyError for a kind that does not exist; the schema has refused those before.
    """
    if provider.kind == "mock":
        return Preset("mock", MOCK_URL, local=True)
    preset = PRESETS[provider.kind]
    if provider.kind != "openai" or not provider.base_url:
        return preset
    host = urlsplit(provider.base_url).hostname or ""
    if (known := _by_host(host)) is not None:
        return known
    timeouts = LOCAL_TIMEOUTS if provider.local else preset.timeouts
    return Preset("openai", provider.base_url, quirks=GENERIC, timeouts=timeouts)


def _by_host(host: str) -> Preset | None:
    """The preset whose server this is, for users who gave an address instead of a name."""
    if host.endswith(".openai.azure.com"):
        return PRESETS["azure"]
    hosts = {urlsplit(p.base_url).hostname: p for p in PRESETS.values() if not p.local and p.wire == "openai"}
    return hosts.get(host)


def adapter_for(provider: ProviderSettings) -> Adapter:
    """The adapter that speaks this provider's wire."""
    preset = preset_for(provider)
    return Anthropic(provider, preset) if preset.wire == "anthropic" else OpenAICompatible(provider, preset)
