"""Upstreams over TLS: certificates are checked as the provider's settings say, and a connection is kept like any other."""

from __future__ import annotations

import asyncio
import shutil
import threading
from contextlib import asynccontextmanager

import pytest

from cheaprouter.providers.endpoint import DIRECT, Link
from cheaprouter.providers.transport import TransportError
from cheaprouter.upstream import dial
from cheaprouter.upstream.direct import DirectTransport
from tests.builders import a_wire_request
from tests.fakes.certificates import certificate
from tests.fakes.fault_server import fault_server

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the certificate is made with openssl")


@asynccontextmanager
async def running(folder, names="IP:127.0.0.1"):
    """A server with a certificate for these names, its file, and a transport."""
    made = await certificate(folder, names)
    transport = DirectTransport()
    async with fault_server(made.context) as server:
        try:
            yield server, made.ca_file, transport
        finally:
            await transport.close()


async def ask(server, transport, link):
    request = a_wire_request(f"{server.url}/chat/completions", b'{"model": "x"}', link=link)
    response = await transport.open(request, 5)
    assert b"Hello from upstream" in await response.read(10_000)


async def refusal(server, transport, link):
    with pytest.raises(TransportError) as caught:
        await ask(server, transport, link)
    assert not server.requests
    return caught.value.code


async def test_a_certificate_in_the_file_is_trusted_and_its_connection_kept(tmp_path):
    async with running(tmp_path) as (server, ca_file, transport):
        for _ in range(2):
            await ask(server, transport, Link(ca_file=ca_file))
        assert server.connections == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    async with running(tmp_path) as (server, _, transport):
        assert await refusal(server, transport, DIRECT) == "upstream_tls"


async def test_the_file_of_another_server_is_no_help(tmp_path):
    other = await certificate(tmp_path / "other")
    async with running(tmp_path) as (server, _, transport):
        assert await refusal(server, transport, Link(ca_file=other.ca_file)) == "upstream_tls"


async def test_a_certificate_for_another_name_is_refused(tmp_path):
    async with running(tmp_path, "DNS:elsewhere.home") as (server, ca_file, transport):
        assert await refusal(server, transport, Link(ca_file=ca_file)) == "upstream_tls"


async def test_any_certificate_will_do_where_that_is_wanted(tmp_path):
    async with running(tmp_path, "DNS:elsewhere.home") as (server, _, transport):
        await ask(server, transport, Link(verify_tls=False))


async def test_a_connection_that_was_not_verified_serves_nobody_who_wants_it_to_be(tmp_path):
    async with running(tmp_path) as (server, _, transport):
        await ask(server, transport, Link(verify_tls=False))
        server.requests.clear()
        assert await refusal(server, transport, DIRECT) == "upstream_tls"


async def test_a_file_that_has_gone_is_said_so(tmp_path):
    async with running(tmp_path) as (server, _, transport):
        assert await refusal(server, transport, Link(ca_file=str(tmp_path / "none.pem"))) == "upstream_tls"


async def test_settings_are_made_once_and_beside_the_loop(tmp_path, monkeypatch):
    made, make = [], dial.make_context
    monkeypatch.setattr(dial, "make_context", lambda *key: (made.append(threading.current_thread()), make(*key))[1])
    async with running(tmp_path) as (server, ca_file, transport):
        await asyncio.gather(*(ask(server, transport, Link(ca_file=ca_file)) for _ in range(5)))
        assert server.connections == 5
    assert len(made) == 1
    assert made[0] is not threading.main_thread()


def test_the_systems_authorities_stay_trusted_beside_the_file(tmp_path):
    made = asyncio.run(certificate(tmp_path))
    own, more = (dial.make_context(name, True).cert_store_stats()["x509_ca"] for name in ("", made.ca_file))
    assert more == own + 1
