"""How hard a request is judged to be: fair to short hard asks, deaf to trimmings, and the same every time."""

from __future__ import annotations

import pathlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.core.models import Tier
from cheaprouter.routing import difficulty
from cheaprouter.routing.difficulty import DifficultyModel, score_payload
from cheaprouter.routing.features import extract
from cheaprouter.routing.trained import read_trained

PROOF = "Prove that every prime p = 1 mod 4 is a sum of two squares."
HARD = {Tier.COMPLEX, Tier.REASONING}
EASY = {Tier.SIMPLE, Tier.MEDIUM}
LETTERS = {"S": Tier.SIMPLE, "M": Tier.MEDIUM, "C": Tier.COMPLEX, "R": Tier.REASONING}


@pytest.fixture(scope="module")
def model():
    return DifficultyModel.load()


@pytest.fixture(scope="module")
def judge(model):
    def judge(said, *earlier, **body):
        turns = [*earlier, said]
        messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
        return model.score(extract({"messages": messages, **body}))

    return judge


def written():
    path = pathlib.Path(__file__).parent / "tiers.tsv"
    rows = [
        line.split("\t") for line in path.read_text(encoding="utf8").splitlines() if line and not line.startswith("#")
    ]
    return [({LETTERS[letter] for letter in accepted}, kind, text) for accepted, kind, text in rows]


@pytest.mark.parametrize(
    "said",
    [
        "What is 2+2?",
        "Set a timer for 10 minutes and dim the lights to 30 percent",
        "Wake me at 7:30 on 12 May",
        "Improve this and approve the informal note",
    ],
)
def test_digits_and_lookalike_words_are_not_reasoning(judge, said):
    assert judge(said).tier in EASY


def test_home_commands_are_simple_in_every_language(judge):
    wrong = [text for _, kind, text in written() if kind == "command" and judge(text).tier is not Tier.SIMPLE]
    assert wrong == []


@pytest.mark.parametrize("said", ["turn off the music", "lock the front door", "add milk to my shopping list"])
def test_a_home_command_is_simple_and_fails_as_often_as_was_seen(judge, said):
    told = judge(said)
    assert told.tier is Tier.SIMPLE
    assert 0.15 < told.fail < 0.25
    assert told.gain < 0.05


def test_nearly_all_handwritten_requests_get_a_tier_that_a_person_accepts(judge):
    rows = written()
    wrong = [text for accepted, _, text in rows if judge(text).tier not in accepted]
    assert len(wrong) <= 0.06 * len(rows), wrong


@pytest.mark.parametrize("kind", ["mention", "false difficulty", "false ease", "degenerate"])
def test_words_about_the_question_do_not_sway_it(judge, kind):
    wrong = [text for accepted, found, text in written() if found == kind and judge(text).tier not in accepted]
    assert wrong == []


def test_a_keyword_in_the_middle_of_a_long_prompt_is_seen(judge):
    filler = "The sensors report every minute and the hub keeps a week of readings for the dashboard in the hall. " * 4
    assert (
        judge(f"{filler}Prove that the protocol is safe and derive a bound on its delay. {filler}").score
        > judge(filler).score
    )


def test_the_same_text_nine_times_keeps_its_tier(judge):
    assert judge((PROOF + " ") * 9).tier is judge(PROOF).tier


def test_every_tier_is_reached(judge):
    assert {judge(text).tier for _, _, text in written()} == set(Tier)


def test_the_system_prompt_is_not_scored(judge, model):
    body = {"messages": [{"role": "system", "content": PROOF * 50}, {"role": "user", "content": "lights off"}]}
    assert model.score(extract(body)).score == judge("lights off").score


def test_what_tools_describe_does_not_make_a_command_hard(judge):
    tools = [{"type": "function", "function": {"name": "prove", "description": PROOF * 20}}] * 20
    assert judge("lights off", tools=tools).tier is judge("lights off").tier is Tier.SIMPLE


def test_an_ask_that_no_tool_fits_gains_more_by_a_large_model(judge):
    said = "Find a flight from Vienna to Porto on the 12th, coming back on the 19th"
    parameters = {"type": "object", "properties": {"sequence": {"type": "string"}}, "required": ["sequence"]}
    other = {"name": "dna_transcribe", "description": "Transcribe DNA into RNA.", "parameters": parameters}
    assert judge(said, tools=[{"type": "function", "function": other}]).gain > judge(said).gain


@pytest.mark.parametrize(
    "wrapped",
    [
        "Solve this:\n> {}", "Solve this:\n```\n{}\n```", 'Answer the following:\n"""\n{}\n"""', "<question>{}</question>", "## Request\n> **{}**",
        "Löse folgende Aufgabe:\n> {}", "Question: {}", "<task>\n{}\n</task>\nPlease answer.",
    ],
)  # fmt: skip
def test_an_ask_that_is_quoted_is_what_is_asked(judge, wrapped):
    assert judge(wrapped.format(PROOF)).tier is judge(PROOF).tier


