# ruff: noqa: RUF001 - other scripts' punctuation is data here
"""An ask in numbers: cheap counts with names, and hashed pieces of its text. The same code trains the model and serves it.

No count looks at the case of letters or at which language is written, so shouting and translating do not move it much.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final
from zlib import crc32

from . import lexicon, tools
from .text import Ask, clip
from .tools import NO_TOOLS, Toolbox

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
_LETTERS_ALONE: Final = bytes(at if at < 128 and re.fullmatch(rf"{_LETTER}|['-]", chr(at)) else 32 for at in range(256))
"""ASCII with a space for whatever is in no word."""
_NUMBERS: Final = re.compile(r"\d+(?:[.,:/]\d+)*")
_STOPS: Final = re.compile(r"(?<![.!?。！？])[.!?。！？]+(?:\s|$)|[。！？]")
_ASCII_STOPS: Final = re.compile(r"(?<![.!?])[.!?]+(?:\s|$)")
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
    "code_lines", "code_branches", "code_loops", "code_definitions", "code_names", "code_depth",
    *tools.COUNTS,
)  # fmt: skip
"""The names of what `counts` returns, in its order."""

_JOINING: Final = frozenset(
    {"and", "but", "if", "then", "while", "which", "who", "that", "than", "und", "et", "y", "e", "en", "och", "и"}
)
_LISTS: Final = (*lexicon.GROUPS.values(), lexicon.QUANTITIES, _JOINING, frozenset(lexicon.SHOW_THAT))
_LEXICON: Final = {
    word: tuple(i for i, words in enumerate(_LISTS) if word in words) for word in frozenset().union(*_LISTS)
}
"""Which of the lists each word is on, so that a word is looked up once."""
_GROUP_AT: Final = {name: i for i, name in enumerate(lexicon.GROUPS)}
_QUANTITY, _JOINT, _SHOW = range(len(_GROUP_AT), len(_LISTS))
_PER_WORD: Final = 9.0
"""Characters of text for each word, above which a text of wide script is taken to have no spaces."""
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_INDENT: Final = re.compile(r"(?m)^[ \t]+(?=\S)")
_BRANCHES: Final = ("if", "elif", "else", "case", "when", "catch", "except", "match", "switch")
_LOOPS: Final = ("for", "while", "loop", "foreach", "yield")
_DEFINITIONS: Final = ("def", "function", "class", "fn", "func", "struct", "interface", "lambda")
_NO_CODE: Final = (0.0,) * 6
_NO_FIT: Final = (0.0,) * len(tools.COUNTS)
_LETTERS_AND_SPACE: Final = b"abcdefghijklmnopqrstuvwxyz "
_DIGITS: Final = frozenset("0123456789")
_MONEY: Final = frozenset("$€£")
_SYMBOL_SET: Final = frozenset("\\^=+*/<>|_{}[]$≤≥≠∑∫√∞∈∀∃⊂∪∩→±·×÷°π")
_BRACKET_SET: Final = frozenset("(){}[];")


def normalise(text: str) -> str:
    """The text that is looked at: clipped, lower case, digits alike."""
    return clip(text).lower().replace("ı", "i")


def size(text: str) -> float:
    """Letters that the text would have in an alphabet: about 3.5 for a Han character, 2.2 for a syllable."""
    if text.isascii():
        return len(text)
    return len(text) + 2.5 * len(_HAN.findall(text)) + 1.2 * len(_SYLLABLES.findall(text))


def words_of(text: str) -> list[str]:
    """The words of a normalised text, in order."""
    if not text.isascii():
        return _WORDS.findall(text)
    words = text.encode().translate(_LETTERS_ALONE).decode().split()
    if "'" not in text and "-" not in text:
        return words
    return [word for joined in words for word in ((joined,) if joined.isalpha() else _WORDS.findall(joined))]


def counts(ask: Ask, text: str, words: list[str], images: int = 0, box: Toolbox = NO_TOOLS) -> list[float]:
    """The named counts of an ask. `text`: its normalised text; `words`: the words of that; `box`: the tools it comes with."""
    used = _marks(text)
    has_digits = not (text.isascii() and _DIGITS.isdisjoint(used))
    numbers = _NUMBERS.findall(text) if has_digits else []
    joined = "".join(numbers)
    sizes = list(map(len, words))
    total = max(1, len(words))
    hits = _hits(text, words)
    log, commas = math.log1p, text.count(",")
    return [
        log(size(ask.text)),
        log(len(words) if text.isascii() else _unspaced(text, len(words))),
        log(len((_ASCII_STOPS if text.isascii() else _STOPS).findall(text))),
        sum(sizes) / total,
        len([size for size in sizes if size > 8]) / total,
        log(len(numbers)),
        max(map(len, numbers), default=0),
        float("." in joined or "," in joined),
        float("%" in used or "percent" in text),
        float(not _MONEY.isdisjoint(used)),
        log(_many(text, used & _SYMBOL_SET)),
        log(_many(text, used & _BRACKET_SET)),
        float("\\" in used or "^" in used),
        commas / total * 10,
        log(text.count(":")),
        len(set(words)) / total,
        log(ask.pasted),
        float(ask.mentioned > 0),
        float(ask.code),
        *_choices(ask.text),
        float("___" in text or "..." in text),
        float("statement" in text),
        float(images),
        len([word for word in words if len(word) == 1 and word not in "aiouyеиояву"]) if 1 in sizes else 0,
        log(len(numbers) + hits[_QUANTITY]),
        log(len(set(numbers))),
        log(commas + text.count(";") + hits[_JOINT]),
        log(len(text) - max(text.rfind(". "), text.rfind("? "), -1) - 1),
        _opening(words),
        *map(log, hits[: len(_GROUP_AT)]),
        *(_code(ask.attached) if ask.attached else _NO_CODE),
        *(box.fit(words, len(numbers)) if box.fixed else _NO_FIT),
    ]


def _unspaced(text: str, words: int) -> float:
    """How many words a text would have if all of its script's had spaces between them."""
    if len(text) < _PER_WORD * words or not _WIDE.search(text):
        return words
    return max(words, size(text) / _PER_WORD)


