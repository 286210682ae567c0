"""Which heads are known, and how many."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser

from cheaprouter.doors import heads
from cheaprouter.doors.heads import Heads, is_begun
from tests.doors.wire import a_post


class Parsers:
    """Makes parsers, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> HttpRequestParser:
        self.made += 1
        loop = asyncio.get_running_loop()
        return HttpRequestParser(BaseProtocol(loop), loop, 2**16, max_line_size=8190, max_field_size=8190)


@pytest.fixture
async def parsers():
    return Parsers()


def find(known: Heads, data: bytes, parsers: Parsers) -> Any:
    return known.find(data, parsers)


async def test_a_head_is_read_once_whatever_the_length_of_its_body(parsers):
    known = Heads()
    found = [find(known, a_post(b"x" * size), parsers) for size in (1, 22, 333, 4444)]
    assert [size for _, size, _ in found] == [1, 22, 333, 4444]
    assert len({id(head) for head, _, _ in found}) == 1
    assert parsers.made == 1


async def test_that_a_head_is_unusual_is_remembered_too(parsers):
    known = Heads()
    assert [find(known, a_post(b"", {"Origin": "http://x"}), parsers) for _ in range(3)] == [None] * 3
    assert parsers.made == 1


async def test_the_body_begins_behind_the_head(parsers):
    request = a_post(b"[1]\r\n\r\n")
    _, size, start = find(Heads(), request, parsers)
    assert request[start : start + size] == b"[1]\r\n\r\n"


async def test_what_is_known_is_bounded(parsers):
    known = Heads()
    for number in range(heads._MOST_HEADS + 50):
        assert find(known, a_post(b"", {"X-Trace": str(number)}), parsers) is not None
    assert len(known._known) == heads._MOST_HEADS
    find(known, a_post(b"", {"X-Trace": "0"}), parsers)
    assert parsers.made == heads._MOST_HEADS + 51


@pytest.mark.parametrize(("size", "usual"), [(heads.MOST_BODY, True), (heads.MOST_BODY + 1, False), (10**8, False)])
async def test_a_large_body_is_not_usual_by_the_same_head(parsers, size, usual):
    known = Heads()
    assert find(known, a_post(b"x"), parsers) is not None
    assert (find(known, a_post(b"", {"Content-Length": str(size)}), parsers) is not None) == usual


@pytest.mark.parametrize(
    "first",
    [
        "GET /v1/chat/completions HTTP/1.1",
        "POST /v1/chat/completions HTTP/1.0",
        "POST /v1/chat/completions?a=1 HTTP/1.1",
        "POST http://pi.lan/v1/chat/completions HTTP/1.1",
        "POST  /v1/chat/completions HTTP/1.1",
        "post /v1/chat/completions HTTP/1.1",
        "POST /v1/models HTTP/1.1",
    ],
)
async def test_another_first_line_is_not_even_read(parsers, first):
    request = a_post(b"[]").replace(b"POST /v1/chat/completions HTTP/1.1", first.encode())
    assert find(Heads(), request, parsers) is None
    assert not is_begun(request[:50])
    assert parsers.made == 0


async def test_a_head_without_a_length_is_not_read(parsers):
    assert find(Heads(), a_post(b"", {"Content-Length": None}), parsers) is None
    assert parsers.made == 0
