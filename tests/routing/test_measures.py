# ruff: noqa: RUF001 - other scripts' punctuation is data here
"""The short cuts that ASCII and plain texts take measure what the long way does."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cheaprouter.routing import lexicon, measures, text
from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.measures import COUNTS, counts, normalise, words_of
from cheaprouter.routing.text import Ask, once

ascii_texts = st.text(st.characters(max_codepoint=127), max_size=80) | st.text("ab'-. 1_\x01\x1c\x7f", max_size=40)


@given(ascii_texts)
@example("can't - 'quoted' well-known x-'y --a'-b'")
def test_words_of_ascii_are_those_of_any_text(said):
    said = normalise(said)
    assert words_of(said) == measures._WORDS.findall(said)


@given(ascii_texts)
def test_sentences_of_ascii_are_those_of_any_text(said):
    said = normalise(said)
    assert len(measures._ASCII_STOPS.findall(said)) == len(measures._STOPS.findall(said))


@given(ascii_texts)
def test_a_letter_of_another_script_changes_no_count_of_marks(said):
    said = normalise(said)
    plain, wide = (counts(Ask(one), one, words_of(one)) for one in (said, said + "é"))
    for name in ("numbers", "percent", "money", "symbols", "brackets", "latex", "colons", "decimals"):
        assert plain[COUNTS.index(name)] == wide[COUNTS.index(name)]


@settings(max_examples=300, deadline=None)
@given(st.from_regex(lexicon.TRAILING).filter(str.isascii), st.sampled_from(["", "turn it on", "What is 2+2?"]))
def test_whatever_the_pattern_of_endings_takes_off_passes_the_quick_test(ending, said):
    tail = text.squeeze(said + ending)[-text.END :]
    if lexicon.TRAILING.search(tail):
        assert text._may_end(tail.lower())


def once_by_definition(said):
    """Every way of repeating looked for, and every sentence split off."""
    while True:
        periods = [((said + j) * 2).find(said + j, 1) - len(j) for j in text._JOINTS if said + j]
        shorter = [period for period in periods if 0 < period < len(said)]
        if not shorter:
            break
        said = said[: shorter[0]]
    parts = {}
    for part in text.re.split(r"(?<=[.!?。！？\n])\s*", said):
        parts.setdefault(part.strip(text._STOPS), part.strip())
    return " ".join(part for key, part in parts.items() if key) if len(parts) > 1 else said


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(["a", "b", "ab", " ", ". ", "?", "!", "。", "1", "is it on"]), max_size=12).map("".join)
)
@example("on. on?")
@example("on on on.")
def test_a_text_is_said_once(said):
    said = text.squeeze(said)
    assert once(said) == once_by_definition(said)


@pytest.fixture(scope="module")
def trees():
    return DifficultyModel.load().trained.trees


def walked(trees, row, first, last):
    total = 0.0
    for tree, means in list(enumerate(trees.means))[first:last]:
        place = 0
        while place < trees.inner:
            node = tree * trees.inner + place
            place = 2 * place + 1 + (row[trees.features[node]] > trees.thresholds[node])
        total += means[place]
    return total


def test_the_sum_of_the_trees_is_what_walking_each_gives(trees):
    draw = random.Random(5)
    finite = [threshold for threshold in trees.thresholds if threshold != math.inf]
    for _ in range(200):
        row = [draw.choice((0.0, 1.0, draw.random() * 5, draw.choice(finite))) for _ in COUNTS]
        own = len(trees.heads[0])
        assert trees.grow(row) == (walked(trees, row, 0, own), walked(trees, row, own, None))


def test_what_the_counts_add_explains_the_whole_sum(trees):
    row = [draw * 0.3 for draw in range(len(COUNTS))]
    roots = sum(means[0] for means in trees.heads[0])
    assert sum(trees.paths(row, COUNTS).values()) + roots == pytest.approx(trees.grow(row)[0])
