"""One connection: what comes in pieces, in a row, slowly, or while something else changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.web_protocol import RequestHandler
from hypothesis import given, settings
from hypothesis import strategies as st

from cheaprouter.accounts.keys import KEY_PREFIX
from cheaprouter.doors.bodies import PATIENCE
from cheaprouter.gateway import Reply
from tests.builders import a_body, sse, until
from tests.builders_house import make_house
from tests.doors.wire import a_post, cut, lines, parse
from tests.fakes.fault_server import ROLE, Stall, good_stream, stream, words

SMALL = a_body(model="lab/small")
MOCK = a_body("[[say=here]]", model="mock/default")
GET = b"GET /health HTTP/1.1\r\nHost: pi.lan\r\n\r\n"
ROADS = pytest.mark.parametrize("usual", [True, False], ids=["short", "long"])


def later(monkeypatch, seconds: float) -> None:
    """Let the loop's own clock go on."""
    loop = asyncio.get_running_loop()
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + seconds)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# In pieces


async def test_a_request_may_be_cut_at_every_byte(home, api):
    request = a_post(MOCK)
    whole = (await api.ask(request))[0]
    for place in range(1, len(request)):
        wire = await api.connect()
        await wire.say(*cut(request, [place]))
        assert [answer.same() for answer in await wire.answers()] == [whole.same()]
        wire.leave()
    await settle()


async def test_any_pieces_of_any_requests_give_the_same_answers_in_order(home):
    parts = [
        a_post(MOCK),
        GET,
        a_post({**MOCK, "stream": True}),
        a_post(MOCK, usual=False),
        a_post(b"[]"),
        a_post(MOCK),
    ]

    def ask(order: list[int], places: list[int]) -> None:
        data = b"".join(parts[i] for i in order)
        segments = cut(data, [place % len(data) for place in places])
        statuses = [400 if i == 4 else 200 for i in order]
        asyncio.run_coroutine_threadsafe(check(segments, statuses), loop).result(30)

    async def check(segments: list[bytes], statuses: list[int]) -> None:
        wire = await api.connect()
        await wire.say(*segments)
        assert [answer.status for answer in await wire.answers(len(statuses))] == statuses
        wire.leave()
        await settle()

    loop = asyncio.get_running_loop()
    everything = st.lists(st.integers(0, 5), min_size=1, max_size=5), st.lists(st.integers(0, 4000), max_size=6)
    async with lines(home.control) as api:
        await asyncio.to_thread(settings(max_examples=60)(given(*everything)(ask)))
        assert api.short > 30  # of some 60 to 90 that may take it, by what is drawn


async def test_head_and_body_in_segments_of_their_own_take_the_short_road(api):
    request = a_post(MOCK)
    wire = await api.connect()
    await wire.say(*cut(request, [request.index(b"{")]))
    await wire.answers()
    assert api.short == 1


async def test_requests_that_come_with_the_connection_take_the_short_road(api):
    wire = await api.connect(settled=False)
    await wire.say(a_post(MOCK))
    await wire.answers()
    await wire.say(a_post(MOCK), a_post(MOCK, usual=False), a_post(MOCK))
    assert [answer.status for answer in await wire.answers(4)] == [200] * 4
    assert api.short == 3


async def test_a_head_in_two_segments_takes_the_short_road(api):
    wire = await api.connect()
    await wire.say(*cut(a_post(MOCK), [100]))
    await wire.answers()
    assert api.short == 1


async def test_a_head_without_an_end_is_closed_as_an_idle_connection_is(monkeypatch, api):
    wire = await api.connect()
    await wire.say(a_post(MOCK)[:100])
    later(monkeypatch, 76)
    await until(lambda: wire.closed)
    assert wire.sent == b""


async def test_a_head_that_grows_too_long_is_refused_by_aiohttp(api):
    wire = await api.connect()
    await wire.say(a_post(MOCK)[:100], *[b"x" * 1000] * 9)
    assert (await wire.answers())[0].status == 400
    assert api.short == 0


async def test_a_whole_answer_is_one_write(api):
    wire = await api.connect()
    await wire.say(a_post(MOCK))
    await wire.answers()
    assert wire.writes == 1


# In a row


async def test_two_requests_in_one_segment_are_both_answered(api):
    wire = await api.connect()
    await wire.say(a_post(MOCK) * 2)
    assert [answer.status for answer in await wire.answers(2)] == [200, 200]
    assert api.short == 2


