# ruff: noqa: RUF001 - other scripts' letters and punctuation are data here
"""A request that says the answer before it was no good: known in many languages, and what only looks like it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.routing.comeback import COMPLAINT, REFUSED, REPEATED, REWORDED, refused, reworded, why_back
from cheaprouter.routing.complaints import complains
from cheaprouter.routing.features import extract
from cheaprouter.wire.openai_chat.request import parse
from tests.routing.helpers import BIG, MIDDLE, SMALL, context, router

COMPLAINTS = {
    "en": ["That is wrong.", "That's not right, check again!", "No, that's incorrect", "still doesn't work", "you misunderstood me", "Wrong answer.", "thats wrong the capital is canberra", "Hmm, this is not what I asked for.", "Are you sure?", "that is wrong can you check again?"],
    "de": ["Das stimmt nicht.", "Nein, das ist falsch!", "Falsch, prüf das noch einmal", "Das war nicht meine Frage", "Bist du sicher?", "das funktioniert nicht"],
    "fr": ["C'est faux.", "Non, ce n'est pas ça.", "Ça ne marche pas", "Tu te trompes", "Tu es sûr ?", "Vérifie encore"],
    "es": ["Eso está mal.", "No, eso no es correcto", "¡Te equivocas!", "¿Estás seguro?", "Inténtalo de nuevo", "No funciona"],
    "it": ["È sbagliato.", "No, non è corretto", "Ti sbagli", "Sei sicuro?", "Non funziona", "Riprova"],
    "pt": ["Isso está errado.", "Não, isso não está certo", "Você errou", "Tem certeza?", "Não funciona", "Tente novamente"],
    "nl": ["Dat klopt niet.", "Nee, dat is fout", "Je vergist je", "Weet je het zeker?", "Dat werkt niet"],
    "pl": ["To nieprawda.", "Nie, to jest źle", "Mylisz się", "Jesteś pewien?", "To nie działa", "Sprawdź jeszcze raz"],
    "ru": ["Это неправильно.", "Нет, неверно", "Ты ошибся", "Ты уверен?", "Не работает", "Проверь ещё раз"],
    "uk": ["Це неправильно.", "Ні, це не так", "Ти помилився", "Перевір ще раз"],
    "cs": ["To je špatně.", "Mýlíš se", "Nefunguje", "Jsi si jistý?"],
    "hu": ["Ez rossz.", "Nem, ez nem jó", "Tévedsz", "Nem működik"],
    "ro": ["Este greșit.", "Nu, nu e corect", "Te înșeli", "Nu merge"],
    "sv": ["Det är fel.", "Nej, det stämmer inte", "Du har fel", "Är du säker?"],
    "da": ["Det er forkert.", "Nej, det passer ikke", "Du tager fejl", "Er du sikker?"],
    "fi": ["Se on väärin.", "Ei, se ei pidä paikkaansa", "Olet väärässä", "Oletko varma?"],
    "tr": ["Bu yanlış.", "Hayır, bu doğru değil", "Yanılıyorsun", "Emin misin?"],
    "el": ["Αυτό είναι λάθος.", "Όχι, δεν είναι σωστό", "Κάνεις λάθος"],
    "zh": ["不对。", "不，你错了", "答案错了，再检查一遍", "你确定吗？", "不对吧"],
    "ja": ["違います。", "いいえ、間違っています", "それは違うよ", "もう一度確認してください", "本当ですか？"],
    "ko": ["틀렸어.", "아니, 그건 틀렸어", "다시 확인해 줘", "확실해?"],
    "ar": ["هذا خطأ.", "لا، هذا غير صحيح", "أنت مخطئ", "هل أنت متأكد؟"],
    "he": ["זה לא נכון.", "לא, זו טעות".replace("זו", "זה"), "אתה טועה"],
    "hi": ["यह गलत है।".replace("।", "."), "नहीं, यह सही नहीं है", "आप गलत हैं"],
    "vi": ["Sai rồi.", "Không, điều đó không đúng", "Bạn nhầm rồi"],
    "th": ["ผิด", "ไม่ถูกต้อง", "ลองใหม่อีกครั้ง"],
    "id": ["Itu salah.", "Tidak, itu tidak benar", "Kamu salah"],
}  # fmt: skip

HARMLESS = [
    "What is wrong with my car?",
    "what's wrong with the heating?",
    "Is that wrong?",
    "Is it wrong to lie?",
    "That is wrong of him, but why?",
    "Translate 'that is wrong' into German",
    '"That is wrong," she said. Who wrote this?',
    "My boss said I must pay, that is wrong, right?",
    "wrong turn movie cast",
    "No",
    "No, thanks.",
    "No, the kitchen one",
    "Nope",
    "Right, and what about Spain?",
    "It is off now, turn it on again",
    "Are you sure you can do that at night too?",
    "My washing machine doesn't work",
    "Check again tomorrow whether it rains",
    "error 404 what does it mean",
    "The answer is 42, why?",
    "You are right",
    "That is not wrong",
    "Turn the light off",
    "Was stimmt nicht mit meinem Auto?",
    "Was ist falsch an diesem Satz?",
    "Falsche Freunde im Englischen",
    "Nein danke",
    "Qu'est-ce qui ne va pas avec ma voiture ?",
    "¿Qué está mal en mi coche?",
    "Seguro.",
    "Mal de altura síntomas",
    "Che cosa non va?",
    "O que está errado com o meu carro?",
    "Wat is er mis met mijn auto?",
    "Co jest nie tak z moim autem?",
    "Что не так с моей машиной?",
    "不对称加密是什么？",
    "我的车有什么问题？",
    "错了怎么办的英文怎么说",
    "私の車は何が違いますか",
    "違いは何ですか",
    "본 영화 틀렸다는 뜻이 뭐야",
    "ما الخطأ في سيارتي؟",
    "Biztosítás ára",
    "",
    "?!",
]


@pytest.mark.parametrize(("language", "text"), [(name, text) for name, texts in COMPLAINTS.items() for text in texts])
def test_a_complaint_is_known(language: str, text: str) -> None:
    del language
    assert complains(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_complaint_is_none(text: str) -> None:
    assert not complains(text)


@given(st.text(max_size=500))
def test_no_text_makes_it_stumble(text: str) -> None:
    assert complains(text) in (True, False)
    assert reworded(text, text[::-1]) in (True, False)
    assert refused([text]) in (True, False)


@given(st.sampled_from([text for texts in COMPLAINTS.values() for text in texts]))
def test_case_and_blanks_change_nothing(text: str) -> None:
    assert complains(f"  {text.upper() if text.isascii() else text}  ")


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("What is the capital of Australia?", "Tell me Australia's capital", True),
        ("Weather tomorrow in Paris", "tomorrow's weather in Paris please", True),
        (
            "Wie hoch ist der Eiffelturm in Metern?",
            "Sag mir bitte noch einmal die Höhe: Eiffelturm, Metern, hoch",
            False,
        ),
        ("Wie alt ist der Kölner Dom?", "Der Kölner Dom, wie alt ist der bitte?", True),
        ("turn on the kitchen light", "turn off the kitchen light", False),
        ("What is the capital of Australia?", "What is the population of Australia?", False),
        ("turn on the kitchen light", "turn on the kitchen light to 50%", False),
        ("set 20 degrees in the office", "set 21 degrees in the office", False),
        ("How do I cook rice and beans with garlic and onions?", "rice", False),
        ("hello", "hello", False),
        ("打开厨房灯", "关闭厨房灯", False),
    ],
)
def test_the_same_in_other_words(before: str, now: str, same: bool) -> None:
    assert reworded(now, before) is same


@pytest.mark.parametrize(
    ("result", "bad"),
    [
        ('{"error": "MatchFailedError", "error_text": "no such entity"}', True),
        ('{"success": false, "message": "no"}', True),
        ('{"isError": true, "content": []}', True),
        ('{"status": "error"}', True),
        ("Error executing tool get_weather: 404", True),
        ("An error occurred while running the tool. Please try again.", True),
        ("Invalid arguments for HassTurnOn", True),
        ("MCP error -32602: unknown tool", True),
        ('{"success": true, "error": null}', False),
        ('{"temperature": 21, "error": null}', False),
        ('{"speech": {}, "response_type": "action_done", "data": {"success": [], "failed": []}}', False),
        ("Error: Exit code 1\n2 tests failed", False),
        ("errors: none", False),
        ("The word error stands in this text", False),
        ("", False),
        ('{"error": ', False),
    ],
)
def test_a_result_that_refuses(result: str, bad: bool) -> None:
    assert refused([result]) is bad


def a_talk(*texts: str) -> dict[str, Any]:
    """User and assistant in turn."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]}


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (("That is wrong.",), ""),
        (("Capital of Australia?", "Sydney.", "That is wrong."), COMPLAINT),
        (("Capital of Australia?", "Sydney.", "Capital of Australia?"), REPEATED),
        (("Tell me the capital of Australia", "Sydney.", "What is Australia's capital?"), REWORDED),
        (("Capital of Australia?", "Canberra.", "Thanks!"), ""),
        (("Capital of Australia?", "Sydney.", "That is wrong.", "Canberra.", "And of Austria?"), ""),
    ],
)
def test_only_after_an_answer_a_request_comes_back(texts: tuple[str, ...], why: str) -> None:
    assert why_back(extract(a_talk(*texts))) == why


