"""A stream that is handed on by the transport itself: the same as when a task asks for each piece, and nobody falls behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from cheaprouter.upstream.outcome import Relay
from cheaprouter.upstream.reply import READ_BUFFER
from tests.builders import joined, sse, text_of, until
from tests.fakes.fault_server import DONE, ROLE, Close, Send, Stall, delta, good_stream, http_chunk, stream, words
from tests.fakes.faults import QUICK
from tests.upstream.conftest import Bucket, chat, poured

END = sse(delta("stop"))
TWO = stream(ROLE, *words("one "), then=(Stall(), *stream(*words("two"), END, DONE)[1:]))
TIMES = type(QUICK)


@contextlib.asynccontextmanager
async def pouring(bench, *script):
    """A stream that is poured into a bucket, once its first content is there."""
    bench.server.script("faulty", script)
    reply = await bench.pool.send([bench.faulty], chat(stream=True))
    bucket = Bucket()
    task = asyncio.create_task(reply.pour(bucket))
    await until(lambda: bucket.pieces)
    try:
        yield reply, bucket, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionResetError):
            await task


async def test_what_is_poured_is_what_would_be_asked_for(bench):
    bench.server.script("faulty", good_stream("Hel", "lo ", "there"))
    first = await bench.pool.send([bench.faulty], chat(stream=True))
    asked = [piece async for piece in first.chunks]
    second = await bench.pool.send([bench.faulty], chat(stream=True))
    assert b"".join(await poured(second)) == b"".join(asked)
    assert second.usage == first.usage
    assert second.finish_reason == "stop"


async def test_each_piece_is_handed_on_as_it_comes(bench):
    async with pouring(bench, *TWO) as (_, bucket, task):
        assert text_of(bucket.pieces) == "one "
        bench.server.gate.set()
        await task
    assert text_of(bucket.pieces) == "one two"
    assert joined(bucket.pieces)[-1] == "[DONE]"


async def test_the_connection_of_a_poured_stream_is_used_again(bench):
    bench.server.script("faulty", good_stream("a", "b"))
    for _ in range(3):
        await poured(await bench.pool.send([bench.faulty], chat(stream=True)))
    assert bench.server.connections == 1


async def test_a_finished_stream_is_gone_without_the_garbage_collector(bench):
    bench.server.script("faulty", good_stream("a", "b"))
    gc.collect()
    gc.disable()
    try:
        await poured(await bench.pool.send([bench.faulty], chat(stream=True)))
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Relay)]
    finally:
        gc.enable()


async def test_what_came_first_is_not_kept_while_the_rest_is_waited_for(bench):
    async with pouring(bench, *TWO) as (_, bucket, _task):
        first = bucket.pieces[0]
        await until(lambda: bucket.on_resume is not None)
        assert [thing for thing in gc.get_referrers(first) if isinstance(thing, list)] == [bucket.pieces]


async def test_silence_is_bridged_by_heartbeats(make_bench):
    async with pouring(make_bench(heartbeat=0.02), *TWO) as (_, bucket, _task):
        await until(lambda: bucket.pieces.count(b": keep-alive\n\n") >= 3)


async def test_a_stream_that_falls_silent_ends_with_an_error(make_bench):
    bench = make_bench(timeouts=TIMES(connect=1, first_token=1, idle=0.03, total=5))
    async with pouring(bench, *TWO) as (reply, bucket, task):
        await task
    assert joined(bucket.pieces)[-1]["error"]["code"] == "upstream_timeout" == reply.error_code
    assert "[DONE]" not in joined(bucket.pieces)


async def test_a_slow_client_makes_the_upstream_wait_and_loses_nothing(bench):
    many = [sse(delta(content="x" * 1000)) for _ in range(4000)]
    script = (
        *stream(ROLE, *words("one "), then=(Stall(),)),
        *(Send(http_chunk(piece)) for piece in (*many, END, DONE)),
    )
    async with pouring(bench, *script, *stream()[1:]) as (_, bucket, task):
        bucket.paused = True
        bench.server.gate.set()
        await until(lambda: len(bucket.pieces) > 1)
        held = sum(map(len, bucket.pieces))
        assert held < 4 * READ_BUFFER
        bucket.empty()
        await task
    assert len(text_of(bucket.pieces)) == 4 + 4_000_000


async def test_a_slow_client_is_not_taken_for_a_silent_upstream(make_bench):
    bench = make_bench(timeouts=TIMES(connect=1, first_token=1, idle=0.03, total=5))
    script = (*stream(ROLE, *words("one "), then=(Stall(),)), Send(http_chunk(words("two")[0])), Stall())
    async with pouring(bench, *script, *stream(END, DONE)[1:]) as (reply, bucket, task):
        bucket.paused = True
        bench.server.gate.set()
        await until(lambda: len(bucket.pieces) > 1 or task.done())
        await asyncio.sleep(0.08)  # longer than the limit, but it is the client who waits
        bucket.empty()
        await task
    assert reply.error_code is None


async def test_a_client_that_leaves_takes_the_upstream_with_it(bench):
    async with pouring(bench, *TWO) as (_, _bucket, task):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: bench.server.gone)


async def test_a_client_that_is_found_gone_ends_it(bench):
    async with pouring(bench, *TWO) as (_, bucket, task):
        bucket.gone = True
        bench.server.gate.set()
        with pytest.raises(ConnectionResetError):
            await task


async def test_an_upstream_that_breaks_off_is_told_at_the_end(bench):
    bench.server.script("faulty", stream(ROLE, *words("one "), then=(Close(),)))
    reply = await bench.pool.send([bench.faulty], chat(stream=True))
    assert joined(await poured(reply))[-1]["error"]["code"] == "upstream_truncated" == reply.error_code
