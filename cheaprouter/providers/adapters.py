"""Which adapter a provider has."""

from __future__ import annotations

from ..config.kinds import kind_of
from ..config.settings import ProviderSettings
from .adapter import Adapter
from .anthropic import Anthropic
from .openai_compatible import OpenAICompatible


def adapter_for(provider: ProviderSettings) -> Adapter:
    kind = kind_of(provider)
    return Anthropic(provider, kind) if kind.wire == "anthropic" else OpenAICompatible(provider, kind)
