"""What a request is about, and what is told of it beside its difficulty."""

from __future__ import annotations

import pytest

from cheaprouter.core.models import Kind
from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract
from tests.builders import saying

PROOF = "Prove that every prime p = 1 mod 4 is a sum of two squares."
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def model():
    return DifficultyModel.load()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (PROOF, Kind.MATHS),
        ("Implement a thread-safe queue class in Python with a script that tests it.", Kind.CODE),
        ("turn on the kitchen light", Kind.HOME),
        ("What is the capital of Norway?", Kind.GENERAL),
        ("thanks!", Kind.GENERAL),
    ],
)
def test_the_kind_is_that_of_the_ask(model, said, kind):
    assert model.judge(extract({"messages": saying(said)})).kind is kind


def test_a_picture_makes_it_vision(model):
    content = [{"type": "text", "text": PROOF}, PICTURE]
    assert model.judge(extract({"messages": [{"role": "user", "content": content}]})).kind is Kind.VISION


def test_a_prompt_of_a_book_makes_it_long(model):
    messages = [{"role": "system", "content": "word " * 40_000}, *saying("What is the capital of Norway?")]
    assert model.judge(extract({"messages": messages})).kind is Kind.LONG


def test_tools_make_it_tools_also_where_the_text_was_heard_without_them(model):
    said = saying("What is it like in Oslo today?")
    assert model.judge(extract({"messages": said})).kind is Kind.GENERAL
    assert model.judge(extract({"messages": said, "tools": [WEATHER]})).kind is Kind.TOOLS


def test_a_proof_is_maths_whatever_tools_there_are(model):
    assert model.judge(extract({"messages": saying(PROOF), "tools": [WEATHER]})).kind is Kind.MATHS


def test_a_follow_up_is_of_the_kind_it_follows(model):
    led = model.judge(extract({"messages": saying(PROOF, "Use Gaussian integers.", "why?")}))
    alone = model.judge(extract({"messages": saying(PROOF)}))
    assert (led.kind, led.gain) == (Kind.MATHS, round(0.85 * alone.gain, 6))


def test_what_a_home_may_learn_by_has_the_same_names_for_every_request(model):
    for said in (PROOF, "turn on the kitchen light", "thanks!", ""):
        told = model.judge(extract({"messages": saying(said)}))
        vector = model.vector(told)
        assert len(vector) == len(model.vector_names())
        assert vector[:2] == [told.fail, told.gain]
        assert all(-3 <= number <= 3 for number in vector)
