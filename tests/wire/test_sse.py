from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.wire import sse

lines = st.text(alphabet=st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)), max_size=12).map(
    str.encode
)
events = st.lists(lines.map(lambda line: b"data: x" + line), min_size=1, max_size=6)


@given(events, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(1, 7), min_size=1, max_size=50))
def test_events_come_out_whole_however_they_were_cut(made, end, sizes):
    data = b"".join(line + end + end for line in made)
    cutter, got, start = sse.EventCutter(), b"", 0
    for size in sizes:
        got += cutter.feed(data[start : start + size])
        start += size
        assert not got or got.endswith(b"\n\n")
    got += cutter.feed(data[start:]) + cutter.rest()
    assert [sse.parse(block)[1] for block in sse.split(got)] == [line[6:] for line in made]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_kind_of_line_end_becomes_one_line_feed(end):
    cutter = sse.EventCutter()
    given = end.join((b"event: a", b"data: 1", b"", b"data: 2", b"", b""))
    assert cutter.feed(given) + cutter.rest() == b"event: a\ndata: 1\n\ndata: 2\n\n"


def test_what_ends_on_a_boundary_passes_without_a_copy():
    data = b"data: a\n\ndata: b\n\n"
    assert sse.EventCutter().feed(data) is data


def test_the_rest_is_an_event_whose_blank_line_never_came():
    cutter = sse.EventCutter()
    assert cutter.feed(b"data: a\n\ndata: b\n") == b"data: a\n\n"
    assert cutter.rest() == b"data: b\n"
    assert cutter.rest() == b""


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"data: x", ("", b"x")),
        (b"data:x", ("", b"x")),
        (b"data:  x", ("", b" x")),
        (b"event: error\ndata: x", ("error", b"x")),
        (b"data: a\ndata: b", ("", b"a\nb")),
        (b": comment", ("", None)),
        (b"id: 7\nretry: 10", ("", None)),
        (b"data", ("", b"")),
        (b"\xef\xbb\xbfdata: x\nid: 1", ("", b"x")),
        (b": c\ndata: x", ("", b"x")),
    ],
)
def test_an_event_is_its_name_and_data(block, expected):
    assert sse.parse(block) == expected


def test_an_event_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    cutter = sse.EventCutter()
    cutter.feed(b"data: " + b"x" * 80)
    with pytest.raises(sse.EventTooLargeError):
        cutter.feed(b"x" * 80)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"data: {}", True),
        (b"\n\n: hi", True),
        (b"event: x", True),
        (b"\xef\xbb\xbfdata:", True),
        (b'{"data:', False),
        (b"<html>", False),
        (b"", False),
    ],
)
def test_a_stream_is_known_by_its_looks(start, expected):
    assert sse.looks_like_events(start) is expected
