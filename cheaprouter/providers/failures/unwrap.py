"""Finds what a vendor said under whatever gateways wrapped around it.

OpenRouter hands the vendor's reply on as a string in `error.metadata.raw`, Gemini puts its errors in an array, proxies
write JSON into `message` or `detail`, and some put an event stream where an object belongs. All of it is walked from the outside in,
a few layers deep, never by recursion: what an upstream sends may be nested as deep as it likes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import field
from itertools import islice
from typing import Any, Final

import orjson

from ...core.models import Json
from ...core.records import dataclass

LONGEST_WORDS: Final = 4096
"""Characters of a message that anything is read from or shown of."""

_MOST_LAYERS: Final = 12
_MOST_EVENTS: Final = 50
_LONGEST_TEXT: Final = 64 * 1024
"""Characters of a string that are read as JSON."""

_MARKUP: Final = re.compile(rb"\s{0,64}<[a-zA-Z!?]")
_STATUS: Final = re.compile(r"[45][0-9][0-9]")

_INNER: Final = (
    "error",
    "errors",
    "metadata",
    "raw",
    "detail",
    "message",
    "base_resp",
    "response",
    "innererror",
    "body",
    "msg",
)
"""Keys under which there may be more, in the order in which they are looked into."""

_CODES: Final = ("code", "type", "status", "error_code", "reason")
_WORDS: Final = ("message", "detail", "msg", "error_message", "status_msg", "error", "title", "raw")
_STATUSES: Final = ("code", "status", "status_code", "http_status", "error_code")


@dataclass(frozen=True, slots=True)
class Told:
    """What was said. `layers`: every object found, the outermost first. `words`: of the innermost that has any, their beginning.

    `codes`: codes and types in lower case, the innermost first. `status`: a status of 400 to 599 that it names. `headers`: a wrapped
    reply's own, in lower case. `markup`: it is a page for people. `error`: the object with `param` and the like.
    """

    layers: tuple[Json, ...] = ()
    words: str = ""
    codes: tuple[str, ...] = ()
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    markup: bool = False

    @property
    def relayed(self) -> bool:
        """Whether a gateway such as OpenRouter hands on what the vendor behind it said to *its* key."""
        return any(layer.get("provider_name") and layer.get("raw") for layer in self.layers)

    @property
    def error(self) -> Json:
        """The innermost object that has words or a code of its own, else the innermost one."""
        named = (layer for layer in reversed(self.layers) if "message" in layer or "code" in layer)
        return next(named, self.layers[-1] if self.layers else {})


def unwrap(body: bytes) -> Told:
    """Read a reply's body: JSON, an event stream, a page or plain words."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    if _MARKUP.match(body):
        return Told(markup=True)
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body[: 4 * _LONGEST_TEXT].decode(errors="replace").strip()
        decoded = _of_events(text) or _json_in(text) or text
    return unwrapped(decoded)


def unwrapped(decoded: Any) -> Told:
    """The same for a value that was decoded already."""
    layers: list[Json] = []
    plain: list[str] = []
    waiting = deque([decoded])
    while waiting and len(layers) < _MOST_LAYERS:
        value = waiting.popleft()
        if isinstance(value, str):
            value = _json_in(value) if value is not decoded else None
        if isinstance(value, list):  # a validator's rows, which have a `loc`, stay together
            value = next((item for item in value if isinstance(item, dict) and "loc" not in item), None)
        if isinstance(value, dict):
            layers.append(value)
            waiting.extend(value[name] for name in _INNER if isinstance(value.get(name), (dict, list, str)))
    if isinstance(decoded, str):
        plain.append(decoded)
    words = next(filter(None, map(_words, reversed(layers))), plain[0] if plain else "")
    return Told(tuple(layers), words[:LONGEST_WORDS], tuple(_codes(layers)), _status(layers), _headers(layers))


def _json_in(text: str) -> Any:
    """The object or array that a string holds, also after some words; None where there is none."""
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    end = max(text.rfind("}"), text.rfind("]"))
    if start < 0 or not 0 < end - start < _LONGEST_TEXT:
        return None
    try:
        found = orjson.loads(text[start : end + 1])
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    if isinstance(found, dict) and text[:start].strip() and not _is_error(found):
        return None
    return found if isinstance(found, (dict, list)) else None


def _is_error(found: Json) -> bool:
    """Whether an object in the middle of a text is an error, and not something that the text speaks of."""
    return bool(found.get("error")) or ("message" in found and ("code" in found or "type" in found))


def _of_events(text: str) -> Any:
    """The first event of a stream that holds an object."""
    if not text.startswith(("data:", "event:", ":", "id:")):
        return None
    lines = (line[5:] for line in text[:_LONGEST_TEXT].splitlines() if line.startswith("data:"))
    return next(filter(None, map(_json_in, islice(lines, _MOST_EVENTS))), None)


def _words(layer: Json) -> str:
    """What it says to people; a string that holds JSON is a layer of its own, unless it holds no words."""
    for name in _WORDS:
        value = layer.get(name)
        if isinstance(value, str) and value.strip():
            inner = _json_in(value) if value.lstrip().startswith(("{", "[")) else None
            if not isinstance(inner, (dict, list)):
                return value
    for name in ("detail", "message"):  # a validator's list, which has words in each of its rows
        if layer.get(name) and isinstance(layer[name], (list, dict)):
            return _dumped(layer[name])
    return ""


def _dumped(value: Any) -> str:
    """As JSON, or nothing where it is nested deeper than can be written."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return ""


def _codes(layers: list[Json]) -> Iterator[str]:
    for layer in reversed(layers):
        for name in _CODES:
            value = layer.get(name)
            if isinstance(value, str) and 0 < len(value) <= 200:  # longer ones are sentences
                yield value.lower()
        for name in ("status_code", "code"):  # MiniMax's, whose numbers are its own
            if type(number := layer.get(name)) is int and 1000 <= number < 10_000:
                yield f"minimax {number}"


def _status(layers: list[Json]) -> int | None:
    values = (layer.get(name) for layer in reversed(layers) for name in _STATUSES)
    texts = (str(v)[:4] for v in values if isinstance(v, (int, str)) and not isinstance(v, bool))
    return next((int(text) for text in texts if _STATUS.fullmatch(text)), None)


def _headers(layers: list[Json]) -> Mapping[str, str]:
    for layer in layers:
        headers = layer.get("headers")
        if isinstance(headers, dict):
            return {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}
    return {}
