"""YAML is read alike with libyaml and without it, and said to be wrong in the same words."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.strict_yaml import parse_yaml
from cheaprouter.core.errors import ConfigurationError

GOOD = """
auth: open   # a remark
providers:
  lab: {kind: openai, models: [a, {id: b, price: 0}], headers: {X-A: 'b: c', "Y": !!str 5}}
numbers: [1, 2.5, 1.0e+3, 0x1F, 017, 1:30, yes, null, ~, 2020-01-01, .inf]
a: &x {k: 1}
b: {<<: *x, l: 2}
literal: |
  one
   two

folded: >-
  three
  four
'q': 'it''s'
"d\\u00e9": "e\\n\\x41"
küche: 'ä'
"""
WRONG = [
    "a: [1",
    "a: b: c",
    "a: @x",
    'a: "x',
    "a: *x",
    "a: !!bool x",
    "a:\t1",
    "\ta: 1",
    "a: \x01",
    "a: 1\na: 2",
    "[" * 90_000,
    "- " * 45_000,
    "a: &a [*a]",
    "%YAML 3.0\n---\na: 1",
    "a: 1\n---\nb: 2",
    "a: " + "1" * 200,
]
PIECES = st.lists(
    st.sampled_from(
        ["a", "b: ", "1", "\n", "  ", "- ", "[", "]", "{", "}", ", ", "'", '"', "&x ", "*x", "# ", "\t", "|\n", "ü"]
    )
)


def read(text: str) -> object:
    try:
        return parse_yaml(text)
    except ConfigurationError as error:
        return error.problems


def both(text: str) -> tuple[object, object]:
    quick = read(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        return quick, read(text)


def test_libyaml_is_here_to_be_tested():
    assert yaml.__with_libyaml__


def test_a_good_file_reads_alike():
    quick, plain = both(GOOD)
    assert isinstance(plain, dict)
    assert quick == plain


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:12])
def test_a_wrong_file_is_wrong_in_the_same_words(text):
    quick, plain = both(text)
    assert isinstance(plain, list)
    assert quick == plain


@given(PIECES.map("".join))
def test_what_plain_yaml_reads_is_read_alike(text):
    quick, plain = both(text)
    if isinstance(plain, dict):
        assert quick == plain