def a_tool_loop(*results: str) -> dict[str, Any]:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(len(results))
    ]
    body = a_talk("Turn on the lamp.")
    body["messages"].append({"role": "assistant", "content": None, "tool_calls": calls})
    body["messages"] += [{"role": "tool", "tool_call_id": f"c{n}", "content": text} for n, text in enumerate(results)]
    return body


def test_a_tool_that_refuses_counts_and_one_of_before_does_not() -> None:
    bad, good = json.dumps({"error": "MatchFailedError"}), json.dumps({"success": True})
    assert why_back(extract(a_tool_loop(good, bad))) == REFUSED
    assert why_back(extract(a_tool_loop(good))) == ""
    body = a_tool_loop(bad)
    body["messages"] += a_tool_loop(good)["messages"][1:]
    assert why_back(extract(body)) == ""


@pytest.mark.parametrize("language", sorted(COMPLAINTS))
def test_the_next_request_of_that_conversation_gets_one_step_up(language: str) -> None:
    """One step: the cheapest of the better ones, not the best."""
    chooser = router(SMALL, MIDDLE, BIG, difficulty=0.05)
    opening = a_talk("How far is the moon?")
    first = chooser.decide(parse({"model": "blockrun/eco", **opening}), context())
    assert first.model is SMALL
    chooser.served("kitchen", first, first.model)
    complaint = COMPLAINTS[language][0]
    second = chooser.decide(
        parse({"model": "blockrun/eco", **a_talk("How far is the moon?", "Ten miles.", complaint)}), context()
    )
    assert second.model is MIDDLE
    assert second.came_back == COMPLAINT
    assert second.rejected == "lab/small"
    assert second.reason.endswith(COMPLAINT)
    thanked = chooser.decide(
        parse({"model": "blockrun/eco", **a_talk("How far is the moon?", "Ten miles.", "Thank you.")}), context()
    )
    assert thanked.model is SMALL