def _code(attached: str) -> list[float]:
    """Of the code that came along: lines, branches, loops, definitions, different names, and how deep it is indented."""
    log, names = math.log1p, _NAME.findall(attached)
    used = Counter(names)
    deepest = max(map(len, _INDENT.findall(attached)), default=0)
    return [
        log(attached.count("\n") + 1),
        log(sum([used[word] for word in _BRANCHES])),
        log(sum([used[word] for word in _LOOPS])),
        log(sum([used[word] for word in _DEFINITIONS])),
        log(len(used)),
        log(deepest),
    ]


def _marks(text: str) -> set[str]:
    """Which characters are used; of ASCII all but letters and spaces."""
    return set(text.encode().translate(None, _LETTERS_AND_SPACE).decode() if text.isascii() else text)


def _many(text: str, characters: set[str]) -> int:
    return sum([text.count(character) for character in characters])


def _hits(text: str, words: Sequence[str]) -> list[int]:
    """How many words are on each of the lists; in languages without spaces, what is found in the text."""
    hits = [0] * len(_LISTS)
    for on in [_LEXICON[word] for word in words if word in _LEXICON]:
        for at in on:
            hits[at] += 1
    if not text.isascii() and _WIDE.search(text):
        for match in lexicon.UNSPACED.finditer(text):
            hits[_GROUP_AT[match.lastgroup or ""]] += 1
    if hits[_SHOW] and _shows_that(words):
        hits[_GROUP_AT["proof"]] += 1
    return hits


def _shows_that(words: Sequence[str]) -> bool:
    said = lexicon.SHOW_THAT
    return any(then in said[word] for word, then in pairwise(words) if word in said)


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
    for match in _OPTIONS.finditer(text) if "A" in text and "B" in text else ():
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


def pieces(text: str, words: Sequence[str]) -> set[int]:
    """Places in the hash table of words, word pairs and stems (or character pairs, without spaces), each once.

    `text`: the normalised text; `words`: the words of that.
    """
    # No word holds a space, so one call encodes them all; the CRC of a pair goes on from that of its first word.
    coded = " ".join(words).encode("utf-8", "replace").split(b" ") if words else []
    found = list(map(crc32, coded))
    pairs = map(crc32, [b" " + word for word in coded[1:]], found)
    if text.isascii():
        stems = [crc32(word[:STEM], 1) for word in coded if len(word) > STEM]
    else:
        stems = [crc32(word[:STEM].encode("utf-8", "replace"), 1) for word in words if len(word) > STEM]
    places = {place & _MASK for place in (*found, *pairs, *stems)}
    if not text.isascii() and _WIDE.search(text):
        for word in words:
            if _WIDE.match(word):
                places.update([crc32((a + b).encode("utf-8", "replace"), 2) & _MASK for a, b in pairwise(word)])
    return places
