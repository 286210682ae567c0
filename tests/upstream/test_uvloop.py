"""The same connections on uvloop, which is installed with the extra `speed`: its transports are not asyncio's."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from cheaprouter.providers.endpoint import Link
from cheaprouter.upstream.direct import DirectTransport
from tests.builders import a_wire_request, until
from tests.fakes.certificates import certificate
from tests.fakes.fault_server import FaultServer, fault_server
from tests.fakes.proxy_server import proxy_server
from tests.fakes.wire import Heard

uvloop = pytest.importorskip("uvloop")


def on_uvloop(main) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def ask_twice(server: FaultServer, link: Link) -> None:
    """Once pulled, and once pushed over the connection that was kept."""
    transport = DirectTransport()
    request = a_wire_request(f"{server.url}/chat/completions", b'{"model": "x"}', link=link)
    assert b"Hello from upstream" in await (await transport.open(request, 5)).read(10_000)
    heard = Heard()
    assert (await transport.open(request, 5)).pipe(heard)
    await until(lambda: heard.ends)
    assert b"Hello from upstream" in heard.body
    assert server.connections == 1
    await transport.close()


def test_a_reply_is_pulled_and_pushed():
    async def main():
        async with fault_server() as server:
            await ask_twice(server, Link())

    on_uvloop(main)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the certificate is made with openssl")
@pytest.mark.parametrize("tunnelled", [False, True])
def test_a_reply_over_tls_too(tmp_path, tunnelled):
    async def main():
        made = await certificate(tmp_path)
        async with fault_server(made.context) as server, proxy_server() as proxy:
            await ask_twice(server, Link(made.ca_file, proxy=f"http://127.0.0.1:{proxy.port}" if tunnelled else ""))
            assert len(proxy.heads) == tunnelled

    on_uvloop(main)