@pytest.mark.parametrize(
    "order",
    [
        "Translate into French: {}", "Summarise the following text.\n{}", "Proofread: {}", "{}\n\nTranslate the above into German.", "Übersetze ins Englische: {}",
        "Please translate into German\n{}", "Repeat after me: {}", "翻译成英文:{}",
    ],
)  # fmt: skip
def test_an_easy_order_is_easy_whatever_the_text_says(judge, order):
    assert judge(order.format(PROOF)).tier in EASY


def test_code_that_comes_along_counts(judge):
    code = "\n".join(
        f"    for a{i} in range({i}):\n        if a{i} % 3 == 0:\n            total += a{i} * {i}" for i in range(12)
    )
    assert (
        judge(f"fix this\n```python\ndef f(total):\n{code}\n    return total\n```").score > 2 * judge("fix this").score
    )


def test_array_content_scores_as_its_text(judge, model):
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": PROOF}]}]}
    assert model.score(extract(parts)).score == judge(PROOF).score


@pytest.mark.parametrize("said", ["and the converse?", "why?", "Can you generalise it?", "what about odd ones"])
def test_a_short_follow_up_keeps_most_of_the_difficulty(judge, said):
    assert judge(said, PROOF, "Use Gaussian integers.").score >= round(0.85 * judge(PROOF).score, 4) - 0.0001


@pytest.mark.parametrize("said", ["thanks!", "ok great", "turn off the lights", "What's the capital of Peru?"])
def test_thanks_and_new_topics_inherit_nothing(judge, said):
    assert judge(said, PROOF, "Use Gaussian integers.").score == judge(said).score


def test_an_inherited_score_says_so(judge):
    assert judge("and the converse?", PROOF, "Use Gaussian integers.").contributions["follow_up"] > 0


@pytest.mark.parametrize("prefix", ["Please ", "Hi there! ", "Could you please help me with this? "])
def test_politeness_changes_nothing(judge, prefix):
    assert judge(prefix + PROOF).score == judge(PROOF).score


def test_case_changes_nothing(judge):
    assert judge(PROOF.upper()).score == judge(PROOF.lower()).score


def test_a_paste_does_not_make_a_trivial_ask_hard(judge):
    assert judge("```\n" + PROOF * 40 + "\n```\nHow many lines is this?").tier in EASY


def test_junk_is_simple(model):
    for body in ({}, {"messages": []}, {"messages": [{"role": "user", "content": None}]}, None, 7):
        assert model.score(extract(body)).tier is Tier.SIMPLE


texts = st.text(alphabet=string.ascii_letters + string.digits + " .,?!=+\"'`\néя证", max_size=300)


@settings(max_examples=150, deadline=None)
@given(texts, st.integers(2, 6), st.sampled_from([" ", "\n", ". ", "\n\n"]))
def test_more_of_the_same_text_is_never_easier(judge, text, times, joint):
    assert judge(joint.join([text] * times)).score >= judge(text).score - 1e-9


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400))
def test_any_text_gets_a_probability_twice_the_same(judge, text):
    first, second = judge(text), judge(text)
    assert 0 <= first.score <= 1
    assert first.score == second.score


def test_contributions_add_up_to_the_raw_sum(model):
    shown = model.score(extract({"messages": [{"role": "user", "content": PROOF}]})).contributions
    assert shown["proof"] > 0.1
    assert len(repr(shown)) > 20


def test_two_loads_judge_alike(judge):
    assert (
        DifficultyModel.load().score(extract({"messages": [{"role": "user", "content": PROOF}]})).score
        == judge(PROOF).score
    )


@pytest.mark.parametrize("payload", [None, [], 3, "x", {}, {"messages": "hi"}])
def test_every_payload_gets_one_answer(model, payload):
    answer = score_payload(model, payload)
    assert 0 <= answer["score"] <= 1
    assert answer["tier"] in set(Tier)


def test_a_damaged_file_is_refused():
    with pytest.raises(ValueError, match="not a difficulty model"):
        read_trained(b"nothing of the kind")


def test_a_truncated_file_is_refused():
    whole = (pathlib.Path(difficulty.__file__).parent / "data" / "difficulty.bin").read_bytes()
    with pytest.raises(ValueError, match="weights"):
        read_trained(whole[:-100])


def test_the_shipped_file_is_small():
    assert (pathlib.Path(difficulty.__file__).parent / "data" / "difficulty.bin").stat().st_size < 2_000_000
