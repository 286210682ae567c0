"""What a provider is, by its kind: where it is, how it wants the key, and what it does differently. One row each.

Deviations are those seen or documented by November 2026. What is not listed here is learned from a provider's own
complaints, see `providers.unsupported`. Where each vendor says so, and on which day that was read, stands in `vendors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..core.models import SERVICES
from ..core.records import dataclass
from ..wire.openai_chat.quirks import ModelRule, Quirks
from ..wire.openai_chat.thoughts import FIELDS
from . import values
from .values import setting
from .vendors import vendor_at

if TYPE_CHECKING:
    from .settings import ProviderSettings

_seconds: Final = values.number(0.001, 86_400, unit="seconds")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds an upstream may take: to connect, to send headers, the first content, between chunks, and altogether.

    `headers` None: as `first_token` for a stream; a whole reply has to be written first, which takes longer the longer it is.
    """

    connect: float = setting(_seconds, 5.0)
    first_token: float = setting(_seconds, 30.0)
    idle: float = setting(_seconds, 60.0)
    total: float = setting(_seconds, 600.0)
    headers: float | None = setting(_seconds, None)


CLOUD_TIMEOUTS: Final = Timeouts()
LOCAL_TIMEOUTS: Final = Timeouts(connect=3.0, first_token=180.0, idle=120.0, total=900.0)
"""A cold model is read from disk first; on a small machine that takes minutes."""

PATIENT: Final = Timeouts(first_token=60.0, total=900.0)
"""For vendors that queue requests, or think for long before they say anything."""

GENERIC: Final = Quirks()
"""A server that we know nothing about gets what the client sent."""


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """`wire`: `openai` or `anthropic`. `auth`: the header that carries the key, `authorization` meaning a bearer token.

    `local`: a server that people run at home: no key, no price. `port`: where it listens unless told otherwise.
    `needs_url`: the address differs for every customer. `key_path`: what only a valid key may ask, where the list of
    models is public. `models_path`: its list of models. `services`: what its service tiers cost, times the usual price.
    `goes_on`: an answer whose client has gone is written to its end, and billed whole.
    """

    name: str
    base_url: str
    wire: str = "openai"
    auth: str = "authorization"
    quirks: Quirks = GENERIC
    local: bool = False
    port: int | None = None
    needs_url: bool = False
    timeouts: Timeouts = CLOUD_TIMEOUTS
    key_path: str = ""
    models_path: str = "/models"
    services: tuple[tuple[str, Decimal], ...] = SERVICES
    goes_on: bool = False


_GOES_ON: Final = True
"""Streams can be cancelled at OpenAI, Azure, Anthropic, Fireworks, Together, xAI, DeepSeek and others, and cost no more from then
on; not at those marked so: https://openrouter.ai/docs/api-reference/streaming (November 2026). Of the rest nobody says."""

_AZURE_URL: Final = "https://RESOURCE.openai.azure.com/openai/v1"
_PLAIN_ROLES: Final[Mapping[str, str]] = {"developer": "system"}
_OTHERS_FIELDS: Final = frozenset(FIELDS)
_OTHERS_CALLS: Final = frozenset({"extra_content", "index"})
_NO_TIERS: Final = frozenset({"service_tier"})
"""Vendors that sell one tier only."""

_OPENAI_TIERS: Final = {
    "standard": "default",
    "standard_only": "default",
    "on_demand": "default",
    "performance": "priority",
}
_GROQ_TIERS: Final = {
    **dict.fromkeys(("default", "standard", "standard_only"), "on_demand"),
    **dict.fromkeys(("priority", "scale"), "auto"),
}
"""Others' words for `service_tier`: https://platform.openai.com/docs/api-reference/chat/create and
https://console.groq.com/docs/service-tiers (both 2026-11)."""

_OLD_LIMIT: Final[Mapping[str, str]] = {"max_completion_tokens": "max_tokens"}

