"""What a connection makes of replies: where they end, what is refused, and whether it can be used again."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.providers.transport import TransportError
from cheaprouter.upstream.inflate import STEP
from cheaprouter.upstream.reply import TURN
from tests.fakes.fault_server import head, http_chunk
from tests.fakes.wire import Wire

CHUNKED = head(200, Transfer_Encoding="chunked")
MUCH = 10_000_000


def sized(body: bytes, **headers: str) -> bytes:
    return head(200, Content_Length=str(len(body)), **headers) + body


async def body_of(*pieces: bytes, limit: int = MUCH, lost: Exception | bool | None = False) -> bytes:
    wire = Wire()
    reply = await wire.ask(*pieces)
    if lost is not False:
        wire.connection.connection_lost(lost)
    return await reply.read(limit)


async def refusal(*pieces: bytes, **more) -> str:
    with pytest.raises(TransportError) as caught:
        await body_of(*pieces, **more)
    return caught.value.code


# Where a reply ends


@pytest.mark.parametrize(
    "pieces",
    [
        (sized(b"hello"),),
        (CHUNKED + http_chunk(b"hel") + http_chunk(b"lo") + b"0\r\n\r\n",),
        (CHUNKED + b"5;name=value\r\nhello\r\n0\r\n\r\n",),
        (CHUNKED + http_chunk(b"hello") + b"0\r\nX-Trailer: told late\r\n\r\n",),
        (CHUNKED + b"5  \r\nhello\r\n0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 5\r\n\r\nhello",),
        (b"HTTP/1.1 200 OK\r\n" + b"Set-Cookie: %s\r\n" % (b"x" * 4000) * 6 + b"Content-Length: 5\r\n\r\nhello",),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + sized(b"hello")),
    ],
    ids=["length", "chunks", "extension", "trailer", "padded", "line feeds", "folded", "cookies", "interim"],
)
async def test_a_reply_that_says_where_it_ends_leaves_the_connection_for_the_next(pieces):
    wire = Wire()
    reply = await wire.ask(*pieces)
    assert (wire.idle, wire.lost) == (1, False)
    assert await reply.read(MUCH) == b"hello"
    again = await wire.ask(sized(b"again"))
    assert await again.read(MUCH) == b"again"


async def test_what_an_interim_answer_says_is_not_the_answers():
    wire = Wire()
    reply = await wire.ask(b"HTTP/1.1 103 Early Hints\r\nContent-Encoding: br\r\nLink: x\r\n\r\n" + sized(b"hello"))
    assert "link" not in reply.headers
    assert await reply.read(MUCH) == b"hello"


@pytest.mark.parametrize("whole", [True, False])
async def test_a_reply_longer_than_its_reader_allows_is_refused_or_cut(whole):
    async def ask():
        wire = Wire()
        return await wire.ask(sized(b"hello") if whole else head(200, Content_Length="500") + b"hello")

    assert (await (await ask()).read(4, cut=True))[:4] == b"hell"
    with pytest.raises(TransportError) as caught:
        await (await ask()).read(4)
    assert caught.value.code == "invalid_reply"


async def test_a_reply_without_a_length_ends_with_the_connection():
    assert await body_of(head(200) + b"all", b" of it", lost=None) == b"all of it"


async def test_a_reply_without_a_length_whose_connection_is_reset_is_cut_short():
    assert await refusal(head(200) + b"not all", lost=ConnectionResetError()) == "upstream_reset"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("headers", [{}, {"Content_Length": "5"}, {"Transfer_Encoding": "chunked"}], ids=str)
async def test_some_statuses_have_no_body_whatever_they_announce(status, headers):
    wire = Wire()
    reply = await wire.ask(head(status, None, **headers))
    assert (reply.status, await reply.read(MUCH)) == (status, b"")
    assert wire.idle == 1


@pytest.mark.parametrize("part", [sized(b"hello")[:-2], CHUNKED + http_chunk(b"hel"), CHUNKED + b"5\r\nhe"])
async def test_a_reply_that_is_cut_short_is_a_reset(part):
    assert await refusal(part, lost=None) == "upstream_reset"


async def test_what_came_before_the_cut_is_there_to_read():
    wire = Wire()
    reply = await wire.ask(CHUNKED + http_chunk(b"hel"))
    wire.connection.connection_lost(None)
    assert await reply.chunk() == b"hel"
    with pytest.raises(TransportError):
        await reply.chunk()


async def asked(on_head) -> tuple[Wire, asyncio.Future]:
    wire = Wire()
    asking = asyncio.ensure_future(wire.connection.exchange(b"?", on_head))
    await asyncio.sleep(0)
    return wire, asking


async def test_whoever_is_told_of_the_headers_may_wait_for_the_body_too():
    told: list[int] = []
    wire, asking = await asked(lambda status: told.append(status) or True)
    wire.comes(CHUNKED)
    await asyncio.sleep(0)
    assert (told, asking.done()) == ([200], False)
    wire.comes(http_chunk(b"hel"))
    reply = await asking
    assert (reply.status, await reply.chunk()) == (200, b"hel")
    wire.comes(http_chunk(b"lo") + b"0\r\n\r\n")
    assert await reply.read(MUCH) == b"lo"
    assert wire.idle == 1


@pytest.mark.parametrize("body", [b"", http_chunk(b"hel")])
async def test_who_does_not_want_to_wait_for_the_body_or_need_not_has_the_reply_at_once(body):
    wire, asking = await asked(lambda _: bool(body))
    wire.comes(CHUNKED + body)
    assert (await asking).status == 200


async def test_a_body_that_never_begins_leaves_a_reply_that_broke_off():
    wire, asking = await asked(lambda _: True)
    wire.comes(CHUNKED)
    wire.connection.connection_lost(None)
    with pytest.raises(TransportError, match="broke off"):
        await (await asking).chunk()


async def test_a_body_that_is_empty_is_one():
    wire, asking = await asked(lambda _: True)
    wire.comes(CHUNKED)
    wire.comes(b"0\r\n\r\n")
    assert await (await asking).read(MUCH) == b""
    assert (wire.idle, wire.lost) == (1, False)


async def test_who_stops_waiting_for_a_body_drops_the_connection():
    wire, asking = await asked(lambda _: True)
    wire.comes(CHUNKED)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert wire.lost


async def test_a_connection_that_closes_without_an_answer_is_a_reset():
    wire = Wire()
    asking = asyncio.ensure_future(wire.connection.exchange(b"?"))
    await asyncio.sleep(0)
    wire.connection.connection_lost(None)
    with pytest.raises(TransportError) as caught:
        await asking
    assert caught.value.code == "upstream_reset"
    assert wire.connection.silent


@given(st.lists(st.integers(1, 200), max_size=8), st.sampled_from(["length", "chunks", "gzip"]))
def test_how_a_reply_is_cut_into_packets_makes_no_difference(cuts, form):
    body = bytes(range(256))
    whole = {
        "length": sized(body),
        "chunks": CHUNKED + http_chunk(body[:100]) + http_chunk(body[100:]) + b"0\r\nX: y\r\n\r\n",
        "gzip": sized(gzip.compress(body), Content_Encoding="gzip"),
    }[form]
    pieces, rest = [], whole
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert asyncio.run(body_of(*filter(None, [*pieces, rest]))) == body


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_reply_or_an_error_and_nothing_else(noise):
    async def run():
        wire = Wire()
        asking = asyncio.ensure_future(wire.connection.exchange(b"?"))
        await asyncio.sleep(0)
        if noise:
            wire.comes(b"HTTP/1.1 200 OK\r\n" + noise)
        wire.connection.connection_lost(None)
        with contextlib.suppress(TransportError):
            await (await asking).read(MUCH)

    asyncio.run(run())


# Whether it can be used again


@pytest.mark.parametrize(
    "answer",
    [
        sized(b"hello", Connection="close"),
        sized(b"hello").replace(b"HTTP/1.1", b"HTTP/1.0"),
        sized(b"hello") + b"surplus",
        sized(b"hello") + sized(b"forged"),
    ],
    ids=["told to close", "http 1.0", "surplus", "a second answer"],
)
async def test_a_connection_that_is_to_close_or_has_bytes_left_over_is_not_used_again(answer):
    wire = Wire()
    reply = await wire.ask(answer)
    assert await reply.read(MUCH) == b"hello"
    assert (wire.idle, wire.lost, wire.transport.aborted) == (0, True, True)


async def test_bytes_that_nobody_asked_for_close_it():
    wire = Wire()
    await wire.ask(sized(b"hello"))
    wire.comes(sized(b"forged"))
    assert wire.transport.aborted


async def test_an_answer_that_comes_before_all_of_the_request_is_out_is_its_last():
    wire = Wire()
    wire.transport.unsent = 1
    reply = await wire.ask(sized(b"no"))
    assert await reply.read(MUCH) == b"no"
    assert wire.transport.aborted


async def test_a_reply_given_up_does_no_harm_to_the_next_on_the_same_connection():
    wire = Wire()
    first = await wire.ask(sized(b"first"))
    asking = asyncio.ensure_future(wire.connection.exchange(b"?"))
    await asyncio.sleep(0)
    first.abort()
    wire.comes(sized(b"second"))
    assert await (await asking).read(MUCH) == b"second"


async def test_who_gives_up_waiting_for_headers_takes_the_connection_along():
    wire = Wire()
    asking = asyncio.ensure_future(wire.connection.exchange(b"?"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert wire.transport.aborted


async def test_who_gives_up_just_when_the_whole_answer_has_come_leaves_the_connection_to_others():
    wire = Wire()
    asking = asyncio.ensure_future(wire.connection.exchange(b"?"))
    await asyncio.sleep(0)
    wire.comes(sized(b"late"))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (wire.idle, wire.transport.aborted) == (1, False)


async def test_who_gives_up_just_when_headers_have_come_takes_the_connection_along():
    wire = Wire()
    asking = asyncio.ensure_future(wire.connection.exchange(b"?"))
    await asyncio.sleep(0)
    wire.comes(CHUNKED)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert wire.transport.aborted


async def test_waiting_for_more_may_be_cancelled_without_losing_any():
    wire = Wire()
    reply = await wire.ask(CHUNKED)
    waiting = asyncio.ensure_future(reply.chunk())
    await asyncio.sleep(0)
    wire.comes(http_chunk(b"kept"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await reply.chunk() == b"kept"


async def test_head_and_body_that_come_together_are_read_without_waiting():
    wire = Wire()
    reply = await wire.ask(sized(b"hello"))
    with pytest.raises(StopIteration) as done:
        reply.read(MUCH).send(None)
    assert done.value.value == b"hello"


async def test_a_released_reply_gives_the_connection_back_once_its_end_has_come():
    wire = Wire()
    piece = http_chunk(b"x" * 200_000)
    reply = await wire.ask(CHUNKED + piece, piece)
    assert not wire.transport.reading
    reply.release()
    assert wire.transport.reading
    wire.comes(piece, piece)
    assert wire.transport.reading
    wire.comes(b"0\r\n\r\n")
    assert (wire.idle, wire.transport.aborted) == (1, False)


async def test_a_released_reply_that_does_not_end_soon_loses_its_connection(monkeypatch):
    monkeypatch.setattr("cheaprouter.upstream.reply._LINGER", 0.0)
    wire = Wire()
    reply = await wire.ask(CHUNKED + http_chunk(b"all that matters"))
    reply.release()
    await asyncio.sleep(0.01)
    assert wire.transport.aborted


# What is refused


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        CHUNKED + b"zz\r\nhi\r\n",
        CHUNKED + b"2\r\nhiXX",
    ],
)
async def test_what_is_not_proper_is_refused_and_its_connection_dropped(answer):
    wire = Wire()
    with pytest.raises(TransportError) as caught:
        await (await wire.ask(answer)).read(MUCH)
    assert caught.value.code == "invalid_reply"
    assert wire.transport.aborted


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X" * 9000),
        (b"HTTP/1.1 200 OK\r\nA: ", b"x" * 9000),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 300),
        (CHUNKED + http_chunk(b"hi") + b"0\r\n", b"A: b\r\n" * 1000),
        (CHUNKED + b"2;", b"x" * 9000),
    ],
    ids=["headers", "a name", "a value", "interim answers", "trailers", "a chunk's extension"],
)
async def test_what_has_no_end_is_refused_soon(begin, more):
    assert await refusal(begin + more, *[more] * 12) == "invalid_reply"


async def test_headers_are_found_by_lower_case_name_and_told_twice_are_told_together():
    wire = Wire()
    reply = await wire.ask(b"HTTP/1.1 200 OK\r\nX-Cost: 1\r\nVia: a\r\nVIA: b\r\nContent-Length: 0\r\n\r\n")
    assert (reply.headers["x-cost"], reply.headers["via"], reply.headers.get("none")) == ("1", "a, b", None)
    assert dict(reply.headers) == {"x-cost": "1", "via": "a, b", "content-length": "0"}


@pytest.mark.parametrize(
    "lines",
    [
        b"X-Long: " + b"x" * 60_000 + b"\r\n",
        b"X-Long: %s\r\n" % (b"x" * 50) * 1000,
        b"".join(b"X-%d: y\r\n" % i for i in range(6000)),
    ],
    ids=["in one line", "told a thousand times", "six thousand"],
)
async def test_a_reply_may_have_headers_of_60_kilobytes(lines):
    reply = await Wire().ask(b"HTTP/1.1 200 OK\r\n" + lines + b"X-Cost: 1\r\nContent-Length: 2\r\n\r\nhi")
    assert (reply.headers["x-cost"], await reply.read(MUCH)) == ("1", b"hi")


# An upstream that is faster than its reader


async def test_an_upstream_that_is_ahead_is_made_to_wait_and_goes_on_once_it_is_read():
    wire = Wire()
    piece = http_chunk(b"x" * 100_000)
    reply = await wire.ask(CHUNKED + piece, piece)
    assert wire.transport.reading
    wire.comes(piece)
    assert not wire.transport.reading
    came = 0
    while came < 300_000:
        came += len(piece := await reply.chunk())
        assert len(piece) <= TURN  # others have their turn in between
    assert wire.transport.reading


async def test_a_connection_that_was_held_is_read_again_once_it_is_free():
    wire = Wire()
    piece = http_chunk(b"x" * 150_000)
    reply = await wire.ask(CHUNKED + piece, piece)
    assert not wire.transport.reading
    wire.comes(b"0\r\n\r\n")
    assert wire.transport.reading
    assert len(await reply.read(MUCH)) == 300_000


# Compressed bodies


def _deflate(body: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"hello", mtime=0)),
        ("GZIP", gzip.compress(b"hello", mtime=0)),
        ("x-gzip", gzip.compress(b"hello", mtime=0)),
        ("gzip", gzip.compress(b"hel", mtime=0) + gzip.compress(b"lo", mtime=0)),
        ("deflate", _deflate(b"hello", 15)),
        ("deflate", _deflate(b"hello", -15)),
        ("identity", b"hello"),
    ],
)
async def test_a_compressed_body_is_unpacked(encoding, packed):
    assert await body_of(sized(packed, Content_Encoding=encoding)) == b"hello"
    bytewise = [packed[i : i + 1] for i in range(len(packed))]
    assert await body_of(sized(packed, Content_Encoding=encoding)[: -len(packed)], *bytewise) == b"hello"


@pytest.mark.parametrize(
    "packed",
    [
        b"plain text",
        gzip.compress(b"hello", mtime=0)[:-1],
        gzip.compress(b"hello", mtime=0) + b"more",
        gzip.compress(b"", mtime=0) * 1200,
    ],
    ids=["none", "cut", "surplus", "members without end"],
)
async def test_a_body_that_cannot_be_unpacked_is_refused(packed):
    assert await refusal(sized(packed, Content_Encoding="gzip")) == "invalid_reply"


async def test_no_body_at_all_is_a_compressed_body_too():
    assert await body_of(sized(b"", Content_Encoding="gzip")) == b""


async def test_a_small_body_that_unpacks_to_very_much_takes_no_more_memory_than_its_reader_allows():
    bomb = sized(gzip.compress(bytes(100_000_000)), Content_Encoding="gzip")
    tracemalloc.start()
    try:
        assert await refusal(bomb, limit=1_000_000) == "invalid_reply"
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


async def test_what_unpacks_to_much_comes_a_step_at_a_time_and_whole():
    wire = Wire()
    reply = await wire.ask(sized(gzip.compress(bytes(3 * STEP + 5)), Content_Encoding="gzip"))
    sizes = []
    while data := await reply.chunk():
        sizes.append(len(data))
    assert sum(sizes) == 3 * STEP + 5
    assert max(sizes) == STEP


@pytest.mark.parametrize("size", range(STEP - 300, STEP + 600, 90))
async def test_nothing_stays_behind_in_what_unpacks(size):
    assert len(await body_of(sized(_deflate(bytes(size), -15), Content_Encoding="deflate"))) == size


async def test_a_reply_that_is_still_coming_may_be_dropped_between_two_steps():
    wire = Wire()
    packed = gzip.compress(bytes(3 * STEP))
    reply = await wire.ask(head(200, Transfer_Encoding="chunked", Content_Encoding="gzip") + http_chunk(packed))
    await reply.chunk()
    waiting = asyncio.ensure_future(reply.chunk())
    await asyncio.sleep(0)
    reply.abort()
    with pytest.raises(TransportError) as caught:
        await waiting
    assert caught.value.code == "upstream_reset"


async def test_a_whole_reply_that_comes_when_its_asker_was_just_cancelled_reaches_nobody():
    wire = Wire()
    asking = asyncio.ensure_future(wire.connection.exchange(b"?"))
    await asyncio.sleep(0)
    asking.cancel()
    wire.comes(sized(b"hello"))
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert wire.lost


# What goes out


async def test_a_long_request_is_handed_on_as_fast_as_the_upstream_takes_it():
    wire, body = Wire(), bytes(range(256)) * 8192
    asking = asyncio.ensure_future(wire.connection.exchange(b"head", rest=body))
    await asyncio.sleep(0)
    wire.connection.pause_writing()
    for _ in range(5):
        await asyncio.sleep(0)
    held = len(wire.transport.sent)
    assert len(b"head") < held < len(body)
    wire.connection.resume_writing()
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.transport.sent == b"head" + body
    wire.comes(sized(b"hello"))
    assert await (await asking).read(MUCH) == b"hello"
    assert wire.idle == 1


async def test_an_upstream_that_answers_before_it_has_all_gets_no_more():
    wire = Wire()
    asking = asyncio.ensure_future(wire.connection.exchange(b"head", rest=bytes(4_000_000)))
    await asyncio.sleep(0)
    wire.connection.pause_writing()
    wire.comes(sized(b"no"))
    assert await (await asking).read(MUCH) == b"no"
    assert (wire.idle, wire.transport.aborted) == (0, True)
