"""A body pushed as it comes: at once, in order, ended exactly once, and held where the sink asks for it."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from cheaprouter.providers.transport import Response
from cheaprouter.upstream.inflate import STEP
from cheaprouter.upstream.reply import READ_BUFFER
from tests.builders import until
from tests.fakes.fault_server import head, http_chunk
from tests.fakes.wire import Heard, Wire

CHUNKED = head(200, Transfer_Encoding="chunked")
LAST = b"0\r\n\r\n"


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def heard():
    return Heard()


def test_a_reply_that_cannot_push_says_so(heard):
    class Pulled(Response):
        async def chunk(self):
            return b""

        def abort(self): ...

        def release(self): ...

    assert not Pulled().pipe(heard)


async def test_what_has_come_already_is_handed_over_at_once(wire, heard):
    reply = await wire.ask(CHUNKED + http_chunk(b"one") + http_chunk(b"two"))
    assert reply.pipe(heard)
    assert (heard.pieces, heard.ends) == ([b"onetwo"], [])


async def test_a_reply_that_is_all_there_ends_at_once_too(wire, heard):
    reply = await wire.ask(CHUNKED + http_chunk(b"one") + LAST)
    reply.pipe(heard)
    assert (heard.pieces, heard.ends) == ([b"one"], [None])


async def test_each_piece_is_pushed_as_it_comes_and_the_end_is_told_once(wire, heard):
    reply = await wire.ask(CHUNKED)
    reply.pipe(heard)
    wire.comes(http_chunk(b"one"))
    assert heard.pieces == [b"one"]
    wire.comes(http_chunk(b"two") + LAST)
    assert (heard.pieces, heard.ends) == ([b"one", b"two"], [None])
    wire.connection.connection_lost(None)
    assert heard.ends == [None]


async def test_an_end_is_told_once_even_to_who_asks_for_more_then(wire):
    class Greedy(Heard):
        def end(self, error):
            super().end(error)
            if len(self.ends) == 1:
                reply.resume()

    greedy = Greedy()
    reply = await wire.ask(CHUNKED)
    reply.pipe(greedy)
    wire.comes(LAST)
    assert greedy.ends == [None]


async def test_what_was_pulled_before_is_not_pushed_again(wire, heard):
    reply = await wire.ask(CHUNKED + http_chunk(b"one"))
    assert await reply.chunk() == b"one"
    reply.pipe(heard)
    wire.comes(http_chunk(b"two"))
    assert heard.pieces == [b"two"]


async def test_the_connection_is_free_before_the_end_is_told(wire, heard):
    free = []
    heard.end = lambda error: free.append(wire.idle)
    reply = await wire.ask(CHUNKED)
    reply.pipe(heard)
    wire.comes(LAST)
    assert free == [1]


@pytest.mark.parametrize(
    ("then", "code"), [(None, "upstream_reset"), (b"zz\r\n", "invalid_reply")], ids=["cut", "garbage"]
)
async def test_a_stream_that_breaks_ends_with_what_is_wrong(wire, heard, then, code):
    reply = await wire.ask(CHUNKED + http_chunk(b"one"))
    reply.pipe(heard)
    wire.comes(then) if then else wire.connection.connection_lost(None)
    assert heard.body == b"one"
    assert [error.code for error in heard.ends] == [code]


async def test_an_aborted_pipe_says_nothing_further(wire, heard):
    reply = await wire.ask(CHUNKED)
    reply.pipe(heard)
    reply.abort()
    wire.comes(http_chunk(b"late") + LAST)
    wire.connection.connection_lost(None)
    assert (heard.pieces, heard.ends, wire.transport.aborted) == ([], [], True)


async def test_a_sink_may_abort_in_the_middle(wire, heard):
    reply = await wire.ask(CHUNKED)
    heard.act = reply.abort
    reply.pipe(heard)
    wire.comes(http_chunk(b"one") + LAST)
    assert (heard.pieces, heard.ends) == ([b"one"], [])


async def test_a_sink_that_has_all_it_needs_lets_the_connection_be_kept(wire, heard):
    reply = await wire.ask(CHUNKED)
    heard.act = reply.release
    reply.pipe(heard)
    wire.comes(http_chunk(b"data: [DONE]"), LAST)
    assert (heard.ends, wire.idle, wire.transport.aborted) == ([], 1, False)


async def test_a_sink_that_pauses_makes_the_upstream_wait(wire, heard):
    reply = await wire.ask(CHUNKED)
    heard.act = reply.pause
    reply.pipe(heard)
    wire.comes(http_chunk(b"one"))
    assert not wire.transport.reading
    wire.comes(http_chunk(b"two"))  # what was read already
    assert heard.pieces == [b"one"]
    heard.act = lambda: None
    reply.resume()
    assert (heard.pieces, wire.transport.reading) == ([b"one", b"two"], True)


async def test_an_end_that_comes_while_it_is_paused_is_told_after_the_rest(wire, heard):
    reply = await wire.ask(CHUNKED)
    reply.pipe(heard)
    reply.pause()
    wire.comes(http_chunk(b"one") + LAST)
    assert (heard.pieces, heard.ends, wire.idle, wire.transport.reading) == ([], [], 1, True)
    reply.resume()
    assert (heard.pieces, heard.ends) == ([b"one"], [None])


async def test_a_pause_after_the_end_leaves_the_connection_of_others_alone(wire, heard):
    reply = await wire.ask(CHUNKED)
    reply.pipe(heard)
    wire.comes(LAST)
    reply.pause()
    assert wire.transport.reading


async def test_a_sink_that_pauses_while_it_resumes_stays_paused(wire, heard):
    reply = await wire.ask(CHUNKED)
    reply.pipe(heard)
    reply.pause()
    wire.comes(http_chunk(b"one"))
    heard.act = reply.pause
    reply.resume()
    assert (heard.pieces, wire.transport.reading) == ([b"one"], False)


async def test_a_compressed_stream_is_pushed_unpacked(wire, heard):
    packed = gzip.compress(b"hello")
    reply = await wire.ask(head(200, Content_Length=str(len(packed)), Content_Encoding="gzip") + packed)
    reply.pipe(heard)
    assert (heard.body, heard.ends) == (b"hello", [None])


async def test_what_unpacks_to_very_much_is_pushed_a_step_a_turn(wire, heard):
    packed = gzip.compress(bytes(40 * STEP))
    assert len(packed) < READ_BUFFER
    reply = await wire.ask(head(200, Content_Length=str(len(packed)), Content_Encoding="gzip") + packed)
    reply.pipe(heard)
    assert (len(heard.pieces), heard.ends) == (1, [])
    await until(lambda: heard.ends)
    assert (len(heard.body), heard.ends) == (40 * STEP, [None])


async def test_an_abort_between_two_steps_says_nothing_further(wire, heard):
    packed = gzip.compress(bytes(40 * STEP))
    reply = await wire.ask(head(200, Content_Length=str(len(packed)), Content_Encoding="gzip") + packed)
    reply.pipe(heard)
    reply.abort()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (len(heard.pieces), heard.ends) == (1, [])


async def test_a_stream_that_cannot_be_unpacked_ends_with_what_is_wrong(wire, heard):
    reply = await wire.ask(head(200, Transfer_Encoding="chunked", Content_Encoding="gzip"))
    reply.pipe(heard)
    wire.comes(http_chunk(b"plain text"))
    assert [error.code for error in heard.ends] == ["invalid_reply"]
    assert wire.transport.aborted


async def test_many_replies_at_once_leave_others_their_turn_as_one_does(heard):
    loop = asyncio.get_running_loop()

    def work() -> None:
        ready = loop.time() + 0.003
        while loop.time() < ready:
            pass

    heard.act = work
    wires = [Wire() for _ in range(30)]
    for wire in wires:
        (await wire.ask(CHUNKED)).pipe(heard)
    before = asyncio.Event()
    loop.call_soon(before.set)
    for wire in wires:
        wire.comes(http_chunk(b"x" * 4000))
    await before.wait()
    assert 0 < len(heard.pieces) < 10
    await until(lambda: len(heard.body) == 30 * 4000)


async def test_a_reply_that_rests_is_not_read_until_it_goes_on(wire, heard):
    loop = asyncio.get_running_loop()

    def work() -> None:
        ready = loop.time() + 0.003
        while loop.time() < ready:
            pass

    heard.act = work
    (await wire.ask(CHUNKED)).pipe(heard)
    wire.comes(http_chunk(b"x" * 4000), http_chunk(b"x" * 4000))
    assert not wire.transport.reading
    await until(lambda: len(heard.body) == 8000)
    assert wire.transport.reading
