"""What a log line may hold: no secret, nothing that a terminal obeys, one line each."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core import logs
from cheaprouter.core.access import ACCESS, log_request, shown_device
from cheaprouter.core.logs import Redactor, visible

SECRET = "sk-abcdefghijklmnop"


@pytest.fixture
def log(monkeypatch):
    """Set logging up in a format; returns what is written."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def make(form="text", level="info"):
        out = io.StringIO()
        monkeypatch.setattr("sys.stderr", out)
        redactor = Redactor()
        redactor.register([SECRET])
        logs.setup(level, form, redactor)
        return out

    yield make
    root.handlers[:], level = before
    root.setLevel(level)


def fail(words):
    raise ValueError(words)


def test_a_request_is_one_line_for_people(log):
    out = log()
    log_request(
        "POST",
        "/v1/chat/completions",
        200,
        812.34,
        device="kids' tablet",
        model="lab/small",
        cost="0.018",
        id="req_1",
        error=None,
    )
    (line,) = out.getvalue().splitlines()
    assert line.endswith(
        """INFO cheaprouter.access: POST /v1/chat/completions 200 812ms device="kids' tablet" model=lab/small cost=0.018 id=req_1"""
    )


def test_a_request_is_one_object_for_programs(log):
    out = log("json")
    log_request("GET", "/v1/models", 401, 1.26, device=None, id="req_1")
    (line,) = out.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time")[-6:] == "+00:00"
    assert found == {"level": "info", "logger": "cheaprouter.access", "method": "GET", "path": "/v1/models", "status": 401,
                     "ms": 1.3, "id": "req_1"}  # fmt: skip


@pytest.mark.parametrize("form", logs.FORMATS)
@pytest.mark.parametrize(
    "said",
    [
        f"key {SECRET} here",
        "unregistered sk-1234567890abcdef",
        "our own cr-admin-AAAAAAAAAAAAAAAAAAAAAAAA",
        "http://user:hunter22@proxy.lan:3128/x",
        "/user:hunter22@host/v1",
        "mqtt://user:hunter22@broker",
    ],
)
def test_no_secret_is_shown_in_a_message_a_field_or_a_traceback(log, form, said):
    out = log(form)
    logging.getLogger("x").warning("%s", said)
    log_request("GET", f"/{said}", 200, 1, device=said)
    try:
        fail(said)
    except ValueError:
        logging.getLogger("x").exception("failed")
    text = out.getvalue()
    for secret in (SECRET, "1234567890abcdef", "AAAAAAAA", "hunter22"):
        assert secret not in text
    assert "***" in text


@pytest.mark.parametrize("form", logs.FORMATS)
def test_what_a_terminal_obeys_is_written_out_and_no_line_can_be_forged(log, form):
    evil = "a\x1b[2J\r\n2026-01-01 INFO forged\x9b31m\u202egnp.exe\u2028end"
    out = log(form)
    logging.getLogger("x").warning("%s", evil)
    log_request("GET", "/" + evil, 200, 1, device=evil)
    lines = out.getvalue().split("\n")
    assert len(lines) == 3
    for line in lines:
        assert line.isprintable()


def test_a_traceback_keeps_its_lines_and_nothing_else_that_moves_the_cursor(log):
    out = log()
    try:
        fail("bad \x1b[31m")
    except ValueError:
        logging.getLogger("x").exception("failed")
    text = out.getvalue()
    assert "Traceback" in text
    assert len(text.splitlines()) > 3
    assert all(line.isprintable() for line in text.split("\n"))


@given(st.text())
def test_whatever_is_said_comes_out_on_one_visible_line(said):
    found = visible(said)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in found)
    assert "\u2028" not in found


@pytest.mark.parametrize("form", logs.FORMATS)
def test_half_a_character_is_no_reason_to_lose_a_line(log, form, monkeypatch):
    out = log(form)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logging.getLogger("x").warning("half \ud800 of it")
    assert "half" in out.getvalue()


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("kitchen", "kitchen"),
        ("lan-192.168.1.7", "lan-192.168.1.7"),
        ("lan-fd00::7", "lan-fd00::7"),
        ("lan-unknown", "lan-unknown"),
        ("lan-93.184.216.34", "lan-(public)-34"),
        ("lan-2606:2800:220:1:248:1893:25c8:1946", "lan-(public)-1946"),
    ],
)
def test_an_address_that_tells_whose_home_it_is_is_not_shown(device, told):
    assert shown_device(device) == told


def test_the_format_and_the_level_can_change_while_it_runs(log):
    out = log()
    logs.change("warning", "json")
    assert not ACCESS.isEnabledFor(logging.INFO)
    logging.getLogger("x").warning("now")
    assert json.loads(out.getvalue())["message"] == "now"
