from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cheaprouter.config.kinds import Timeouts
from cheaprouter.config.settings import ProviderSettings, RoutingSettings, Settings
from cheaprouter.core.events import Event, EventBus
from cheaprouter.core.models import Model, Usage
from cheaprouter.upstream.direct import DirectTransport
from cheaprouter.upstream.outcome import StreamReply, WholeReply
from cheaprouter.upstream.plan import Upstreams
from cheaprouter.upstream.pool import Pool
from cheaprouter.wire.openai_chat.request import ChatRequest, parse
from cheaprouter.world import make_upstreams
from tests.builders import HandClock, a_body
from tests.fakes.fault_server import FaultServer, fault_server
from tests.fakes.faults import SECRET


class Bound:
    """A pool with the providers that its requests go to."""

    def __init__(self, pool: Pool, upstreams: Upstreams) -> None:
        self.pool = pool
        self.upstreams = upstreams
        self.pause, self.clear_cooldowns, self.close = pool.pause, pool.clear_cooldowns, pool.close

    async def send(self, chain: list[Model], request: ChatRequest, **more: Any) -> WholeReply | StreamReply:
        first, *rest = chain
        return await self.pool.send(self.upstreams, first, lambda: rest, request, **more)

    def healthy(self, model: Model) -> bool:
        return not self.pool.down(self.upstreams, [model])

    def latency(self, model: Model) -> float | None:
        return self.pool.latency.get(model.id)

    def status(self) -> list[Any]:
        return self.pool.status(self.upstreams)

    async def check(self, name: str) -> Any:
        return await self.pool.check(self.upstreams.adapters[name])

    async def discover(self) -> Any:
        return await self.pool.discover(self.upstreams)

    def change(self, adapters: dict[str, Any]) -> None:
        """Other providers are in force."""
        before, self.upstreams = self.upstreams, replace(self.upstreams, adapters=adapters)
        self.pool.changed(before, self.upstreams)


@dataclass
class Bench:
    """A pool over a fault server: provider `lab` with the model `faulty`, provider `other` with `spare`."""

    server: FaultServer
    pool: Bound
    time: HandClock
    events: list[Event] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def model(self, name: str = "faulty", provider: str = "lab", **more: Any) -> Model:
        return Model(f"{provider}/{name}", provider, name, **more)

    @property
    def faulty(self) -> Model:
        return self.model()

    @property
    def spare(self) -> Model:
        return self.model("spare", "other")


def chat(*, stream: bool = False, wire: str = "openai_chat", **body: Any) -> ChatRequest:
    return parse(a_body("hi", "lab/faulty", stream=stream, **body), wire=wire)


class Bill:
    """A tab: which models were asked, what tries cost that were no answers, and the one that was left."""

    def __init__(self, refuse: Any = None) -> None:
        self.begun: list[str] = []
        self.items: list[tuple[str, Usage]] = []
        self.left: Any = None
        self._refuse = refuse

    def top_up(self, model: Model, rate: int, wait: float) -> None:
        if self._refuse is not None:
            self._refuse(model)
        self.begun.append(model.id)

    def go_on(self, model: Model, rate: int, used: Usage | None) -> None:
        self.begun.append(f"{model.id} after {used and used.total_tokens}")

    def tried(self, model: Model, usage: Usage) -> None:
        self.items.append((model.id, usage))

    def leave(self, left: Any) -> None:
        self.left = left


class Bucket:
    """An output that keeps what is poured into it, and is behind while a test says so."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.paused = self.gone = False
        self.on_resume: Any = None
        self._caught_up = asyncio.Event()

    def write(self, piece: bytes) -> None:
        if self.gone:
            raise ConnectionResetError
        self.pieces.append(piece)

    async def drained(self) -> None:
        self._caught_up.clear()
        await self._caught_up.wait()

    def empty(self) -> None:
        """The client has caught up."""
        self.paused = False
        self._caught_up.set()
        if self.on_resume is not None:
            self.on_resume()


async def poured(reply: StreamReply) -> list[bytes]:
    bucket = Bucket()
    await reply.pour(bucket)
    return bucket.pieces


async def read(reply: WholeReply | StreamReply, *, pour: bool = False) -> list[bytes]:
    if isinstance(reply, WholeReply):
        return [reply.body]
    if pour:
        return await poured(reply)
    pieces = [piece async for piece in reply.chunks]
    assert all(isinstance(piece, bytes) for piece in pieces)
    return pieces  # type: ignore[return-value]


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with fault_server() as running:
        yield running


@pytest.fixture
async def make_bench(server: FaultServer) -> AsyncIterator[Any]:
    made: list[Pool] = []

    def make(
        *,
        url: str = "",
        kind: str = "openai",
        keys: tuple[str, ...] = (SECRET,),
        timeouts: Timeouts | None = None,
        heartbeat: float = 15.0,
        real_sleep: bool = False,
        **routing: Any,
    ) -> Bench:
        providers = (
            ProviderSettings("lab", kind, url or server.url, keys, timeouts=timeouts),
            ProviderSettings("other", "openai", server.url, ("sk-other-0123456789",)),
        )
        settings = Settings(providers=providers, routing=RoutingSettings(**routing))
        time, bus = HandClock(at=datetime.now(UTC)), EventBus()  # the faults name dates from now
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await asyncio.sleep(0)

        pool = Pool(
            DirectTransport(),
            None,
            bus,
            time.clock(),
            sleep=asyncio.sleep if real_sleep else sleep,
            jitter=lambda: 0.5,
            heartbeat=heartbeat,
        )
        made.append(pool)
        bench = Bench(server, Bound(pool, make_upstreams(settings)), time, slept=slept)
        bus.on(bench.events.append)
        return bench

    yield make
    for pool in made:
        await pool.close()


@pytest.fixture
def bench(make_bench: Any) -> Bench:
    return make_bench()
