"""What comes all at once is handed on in turns: whoever takes long to read it does not keep the others waiting."""

from __future__ import annotations

import asyncio

import pytest

from cheaprouter.providers.transport import TransportError
from cheaprouter.upstream.reply import TURN
from tests.fakes.fault_server import Send, head, http_chunk
from tests.fakes.wire import Wire
from tests.upstream.conftest import chat

CHUNKED = head(200, Transfer_Encoding="chunked")


class Slow:
    """A reader whose every turn takes a second of the loop's clock."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock
        self.turns: list[int] = []
        self.ended: asyncio.Future[TransportError | None] = asyncio.get_running_loop().create_future()

    def feed(self, data: bytes) -> None:
        self.turns.append(len(data))
        self.clock[0] += 1

    def end(self, error: TransportError | None) -> None:
        self.ended.set_result(error)


async def test_others_are_served_between_the_turns_of_a_slow_reader(monkeypatch):
    loop, clock = asyncio.get_running_loop(), [0.0]
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + clock[0], raising=False)
    wire = Wire()
    reply = await wire.ask(CHUNKED + http_chunk(b"x" * 3 * TURN) + b"0\r\n\r\n")
    sink, others = Slow(clock), 0
    reply.pipe(sink)
    assert sink.turns == [TURN]
    while not sink.ended.done():
        others += 1
        await asyncio.sleep(0)
    assert sink.turns == [TURN] * 3
    assert others > 3
    assert sink.ended.result() is None


async def test_what_comes_while_it_rests_waits_for_the_next_turn(monkeypatch):
    loop, clock = asyncio.get_running_loop(), [0.0]
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + clock[0], raising=False)
    wire = Wire()
    reply = await wire.ask(CHUNKED + http_chunk(b"x" * TURN))
    sink = Slow(clock)
    reply.pipe(sink)
    wire.comes(http_chunk(b"y") + http_chunk(b"z"))
    wire.comes(b"0\r\n\r\n")
    assert sink.turns == [TURN]
    await sink.ended
    assert sink.turns == [TURN, 2]


async def test_a_reader_that_lets_go_gets_no_further_turn():
    wire = Wire()
    reply = await wire.ask(CHUNKED + http_chunk(b"x" * 3 * TURN))
    sink = Slow([0.0])
    reply.abort()
    reply.pipe(sink)
    assert sum(sink.turns) == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_blank_lines_without_end_are_no_reply(bench, stream):
    blank = http_chunk(b"\n" * 60_000)
    bench.server.script("faulty", (Send(CHUNKED), *[Send(blank)] * 40))
    with pytest.raises(Exception, match="blank"):
        await bench.pool.send([bench.faulty], chat(stream=stream))


async def test_a_header_that_is_told_again_and_again_is_not_joined_for_ever():
    wire = Wire()
    reply = await wire.ask(b"HTTP/1.1 200 OK\r\n" + b"X-Same: aaaa\r\n" * 4000 + b"Content-Length: 0\r\n\r\n")
    assert len(reply.headers["x-same"]) < 2000
