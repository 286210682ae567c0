"""The transport's own connections: kept, dropped, and never made to say what they should not."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import asynccontextmanager

import pytest

from cheaprouter.providers.endpoint import DIRECT, Endpoint, Link, Origin
from cheaprouter.providers.transport import TransportError
from cheaprouter.upstream import direct
from cheaprouter.upstream.direct import DirectTransport
from tests.builders import a_wire_request, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Counts connections and requests; answers what it is told."""

    def __init__(self):
        self.connections = self.ended = 0
        self.heads: list[bytes] = []
        self.answer = OK
        self.close_after = False
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1/x?y=1"

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                if self.answer:
                    writer.write(self.answer)
                if self.close_after:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def running():
    made = Server()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    transport = DirectTransport()
    try:
        yield made, transport
    finally:
        await transport.close()
        server.close()
        for writer in made.writers:
            writer.close()
        await asyncio.sleep(0)


async def ask(server, transport, **headers):
    response = await transport.open(a_wire_request(server.url, b"{}", **headers), 5)
    return await response.read(1000)


async def test_a_connection_to_an_address_leaves_nothing_to_the_garbage_collector():
    async with running() as (server, transport):
        gc.collect()
        gc.disable()
        try:
            await ask(server, transport)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [thing for thing in gc.garbage if isinstance(thing, asyncio.Task)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert not left


async def test_a_connection_serves_one_request_after_another():
    async with running() as (server, transport):
        for _ in range(5):
            assert await ask(server, transport) == b"hi"
    assert (server.connections, len(server.heads)) == (1, 5)


async def test_as_many_requests_at_once_get_as_many_connections():
    async with running() as (server, transport):
        await asyncio.gather(*(ask(server, transport) for _ in range(10)))
        await asyncio.gather(*(ask(server, transport) for _ in range(10)))
    assert server.connections == 10


async def test_a_connection_that_the_server_closed_is_not_used_again():
    async with running() as (server, transport):
        server.close_after = True
        for _ in range(3):
            assert await ask(server, transport) == b"hi"
            await asyncio.sleep(0.01)
    assert server.connections == 3


async def test_a_server_that_says_close_is_believed():
    async with running() as (server, transport):
        server.answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
        await ask(server, transport)
        await ask(server, transport)
    assert server.connections == 2


async def test_a_connection_that_is_not_kept_is_closed():
    async with running() as (server, transport):
        server.answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
        await ask(server, transport)
        await until(lambda: server.ended)


async def test_more_than_was_announced_ends_the_connection():
    async with running() as (server, transport):
        server.answer = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        assert await ask(server, transport) == b"hi"
        await asyncio.sleep(0.01)
        server.answer = OK
        assert await ask(server, transport) == b"hi"
    assert server.connections == 2


async def test_an_aborted_reply_takes_its_connection_with_it():
    async with running() as (server, transport):
        server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf"
        response = await transport.open(a_wire_request(server.url, b"{}"), 5)
        assert await response.chunk() == b"half"
        response.abort()
        server.answer = OK
        await ask(server, transport)
    assert server.connections == 2


async def test_connections_are_kept_by_host_whatever_is_asked_there():
    async with running() as (server, transport):
        for path in ("/v1/models", "/v1/chat/completions"):
            await (await transport.open(a_wire_request(f"http://127.0.0.1:{server.port}{path}"), 5)).read(1000)
    assert (server.connections, len(server.heads)) == (1, 2)


async def test_a_connection_made_under_other_settings_is_not_used():
    async with running() as (server, transport):
        for link in (DIRECT, Link(verify_tls=False)):
            await (await transport.open(a_wire_request(server.url, link=link), 5)).read(1000)
    assert server.connections == 2


# A kept connection that the server has closed


async def kept(server, transport, count):
    """Leave so many connections behind."""
    await asyncio.gather(*(ask(server, transport) for _ in range(count)))
    assert server.connections == count
    server.heads.clear()


async def test_a_request_goes_out_twice_at_most_however_many_connections_are_kept():
    async with running() as (server, transport):
        await kept(server, transport, 8)
        server.answer, server.close_after = b"", True
        with pytest.raises(TransportError) as caught:
            await ask(server, transport)
    assert caught.value.code == "upstream_reset"
    assert len(server.heads) == 2


async def test_a_request_that_was_answered_in_part_is_not_sent_again():
    async with running() as (server, transport):
        await kept(server, transport, 1)
        server.answer, server.close_after = b"HTTP/1.1 200 OK\r\nContent-", True
        with pytest.raises(TransportError) as caught:
            await ask(server, transport)
    assert caught.value.code == "upstream_reset"
    assert len(server.heads) == 1


async def test_a_request_on_a_new_connection_is_not_sent_again():
    async with running() as (server, transport):
        server.answer, server.close_after = b"", True
        with pytest.raises(TransportError):
            await ask(server, transport)
    assert len(server.heads) == 1


async def test_a_request_that_is_not_answered_in_http_is_not_sent_again():
    async with running() as (server, transport):
        await kept(server, transport, 1)
        server.answer = b"nonsense\r\n\r\n"
        with pytest.raises(TransportError) as caught:
            await ask(server, transport)
    assert caught.value.code == "invalid_reply"
    assert len(server.heads) == 1


# Connections that wait


def idle(transport):
    return sum(len(host.idle) for host in transport._hosts.values())


async def test_what_the_server_closes_is_dropped_at_once():
    async with running() as (server, transport):
        await kept(server, transport, 3)
        assert idle(transport) == 3
        for writer in server.writers:
            writer.close()
        await until(lambda: not idle(transport))
        assert not transport._open


async def test_what_says_something_unasked_is_dropped_and_never_read_as_an_answer():
    async with running() as (server, transport):
        await kept(server, transport, 1)
        server.writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await until(lambda: server.ended)
        assert await ask(server, transport) == b"hi"
    assert server.connections == 2


async def test_not_more_than_so_many_wait(monkeypatch):
    monkeypatch.setattr(direct, "MOST_IDLE", 3)
    async with running() as (server, transport):
        await asyncio.gather(*(ask(server, transport) for _ in range(8)))
        assert idle(transport) == 3
        await until(lambda: server.ended == 5)


async def test_what_has_waited_too_long_is_closed_though_nobody_asks_again(monkeypatch):
    monkeypatch.setattr(direct, "KEEPALIVE", 0.02)
    async with running() as (server, transport):
        await kept(server, transport, 2)
        await until(lambda: server.ended == 2)
        assert not transport._open
        await until(lambda: transport._sweeper is None)


async def test_what_began_to_wait_later_is_closed_too(monkeypatch):
    monkeypatch.setattr(direct, "KEEPALIVE", 0.02)
    async with running() as (server, transport):
        await kept(server, transport, 2)
        (host,) = transport._hosts.values()
        host.idle[[*host.idle][-1]] += 0.02
        await until(lambda: server.ended == 2)


async def test_a_connection_that_is_lost_as_soon_as_it_is_made_is_forgotten(monkeypatch):
    async with running() as (server, transport):

        async def lost(origin, factory):
            connection = factory()
            connection.connection_lost(None)
            return connection

        monkeypatch.setattr(transport._dialer, "connect", lost)
        with pytest.raises(TransportError) as caught:
            await ask(server, transport)
        assert caught.value.code == "upstream_reset"
        assert not transport._open


async def test_closing_drops_what_waits_and_cuts_what_is_in_use():
    async with running() as (server, transport):
        await kept(server, transport, 2)
        server.answer = b"HTTP/1.1 200 OK\r\n\r\nhalf"  # ends with the connection
        response = await transport.open(a_wire_request(server.url, b"{}"), 5)
        assert await response.chunk() == b"half"
        await transport.close()
        with pytest.raises(TransportError) as caught:
            await response.chunk()
        assert caught.value.code == "upstream_reset"
        await until(lambda: server.ended == 2)


async def test_closing_does_not_send_again_what_waits_for_an_answer():
    async with running() as (server, transport):
        await kept(server, transport, 1)
        server.answer = b""
        asking = asyncio.ensure_future(ask(server, transport))
        await until(lambda: server.heads)
        await transport.close()
        with pytest.raises(TransportError):
            await asking
    assert (server.connections, len(server.heads)) == (1, 1)


async def test_who_stops_waiting_for_headers_drops_the_connection():
    async with running() as (server, transport):
        server.answer = b""
        asking = asyncio.ensure_future(ask(server, transport))
        await until(lambda: server.heads)
        asking.cancel()
        await until(lambda: server.ended)
        assert not transport._open


async def test_nothing_waits_in_the_kernel_and_a_dead_peer_is_noticed():
    async with running() as (server, transport):
        await ask(server, transport)
        (connection,) = transport._open
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# Names


def resolving(monkeypatch, *addresses):
    """Let every name stand for these addresses; the list of names that were looked up."""
    asked = []

    async def look_up(host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    return asked


async def test_a_burst_of_new_connections_looks_the_name_up_once(monkeypatch):
    async with running() as (server, transport):
        asked = resolving(monkeypatch, "127.0.0.1")
        request = a_wire_request(f"http://models.home:{server.port}/", b"{}")
        replies = await asyncio.gather(*(transport.open(request, 5) for _ in range(20)))
        assert [await reply.read(10) for reply in replies] == [b"hi"] * 20
    assert (server.connections, asked) == (20, ["models.home"])


async def test_a_name_is_looked_up_again_after_a_while(monkeypatch):
    monkeypatch.setattr("cheaprouter.upstream.dial.REMEMBERED", -1.0)
    async with running() as (server, transport):
        asked = resolving(monkeypatch, "127.0.0.1")
        request = a_wire_request(f"http://models.home:{server.port}/", b"{}")
        await asyncio.gather(*(transport.open(request, 5) for _ in range(2)))
    assert asked == ["models.home"] * 2


async def test_a_name_whose_address_no_longer_answers_is_looked_up_again(monkeypatch):
    async with running() as (server, transport):
        asked = resolving(monkeypatch, "127.0.0.1")
        request = a_wire_request(f"http://models.home:{server.port}/", b"{}")
        transport._dialer._known["models.home", server.port] = "127.0.0.2", float("inf")
        await transport.open(request, 5)
    assert asked == ["models.home"]


async def test_the_next_address_is_tried_where_the_first_refuses(monkeypatch):
    async with running() as (server, transport):
        resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
        await transport.open(a_wire_request(f"http://models.home:{server.port}/", b"{}"), 5)
    assert server.connections == 1


async def test_a_server_that_does_not_take_connections_is_given_up_in_time():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        async with _filled(port):
            with pytest.raises(TransportError) as caught:
                await DirectTransport().open(a_wire_request(f"http://127.0.0.1:{port}/"), 0.05)
    assert (caught.value.code, "in time" in caught.value.message) == ("upstream_unreachable", True)


@asynccontextmanager
async def _filled(port):
    """Fill a listening socket's queue, so that nobody else gets in."""
    waiting = [socket.socket() for _ in range(4)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        for sock in waiting:
            sock.close()


# What goes out


async def test_an_interim_answer_is_passed_over():
    async with running() as (server, transport):
        server.answer = b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK
        assert await ask(server, transport) == b"hi"


async def test_the_request_says_where_it_goes_and_how_long_it_is():
    async with running() as (server, transport):
        await ask(server, transport, Authorization="Bearer x")
    lines = server.heads[0].split(b"\r\n")
    assert lines[0] == b"POST /v1/x?y=1 HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in lines
    assert b"Content-Length: 2" in lines
    assert b"Authorization: Bearer x" in lines


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "snow ☃"])
async def test_a_header_cannot_carry_another(value):
    async with running() as (server, transport):
        with pytest.raises(TransportError):
            await ask(server, transport, Title=value)
    assert server.connections == 0


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x/", "http://", "http://a b/", "http://x:port/", "http://☃/"])
async def test_an_unusable_address_is_said_so(url):
    with pytest.raises(TransportError) as caught:
        await DirectTransport().open(a_wire_request(url), 1)
    assert caught.value.code == "upstream_unreachable"


async def test_an_unknown_name_is_said_so():
    with pytest.raises(TransportError) as caught:
        await DirectTransport().open(a_wire_request("http://nowhere.invalid/"), 5)
    assert "resolved" in caught.value.message


def test_an_address_is_read_in_parts():
    endpoint = Endpoint("GET", "https://user@[::1]:8443/v1?a=b", {})
    assert endpoint.origin == Origin(tls=True, host="::1", port=8443, link=DIRECT)
    assert endpoint.message(None) == b"GET /v1?a=b HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"


def test_ports_follow_the_scheme():
    assert [Endpoint("GET", url, {}).origin.port for url in ("http://a", "https://a")] == [80, 443]
    assert Endpoint("GET", "http://a", {}).message(None).startswith(b"GET / HTTP/1.1\r\n")
