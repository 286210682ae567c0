"""A stream as events, for front doors whose wire is not OpenAI's: as far as the pool is concerned, the same as bytes."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from cheaprouter.core.errors import UpstreamError
from cheaprouter.core.models import Usage
from cheaprouter.upstream.outcome import StreamReply
from cheaprouter.wire.events import (
    Failed,
    Finish,
    Ping,
    Reasoning,
    Start,
    Text,
    ToolArguments,
    ToolStart,
    Used,
    WireEvent,
)
from cheaprouter.wire.openai_chat.encode import assemble
from tests.builders import sse
from tests.fakes.fault_server import FINISH, ROLE, USAGE, Drip, Send, Stall, completion, delta, reply, stream, words
from tests.fakes.faults import FAULTS, QUICK, SECRET
from tests.providers.test_anthropic_reply import events, message, text, thinking, tool
from tests.upstream.conftest import chat
from tests.upstream.test_faults import set_up


def blocks_of(pieces: list[WireEvent]) -> list[tuple[str, str]]:
    """As a door would that shows one block after the other, each of one kind, such as Anthropic's."""
    opened: list[tuple[str, str]] = []
    for piece in pieces:
        match piece:
            case Reasoning():
                opened.append(("thinking", piece.text))
            case Text():
                opened.append(("text", piece.text))
            case ToolStart():
                opened.append((f"tool_use {piece.id} {piece.name}", ""))
            case ToolArguments():
                opened.append((opened[-1][0], piece.text))
    grouped = itertools.groupby(opened, lambda block: block[0])
    return [(kind, "".join(said for _, said in block)) for kind, block in grouped]


async def pieces_of(got: StreamReply) -> list[WireEvent]:
    pieces = [piece async for piece in got.chunks]
    assert not any(isinstance(piece, bytes) for piece in pieces)
    return pieces  # type: ignore[return-value]


CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "light", "arguments": '{"on":'}}
SAID = (
    ROLE,
    sse(delta(reasoning_content="Hm")),
    sse(delta(reasoning_content="m.")),
    *words("Sure, ", "on it."),
    sse(delta(tool_calls=[CALL])),
    sse(delta(tool_calls=[{"index": 0, "function": {"arguments": " true}"}}])),
    sse(delta("tool_calls")),
    USAGE,
    b"data: [DONE]\n\n",
)
BLOCKS = [("thinking", "Hmm."), ("text", "Sure, on it."), ("tool_use c1 light", '{"on": true}')]


@pytest.mark.parametrize("cut", [False, True])
async def test_an_openai_upstream_behind_a_door_of_another_wire(bench, cut):
    whole = stream(*SAID)
    if cut:
        whole = (whole[0], Drip(b"".join(step.data for step in whole[1:] if isinstance(step, Send)), 23))
    bench.server.script("faulty", whole)
    got = await bench.pool.send([bench.faulty], chat(stream=True, wire="events"))
    pieces = await pieces_of(got)
    assert pieces[0] == Start("chatcmpl-1", "served-model-2026", 1_700_000_000)
    assert blocks_of(pieces) == BLOCKS
    assert pieces[-2:] == [Finish("tool_calls"), Used(Usage(11, 7), {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})]  # fmt: skip
    assert (got.usage, got.finish_reason, got.error_code) == (Usage(11, 7), "tool_calls", None)
    assert got.output_characters == len("Hmm.Sure, on it.light") + len('{"on": true}')


async def test_an_anthropic_upstream_says_the_same(make_bench):
    bench = make_bench(kind="anthropic")
    said = message(thinking("Hmm."), text("Sure, on it."), tool(call_id="c1"), stop="tool_use")
    bench.server.script("faulty", stream(*events(said)))
    pieces = await pieces_of(await bench.pool.send([bench.faulty], chat(stream=True, wire="events")))
    assert blocks_of(pieces) == BLOCKS
    assert isinstance(pieces[-1], Used)
    assert pieces[-2] == Finish("tool_calls")


async def test_a_whole_reply_where_events_were_wanted(bench):
    bench.server.script("faulty", reply(200, completion("Hello")))
    pieces = await pieces_of(await bench.pool.send([bench.faulty], chat(stream=True, wire="events")))
    assert blocks_of(pieces) == [("text", "Hello")]
    assert assemble(pieces) == completion("Hello")


async def test_a_pause_is_a_ping(make_bench):
    bench = make_bench(heartbeat=0.02)
    bench.server.script("faulty", stream(ROLE, *words("a"), then=(Stall(), *stream(FINISH)[1:])))
    got = await bench.pool.send([bench.faulty], chat(stream=True, wire="events"))
    first = [await anext(got.chunks) for _ in range(3)]
    assert first[1:] == [Text("a"), Ping()]
    bench.server.gate.set()
    async with asyncio.timeout(5):
        assert [piece async for piece in got.chunks if piece != Ping()] == [Finish("stop")]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.broken], ids=str)
async def test_a_stream_that_breaks_ends_with_what_broke_it(make_bench, fault):
    bench = set_up(make_bench, fault)
    got = await bench.pool.send([bench.faulty, bench.spare], chat(stream=True, wire="events", **fault.body))
    pieces = await pieces_of(got)
    last = pieces[-1]
    assert isinstance(last, Failed)
    assert isinstance(last.error, UpstreamError)
    assert last.error.code == fault.code == got.error_code
    assert SECRET not in last.error.message
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == fault.text
    assert not any(isinstance(piece, Finish) for piece in pieces)


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.stream and f.status == 200 and not f.broken], ids=str)
async def test_a_harmless_oddity_is_none_in_events(make_bench, fault):
    bench = set_up(make_bench, fault)
    got = await bench.pool.send([bench.faulty, bench.spare], chat(stream=True, wire="events", **fault.body))
    pieces = await pieces_of(got)
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == fault.text
    assert [type(piece) for piece in pieces].count(Finish) == 1
    assert got.error_code is None


async def test_a_stream_that_falls_silent_is_a_timeout_in_events_too(make_bench):
    bench = make_bench(timeouts=replace(QUICK, idle=0.05))
    bench.server.script("faulty", stream(ROLE, *words("a"), then=(Stall(),)))
    got = await bench.pool.send([bench.faulty], chat(stream=True, wire="events"))
    last = (await pieces_of(got))[-1]
    assert isinstance(last, Failed)
    assert last.error.status == 504
