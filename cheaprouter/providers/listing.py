"""A provider's list of models, in any of the dialects of `GET /models`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from ..models import Json

_CONTEXT: Final = (
    "loaded_context_length", "max_model_len", "context_length", "context_window", "max_context_length",
    "max_context_window", "inputTokenLimit", "max_input_tokens",
)  # fmt: skip
_OUTPUT: Final = ("max_output_tokens", "max_completion_tokens", "outputTokenLimit", "max_tokens")
_NOT_CHAT: Final = ("embed", "rerank", "whisper", "tts", "moderation", "dall-e", "imagen")


def parse_listing(body: bytes) -> list[Json]:
    """Objects with `id`, and `name`, `context`, `max_output` (tokens) where told. Raises ValueError for anything else.

    Models that cannot chat are left out where their name or type says so.
    """
    decoded = orjson.loads(body)
    entries = decoded.get("data", decoded.get("models")) if isinstance(decoded, dict) else decoded
    if not isinstance(entries, list):
        raise ValueError("a list of models was expected")  # noqa: TRY004 - it is the text's shape that is wrong
    return [model for entry in entries if isinstance(entry, dict) and (model := _model(entry))]


def _model(entry: Json) -> Json | None:
    model_id = entry.get("id") or entry.get("model") or entry.get("name")
    if not isinstance(model_id, str) or not model_id:
        return None
    kind = f"{model_id} {entry.get('type') or ''}".lower()
    if any(word in kind for word in _NOT_CHAT):
        return None
    model: Json = {"id": model_id.removeprefix("models/")}
    name = entry.get("display_name") or entry.get("name")
    if isinstance(name, str) and name not in (model_id, model["id"]):
        model["name"] = name
    meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
    if context := _first(entry, _CONTEXT) or _first(meta, ("n_ctx", "n_ctx_train")):
        model["context"] = context
    if output := _first(entry, _OUTPUT):
        model["max_output"] = output
    return model


def _first(entry: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = entry.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
