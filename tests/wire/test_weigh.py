"""How much JSON of an upstream is read: counted before it is parsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.wire.decode import DEEPEST
from cheaprouter.wire.openai_chat import lenient
from cheaprouter.wire.weigh import MOST_ESCAPES, MOST_VALUES, TooMuchError, loads

EVERY = [loads, lenient.loads]


def many(values: int) -> bytes:
    return b'{"x": [' + b"[1]," * (values // 2) + b"0]}"


@pytest.mark.parametrize("read", EVERY)
@pytest.mark.parametrize(
    "raw", [many(10 * MOST_VALUES), b"[" + b"{}," * MOST_VALUES + b"0]", b"[" * 10**6, b"[" * 10**6 + b"]" * 10**6]
)
def test_more_values_than_any_reply_has_are_refused(read, raw):
    with pytest.raises(ValueError, match=r"."):
        read(raw)


@pytest.mark.parametrize("read", EVERY)
def test_it_is_refused_before_it_is_parsed(read):
    """What follows is no JSON at all, and nobody sees that."""
    with pytest.raises(TooMuchError):
        read(many(10 * MOST_VALUES)[:-1] + b"!")


@pytest.mark.parametrize("read", EVERY)
def test_more_escapes_than_any_answer_has_are_refused(read):
    with pytest.raises(TooMuchError, match="escapes"):
        read(b'{"a": "' + b"\\u00e9" * (MOST_ESCAPES + 1) + b'"}')


@pytest.mark.parametrize("read", EVERY)
def test_as_many_escapes_as_an_answer_may_have_are_read(read):
    text = "é" * MOST_ESCAPES
    assert read(b'{"a": "' + b"\\u00e9" * MOST_ESCAPES + b'"}') in ({"a": text}, ({"a": text}, True))


@pytest.mark.parametrize("read", EVERY)
@pytest.mark.parametrize("text", ["x" * 10**7, "a, [b], {c} " * 40_000, '", "' * 50_000])
def test_what_stands_in_texts_are_no_values(read, text):
    assert read(lenient.orjson.dumps({"a": text})) in ({"a": text}, ({"a": text}, True))


@pytest.mark.parametrize("read", EVERY)
@pytest.mark.parametrize(("depth", "good"), [(DEEPEST, True), (DEEPEST + 1, False), (900, False)])
def test_deeper_than_we_write_is_refused(read, depth, good):
    raw = b"[" * depth + b"1" + b"]" * depth
    if good:
        read(raw)
    else:
        with pytest.raises(ValueError, match="nested"):
            read(raw)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(-(2**53), 2**53),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_other_value_is_read_as_it_is(value):
    assert loads(lenient.orjson.dumps(value)) == value
