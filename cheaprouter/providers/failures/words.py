"""Looks for the table's sentences in what an upstream said.

Found with `str.find` alone, in the beginning of the text: nothing that an upstream can send makes it slow.
"""

from __future__ import annotations

import re
from typing import Final

from .codes import STATUSES
from .sentences import SENTENCES, Sentence
from .unwrap import LONGEST_WORDS

_GAP: Final = 80
_MOST_STARTS: Final = 8
_NAME: Final = "the model"
_SHORTEST_NAME: Final = 3

_LINK: Final = re.compile(r"https?://[^\s]*")
_DROPPED: Final = str.maketrans("", "", "'\"`’‘“”\\")  # noqa: RUF001 - the quotes that vendors set


def plain(text: str, model: str = "") -> str:
    """The text as the table's words are written: its beginning, lower case, single spaces, no quotes and no links.

    `model`: a name that stands for nothing but itself, whatever words it is made of.
    """
    text = _LINK.sub(" ", text[:LONGEST_WORDS]).lower()
    if len(model) >= _SHORTEST_NAME:
        text = text.replace(model.lower(), _NAME)
    return " ".join(text.translate(_DROPPED).split())


def find(text: str, status: int | None) -> Sentence | None:
    """The first row that `plain` text says and that may be meant under this status (None: under any)."""
    rows = (row for row in SENTENCES if status is None or status in STATUSES[row.meaning])
    return next((row for row in rows if says(text, row.words)), None)


def says(text: str, words: str) -> bool:
    """Whether the words, with their gaps, are in the text."""
    first, *rest = words.split("*")
    start = text.find(first)
    for _ in range(_MOST_STARTS):
        if start < 0:
            return False
        if _follow(text, start + len(first), rest):
            return True
        start = text.find(first, start + 1)
    return False


def _follow(text: str, at: int, parts: list[str]) -> bool:
    for part in parts:
        found = text.find(part, at, at + _GAP + len(part))
        if found < 0:
            return False
        at = found + len(part)
    return True
