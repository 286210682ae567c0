"""Bodies on their way in: how long is waited for them, what they may unpack to, and what they may hold together."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest

from cheaprouter.doors import bodies
from cheaprouter.doors.bodies import LARGE, PATIENCE, Halves, NoRoomError, Room
from tests.builders import a_body
from tests.doors.test_line import later, settle
from tests.doors.wire import a_post

SMALL = a_body(model="lab/small")
DATA = "iVBORw0KGgo/+AbC" * 5000
ROADS = pytest.mark.parametrize("usual", [True, False], ids=["short road", "aiohttp's road"])


def a_picture(size: int) -> dict:
    url = f"data:image/png;base64,{(DATA * (size // len(DATA) + 1))[:size]}"
    return {**SMALL, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


def packed(raw: bytes, encoding: str = "gzip") -> bytes:
    body = gzip.compress(raw) if encoding == "gzip" else zlib.compress(raw)
    return a_post(body, {"Content-Encoding": encoding})


class Client:
    """Half of a body. `gone`: it gave way."""

    gone = False

    def give_way(self) -> None:
        self.gone = True


@ROADS
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1] * 300_000, "100,000 values"),
        ([[]] * 30_000, "20,000 arrays and objects"),
        ([{"type": "text", "text": ""}] * 30_000, "20,000 arrays and objects"),
        ("a b " * 2_000_000, "6,291,456"),
    ],
)
async def test_what_is_too_much_is_refused_by_name(api, usual, content, said):
    (answer,) = await api.ask(a_post({**SMALL, "messages": [{"role": "user", "content": content}]}, usual=usual))
    assert (answer.status, answer.code) == (413, "request_too_large")
    assert said in answer.json["error"]["message"]


@ROADS
async def test_too_many_messages_are_refused_with_their_number(api, usual):
    (answer,) = await api.ask(a_post({**SMALL, "messages": SMALL["messages"] * 5001}, usual=usual))
    assert (answer.status, answer.code) == (400, "array_above_max_length")
    assert "at most 5,000 messages, got 5,001" in answer.json["error"]["message"]


@ROADS
async def test_a_long_text_of_marks_is_served(api, usual):
    text = "[1, 2], {a: b}, " * 60_000
    (answer,) = await api.ask(a_post({**SMALL, "messages": [{"role": "user", "content": text}]}, usual=usual))
    assert answer.status == 200


@pytest.mark.parametrize("size", [100_000, 900_000, 9_000_000])
async def test_a_picture_reaches_the_upstream_as_it_was_sent(home, api, size):
    body = a_picture(size)
    (answer,) = await api.ask(a_post(body))
    assert answer.status == 200
    assert json.loads(home.upstream.requests[-1].body)["messages"] == body["messages"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_packed_body_is_unpacked(api, encoding):
    (answer,) = await api.ask(packed(json.dumps(SMALL).encode(), encoding))
    assert answer.status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(api, encoding):
    (answer,) = await api.ask(packed(b" " * 30_000_000, encoding))
    assert (answer.status, answer.code) == (413, "request_too_large")
    assert "unpacks to more than 25,165,824 bytes" in answer.json["error"]["message"]


@pytest.mark.parametrize("body", [gzip.compress(b"{}", mtime=0)[:-9], b"no gzip at all"])
async def test_what_cannot_be_unpacked_is_told(api, body):
    (answer,) = await api.ask(a_post(body, {"Content-Encoding": "gzip"}))
    assert (answer.status, answer.code) == (400, "invalid_body")


async def test_chunks_of_one_byte_are_put_together(api):
    raw = json.dumps(SMALL).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in raw) + b"0\r\n\r\n"
    head = a_post(b"", {"Transfer-Encoding": "chunked", "Content-Length": None})
    (answer,) = await api.ask(head + chunks)
    assert answer.status == 200


# Time


@pytest.mark.parametrize("size", [100, 3 * LARGE])
async def test_on_aiohttps_road_a_body_that_does_not_come_is_given_up_too(monkeypatch, api, booked, size):
    monkeypatch.setattr(bodies, "_TICK", PATIENCE / 1e4)
    monkeypatch.setattr(bodies, "PATIENCE", PATIENCE / 1e3)
    wire = await api.connect()
    await wire.say(a_post(b"{", {"CONTENT-LENGTH": str(size), "Content-Length": None}, usual=False))
    answer = (await wire.answers())[0]
    assert (answer.status, answer.code, answer.header("Connection")) == (408, "request_timeout", "close")
    assert [r.status for r in booked] == [408]
    wire.leave()
    await settle()


async def test_a_body_that_comes_for_ever_is_given_up(monkeypatch, api):
    request, wire = a_post(SMALL), await api.connect()
    await wire.say(request[:-40])
    for place in range(-40, -1):
        if wire.closed:
            break
        later(monkeypatch, PATIENCE - 5)
        await settle()
        await wire.say(request[place : place + 1])
    answer = (await wire.answers())[0]
    assert (answer.status, answer.json["error"]["message"]) == (408, "The body was not whole after 600 seconds.")


# Memory of all together


def test_of_too_many_halves_the_one_goes_that_has_stood_still_the_longest(monkeypatch):
    monkeypatch.setattr(bodies, "MOST_HALVES", 100)
    halves, clients = Halves(), [Client() for _ in range(3)]
    for client in (*clients, clients[0]):
        halves.hold(client, 30)
    assert [client.gone for client in clients] == [False, True, False]
    halves.release(clients[2])
    halves.hold(clients[0], 40)
    assert not clients[0].gone


async def test_a_half_that_gives_way_is_told_so(monkeypatch, api):
    monkeypatch.setattr(bodies, "MOST_HALVES", 100_000)
    first, second = await api.connect(), await api.connect()
    for wire, usual in ((first, True), (second, False)):
        await wire.say(a_post(b"x" * 60_000, {"Content-Length": "90000"}, usual=usual))
    await first.say()
    answer = (await first.answers())[0]
    assert (answer.status, answer.code, answer.header("retry-after")) == (503, "busy", "5")
    assert not second.closed
    second.leave()
    await settle()


async def test_room_is_given_back_and_the_smallest_goes_first():
    room = Room(100)
    await room.take(90)
    large, small = asyncio.create_task(room.take(80)), asyncio.create_task(room.take(20))
    await settle()
    assert room.wanted
    room.give(90)
    await small
    await large
    assert not room.wanted


async def test_who_waits_too_long_for_room_is_told_and_takes_none(monkeypatch):
    monkeypatch.setattr(bodies, "PATIENCE", 0.001)
    room = Room(100)
    await room.take(90)
    with pytest.raises(NoRoomError):
        await room.take(20)
    room.give(90)
    await room.take(100)


async def test_who_leaves_while_it_waits_for_room_takes_none():
    room = Room(100)
    await room.take(90)
    waiting = asyncio.create_task(room.take(20))
    await settle()
    room.give(90)  # it is given, and cancelled before it knows
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await room.take(100)


async def test_large_bodies_that_come_together_are_all_served(monkeypatch, api):
    monkeypatch.setattr(bodies, "ROOM", 4_000_000)
    answers = await asyncio.gather(*[api.ask(a_post(a_picture(3_000_000))) for _ in range(4)])
    assert [answer.status for (answer,) in answers] == [200] * 4
