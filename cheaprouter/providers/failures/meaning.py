"""Decides what an error means: its status and codes first, then a time that it states, the vendors' sentences, and likeness last."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from ..complaints import CHANGEABLE, Changes, adaptation
from ..refusals import TOOLS_STREAMED, ceiling_below
from .asked import Asked
from .codes import CODES, KINDS, STATUSES
from .likeness import about_ability, about_filter, about_stream, about_tools, about_window
from .sentences import Sentence
from .unwrap import Told
from .verdict import Meaning

FULL: Final = 0.8
"""From this part of a model's window on, by our own estimate, an error about length is one about the window, in whatever words."""

_LENGTH: Final = re.compile(r"token|length|too (?:long|large|many|big)|context|exceed|limit|maximum|size|长度|超")
_WRAPPERS: Final = (200, 400, 500, 502, 503)
"""Statuses under which gateways hand on what the vendor answered with another one."""

_PARAMETER_CODES: Final = ("unsupported_", "unknown_parameter", "extra_forbidden")

_SERVERS: Final = (408, 409, 425, 504)
_MEANINGS: Final[Mapping[int, Meaning]] = {
    400: Meaning.REQUEST,
    401: Meaning.KEY,
    402: Meaning.QUOTA,
    403: Meaning.FORBIDDEN,
    404: Meaning.NO_MODEL,
    410: Meaning.NO_MODEL,
    413: Meaning.TOO_LARGE,
    422: Meaning.REQUEST,
    429: Meaning.RATE_LIMIT,
    498: Meaning.OVERLOAD,  # Groq's, for its flexible tier
    503: Meaning.OVERLOAD,
    529: Meaning.OVERLOAD,
}
_SOFTENED: Final = (Meaning.QUOTA, Meaning.OVERLOAD)
"""What a 429 with a stated time is not: Google's limit of a minute, too, speaks of plan and billing."""

_FINER: Final = (
    (Meaning.RATE_LIMIT, Meaning.TOO_LARGE),
    (Meaning.QUOTA, Meaning.UNAFFORDABLE),
    (Meaning.QUOTA, Meaning.RATE_LIMIT),  # DashScope's `insufficient_quota` may be one of the minute
    (Meaning.NO_MODEL, Meaning.MODEL_DENIED),
)
"""A code's meaning, and what words may make of it."""

_NOTHING: Final[Changes] = MappingProxyType({})
_WHOLE: Final[Changes] = MappingProxyType({"stream": None, "stream_options": None})
"""What is learned where a model may not be asked for a stream: the reply comes whole, and is told as a stream."""
_WHOLE_TOOLS: Final[Changes] = MappingProxyType({TOOLS_STREAMED: None})
"""The same where only tools cannot be streamed."""

_FILTERED: Final = (None, 400, 403, 422)
"""Statuses under which a filter refuses, None inside a stream."""

_STREAMLESS: Final = (400, 404, 405, 422, 501)
"""Statuses under which a stream is refused."""

_ABOUT_STREAMS: Final = (Meaning.MODE, Meaning.CAPABILITY)
"""What the words of a refused stream may look like."""


class Heard(NamedTuple):
    """What there is to judge by. `text`: the words as the table has them; `row`: the sentence among them; `wait`: the time that was stated."""

    status: int | None
    told: Told
    text: str
    row: Sentence | None
    wait: float | None
    asked: Asked


class Sense(NamedTuple):
    """What it means, the sentence that said so, and what is to be learned."""

    meaning: Meaning
    row: Sentence | None = None
    adapt: Changes = _NOTHING


def decide(heard: Heard) -> Sense:
    """The first that says anything."""
    return (
        _by_page(heard)
        or _by_codes(heard)
        or _by_stream(heard)
        or _by_words(heard)
        or _by_likeness(heard)
        or Sense(_by_status(heard.status))
    )


def status_of(outer: int | None, told: Told) -> int | None:
    """The status that counts: a gateway's own tells little about what it wraps. None where a reply of 200 names none."""
    if told.status is not None and (outer is None or outer in _WRAPPERS):
        return told.status
    if outer is not None:
        return outer
    return next((status for code in told.codes for word, status in KINDS.items() if word in code), None)


