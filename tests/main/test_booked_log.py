"""A booked request's line is the one that `log_request` would write, whatever its device and model are called."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books.rows import COLUMNS, from_row, make_row
from cheaprouter.core import logs
from cheaprouter.core.access import log_booked
from cheaprouter.core.events import EventBus
from cheaprouter.core.logs import Redactor
from cheaprouter.main.booked_log import BookedLog

SECRET = "sk-abcdefghijklmnop"
PLAIN = {
    "id": "req_1", "at": 1_795_000_000_000_000, "day": 20261128, "device_id": "kitchen", "requested_model": "blockrun/auto",
    "model_id": "lab/small", "provider": "lab", "prompt_tokens": 11, "completion_tokens": 7, "cached_tokens": 0,
    "cache_write_tokens": 0, "reasoning_tokens": 0, "estimated": 0, "status": 200, "latency_ms": 812.345, "stream": 0,
    "first_token_ms": None, "error": None, "cost": 18_000_000_000, "cost_source": "computed", "baseline_cost": None,
    "attempts": 1, "profile": None, "reason": "", "tier": None, "score": None, "cached": 0, "via": "http", "sub_identity": "",
    "reported_cost": None,
}  # fmt: skip


async def told(log, times=1):
    """Tell it of bookings, and let what it puts off be done."""
    for _ in range(times):
        log._write(None)
    await asyncio.sleep(0)


def written(form, **values):
    """The line of the usual way, and of this one."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    given = PLAIN | values
    row = make_row(1, tuple(given.get(name, 0) for name in COLUMNS[1:]))
    redactor = Redactor()
    redactor.register([SECRET])
    try:
        logs.setup("info", form, redactor)
        handler = logs.own_handler()
        found = []
        for way in ("usual", "short"):
            handler.stream = io.StringIO()
            log = BookedLog(SimpleNamespace(newest=row), EventBus(), redactor, lambda: 1)
            log.changed()
            log_booked(from_row(row)) if way == "usual" else asyncio.run(told(log))
            found.append(handler.stream.getvalue())
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    return found


def same(form, **values):
    usual, short = written(form, **values)
    if form == "json":
        usual, short = json.loads(usual), json.loads(short)
        assert usual.pop("time")[:10] == short.pop("time")[:10]
    else:
        usual, short = re.sub(r"^[\d-]+ [\d:]+ ", "", usual), re.sub(r"^[\d-]+ [\d:]+ ", "", short)
    assert short == usual
    return short


@pytest.mark.parametrize("form", logs.FORMATS)
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"device_id": "Küche 'oben'"},
        {"device_id": "x\x1b[31m\n2026 INFO forged"},
        {"device_id": f"{SECRET}"},
        {"device_id": "lan-93.184.216.34"},
        {"model_id": None, "status": 429, "error": "rate_limit_exceeded", "cost": 0},
        {"model_id": None, "requested_model": "", "status": 400, "error": "invalid_json"},
        {"cost": None, "attempts": 3},
        {"via": "mqtt", "cost": 1},
    ],
)
def test_both_ways_write_the_same(form, values):
    assert SECRET not in str(same(form, **values))


@given(st.text(min_size=1, max_size=64), st.text(max_size=80), st.sampled_from(logs.FORMATS))
def test_both_ways_write_the_same_of_any_name(device, model, form):
    same(form, device_id=device, model_id=model or None)


def test_a_closed_stream_is_no_reason_not_to_serve():
    logs_to = io.StringIO()
    log = BookedLog(
        SimpleNamespace(newest=make_row(1, tuple(PLAIN.get(n, 0) for n in COLUMNS[1:]))),
        EventBus(),
        Redactor(),
        lambda: 1,
    )
    log._stream = logs_to
    logs_to.close()
    asyncio.run(told(log))


def test_lines_of_one_round_go_out_in_one_write_while_others_wait():
    writes = []
    row = make_row(1, tuple(PLAIN.get(n, 0) for n in COLUMNS[1:]))
    log = BookedLog(SimpleNamespace(newest=row), EventBus(), Redactor(), lambda: 2)
    log._stream = SimpleNamespace(write=writes.append, flush=lambda: None)
    asyncio.run(told(log, times=3))
    assert [each.count("\n") for each in writes] == [3]