async def test_hundreds_of_requests_in_a_row_wait_for_each_other(api):
    wire = await api.connect()
    await wire.say(a_post(b"[]") * 700)
    assert {answer.status for answer in await wire.answers(700)} == {400}
    assert wire.reading


async def test_who_sends_on_and_on_is_not_read_while_a_request_is_answered(home, api):
    home.upstream.script("small", (Stall(),))
    wire = await api.connect()
    await wire.say(a_post(SMALL), b"x" * 70_000)
    assert not wire.reading
    wire.leave()
    await settle()
    await home.gateway.left_behind.close()  # nobody reads on here
    await home.gateway.idle()


@pytest.mark.parametrize("between", [GET, a_post(MOCK, usual=False), a_post({"device": "x"}, path="/router/route")])
async def test_requests_of_both_roads_take_turns_on_a_connection(api, between):
    usual = a_post(MOCK)
    assert len(await api.ask(usual, between, usual, between, usual)) == 5
    assert api.short == 3


async def test_after_what_nobody_can_count_aiohttp_goes_on_alone(api):
    chunks = a_post(b"", {"Transfer-Encoding": "chunked", "Content-Length": None}) + b"2\r\n[]\r\n0\r\n\r\n"
    answers = await api.ask(chunks, a_post(MOCK))
    assert [answer.status for answer in answers] == [400, 200]
    assert api.short == 0


async def test_an_answer_that_is_slow_is_not_overtaken(home, api):
    home.upstream.script("small", stream(ROLE, *words("slow"), then=(Stall(),)))
    wire = await api.connect()
    await wire.say(a_post({**SMALL, "stream": True}), a_post(MOCK) + GET)
    await until(lambda: b"slow" in wire.sent)
    assert b"here" not in wire.sent
    wire.leave()
    await settle()
    await home.gateway.left_behind.close()  # nobody reads on here
    await home.gateway.idle()


# Clients that leave, stall, or read slowly


@ROADS
async def test_a_client_that_leaves_a_stream_is_booked_once(home, api, booked, usual):
    home.upstream.script("small", stream(ROLE, *words("Hel", "lo"), then=(Stall(),)))
    wire = await api.connect()
    await wire.say(a_post({**SMALL, "stream": True}, usual=usual))
    await until(lambda: b"lo" in wire.sent)
    wire.leave()
    await settle()
    await home.gateway.left_behind.close()  # nobody reads on here
    await home.gateway.idle()
    assert [(r.status, r.error) for r in booked] == [(499, "client_disconnected")]
    await asyncio.wait_for(home.upstream.gone.wait(), 5)


@ROADS
async def test_a_client_that_leaves_before_an_answer_is_booked_once(home, api, booked, usual):
    home.upstream.script("small", (Stall(),))
    wire = await api.connect()
    await wire.say(a_post(SMALL, usual=usual))
    await home.upstream.waiting.wait()
    wire.leave()
    await settle()
    await home.gateway.left_behind.close()  # nobody reads on here
    await home.gateway.idle()
    assert [(r.status, r.error) for r in booked] == [(499, "client_disconnected")]


@ROADS
async def test_a_client_that_leaves_within_its_body_is_not_booked(home, api, booked, usual):
    wire = await api.connect()
    await wire.say(a_post(SMALL, usual=usual)[:-5])
    wire.leave()
    await settle()
    assert (booked, home.gateway.running) == ([], 0)


async def test_a_body_that_does_not_come_is_given_up(monkeypatch, api, booked):
    wire = await api.connect()
    await wire.say(a_post(SMALL)[:-5])
    later(monkeypatch, 75)  # when the connection was to be looked at anyway
    answer = (await wire.answers())[0]
    assert (answer.status, answer.code, answer.header("Connection")) == (408, "request_timeout", "close")
    assert [(r.device_id, r.status) for r in booked] == [("kitchen", 408)]
    assert wire.closed


async def test_a_body_that_comes_slowly_is_waited_for(monkeypatch, api):
    request = a_post(MOCK)
    wire = await api.connect()
    await wire.say(request[:-4])
    for place in (-4, -3, -2):
        later(monkeypatch, PATIENCE - 5)
        await settle()
        await wire.say(request[place : place + 1])
    await wire.say(request[-1:])
    assert (await wire.answers())[0].status == 200


