"""State as bytes: what Home Assistant and others read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from ..core.models import Json
from ..home_assistant.entities import PROVIDER_STATES

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"

DOWN: Final = frozenset({"down", "cooling_down", "unauthorized"})
"""Provider states in which it answers nobody."""


def encode(value: Mapping[str, Any]) -> bytes:
    """JSON; money leaves as a number (an endless budget as null), times as ISO 8601."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(type(value).__name__)


def visible(providers: Sequence[Json]) -> list[Json]:
    """Without the mock, where there is a real one."""
    real = [p for p in providers if p.get("kind") != "mock"]
    return real or list(providers)


def provider_states(providers: Sequence[Json]) -> dict[str, str]:
    """Each provider's state by its name, alone: no address, no key. A state without a name of its own is `unknown`."""
    states = {str(p["name"]): str(p.get("state")) for p in providers}
    return {name: value if value in PROVIDER_STATES else "unknown" for name, value in states.items()}


def hub_details(
    version: str, providers: Sequence[Json], tokens_per_second: float | None, latest_version: str = ""
) -> Json:
    """What the hub tells beyond its totals. `latest_version`: what the app store has, "" where nobody knows."""
    states = provider_states(providers)
    return {
        "version": version,
        "latest_version": latest_version or version,
        "providers": states,
        "providers_down": [name for name, value in states.items() if value in DOWN],
        "tokens_per_second": tokens_per_second,
    }


def device_details(device_id: str, name: str, tokens_per_second: float | None, limit_resets_at: str | None) -> Json:
    """What a device tells beyond its totals. `tokens_per_second`: of its last streamed reply."""
    return {
        "id": device_id,
        "name": name,
        "tokens_per_second": tokens_per_second,
        "limit_resets_at": limit_resets_at,
    }
