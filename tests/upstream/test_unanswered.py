"""Of what is no answer not more is looked through than is ever read on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.upstream import unanswered


@given(parts=st.lists(st.binary(max_size=9), max_size=9), most=st.integers(0, 60), ends=st.integers(1, 12))
def test_of_much_the_beginning_and_the_end_are_seen_and_of_little_all(parts, most, ends):
    whole = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unanswered, "LONGEST_READ_ON", most)
        patch.setattr(unanswered, "LONGEST_ERROR", ends)
        seen = unanswered._seen(parts)
    assert seen == (whole if len(whole) <= most else whole[:ends] + whole[-ends:])


def test_an_answer_that_is_too_large_is_not_looked_through():
    assert len(unanswered._seen([b"x" * 70_000] * 500)) == 2 * unanswered.LONGEST_ERROR
