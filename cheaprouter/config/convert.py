"""From checked mappings to typed settings. Raises ValueError where values do not go together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from ..core.models import Json, Price, PriceTier, Rates
from .kinds import KINDS, LOCAL
from .settings import DeviceSettings, ModelSettings, MqttSettings, ProviderSettings, Settings

_BROKER_KEYS = ("host", "port", "username", "password", "tls")


def price(
    *,
    input: Decimal,  # noqa: A002 - the key's name in the file
    output: Decimal,
    cached_input: Decimal | None = None,
    cache_write: Decimal | None = None,
    per_request: Decimal = Decimal(0),
    tiers: tuple[Json, ...] = (),
) -> Price:
    """A user's own price."""
    return Price(
        rates=Rates(input, output, cached_input, cache_write),
        tiers=tuple(sorted((_tier(tier) for tier in tiers), key=lambda t: t.above_prompt_tokens)),
        per_request=per_request,
        source="configured",
    )


def _tier(tier: Json) -> PriceTier:
    return PriceTier(
        tier["above"], Rates(tier["input"], tier["output"], tier.get("cached_input"), tier.get("cache_write"))
    )


def provider_name(value: Any) -> str:
    """The first part of its models' ids and of topics, so nothing but small letters, digits, `_` and `-`."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9_-]{1,64}", value):
        raise ValueError("1 to 64 small letters, digits, `_` or `-`")
    return value


def mqtt(*, url: Mapping[str, Any] | None = None, **data: Any) -> MqttSettings:
    """The broker: its URL is taken apart; what is also set by itself must not contradict it."""
    if url is not None:
        if twice := [key for key in _BROKER_KEYS if key in data and data[key] != url.get(key, data[key])]:
            raise ValueError(f"either `url` or {', '.join(f'`{key}`' for key in twice)}, not two that differ")
        data = {**data, **url}
    elif data.get("tls") and "port" not in data:
        data["port"] = 8883
    for key in ("username", "password"):
        data[key] = data.get(key) or None
    return MqttSettings(**data)


def provider(name: str, data: Json, environ: Mapping[str, str]) -> ProviderSettings:
    """A provider; `kind` is its name where that is a known provider's."""
    kind = data.get("kind", name)
    keys = [data["api_key"]] if "api_key" in data else []
    keys += data.get("api_keys", ())
    keys += [environ[variable] for variable in data.get("api_key_env", ())]
    return ProviderSettings(
        name=name,
        kind=kind,
        base_url=data.get("base_url", ""),
        api_keys=tuple(dict.fromkeys(keys)),
        headers=MappingProxyType(dict(data.get("headers", {}))),
        timeouts=data.get("timeouts"),
        models=tuple(_model(name, model) for model in data.get("models", ())),
        local=data.get("local", True if kind in LOCAL else None),
        discover=data.get("discover"),
        enabled=data.get("enabled", True),
    )


def model_id(provider_name: str, given: str) -> str:
    """A model's routable id: its provider's name goes before it, once."""
    return given if given.startswith(f"{provider_name}/") else f"{provider_name}/{given}"


def _model(provider_name: str, data: Json) -> ModelSettings:
    capabilities = data.pop("capabilities", None)
    given = data.pop("id")
    return ModelSettings(
        id=model_id(provider_name, given),
        capabilities=None if capabilities is None else frozenset(capabilities),
        **data,
    )


def settings(data: Json, environ: Mapping[str, str]) -> Settings:
    """Everything, once it has been checked."""
    data = dict(data)
    devices = data.pop("devices", {})
    providers = data.pop("providers", {})
    return Settings(
        providers=tuple(provider(name, item, environ) for name, item in providers.items()),
        aliases=MappingProxyType(data.pop("aliases", {})),
        fallbacks=MappingProxyType(data.pop("fallbacks", {})),
        device_defaults=devices.pop("defaults", DeviceSettings()),
        devices=MappingProxyType(devices),
        **data,
    )


def known_kind(name: str, data: Mapping[str, Any]) -> bool:
    """Whether it can be told which API this provider speaks."""
    return "kind" in data or name in KINDS
