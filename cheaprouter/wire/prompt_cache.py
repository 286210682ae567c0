"""What vendors keep of a prompt's beginning: how long, from which length on, and whether it has to be asked for.

A prompt that begins as an earlier one did is read from there at a fraction of the price, by the same vendor, model and
account. Lifetimes are those without further use, of which each starts them anew; where a vendor gives a range or none, the least
that can be counted on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..core.records import dataclass


@dataclass(frozen=True, slots=True)
class PromptCache:
    """`seconds`: how long a beginning is kept. `least`: tokens that it must have. `source`: the vendor's page, and when it was read."""

    seconds: float = 300.0
    least: int = 1024
    source: str = ""


_FIVE_MINUTES: Final = 300.0
_ANTHROPIC: Final = "https://platform.claude.com/docs/en/build-with-claude/prompt-caching (2026-09)"
_GOOGLE: Final = "https://ai.google.dev/gemini-api/docs/caching (2026-10)"

UNKNOWN: Final = PromptCache(source="no vendor documents less, except Google for some")
VENDORS: Final[Mapping[str, PromptCache]] = {
    "openai": PromptCache(
        _FIVE_MINUTES, 1024, "https://developers.openai.com/docs/guides/prompt-caching (2026-03): 5 to 10"
    ),
    "azure": PromptCache(_FIVE_MINUTES, 1024, "as OpenAI"),
    "anthropic": PromptCache(_FIVE_MINUTES, 1024, _ANTHROPIC),
    "gemini": PromptCache(180.0, 2048, f"{_GOOGLE}; 3 to 5 minutes, as seen by others"),
    "openrouter": PromptCache(_FIVE_MINUTES, 1024, "https://openrouter.ai/docs/features/prompt-caching (2026-06)"),
    "groq": PromptCache(7200.0, 1024, "https://console.groq.com/docs/prompt-caching (2026-06)"),
    "deepseek": PromptCache(3600.0, 64, "https://api-docs.deepseek.com/guides/kv_cache (2026-06): hours to days"),
    "xai": PromptCache(
        _FIVE_MINUTES, 1024, "https://docs.x.ai/developers/advanced-api-usage/prompt-caching (2026-06): no word"
    ),
    "llamacpp": PromptCache(3600.0, 1, "kept until another prompt takes the slot"),
    "ollama": PromptCache(_FIVE_MINUTES, 1, "kept as long as the model is loaded: keep_alive, 5 minutes"),
}
"""By kind of provider; `of` for one model."""

_LEAST: Final = tuple(
    (re.compile(pattern), least)
    for pattern, least in (
        (r"claude-(?:opus|haiku)-4[-.][5-9]", 4096),
        (r"claude-sonnet-4[-.][6-9]", 2048),
        (r"claude-(?:haiku-3|3-(?:5-)?haiku|3\.5-haiku)", 2048),
        (r"claude-(?:sonnet-4|opus-4|sonnet-3|3-7-|3\.7-|3-5-sonnet|3\.5-sonnet|3-opus)", 1024),
        (r"claude", 4096),
        (r"gemini-2", 2048),
        (r"gemini", 4096),
    )
)
"""Tokens from which a beginning is kept, by the model's name; of Claude models that came later the largest figure of all. The first that
matches holds. From the pages of Anthropic (reported otherwise for Sonnet 4.6: 1,024; the larger one is taken) and Google."""

LONGEST_NAME: Final = 100


def of(kind: str, upstream: str = "") -> PromptCache:
    """What a vendor keeps of prompts to one of its models. `upstream`: the model's name there."""
    found = VENDORS.get(kind, UNKNOWN)
    least = least_of(upstream)
    return found if least is None else PromptCache(found.seconds, least, found.source)


def least_of(upstream: str) -> int | None:
    """Tokens from which a beginning is kept, by a model's name; None where that says nothing."""
    name = upstream[:LONGEST_NAME]
    return next((least for pattern, least in _LEAST if pattern.search(name)), None)
