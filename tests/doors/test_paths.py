"""Addresses as clients put them together lead where they were meant to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.doors.paths import tidy
from tests.builders import a_body
from tests.doors.wire import a_post

CHAT = "/v1/chat/completions"
MEANT = {
    "/v1/chat/completions/": CHAT,
    "/v1/chat/completions//": CHAT,
    "/v1/v1/chat/completions": CHAT,
    "/v1/v1/v1/chat/completions": CHAT,
    "//v1/chat/completions": CHAT,
    "/v1//chat/completions": CHAT,
    "//v1//chat//completions/": CHAT,
    "/v1/chat/completions/chat/completions": CHAT,
    "/v1/chat/completions/v1/chat/completions": CHAT,
    "/v1/chat/completions/?a=/v1/v1/": f"{CHAT}?a=/v1/v1/",
    "/chat/completions/chat/completions": "/chat/completions",
    "/chat/completions/": "/chat/completions",
    "/v1/models/": "/v1/models",
    "/v1/v1/models": "/v1/models",
    "/v1/chat/completions/models": "/v1/models",
    "/chat/completions/models/": "/models",
    "/v1/v1/models/lab/small": "/v1/models/lab/small",
    "/v1/v1": "/v1",
    "//health/": "/health",
    "//": "/",
}
LEFT = [
    CHAT,
    "/chat/completions",
    "/v1/models/v1/v1",
    "/v1/models/hf.co/a/b:latest",
    "/v1/models/lab%2Fsmall",
    "/v1x/v1/models",
    "/router/devices/a/v1/v1",
    "/router/usage?from=2026-11-01",
    "/",
    "*",
    "http://x/v1/v1/models",
    "",
]


@pytest.mark.parametrize(("given_", "meant"), MEANT.items())
def test_what_is_put_together_wrongly_is_put_right(given_, meant):
    assert tidy(given_) == meant


@pytest.mark.parametrize("target", LEFT)
def test_what_is_right_or_none_of_ours_stays_as_it_is(target):
    assert tidy(target) == target


@given(
    st.lists(st.sampled_from(["/", "//", "v1", "/v1", "/chat/completions", "/models", "?", "x", "%2F", ".."])).map(
        "".join
    )
)
def test_tidying_ends_and_adds_nothing(target):
    once = tidy(target)
    assert tidy(once) == once
    assert len(once) <= max(1, len(target))
    assert once.startswith("/") == target.startswith("/")


@pytest.mark.parametrize("usual", [True, False])
@pytest.mark.parametrize("path", [path for path, meant in MEANT.items() if "chat" in meant])
async def test_a_chat_is_answered_wherever_it_was_sent(api, usual, path):
    body = a_body(model="lab/small")
    plain, found = await api.ask(a_post(body, usual=usual), a_post(body, usual=usual, path=path))
    assert (found.status, found.json["choices"]) == (200, plain.json["choices"])


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/v1/models", "//v1/models", "/v1/chat/completions/models"])
async def test_models_are_listed_wherever_they_are_asked_for(api, path):
    [found] = await api.ask(f"GET {path} HTTP/1.1\r\nHost: pi.lan\r\n\r\n".encode())
    assert found.status == 200
    assert "lab/small" in [model["id"] for model in found.json["data"]]


async def test_what_is_guarded_is_guarded_under_every_spelling(api):
    [found] = await api.ask(b"PATCH //router/settings/ HTTP/1.1\r\nHost: pi.lan\r\nContent-Length: 2\r\n\r\n{}")
    assert (found.status, found.code) == (403, "admin_key_required")
    [found] = await api.ask(b"GET //v1/models HTTP/1.1\r\nHost: evil.com\r\n\r\n")
    assert (found.status, found.code) == (403, "host_not_allowed")


@pytest.mark.parametrize("name", ["lab/small", "lab/small:latest"])
async def test_a_model_is_told_with_ollamas_default_tag_or_without(api, name):
    [found] = await api.ask(f"GET /v1/models/{name} HTTP/1.1\r\nHost: pi.lan\r\n\r\n".encode())
    assert (found.status, found.json["id"]) == (200, "lab/small")
