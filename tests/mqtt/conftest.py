from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cheaprouter.config.settings import MqttSettings
from cheaprouter.core.calendar import Clock
from cheaprouter.mqtt.bridge import Bridge
from cheaprouter.mqtt.pacing import Backoff
from tests.builders_house import Home, make_house
from tests.fakes.mosquitto import Mosquitto, mosquitto


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with make_house(tmp_path / "house") as made:
        yield made


class Running:
    """A bridge with its task, its settings and its time."""

    def __init__(self, bridge: Bridge, home: Home, task: asyncio.Task[None]) -> None:
        self.bridge, self.home, self.task = bridge, home, task


@pytest.fixture
def run(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr("cheaprouter.mqtt.publisher.LEAVE_SECONDS", 0.05)

    @contextlib.asynccontextmanager
    async def start(broker: Mosquitto | int, home: Home = home, **options: Any) -> AsyncIterator[Running]:
        port = broker if isinstance(broker, int) else broker.port
        fields = {"host": "127.0.0.1", "port": port, "interval": 0.05} | options.pop("mqtt", {})
        parts = {"data_dir": tmp_path, "backoff": Backoff(0.01, 0.05), "timeout": 2.0} | options
        settings = MqttSettings(**fields)
        bridge = Bridge(settings, home.control, home.gateway, home.bus, Clock(), **parts)
        task = asyncio.create_task(bridge.run())
        try:
            yield Running(bridge, home, task)
        finally:
            await bridge.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return start
