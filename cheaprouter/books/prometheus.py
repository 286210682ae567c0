"""`GET /metrics` in Prometheus' text format, with few and bounded labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ..core.const import VERSION
from ..core.models import Json
from .metrics import BUCKETS_MS, OTHER, Histogram, Metrics
from .totals import Sums, usd

MOST_SERIES: Final = 100
"""Devices, and models, with series of their own: the busiest; the others share one."""

_FAMILIES: Final = {
    "requests": "Requests, refused and failed ones included.",
    "input_tokens": "Prompt tokens, cached ones included.",
    "output_tokens": "Completion tokens, reasoning included.",
    "cached_tokens": "Prompt tokens that the provider had cached.",
    "errors": "Requests that failed.",
    "limit_hits": "Requests refused by a limit or budget.",
    "cost_usd": "What requests cost, in USD.",
}


def render(metrics: Metrics, providers: Iterable[Json] = ()) -> str:
    """The whole page. Counters begin with what the books held at start, and only grow."""
    lines = ["# HELP cheaprouter_info The version that serves.", "# TYPE cheaprouter_info gauge"]
    lines.append(f'cheaprouter_info{{version="{_escape(VERSION)}"}} 1')
    lines += _sums("", "", {"": metrics.total})
    lines += _sums("device_", "device", metrics.devices())
    lines += _sums("model_", "model", metrics.models())
    whole, first = metrics.times()
    lines += _histogram("request_duration_seconds", "From the first byte in to the last byte out.", whole)
    lines += _histogram("first_token_seconds", "From the first byte in to the first content out.", first)
    lines += _providers(providers)
    return "\n".join(lines) + "\n"


def _sums(prefix: str, label: str, found: Mapping[str, Sums]) -> list[str]:
    busiest = sorted(found.items(), key=lambda item: (-item[1].requests, item[0]))
    shown, rest = busiest[:MOST_SERIES], busiest[MOST_SERIES:]
    if rest:
        others = Sums()
        for _, sums in [*rest, *(item for item in shown if item[0] == OTHER)]:
            others.add(sums.values())
        shown = [*(item for item in shown if item[0] != OTHER), (OTHER, others)]
    lines = []
    for name, words in _FAMILIES.items():
        full = f"cheaprouter_{prefix}{name}_total"
        lines += [f"# HELP {full} {words}", f"# TYPE {full} counter"]
        for key, sums in shown:
            labels = f'{{{label}="{_escape(key)}"}}' if label else ""
            lines.append(f"{full}{labels} {_number(usd(sums.cost) if name == 'cost_usd' else getattr(sums, name))}")
    return lines


def _histogram(name: str, words: str, histogram: Histogram) -> list[str]:
    full = f"cheaprouter_{name}"
    lines = [f"# HELP {full} {words}", f"# TYPE {full} histogram"]
    seen = 0
    for bound, count in zip(BUCKETS_MS, histogram.counts, strict=True):
        seen += count
        lines.append(f'{full}_bucket{{le="{_number(bound / 1000)}"}} {seen}')
    lines.append(f'{full}_bucket{{le="+Inf"}} {histogram.count}')
    lines.append(f"{full}_sum {_number(histogram.sum / 1000)}")
    lines.append(f"{full}_count {histogram.count}")
    return lines


def _providers(providers: Iterable[Json]) -> list[str]:
    lines = ["# HELP cheaprouter_provider_up 1 while the provider can be used.", "# TYPE cheaprouter_provider_up gauge"]
    for provider in providers:
        up = int(provider.get("state") in _UP)
        lines.append(f'cheaprouter_provider_up{{provider="{_escape(str(provider.get("name", "")))}"}} {up}')
    return lines


_UP: Final = frozenset({"available", "degraded"})


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escape(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
