"""How long a reply is expected to be: by what is asked for, and never above what the client allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.routing.features import extract
from cheaprouter.routing.lengths import KINDS, Length, corrected, reply_length
from tests.builders import saying


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("write a sonnet about rain", "poem"),
        ("Recipe for lasagne", "recipe"),
        ("python function to sort a list", "code"),
        ("Erzähl mir eine Geschichte über Drachen", "story"),
        ("写一首诗", "poem"),
        ("Explain how a heat pump works", "explain"),
        ("Prove that there are infinitely many primes", "proof"),
        ("haiku about snow", "haiku"),
        ("Answer in one word: is it raining?", "word"),
        ("turn on the light", "look-up"),
        ("what is the capital of Norway?", "look-up"),
    ],
)
def test_a_short_ask_for_a_long_text_gets_a_long_one(said, kind):
    assert reply_length(said) == KINDS[kind]


def test_a_summary_of_a_story_is_a_summary():
    assert reply_length("Summarise this story in your own words: " + "Once there was a king. " * 60) == KINDS["summary"]


def test_with_tools_a_command_gets_a_call():
    assert reply_length("dim the lamp in the hall to a third", tools=True) == KINDS["call"]


def test_a_length_that_is_asked_for_counts():
    assert 600 <= reply_length("Write a 500 word essay about bees").typical <= 800


def test_a_number_that_is_no_length_does_not():
    assert reply_length("Write an essay about the war of 1866") == KINDS["essay"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_usual_is_below_what_nine_of_ten_stay_under(kind):
    assert 0 < KINDS[kind].typical < KINDS[kind].high


def test_a_model_that_writes_twice_as_much_is_expected_to():
    assert corrected(Length(100, 300), 2.0) == Length(200, 600)
    assert corrected(Length(100, 300), None) == Length(100, 300)


@given(st.text(max_size=700), st.none() | st.integers(1, 4000), st.booleans(), st.booleans())
def test_any_text_gets_a_length_that_the_client_allows(said, most, tools, looped):
    found = reply_length(said, most, tools=tools, looped=looped)
    assert 1 <= found.typical <= found.high
    assert most is None or found.high <= most


def test_a_request_tells_both_numbers():
    features = extract({"messages": saying("write a sonnet about rain"), "max_tokens": 300})
    assert features.length == Length(260, 300)
