# ruff: noqa: RUF001 - other scripts' punctuation is data here
"""Pairs of marks are found as the patterns found them that took a time growing with the square of a text."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.routing.features import extract
from cheaprouter.routing.marks import quotations, without_emphasis, without_tagged
from cheaprouter.routing.text import find_ask

QUOTES = re.compile(
    r'"([^"\n]{1,4000})"|“([^”]{1,4000})”|„([^“”"]{1,4000})[“”"]|«([^»]{1,4000})»|「([^」]{1,2000})」|『([^』]{1,2000})』'
    r"|‘([^’\n]{1,400})’(?!\w)|(?<![\w'])'([^'\n]{2,400})'(?!\w)|`([^`\n]{1,400})`|‹([^›]{1,400})›"
)
EMPHASIS = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", re.DOTALL)
TAGGED = re.compile(r"<([a-zA-Z][\w-]{1,30})>(?:.{40,}?)</\1>", re.DOTALL)


def of(*pieces: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), max_size=25).map("".join)


@given(
    of(
        '"',
        "“",
        "”",
        "„",
        "«",
        "»",
        "「",
        "」",
        "‘",
        "’",
        "'",
        "`",
        "‹",
        "›",
        "a",
        "b ",
        " ",
        "\n",
        "_",
        "é",
        "1",
        "'ab'",
    )
)
def test_quotations_are_where_they_were(text):
    assert list(quotations(text)) == [found.span() for found in QUOTES.finditer(text)]


@given(of("*", "**", "__", "_", "a", " ", "b c", "\n", "***", "é"))
def test_emphasis_is_what_it_was(text):
    assert without_emphasis(text) == EMPHASIS.sub(r"\2", text)


@given(of("<aa>", "</aa>", "<bb>", "</bb>", "<a>", "x" * 39, "x" * 45, " ", "<", ">", "y"))
def test_tagged_passages_are_what_they_were(text):
    assert without_tagged(text) == TAGGED.sub(" ", text)


def work(text: str) -> int:
    """Lines and calls of Python's that judging a text takes."""
    count = 0

    def told(*_):
        nonlocal count
        count += 1

    features = extract({"messages": [{"role": "user", "content": text}] * 6})
    sys.setprofile(told)
    try:
        _ = find_ask(text), features.ask, features.repeats
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "unit", ["“", "„", '"', "'", "**a ", "__", "<aa>", "<aa></aa> ", "\n", "```", "please ", "a. ", "a b "]
)
def test_a_message_ten_times_as_long_takes_as_many_calls(unit):
    few, many = work(unit * (100_000 // len(unit))), work(unit * (1_000_000 // len(unit)))
    assert many < 1.2 * few + 200
