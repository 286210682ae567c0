# ruff: noqa: RUF001 - other scripts' letters and punctuation are data here
"""Texts: what is refused, repeated, in another language or no JSON, and what only looks like it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.wire.checks.fault import Kind
from cheaprouter.wire.checks.texts import loops, refuses, wrong_format, wrong_text


def _body(asked: str = "", system: str = "You are a helpful assistant.", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": system}, {"role": "user", "content": asked}], **more}


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I cannot assist with this request.",
        "**Sorry, I can't** do that.",
        "As an AI language model, I have no access to it.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Je suis désolé, mais je ne peux pas répondre.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, ma non posso farlo.",
        "Desculpe, mas não posso ajudar.",
        "Het spijt me, maar ik kan dat niet doen.",
        "Przepraszam, ale nie mogę w tym pomóc.",
        "К сожалению, я не могу помочь.",
        "抱歉，我无法回答这个问题。",
        "申し訳ありませんが、お答えできません。",
        "죄송하지만 도와드릴 수 없습니다.",
    ],
)
def test_a_refusal_is_known_by_how_it_begins(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sorry about the wait! The lamp is on.",
        "The kitchen light is on.",
        "Here is a polite refusal: I'm sorry, but I can't come.",
        "You can say no.",
        "As an airport, it is large.",
        "Ich kann dir helfen.",
        "",
    ],
)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert not refuses(text)


_WANTED = {
    "type": "json_schema",
    "json_schema": {"schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}},
}


@pytest.mark.parametrize(
    ("text", "wanted", "why"),
    [
        ('{"a": 1}', _WANTED, None),
        ('{"a": "1"}', _WANTED, "the answer does not fit the schema: `a` must be a whole number"),
        ("{}", _WANTED, "the answer does not fit the schema: `a` is missing"),
        ('```json\n{"a": 1}\n```', _WANTED, "the answer is no JSON"),
        ('{"a": 1', _WANTED, "the answer is no JSON"),
        ("Sure!", {"type": "json_object"}, "the answer is no JSON"),
        ("[1]", {"type": "json_object"}, "the answer is no JSON object"),
        ("{}", {"type": "json_object"}, None),
        ("Sure!", {"type": "text"}, None),
        ("Sure!", None, None),
        ("Sure!", "json_object", None),
    ],
)
def test_the_json_that_was_asked_for(text: str, wanted: Any, why: str | None) -> None:
    found = wrong_format(text, _body(response_format=wanted))
    assert (None if found is None else found.why) == why


@given(st.dictionaries(st.text(max_size=5), st.integers(-9999, 9999) | st.text(max_size=5)))
def test_the_beginning_of_json_is_let_through(value: dict[str, Any]) -> None:
    text = orjson.dumps(value).decode()
    for end in range(len(text)):
        assert wrong_format(text[:end], _body(response_format=_WANTED), whole=False) is None
    assert wrong_format("Sure, here", _body(response_format=_WANTED), whole=False) is not None


@pytest.mark.parametrize(
    "text",
    ["I think so. " * 20, "The lamp is on.\n" * 8, "start of it " + "foo bar baz " * 60, "这是一个很好的问题。" * 80],
)
def test_a_text_that_goes_round_in_circles(text: str) -> None:
    assert loops(text)
    found = wrong_text(text, _body("Tell me."))
    assert found is not None
    assert found.kind is Kind.LOOP


@pytest.mark.parametrize(
    "text",
    [
        "|---|---|---|\n" * 40,
        "-" * 900,
        "0, 0, 0, 0, " * 90,
        "Yes. Yes. Yes. No.",
        "\n".join(f"{n}. item number {n}" for n in range(200)),
        "ha ha ha",
    ],
)
def test_a_text_that_does_not(text: str) -> None:
    assert not loops(text)


def test_what_the_user_wants_repeated_may_be() -> None:
    assert wrong_text("All work and no play. " * 30, _body("Write 'All work and no play' thirty times.")) is None


_QUESTIONS = {
    "en": "What is the best way to clean the windows of my house and when should I do it?",
    "de": "Wie wird das Wetter morgen und was soll ich anziehen, wenn ich mit dem Rad fahre?",
    "fr": "Quelle est la meilleure façon de nettoyer les vitres de ma maison et quand le faire ?",
    "es": "¿Cuál es la mejor manera de limpiar las ventanas de mi casa y cuándo lo hago?",
    "it": "Qual è il modo migliore per pulire le finestre della mia casa e quando lo faccio?",
    "pl": "Jak najlepiej umyć okna w domu i kiedy to zrobić, żeby nie było śladów?",
    "nl": "Wat is de beste manier om de ramen van het huis te wassen en wanneer moet dat?",
    "ru": "Как лучше всего мыть окна в доме и когда это делать?",
    "ja": "家の窓を掃除する一番良い方法は何ですか。いつすればいいですか。",
    "zh": "清洁家里窗户的最佳方法是什么？什么时候做比较好？",
    "ko": "집 창문을 청소하는 가장 좋은 방법은 무엇이고 언제 해야 하나요?",
    "ar": "ما هي أفضل طريقة لتنظيف نوافذ المنزل ومتى يجب أن أفعل ذلك؟",
}
_ANSWERS = {
    "en": "The best way is to use warm water with a little vinegar, and to do it in the morning when it is cool.",
    "de": "Das Wetter wird morgen schön, und du solltest eine leichte Jacke mit auf den Weg nehmen.",
    "fr": "Le mieux est de laver les vitres avec de l'eau tiède et un peu de vinaigre, plutôt le matin.",
    "es": "Lo mejor es limpiar las ventanas con agua tibia y un poco de vinagre por la mañana, que es más fresca.",
    "it": "Il modo migliore è lavare le finestre con acqua tiepida e un po' di aceto, e non con il sole.",
    "pl": "Okna najlepiej myć ciepłą wodą z octem i robić to rano, bo nie ma wtedy słońca, a szyby się nie smużą.",
    "nl": "De beste manier is om het met warm water te doen, en dat kan je het best in de ochtend.",
    "ru": "Лучше всего мыть окна тёплой водой с уксусом и делать это утром.",
    "ja": "ぬるま湯と酢で窓を拭くのが一番です。朝にするといいでしょう。",
    "zh": "最好的方法是用温水加一点醋擦窗户，早上做比较好。",
    "ko": "따뜻한 물에 식초를 조금 넣어 닦는 것이 가장 좋고 아침에 하세요.",
    "ar": "أفضل طريقة هي استخدام الماء الدافئ مع قليل من الخل في الصباح.",
}


@pytest.mark.parametrize("asked", sorted(_QUESTIONS))
@pytest.mark.parametrize("said", sorted(_ANSWERS))
def test_an_answer_in_another_language_is_found(asked: str, said: str) -> None:
    found = wrong_text(_ANSWERS[said], _body(_QUESTIONS[asked]))
    assert (found is None) == (asked == said)
    assert found is None or found.kind is Kind.LANGUAGE


@pytest.mark.parametrize(
    ("asked", "said", "system"),
    [
        ("Translate into German: the house is old and the windows are dirty", _ANSWERS["de"], ""),
        ("Как сказать это по-английски, переведи мне фразу", _ANSWERS["en"], ""),
        (_QUESTIONS["ru"], _ANSWERS["en"], "Always answer in English."),
        ("ok", _ANSWERS["de"], ""),
        ("Напиши функцию сортировки на Python", "def sort(values): return sorted(values) and that is all", ""),
        ("Wie heißt der Film mit dem Titel?", "Star Wars", ""),
        ("Welche Musik ist das?", "The Dark Side of the Moon", ""),
    ],
)
def test_where_another_language_may_be_wanted_nothing_is_said(asked: str, said: str, system: str) -> None:
    assert wrong_text(said, _body(asked, system)) is None


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_makes_it_stumble(said: str, asked: str) -> None:
    wrong_text(said, _body(asked))
