"""Addresses as clients put them together: a slash too many, `/v1` twice, the endpoint pasted where the base belongs. Pure."""

from __future__ import annotations

import re
from typing import Final

_CHAT: Final = "chat/completions"
_BASE: Final = re.compile(r"(?:/+(?:v1|chat/+completions))+(?=/|\Z)")
_PARTS: Final = re.compile(r"v1|chat")


def tidy(target: str) -> str:
    """A request's target as it was meant; one that is as it should be, or belongs to nobody we know, comes back as it is."""
    path, mark, query = target.partition("?")
    if not path.startswith("/"):
        return target  # an absolute URL, or `*`
    base = _BASE.match(path)
    rest = (path[base.end() :] if base else path).strip("/")
    parts = _PARTS.findall(base[0]) if base else []
    meant = [part for part in ("v1", _CHAT) if part[:4] in parts]
    if rest and _CHAT in meant:
        meant.remove(_CHAT)  # whoever pasted the endpoint as the base also asks it for the models
    return "/" + "/".join((*meant, *([rest] if rest else []))) + mark + query
