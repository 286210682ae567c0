"""The names of the providers that are known by name. What stands behind each is the providers' business."""

from __future__ import annotations

from typing import Final

CLOUD: Final = (
    "openai", "anthropic", "gemini", "openrouter", "groq", "deepseek", "mistral", "xai", "together", "fireworks",
    "cerebras", "nvidia", "moonshot", "zai", "minimax", "qwen", "blockrun", "azure",
)  # fmt: skip
"""Hosted providers: they need a key and, mostly, money."""

LOCAL: Final = ("ollama", "lmstudio", "llamacpp", "vllm")
"""Servers that people run at home: no key, no price."""

LOCAL_PORTS: Final = {11434: "ollama", 1234: "lmstudio", 8080: "llamacpp", 8000: "vllm"}
"""The port each local server listens on unless told otherwise."""

NEEDS_URL: Final = ("azure",)
"""Presets whose address differs for every customer."""

MOCK: Final = "mock"
KINDS: Final = (*CLOUD, *LOCAL, MOCK)
