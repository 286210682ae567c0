"""Thoughts between tags at the beginning of an answer, told apart from it, however the answer is cut."""

from __future__ import annotations

from enum import Enum
from typing import Final

_TAGS: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "[THINK]": "[/THINK]",
}
_MOST_BLANK: Final = 256
"""Characters of white space that may stand before the tag."""


class _At(Enum):
    START = 0
    INSIDE = 1
    AFTER = 2
    ANSWER = 3


class ThinkSplitter:
    """The text of one answer."""

    __slots__ = ("_at", "_end", "_held")

    def __init__(self) -> None:
        self._at = _At.START
        self._held = self._end = ""

    @property
    def settled(self) -> bool:
        """Whether all that follows is answer."""
        return self._at is _At.ANSWER

    def feed(self, text: str) -> tuple[str, str]:
        """Thoughts and answer in the next piece, as far as they can be told apart."""
        text, self._held = self._held + text, ""
        thoughts = ""
        if self._at is _At.START:
            text = self._begin(text)
        if self._at is _At.INSIDE:
            thoughts, text = self._inside(text)
        if self._at is _At.AFTER and (text := text.lstrip()):
            self._at = _At.ANSWER
        return thoughts, text if self._at is _At.ANSWER else ""

    def rest(self) -> tuple[str, str]:
        """What was held back, now that the answer has ended."""
        text, self._held = self._held, ""
        return (text, "") if self._at is _At.INSIDE else ("", text)

    def _begin(self, text: str) -> str:
        bare = text.lstrip()
        if len(text) - len(bare) <= _MOST_BLANK:
            for tag, end in _TAGS.items():
                if bare.startswith(tag):
                    self._at, self._end = _At.INSIDE, end
                    return bare[len(tag) :]
            if any(tag.startswith(bare) for tag in _TAGS):
                self._held = text
                return ""
        self._at = _At.ANSWER
        return text

    def _inside(self, text: str) -> tuple[str, str]:
        thoughts, found, answer = text.partition(self._end)
        if found:
            self._at = _At.AFTER
            return thoughts, answer
        longest = min(len(self._end) - 1, len(text))
        kept = next((n for n in range(longest, 0, -1) if text.endswith(self._end[:n])), 0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], ""


def split_whole(text: str) -> tuple[str, str]:
    """Thoughts and answer of a whole text. Templates that open the tag themselves leave only its end to be seen."""
    splitter = ThinkSplitter()
    thoughts, answer = splitter.feed(text)
    more, rest = splitter.rest()
    if not thoughts and not more and (end := next((end for end in _TAGS.values() if end in text), None)):
        thoughts, _, rest = text.partition(end)
        return thoughts, rest.lstrip()
    return thoughts + more, answer + rest
