"""What tests of many rooms need: values with good defaults, a clock turned by hand, server-sent events, waiting.

Plain functions. Name what the test is about, and leave out the rest: `a_record(status=429)`. Whole systems have builders of
their own: a router in `tests/fakes/router.py`, an upstream in `tests/fakes/fault_server.py`, a broker in
`tests/fakes/mosquitto.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from cheaprouter.books.rows import COLUMNS, Row, make_row, microseconds
from cheaprouter.core.calendar import Clock
from cheaprouter.core.models import FREE, Capability, Model, Price, Quality, Rates, RequestRecord, Usage
from cheaprouter.core.money import charge
from cheaprouter.providers.endpoint import DIRECT, Endpoint, Link
from cheaprouter.providers.transport import WireRequest
from cheaprouter.wire.openai_chat.request import ChatRequest, parse

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
"""A Sunday, far from any change of the clocks."""

Json = dict[str, Any]


# Time


@dataclass
class HandClock:
    """Time that stands still until a test moves it. `now`: monotonic seconds; `at`: UTC; `zone`: the house's."""

    now: float = 1000.0
    at: datetime = NOON
    zone: str = "Europe/Berlin"

    def clock(self) -> Clock:
        """What the code under test is given."""
        return Clock(lambda: self.now, lambda: self.at, self.unix)

    def unix(self) -> float:
        """`at` in seconds since 1970."""
        return self.at.timestamp()

    def __call__(self) -> float:
        """For what wants only the monotonic seconds."""
        return self.now

    def later(self, seconds: float = 0.0, **span: float) -> None:
        """Both go on, by seconds or by what a timedelta takes (`days=1`)."""
        step = timedelta(seconds=seconds, **span)
        self.now += step.total_seconds()
        self.at += step

    def local(self, text: str) -> None:
        """Set the wall's clock, as read in the house: `2026-11-22T23:59`. The monotonic one does not notice."""
        self.at = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)


async def until(condition: Callable[[], Any], timeout: float = 10.0, every: float = 0.005) -> Any:
    """Let the rest go on until something holds, and return it; `condition` may be a coroutine function.

    For what happens beside the test. Where there is something to await (an event, `gateway.idle()`), await that.
    """
    async with asyncio.timeout(timeout):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(every)


# Values


def a_model(
    model_id: str = "lab/small",
    quality: float | Quality = 50,
    price: tuple[str, str] | None = ("1", "1"),
    **more: Any,
) -> Model:
    """A model that can do everything. `price`: USD per million tokens, input and output; None where it is unknown."""
    provider, _, upstream = model_id.partition("/")
    prices: tuple[Price, ...] = ()
    if price is not None:
        prices = (FREE if price == ("0", "0") else Price(Rates(Decimal(price[0]), Decimal(price[1]))),)
    given: Json = {
        "quality": quality if isinstance(quality, Quality) else Quality(quality, "configured"),
        "prices": prices,
        "capabilities": frozenset(Capability),
        "context": 128_000,
        "family": provider,
        **more,
    }
    return Model(id=model_id, provider=provider, upstream=upstream, **given)


def a_record(**changes: Any) -> RequestRecord:
    """A request that went well, as it is booked."""
    values: Json = {
        "id": "req_1",
        "timestamp": NOON,
        "device_id": "kitchen",
        "requested_model": "blockrun/auto",
        "model_id": "lab/small",
        "provider": "lab",
        "usage": Usage(100, 20, cached_tokens=10),
        "status": 200,
        "latency_ms": 12.5,
        "first_token_ms": 4.0,
        "cost": Decimal("0.001"),
        "baseline_cost": Decimal("0.003"),
        "reason": "the cheapest that fits",
    }
    return RequestRecord(**(values | changes))


def row_values(record: RequestRecord, day: int) -> tuple[Any, ...]:
    """What `Recorder.record` takes of a record: its row on a local day, without the first value."""
    found: Json = {name: getattr(record, name, None) for name in COLUMNS}
    found |= {field.name: getattr(record.usage, field.name) for field in fields(Usage)}
    found |= {"at": microseconds(record.timestamp), "day": day}
    for name in ("cost", "baseline_cost", "reported_cost"):
        found[name] = None if found[name] is None else charge(found[name])
    for name in ("estimated", "stream", "cached"):
        found[name] = int(found[name])
    return tuple(found[name] for name in COLUMNS[1:])


def to_row(seq: int, day: int, record: RequestRecord) -> Row:
    """The row of a record."""
    return make_row(seq, row_values(record, day))


def a_refusal(**changes: Any) -> RequestRecord:
    """A request that was turned away before any model was asked."""
    nothing: Json = {"model_id": None, "provider": None, "usage": Usage(), "cost": Decimal(0), "baseline_cost": None}
    refused: Json = {"status": 429, "attempts": 0, "error": "rate_limit_exceeded", "first_token_ms": None, "reason": ""}
    return a_record(**(nothing | refused | changes))


# Chats


def saying(*texts: Any) -> list[Json]:
    """Messages (texts, or lists of parts) that begin with the user, and end with them where the number is odd."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def a_body(text: str = "Say hello, please.", model: str = "mock/default", **fields: Any) -> Json:
    """A chat body as a client sends it; `messages=` instead of a text."""
    return {"model": model, "messages": saying(text), **fields}


def a_chat(text: str = "Say hello, please.", model: str = "blockrun/auto", **fields: Any) -> ChatRequest:
    """The same, as the doors hand it on."""
    return parse(a_body(text, model, **fields))


# Server-sent events


def sse(value: Any) -> bytes:
    """One server-sent event; bytes stay as they are."""
    data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return b"data: " + data + b"\n\n"


def joined(frames: Sequence[bytes]) -> list[Any]:
    """The decoded data of all events in what a client got, "[DONE]" as text; comments are left out."""
    found: list[Any] = []
    for block in b"".join(frames).split(b"\n\n"):
        if block.startswith(b"data: "):
            data = block[6:]
            found.append("[DONE]" if data == b"[DONE]" else json.loads(data))
    return found


def text_of(frames: Sequence[bytes]) -> str:
    """The text in a stream's events."""
    chunks = [chunk for chunk in joined(frames) if isinstance(chunk, dict)]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


# Settings, as in the YAML file


def a_wire_request(url: str, body: bytes | None = None, *, link: Link = DIRECT, **headers: str) -> WireRequest:
    """What goes out to an upstream: a POST where there is a body."""
    return WireRequest(Endpoint("GET" if body is None else "POST", url, headers, link), body)


def a_provider(base_url: str, *models: Json, **fields: Any) -> Json:
    """An OpenAI-compatible provider."""
    return {"kind": "openai", "base_url": base_url, "api_key": "sk-test-0123456789", "models": list(models), **fields}


def a_model_row(model_id: str = "lab/small", **fields: Any) -> Json:
    """A provider's model with a price."""
    return {
        "id": model_id,
        "price": {"input": 1, "output": 2},
        "context": 128000,
        "capabilities": ["tools", "json_schema"],
        **fields,
    }


def a_house(base_url: str, *models: Json, **settings: Any) -> Json:
    """Everything behind one provider, `lab`."""
    return {"auth": "open", "providers": {"lab": a_provider(base_url, *models)}, **settings}


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, and that the system gives to nobody meanwhile: below those that it gives away.

    Tests that run side by side (pytest-xdist) have ranges of their own, and none is given twice.
    """
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is taken")


_RANGE = 1000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 20
_FIRST, _START = 10_000 + _WORKER * _RANGE, os.getpid() % _RANGE
_PORTS = (_FIRST + (_START + n) % _RANGE for n in itertools.count())