def _by_page(heard: Heard) -> Sense | None:
    """What stands in front of the provider answers with a page for people, or tells who it is, and knows nothing of the key."""
    if not heard.told.markup and not any(layer.get("cloudflare_error") for layer in heard.told.layers):
        return None
    if heard.status == 403:
        return Sense(Meaning.WALL)
    return Sense(Meaning.CONTEXT if heard.status == 413 and heard.asked.fullness >= FULL else _by_status(heard.status))


def _by_codes(heard: Heard) -> Sense | None:
    """Codes and types are facts; words may say more exactly what a code says, never something else."""
    status, row = heard.status, heard.row
    believed = (CODES[code] for code in heard.told.codes if code in CODES)
    meaning = next((m for m in believed if status is None or status in STATUSES[m]), None)
    if meaning is not None:
        finer = row is not None and (row.meaning is meaning or (meaning, row.meaning) in _FINER)
        return Sense(row.meaning, row) if finer and row is not None else Sense(meaning)
    if not any(code.startswith(_PARAMETER_CODES) for code in heard.told.codes):
        return None
    if heard.told.error.get("param") == "stream":
        return Sense(Meaning.MODE, None, _WHOLE)
    adapt = _parameter(heard)
    return Sense(Meaning.PARAMETER, None, adapt) if adapt else None


def _by_stream(heard: Heard) -> Sense | None:
    """In whatever words: a stream was asked for, perhaps only by us, and is not to be had; or not with tools."""
    if heard.status not in _STREAMLESS or (heard.row is not None and heard.row.meaning not in _ABOUT_STREAMS):
        return None
    if not about_stream(heard.text) or (sent := heard.asked.decoded()) is None or not sent.get("stream"):
        return None
    return Sense(Meaning.MODE, None, _WHOLE_TOOLS if sent.get("tools") and about_tools(heard.text) else _WHOLE)


def _by_words(heard: Heard) -> Sense | None:
    """A vendor's sentence, unless a time to wait says that a rate limit is all it is."""
    row = heard.row
    if heard.status == 429 and heard.wait is not None and (row is None or row.meaning in _SOFTENED):
        return Sense(Meaning.RATE_LIMIT)
    if row is None:
        return None
    if row.meaning is Meaning.CONTEXT and (most := ceiling_below(heard.told.words, heard.asked.decoded() or {})):
        return Sense(Meaning.PARAMETER, None, most)
    return Sense(row.meaning, row, _WHOLE if row.detail == "whole" else _NOTHING)


def _by_likeness(heard: Heard) -> Sense | None:
    """In nobody's words that are known: about the window, a parameter, or what the model lacks."""
    status = heard.status
    if adapt := _parameter(heard):
        return Sense(Meaning.PARAMETER, None, adapt)
    if _about_full_window(heard):
        return Sense(Meaning.CONTEXT)
    if status == 403 and heard.asked.model and "the model" in heard.text:  # it names what was asked for, not the key
        return Sense(Meaning.MODEL_DENIED)
    if status is not None and status not in STATUSES[Meaning.CAPABILITY]:
        return None
    return _by_shape(heard)


def _by_shape(heard: Heard) -> Sense | None:
    """By nothing but how such sentences are made."""
    if about_window(heard.text):
        return Sense(Meaning.CONTEXT)
    if heard.status in _FILTERED and about_filter(heard.text):
        return Sense(Meaning.FILTER)
    row = about_ability(heard.text, str(heard.told.error.get("param")))
    return None if row is None else Sense(Meaning.CAPABILITY, row)


def _about_full_window(heard: Heard) -> bool:
    """Whether a request that fills the window by our estimate was refused for its length, or for no reason that was told."""
    status = heard.status
    if status == 413 and "request_too_large" in heard.told.codes:  # Anthropic's: in bytes, but of the prompt
        return True
    if heard.asked.fullness < FULL or status not in (None, 400, 413, 422, 500):
        return False
    return status == 413 or not heard.text or _LENGTH.search(heard.text) is not None


def _parameter(heard: Heard) -> Changes:
    """What to leave out or to rename."""
    told = heard.told
    if heard.status not in CHANGEABLE:
        return _NOTHING
    rows = (layer for layer in reversed(told.layers) if isinstance(layer.get("detail"), list))
    found = next(rows, told.layers[0] if told.layers else None)
    return adaptation(heard.status, told.error, told.words, found, heard.asked.decoded())


def _by_status(status: int | None) -> Meaning:
    if status is None or status in _SERVERS:
        return Meaning.SERVER
    return _MEANINGS.get(status, Meaning.SERVER if status >= 500 else Meaning.REQUEST)
