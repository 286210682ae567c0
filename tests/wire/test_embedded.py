"""Embedded files are taken out of JSON and put back; what is read is what a parser reads."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.errors import CheapRouterError
from cheaprouter.wire import embedded
from cheaprouter.wire.decode import decode_in_turns
from cheaprouter.wire.embedded import LONG, cut
from cheaprouter.wire.tally import at_once

DATA = "iVBORw0KGgo/+AbC" * 5000
URL = f"data:image/png;base64,{DATA}"


def cut_of(raw: bytes) -> list[str]:
    return list(at_once(cut(bytearray(raw)))[1].values())


@pytest.mark.parametrize("text", [DATA, URL, DATA + "==", DATA.replace("+", "-").replace("/", "_")])
@pytest.mark.parametrize(
    "escape",
    [
        lambda raw: raw,
        lambda raw: raw.replace(b"/", b"\\/"),
        lambda raw: raw.replace(b"+", b"\\u002B").replace(b"=", b"\\u003d"),
    ],
    ids=["plain", "as PHP", "as .NET"],
)
def test_a_file_is_taken_out_however_its_letters_are_written(text, escape):
    raw = escape(json.dumps({"a": [text], "b": text}).encode())
    assert cut_of(raw) == [text, text]


def test_lines_of_base64_are_taken_out_too():
    text = "\r\n".join([DATA[:76]] * 2000)
    assert cut_of(json.dumps([text]).encode()) == [text]


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps({DATA: 1}).encode(),
        json.dumps(["a text " * 20_000]).encode(),
        json.dumps(['see "' + DATA]).encode(),
        json.dumps([DATA + "\\"]).encode(),
        json.dumps([DATA + "é"]).encode(),
        b"[" + DATA.encode() + b"]",
        b'["a"' + DATA.encode() + b'"b"]',
        json.dumps(["A" * (LONG - 1)]).encode(),
    ],
    ids=["a key", "words", "after a quote", "a backslash", "another letter", "no string", "between strings", "short"],
)
def test_what_is_no_file_stays(raw):
    assert cut_of(raw) == [] or b'"b"' in raw


async def read(raw: bytes) -> object:
    try:
        return await decode_in_turns(bytearray(raw))
    except CheapRouterError as error:
        return error.code


async def test_a_picture_of_many_megabytes_comes_as_it_was_sent():
    body = {"messages": [{"content": [{"text": "what?"}, {"image_url": {"url": URL * 100}}]}]}
    assert await read(orjson.dumps(body)) == "request_too_large"  # a colon within: no file
    body["messages"][0]["content"][1]["image_url"]["url"] = URL + DATA * 100
    assert await read(orjson.dumps(body)) == body


async def test_what_is_no_json_is_refused_with_a_file_inside_as_without():
    assert await read(b'["a"' + DATA.encode() + b'"b"]') == "invalid_json"
    assert await read(b'{"a": "' + DATA.encode() + b'"') == "invalid_json"


async def test_of_a_repeated_key_the_last_value_holds():
    raw = b'{"a": "%b", "a": "%b", "a": 1}' % (DATA.encode(), DATA.encode())
    assert await read(raw) == {"a": 1}


LETTERS = st.text('AB+/="\\,:}] d\n', max_size=30)
VALUES = st.recursive(LETTERS, lambda one: st.lists(one, max_size=4) | st.dictionaries(LETTERS, one, max_size=4))


@given(value=VALUES, escaped=st.booleans())
async def test_whatever_is_cut_the_value_is_the_same(value, escaped):
    raw = orjson.dumps([value])
    raw = raw.replace(b"/", b"\\/") if escaped else raw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "LONG", 4)
        patch.setattr(embedded, "_WINDOW", 16)
        assert await decode_in_turns(bytearray(raw)) == [value]
