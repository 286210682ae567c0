"""Settings from several places laid over each other, remembering where each came from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..core.models import Json

_KEYS: Final = ("api_key", "api_keys", "api_key_env")
_BROKER: Final = ("url", "host", "port", "username", "password", "tls", "embedded")
_HIDES: Final[tuple[tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]], ...]] = (
    (("providers", "*"), dict.fromkeys(_KEYS, _KEYS)),
    (("mqtt",), {"url": _BROKER, "embedded": _BROKER, "host": ("url", "embedded")}),
)
"""Settings that say the same in other words: where a layer has one, the layers below lose those it stands for."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One source's raw settings. `origins`: a dotted path's source where that is known more closely than `source`."""

    source: str
    raw: Json
    origins: Mapping[str, str]


def merge(layers: Iterable[Layer]) -> tuple[Json, dict[str, str]]:
    """Lay later layers over earlier ones, mapping by mapping; lists and single values are replaced.

    Also says where each dotted path is from.
    """
    merged: Json = {}
    sources: dict[str, str] = {}
    for layer in layers:
        _lay(merged, _spelled_out(layer.raw), layer, (), sources)
    return merged, sources


def _lay(below: Json, above: Json, layer: Layer, path: tuple[str, ...], sources: dict[str, str]) -> None:
    for hidden in _hidden(path, above):
        below.pop(hidden, None)
        sources.pop(".".join((*path, hidden)), None)
    for key, value in above.items():
        where = (*path, str(key))
        if isinstance(value, dict) and (value or not isinstance(below.get(key), dict)):
            inner = below.get(key)
            below[key] = inner if isinstance(inner, dict) else {}
            _lay(below[key], value, layer, where, sources)
        elif value is not None and value != {}:
            below[key] = value
            dotted = ".".join(where)
            sources[dotted] = layer.origins.get(dotted, layer.source)


def _hidden(path: tuple[str, ...], above: Json) -> Iterator[str]:
    for pattern, rules in _HIDES:
        if len(pattern) == len(path) and all(a in ("*", b) for a, b in zip(pattern, path, strict=True)):
            for key in rules.keys() & above.keys():
                yield from rules[key]


def _spelled_out(raw: Json) -> Json:
    """`mqtt: embedded`, `mqtt: false` and a bare URL as the mappings they stand for, so that layers can meet."""
    mqtt: Any = raw.get("mqtt")
    if mqtt == "embedded":
        return {**raw, "mqtt": {"embedded": True}}
    if mqtt is False:
        return {**raw, "mqtt": {"enabled": False}}
    if isinstance(mqtt, str):
        return {**raw, "mqtt": {"url": mqtt}}
    return raw