def test_a_refused_tool_gets_one_step_up_too() -> None:
    chooser = router(SMALL, MIDDLE, BIG, difficulty=0.05)
    first = chooser.decide(parse({"model": "blockrun/auto", **a_talk("Turn on the lamp.")}), context())
    chooser.served("kitchen", first, SMALL)
    body = a_tool_loop(json.dumps({"error": "MatchFailedError", "error_text": "no lamp"}))
    second = chooser.decide(parse({"model": "blockrun/auto", **body}), context())
    assert second.model.quality.value > SMALL.quality.value
    assert second.came_back == REFUSED


def test_a_model_asked_for_by_name_stays_whatever_is_said_of_it() -> None:
    chooser = router(SMALL, BIG)
    body = a_talk("How far is the moon?", "Ten miles.", "That is wrong.")
    assert chooser.decide(parse({"model": "lab/small", **body}), context()).model is SMALL


def test_another_devices_complaint_is_its_own() -> None:
    chooser = router(SMALL, MIDDLE, BIG)
    first = chooser.decide(parse({"model": "blockrun/eco", **a_talk("How far is the moon?")}), context())
    chooser.served("kitchen", first, BIG)
    body = a_talk("How far is the moon?", "Ten miles.", "That is wrong.")
    assert chooser.decide(parse({"model": "blockrun/eco", **body}), context(device_id="hall")).rejected == ""
