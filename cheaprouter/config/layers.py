"""Raw settings from several places laid over each other, remembering where each came from, and what is wrong left out. Pure.

What is left out must not open a door or a purse: a provider with a doubtful address goes as a whole (its key would reach the
wrong server), a doubtful `auth` counts as `keys`, a doubtful budget as spent, a doubtful rule of a device locks that device.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from ..core.models import Json
from ..core.records import dataclass
from .problems import Path, at

_KEYS: Final = ("api_key", "api_keys", "api_key_env")
_BROKER: Final = ("url", "host", "port", "username", "password", "tls", "embedded")
_HIDES: Final[tuple[tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]], ...]] = (
    (("providers", "*"), dict.fromkeys(_KEYS, _KEYS)),
    (("mqtt",), {"url": _BROKER, "embedded": _BROKER, "host": ("url", "embedded")}),
)
"""Settings that say the same in other words: where a layer has one, the layers below lose those it stands for."""

_DISPLAY: Final = ("currency", "usd_rate")
_LOCKED: Final = {"enabled": False}
_RULES: Final[tuple[tuple[tuple[str, ...], int, Any, str], ...]] = (
    # what the problem's path begins with, how much of that path is replaced, by what (None: nothing), said how
    (("auth",), 1, "keys", "callers need a key until this is mended"),
    (("providers", "*", "timeouts"), 3, None, "the usual time-outs are used"),
    (("providers", "*", "discover"), 3, None, "left out"),
    (("providers", "*", "models", "#"), 4, None, "this model is left out"),
    (("providers", "*"), 2, None, "this provider is left out"),
    (("aliases", "*"), 2, None, "this alias is left out"),
    (("fallbacks", "*"), 2, None, "these fallbacks are left out"),
    (("devices", "*", "daily_budget"), 3, 0, "it counts as spent until this is mended"),
    (("devices", "*", "monthly_budget"), 3, 0, "it counts as spent until this is mended"),
    (("devices", "*", "models"), 2, _LOCKED, "the device is locked until this is mended"),
    (("devices", "*", "exclude"), 2, _LOCKED, "the device is locked until this is mended"),
    (("devices", "*", "schedule"), 2, _LOCKED, "the device is locked until this is mended"),
    (("devices", "*", "enabled"), 3, False, "the device is locked until this is mended"),
    (("devices", "*", "*"), 3, None, "left out"),
    (("budget", "daily"), 2, 0, "it counts as spent until this is mended"),
    (("budget", "monthly"), 2, 0, "it counts as spent until this is mended"),
    (("routing", "max_cost"), 2, 0, "only what costs nothing is used until this is mended"),
    (("mqtt",), 1, {"enabled": False}, "MQTT stays off until this is mended"),
    (("usd_rate",), 1, None, "amounts are shown in USD"),
    (("currency",), 1, None, "amounts are shown in USD"),
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One source's raw settings, and what of it was not understood.

    `origins`: a dotted path's source where that is known more closely than `source`. `secrets`: what was put in by reference.
    """

    source: str
    raw: Json
    origins: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def merge(layers: Iterable[Layer]) -> tuple[Json, dict[str, str]]:
    """Lay later layers over earlier ones, mapping by mapping; lists and single values are replaced.

    Also says where each dotted path is from.
    """
    merged: Json = {}
    sources: dict[str, str] = {}
    for layer in layers:
        raw = {**layer.raw, "mqtt": spelled_out(layer.raw["mqtt"])} if "mqtt" in layer.raw else layer.raw
        _lay(merged, raw, layer, (), sources)
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


def spelled_out(mqtt: Any) -> Any:
    """`embedded`, `false` and a bare URL as the broker's settings that they stand for."""
    if mqtt == "embedded":
        return {"embedded": True}
    if mqtt is False:
        return {"enabled": False}
    return {"url": mqtt} if isinstance(mqtt, str) else mqtt


def without(raw: Json, paths: list[Path]) -> tuple[Json, list[str]]:
    """A copy of the raw settings without what is wrong at these paths, and what was done about each, in words."""
    kept = copy.deepcopy(raw)
    rules = {path: _rule(path) for path in paths}
    targets = {path[:depth]: instead for path, (depth, instead, _) in rules.items()}
    for target in sorted(targets, key=_order, reverse=True):
        _replace(kept, target, copy.deepcopy(targets[target]))
    if any(path and path[0] in _DISPLAY for path in paths):
        for key in _DISPLAY:
            kept.pop(key, None)
    return kept, [rules[path][2] for path in paths]


def _order(path: Path) -> tuple[tuple[int, int | str], ...]:
    """List positions from the end first, so that the earlier ones stay where they are."""
    return tuple((0, part) if isinstance(part, int) else (1, str(part)) for part in path)


def _rule(path: Path) -> tuple[int, Any, str]:
    for pattern, depth, instead, words in _RULES:
        if len(path) >= len(pattern) and all(_fits(*pair) for pair in zip(pattern, path, strict=False)):
            return depth, instead, words
    return (len(path), None, "left out")


def _fits(pattern: str, part: str | int) -> bool:
    return pattern in ("*", part) or (pattern == "#" and isinstance(part, int))


def _replace(raw: Json, path: Path, instead: Any) -> None:
    if not path:
        raw.clear()
        return
    holder, last = at(raw, path[:-1]), path[-1]
    if isinstance(holder, dict):
        holder.pop(last, None)
        if instead is not None:
            holder[last] = instead
    elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
        del holder[last]
