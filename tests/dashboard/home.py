"""A home as the page would see it: the facade's answers, without anything behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat()


PROVIDERS = [
    {
        "name": "openrouter", "kind": "openrouter", "base_url": "https://openrouter.ai/api/v1", "local": False, "state": "available",
        "keys": 1, "cooldowns": [], "learned": {}, "first_token_ms": {"openrouter/a": 420.0, "openrouter/b": 610.5, "openrouter/c": 380.0},
    },
    {
        "name": "groq", "kind": "groq", "base_url": "https://api.groq.com/openai/v1", "local": False, "state": "down", "keys": 1,
        "cooldowns": [{"key": 1, "model": None, "state": "cooling_down", "reason": "rate_limit_exceeded", "message": "groq: 429 Rate limit reached for model", "seconds": 42.0}],
        "learned": {}, "first_token_ms": {},
    },
    {
        "name": "ollama", "kind": "ollama", "base_url": "http://192.168.1.20:11434/v1", "local": True, "state": "available",
        "keys": 0, "cooldowns": [], "learned": {}, "first_token_ms": {"ollama/qwen3": 900.0},
    },
]  # fmt: skip

MODELS = [
    {"id": "openrouter/google/gemini-2.5-flash-lite", "provider": "openrouter", "local": False, "input": 0.1, "output": 0.4, "context": 1048576, "quality": 46, "quality_source": "estimated", "capabilities": ["tools", "vision"]},
    {"id": "openrouter/anthropic/claude-sonnet-4.5", "provider": "openrouter", "local": False, "input": 3, "output": 15, "context": 200000, "quality": 80, "quality_source": "x", "capabilities": ["tools", "vision", "reasoning"]},
    {"id": "groq/llama-3.3-70b", "provider": "groq", "local": False, "input": 0.59, "output": 0.79, "context": 131072, "quality": 52, "quality_source": "x", "capabilities": ["tools"]},
    {"id": "ollama/qwen3:8b", "provider": "ollama", "local": True, "input": 0, "output": 0, "context": 32768, "quality": 30, "quality_source": "estimated", "capabilities": ["tools"]},
    {"id": "lab/unknown", "provider": "lab", "local": False, "input": None, "output": None, "context": None, "quality": None, "quality_source": "unknown", "capabilities": []},
]  # fmt: skip

RECENT = [
    {"id": "1", "timestamp": ago(seconds=8), "device_id": "home-assistant", "model": "blockrun/auto", "routed_model": "openrouter/google/gemini-2.5-flash-lite", "prompt_tokens": 2310, "completion_tokens": 41, "total_tokens": 2351, "latency_ms": 812.0, "cost_usd": 0.00025, "status": 200, "error": None, "reason": "auto: simple (0.08), the cheapest of 4 that can call tools"},
    {"id": "2", "timestamp": ago(minutes=2), "device_id": "kitchen-tablet", "model": "blockrun/free", "routed_model": "ollama/qwen3:8b", "prompt_tokens": 120, "completion_tokens": 300, "total_tokens": 420, "latency_ms": 5230.0, "cost_usd": 0, "status": 200, "error": None, "reason": "free: the best of 1 that cost nothing"},
    {"id": "3", "timestamp": ago(minutes=40), "device_id": "kids-laptop", "model": "blockrun/auto", "routed_model": None, "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "latency_ms": 1.2, "cost_usd": 0, "status": 429, "error": "rate_limit_exceeded", "reason": ""},
    {"id": "4", "timestamp": ago(hours=5), "device_id": "office-laptop", "model": "blockrun/premium", "routed_model": "openrouter/anthropic/claude-sonnet-4.5", "prompt_tokens": 5100, "completion_tokens": 1900, "total_tokens": 7000, "latency_ms": 24100.0, "cost_usd": 0.0438, "status": 200, "error": None, "reason": "premium: the best available"},
]  # fmt: skip

HUB = {
    "requests": 12843, "input_tokens": 18250000, "output_tokens": 2140000, "cached_tokens": 0, "errors": 14, "limit_hits": 37,
    "cost_today": 0.1834, "cost_month": 4.27, "cost_total": 21.94, "saved_month": 38.6, "latency_p50_ms": 1450.0,
    "first_token_p50_ms": 640.0, "budget_percent": 36.7, "profile": "auto", "cost_quality": 5, "daily_budget": 0.5,
    "monthly_budget": 5, "cloud_paused": False,
}  # fmt: skip

DEVICES = {
    "home-assistant": {"requests": 9120, "cost_today": 0.06, "cost_month": 1.4, "budget_percent": 12, "rate_limited": False, "last_model": "openrouter/google/gemini-2.5-flash-lite", "last_seen": ago(seconds=8), "profile": "auto", "model": "auto", "enabled": True},
    "kitchen-tablet": {"requests": 310, "cost_today": 0, "cost_month": 0, "budget_percent": 0, "rate_limited": False, "last_model": "ollama/qwen3:8b", "last_seen": ago(minutes=2), "profile": "free", "model": "auto", "enabled": True},
    "kids-laptop": {"requests": 2100, "cost_today": 0.098, "cost_month": 1.93, "budget_percent": 98, "rate_limited": True, "last_model": "groq/llama-3.3-70b", "last_seen": ago(minutes=40), "profile": "eco", "model": "auto", "enabled": True},
    "old-phone": {"requests": 3, "cost_today": 0, "cost_month": 0, "budget_percent": None, "rate_limited": False, "last_model": None, "last_seen": None, "profile": None, "model": "ollama/qwen3:8b", "enabled": False},
}  # fmt: skip


@dataclass
class Home:
    """Plays the facade; every attribute may be changed by a test."""

    version: str = "0.1.0"
    currency: str = "EUR"
    usd_rate: float = 1.0
    state: dict[str, Any] = field(
        default_factory=lambda: {
            "status": "ok",
            "version": "0.1.0",
            "demo": False,
            "providers": {},
            "mqtt": "connected",
        }
    )
    hub: dict[str, Any] = field(default_factory=lambda: dict(HUB))
    devices: dict[str, dict[str, Any]] = field(default_factory=lambda: {k: dict(v) for k, v in DEVICES.items()})
    upstreams: list[dict[str, Any]] = field(default_factory=lambda: [dict(p) for p in PROVIDERS])
    table: list[dict[str, Any]] = field(default_factory=lambda: [dict(m) for m in MODELS])
    requests: list[dict[str, Any]] = field(default_factory=lambda: [dict(r) for r in RECENT])
    asked: int = 0
    acknowledged: int = 0

    def health(self) -> dict[str, Any]:
        self.asked += 1
        return self.state

    def acknowledge_problems(self) -> None:
        self.acknowledged += 1

    def hub_state(self) -> dict[str, Any]:
        return self.hub

    def latest_devices(self, most: int) -> list[str]:
        return sorted(self.devices, key=lambda name: str(self.devices[name].get("last_seen") or ""), reverse=True)[
            :most
        ]

    def device_ids(self) -> list[str]:
        return list(self.devices)

    def device_name(self, device_id: str) -> str:
        return device_id.replace("-", " ").capitalize()

    def device_state(self, device_id: str) -> dict[str, Any]:
        return self.devices[device_id]

    def providers(self) -> list[dict[str, Any]]:
        return self.upstreams

    def model_details(self) -> list[dict[str, Any]]:
        return self.table

    @property
    def reports(self) -> Home:
        return self

    async def forecast(self) -> dict[str, Any]:
        steps = [
            {"cost_quality": at, "answers_percent": 80 + 2 * at, "price_percent": 10 * at, "failure_usd": 0.01}
            for at in range(11)
        ]
        return {"cost_quality": 5, "requests": 1000, "scored": 412, "steps": steps, "text": ""}

    async def recent(self, limit: int) -> list[dict[str, Any]]:
        return self.requests[:limit]
