"""Serves the whole fault catalogue, a provider for each fault, for clients in other languages. Prints what they should see.

Runs until standard input ends. The first line of output is JSON: {"baseURL", "faults": [{model, stream, body, status, ...}]}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.builders import a_model_row, a_provider, free_port
from tests.fakes.fault_server import FaultServer, fault_server
from tests.fakes.faults import FAULTS, SECRET, Fault
from tests.fakes.router import router


def settings_of(fault: Fault, index: int, server: FaultServer) -> tuple[str, dict[str, Any]]:
    """A provider that has just this fault."""
    url = server.url
    if fault.address == "refused":
        url = f"http://127.0.0.1:{free_port()}/v1"
    elif fault.address == "tls":
        url = url.replace("http:", "https:")
    server.script(fault.name, *fault.scripts)
    limits = (
        {}
        if fault.timeouts is None
        else {"timeouts": {k: getattr(fault.timeouts, k) for k in fault.timeouts.__slots__}}
    )
    name = f"f{index}"
    return name, a_provider(url, a_model_row(f"{name}/{fault.name}"), **limits) | {"api_key": SECRET}


async def main() -> None:
    """Serve."""
    async with fault_server() as server:
        made = [settings_of(fault, index, server) for index, fault in enumerate(FAULTS)]
        settings = {"auth": "open", "log_level": "error", "providers": dict(made)}
        with tempfile.TemporaryDirectory() as folder:
            async with router(Path(folder), settings) as client:
                rows = [
                    {
                        "name": fault.name,
                        "model": given["models"][0]["id"],
                        "stream": fault.stream,
                        "body": fault.body,
                        "status": fault.status,
                        "code": fault.code,
                        "broken": fault.broken,
                        "text": fault.text,
                    }
                    for fault, (_, given) in zip(FAULTS, made, strict=True)
                ]
                print(json.dumps({"baseURL": f"{client.url}/v1", "secret": SECRET, "faults": rows}), flush=True)  # noqa: T201 - this is how it answers
                await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
