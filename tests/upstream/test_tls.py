"""Upstreams over TLS: certificates are checked, and a connection is kept like any other."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest

from cheaprouter.providers.adapter import TransportError, WireRequest
from cheaprouter.upstream.direct import DirectTransport
from tests.fakes.fault_server import fault_server

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the certificate is made with openssl")


async def certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody signed but itself, in one file."""
    made = folder / "both.pem"
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    process = await asyncio.create_subprocess_exec(
        "openssl",
        *command.split(),
        "-keyout",
        str(made),
        "-out",
        str(folder / "cert.pem"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    made.write_bytes(made.read_bytes() + (folder / "cert.pem").read_bytes())
    return made


async def test_a_certificate_that_is_trusted_is_enough_and_one_that_is_not_never(tmp_path):
    pem = await certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    async with fault_server(context) as server:
        request = WireRequest("POST", f"{server.url}/chat/completions", {}, b'{"model": "x"}')
        trusting = DirectTransport(tls=ssl.create_default_context(cafile=str(tmp_path / "cert.pem")))
        for _ in range(2):
            response = await trusting.open(request, 5)
            assert b"Hello from upstream" in await response.read(10_000)
        assert server.connections == 1
        await trusting.close()
        wary = DirectTransport()
        with pytest.raises(TransportError) as caught:
            await wary.open(request, 5)
        assert caught.value.code == "upstream_tls"
        await wary.close()
