"""What a request used, whichever vendor's words tell it: tokens by kind, the vendor's own bill, how it was served.

One canonical `Usage` comes of it, checked by arithmetic: `prompt_tokens` holds what was read from and written to a cache,
`completion_tokens` holds reasoning, whether the vendor counts them so or apart. The dialects are those of OpenAI (chat and
Responses), Anthropic and gateways that pass its words on (LiteLLM), DeepSeek, Moonshot, xAI, Gemini, Mistral, Perplexity,
OpenRouter, DeepInfra, Groq, Bedrock, Ollama and llama.cpp, as documented or seen by November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

import orjson

from ..core.models import Json, Special, Usage
from .bill import billed_in, parse_amount

MOST_TOKENS: Final = 10**9
"""A count beyond is a mistake, and is not taken: the widest windows hold some 10 million."""

MOST_HIDDEN: Final = 10_000_000
"""Tokens that a total may hold beyond what is told of it; more is a total of something else."""

_PROMPT: Final = (
    "prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens", "prompt_token_count", "prompt_eval_count",
)  # fmt: skip
_COMPLETION: Final = (
    "completion_tokens", "output_tokens", "candidatesTokenCount", "outputTokens", "candidates_token_count", "eval_count",
)  # fmt: skip
_TOTAL: Final = ("total_tokens", "totalTokenCount", "totalTokens", "total_token_count")
_OF_PROMPT: Final = ("prompt_tokens_details", "input_tokens_details", "promptTokensDetails", "prompt_token_details")
_OF_COMPLETION: Final = (
    "completion_tokens_details", "output_tokens_details", "candidatesTokensDetails", "completion_token_details",
)  # fmt: skip
_READ: Final = (
    "cache_read_input_tokens", "cacheReadInputTokens", "prompt_cache_hit_tokens", "cached_tokens", "cachedContentTokenCount",
    "cached_content_token_count",
)  # fmt: skip
_READ_INSIDE: Final = ("cached_tokens", "cache_read_tokens", "cache_read_input_tokens")
_WRITTEN: Final = ("cache_creation_input_tokens", "cacheWriteInputTokens", "cache_write_input_tokens")
_WRITTEN_INSIDE: Final = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
_REASONING: Final = ("reasoning_tokens", "thinking_tokens", "thoughtsTokenCount", "thoughts_token_count")
_HOUR: Final = ("ephemeral_1h_input_tokens", "cache_write_1h_tokens")
_MINUTES: Final = ("ephemeral_5m_input_tokens", "cache_write_5m_tokens")
_ANTHROPIC: Final = (
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
)
"""Names under which what is cached is mostly counted beside the prompt."""

_SEARCHES: Final = ("web_search_requests", "num_search_queries", "num_sources_used", "web_searches")
"""What is billed by the piece, by vendors who mostly tell their own bill; without it the cost is unknown."""

_FREE_TOOLS: Final = frozenset({"web_fetch_requests", "tool_search_requests"})
"""Of a vendor's own tools those whose use costs the tokens alone: https://platform.claude.com/docs (November 2026)."""

_IMAGES: Final = ("image_count", "generated_images", "num_images")
_CHARACTERS: Final = ("input_characters", "characters")
USUAL_SERVICE: Final = frozenset({
    "", "auto", "default", "standard", "standard_only", "on_demand", "on-demand", "scale", "none", "regular",
})  # fmt: skip
"""Words for a way of being served that costs what the price says."""

_LONGEST_SERVICE: Final = 32
_USUAL: Final = frozenset({
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
})  # fmt: skip
_USUAL_PROMPT: Final = frozenset({"cached_tokens", "audio_tokens", "text_tokens", "image_tokens"})
_USUAL_COMPLETION: Final = frozenset({
    "reasoning_tokens", "audio_tokens", "text_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens",
})  # fmt: skip
_NOTHING: Final[Mapping[str, Any]] = {}
_PLACES: Final = ("x_groq", "usageMetadata", "usage_metadata")


def usage_in(chunk: Json) -> Any:
    """The usage object of a reply or chunk, wherever this vendor puts it."""
    usage = chunk.get("usage")
    if usage is not None:
        return usage
    if "choices" in chunk:
        choices = chunk["choices"]
        if type(choices) is list and choices and type(choices[0]) is dict and "usage" in choices[0]:
            return choices[0]["usage"]  # Moonshot
    for place in _PLACES:
        if place in chunk:
            found = chunk[place]
            return found.get("usage") if place == "x_groq" and isinstance(found, dict) else found
    return None


