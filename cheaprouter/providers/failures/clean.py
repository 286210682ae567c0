"""An upstream's words made fit to be shown: no secrets, one line, not too long."""

from __future__ import annotations

import re
from typing import Any, Final

LONGEST_MESSAGE: Final = 500
LONGEST_CODE: Final = 64
LONGEST_PARAM: Final = 200

_LONGEST_READ: Final = 16_384
"""Characters of a text that are looked at at all; what is shown of it is much shorter."""

_CREDENTIAL: Final = re.compile(
    r"(?i:\bbearer\s+)[^\s\"',;]{6,}|\b(?:cr|sk|gsk|brk_live|xai|nvapi|AIza|rk|pk|hf|r8)[-_]?[A-Za-z0-9][A-Za-z0-9_*.\-]{10,}"
)

_LOGIN: Final = re.compile(r"//[^\s/?#@]{1,256}@")


def clean_message(text: str, secrets: tuple[str, ...] = ()) -> str:
    """One line that a client may see: no key, registered or by its looks, no control characters, not too long."""
    text = text[:_LONGEST_READ]
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _LOGIN.sub("//***@", _CREDENTIAL.sub("***", text))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def clean_word(value: Any, longest: int, secrets: tuple[str, ...] = ()) -> str | None:
    """An upstream's code, type or parameter, fit for books and headers: printable ASCII, no key, not too long."""
    if not isinstance(value, str):
        return None
    text = clean_message(value[: 4 * LONGEST_MESSAGE], secrets).encode("ascii", "ignore").decode()
    return text.strip()[:longest] or None
