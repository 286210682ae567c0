"""What the page shows, picked field by field, so that nothing gets on it by accident. Never a secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from ..control import Control
from ..core.errors import BooksBusyError, BooksUnavailableError
from ..core.models import Json
from ..core.records import dataclass

RECENT: Final = 12
"""Requests on the page."""

DEVICES: Final = 50
"""Devices on the page: a home has fewer; more would make each refresh heavy."""

_HUB: Final = (
    "requests", "input_tokens", "output_tokens", "cached_tokens", "errors", "limit_hits", "cost_today", "cost_month",
    "cost_total", "saved_month", "saved_cache_month", "cached_percent", "latency_p50_ms", "first_token_p50_ms", "budget_percent", "profile", "cost_quality",
    "daily_budget", "monthly_budget", "cloud_paused",
)  # fmt: skip
_DEVICE: Final = (
    "requests", "input_tokens", "output_tokens", "errors", "limit_hits", "cost_today", "cost_month", "saved_month",
    "saved_cache_month", "cached_percent", "budget_percent", "rate_limited", "last_model", "last_reason", "last_seen", "profile", "model", "enabled",
    "requests_remaining", "tokens_remaining",
)  # fmt: skip
_HEALTH: Final = ("status", "demo", "mqtt")
_PROVIDER: Final = ("name", "kind", "state", "local")
_REQUEST: Final = (
    "timestamp", "device_id", "model", "routed_model", "prompt_tokens", "completion_tokens", "latency_ms", "cost_usd",
    "status", "error", "reason",
)  # fmt: skip
_MODEL: Final = ("id", "provider", "local", "input", "output", "context", "quality", "quality_source", "capabilities")


@dataclass(frozen=True, slots=True)
class Reach:
    """How clients get to the LAN site. `port` None: it is closed. `keys`: whether a key is needed.

    `lan_host`: this machine's name on the LAN, "" where unknown (the browser's own address is shown then).
    `internal_host`: the name under which Home Assistant itself reaches us, "" outside it.
    """

    port: int | None
    lan_host: str = ""
    internal_host: str = ""
    keys: bool = False


async def status(control: Control, reach: Reach, now: datetime) -> Json:
    """Everything on the page. `now`: UTC, aware."""
    health = control.health()
    shown = [p for p in control.providers() if health["demo"] or p["kind"] != "mock"]
    hidden = {p["name"] for p in control.providers()} - {p["name"] for p in shown}
    models = [_pick(m, _MODEL) for m in control.model_details() if m["provider"] not in hidden]
    return {
        "now": now.isoformat(timespec="seconds"),
        "version": control.version,
        "currency": control.currency,
        "health": {k: health.get(k) for k in _HEALTH} | {"problems": list(health.get("problems", ()))},
        "hub": _hub(control),
        "providers": [_provider(p, models) for p in shown],
        "devices": _devices(control),
        "models": models,
        "recent": [_pick(r, _REQUEST) for r in await control.reports.recent(RECENT)],
        "forecast": await _forecast(control),
        "reach": asdict(reach),
    }


async def _forecast(control: Control) -> Json | None:
    """What each step of the dial would have meant; None while the books cannot be asked."""
    try:
        return await control.forecast()
    except (BooksBusyError, BooksUnavailableError):
        return None


def _hub(control: Control) -> Json:
    """Totals and settings. Budgets are kept in USD and shown in the currency of the costs beside them."""
    hub = _pick(control.hub_state(), _HUB)
    for name in ("daily_budget", "monthly_budget"):
        if hub.get(name) is not None:
            hub[name] = float(hub[name]) * control.usd_rate
    return hub


def _provider(provider: Json, models: Sequence[Json]) -> Json:
    """One provider in short: how many models, the middle of their first-token times, and why and how long it rests.

    One without models is not ready, whatever the pool thinks: a local server that did not answer, mostly.
    """
    times = sorted(provider.get("first_token_ms", {}).values())
    rests = sorted(provider.get("cooldowns", ()), key=lambda rest: rest["seconds"])
    count = sum(model.get("provider") == provider["name"] for model in models)
    state = "empty" if not count and provider["state"] == "available" else provider["state"]
    return _pick(provider, _PROVIDER) | {
        "state": state,
        "models": count,
        "latency_ms": times[len(times) // 2] if times else None,
        "cooldown": rests[0]["seconds"] if rests else None,
        "message": rests[0]["message"] if rests else "",
    }


def _devices(control: Control) -> list[Json]:
    """Those that called last come first; the others are counted by the page's totals alone."""
    rows = [
        {"id": device_id, "name": control.device_name(device_id)} | _pick(control.device_state(device_id), _DEVICE)
        for device_id in control.latest_devices(DEVICES)
    ]
    rows.sort(key=lambda row: str(row.get("last_seen") or ""), reverse=True)
    return rows


def _pick(values: Mapping[str, Any], names: Iterable[str]) -> Json:
    return {name: values[name] for name in names if name in values}


def language(wanted: str, known: Sequence[str]) -> str:
    """The best of the known languages for an `Accept-Language` header; the first of them where none fits."""
    choices = []
    for place, part in enumerate(wanted.split(",")[:20]):
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        if quality > 0:
            choices.append((-quality, place, tag.strip().lower().partition("-")[0]))
    return next((tag for _, _, tag in sorted(choices) if tag in known), known[0])
