"""Every fault of the catalogue: what the pool's caller gets, and what was tried for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cheaprouter.core.errors import UpstreamError
from cheaprouter.upstream.outcome import StreamReply, UpstreamFailed, WholeReply
from tests.builders import joined, text_of
from tests.fakes.faults import FAULTS, SECRET, Fault
from tests.upstream.conftest import Bench, chat, read

HARD = [fault for fault in FAULTS if fault.status != 200]
SOFT = [fault for fault in FAULTS if fault.status == 200 and not fault.broken]
BROKEN = [fault for fault in FAULTS if fault.broken]


def set_up(make_bench: Any, fault: Fault) -> Bench:
    bench: Bench = make_bench(url=fault.url(make_bench().server), timeouts=fault.timeouts)
    bench.server.script("faulty", *fault.scripts)
    return bench


@pytest.mark.parametrize("fault", HARD, ids=str)
async def test_a_sole_model_that_fails_gives_a_true_status(make_bench, fault):
    bench = set_up(make_bench, fault)
    with pytest.raises(UpstreamFailed) as caught:
        await bench.pool.send([bench.faulty], chat(stream=fault.stream, **fault.body))
    error = caught.value.error
    assert isinstance(error, UpstreamError)
    assert (error.status, error.code) == (fault.status, fault.code)
    assert error.headers.get("retry-after") == (None if fault.retry_after is None else str(fault.retry_after))
    assert tuple(a.outcome for a in caught.value.attempts) == fault.outcomes
    assert len(bench.server.asked("faulty")) == fault.tries
    assert SECRET not in error.message
    assert not any(SECRET in attempt.message for attempt in caught.value.attempts)


@pytest.mark.parametrize("fault", [f for f in HARD if f.spare], ids=str)
async def test_a_spare_model_answers_instead(make_bench, fault):
    bench = set_up(make_bench, fault)
    spare = bench.model("spare", "other", context=1_000_000)
    reply = await bench.pool.send([bench.model(context=8192), spare], chat(stream=fault.stream, **fault.body))
    await read(reply)
    assert reply.model is spare
    assert tuple(a.outcome for a in reply.attempts) == (*fault.outcomes, "ok")


@pytest.mark.parametrize("fault", [f for f in HARD if not f.spare], ids=str)
async def test_what_is_the_models_last_word_is_not_asked_of_another(make_bench, fault):
    bench = set_up(make_bench, fault)
    with pytest.raises(UpstreamFailed):
        await bench.pool.send([bench.faulty, bench.spare], chat(stream=fault.stream, **fault.body))
    assert not bench.server.asked("spare")


@pytest.mark.parametrize("pour", [False, True], ids=["asked", "poured"])
@pytest.mark.parametrize("fault", SOFT, ids=str)
async def test_a_harmless_oddity_is_an_answer(make_bench, fault, pour):
    bench = set_up(make_bench, fault)
    reply = await bench.pool.send([bench.faulty, bench.spare], chat(stream=fault.stream, **fault.body))
    got = await read(reply, pour=pour)
    assert reply.model.id == "lab/faulty"
    assert tuple(a.outcome for a in reply.attempts) == fault.outcomes
    assert len(bench.server.asked("faulty")) == fault.tries
    if isinstance(reply, WholeReply):
        assert json.loads(got[0])["choices"][0]["message"]["content"] == fault.text
    else:
        assert text_of(got) == fault.text
        assert joined(got)[-1] == "[DONE]"
        assert joined(got).count("[DONE]") == 1
        assert reply.error_code is None


@pytest.mark.parametrize("pour", [False, True], ids=["asked", "poured"])
@pytest.mark.parametrize("fault", BROKEN, ids=str)
async def test_a_stream_that_breaks_ends_with_an_error_event(make_bench, fault, pour):
    bench = set_up(make_bench, fault)
    reply = await bench.pool.send([bench.faulty, bench.spare], chat(stream=True, **fault.body))
    got = await read(reply, pour=pour)
    assert isinstance(reply, StreamReply)
    assert text_of(got) == fault.text
    last = joined(got)[-1]
    assert last["error"]["code"] == fault.code == reply.error_code
    assert "[DONE]" not in joined(got)
    assert not any(c.get("finish_reason") for chunk in joined(got)[:-1] for c in chunk["choices"])
    assert SECRET not in b"".join(got).decode()
    assert not bench.server.asked("spare")
