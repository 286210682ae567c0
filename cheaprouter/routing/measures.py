# ruff: noqa: RUF001 - other scripts' punctuation is data here
"""An ask in numbers: cheap counts with names, and hashed pieces of its text. The same code trains the model and serves it.

No count looks at the case of letters or at which language is written, so shouting and translating do not move it much.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final
from zlib import crc32

from . import lexicon
from .text import Ask, clip

BITS: Final = 18
"""The hash table has 2**BITS places."""
STEM: Final = 5
"""Letters of a longer word that are hashed by themselves, so that endings and slips of the finger matter less."""
_MASK: Final = (1 << BITS) - 1

_LETTER: Final = (
    r"[^\s\d_!-/:-@\[-`{-~\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u060c\u061b\u061f\u0964\u0965"
    r"\u2000-\u200b\u200e-\u206f\u20a0-\u2bff\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\ufffd\U0001f000-\U0001faff]"
)
"""Anything but spaces, digits, marks and symbols: vowel signs of Indian scripts are part of a word, though not letters."""
_WORDS: Final = re.compile(rf"{_LETTER}+(?:['’-]{_LETTER}+)*")
_NUMBERS: Final = re.compile(r"\d+(?:[.,:/]\d+)*")
_SYMBOLS: Final = re.compile(r"[\\^=+*/<>|_{}\[\]$≤≥≠∑∫√∞∈∀∃⊂∪∩→±·×÷°π]")
_BRACKETS: Final = re.compile(r"[(){}\[\];]")
_STOPS: Final = re.compile(r"[.!?。！？]+(?:\s|$)|[。！？]")
_OPTIONS: Final = re.compile(r"(?:^|\s)\(?([A-J])[.):]\s")
_WIDE: Final = re.compile(r"[\u0e00-\u0e7f\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_HAN: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_SYLLABLES: Final = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")

COUNTS: Final = (
    "length", "words", "sentences", "word_length", "long_words", "numbers", "number_size", "decimals", "percent", "money",
    "symbols", "brackets", "latex", "commas", "colons", "variety", "pasted", "mentioned", "code_attached", "options",
    "option_length", "option_overlap", "option_numeric", "option_spread", "stem_length", "blank", "statements", "images", "single_letters",
    "quantities", "distinct_numbers", "clauses", "last_sentence", "opening",
    *lexicon.GROUPS,
)  # fmt: skip
"""The names of what `counts` returns, in its order."""

_LEXICON: Final = {
    word: tuple(i for i, words in enumerate(lexicon.GROUPS.values()) if word in words)
    for word in frozenset().union(*lexicon.GROUPS.values())
}
_GROUP_AT: Final = {name: i for i, name in enumerate(lexicon.GROUPS)}
_JOINING: Final = frozenset(
    {"and", "but", "if", "then", "while", "which", "who", "that", "than", "und", "et", "y", "e", "en", "och", "и"}
)


def normalise(text: str) -> str:
    """The text that is looked at: clipped, lower case, digits alike."""
    return clip(text).lower().replace("ı", "i")


def size(text: str) -> float:
    """Letters that the text would have in an alphabet: about 3.5 for a Han character, 2.2 for a syllable."""
    if text.isascii():
        return len(text)
    return len(text) + 2.5 * len(_HAN.findall(text)) + 1.2 * len(_SYLLABLES.findall(text))


def counts(ask: Ask, text: str, images: int = 0) -> list[float]:
    """The named counts of an ask. `text`: its normalised text."""
    words = _WORDS.findall(text)
    numbers = _NUMBERS.findall(text)
    total = max(1, len(words))
    length = size(ask.text)
    long = sum(1 for w in words if len(w) > 8)
    letters = sum(map(len, words))
    return [
        math.log1p(length),
        math.log1p(len(words)),
        math.log1p(len(_STOPS.findall(text))),
        letters / total,
        long / total,
        math.log1p(len(numbers)),
        max((len(n) for n in numbers), default=0),
        float("." in "".join(numbers) or "," in "".join(numbers)),
        float("%" in text or "percent" in text),
        float("$" in text or "€" in text or "£" in text),
        math.log1p(len(_SYMBOLS.findall(text))),
        math.log1p(len(_BRACKETS.findall(text))),
        float("\\" in text or "^" in text),
        text.count(",") / total * 10,
        math.log1p(text.count(":")),
        len(set(words)) / total,
        math.log1p(ask.pasted),
        float(ask.mentioned > 0),
        float(ask.code),
        *_choices(ask.text),
        float("___" in text or "..." in text),
        float("statement" in text),
        float(images),
        sum(1 for w in words if len(w) == 1 and w not in "aiouyеиояву"),
        math.log1p(len(numbers) + sum(1 for w in words if w in lexicon.QUANTITIES)),
        math.log1p(len(set(numbers))),
        math.log1p(text.count(",") + text.count(";") + sum(1 for w in words if w in _JOINING)),
        math.log1p(len(text) - max(text.rfind(". "), text.rfind("? "), -1) - 1),
        _opening(words),
        *_vocabulary(text, words),
    ]


def _vocabulary(text: str, words: Sequence[str]) -> list[float]:
    hits = [0.0] * len(_GROUP_AT)
    for word in words:
        for at in _LEXICON.get(word, ()):
            hits[at] += 1
    if not text.isascii() and _WIDE.search(text):
        for match in lexicon.UNSPACED.finditer(text):
            hits[_GROUP_AT[match.lastgroup or ""]] += 1
    if any(then in lexicon.SHOW_THAT.get(word, ()) for word, then in pairwise(words)):
        hits[_GROUP_AT["proof"]] += 1
    return [math.log1p(hit) for hit in hits]


def _opening(words: Sequence[str]) -> float:
    """What the first words order: 2 a proof or calculation, 1 a design, 0 anything else."""
    for word in words[:2]:
        if word in lexicon.PROOF or word in lexicon.CALCULATE:
            return 2.0
        if word in lexicon.DESIGN:
            return 1.0
    return 0.0


def _choices(text: str) -> list[float]:
    """Number of options, their mean length, overlap, share with digits, spread of length; length of the question itself."""
    chosen: list[re.Match[str]] = []
    for match in _OPTIONS.finditer(text):
        if match.group(1) == "ABCDEFGHIJ"[len(chosen) : len(chosen) + 1]:
            chosen.append(match)
    if len(chosen) < 2:
        return [0.0, 0.0, 0.0, 0.0, 0.0, math.log1p(len(text))]
    ends = [m.start() for m in chosen[1:]] + [len(text)]
    options = [text[m.end() : end].lower() for m, end in zip(chosen, ends, strict=True)]
    sizes = [len(o) for o in options]
    mean = sum(sizes) / len(sizes)
    bags = [set(o.split()) for o in options]
    pairs = list(pairwise(bags))
    overlap = sum(len(a & b) / max(1, len(a | b)) for a, b in pairs) / len(pairs)
    numeric = sum(1 for o in options if any(c.isdigit() for c in o)) / len(options)
    spread = (max(sizes) - min(sizes)) / (mean + 1)
    return [float(len(chosen)), math.log1p(mean), overlap, numeric, spread, math.log1p(chosen[0].start())]


def pieces(text: str) -> set[int]:
    """Places in the hash table of a text's words, word pairs and stems (or character pairs, without spaces), each once."""
    words = _WORDS.findall(text)
    places = {crc32(word.encode("utf-8", "replace")) & _MASK for word in words}
    places.update([crc32(f"{a} {b}".encode("utf-8", "replace")) & _MASK for a, b in pairwise(words)])
    places.update([crc32(word[:STEM].encode("utf-8", "replace"), 1) & _MASK for word in words if len(word) > STEM])
    if not text.isascii() and _WIDE.search(text):
        for word in words:
            if _WIDE.match(word):
                places.update([crc32((a + b).encode("utf-8", "replace"), 2) & _MASK for a, b in pairwise(word)])
    return places
