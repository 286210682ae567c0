"""A small but working control and gateway: settings that are checked and kept, figures that count, replies that stream."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from cheaprouter.core.errors import CheapRouterError, LimitError, NotFoundError, SettingError
from cheaprouter.core.events import DeviceAdded, DeviceRemoved, EventBus, RequestCompleted, SettingsChanged
from cheaprouter.core.models import Caller, Json, RequestRecord, Usage
from cheaprouter.wire.events import Failed, Finish, Piece, Start, Text, Used
from cheaprouter.wire.openai_chat.request import ChatRequest

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SETTINGS = ("profile", "model", "rpm", "tpm", "parallel", "daily_budget", "monthly_budget", "enabled")
FIGURES: Json = {
    "requests": 0, "input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "errors": 0, "limit_hits": 0,
    "cost_today": Decimal(0), "cost_month": Decimal(0), "cost_total": Decimal(0), "saved_month": Decimal(0),
    "latency_p50_ms": None, "first_token_p50_ms": None, "requests_remaining": None, "tokens_remaining": None,
    "budget_percent": None, "rate_limited": False, "last_model": None, "last_reason": None, "last_seen": None,
}  # fmt: skip


@dataclass
class Reply:
    headers: dict[str, str]
    body: bytes | None = None
    chunks: AsyncIterator[Piece] | None = None
    close: Callable[[], None] = field(default=lambda: None)


class Gateway:
    def __init__(self, home: Home) -> None:
        self.home = home
        self.asked: list[tuple[ChatRequest, Caller, str]] = []
        self.refusals: list[str] = []
        self.pieces = ["Hel", "lo"]
        self.error: CheapRouterError | None = None
        self.breaks: CheapRouterError | None = None
        self.choices = 1
        self.closed = 0

    def refused(self, error: CheapRouterError, caller: Caller, model: str, *, via: str = "http") -> str:
        self.refusals.append(error.message)
        return "req_x"

    async def chat(self, request: ChatRequest, caller: Caller, *, via: str = "http") -> Reply:
        self.asked.append((request, caller, via))
        if self.error is not None:
            raise self.error
        self.home.served(caller.device_id)
        headers = {"x-cheaprouter-model": "lab/small"}
        if request.stream:
            assert request.wire == "events"
            return Reply(headers, chunks=self._chunks(), close=self._close)
        message = {"role": "assistant", "content": "".join(self.pieces)}
        body = {"id": "c1", "object": "chat.completion", "model": "small-v1",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"total_tokens": 5}}  # fmt: skip
        return Reply(headers, body=orjson.dumps(body), close=self._close)

    def _close(self) -> None:
        self.closed += 1

    async def _chunks(self) -> AsyncIterator[Piece]:
        yield Start("c1", "small-v1")
        for piece in self.pieces:
            for choice in range(self.choices):
                yield Text(piece, choice)
        if self.breaks is not None:
            yield Failed(self.breaks)
            return
        for choice in range(self.choices):
            yield Finish("stop", choice)
        yield Used(Usage(5), {"total_tokens": 5})


class Home:
    version = "0.1.0"
    latest_version = ""
    currency = "EUR"

    def __init__(self, bus: EventBus, instance_id: str = "0123456789abcdef0123456789abcdef") -> None:
        self.bus = bus
        self.instance_id = instance_id
        self.hub: Json = {**FIGURES, "profile": "auto", "cost_quality": 5.0, "daily_budget": None,
                          "monthly_budget": None, "cloud_paused": False}  # fmt: skip
        self.devices: dict[str, Json] = {}
        self.names: dict[str, str] = {}
        self.provider_list: list[Json] = [
            {"name": "lab", "state": "available", "kind": "openai", "api_key": "sk-secret"}
        ]
        self.model_ids = ["lab/small", "lab/big"]
        self.resets: list[str | None] = []
        self.cleared = 0
        self.gateway = Gateway(self)

    # --- what happens in the house

    def add(self, device_id: str, **settings: Any) -> None:
        self.devices[device_id] = {**FIGURES, **dict.fromkeys(SETTINGS), "profile": "auto", "enabled": True} | settings
        self.bus.publish(DeviceAdded(device_id))

    def remove(self, device_id: str) -> None:
        del self.devices[device_id]
        self.bus.publish(DeviceRemoved(device_id))

    def rename(self, device_id: str, name: str) -> None:
        self.names[device_id] = name
        self.bus.publish(SettingsChanged(device_id, ("name",)))

    def served(self, device_id: str, **fields: Any) -> None:
        if device_id not in self.devices:
            self.add(device_id)
        for state in (self.hub, self.devices[device_id]):
            state["requests"] += 1
            state["last_seen"] = NOW
        self.bus.publish(RequestCompleted(record(device_id, **fields)))

    # --- control

    def hub_state(self) -> Json:
        return self.hub

    def device_state(self, device_id: str) -> Json:
        return self.devices[device_id]

    def device_ids(self) -> list[str]:
        return list(self.devices)

    def slug(self, device_id: str) -> str:
        return re.sub(r"[^a-z0-9]+", "_", device_id.lower())

    def device_for_slug(self, slug: str) -> str | None:
        return next((d for d in self.devices if self.slug(d) == slug), None)

    def device_name(self, device_id: str) -> str:
        return self.names.get(device_id, device_id)

    def options(self, setting: str, device_id: str | None) -> list[str]:
        return ["auto", "eco", "premium", "free"] if setting == "profile" else ["auto", *self.model_ids]

    def set_hub(self, name: str, value: Any, source: str = "api") -> Any:
        self._check(name, value)
        self.hub[name] = value
        self.bus.publish(SettingsChanged(None, (name,)))

    def set_device(self, device_id: str, name: str, value: Any, source: str = "api") -> Any:
        if device_id not in self.devices:
            raise NotFoundError("no such device")
        self._check(name, value)
        self.devices[device_id][name] = value
        self.bus.publish(SettingsChanged(device_id, (name,)))

    def _check(self, name: str, value: Any) -> None:
        if name in {"profile", "model"} and value is not None and value not in self.options(name, None):
            raise SettingError(f"must be one of {', '.join(self.options(name, None))}", param=name)

    def reset_budget(self, device_id: str | None) -> None:
        self.resets.append(device_id)

    def clear_cooldowns(self) -> None:
        self.cleared += 1

    def providers(self) -> list[Json]:
        return self.provider_list

    def models(self) -> list[Json]:
        return [{"id": m} for m in self.model_ids]

    def health(self) -> Json:
        return {"status": "ok"}

    def explain(self, body: Json, device_id: str) -> Json:
        if "messages" not in body:
            raise LimitError("no", retry_after=1.5, limit="requests")
        return {"model": "lab/small", "device": device_id}

    async def usage_report(self, query: Json) -> Json:
        return {"query": query, "cost": Decimal("1.5")}


def record(device_id: str, **fields: Any) -> RequestRecord:
    values: Json = {
        "id": "r1", "timestamp": NOW, "device_id": device_id, "requested_model": "blockrun/auto", "model_id": "lab/small",
        "provider": "lab", "usage": Usage(10, 101), "status": 200, "latency_ms": 2500.0, "stream": True, "first_token_ms": 500.0,
    }  # fmt: skip
    return RequestRecord(**(values | fields))
