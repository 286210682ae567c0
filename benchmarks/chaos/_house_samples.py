"""What is mutated: good requests, settings and files, each with most of what it may hold."""

from __future__ import annotations

from typing import Any

MESSAGES = [
    {"role": "system", "content": "You are a home."},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "on"},
    {"role": "user", "content": "Thanks"},
]  # fmt: skip
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "d",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
}
FULL = {
    "model": "good/good", "messages": MESSAGES, "stream": False, "max_tokens": 20, "max_completion_tokens": 20, "temperature": 0.5,
    "top_p": 0.9, "presence_penalty": 0, "frequency_penalty": 0, "top_k": 5, "top_logprobs": 2, "logprobs": True, "n": 1, "seed": 7,
    "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True, "response_format": {"type": "json_object"}, "stop": ["x"],
    "user": "u", "logit_bias": {"50256": -100}, "metadata": {"a": "b"}, "reasoning_effort": "low", "service_tier": "auto",
    "modalities": ["text"], "store": False, "prediction": {"type": "content", "content": "x"}, "cache_control": {"type": "ephemeral"},
}  # fmt: skip
SMALL = {"model": "blockrun/auto", "messages": [{"role": "user", "content": "Turn on the light"}]}
SETTINGS = {
    "rpm": 10,
    "tpm": 1000,
    "parallel": 2,
    "daily_budget": 1.5,
    "monthly_budget": 10,
    "profile": "eco",
    "enabled": True,
    "model": "auto",
    "cost_quality": 5,
    "name": "A",
}

CONFIG: dict[str, Any] = {
    "auth": "open", "time_zone": "Europe/Berlin", "currency": "EUR", "usd_rate": 0.9, "max_devices": 100,
    "http": {"port": 4000, "allowed_hosts": ["a.b"], "allowed_origins": []},
    "providers": {"lab": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_keys": ["sk-1"], "headers": {"X-A": "b"},
                  "timeouts": {"connect": 5, "first_token": 30, "idle": 60, "total": 600},
                  "models": [{"id": "lab/a", "upstream": "a", "price": {"input": 0.1, "output": 0.4, "tiers": [{"above": 200000, "input": 1, "output": 2}]}, "context": 128000, "quality": 40, "capabilities": ["tools"]}]}},
    "aliases": {"a": {"target": "blockrun/auto:3", "max_cost": 0.01}, "*": "lab/a"}, "fallbacks": {"lab/a": ["lab/a"]},
    "devices": {"defaults": {"rpm": 60, "tpm": 100000}, "t": {**SETTINGS, "schedule": ["mon-fri 15:00-19:30"], "budget_action": "refuse"}},
    "budget": {"daily": 2, "monthly": 30, "action": "refuse", "warn_percent": 80}, "routing": {"profile": "auto", "max_cost": 0.25, "max_attempts": 6},
    "mqtt": {"url": "mqtt://u:p@h:1883", "interval": 10, "max_devices": 20}, "storage": {"requests_days": 90}, "log_level": "info",
}  # fmt: skip
