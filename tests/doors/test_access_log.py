"""One line for each request, whatever road it takes and however it ends; never what was asked, nor a key."""

from __future__ import annotations

import logging

import pytest

from cheaprouter.core.access import ACCESS
from tests.builders import a_body
from tests.builders_house import make_house
from tests.doors.wire import a_post, lines

SMALL = a_body("Do not tell anyone about the diamonds", model="lab/small")


@pytest.fixture
def said(caplog):
    """The access lines, as fields."""
    caplog.set_level(logging.INFO, ACCESS.name)
    return lambda: [record.fields for record in caplog.records if record.name == ACCESS.name]


@pytest.mark.parametrize("usual", [True, False])
async def test_a_chat_has_a_line_with_all_its_figures(tmp_path, said, usual):
    async with make_house(tmp_path) as home, lines(home.control) as api:
        [answer] = await api.ask(a_post(SMALL, usual=usual))
    [line] = said()
    assert line.pop("ms") >= 0
    assert line == {
        "method": "POST", "path": "/v1/chat/completions", "status": 200, "device": "kitchen", "model": "lab/small",
        "input_tokens": 11, "output_tokens": 7, "cost": "0.018", "id": answer.header("x-request-id"),
    }  # fmt: skip


@pytest.mark.parametrize("usual", [True, False])
@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (b"{", {}, 400, "invalid_json"),
        (SMALL, {"Authorization": "Bearer cr-wrong-key-that-nobody-knows"}, 401, "invalid_api_key"),
        (a_body(model="lab/nothing"), {}, 404, "model_not_found"),
        (SMALL, {"X-Device-ID": "off"}, 429, "device_disabled"),
    ],
)
async def test_a_refused_chat_has_one_too(tmp_path, said, body, headers, status, error, usual):
    settings = {"devices": {"off": {"enabled": False}}}
    async with make_house(tmp_path, **settings) as home, lines(home.control) as api:
        await api.ask(a_post(body, headers, usual=usual))
    [line] = said()
    assert line["status"] == status
    assert line.get("error") == (None if status == 401 else error)  # of whom nobody is known, nothing is booked
    assert "nobody-knows" not in str(line)


async def test_what_is_not_booked_has_a_line_without_its_query(home, api, said):
    [answer] = await api.ask(
        b"GET /v1/audit?limit=5&api_key=hunter22 HTTP/1.1\r\nHost: pi.lan\r\nX-Device-ID: den\r\n\r\n"
    )
    [line] = said()
    assert line.pop("ms") >= 0
    assert line == {
        "method": "GET",
        "path": "/v1/audit",
        "status": 200,
        "device": "den",
        "id": answer.header("x-request-id"),
    }


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /v1/models HTTP/1.1\r\nHost: evil.com\r\n\r\n", 403),
        (b"GET /nothing HTTP/1.1\r\nHost: pi.lan\r\n\r\n", 404),
        (b"PATCH /router/settings HTTP/1.1\r\nHost: pi.lan\r\nContent-Length: 2\r\n\r\n{}", 403),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: evil.com\r\nContent-Length: 2\r\n\r\n{}", 403),
    ],
)
async def test_what_never_came_in_has_a_line(api, said, request_, status):
    await api.ask(request_)
    assert [line["status"] for line in said()] == [status]


async def test_machines_that_watch_us_are_told_of_only_at_debug(api, said, caplog):
    watch = b"GET /health HTTP/1.1\r\nHost: pi.lan\r\n\r\n"
    await api.ask(watch)
    assert said() == []
    caplog.set_level(logging.DEBUG, ACCESS.name)
    await api.ask(watch)
    assert [line["path"] for line in said()] == ["/health"]


async def test_nothing_that_was_asked_or_answered_is_in_the_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with make_house(tmp_path) as home, lines(home.control) as api:
        home.say("They are in the cellar")
        for usual in (True, False):
            await api.ask(a_post(SMALL, usual=usual))
    text = "\n".join(record.getMessage() + str(getattr(record, "fields", "")) for record in caplog.records)
    assert "diamonds" not in text
    assert "cellar" not in text


async def test_the_level_decides_while_the_router_runs(tmp_path, caplog):
    async with make_house(tmp_path, log_level="warning") as home, lines(home.control) as api:
        await home.reconfigure(log_level="info")
        await api.ask(a_post(SMALL))
        await home.reconfigure(log_level="warning")
        await api.ask(a_post(SMALL))
    assert [record.name for record in caplog.records].count(ACCESS.name) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_the_requests_id_goes_along_to_the_upstream(tmp_path, stream):
    async with make_house(tmp_path) as home, lines(home.control) as api:
        home.say("Hello", stream=True)
        [answer] = await api.ask(a_post({**SMALL, "stream": stream}))
        [sent] = home.upstream.requests
    assert sent.headers["x-request-id"] == answer.header("x-request-id")


async def test_a_users_own_header_of_that_name_wins(tmp_path):
    async with make_house(tmp_path) as home, lines(home.control) as api:
        lab = home.settings["providers"]["lab"] | {"headers": {"X-Request-ID": "mine"}}
        await home.reconfigure(providers={"lab": lab})
        await api.ask(a_post(SMALL))
        [sent] = home.upstream.requests
    assert sent.headers["x-request-id"] == "mine"
