"""Clocks that are behind, ahead, and that jump, on the running product: `faketime` turns them and leaves the monotonic clock alone."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.builders import a_body, a_provider, saying
from tests.fakes.fault_server import fault_server
from tests.fakes.process import serve

FAKETIME = next(
    (
        str(path)
        for place in ("/usr/lib", "/usr/local/lib")
        for path in Path(place).glob("**/faketime/libfaketime.so.1")
    ),
    "",
)


class House:
    """One data folder; a device `tablet` that may spend ten cents a day and a month: five answers and a bit."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.config = folder / "data", folder / "house.yaml"
        model = {"id": "small", "price": {"input": 1000, "output": 1000}, "context": 32000}
        tablet = {"daily_budget": 0.10, "monthly_budget": 0.10}
        settings = {"auth": "open", "providers": {"lab": a_provider(url, model)}, "devices": {"tablet": tablet}}
        self.config.write_text(json.dumps({**settings, "mqtt": {"enabled": False}}))

    @asynccontextmanager
    async def at(self, moment: str = "", file: Path | None = None):
        """Serve at that time."""
        fake = {"LD_PRELOAD": FAKETIME, "DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
        fake |= {"FAKETIME_TIMESTAMP_FILE": str(file)} if file else {"FAKETIME": moment}
        async with serve(self.folder, "--config", str(self.config), **(fake if moment or file else {})) as process:
            async with aiohttp.ClientSession(process.url) as session:
                yield Running(session, process.admin())


class Running:
    def __init__(self, session: aiohttp.ClientSession, admin: dict[str, str]) -> None:
        self.session, self.admin = session, admin

    async def ask(self, device: str = "tablet") -> int:
        body = a_body(model="lab/small", messages=saying("hi"), max_tokens=20)
        async with self.session.post("/v1/chat/completions", json=body, headers={"X-Device-ID": device}) as response:
            return response.status

    async def spend(self) -> None:
        """All that there is."""
        while await self.ask() == 200:
            pass

    async def get(self, path: str):
        async with self.session.get(path, headers=self.admin) as response:
            return await response.json()

    async def clock_problems(self) -> list[str]:
        return [words for words in (await self.get("/health")).get("problems", []) if "clock" in words]

    async def rows(self) -> int:
        return len([row for row in (await self.get("/v1/audit?limit=1000"))["data"] if row["status"] == 200])


@pytest.fixture
async def house(tmp_path):
    if not FAKETIME:
        pytest.fail("libfaketime is missing: script/setup installs it")
    async with fault_server() as upstream:
        yield House(tmp_path, upstream.url)


@pytest.mark.parametrize("moment", ["@1970-01-01 00:01:00", "-40d", "+40d", "@2099-12-31 23:59:00"])
async def test_a_wrong_clock_at_the_start_frees_no_budget_and_is_told(house, moment) -> None:
    async with house.at() as now:
        await now.spend()
        rows = await now.rows()
        assert await now.clock_problems() == []
    async with house.at(moment) as then:
        assert await then.ask() == 429
        assert len(await then.clock_problems()) == 1
        assert await then.rows() == rows
        assert await then.ask("guest") == 200  # who has money left is served all the same
    async with house.at() as now:
        assert await now.ask() == 429
        assert await now.clock_problems() == []
        assert await now.rows() == rows + 1


async def test_a_clock_that_jumps_while_it_runs_frees_no_budget(house, tmp_path) -> None:
    file = tmp_path / "moment"
    file.write_text("+0")
    async with house.at(file=file) as running:
        await running.spend()
        for moment in ("+40d", "-40d", "@1970-01-01 00:00:30", "@2099-01-01 00:00:00"):
            (tmp_path / "next").write_text(moment)
            (tmp_path / "next").rename(file)
            assert await running.ask() == 429
            assert await running.clock_problems()
        (tmp_path / "next").write_text("+0")
        (tmp_path / "next").rename(file)
        assert await running.ask() == 429
        assert await running.clock_problems() == []


async def test_a_clock_is_taken_at_its_word_once_somebody_says_so(house) -> None:
    async with house.at() as now:
        await now.spend()
    async with house.at("+40d") as later:
        assert await later.ask() == 429
        async with later.session.post("/router/problems/ack", headers=later.admin) as response:
            assert response.status < 300
        assert await later.clock_problems() == []
        assert await later.ask() == 200
