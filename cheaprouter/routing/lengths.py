# ruff: noqa: RUF001 - other scripts' letters are data here
"""How long a reply will be: what is usual for its kind, and what nine of ten stay below. Pure, a look at a few words.

The ask itself is not looked for (that costs more than all the rest): the words at both ends of what was said tell its kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

ENDS: Final = 240
"""Characters at the beginning of a message, and at its end, whose words are looked at."""

TOKENS_A_WORD: Final = 1.4
"""Tokens of a word that was asked for, with its marks: English has 1.3, most other languages more."""

_SHORT: Final = 60
"""Characters of a message that names no kind of text, up to which it is a command or looks something up."""

_MOST: Final = 16_000


class Length(NamedTuple):
    """Tokens of a reply: the middle of what is usual, and what nine of ten replies stay below. Thinking is not counted."""

    typical: int
    high: int


KINDS: Final[Mapping[str, Length]] = {
    "call": Length(60, 160),
    "word": Length(16, 80),
    "look-up": Length(80, 320),
    "haiku": Length(40, 120),
    "choice": Length(60, 320),
    "note": Length(200, 450),
    "summary": Length(200, 500),
    "poem": Length(260, 600),
    "maths": Length(320, 900),
    "chat": Length(320, 1000),
    "list": Length(400, 900),
    "explain": Length(520, 1200),
    "recipe": Length(620, 1300),
    "code": Length(700, 2000),
    "proof": Length(800, 2200),
    "story": Length(900, 2200),
    "plan": Length(900, 2000),
    "essay": Length(1100, 2600),
}
"""By kind of text, in rising order. `choice`: the middle and the ninth tenth of the replies of 29 models to MMLU-Pro, few of which reason
aloud. The others: what chat models of 2024 to 2026 write where nobody says how long, rounded."""

_WORDS: Final[Mapping[str, str]] = {
    "haiku": "haiku haikus 俳句 하이쿠",
    "note": """email mail e-mail letter invitation greeting toast e-mails brief einladung lettre courriel
        carta correo lettera brev письмо
        joke witz blague chiste barzelletta piada mop żart vits шутку fıkra""",
    "summary": """summarise summarize summary tl;dr zusammenfassung zusammen fasse résume résumé resume resumen riassumi riassunto resumo vat
        samenvatting streść podsumuj shrň sammanfatta opsummer özetle кратко перескажи резюме""",
    "poem": """poem sonnet limerick lyrics song verse ballad ode gedicht sonett lied poème chanson sonnet poema soneto canción poesia sonetto
        canzone gedicht wiersz piosenkę báseň dikt runo vers şiir ποίημα стих стихотворение вірш قصيدة שיר कविता""",
    "list": "ideas suggestions tips examples synonyms ideen vorschläge beispiele idées consejos idee esempi ideias ideeën pomysły идей",
    "explain": """explain describe compare why erkläre beschreibe vergleiche warum explique décris compare pourquoi
        explica describe compara porqué spiega descrivi confronta perché explique waarom leg wyjaśnij dlaczego vysvětli förklara forklar
        selitä magyarázd açıkla εξήγησε объясни почему поясни اشرح הסבר समझाओ""",
    "recipe": "recipe recipes cook bake rezept rezepte recette receta ricetta receita recept przepis opskrift oppskrift resepti tarif συνταγή рецепт وصفة מתכון रेसिपी",
    "code": """code function script program class python javascript typescript rust java golang sql regex html css api implement refactor
        debug funktion programm skript implementiere fonction programme implémente función programa implementa funzione script función
        funkcję skrypt funkci kod функцию скрипт программу код""",
    "proof": "prove proof derive derivation theorem beweise beweis herleitung démontre preuve demuestra demostración dimostra demonstre bewijs udowodnij dokaž bevisa докажи доказать",
    "story": "story tale chapter scene dialogue screenplay geschichte märchen kapitel histoire conte historia cuento storia racconto história verhaal opowiadanie příběh berättelse historie tarina mese hikaye ιστορία рассказ сказку історію",
    "plan": "plan itinerary curriculum schedule design architecture roadmap strategy entwirf architektur reiseplan conçois itinéraire diseña arquitectura progetta itinerario projete ontwerp zaprojektuj navrhni спроектируй",
    "essay": "essay article report blog thesis speech aufsatz bericht rede dissertation discours ensayo artículo discurso saggio articolo ensaio artigo betoog artykuł esej uppsats эссе статью",
    "word": "yes-or-no one-word oneword",
}
_KIND_OF: Final[Mapping[str, str]] = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_ORDER: Final = {kind: at for at, kind in enumerate(KINDS)}

_UNSPACED: Final = re.compile(
    r"(?P<code>代码|代碼|函数|程序|关数|関数|コード|プログラム|코드|함수|프로그램|โค้ด|โปรแกรม)|(?P<proof>证明|證明|証明|증명|พิสูจน์)|(?P<essay>文章|论文|作文|エッセイ|에세이|เรียงความ)"
    r"|(?P<story>故事|物語|이야기|소설|นิทาน|เรื่องสั้น)|(?P<poem>诗|詩|시를|กลอน)|(?P<recipe>食谱|菜谱|做法|レシピ|레시피|สูตร)|(?P<plan>计划|設計|设计|方案|計画|설계|계획|ออกแบบ|แผน)"
    r"|(?P<explain>解释|解釋|为什么|说明|説明|なぜ|설명|왜|อธิบาย|ทำไม)|(?P<summary>总结|概括|要約|요약|สรุป)|(?P<note>邮件|郵件|信|メール|手紙|메일|편지|อีเมล|จดหมาย)"
)
_SO_MANY: Final = re.compile(
    r"(?<![\d.,])(\d{1,5})[ -]?(words?|wörter|worten?|mots|palabras|parole|palavras|woorden|słów|слов|字|sentences?|sätze|phrases|frases|lines?|paragraphs?|bullet)\b",
    re.IGNORECASE,
)
_EACH: Final = {"s": 22.0, "l": 12.0, "p": 90.0, "b": 25.0}
"""Tokens of a sentence, a line, a paragraph, a bullet."""
_BRIEF: Final = re.compile(
    r"\b(?:in|with|using) (?:one|a single|just one) (word|sentence|line|number)\b|\b(?:yes or no|only the (?:number|answer|letter|name)|just the (?:number|answer|name))\b|\b(briefly|kurz|en bref|brevemente)\b",
    re.IGNORECASE,
)
_TOLD: Final = re.compile(r"\d|\b(?:one|single|yes or no|only|just|briefly|kurz|en bref|brevemente)\b")
_NAMED: Final = frozenset(_KIND_OF)
_SPACED: Final = str.maketrans(dict.fromkeys(",.?:!;()", " "))
_ALSO_WORDS: Final = frozenset({"słów", "слов", "字", "parole", "palabras", "palavras"})
_CHOICES: Final = re.compile(r"\n\(?[B-D][.):] ")


def reply_length(said: str, most: int | None = None, *, tools: bool = False, looped: bool = False) -> Length:
    """Tokens that a reply to the last user message will have, never above what the client allows (`most`).

    Linear in the ends of what was said. `tools`: some are offered; `looped`: a tool's result is handed in, so that mostly the
    next call follows, or a sentence that tells what came of it.
    """
    ends = said if len(said) <= 2 * ENDS else f"{said[:ENDS]} {said[-ENDS:]}"
    found = KINDS["look-up"]
    if not looped:
        low = ends.lower()
        named = _NAMED.intersection(low.translate(_SPACED).split())
        if _TOLD.search(low) or named or not low.isascii():
            found = _told(low) or _named(named, low) or _unnamed(said, tools=tools)
        else:
            found = _unnamed(said, tools=tools)
    if most is None or found.high <= most:
        return found
    return Length(max(1, min(found.typical, most)), max(1, most))


def _unnamed(said: str, *, tools: bool) -> Length:
    """Where no kind of text is named: a command, a look-up, a question with choices, or what a chat usually gets."""
    if len(said) <= _SHORT:
        return KINDS["call" if tools else "look-up"]
    if tools and len(said) <= 2 * _SHORT:
        return KINDS["call"]
    if _CHOICES.search(said[:2000]):
        return KINDS["choice"]
    extra = min(400, len(said) // 3)
    return Length(KINDS["chat"].typical + extra, KINDS["chat"].high + 2 * extra)


def _named(words: frozenset[str], low: str) -> Length | None:
    """By the longest kind of text that is named; None where none is."""
    kinds = {_KIND_OF[word] for word in words}
    if not low.isascii():
        kinds.update(found.lastgroup for found in _UNSPACED.finditer(low) if found.lastgroup)
    if not kinds:
        return None
    return KINDS[min(kinds & {"summary", "haiku"}, default=None) or max(kinds, key=_ORDER.__getitem__)]


def _told(low: str) -> Length | None:
    """How long it is to be, where that is said."""
    brief = _BRIEF.search(low)
    if brief is not None:
        return KINDS["note"] if brief[2] else KINDS["word"]
    many = _SO_MANY.search(low)
    if many is None:
        return None
    each = TOKENS_A_WORD if many[2] in _ALSO_WORDS else _EACH.get(many[2][:1], TOKENS_A_WORD)
    tokens = min(_MOST, int(int(many[1]) * each) + 8)
    return Length(tokens, min(_MOST, tokens + tokens // 3))


def corrected(length: Length, ratio: float | None) -> Length:
    """The same for a model whose replies are so many times as long as was guessed; None: nothing is known of it."""
    if ratio is None:
        return length
    return Length(max(1, round(length.typical * ratio)), max(1, round(length.high * ratio)))
