"""What a router says of itself over HTTP, without what depends on the day of asking.

Kept as `expected.json` beside the data of each released version, and asked again of the present one. Only figures that
stay true for years are in it: sums of whole months (days are added up to months after 400 days), totals, settings.
"""

from __future__ import annotations

import aiohttp

STATE_OF_TODAY = {
    "cost_today", "cost_month", "saved_month", "saved_cache_month", "cached_percent", "requests_remaining", "tokens_remaining", "budget_percent", "rate_limited",
    "latency_p50_ms", "first_token_p50_ms",
}  # fmt: skip
"""Left out of a device's state: they tell of now, or of a sample."""

GROUPS = ("device", "model", "provider", "month", "hour", "device,model", "month,device,provider")


class Asker:
    """GETs of one router with one key."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        self.http, self.url, self.headers = http, url, {"Authorization": f"Bearer {key}"}

    async def __call__(self, path: str, **query: str) -> dict:
        async with self.http.get(self.url + path, params=query, headers=self.headers) as reply:
            assert reply.status == 200, (path, reply.status, await reply.text())
            return await reply.json()


async def everything(ask: Asker, first: str, last: str) -> dict:
    """All of it; `first` and `last`: the days to sum up, whole months."""
    metrics = await ask("/v1/metrics")
    return {
        **await configured(ask),
        "audit": (await ask("/v1/audit", limit="10000"))["data"],
        "metrics": _counted(metrics),
        "usage": {
            group: await ask("/router/usage", **{"from": first, "to": last, "group_by": group}) for group in GROUPS
        },
        "keys": (await ask("/router/keys"))["data"],
    }


async def configured(ask: Asker) -> dict:
    """What is set, for the router and for its devices, and what may be asked for."""
    devices = (await ask("/router/devices"))["data"]
    return {
        "devices": [_lasting(device) for device in devices],
        "hub": await ask("/router/settings"),
        "models": [model["id"] for model in (await ask("/v1/models"))["data"]],
    }


def _counted(metrics: dict) -> dict:
    """Totals. 0.1.0 counts a forgotten device as one without requests after a restart: such rows say nothing."""
    counted = {name: metrics[name] for name in ("summary", "total", "byModel", "byDevice")}
    counted["summary"] = {name: value for name, value in metrics["summary"].items() if name != "unique_devices"}
    counted["byDevice"] = [row for row in metrics["byDevice"] if row["requests"]]
    return counted


def _lasting(device: dict) -> dict:
    state = {name: value for name, value in device["state"].items() if name not in STATE_OF_TODAY}
    usage = {"total": device["usage"]["total"]}
    return {name: device[name] for name in ("id", "slug", "name", "sources")} | {"state": state, "usage": usage}
