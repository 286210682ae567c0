"""A streamed reply on its way out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol

from cheaprouter.doors.output import Output, head, whole
from tests.doors.wire import Wire, parse


@pytest.fixture
async def wire():
    protocol = BaseProtocol(asyncio.get_running_loop())
    wire = Wire(protocol)
    protocol.transport = wire
    return wire


@pytest.fixture
async def out(wire):
    return Output(wire.protocol, asyncio.get_running_loop())


async def test_the_head_goes_with_a_piece_that_is_there_at_once(out, wire):
    out.start({"x-a": "b"})
    out.write(b"data: 1\n\n")
    assert wire.writes == 1
    out.end()
    await asyncio.sleep(0)
    (answer,), rest = parse(bytes(wire.sent))
    assert (answer.status, answer.body, answer.header("x-a"), rest) == (200, b"data: 1\n\n", "b", b"")
    assert wire.writes == 2


async def test_an_empty_piece_sends_the_head_and_does_not_end_the_reply(out, wire):
    out.start({})
    assert wire.writes == 0
    out.write(b"")
    assert wire.sent.endswith(b"\r\n\r\n")
    out.write(b"1")
    out.write(b"")
    assert wire.sent.endswith(b"\r\n\r\n1\r\n1\r\n")
    out.end()
    assert parse(bytes(wire.sent))[0][0].body == b"1"


@pytest.mark.parametrize("gone", ["closing", "lost"])
async def test_whoever_writes_to_a_client_that_is_gone_is_told(out, wire, gone):
    out.start({})
    if gone == "closing":
        wire.closed = True
    else:
        wire.protocol.transport = None
    with pytest.raises(ConnectionResetError):
        out.write(b"1")
    await asyncio.sleep(0)
    assert wire.writes == 0


async def test_pausing_and_going_on_are_told(out, wire):
    protocol: Any = wire.protocol
    resumed = []
    out.on_resume = lambda: resumed.append(True)
    assert not out.paused
    await out.drained()
    protocol.pause_writing()
    out.paused = True  # as the connection does
    assert out.paused
    waiting = asyncio.ensure_future(out.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    protocol.resume_writing()
    out.resumed()
    await waiting
    assert resumed == [True]


@pytest.mark.parametrize(("status", "line"), [(200, b"200 OK"), (429, b"429 Too Many Requests"), (499, b"499 ")])
def test_a_status_has_its_reason(status, line):
    assert whole(status, {}, b"{}").startswith(b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n" % line)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb"])
def test_a_header_that_ends_its_line_is_refused(value):
    with pytest.raises(ValueError, match="end of a line"):
        head(200, {"x-a": value}, "")
