"""What real clients send is what counts as usual, over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.request

import pytest

from cheaprouter.doors.chat import ChatDoor
from tests.builders import a_body, saying
from tests.fakes.router import router

MOCK = a_body("[[say=here]]", model="mock/default")
PATH = "/v1/chat/completions"


@pytest.fixture
def short(monkeypatch):
    """The paths of all requests that went past aiohttp's objects."""
    found = []
    serve = ChatDoor.serve

    async def counted(self, client, head, body):
        found.append(head.path)
        await serve(self, client, head, body)

    monkeypatch.setattr(ChatDoor, "serve", counted)
    return found


async def test_the_sdk_takes_the_short_road_whole_and_streamed(tmp_path, short):
    async with router(tmp_path) as client:
        whole = await client.sdk.chat.completions.create(**MOCK)
        stream = await client.sdk.chat.completions.create(**MOCK, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert (whole.choices[0].message.content, text) == ("here", "here")
    assert short == [PATH, PATH]


async def test_the_sdk_goes_on_with_it_after_it_has_asked_for_models(tmp_path, short):
    async with router(tmp_path) as client:
        for _ in range(2):
            assert (await client.sdk.models.list()).data
            assert (await client.sdk.chat.completions.create(**MOCK)).choices
    assert short == [PATH, PATH]


async def test_aiohttps_client_takes_it(tmp_path, short):
    async with router(tmp_path) as client, client.http.post(client.url + PATH, json=MOCK) as reply:
        assert (await reply.json())["choices"]
    assert short == [PATH]


async def test_pythons_own_client_takes_it(tmp_path, short):
    def ask(port: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        statuses = []
        for body in (MOCK, {}):
            connection.request("POST", PATH, json.dumps(body), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            reply.read()
            statuses.append(reply.status)
        connection.close()
        return statuses

    async with router(tmp_path) as client:
        assert await asyncio.to_thread(ask, client.app.lan.port) == [200, 400]
    assert short == [PATH, PATH]


async def test_a_client_that_closes_after_each_request_is_served_by_aiohttp(tmp_path, short):
    def ask(url: str) -> int:
        request = urllib.request.Request(url, json.dumps(MOCK).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status

    async with router(tmp_path) as client:
        assert await asyncio.to_thread(ask, client.url + PATH) == 200
    assert short == []


async def test_a_reader_that_is_slower_than_its_stream_gets_all_of_it(tmp_path, short):
    async with router(tmp_path) as client:
        body = {**a_body(messages=saying("[[n=20000 b=500]]"), model="mock/default"), "stream": True}
        async with client.http.post(client.url + PATH, json=body) as reply:
            await asyncio.sleep(0.1)  # the sockets between fill meanwhile
            text = await reply.text()
    assert text.count("data: ") > 20_000
    assert text.endswith("data: [DONE]\n\n")
    assert short == [PATH]