def in_openai_words(usage: Any) -> Json | None:
    """The same usage with OpenAI's three counts in it, itself where it has them; None for what is no usage at all."""
    if type(usage) is not dict:
        return None
    if (
        type(usage.get("total_tokens"))
        is type(usage.get("prompt_tokens"))
        is type(usage.get("completion_tokens"))
        is int
    ):
        return usage
    found = parse_usage(usage)
    if found is None or not found.total_tokens:
        return usage
    counts = {"prompt_tokens": found.prompt_tokens, "completion_tokens": found.completion_tokens}
    return {**usage, **counts, "total_tokens": found.total_tokens}


def read_usage(reply: Json) -> Usage | None:
    """The usage that a reply or chunk tells; None where it tells no counts."""
    usage = usage_in(reply)
    if usage is None:
        return None
    return parse_usage(usage, reply.get("service_tier"))


_LONGEST_USAGE: Final = 4096
"""Bytes of a usage object that is looked for in what is no JSON."""

_PLACES_TRIED: Final = 4
_NAME: Final = b'"usage"'
_OPENING, _CLOSING = b"{}"


def usage_inside(body: bytes) -> Json | None:
    """The last usage object in a text that is no JSON as a whole, as a reply with nothing else in it; None where there is none."""
    end = len(body)
    for _ in range(_PLACES_TRIED):
        if (end := body.rfind(_NAME, 0, end)) < 0:
            break
        start = end + len(_NAME)
        told = body[start : start + _LONGEST_USAGE].lstrip(b" \t\r\n:")
        level = 0
        for place, byte in enumerate(told, 1):
            level += (byte == _OPENING) - (byte == _CLOSING)
            if level <= 0:
                with suppress(orjson.JSONDecodeError):
                    return {"usage": orjson.loads(told[:place])}
                break
    return None


def parse_usage(usage: Any, service: Any = None) -> Usage | None:
    """Read a `usage` object; None where it holds neither counts nor a bill.

    `service`: the service tier that stands beside it, in OpenAI's words.
    """
    if type(usage) is not dict:
        return None
    if (service is None or service == "default") and usage.keys() <= _USUAL and (found := _usual(usage)) is not None:
        return found
    return _read(usage, service)


def _usual(usage: Json) -> Usage | None:
    """OpenAI's own words with nothing special in them, as most are; None where there is more to look at."""
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int:
        return None
    if not (0 < prompt < MOST_TOKENS and 0 < completion < MOST_TOKENS):
        return None
    if "total_tokens" in usage and usage["total_tokens"] != prompt + completion:
        return None
    cached = reasoning = 0
    if inner := usage.get("prompt_tokens_details"):
        cached = _only(inner, _USUAL_PROMPT, "cached_tokens")
    if outer := usage.get("completion_tokens_details"):
        reasoning = _only(outer, _USUAL_COMPLETION, "reasoning_tokens")
    if 0 <= cached <= prompt and 0 <= reasoning <= completion:
        return Usage(prompt, completion, cached, 0, reasoning)
    return None


def _only(details: Any, usual: frozenset[str], name: str) -> int:
    """The one count that matters in details which hold no other; less than nothing where there is more to look at."""
    if type(details) is not dict or not details.keys() <= usual or details.get("audio_tokens"):
        return -1
    found = details.get(name) or 0
    return found if type(found) is int else -1


def _read(usage: Json, service: Any) -> Usage | None:
    inner, outer = _object(usage, _OF_PROMPT), _object(usage, _OF_COMPLETION)
    prompt, completion, total = _first(usage, _PROMPT), _first(usage, _COMPLETION), _first(usage, _TOTAL)
    cached = _first(inner, _READ_INSIDE) or _first(usage, _READ)
    written, hour = _written(usage, inner)
    reasoning = _first(outer, _REASONING) or _first(usage, _REASONING)
    if _apart(usage, prompt, completion, total, cached + written, reasoning):
        prompt += cached + written
    prompt, completion, reasoning = _whole(usage, prompt, completion, total, reasoning)
    bill, fee_only = billed_in(usage)
    if not prompt and not completion and bill is None:
        return None
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=min(reasoning, completion),
        reported_cost=None if fee_only else bill,
        special=_special(usage, inner, outer, min(hour, written), service, bill if fee_only else None),
    )


def _apart(usage: Json, prompt: int, completion: int, total: int, cache: int, reasoning: int) -> bool:
    """Whether what was read from and written to a cache is counted beside the prompt, not in it."""
    if not cache:
        return False
    if total and total == prompt + completion + cache and reasoning != cache:
        return True
    if not any(name in usage for name in _ANTHROPIC):
        return False
    return cache > prompt or ("prompt_tokens" not in usage and total != prompt + completion)


