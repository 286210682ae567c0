"""A word on an answer: by its own device or the admin, once, and what comes of many."""

from __future__ import annotations

import pytest

from cheaprouter import learning
from cheaprouter.routing.home import LEAST
from tests.builders import a_house, a_model_row, saying, until
from tests.fakes.fault_server import fault_server
from tests.fakes.router import router

HARD = "Prove that there are infinitely many primes, and explain each step of the proof in depth."


def models():
    return (
        a_model_row("small", quality=40, price={"input": "0.1", "output": "0.4"}),
        a_model_row("big", quality=90, price={"input": "3", "output": "15"}),
    )


@pytest.fixture
async def home(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "PAUSE", 0.01)
    async with fault_server() as server, router(tmp_path, a_house(server.url, *models())) as client:
        yield client


async def answered(client, *, device="test", text=HARD, stream=False):
    """The id of an answer."""
    body = {"model": "blockrun/auto", "messages": saying(text), "max_tokens": 50, "stream": stream}
    async with client.http.post(
        f"{client.url}/v1/chat/completions", json=body, headers={"X-Device-ID": device}
    ) as reply:
        assert reply.status == 200
        await reply.read()
        return reply.headers["x-request-id"]


async def judge(client, body, *, device="test", key=None):
    """The status and the body of an answer."""
    headers = {"X-Device-ID": device} if key is None else {"Authorization": f"Bearer {key}"}
    async with client.http.post(f"{client.url}/router/feedback", json=body, headers=headers) as reply:
        return reply.status, await reply.json()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_device_may_judge_its_own_answer_once(home, stream):
    request_id = await answered(home, stream=stream)
    assert await judge(home, {"request_id": request_id, "good": False}) == (
        200,
        {"ok": True, "counted": True, "labels": 1},
    )
    assert (await judge(home, {"request_id": request_id, "good": True}))[1]["counted"] is False


async def test_nobody_else_may_but_the_admin(home):
    request_id = await answered(home)
    status, said = await judge(home, {"request_id": request_id, "good": True}, device="other")
    assert (status, "another device's" in said["error"]["message"]) == (403, True)
    assert (await judge(home, {"request_id": request_id, "good": True}, key=home.app.house.admin_key))[1][
        "counted"
    ] is True


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"request_id": "req_none", "good": True}, 404, "request_id"),
        ({"good": True}, 400, "request_id"),
        ({"request_id": 7, "good": True}, 400, "request_id"),
        ({"request_id": "req_1"}, 400, "good"),
        ({"request_id": "req_1", "good": "yes"}, 400, "good"),
        ({"request_id": "req_1", "good": 1}, 400, "good"),
        ({"request_id": "req_1", "good": True, "why": "x"}, 400, "why"),
        ([], 400, None),
    ],
)
async def test_what_is_no_word_on_an_answer_is_refused_by_name(home, body, status, param):
    found, said = await judge(home, body)
    assert (found, said["error"]["param"]) == (status, param)


async def test_where_nobody_had_to_know_how_hard_it_was_it_teaches_nothing(tmp_path):
    async with fault_server() as server, router(tmp_path, a_house(server.url, models()[0])) as client:
        request_id = await answered(client)
        assert (await judge(client, {"request_id": request_id, "good": True}))[1]["counted"] is False


async def test_it_can_be_switched_off(tmp_path):
    async with fault_server() as server:
        settings = a_house(server.url, *models(), routing={"learn": False})
        async with router(tmp_path, settings) as client:
            request_id = await answered(client)
            assert (await judge(client, {"request_id": request_id, "good": True}))[1]["counted"] is False
            assert (await client.get("/router/learning"))["enabled"] is False


async def test_what_was_learned_is_told_kept_over_a_restart_and_forgotten_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "PAUSE", 0.01)
    async with fault_server() as server:
        settings = a_house(server.url, *models())
        async with router(tmp_path, settings) as client:
            for number in range(LEAST):
                request_id = await answered(client, device=f"d{number % 3}", text=f"{HARD} {number}")
                client.app.house.control.judge(request_id, None, good=False)
            told = await _told(client, lambda found: found["labels"] == LEAST and found["active"])
            assert told["sources"] == {"thumb": LEAST, "tools": 0, "shadow": 0}
            assert f"Learned from {LEAST} judged answers" in told["learned"][0]
        async with router(tmp_path, settings) as client:
            await _told(client, lambda found: found["labels"] == LEAST and found["active"])
            async with client.http.delete(f"{client.url}/router/learning", headers=client.admin()) as reply:
                assert await reply.json() == {"ok": True}
            told = await _told(client, lambda found: found["labels"] == 0)
            assert told["active"] is False
            await until(lambda: not client.app.house.learning._forget)
        async with router(tmp_path, settings) as client:
            assert (await _told(client, lambda found: found["labels"] == 0))["active"] is False


async def _told(client, holds):
    async def look():
        found = await client.get("/router/learning")
        return found if holds(found) else None

    return await until(look)


async def test_the_last_answer_of_a_device_can_be_judged_without_its_id(home):
    await answered(home, device="kitchen")
    await answered(home, device="bath")
    home.app.house.control.judge_last("kitchen", good=True)
    learned = await _told(home, lambda found: found["labels"] == 1)
    assert learned["sources"]["thumb"] == 1
