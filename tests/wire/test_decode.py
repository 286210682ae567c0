"""JSON from outside: what is taken, and how deep it may be nested."""

from __future__ import annotations

import pytest

from cheaprouter.core.errors import InvalidRequestError
from cheaprouter.wire.decode import DEEPEST, decode


def nested(levels: int) -> bytes:
    """So many arrays and objects by turns, with a sibling in each, long enough to be looked at."""
    value = b"1"
    for level in range(levels):
        value = b"[" + value + b", 2]" if level % 2 else b'{"a": ' + value + b', "b": "[]"}'
    return value


@pytest.mark.parametrize("levels", [3, 17, DEEPEST])
def test_what_can_be_written_again_is_taken(levels):
    value = decode(nested(levels))
    for level in reversed(range(levels)):
        value = value[0] if level % 2 else value["a"]
    assert value == 1


@pytest.mark.parametrize("levels", [DEEPEST + 1, 600])
def test_what_nests_deeper_is_refused_with_the_limit(levels):
    with pytest.raises(InvalidRequestError, match=f"deeper than {DEEPEST} levels") as caught:
        decode(nested(levels))
    assert caught.value.code == "invalid_json"


def test_brackets_within_texts_are_no_nesting():
    text = "[" * 1000
    assert decode(b'{"a": "' + text.encode() + b'"}') == {"a": text}


def test_what_is_no_json_is_refused_by_the_name_of_what_it_was():
    with pytest.raises(InvalidRequestError, match="The message is not valid JSON") as caught:
        decode(b"{", "The message")
    assert caught.value.code == "invalid_json"
