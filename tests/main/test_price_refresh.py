"""The daily look at prices, against a real server on this machine."""

from __future__ import annotations

import asyncio
import json

import pytest

from cheaprouter.catalog.catalog import shipped
from cheaprouter.catalog.refreshed import FILE, kept
from cheaprouter.main import price_refresh
from cheaprouter.main.price_refresh import AGAIN, EVERY, LARGEST, PriceRefresh
from tests.builders import HandClock, until
from tests.fakes.fault_server import Reset, Send, fault_server, head, reply
from tests.fakes.router import router


def published(rate: float) -> list[dict]:
    """A price for one model of the catalogue, as genai-prices publishes them."""
    prices = {"input_mtok": rate, "output_mtok": rate}
    return [{"id": "openai", "models": [{"id": NAME, "match": {"equals": NAME}, "prices": prices}]}]


NAME, ENTRY = next((name, e) for name, e in shipped()["models"]["openai"].items() if "on_request" not in e)
NEW = float(ENTRY["prices"][-1]["input"]) * 2


class Home:
    """A refresh and what it does."""

    def __init__(self, folder, url: str) -> None:
        self.clock = HandClock()
        self.wanted = True
        self.applied = 0
        self.refresh = PriceRefresh(folder, lambda: self.wanted, self.apply, self.clock.unix, url)

    def apply(self) -> None:
        self.applied += 1


@pytest.fixture
async def server():
    async with fault_server() as fault:
        fault.listing = published(NEW)
        yield fault


@pytest.fixture
def home(server, tmp_path) -> Home:
    return Home(tmp_path, server.url + "/data.json")


async def test_new_prices_are_kept_and_applied(home, tmp_path):
    assert await home.refresh.look()
    assert home.applied == 1
    assert list(kept(tmp_path)["models"]["openai"]) == [NAME]


async def test_it_is_due_at_once_and_then_a_day_later(home):
    assert home.refresh.due() == 0
    await home.refresh.look()
    assert home.refresh.due() == EVERY
    home.clock.later(hours=23)
    assert home.refresh.due() == 3600
    home.clock.later(hours=1)
    assert home.refresh.due() == 0


async def test_a_clock_that_was_put_back_does_not_stop_it(home):
    await home.refresh.look()
    home.clock.later(days=-30)
    assert home.refresh.due() == 0


BAD = {
    "an error": reply(500, b"oops"),
    "a redirect": reply(307, b"", Location="http://127.0.0.1:1/"),
    "no JSON": reply(200, b"<html>"),
    "another list": reply(200, [{"id": "nobody", "models": []}]),
    "an end in the middle": (Send(head(Content_Length="1000") + b"[{"), Reset()),
    "too much": (Send(head(Content_Length=str(LARGEST + 1)) + b" " * (LARGEST + 1)),),
}


@pytest.mark.parametrize("what", BAD)
async def test_whatever_comes_instead_the_last_good_prices_stay(home, server, tmp_path, what, caplog):
    await home.refresh.look()
    before = (tmp_path / FILE).read_bytes()
    server.listing = BAD[what]
    home.clock.later(days=2)
    assert not await home.refresh.look()
    assert not await home.refresh.look()
    assert (tmp_path / FILE).read_bytes() == before
    assert home.applied == 1
    assert home.refresh.due() == AGAIN
    assert sum("could not be refreshed" in record.getMessage() for record in caplog.records) == 1


async def test_a_folder_that_cannot_be_written_to_is_told(server, tmp_path, caplog):
    home = Home(tmp_path / "missing", server.url + "/data.json")
    assert not await home.refresh.look()
    assert "could not be refreshed" in caplog.text


async def test_nothing_is_asked_until_it_is_wanted(home, server):
    home.wanted = False
    task = asyncio.create_task(home.refresh.run())
    try:
        for _ in range(20):
            await asyncio.sleep(0)
        assert server.requests == []
        home.wanted = True
        home.refresh.changed()
        await until(lambda: home.applied)
        assert len(server.requests) == 1
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_no_key_and_nothing_of_the_house_is_told(home, server):
    await home.refresh.look()
    (asked,) = server.requests
    assert asked.headers.keys() <= {"host", "accept", "user-agent", "accept-encoding"}
    assert asked.body == b""


async def test_in_a_running_router_new_prices_hold_without_a_restart(server, tmp_path, monkeypatch):
    monkeypatch.setattr(price_refresh, "URL", server.url + "/data.json")
    settings = {
        "auth": "open",
        "prices": {"refresh": True},
        "providers": {"openai": {"api_key": "k", "models": [NAME]}},
    }
    async with router(tmp_path, settings) as client:
        house = client.app.house

        def rate() -> float:
            return float(house.gateway.world.table.get(f"openai/{NAME}").prices[-1].rates.input)

        await until(lambda: rate() == NEW)
        assert house.task_states()["prices"] == "running"


async def test_without_the_setting_nothing_is_asked_and_what_was_kept_does_not_hold(server, tmp_path, monkeypatch):
    monkeypatch.setattr(price_refresh, "URL", server.url + "/data.json")
    (tmp_path / FILE).write_text(
        json.dumps({"read": 1, "source": "x", "models": {"openai": {NAME: [{"input": "9", "output": "9"}]}}})
    )
    async with router(
        tmp_path, {"auth": "open", "providers": {"openai": {"api_key": "k", "models": [NAME]}}}
    ) as client:
        table = client.app.house.gateway.world.table
        assert table.get(f"openai/{NAME}").prices[-1].rates.input != 9
        assert server.requests == []
