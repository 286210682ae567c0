"""A provider's list of models, in any of the dialects of `GET /models`. Everything in it is bounded here, where it comes in."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from ..catalog.model_kinds import CHAT, abilities_of, kind_of
from ..core.models import Json
from ..wire.bill import parse_amount
from ..wire.openai_chat.lenient import loads_numbers

MOST_MODELS: Final = 2000
"""The longest real list (Hugging Face's router, November 2026) has a few hundred."""

_LISTS: Final = ("data", "models", "model_list", "result", "results", "items", "body")
_CONTEXT: Final = (
    "loaded_context_length", "max_model_len", "context_length", "context_window", "max_context_length", "context_size",
    "max_context_window", "inputTokenLimit", "input_token_limit", "max_input_tokens", "contextLength", "contextWindow",
    "max_seq_len", "max_sequence_length",
)  # fmt: skip
_OUTPUT: Final = (
    "max_output_tokens", "max_completion_tokens", "outputTokenLimit", "output_token_limit", "max_tokens", "max_output_length",
)  # fmt: skip
_HOLDERS: Final = ("limits", "metadata", "top_provider", "model_spec", "spec")
"""Objects in which some keep a model's limits."""

_SERVED: Final = ("n_ctx", "n_ctx_train")
_MOST_TOKENS: Final = 10**9
_LONGEST_ID: Final = 256
_LONGEST_NUMBER: Final = 12


def parse_listing(body: bytes) -> list[Json]:
    """Objects with `id`, and `name`, `context`, `max_output` (tokens), `price`, `capabilities` where told. Raises ValueError for anything else.

    `price`: decimal strings by rate, USD per million tokens (`per_request`: USD), as `catalog.build` reads them.
    `capabilities`: words of `core.models.Capability`, only where the list tells all of them.

    Left out: models that cannot chat, those that are switched off, names that are none, and figures beyond all bounds.
    """
    decoded = loads_numbers(body.removeprefix(b"\xef\xbb\xbf"))
    entries = _entries(decoded)
    if entries is None:
        raise ValueError("a list of models was expected")
    models: dict[str, Json] = {}
    for entry in entries[:MOST_MODELS]:
        if isinstance(entry, str):
            entry = {"id": entry}  # noqa: PLW2901 - a bare name
        if isinstance(entry, dict) and (model := _model(entry)) is not None:
            models.setdefault(model["id"], model)
    return list(models.values())


def _entries(decoded: Any) -> list[Any] | None:
    """The list, wherever it is; None where there is none."""
    if isinstance(decoded, list):
        return decoded
    if not isinstance(decoded, dict) or decoded.get("error"):
        return None
    there = [name for name in _LISTS if name in decoded]
    found = [inner for name in there if (inner := _list_in(decoded[name])) is not None]
    if not found:
        return [] if there and all(decoded[name] is None for name in there) else None
    first, *more = found
    return _joined(first, more[0]) if more else first


def _list_in(value: Any) -> list[Any] | None:
    """An array, one in an object (`{"models": [...]}`), or an object of models by their ids."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    for name in _LISTS:
        if isinstance(value.get(name), list):
            return list(value[name])
    rows = list(value.items())[:MOST_MODELS]
    return [{"id": name, **row} for name, row in rows if isinstance(row, dict)] or None


def _joined(first: list[Any], second: list[Any]) -> list[Any]:
    """Two lists of the same models (llama.cpp tells windows in one, abilities in the other) as one."""
    known = {key: one for one in second if isinstance(one, dict) for key in (_id(one),) if key}
    joined = [{**known.get(_id(one) or "", {}), **one} if isinstance(one, dict) else one for one in first]
    return joined or second


def _id(entry: Json) -> str | None:
    model_id = entry.get("id") or entry.get("model") or entry.get("name")
    if not isinstance(model_id, str) or len(model_id) > _LONGEST_ID:
        return None
    return model_id.strip() or None


def _model(entry: Json) -> Json | None:
    model_id = _id(entry)
    if model_id is None or not model_id.isprintable() or entry.get("active") is False:
        return None
    if kind_of(entry, model_id) != CHAT:
        return None
    model: Json = {"id": model_id.removeprefix("models/")}
    name = entry.get("display_name") or entry.get("name")
    if (
        isinstance(name, str)
        and len(name) <= _LONGEST_ID
        and name.isprintable()
        and name not in (model_id, model["id"])
    ):
        model["name"] = name
    if context := _limit(entry, _CONTEXT) or _first(_inside(entry, "meta"), _SERVED):
        model["context"] = context
    if output := _limit(entry, _OUTPUT):
        model["max_output"] = output
    if price := _price(entry):
        model["price"] = price
    if (able := abilities_of(entry)) is not None:
        model["capabilities"] = able
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


def _inside(entry: Json, name: str) -> Json:
    inner = entry.get(name)
    return inner if isinstance(inner, dict) else {}


def _limit(entry: Json, names: tuple[str, ...]) -> int | None:
    """A model's own limit, else that in one of the objects where some keep it."""
    return next(filter(None, (_first(one, names) for one in _holders(entry))), None)


def _holders(entry: Json) -> Iterator[Json]:
    yield entry
    yield from (_inside(entry, name) for name in _HOLDERS)


def _first(entry: Json, names: tuple[str, ...]) -> int | None:
    return next(filter(None, (tokens(entry.get(name)) for name in names)), None)


def tokens(value: Any) -> int | None:
    """A number of tokens, also where it is written as text (`131072`, `128k`); None for what is none."""
    if isinstance(value, str):
        text = value.strip().lower()
        thousands = 1000 if text.endswith("k") else 1
        digits = text.removesuffix("k")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NUMBER):
            return None
        value = int(digits) * thousands
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value <= _MOST_TOKENS else None