def _whole(usage: Json, prompt: int, completion: int, total: int, reasoning: int) -> tuple[int, int, int]:
    """Prompt, completion and reasoning where some are told by the total alone, or beside what they belong to."""
    gap = total - prompt - completion
    if not prompt and not any(name in usage for name in _PROMPT):
        return max(0, gap), completion, reasoning
    if not completion and not any(name in usage for name in (*_COMPLETION, *_REASONING)) and gap > 0:
        return prompt, gap, reasoning
    if 0 < gap <= MOST_HIDDEN:  # xAI, Gemini: thoughts are in the total, and not in the completion
        return prompt, completion + gap, reasoning or gap
    if reasoning > completion:  # Perplexity: they are in neither
        return prompt, completion + reasoning, reasoning
    return prompt, completion, reasoning


def _written(usage: Json, inner: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens written to a cache, and those of them that it keeps for an hour."""
    spans = usage.get("cache_creation")
    spans = spans if isinstance(spans, dict) else inner
    hour, minutes = _first(spans, _HOUR), _first(spans, _MINUTES)
    written = _first(inner, _WRITTEN_INSIDE) or _first(usage, _WRITTEN)
    return max(written, hour + minutes), hour


def _special(
    usage: Json, inner: Mapping[str, Any], outer: Mapping[str, Any], hour: int, service: Any, fee: Decimal | None
) -> Special | None:
    """What has a price of its own; None for nearly all."""
    served = service_words(usage.get("service_tier"), service)
    heard, spoken, drawn = _of_kind(inner, "audio"), _of_kind(outer, "audio"), _of_kind(outer, "image")
    if usage.keys().isdisjoint(_PIECES):
        if not (hour or heard or spoken or drawn or served or fee):
            return None
        return Special(hour, heard, spoken, drawn, service=served, fees=fee or Decimal(0))
    tools = usage.get("server_tool_use")
    found = Special(
        hour,
        heard,
        spoken,
        drawn,
        _seconds(usage),
        _first(usage, _CHARACTERS),
        _first(usage, _IMAGES),
        served,
        fee or Decimal(0),
        bool(_first(usage, _SEARCHES) or (isinstance(tools, dict) and _billed_tools(tools))),
    )
    return None if found == _NOTHING_SPECIAL else found


_NOTHING_SPECIAL: Final = Special()
_PIECES: Final = frozenset(
    {"server_tool_use", "type", "seconds", "prompt_audio_seconds", *_CHARACTERS, *_IMAGES, *_SEARCHES}
)


def _billed_tools(used: Json) -> bool:
    """Whether a vendor's own tools were used that it charges for, so that nobody here knows the cost."""
    return any(count(times) for name, times in used.items() if name not in _FREE_TOOLS)


def service_words(*told: Any) -> tuple[str, ...]:
    """How a request was served, in one lower-case word; none where it was as usual, or nobody says."""
    for word in told:
        if isinstance(word, str) and word:
            plain = word.lower()
            return () if plain in USUAL_SERVICE else (plain[:_LONGEST_SERVICE],)
    return ()


def _of_kind(details: Mapping[str, Any], kind: str) -> int:
    """Tokens of sound or pictures: `audio_tokens`, or Google's list by modality."""
    if listed := details.get("modalities"):
        items = (item for item in listed if isinstance(item, dict) and str(item.get("modality")).lower() == kind)
        return sum(_first(item, ("tokenCount", "token_count")) for item in items)
    return _first(details, (f"{kind}_tokens",))


def _seconds(usage: Json) -> Decimal:
    """Seconds of sound that are billed as such: transcriptions, Mistral's voice models."""
    told = usage.get("seconds") if usage.get("type") == "duration" else usage.get("prompt_audio_seconds")
    return parse_amount(told) or Decimal(0)


def _object(usage: Json, names: tuple[str, ...]) -> Mapping[str, Any]:
    for name in names:
        if name in usage:
            found = usage[name]
            if isinstance(found, dict):
                return found
            if isinstance(found, list):
                return {"modalities": found}
    return _NOTHING


def _first(counts: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """The first of some names under which a count stands, else 0."""
    for name in names:
        if name in counts and (found := count(counts[name])):
            return found
    return 0


def count(value: Any) -> int:
    """Tokens, as a number or its digits; 0 for anything else, and beyond all bounds."""
    if type(value) is int:
        return value if 0 < value < MOST_TOKENS else 0
    if isinstance(value, str):
        return count(int(value)) if len(value) <= _MOST_DIGITS and value.isascii() and value.isdigit() else 0
    return int(value) if isinstance(value, float) and 0 < value < MOST_TOKENS else 0


_MOST_DIGITS: Final = 15
