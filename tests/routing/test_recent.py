"""Scores that are remembered: only where the score is the same to the last digit, and without keeping a word."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract
from cheaprouter.routing.recent import LONGEST, RecentScores, alike
from cheaprouter.routing.text import find_ask
from tests.builders import saying

PARTS = (
    "set a timer for", "minutes", "please", "thanks, Bob", "tea", "2 tea", "12 tea12 tea1", "**4**2", "__7__7", "<h1>x</h1>", "`3`", '"17"',
    "A) 12 B) 13 C) 12", "A. 4 cats\nB. 5 dogs\nC. 4 cats", "3.14", "7:30", "1,000", "50%", "$9", "step 3", "v2", "²", "٣", "证明第3题。", "第12章", "1 2", "it", "- 4", "> 5",
    "Is it 12? Is it 21? Is it 12?", "What is 2+2?", "x^2", "1212", "0000", "\n", "```9```", "prove that 3 divides 33",
)  # fmt: skip
texts = st.lists(st.sampled_from(PARTS) | st.text("0123456789 .:,*_-", max_size=8), min_size=1, max_size=8)
joints = st.sampled_from(["", " ", ". ", "\n", "? "])
exchanges = st.permutations("0123456789").map(lambda other: str.maketrans("0123456789", "".join(other)))


@pytest.fixture(scope="module")
def model():
    return DifficultyModel.load()


@settings(max_examples=400, deadline=None)
@given(texts, joints, st.integers(1, 3), exchanges)
def test_texts_that_are_alike_score_alike_to_the_last_digit(model, parts, joint, times, exchange):
    text = joint.join(parts * times)
    other = text.translate(exchange)
    assert RecentScores.key(text, 0) == RecentScores.key(other, 0)
    one, same = (model._judged(find_ask(said), 0, None) for said in (text, other))
    assert (one.score, one.difficulty) == (same.score, same.difficulty)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), exchanges)
def test_any_text_is_alike_to_itself_with_other_digits(text, exchange):
    assert alike(text) == alike(text.translate(exchange))


@pytest.mark.parametrize(
    ("one", "other"),
    [("5 or 5", "5 or 7"), ("1212", "1234"), ("10 minutes", "5 minutes"), ("lamp 1", "Lamp 1"), ("٣", "٤"), ("a", "b")],
)
def test_texts_that_differ_in_more_are_not_alike(one, other):
    assert alike(one) != alike(other)


def test_images_count():
    assert RecentScores.key("what is this?", 0) != RecentScores.key("what is this?", 1)


def test_a_text_said_again_is_not_judged_again(model, monkeypatch):
    features = extract({"messages": saying("start timer 3 for 12 minutes")})
    again = extract({"messages": saying("start timer 7 for 45 minutes")})
    first = model.score(features)
    monkeypatch.setattr("cheaprouter.routing.difficulty.counts", None)
    assert model.score(again).score == first.score


def test_what_was_remembered_is_still_explained(model):
    body = {"messages": saying("Prove that 7 divides 7! and explain why.")}
    first, second = model.score(extract(body)), model.score(extract(body))
    assert dict(first.contributions) == dict(second.contributions) != {}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(PARTS) | st.just("why?"), min_size=1, max_size=5))
def test_what_is_judged_is_what_is_explained(model, said):
    turns = [text for one in said for text in (one, "ok")][:-1]
    features = extract({"messages": saying(*turns)})
    judged, explained = model.judge(features), model.score(features)
    assert (judged.score, judged.tier) == (explained.score, explained.tier)


def test_a_follow_up_inherits_from_what_was_remembered(model):
    question = "Prove that every prime p = 1 mod 4 is a sum of two squares."
    alone = model.score(extract({"messages": saying(question)})).score
    led = model.score(extract({"messages": saying(question, "Done.", "why?")})).score
    assert led == round(0.85 * alone, 6)


def test_the_longest_unused_go():
    scores = RecentScores(most=2)
    one, two, three = (RecentScores.key(text, 0) for text in ("one", "two", "three"))
    scores.put(one, 0.1)
    scores.put(two, 0.2)
    assert scores.get(one) == 0.1
    scores.put(three, 0.3)
    assert (len(scores), scores.get(one), scores.get(two), scores.get(three)) == (2, 0.1, None, 0.3)


def test_a_long_text_is_not_kept():
    scores = RecentScores()
    scores.put(RecentScores.key("a" * (LONGEST + 1), 0), 0.5)
    assert len(scores) == 0
    assert scores.get(None) is None


def test_no_word_stays_in_memory():
    assert all(isinstance(part, int) for part in RecentScores.key("my secret is 1234", 0))
