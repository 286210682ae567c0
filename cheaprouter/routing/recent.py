"""Scores of what was asked lately: voice commands come again, often with another number in them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..core.models import Difficulty
from ..core.records import dataclass

MOST: Final = 512
"""Scores kept. One is forgotten once so many others have been asked for since."""

LONGEST: Final = 2000
"""Characters of a text whose score is kept: longer ones are pastes, and hardly come again."""

Key = tuple[int, int, int, int]

_IN_ORDER: Final = b"0123456789"
_NO_DIGITS: Final = bytes(at for at in range(256) if at not in _IN_ORDER)


def alike(text: str) -> bytes:
    """The text in UTF-8, its digits exchanged one for one: the first for 0, the next other one for 1, as `0:10` for `7:37`.

    Whatever scores a text compares characters with each other or asks for their class, and no class tells one digit from
    another; so texts that are alike score alike, to the last digit.
    """
    coded = text.encode("utf-8", "surrogatepass")
    digits = coded.translate(None, _NO_DIGITS)
    if not digits:
        return coded
    used = bytes(dict.fromkeys(digits))
    return coded.translate(bytes.maketrans(used, _IN_ORDER[: len(used)]))


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found of a text by itself: the score to its last digit, and as it is told."""

    score: float
    difficulty: Difficulty


class RecentScores:
    """Scores by text, number of images and what else came with it. Bounded.

    No text stays in memory: a key holds Python's hash of it (64 bits, keyed anew in each process) and its length.
    """

    def __init__(self, most: int = MOST) -> None:
        self._scores: OrderedDict[Key, Judged] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._scores)

    @staticmethod
    def key(text: str, images: int, around: int = 0) -> Key | None:
        """By what a text's score is kept; None where it is too long for that. `around`: what came with it, as a number."""
        length = len(text)
        return None if length > LONGEST else (hash(alike(text)), length, images, around)

    def get(self, key: Key | None) -> Judged | None:
        """The score, if it is still known."""
        if key is None or (score := self._scores.get(key)) is None:
            return None
        self._scores.move_to_end(key)
        return score

    def put(self, key: Key | None, score: Judged) -> None:
        """Keep a score; the longest unused one goes."""
        if key is None:
            return
        self._scores[key] = score
        if len(self._scores) > self._most:
            self._scores.popitem(last=False)
