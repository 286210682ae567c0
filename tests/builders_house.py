"""A whole house built small: the real accounts, books, control, gateway and pool, over an upstream that answers as told."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import yaml

from cheaprouter.books.database import Database
from cheaprouter.config import loader
from cheaprouter.core.events import EventBus, RequestCompleted
from cheaprouter.core.logs import Redactor
from cheaprouter.core.models import Caller, Json
from cheaprouter.main.assembly import House, build_house
from tests.builders import a_chat
from tests.fakes.fault_server import FaultServer, completion, fault_server, good_stream, reply

INSTANCE = "0123456789abcdef0123456789abcdef"
SECRET = "sk-secret-abcdefghijklmnop"


def lab(url: str) -> Json:
    """A provider with a cheap and a dear model. What they cost an answer (11 + 7 tokens): 0.018 and 0.18 USD."""
    models = [
        {"id": f"lab/{name}", "upstream": name, "price": {"input": cost, "output": cost}, "context": 32000, "quality": quality}
        for name, cost, quality in (("small", 1000, 40), ("big", 10000, 90))
    ]  # fmt: skip
    return {"kind": "openai", "base_url": url, "api_key": SECRET, "models": models}


class Home:
    """A running house without its sockets and background work; everything in it is the real thing."""

    def __init__(self, house: House, upstream: FaultServer, settings: Json) -> None:
        self.house, self.upstream, self.settings = house, upstream, settings
        self.control, self.gateway = house.control, house.gateway
        self.bus: EventBus = house.bus
        self.data = house.data

    def state(self, device_id: str) -> Json:
        return self.control.device_state(device_id)

    def add(self, device_id: str, **settings: Any) -> None:
        """Know a device that has not called yet, as by its first setting."""
        self.control.set_device_many(device_id, {"enabled": True} | settings)

    def remove(self, device_id: str) -> None:
        self.control.remove_device(device_id)

    def rename(self, device_id: str, name: str) -> None:
        self.control.set_device(device_id, "name", name)

    async def serve(self, device_id: str, model: str = "blockrun/auto") -> None:
        """One whole chat of a device, through gateway and upstream into the books."""
        (await self.gateway.serve(a_chat("hi", model, max_tokens=20), Caller(device_id))).close()

    def say(self, *pieces: str, stream: bool = False) -> None:
        """What the upstream answers from now on."""
        script = good_stream(*pieces) if stream else reply(200, completion("".join(pieces)))
        for model in ("small", "big"):
            self.upstream.script(model, script)

    async def reconfigure(self, **changes: Any) -> None:
        """Other settings in the file, taken while running; a value of None takes the key out."""
        self.settings = {k: v for k, v in (self.settings | changes).items() if v is not None}
        await self.house.reload(_load(self.data, self.settings))

    @contextlib.contextmanager
    def asked(self) -> Iterator[list[tuple[Any, Caller, str]]]:
        """What the gateway is asked meanwhile, and by whom."""
        seen: list[tuple[Any, Caller, str]] = []
        chat = self.gateway.serve

        async def watched(request: Any, caller: Caller, *, via: str = "http", **more: Any) -> Any:
            seen.append((request, caller, via))
            return await chat(request, caller, via=via, **more)

        self.gateway.serve = watched  # type: ignore[method-assign]
        try:
            yield seen
        finally:
            del self.gateway.serve


def _load(data: Path, settings: Json) -> loader.Loaded:
    (data / "cheaprouter.yaml").write_text(yaml.safe_dump(settings))
    return loader.load(None, data, {})


@contextlib.asynccontextmanager
async def make_house(data: Path, *, instance: str = INSTANCE, **settings: Any) -> AsyncIterator[Home]:
    """A house with one provider, `lab`, and its state in `data`; `settings` are further ones of the YAML file."""
    data.mkdir(parents=True, exist_ok=True)
    database = Database(data / "cheaprouter.db")  # an installation with a name and without books would be a damaged one
    database.open()
    database.close_sync()
    (data / "instance_id").write_text(instance)
    async with fault_server() as upstream:
        given = {"auth": "open", "currency": "EUR", "usd_rate": 1, "providers": {"lab": lab(upstream.url)}, **settings}
        async with build_house(_load(data, given), data, Redactor()) as house:
            home = Home(house, upstream, given)
            home.say("Hel", "lo")
            yield home


def completed(device_id: str, **fields: Any) -> RequestCompleted:
    """The event of a streamed request of two seconds and 101 tokens."""
    streamed: Json = {"stream": True, "completion_tokens": 101, "first_token_ms": 500.0, "latency_ms": 2500.0}
    return RequestCompleted(device_id, **(streamed | fields))
