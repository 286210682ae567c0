"""Which of a provider's settings nobody may be shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from .references import Hidden
from .settings import ProviderSettings

_HEADER: Final = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_SHORTEST: Final = 6
"""Letters of a part of a header: shorter ones are words that others use, too."""


def secrets_of(provider: ProviderSettings) -> set[str]:
    """Its keys, what its headers say of them, the password of its proxy, and what was put in by reference."""
    headers = provider.headers.items()
    found = {value for name, value in headers if _HEADER.search(name) or isinstance(value, Hidden)}
    parts = {value.rsplit(" ", 1)[-1] for value in found}
    password = urlsplit(provider.proxy or "").password or ""
    parts |= {password, unquote(password)}
    return {*provider.api_keys, *found, *(part for part in parts if len(part) >= _SHORTEST)}
