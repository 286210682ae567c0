# ruff: noqa: RUF001 - other scripts' letters and punctuation are data here
"""What can be seen of a text: that it refuses, goes round in circles, is in another language, or is not the JSON that was wanted.

All but the JSON are guesses from plain signs, so they serve only where texts are held back at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from .fault import Fault, Kind
from .language import other_language
from .schema import misfit
from .tool_calls import LONGEST

_REFUSALS: Final = (
    # English
    "i'm sorry, but i can", "i'm sorry, but i am un", "i'm sorry, but i'm un", "i'm sorry, but as an ai", "i'm sorry, i can't", "i'm sorry, i cannot", "i'm sorry, but i don't have the ability", "i am sorry, but i can", "i apologize, but i can",
    "i apologize, but i am un", "sorry, i can't", "sorry, i cannot", "sorry, but i can't", "sorry, but i cannot", "i cannot assist", "i can't assist", "i can't help", "i cannot help", "i cannot provide", "i can't provide", "i cannot fulfill",
    "i can't fulfill", "i cannot comply", "i can't comply", "i cannot answer", "i can't answer", "i'm unable to", "i am unable to", "i'm not able to", "i am not able to", "i don't have the ability", "i do not have the ability", "i must decline",
    "i won't be able to", "unfortunately, i can't", "unfortunately, i cannot", "unfortunately, i'm un", "unfortunately, i am un",
    # German
    "es tut mir leid, aber ich kann", "es tut mir leid, ich kann", "tut mir leid, aber ich kann", "tut mir leid, ich kann", "entschuldigung, ich kann", "entschuldigung, aber ich kann", "leider kann ich", "ich kann dabei nicht helfen", "ich kann dir dabei nicht", "ich kann ihnen dabei nicht", "als sprachmodell", "ich bin nicht in der lage",
    # French
    "je suis désolé, mais je ne p", "je suis désolée, mais je ne p", "je suis désolé, je ne p", "désolé, je ne p", "désolé, mais je ne p", "je ne peux pas vous aider", "je ne peux pas t'aider", "je ne suis pas en mesure", "en tant que modèle", "malheureusement, je ne p",
    # Spanish
    "lo siento, pero no p", "lo siento, no p", "no puedo ayudar", "lamentablemente, no p", "como modelo de lenguaje", "no soy capaz de", "no me es posible",
    # Italian
    "mi dispiace, ma non p", "mi dispiace, non p", "non posso aiutar", "non sono in grado di", "come modello linguistico", "purtroppo non p",
    # Portuguese
    "desculpe, mas não p", "desculpe, não p", "sinto muito, mas não p", "lamento, mas não p", "não posso ajudar", "não consigo ajudar", "como um modelo de linguagem", "infelizmente, não p",
    # Dutch
    "het spijt me, maar ik kan", "sorry, ik kan", "sorry, maar ik kan", "helaas kan ik", "ik kan je daar niet", "ik kan u daar niet", "als taalmodel", "ik ben niet in staat",
    # Polish
    "przepraszam, ale nie mog", "przykro mi, ale nie mog", "niestety nie mog", "niestety, nie mog", "nie mogę pomóc", "jako model językowy",
    # Czech, Hungarian, Romanian, Turkish
    "omlouvám se, ale nem", "bohužel nem", "je mi líto, ale nem", "jako jazykový model", "sajnálom, de nem tud", "sajnos nem tud", "nyelvi modellként", "îmi pare rău, dar nu p", "din păcate, nu p", "ca model lingvistic", "üzgünüm, ancak", "üzgünüm, ama", "maalesef yapam", "bir yapay zeka", "bir dil modeli",
    # Swedish, Danish, Norwegian, Finnish
    "tyvärr kan jag inte", "jag är ledsen, men jag kan inte", "beklager, men jeg kan ikke", "jeg beklager, men jeg kan ikke", "desværre kan jeg ikke", "dessverre kan jeg ikke", "valitettavasti en voi", "olen pahoillani, mutta en", "tekoälynä",
    # Russian, Ukrainian, Greek
    "извините, но я не мог", "извините, я не мог", "к сожалению, я не мог", "простите, но я не мог", "я не могу помочь", "как языковая модель", "вибачте, але я не мож", "на жаль, я не мож", "я не можу допомогти", "λυπάμαι, αλλά δεν μπορ", "δυστυχώς δεν μπορ", "δυστυχώς, δεν μπορ",
    # Chinese, Japanese, Korean
    "抱歉，我无法", "抱歉，我不能", "对不起，我无法", "对不起，我不能", "很抱歉，我无法", "很抱歉，我不能", "我无法提供", "作为一个人工智能", "作为ai", "作为一个ai", "申し訳ありませんが", "申し訳ございませんが", "すみませんが、お手伝い", "お手伝いできません", "aiとして", "죄송하지만", "죄송합니다만", "ai로서", "도와드릴 수 없",
    # Arabic, Hebrew, Hindi, Vietnamese, Thai, Indonesian
    "عذرًا، لا يمكنني", "عذراً، لا يمكنني", "آسف، لا أستطيع", "لا أستطيع مساعدتك", "كنموذج لغوي", "מצטער, אבל אני לא יכול", "מצטער, אני לא יכול", "אני מצטער, אבל", "माफ़ कीजिए, मैं", "क्षमा करें, मैं", "xin lỗi, tôi không thể", "tôi xin lỗi, nhưng tôi không", "rất tiếc, tôi không thể", "ขออภัย ฉันไม่สามารถ", "ขอโทษ ฉันไม่สามารถ", "maaf, saya tidak", "maaf, tetapi saya tidak",
)  # fmt: skip
"""How answers begin that refuse, in small letters and with straight quotes."""

_OF_ITSELF: Final = tuple(
    who + end
    for who in (
        "as an ai", "as a language model", "as a large language model", "als ki", "als ai", "en tant qu'ia", "como una ia",
        "como uma ia", "in quanto ia", "jako ai", "som en ai", "как ии", "sebagai ai",
    )
    for end in (" ", ",", "-")
)  # fmt: skip
"""The same of those that speak of what they are."""

_LONGEST_REFUSAL: Final = 60
_UNIT: Final = re.compile(r"[^.!?。！？\n]+[.!?。！？\n]*")
_RUN: Final = 5
"""Sentences or lines alike in a row that nobody writes."""

_LETTERS_OF_A_UNIT: Final = 8
_TAIL: Final = 600
_LONGEST_PERIOD: Final = 200
"""Characters at the end of a text that are looked at, and of what comes again and again in them."""

_LOOKED_BACK: Final = 4000
_MOST_OTHERS: Final = 8
_LONGEST_OTHER: Final = 1000
"""Texts of a request, and characters of each, in which it is looked for a language that is asked for."""


def wrong_format(text: str, body: Mapping[str, Any], *, whole: bool = True) -> Fault | None:
    """What of an answer is not the JSON that was asked for. `whole`: all of it is there, and not cut short by its client's ceiling."""
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("json_object", "json_schema"):
        return None
    assert isinstance(wanted, dict)
    if not whole:
        begun = text.lstrip()
        return Fault(Kind.FORMAT, "the answer is no JSON") if begun and begun[0] not in '{["-0123456789tfn' else None
    if len(text) > LONGEST:
        return None
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return Fault(Kind.FORMAT, "the answer is no JSON")
    if kind == "json_object":
        return None if isinstance(value, dict) else Fault(Kind.FORMAT, "the answer is no JSON object")
    told = wanted.get("json_schema")
    schema = told.get("schema") if isinstance(told, dict) else None
    why = misfit(value, schema) if isinstance(schema, dict) else None
    return None if why is None else Fault(Kind.FORMAT, f"the answer does not fit the schema: {why}")


