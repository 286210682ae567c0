"""The transport's own connections: kept, dropped, and never made to say what they should not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from cheaprouter.providers.adapter import TransportError, WireRequest
from cheaprouter.upstream.direct import DirectTransport, Host
from tests.builders import until

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
    response = await transport.open(WireRequest("POST", server.url, headers, b"{}"), 5)
    return await response.read(1000)


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
        response = await transport.open(WireRequest("POST", server.url, {}, b"{}"), 5)
        assert await response.chunk() == b"half"
        response.abort()
        server.answer = OK
        await ask(server, transport)
    assert server.connections == 2


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
        await DirectTransport().open(WireRequest("GET", url, {}), 1)
    assert caught.value.code == "upstream_unreachable"


async def test_an_unknown_name_is_said_so():
    with pytest.raises(TransportError) as caught:
        await DirectTransport().open(WireRequest("GET", "http://nowhere.invalid/", {}), 5)
    assert "resolved" in caught.value.message


def test_an_address_is_read_in_parts():
    host = Host("https://user@[::1]:8443/v1?a=b")
    assert (host.name, host.port, host.tls, host.path, host.authority) == ("::1", 8443, True, "/v1?a=b", "[::1]:8443")


def test_ports_follow_the_scheme():
    assert (Host("http://a").port, Host("https://a").port, Host("http://a").path) == (80, 443, "/")
