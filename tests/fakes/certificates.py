"""Certificates made with openssl, for servers of tests."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """`ca_file`: the certificate, which nobody signed but itself. `context`: what a server is started with."""

    ca_file: str
    context: ssl.SSLContext


async def certificate(folder: Path, names: str = "IP:127.0.0.1") -> Certificate:
    """A key and a certificate for these names, in the folder."""
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -addext"
    folder.mkdir(exist_ok=True)
    key, made = folder / "key.pem", folder / "cert.pem"
    process = await asyncio.create_subprocess_exec(
        "openssl",
        *command.split(),
        f"subjectAltName={names}",
        "-keyout",
        str(key),
        "-out",
        str(made),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return Certificate(str(made), context)