def wrong_text(text: str, body: Mapping[str, Any]) -> Fault | None:
    """What is wrong with an answer in words, or with the beginning of one: a refusal, the wrong language, a loop."""
    if refuses(text):
        return Fault(Kind.REFUSAL, "the answer is a refusal")
    asked, others = _asked(body)
    if loops(text) and not _wanted_so(text, asked):
        return Fault(Kind.LOOP, "the answer says the same over and over")
    if asked and (found := other_language(text, asked, others)) is not None:
        script = "in the script of another language" if found == "another" else f"in {found}"
        return Fault(Kind.LANGUAGE, f"the answer is {script}, the question is not")
    return None


def refuses(text: str) -> bool:
    """Whether a text begins as refusals do."""
    begun = text[: 2 * _LONGEST_REFUSAL].lstrip(" \t\r\n\"'*_#>-–—").replace("\u2019", "'").casefold()
    return begun.startswith((*_REFUSALS, *_OF_ITSELF))


def loops(text: str) -> bool:
    """Whether a text goes round in circles at its end: the same sentence again and again, or the same words without one."""
    tail = text[-_LOOKED_BACK:]
    run, last = 1, ""
    for unit in map(str.strip, _UNIT.findall(tail)):
        run = run + 1 if unit == last else 1
        last = unit
        if run >= _RUN and sum(map(str.isalpha, unit)) >= _LETTERS_OF_A_UNIT:
            return True
    end = text[-_TAIL:]
    return len(end) == _TAIL and _period(end) > 0


def _period(end: str) -> int:
    """After how many characters a text comes again from its beginning to its end; 0 where it does not, or has no words."""
    for period in range(2, _LONGEST_PERIOD):
        if end[period:] == end[:-period]:
            letters = {letter for letter in end[:period] if letter.isalpha()}
            return period if len(letters) > 2 else 0
    return 0


def _wanted_so(text: str, asked: str) -> bool:
    """Whether what comes again stands in the question: some want a sentence a hundred times."""
    unit = next((unit.strip(" .!?\n\"'") for unit in reversed(_UNIT.findall(text[-_LOOKED_BACK:])) if unit.strip()), "")
    return bool(unit) and unit[:_TAIL].casefold() in asked.casefold()


def _asked(body: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What the user said last, and the other texts of the request that are not the model's."""
    asked, others = "", list[str]()
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") != "assistant":
            text = "\n".join(_texts(message.get("content")))
            if message.get("role") == "user":
                asked, text = text, asked
            if text:
                others.append(text[:_LONGEST_OTHER])
    return asked, others if len(others) <= _MOST_OTHERS else [*others[:2], *others[2 - _MOST_OTHERS :]]


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(text := part.get("text"), str):
            yield text
