"""Providers that are reached through a proxy: HTTPS through a tunnel, HTTP by its whole address."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest

from cheaprouter.providers.endpoint import Link
from cheaprouter.providers.transport import TransportError
from cheaprouter.upstream.direct import DirectTransport
from tests.builders import a_wire_request, free_port, until
from tests.fakes.certificates import certificate
from tests.fakes.fault_server import fault_server
from tests.fakes.proxy_server import proxy_server
from tests.fakes.wire import Heard

LOGIN = "Basic aG9tZTpwQHNz"  # home:p@ss

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the certificate is made with openssl")


@asynccontextmanager
async def running(tls=None):
    transport = DirectTransport()
    async with fault_server(tls) as server, proxy_server() as proxy:
        try:
            yield server, proxy, transport
        finally:
            await transport.close()


def request(server, proxy, *, login="", **more):
    link = Link(proxy=f"http://{login}127.0.0.1:{proxy.port}", **more)
    return a_wire_request(f"{server.url}/chat/completions", b'{"model": "x"}', link=link, Authorization="Bearer key")


async def body_of(transport, wire):
    return await (await transport.open(wire, 5)).read(10_000)


async def failure(transport, wire, limit=5):
    with pytest.raises(TransportError) as caught:
        await transport.open(wire, limit)
    return caught.value


async def test_http_goes_by_its_whole_address_and_the_connection_is_kept():
    async with running() as (server, proxy, transport):
        for _ in range(2):
            assert b"Hello from upstream" in await body_of(transport, request(server, proxy))
        assert proxy.heads[0].startswith(f"POST {server.url}/chat/completions HTTP/1.1\r\n")
        assert len(proxy.heads) == 1


async def test_http_says_the_login_in_each_request():
    async with running() as (server, proxy, transport):
        proxy.login = LOGIN
        await body_of(transport, request(server, proxy, login="home:p%40ss@"))
        assert f"\r\nProxy-Authorization: {LOGIN}\r\n" in proxy.heads[0]


@needs_openssl
async def test_https_goes_through_a_tunnel_and_the_connection_is_kept(tmp_path):
    made = await certificate(tmp_path)
    async with running(made.context) as (server, proxy, transport):
        proxy.login = LOGIN
        wire = request(server, proxy, login="home:p%40ss@", ca_file=made.ca_file)
        for _ in range(2):
            assert b"Hello from upstream" in await body_of(transport, wire)
        assert [head.split("\r\n")[0] for head in proxy.heads] == [f"CONNECT {server.url[8:-3]} HTTP/1.1"]
        assert "Bearer key" not in proxy.heads[0]
        assert not any("proxy-authorization" in received.headers for received in server.requests)


@needs_openssl
async def test_a_stream_is_pushed_through_a_tunnel_like_any_other(tmp_path):
    made = await certificate(tmp_path)
    async with running(made.context) as (server, proxy, transport):
        reply = await transport.open(request(server, proxy, ca_file=made.ca_file), 5)
        heard = Heard()
        assert reply.pipe(heard)
        await until(lambda: heard.ends)
        assert b"Hello from upstream" in heard.body


@needs_openssl
async def test_a_tunnel_is_no_reason_to_trust_a_certificate(tmp_path):
    made = await certificate(tmp_path)
    async with running(made.context) as (server, proxy, transport):
        assert (await failure(transport, request(server, proxy))).code == "upstream_tls"
        assert not server.requests


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "status: 407"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>", "status: 403"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "status: none"),
        (b"HTTP/1.1 200 OK\r\n\r\nsurplus", "status: 200"),
        (b"x" * 20_000, "status: none"),
        (b"", "closed"),
        (b"HTTP/1.1 20", "closed"),
    ],
)
async def test_a_proxy_that_does_not_open_the_way_is_said_so(answer, words):
    async with running() as (_server, proxy, transport):
        proxy.answer = answer
        wire = a_wire_request("https://models.example/v1", b"{}", link=Link(proxy=f"http://127.0.0.1:{proxy.port}"))
        error = await failure(transport, wire)
        assert (error.code, words in error.message) == ("upstream_unreachable", True)


async def test_a_login_that_a_proxy_does_not_take_is_not_said_aloud():
    async with running() as (_server, proxy, transport):
        proxy.login = "Basic other"
        link = Link(proxy=f"http://home:p%40ss@127.0.0.1:{proxy.port}")
        error = await failure(transport, a_wire_request("https://models.example/v1", b"{}", link=link))
        assert "407" in error.message
        assert not any(secret in error.message for secret in ("p@ss", "p%40ss", LOGIN[6:]))


async def test_a_proxy_that_is_not_there_is_said_so():
    async with running() as (server, _proxy, transport):
        wire = a_wire_request(server.url, b"{}", link=Link(proxy=f"http://127.0.0.1:{free_port()}"))
        assert (await failure(transport, wire)).code == "upstream_unreachable"
        assert not server.requests


async def test_who_gives_up_waiting_for_a_proxy_leaves_nothing_behind():
    asked, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    link = Link(proxy=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    opening = asyncio.ensure_future(
        DirectTransport().open(a_wire_request("https://models.example/v1", b"{}", link=link), 5)
    )
    await asyncio.wait_for(asked.wait(), 5)
    opening.cancel()
    await asyncio.wait_for(gone.wait(), 5)
    server.close()
