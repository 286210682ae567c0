"""Keys over the API: made for a while, renewed, listed with their times, taken away."""

from __future__ import annotations

import json

import pytest


async def ask(home, api, method, path, body=None):
    raw = b"" if body is None else json.dumps(body).encode()
    head = [
        f"{method} {path} HTTP/1.1",
        "Host: pi.lan",
        f"Authorization: Bearer {home.house.admin_key}",
        f"Content-Length: {len(raw)}",
    ]
    [answer] = await api.ask("\r\n".join([*head, "", ""]).encode() + raw)
    return answer.status, answer.json


async def test_a_key_is_made_for_some_days_and_renewed(home, api):
    status, made = await ask(home, api, "POST", "/router/keys", {"device": " living/room ", "days": 90})
    assert (status, made["device"]) == (201, "living/room")
    status, new = await ask(home, api, "POST", "/router/keys/living/room/rotate", {"grace_hours": 0.5})
    assert (status, new["device"]) == (201, "living/room")
    assert abs(new["expires_at"] - made["expires_at"]) < 60
    _, listed = await ask(home, api, "GET", "/router/keys")
    assert {row["expires_at"] for row in listed["data"]} == {new["old"][0]["expires_at"], new["expires_at"]}
    text = json.dumps(listed)
    assert made["key"] not in text
    assert new["key"] not in text
    assert (await ask(home, api, "DELETE", "/router/keys/living/room"))[0] == 200
    assert (await ask(home, api, "GET", "/router/keys"))[1]["data"] == []


async def test_a_rotation_needs_no_body(home, api):
    await ask(home, api, "POST", "/router/keys", {"device": "kitchen"})
    status, made = await ask(home, api, "POST", "/router/keys/kitchen/rotate")
    assert (status, made["expires_at"], len(made["old"])) == (201, None, 1)


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/router/keys", {"device": "kitchen", "days": 0}, 400, "days"),
        ("/router/keys", {"device": "kitchen", "days": 1.5}, 400, "days"),
        ("/router/keys", {"device": "kitchen", "days": True}, 400, "days"),
        ("/router/keys", {"device": "kitchen", "days": "90"}, 400, "days"),
        ("/router/keys", {"device": "\u200b"}, 400, "device"),
        ("/router/keys", {"device": "kitchen", "dayz": 90}, 400, "dayz"),
        ("/router/keys/kitchen/rotate", {"grace": 1}, 400, "grace"),
        ("/router/keys/kitchen/rotate", {"grace_hours": "1"}, 400, "grace_hours"),
        ("/router/keys/kitchen/rotate", {"grace_hours": -1}, 400, "grace_hours"),
        ("/router/keys/kitchen/rotate", {"grace_hours": 10**400}, 400, "grace_hours"),
        ("/router/keys/kitchen/rotate", {"days": 99999}, 400, "days"),
        ("/router/keys/kitchen/rotate", [], 400, None),
        ("/router/keys/nobody/rotate", {}, 404, None),
    ],
)
async def test_what_a_key_cannot_be_is_refused_by_name(home, api, path, body, status, param):
    await ask(home, api, "POST", "/router/keys", {"device": "kitchen"})
    found, said = await ask(home, api, "POST", path, body)
    assert (found, said["error"]["param"]) == (status, param)
    assert len((await ask(home, api, "GET", "/router/keys"))[1]["data"]) == 1