async def test_an_answer_that_takes_longer_than_a_connection_may_idle_comes(monkeypatch, home, api):
    home.upstream.script("small", (Stall(), *good_stream("late")))
    wire = await api.connect()
    await wire.say(a_post({**SMALL, "stream": True}))
    await home.upstream.waiting.wait()
    line: Any = wire.protocol
    line._process_keepalive()  # the time to idle is over
    home.upstream.gate.set()
    assert b"late" in (await wire.answers())[0].body
    await settle()
    assert not wire.closed
    later(monkeypatch, 70)
    await settle()
    assert not wire.closed
    later(monkeypatch, 10)
    await until(lambda: wire.closed)


async def test_a_client_that_does_not_read_is_not_written_to(home, api):
    pieces = [sse(b'{"n": %d}' % n) for n in range(3)]
    wire = await api.connect()
    line: Any = wire.protocol
    made: list[int] = []

    async def chunks():
        for number, piece in enumerate(pieces):
            made.append(number)
            if number == 1:
                line.pause_writing()
            yield piece

    async def serve(*_: Any, **__: Any) -> Reply:
        return Reply({}, chunks=chunks())

    home.gateway.serve = serve
    await wire.say(a_post({**SMALL, "stream": True}))
    await settle()
    assert made == [0, 1]
    line.resume_writing()
    assert (await wire.answers())[0].body == b"".join(pieces)


async def test_who_leaves_without_reading_leaves_no_task(home, api):
    wire = await api.connect()
    line: Any = wire.protocol

    async def serve(*_: Any, **__: Any) -> Reply:
        line.pause_writing()
        return Reply({}, body=b"{}")

    home.gateway.serve = serve
    await wire.say(a_post(SMALL))
    assert line._task is not None
    wire.leave()
    await settle()
    assert line._task is None


# Bugs of ours


@ROADS
async def test_a_bug_is_answered_as_an_error_and_logged(home, api, usual, caplog):
    async def serve(*_: Any, **__: Any) -> Reply:
        raise RuntimeError("a bug")

    home.gateway.serve = serve
    answers = await api.ask(a_post(MOCK, usual=usual), GET)
    assert [answer.status for answer in answers] == [500, 200]
    assert answers[0].code == "internal_error"
    assert "POST /v1/chat/completions failed" in caplog.text


async def test_a_bug_within_a_stream_ends_the_connection(home, api, caplog):
    closed = []

    async def chunks():
        yield b"data: 1\n\n"
        raise RuntimeError("a bug")

    async def serve(*_: Any, **__: Any) -> Reply:
        return Reply({}, chunks=chunks(), close=lambda: closed.append(True))

    home.gateway.serve = serve
    wire = await api.connect()
    await wire.say(a_post({**SMALL, "stream": True}))
    await until(lambda: wire.closed)
    assert parse(bytes(wire.sent))[0] == []  # and so nobody takes it for whole
    assert closed == [True]
    assert "failed" in caplog.text


async def test_a_header_cannot_end_its_line(home, api, caplog):
    async def serve(*_: Any, **__: Any) -> Reply:
        return Reply({"x-a": "b\r\nx-evil: 1"}, body=b"{}")

    home.gateway.serve = serve
    answer = (await api.ask(a_post(MOCK)))[0]
    assert answer.status == 500
    assert "x-evil" not in dict(answer.headers)


# What changes between two requests of a connection


async def test_a_key_that_is_withdrawn_ends_at_once(tmp_path):
    async with make_house(tmp_path, auth="keys") as home, lines(home.control) as api:
        key = await home.control.accounts.add_key("kitchen")
        request = a_post(MOCK, {"Authorization": f"Bearer {key}"})
        wire = await api.connect()
        await wire.say(request)
        await wire.answers(1)
        await home.control.accounts.revoke_key("kitchen")
        await wire.say(request)
        assert [answer.status for answer in await wire.answers(2)] == [200, 401]
    assert key.startswith(KEY_PREFIX)


async def test_a_key_that_is_made_holds_at_once(api, home, booked):
    wire = await api.connect()
    for number in (1, 2):
        await wire.say(a_post(MOCK))
        await wire.answers(number)
        await home.control.accounts.add_key("kitchen")  # whoever merely names it is somebody else from now on
    assert [record.device_id for record in booked] == ["kitchen", "lan-192.168.1.7"]


