"""JSON that can be read and not be written again (orjson reads 1024 levels and writes 254): a broken reply, not a crash."""

from __future__ import annotations

import pytest

from cheaprouter.upstream.outcome import StreamReply, UpstreamFailed, WholeReply
from tests.builders import sse
from tests.fakes.fault_server import DONE, FINISH, ROLE, reply, stream, words
from tests.upstream.conftest import chat

DEEP = b"[" * 600 + b"]" * 600
REPLY = (
    b'{"choices":[{"message":{"role":"assistant","content":"a","x":'
    + DEEP
    + b'},"finish_reason":"stop"}],"y":'
    + DEEP
    + b"}"
)
CHUNK = sse(b'{"choices":[{"index":0,"delta":{"content":"b","x":' + DEEP + b"}}]}")
MESSAGE = b'{"content":[{"type":"thinking","thinking":"a","signature":' + DEEP + b'}],"stop_reason":"end_turn"}'
THINKING = (
    sse(b'{"type":"message_start","message":{}}'),
    sse(b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}'),
    sse(b'{"type":"content_block_start","index":1,"content_block":{"type":"thinking","signature":' + DEEP + b"}}"),
    sse(b'{"type":"content_block_stop","index":1}'),
    sse(b'{"type":"message_delta","delta":{"stop_reason":"end_turn"}}'),
    sse(b'{"type":"message_stop"}'),
)


async def outcome(bench, *, streams: bool, wire: str = "openai_chat") -> str:
    """The code that a client is told, or "ok"."""
    try:
        got = await bench.pool.send([bench.faulty], chat(stream=streams, wire=wire))
    except UpstreamFailed as failed:
        return str(getattr(failed.error, "code", failed.error))
    if isinstance(got, WholeReply):
        return "ok"
    assert isinstance(got, StreamReply)
    assert [piece async for piece in got.chunks]
    return got.error_code or "ok"


@pytest.mark.parametrize("wire", ["openai_chat", "events"])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("script", [reply(200, REPLY), stream(ROLE, *words("a"), CHUNK, CHUNK, FINISH, DONE)])
async def test_openais_wire(bench, script, streams, wire):
    bench.server.script("faulty", script)
    assert await outcome(bench, streams=streams, wire=wire) in ("ok", "invalid_reply")


@pytest.mark.parametrize("wire", ["openai_chat", "events"])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("script", [reply(200, MESSAGE), stream(*THINKING), stream(b"".join(THINKING))])
async def test_anthropics_wire(make_bench, script, streams, wire):
    bench = make_bench(kind="anthropic")
    bench.server.script("faulty", script)
    assert await outcome(bench, streams=streams, wire=wire) in ("ok", "invalid_reply", "upstream_error")
