"""A failure in any background task: it is told, it is mended, and nobody else notices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from cheaprouter.core.tasks import Tasks
from cheaprouter.main import app as main
from tests.builders import saying, until
from tests.fakes.router import Client, router

HELLO = saying("Hello")
SETTINGS = {"auth": "open"}


class Sabotage(Tasks):
    """Supervised work into which a test throws. It waits as long as the test wants."""

    def __init__(self) -> None:
        super().__init__(sleep=self._wait)
        self.go = asyncio.Event()
        self.starts: dict[str, int] = {}
        self._bombs: dict[str, asyncio.Future[None]] = {}

    async def _wait(self, _seconds: float) -> None:
        await self.go.wait()

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        async def armed() -> None:
            self.starts[name] = self.starts.get(name, 0) + 1
            bomb = self._bombs[name] = asyncio.get_running_loop().create_future()
            work = asyncio.ensure_future(run())
            try:
                await asyncio.wait([bomb, work], return_when=asyncio.FIRST_COMPLETED)
                (bomb if bomb.done() else work).result()
            finally:
                work.cancel()
                await asyncio.wait([work])

        super().start(name, armed)

    def throw(self, name: str, error: BaseException) -> None:
        self._bombs[name].set_exception(error)


@pytest.fixture
async def supervisor(monkeypatch):
    """Home Assistant's Supervisor, which has nothing to tell: so that the app's own tasks run, too."""

    async def nothing(_request: web.Request) -> web.Response:
        return web.json_response({}, status=400)

    fake = web.Application()
    fake.router.add_get("/{path:.*}", nothing)
    runner = web.AppRunner(fake)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr("cheaprouter.home_assistant.supervisor.BASE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield
    await runner.cleanup()


@pytest.fixture
async def sabotaged(tmp_path: Path, supervisor, monkeypatch):
    tasks, serving = Sabotage(), main.serving
    monkeypatch.setattr("tests.fakes.router.serving", lambda options: serving(options, tasks))
    async with router(tmp_path, SETTINGS, ingress_port=0, supervisor_token="t0ken") as client:
        yield client, tasks


async def answers(client: Client) -> bool:
    reply = await client.sdk.chat.completions.create(model="mock/default", messages=HELLO)
    return bool(reply.choices[0].message.content)


async def test_every_task_may_fail_and_is_started_again(sabotaged, caplog):
    client, tasks = sabotaged
    caplog.set_level(logging.ERROR)
    names = (await client.get("/health"))["tasks"]
    assert {"mqtt", "config-watcher", "discovery", "bookings", "journal-sync", "database-tidy", "about"} <= set(names)
    await until(lambda: len(tasks.starts) == len(names))
    for name in names:
        tasks.go.clear()
        tasks.throw(name, OverflowError(f"thrown into {name}"))
        await until(lambda name=name: tasks.states()[name] == "restarting")
        health = await client.get("/health")
        assert health["tasks"] == dict.fromkeys(names, "running") | {name: "restarting"}
        assert health["status"] == "degraded"
        assert await answers(client), name
        tasks.go.set()
        await until(lambda name=name: tasks.starts[name] == 2)
        assert await client.get("/health") | {"mqtt": ""} == health | {
            "mqtt": "",
            "status": "ok",
            "tasks": dict.fromkeys(names, "running"),
        }
    assert sum(f"the task {name} failed" in caplog.text for name in names) == len(names)


async def test_all_of_them_at_once(sabotaged):
    client, tasks = sabotaged
    names = tasks.states()
    await until(lambda: len(tasks.starts) == len(names))
    for name in names:
        tasks.throw(name, RuntimeError())
    await until(lambda: set(tasks.states().values()) == {"restarting"})
    assert await answers(client)
    tasks.go.set()
    await until(lambda: set(tasks.starts.values()) == {2})
    assert await answers(client)
    assert (await client.get("/health"))["status"] == "ok"


@pytest.mark.parametrize(
    "settings",
    [{"mqtt": {"host": "core..mosquitto"}}, {"storage": {"retention_days": 999_999_999}}],
    ids=lambda s: next(iter(s)),
)
async def test_settings_that_some_task_cannot_stand_stop_nothing(tmp_path, settings):
    async with router(tmp_path, SETTINGS):
        pass  # these are the last good ones
    async with router(tmp_path, SETTINGS | settings) as client:
        for _ in range(3):
            assert await answers(client)
        await client.app.house.recorder.flush()
        assert "stopped" not in (await client.get("/health"))["tasks"].values()


async def test_bookings_that_waited_for_a_failed_task_are_written(sabotaged):
    client, tasks = sabotaged
    await until(lambda: len(tasks.starts) == len(tasks.states()))
    tasks.throw("bookings", OverflowError())
    await until(lambda: tasks.states()["bookings"] == "restarting")
    assert await answers(client)
    tasks.go.set()
    await until(lambda: not client.app.house.recorder._waiting)


async def test_a_raising_listener_changes_no_reply_and_blocks_no_drain(tmp_path):
    def raising(_event):
        raise ZeroDivisionError

    async with router(tmp_path, SETTINGS) as client:
        client.app.house.bus.on(raising)
        assert await answers(client)
        async with asyncio.timeout(5):
            await client.app.drain()
        assert client.app.house.gateway.running == 0
