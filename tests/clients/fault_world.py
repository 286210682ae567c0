"""Serves the whole fault catalogue, a provider for each fault, for clients in other languages. Prints what they should see.

Runs until standard input ends. The first line of output is JSON: {"baseURL", "faults": [{model, stream, body, status, ...}]}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fakes.fault_server import fault_server
from tests.fakes.faults import FAULTS, SECRET
from tests.fakes.router import router


async def main() -> None:
    """Serve."""
    async with fault_server() as server:
        providers = {f"f{n}": fault.provider(server, f"f{n}/{fault.name}") for n, fault in enumerate(FAULTS)}
        settings = {"auth": "open", "log_level": "error", "providers": providers}
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
                    for fault, given in zip(FAULTS, providers.values(), strict=True)
                ]
                print(json.dumps({"baseURL": f"{client.url}/v1", "secret": SECRET, "faults": rows}), flush=True)  # noqa: T201 - this is how it answers
                await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
