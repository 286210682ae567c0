# ruff: noqa: RUF001 - other scripts' punctuation is data here
"""Pairs of marks in a text: quotations, emphasis, tags. Each text is gone through once, however many marks have no other end.

A regular expression that looks for the other end from each opening mark takes a time that grows with the square of the text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

SHORTEST_TAGGED: Final = 40
"""Characters between two tags from which they enclose a paste."""


class _Quote(NamedTuple):
    """Where a quotation that an opening mark begins may end. `stops`: the first of these does, but for a line's end.

    `apart`: it is an apostrophe unless it stands apart from letters (an apostrophe is one too).
    """

    stops: re.Pattern[str]
    least: int
    most: int
    apart: bool = False
    alone: bool = False


def _quote(stops: str, least: int, most: int, *, apart: bool = False, alone: bool = False) -> _Quote:
    return _Quote(re.compile(f"[{stops}]"), least, most, apart, alone)


_QUOTES: Final[Mapping[str, _Quote]] = {
    '"': _quote('"\\n', 1, 4000),
    "“": _quote("”", 1, 4000),
    "„": _quote('“”"', 1, 4000),
    "«": _quote("»", 1, 4000),
    "「": _quote("」", 1, 2000),
    "『": _quote("』", 1, 2000),
    "‘": _quote("’\\n", 1, 400, apart=True),
    "'": _quote("'\\n", 2, 400, apart=True, alone=True),
    "`": _quote("`\\n", 1, 400),
    "‹": _quote("›", 1, 400),
}
_OPENING: Final = re.compile("[" + "".join(_QUOTES) + "]")
_EMPHASIS: Final = re.compile(r"(\*\*|__)(?=\S)")
_EMPHASIS_ENDS: Final = {mark: re.compile(rf"(?<=\S)(?={re.escape(mark)})") for mark in ("**", "__")}
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][\w-]{1,30})>")


def quotations(text: str) -> Iterator[tuple[int, int]]:
    """Where quotations begin and end, marks included, one after the other."""
    stops: dict[str, int] = {}
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        start, mark = opening.start(), opening.group()
        at = start + 1
        kind = _QUOTES[mark]
        if kind.alone and start and (text[start - 1].isalnum() or text[start - 1] in "_'"):
            continue
        stop = stops.get(mark, -1)
        if stop < at:
            found = kind.stops.search(text, at)
            stop = stops[mark] = len(text) if found is None else found.start()
        if stop == len(text) or text[stop] == "\n" or not kind.least <= stop - at <= kind.most:
            continue
        if kind.apart and (text[stop + 1 : stop + 2].isalnum() or text[stop + 1 : stop + 2] == "_"):
            continue
        at = stop + 1
        yield start, at


def without_emphasis(text: str) -> str:
    """The text without the marks around what is bold."""
    ends = {mark: [found.start() for found in pattern.finditer(text)] for mark, pattern in _EMPHASIS_ENDS.items()}
    kept: list[str] = []
    at = place = 0
    while (opening := _EMPHASIS.search(text, place)) is not None:
        of_mark = ends[opening.group(1)]
        nearest = bisect_left(of_mark, opening.end() + 1)
        if nearest == len(of_mark):
            place = opening.start() + 1
            continue
        end = of_mark[nearest]
        kept += (text[at : opening.start()], text[opening.end() : end])
        at = place = end + 2
    return "".join((*kept, text[at:]))


def without_tagged(text: str) -> str:
    """The text with a space in place of long passages between two tags of one name."""
    tags = [(found.start(), found.end(), found[1], found[2]) for found in _TAG.finditer(text)]
    ends: dict[str, list[tuple[int, int]]] = {}
    for start, end, closing, name in tags:
        if closing:
            ends.setdefault(name, []).append((start, end))
    kept: list[str] = []
    at = 0
    for start, end, closing, name in tags:
        if closing or start < at:
            continue
        of_name = ends.get(name, [])
        nearest = bisect_left(of_name, (end + SHORTEST_TAGGED, 0))
        if nearest < len(of_name):
            kept += (text[at:start], " ")
            at = of_name[nearest][1]
    return "".join((*kept, text[at:]))
