"""A provider's list of models, in any of the dialects of `GET /models`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import orjson

from ..core.models import Json
from ..wire.bill import parse_amount

_CONTEXT: Final = (
    "loaded_context_length", "max_model_len", "context_length", "context_window", "max_context_length",
    "max_context_window", "inputTokenLimit", "max_input_tokens",
)  # fmt: skip
_OUTPUT: Final = ("max_output_tokens", "max_completion_tokens", "outputTokenLimit", "max_tokens")
_MOST_TOKENS: Final = 10**9
_LONGEST_ID: Final = 256
_NOT_CHAT: Final = ("embed", "rerank", "whisper", "tts", "moderation", "dall-e", "imagen")


def parse_listing(body: bytes) -> list[Json]:
    """Objects with `id`, and `name`, `context`, `max_output` (tokens), `price` where told. Raises ValueError for anything else.

    `price`: decimal strings by rate, USD per million tokens (`per_request`: USD), as `catalog.build` reads them.

    Models that cannot chat are left out where their name or type says so, and figures beyond all bounds.
    """
    decoded = orjson.loads(body)
    entries = decoded.get("data", decoded.get("models")) if isinstance(decoded, dict) else decoded
    if not isinstance(entries, list):
        raise ValueError("a list of models was expected")  # noqa: TRY004 - it is the text's shape that is wrong
    return [model for entry in entries if isinstance(entry, dict) and (model := _model(entry))]


def _model(entry: Json) -> Json | None:
    model_id = entry.get("id") or entry.get("model") or entry.get("name")
    if not isinstance(model_id, str) or not 0 < len(model_id) <= _LONGEST_ID:
        return None
    kind = f"{model_id} {entry.get('type') or ''}".lower()
    if any(word in kind for word in _NOT_CHAT):
        return None
    model: Json = {"id": model_id.removeprefix("models/")}
    name = entry.get("display_name") or entry.get("name")
    if isinstance(name, str) and len(name) <= _LONGEST_ID and name not in (model_id, model["id"]):
        model["name"] = name
    meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
    if context := _first(entry, _CONTEXT) or _first(meta, ("n_ctx", "n_ctx_train")):
        model["context"] = context
    if output := _first(entry, _OUTPUT):
        model["max_output"] = output
    if price := _price(entry):
        model["price"] = price
    return model


def _price(entry: Json) -> dict[str, str] | None:
    """What the list says a model costs: by the token (`prompt`, `completion`), or by the million (`input`, `output`)."""
    told = entry.get("pricing")
    if not isinstance(told, dict):
        return None
    if entry.get("billing_mode") == "flat":
        found = {"input": Decimal(0), "output": Decimal(0), "per_request": parse_amount(told.get("flat"))}
    else:
        rates = _BY_TOKEN if "prompt" in told else _BY_MILLION
        found = {ours: parse_amount(told[theirs], scale) for ours, theirs, scale in rates if theirs in told}
    found = {name: amount for name, amount in found.items() if amount or name not in _OR_NOTHING}
    if any(amount is None for amount in found.values()) or not {"input", "output"} <= found.keys():
        return None
    return {name: format(amount.normalize(), "f") for name, amount in found.items() if amount is not None}


_MILLION: Final = 1_000_000
_BY_TOKEN: Final = (
    ("input", "prompt", _MILLION),
    ("output", "completion", _MILLION),
    ("cached_input", "input_cache_read", _MILLION),
    ("cache_write", "input_cache_write", _MILLION),
    ("cache_write_1h", "input_cache_write_1h", _MILLION),
    ("audio_input", "audio", _MILLION),
    ("audio_output", "audio_output", _MILLION),
    ("reasoning", "internal_reasoning", _MILLION),
    ("per_request", "request", 1),
    ("per_image", "image_output", 1),
)
_OR_NOTHING: Final = ("cache_write_1h", "audio_input", "audio_output", "reasoning", "per_image")
"""Listed as 0 where a model has no such price of its own."""

_BY_MILLION: Final = (("input", "input", 1), ("output", "output", 1), ("cached_input", "cached_input", 1))


def _first(entry: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = entry.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS:
            return value
    return None
