"""The site over real sockets. The peers that are not this machine are played by a transport's name alone (test_peers)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from cheaprouter.core.calendar import Clock
from cheaprouter.core.events import DeviceAdded, EventBus
from cheaprouter.dashboard import site as module
from cheaprouter.dashboard.site import build_site
from cheaprouter.dashboard.status import Reach
from tests.builders import HandClock, until
from tests.dashboard.home import Home

INGRESS = {"X-Ingress-Path": "/api/hassio_ingress/t0k3n"}


@dataclass
class Seen:
    home: Home
    bus: EventBus
    client: TestClient
    time: HandClock


@pytest.fixture
async def seen() -> AsyncIterator[Seen]:
    home, bus, time = Home(), EventBus(), HandClock(at=datetime(2026, 11, 23, tzinfo=UTC))
    async with TestClient(TestServer(build_site(home, bus, lambda: Reach(4000), time.clock()))) as client:
        yield Seen(home, bus, client, time)


async def text(seen: Seen, path: str, **headers: str) -> str:
    async with seen.client.get(path, headers=headers) as answer:
        assert answer.status == 200
        return await answer.text()


class Addresses(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in {"src", "href"} and tag != "base" and value]


async def test_every_address_on_the_page_is_relative(seen: Seen) -> None:
    for address in Addresses(await text(seen, "/")).found:
        assert not re.match(r"[a-z]+:|/", address)


async def test_every_file_of_the_page_is_served(seen: Seen) -> None:
    for address in Addresses(await text(seen, "/")).found:
        if not address.startswith("#"):
            await text(seen, f"/{address}")


async def test_under_ingress_the_base_is_home_assistants_path(seen: Seen) -> None:
    assert '<base href="/api/hassio_ingress/t0k3n/">' in await text(seen, "/", **INGRESS)


async def test_a_bad_ingress_path_leaves_no_trace(seen: Seen) -> None:
    assert "evil" not in await text(seen, "/", **{"X-Ingress-Path": "//evil.example"})


async def test_the_users_name_is_escaped(seen: Seen) -> None:
    page = await text(seen, "/", **{"X-Remote-User-Display-Name": '"><script>alert(1)</script>%strings%'})
    assert "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;%strings%" in page


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "nl"])
async def test_the_page_comes_in_the_readers_language(seen: Seen, language: str) -> None:
    page = await text(seen, "/", **{"Accept-Language": language})
    words = json.loads(re.search(r'<script id="strings"[^>]*>(.*?)</script>', page)[1])
    assert f'<html lang="{language}">' in page
    assert words == module.strings()[language] == json.loads(await text(seen, f"/strings/{language}.json"))


@pytest.mark.parametrize(
    "path",
    ["/strings/xx.json", "/strings/..%2Fpage.json", "/static/", "/v1/models", "/health", "/app.py", "/strings.json"],
)
async def test_nothing_else_is_there(seen: Seen, path: str) -> None:
    async with seen.client.get(path) as answer:
        assert answer.status == 404
        assert answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_else_can_be_changed(seen: Seen, method: str) -> None:
    async with seen.client.request(method, "/status.json") as answer:
        assert answer.status == 405


async def test_the_page_allows_no_foreign_and_no_inline_script(seen: Seen) -> None:
    async with seen.client.get("/") as answer:
        policy = answer.headers["Content-Security-Policy"]
        page = await answer.text()
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|<style|\sstyle=", page)


async def test_another_host_name_is_refused(seen: Seen) -> None:
    async with seen.client.get("/status.json", headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403
        assert "cost" not in await answer.text()


async def test_the_page_is_small(seen: Seen) -> None:
    sizes = [len((await text(seen, path)).encode()) for path in ("/", "/app.js", "/style.css", "/icon.svg")]
    assert sum(sizes) < 40_000


async def test_the_status_is_made_once_a_second_for_everybody(seen: Seen) -> None:
    await text(seen, "/status.json")
    await text(seen, "/status.json")
    assert seen.home.asked == 1
    seen.time.later(1)
    await text(seen, "/status.json")
    assert seen.home.asked == 2


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PUSH_SECONDS", 0.0)


async def told(socket: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads((await asyncio.wait_for(socket.receive(), 5)).data)


async def test_a_new_listener_is_told_at_once(seen: Seen, hurried: None) -> None:
    async with seen.client.ws_connect("/live") as socket:
        assert (await told(socket))["version"] == "0.1.0"


async def test_an_event_is_pushed(seen: Seen, hurried: None) -> None:
    async with seen.client.ws_connect("/live") as socket:
        await told(socket)
        seen.home.hub["requests"] = 77
        await asyncio.sleep(0.01)
        seen.bus.publish(DeviceAdded("tablet"))
        assert (await told(socket))["hub"]["requests"] == 77


async def test_a_listener_that_leaves_is_forgotten(seen: Seen, hurried: None) -> None:
    async with seen.client.ws_connect("/live") as socket:
        await told(socket)
    site = seen.client.app[module.PAGE]
    await until(lambda: not site.sockets and not seen.bus._listeners)
    assert not site.sockets
    assert not seen.bus._listeners


async def test_only_so_many_may_listen(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIVE_CLIENTS", 1)
    async with seen.client.ws_connect("/live"):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await seen.client.ws_connect("/live")


async def test_a_foreign_page_may_not_listen(seen: Seen) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await seen.client.ws_connect("/live", origin="https://evil.example")


async def test_stopping_the_site_ends_the_listeners(hurried: None) -> None:
    runner = web.AppRunner(build_site(Home(), EventBus(), lambda: Reach(4000), Clock()))
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://localhost:{port}/live") as socket:
        await told(socket)
        await asyncio.wait_for(runner.cleanup(), 5)
        assert (await asyncio.wait_for(socket.receive(), 5)).type in {
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.CLOSING,
        }


async def test_beside_the_problems_it_says_how_they_are_acknowledged(seen: Seen) -> None:
    section = re.search(r'<section id="problems".*?</section>', await text(seen, "/"), re.DOTALL)
    assert section is not None
    assert 'data-t="problems_hint"' in section[0]
    for words in module.strings().values():
        assert "/router/problems/ack" in words["problems_hint"]
        assert "Acknowledge problems" in words["problems_hint"]


async def test_what_was_lost_can_be_acknowledged_on_the_page(seen: Seen) -> None:
    assert 'id="problems-read"' in await text(seen, "/")
    async with seen.client.post("/problems/ack", headers={"X-Requested-With": "cheaprouter"}) as answer:
        assert answer.status == 204
    assert seen.home.acknowledged == 1


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Requested-With": "x"}, {"X-Requested-With": "cheaprouter", "Origin": "http://elsewhere.example"}],
)
async def test_no_page_from_elsewhere_can_acknowledge_anything(seen: Seen, headers: dict[str, str]) -> None:
    async with seen.client.post("/problems/ack", headers=headers) as answer:
        assert answer.status == 403
    assert seen.home.acknowledged == 0
