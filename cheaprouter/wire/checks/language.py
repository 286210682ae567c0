# ruff: noqa: RUF001 - other scripts' letters are data here
"""Whether an answer is in another language than the question, where both are plain. By script, and by little words.

Careful: whoever speaks of a language, of translating or of code may want what looks wrong. Then nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

_LEAST_WORDS: Final = 9
_LEAST_WORDS_ASKED: Final = 1.3
_LEAST_WORDS_SAID: Final = 2.0
"""Little words that tell a language, each by what it says for it."""

_LOOKED_AT: Final = 400
"""Characters of each: a first sentence tells."""

_LEAST_ASKED: Final = 8
_LEAST_SAID: Final = 12
"""Letters that tell a script."""

_SCRIPTS: Final = (
    ("Cyrillic", 0x0400, 0x052F), ("Greek", 0x0370, 0x03FF), ("Hebrew", 0x0590, 0x05FF), ("Arabic", 0x0600, 0x077F),
    ("Devanagari", 0x0900, 0x097F), ("Bengali", 0x0980, 0x09FF), ("Tamil", 0x0B80, 0x0BFF), ("Thai", 0x0E00, 0x0E7F),
    ("Georgian", 0x10A0, 0x10FF), ("Hangul", 0xAC00, 0xD7AF), ("Kana", 0x3040, 0x30FF), ("Han", 0x4E00, 0x9FFF),
)  # fmt: skip

_LITTLE_WORDS: Final[Mapping[str, str]] = MappingProxyType({
    "English": "the of and to is are was what how why that this with for you your i my it do does can could would in on at from have has please when where which who will should",
    "German": "der die das und ist sind nicht ein eine einen ich du sie wir ihr mir mich dir wie was warum wann wo mit von für auf dem den des zu im kann kannst könnte bitte wird werden auch oder wer welche welcher",
    "French": "le la les des du un une et est sont que qui quoi pourquoi comment dans pour avec sur je tu vous nous il elle mon ma mes ce cette ces au aux pas ne peux peut quel quelle où ou plus être",
    "Spanish": "el la los las un una y es son que qué cómo por para con en de del al yo tú usted mi mis tu se no lo cuál cuándo dónde porque más está están puede puedes hay ser muy",
    "Italian": "il lo la gli le un una e è sono che chi cosa come perché per con in di del della dei nel nella io tu lei mio mia non quando dove quale più può puoi essere anche questo questa",
    "Portuguese": "o a os as um uma e é são que como por para com em de do da dos das no na eu você meu minha não quando onde qual mais pode está isso este esta ser também porque",
    "Dutch": "de het een en is zijn niet ik jij je u wij wat hoe waarom wanneer waar met van voor op te in dat dit kan kun kunt wordt ook of er aan naar mijn maar welke",
    "Polish": "i w na z do nie jest są to co jak dlaczego kiedy gdzie że się dla od po o ja ty mój moja czy może być proszę jaki jaka który która oraz",
    "Turkish": "ve bir bu ne nasıl neden nerede için ile mi mı mu mü da de çok daha var yok ben sen olan olarak gibi kadar hangi değil lütfen",
    "Finnish": "ja on ei se että mitä miten miksi missä milloin kuinka minä sinä hän tämä joka ovat voi olla mutta myös kun jos niin",
    "Hungarian": "a az és egy hogy nem van mi mit hogyan miért mikor hol én te ez azt is vagy meg kell lehet csak mint",
    "Czech": "a je se na v že to co jak proč kdy kde pro s z do ne jsou můj moje může být který která nebo ale také",
    "Romanian": "și este sunt nu un o de la în cu pe ce cum când unde pentru din mai care eu tu meu mea poate fi că",
    "Indonesian": "yang dan di ke dari ini itu untuk dengan apa bagaimana mengapa kapan dimana saya anda kamu tidak adalah bisa akan atau pada juga",
    "Swedish, Danish or Norwegian": "och og i det den är er inte ikke en ett et jag jeg du vad hva hvad hur hvordan varför hvorfor när när med av på som för til till kan har att at om",
})  # fmt: skip

_OF_LANGUAGES: Final = re.compile(
    r"translat|übersetz|tradu|vertaal|tłumacz|перев[её]д|перевод|翻訳|翻译|翻譯|번역|ترجم|תרגם|अनुवाद|แปล|dịch|çevir|terjemah|överst|översätt|oversæt|oversett|käänn|fordít|přelož|μετάφρ|"
    r"english|german|french|spanish|italian|portuguese|dutch|polish|russian|chinese|japanese|korean|arabic|turkish|hindi|latin|swedish|greek|hebrew|"
    r"englisch|deutsch|französisch|spanisch|italienisch|anglais|allemand|français|espagnol|italien|inglés|alemán|francés|español|italiano|inglese|tedesco|francese|spagnolo|"
    r"inglês|alemão|francês|espanhol|português|engels|duits|frans|spaans|nederlands|angielsk|niemieck|polsku|английск|немецк|французск|русск|язык|"
    r"英語|英语|英文|日本語|日语|中文|中国語|ドイツ語|韓国語|영어|일본어|한국어|중국어|ingilizce|almanca|türkçe|englanti|engelsk|angol|anglick|engleză|inggris|tiếng|language|sprache|langue|idioma|lingua|język",
    re.IGNORECASE,
)  # fmt: skip
"""Words for languages, and for going from one to another."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_CODE: Final = ("```", "{", "</", "():", "http")


def other_language(said: str, asked: str, others: Iterable[str]) -> str | None:
    """The language or script of an answer that is not the question's; None where it is, or nobody knows.

    `others`: what else the request says, where a language may be asked for.
    """
    said, asked = said[:_LOOKED_AT], asked[-_LOOKED_AT:]
    if any(mark in said or mark in asked for mark in _CODE) or _OF_LANGUAGES.search(asked):
        return None
    script, wanted = _script(said, _LEAST_SAID), _script(asked, _LEAST_ASKED)
    if not script or not wanted:
        return None
    if script != wanted:
        found = None if script == "Latin" and re.search(r"[A-Za-z]{2}", asked) else script
    else:
        found = _other_words(said, asked) if script == "Latin" else None
    if found is None or any(_OF_LANGUAGES.search(text) for text in others):
        return None
    return found


def _script(text: str, least: int) -> str:
    """The script of most letters; "" where none is, or there are too few."""
    counts: dict[str, int] = {}
    for letter in text:
        if letter.isalpha():
            name = _script_of(ord(letter))
            counts[name] = counts.get(name, 0) + 1
    letters = sum(counts.values())
    if letters < least:
        return ""
    if counts.get("Kana", 0) * 8 > letters:  # Japanese is written in both
        counts["Kana"] += counts.pop("Han", 0)
    name = max(counts, key=counts.__getitem__)
    return name if counts[name] * 10 >= letters * 8 else ""


def _script_of(code: int) -> str:
    if code < 0x250 or 0x1E00 <= code <= 0x1EFF:
        return "Latin"
    return next((name for name, first, last in _SCRIPTS if first <= code <= last), "another")


@cache
def _weights() -> Mapping[str, Mapping[str, float]]:
    """What each little word says for each language: the less, the more of them have it."""
    found: dict[str, dict[str, float]] = {}
    for name, words in _LITTLE_WORDS.items():
        for word in {*words.split()}:
            found.setdefault(word, {})[name] = 0.0
    return {word: dict.fromkeys(names, 1.0 / len(names)) for word, names in found.items()}


def _other_words(said: str, asked: str) -> str | None:
    """The language of an answer by its little words, where those of the question are plainly of another."""
    if len(_WORD.findall(said)) < _LEAST_WORDS:  # a title, perhaps
        return None
    wanted, found = _by_words(asked), _by_words(said)
    ours, theirs = max(wanted, key=wanted.__getitem__, default=""), max(found, key=found.__getitem__, default="")
    if (
        ours == theirs
        or not _is_plain(wanted, ours, _LEAST_WORDS_ASKED)
        or not _is_plain(found, theirs, _LEAST_WORDS_SAID)
    ):
        return None
    return theirs if found.get(ours, 0.0) * 3 <= found[theirs] else None


def _by_words(text: str) -> dict[str, float]:
    weights, found = _weights(), dict[str, float]()
    for word in _WORD.findall(text.casefold()):
        for name, weight in weights.get(word, {}).items():
            found[name] = found.get(name, 0.0) + weight
    return found


def _is_plain(found: Mapping[str, float], name: str, least: float) -> bool:
    """Whether enough speaks for one language, and half as much for no other."""
    return found.get(name, 0.0) >= least and all(
        2 * weight <= found[name] for other, weight in found.items() if other != name
    )