_OPENAI: Final = Quirks(
    values={"service_tier": _OPENAI_TIERS},
    obfuscates=True,
    drop_message=_OTHERS_FIELDS,
    drop_call=_OTHERS_CALLS,
    models=(
        ModelRule(
            r"^(?:gpt-(?:[5-9]|\d\d)|o\d)(?!.*chat)",
            rename={"max_tokens": "max_completion_tokens"},
            only={"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0},
        ),
        ModelRule(r"^(?:gpt-(?:[5-9]|\d\d)|o\d)", rename={"max_tokens": "max_completion_tokens"}),
    ),
)
_COMPATIBLE: Final = Quirks(roles=_PLAIN_ROLES, drop_call=_OTHERS_CALLS)
_ONE_TIER: Final = Quirks(drop=_NO_TIERS, roles=_PLAIN_ROLES, drop_call=_OTHERS_CALLS)
_GEMINI: Final = Quirks(
    roles=_PLAIN_ROLES,
    drop=frozenset({"logit_bias", "user", "store", "metadata", "seed"}),
    drop_message=_OTHERS_FIELDS,
    models=(ModelRule(r"gemini-(?:[3-9]|\d\d)", signatures=True),),
)
_MISTRAL: Final = Quirks(
    rename={**_OLD_LIMIT, "seed": "random_seed"},
    allow=frozenset({
        "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "response_format",
        "tools", "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction", "parallel_tool_calls",
        "prompt_mode", "reasoning_effort", "safe_prompt", "metadata",
    }),
    clamp={"temperature": (0, 1.5)},
    roles=_PLAIN_ROLES,
    drop_message=_OTHERS_FIELDS | {"name", "refusal", "annotations", "audio"},
    drop_call=_OTHERS_CALLS,
    call_id=9,
    stream_usage=False,  # its last chunk always tells
    finish={"model_length": "length", "error": "error"},
)  # fmt: skip
_GROQ: Final = Quirks(
    values={"service_tier": _GROQ_TIERS},
    plain=frozenset({"response_format"}),
    drop=frozenset({"logprobs", "top_logprobs", "logit_bias", "store", "metadata"}),
    only={"n": 1},
    roles=_PLAIN_ROLES,
    drop_message=frozenset({"name", "reasoning_content", "reasoning_details", "thinking_blocks"}),
    drop_call=_OTHERS_CALLS,
)
_CEREBRAS: Final = Quirks(
    plain=frozenset({"response_format", "tools"}),
    drop=frozenset({"logit_bias", "presence_penalty", "frequency_penalty"}),
    roles=_PLAIN_ROLES,
    drop_message=_OTHERS_FIELDS,
    drop_call=_OTHERS_CALLS,
)
_DEEPSEEK: Final = Quirks(
    rename=_OLD_LIMIT,
    drop=_NO_TIERS,
    roles=_PLAIN_ROLES,
    drop_call=_OTHERS_CALLS,
    models=(ModelRule(r"^deepseek-(?:v[4-9]|reasoner)", thoughts=True),),
    finish={"insufficient_system_resource": "error"},
)
_OPENROUTER: Final = Quirks(
    values={"service_tier": _OPENAI_TIERS},
    add={"usage": {"include": True}},
    cache_control=True,
    finish={"error": "error"},
)
_ZAI: Final = Quirks(
    rename=_OLD_LIMIT,
    drop=_NO_TIERS,
    drop_call=_OTHERS_CALLS,
    roles=_PLAIN_ROLES,
    clamp={"temperature": (0, 1), "top_p": (0.01, 1)},
    finish={"sensitive": "content_filter", "network_error": "error"},
)
_MOONSHOT: Final = Quirks(
    rename=_OLD_LIMIT,
    drop=_NO_TIERS,
    roles=_PLAIN_ROLES,
    drop_call=_OTHERS_CALLS,
    clamp={"temperature": (0, 1)},
    models=(
        # The platform fixes them for these models, and refuses others.
        ModelRule(r"^kimi-", drop=frozenset({"temperature", "top_p", "n", "presence_penalty", "frequency_penalty"})),
        ModelRule(r"^kimi-(?:k2\.[5-9]|k2-thinking|k[3-9])", thoughts=True),
    ),
)
_MINIMAX: Final = Quirks(
    drop=_NO_TIERS,
    roles=_PLAIN_ROLES,
    drop_call=_OTHERS_CALLS,
    answer_in_reasoning=True,
    clamp={"temperature": (0.01, 1)},
)
_QWEN: Final = Quirks(
    rename=_OLD_LIMIT,
    drop=_NO_TIERS,
    roles=_PLAIN_ROLES,
    drop_call=_OTHERS_CALLS,
    answer_in_reasoning=True,
    clamp={"temperature": (0, 1.99)},
    cache_control=True,
)
_BLOCKRUN: Final = Quirks(cost_header="x-blockrun-cost-usd")
_HALF: Final = Decimal("0.5")
_ANTHROPIC_SERVICES: Final = (("batch", _HALF), ("priority", Decimal(1)), ("us", Decimal("1.1")))
"""`priority` is capacity that was paid for before; `us`: served in the United States only."""

_GEMINI_SERVICES: Final = (("flex", _HALF), ("batch", _HALF), ("priority", Decimal("1.8")))
_GROQ_SERVICES: Final = (("flex", Decimal(1)), ("batch", _HALF))
_MOCK: Final = Quirks(plain=None)
_LOCAL: Final = Quirks(rename=_OLD_LIMIT, drop=_NO_TIERS, roles=_PLAIN_ROLES, drop_call=_OTHERS_CALLS)


def _local(name: str, port: int) -> ProviderKind:
    url = f"http://127.0.0.1:{port}/v1"
    return ProviderKind(name, url, quirks=_LOCAL, local=True, port=port, timeouts=LOCAL_TIMEOUTS)


_TABLE: Final = (
    ProviderKind("openai", "https://api.openai.com/v1", quirks=_OPENAI, timeouts=PATIENT),
    ProviderKind(
        "anthropic",
        "https://api.anthropic.com/v1",
        wire="anthropic",
        auth="x-api-key",
        models_path="/models?limit=1000",
        services=_ANTHROPIC_SERVICES,
    ),
    ProviderKind(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        quirks=_GEMINI,
        services=_GEMINI_SERVICES,
        goes_on=_GOES_ON,
    ),
    ProviderKind("openrouter", "https://openrouter.ai/api/v1", quirks=_OPENROUTER, key_path="/key"),
    ProviderKind("groq", "https://api.groq.com/openai/v1", quirks=_GROQ, services=_GROQ_SERVICES, goes_on=_GOES_ON),
    ProviderKind("deepseek", "https://api.deepseek.com", quirks=_DEEPSEEK, timeouts=PATIENT),
    ProviderKind("mistral", "https://api.mistral.ai/v1", quirks=_MISTRAL, goes_on=_GOES_ON),
    ProviderKind("xai", "https://api.x.ai/v1", quirks=Quirks(drop_call=_OTHERS_CALLS, roles=_PLAIN_ROLES)),
    ProviderKind("together", "https://api.together.ai/v1", quirks=_ONE_TIER),
    ProviderKind("fireworks", "https://api.fireworks.ai/inference/v1", quirks=_COMPATIBLE),
    ProviderKind("cerebras", "https://api.cerebras.ai/v1", quirks=_CEREBRAS),
    ProviderKind("nvidia", "https://integrate.api.nvidia.com/v1", quirks=_LOCAL, timeouts=PATIENT),
    ProviderKind("moonshot", "https://api.moonshot.ai/v1", quirks=_MOONSHOT),
    ProviderKind("zai", "https://api.z.ai/api/paas/v4", quirks=_ZAI),
    ProviderKind("minimax", "https://api.minimax.io/v1", quirks=_MINIMAX, goes_on=_GOES_ON),
    ProviderKind("qwen", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", quirks=_QWEN, goes_on=_GOES_ON),
    ProviderKind("blockrun", "https://api.blockrun.ai/v1", quirks=_BLOCKRUN, timeouts=PATIENT),
    ProviderKind("azure", _AZURE_URL, auth="api-key", needs_url=True, quirks=_OPENAI, timeouts=PATIENT),
    _local("ollama", 11434),
    _local("lmstudio", 1234),
    _local("llamacpp", 8080),
    _local("vllm", 8000),
    ProviderKind("mock", "mock://mock/v1", local=True, quirks=_MOCK),
)

KINDS: Final[Mapping[str, ProviderKind]] = {kind.name: kind for kind in _TABLE}
MOCK: Final = "mock"
LOCAL: Final = tuple(kind.name for kind in _TABLE if kind.local and kind.name != MOCK)
CLOUD: Final = tuple(kind.name for kind in _TABLE if not kind.local)
"""Hosted providers: they need a key and, mostly, money."""

NEEDS_URL: Final = tuple(kind.name for kind in _TABLE if kind.needs_url)
LOCAL_PORTS: Final = {kind.port: kind.name for kind in _TABLE if kind.port is not None}

_BY_HOST: Final = {
    urlsplit(kind.base_url).hostname: kind for kind in _TABLE if kind.wire == "openai" and not kind.local
}


def is_local(provider: ProviderSettings) -> bool:
    """Whether a provider runs in the home, by what the user says, else by its kind."""
    return kind_of(provider).local if provider.local is None else provider.local


def costs_money(provider: ProviderSettings) -> bool:
    """Whether requests to a provider may cost something: not the mock, a local one, or one whose prices are all zero."""
    if not provider.enabled or provider.kind == MOCK or is_local(provider):
        return False
    prices = [model.price for model in provider.models]
    return not prices or not all(price is not None and price.nothing for price in prices)


def kind_of(provider: ProviderSettings) -> ProviderKind:
    """What a provider is. `openai` with an address that is nobody's we know is a plain server.

    Raises KeyError for a kind that does not exist; the schema has refused those before.
    """
    kind = KINDS[provider.kind]
    if provider.kind != "openai" or not provider.base_url:
        return kind
    host = urlsplit(provider.base_url).hostname or ""
    if other := vendor_at(host):
        return KINDS[other]
    timeouts = LOCAL_TIMEOUTS if provider.local else CLOUD_TIMEOUTS
    plain = replace(kind, base_url=provider.base_url, quirks=GENERIC, timeouts=timeouts)
    return _BY_HOST.get(host, plain)
