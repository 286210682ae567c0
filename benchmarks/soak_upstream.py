"""The soak's upstream: the tests' fault server in a process of its own, told by each request what to do wrong.

`[[fault=reset]]` in a request holds for the provider `shaky` (its models' upstream names begin with that), so that a stand-in
answers well. SIGUSR1: close all connections, as an upstream does after some time. A GET is answered with the number of requests.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.fakes.fault_server import (
    DONE,
    FINISH,
    ROLE,
    USAGE,
    Close,
    Drip,
    FaultServer,
    Received,
    Reset,
    Script,
    Send,
    Stall,
    completion,
    good_stream,
    http_chunk,
    reply,
    stream,
    words,
)
from tests.fakes.faults import error

FAULT = re.compile(rb"\[\[fault=(\w+)\]\]")
CALL = {"id": "call_1", "type": "function", "function": {"name": "turn_on", "arguments": '{"name": "lamp"}'}}
MANY_WORDS = words(*(f"word {number} " for number in range(50)))

FAULTS: dict[str, Script] = {
    "reset": (Reset(),),
    "hang_up": (Close(),),
    "status_429": error(429, Retry_After="1"),
    "status_500": error(500),
    "status_503": error(503),
    "stall": (Stall(),),
    "bad_json": reply(200, b'{"id": "x", "choices": ['),
    "html": reply(502, b"<html><h1>Bad gateway</h1>", "text/html"),
    "empty": reply(200, completion("")),
}
"""What is wrong before anything has reached the client."""

ALWAYS: dict[str, Script] = {
    "tool": reply(200, completion(None, "tool_calls", tool_calls=[CALL])),
    "cut": stream(ROLE, *words("Hello ", "from "), then=(Close(),)),
    "reset_stream": stream(ROLE, *words("Hello "), then=(Reset(),)),
    "hang": stream(ROLE, *words("Hello "), then=(Stall(),)),
    "wait": (Stall(),),
    "drip": (good_stream()[0], Drip(b"".join(map(http_chunk, [ROLE, *words("Hello"), FINISH, USAGE, DONE])), 40), Send(b"0\r\n\r\n")),
    "long": stream(ROLE, *MANY_WORDS, FINISH, USAGE, DONE),
}  # fmt: skip
"""What any model answers: no faults, or such as nobody can mend."""


class Counted(list[Received]):
    """Keeps no request, and knows how many there were."""

    number = 0

    def append(self, _: Received) -> None:
        self.number += 1


class SoakServer(FaultServer):
    def _script_for(self, request: Received) -> Script:
        if request.method == "GET":
            return reply(200, {"object": "list", "data": [], "requests": self.requests.number})  # type: ignore[attr-defined]
        if (found := FAULT.search(request.body)) is not None:
            name = found[1].decode()
            if name in ALWAYS:
                return ALWAYS[name]
            if request.model.startswith("shaky"):
                return FAULTS[name]
        return super()._script_for(request)


async def main(port: int) -> None:
    """Serve until killed."""
    fault = SoakServer(requests=Counted())
    writers: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            await fault.serve(reader, writer)
        finally:
            writers.discard(writer)

    def close_all() -> None:
        for writer in writers:
            writer.close()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, close_all)
    server = await asyncio.start_server(handle, "127.0.0.1", port, limit=1 << 26, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