@pytest.mark.parametrize(
    ("before", "after", "headers", "statuses"),
    [
        ({"auth": "open"}, {"auth": "keys"}, {}, [200, 401]),
        ({"auth": "keys"}, {"auth": "open"}, {}, [401, 200]),
        ({"http": {"allowed_hosts": ["evil.com"]}}, {"http": {}}, {"Host": "evil.com"}, [200, 403]),
        ({"http": {}}, {"http": {"allowed_hosts": ["evil.com"]}}, {"Host": "evil.com"}, [403, 200]),
    ],
)
async def test_other_settings_hold_from_the_next_request_on(tmp_path, before, after, headers, statuses):
    async with make_house(tmp_path, **before) as home, lines(home.control) as api:
        wire = await api.connect()
        await wire.say(a_post(MOCK, headers))
        await wire.answers(1)
        await home.reconfigure(**after)
        await wire.say(a_post(MOCK, headers))
        assert [answer.status for answer in await wire.answers(2)] == statuses


async def test_clients_with_the_same_head_are_told_apart_by_their_address(api, home, booked):
    request = a_post(MOCK, {"X-Device-ID": None})
    await api.ask(request)
    wire = await api.connect()
    line: Any = wire.protocol
    line.peer = "192.168.1.8"
    await wire.say(request)
    await wire.answers()
    assert [record.device_id for record in booked] == ["lan-192.168.1.7", "lan-192.168.1.8"]


# The end of serving


@ROADS
async def test_a_request_that_is_answered_ends_before_its_connection_is_shut(home, usual):
    home.upstream.script("small", (Stall(), *good_stream("late")))
    async with lines(home.control) as api:
        wire = await api.connect()
        await wire.say(a_post({**SMALL, "stream": True}, usual=usual))
        await home.upstream.waiting.wait()
        home.upstream.gate.set()
    assert b"late" in (await wire.answers())[0].body
    assert wire.closed


@ROADS
async def test_what_does_not_end_in_time_is_cut_off_and_booked(home, booked, usual):
    home.upstream.script("small", stream(ROLE, *words("Hel"), then=(Stall(),)))
    async with lines(home.control) as api:
        api.runner._shutdown_timeout = 0.01
        wire = await api.connect()
        await wire.say(a_post({**SMALL, "stream": True}, usual=usual))
        await until(lambda: b"Hel" in wire.sent)
        home.gateway.cut_off = True
    assert [(r.status, r.error) for r in booked] == [(503, "shutting_down")]
    assert wire.closed


@ROADS
async def test_while_draining_requests_are_refused(home, api, usual):
    home.gateway.draining = True
    answer = (await api.ask(a_post(MOCK, usual=usual)))[0]
    assert (answer.status, answer.code, answer.header("retry-after")) == (503, "shutting_down", "5")


async def test_idle_connections_and_half_requests_are_shut(home):
    async with lines(home.control) as api:
        wires = [await api.connect() for _ in range(3)]
        await wires[0].say(a_post(MOCK))
        await wires[1].say(a_post(MOCK)[:-4])
    assert all(wire.closed for wire in wires)


async def test_no_task_or_timer_is_left_of_a_connection(home, api):
    before = asyncio.all_tasks()
    for request in (a_post(MOCK), a_post(MOCK)[:-3], GET, a_post({**MOCK, "stream": True}) * 3):
        wire = await api.connect()
        await wire.say(request)
        await settle()
        wire.leave()
    await settle()
    await home.gateway.left_behind.close()  # nobody reads on here
    await home.gateway.idle()
    await settle()
    assert asyncio.all_tasks() == before
    assert api.runner.server.connections == []


# aiohttp


PRIVATE = {
    "_close", "_force_close", "_keepalive_handle", "_keepalive_timeout", "_loop", "_manager", "_messages",
    "_next_keepalive_close_time", "_paused", "_read_bufsize", "_request_count", "_waiter",
}  # fmt: skip
METHODS = {"_drain_helper", "_pause_transport_reading", "_process_keepalive", "_resume_transport_reading"}


async def test_aiohttp_has_the_private_parts_that_are_used(api):
    wire = await api.connect()
    missing = {name for name in PRIVATE | METHODS if not hasattr(wire.protocol, name)}
    assert missing == set(), (
        f"this aiohttp lacks {missing}: read web_protocol.py again before `doors/line.py` is trusted"
    )
    assert {*RequestHandler.__slots__, *RequestHandler.__mro__[1].__slots__} >= PRIVATE
    server: Any = api.runner.server
    assert hasattr(server, "_loop")
    assert hasattr(server, "_kwargs")
