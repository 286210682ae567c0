"""`GET /metrics` in Prometheus' text format, with few and bounded labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from operator import sub
from typing import Final

from ..core.const import VERSION
from ..core.models import Json
from .metrics import BUCKETS_MS, OTHER, Histogram, Metrics
from .sums import Sums, usd

MOST_SERIES: Final = 100
"""Devices, and models, with series of their own; the others share one."""

_FAMILIES: Final = {
    "requests": "Requests, refused and failed ones included.",
    "input_tokens": "Prompt tokens, cached ones included.",
    "output_tokens": "Completion tokens, reasoning included.",
    "cached_tokens": "Prompt tokens that the provider had cached.",
    "errors": "Requests that failed.",
    "limit_hits": "Requests refused by a limit or budget.",
    "cost_usd": "What requests cost, in USD.",
}


class Page:
    """The whole page. Counters begin with what the books held at start, and only grow.

    Who has series of its own keeps them, and who was once among the others stays there: a counter that is handed from one
    to the other would step back.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._devices, self._models = _Chosen(), _Chosen()

    def render(self, providers: Iterable[Json] = (), turned_away: tuple[int, int] = (0, 0)) -> str:
        """The text of it now. `turned_away`: callers refused for want of a key, since the start and within the last minute."""
        metrics = self._metrics
        lines = [*_INFO, *_turned_away(*turned_away)]
        lines += _sums("", "", {"": metrics.total})
        lines += _sums("device_", "device", self._devices.of(metrics.devices(), metrics.total))
        models = metrics.models()
        lines += _sums("model_", "model", self._models.of(models, _added(models.values())))
        whole, first = metrics.times()
        lines += _histogram("request_duration_seconds", "From the first byte in to the last byte out.", whole)
        lines += _histogram("first_token_seconds", "From the first byte in to the first content out.", first)
        lines += metrics.caught.lines()
        lines += _providers(providers)
        return "\n".join(lines) + "\n"

    def of_device(self, device_id: str) -> str:
        """What one device may see of it: its own series."""
        sums = self._metrics.devices().get(device_id) or Sums()
        return "\n".join([*_INFO, *_sums("device_", "device", {device_id: sums})]) + "\n"


class _Chosen:
    """Who has series of its own: the busiest when first looked at, then whoever is new while there is room."""

    def __init__(self) -> None:
        self._own: set[str] = set()
        self._shared = False

    def of(self, found: Mapping[str, Sums], everyone: Sums) -> dict[str, Sums]:
        """Sums by name; under `OTHER` what of everyone's is nobody's own."""
        self._own.intersection_update(found)
        if not self._shared:
            new = [name for name in found if name not in self._own and name != OTHER]
            room = MOST_SERIES - len(self._own)
            self._own.update(nsmallest(room, new, key=lambda name: (-found[name].requests, name)))
            self._shared = len(new) > room
        shown = {name: found[name] for name in sorted(self._own) if name in found}
        rest = Sums(*map(sub, everyone.values(), _added(shown.values()).values()))
        return shown | {OTHER: rest} if rest.requests else shown


def _added(found: Iterable[Sums]) -> Sums:
    whole = Sums()
    for sums in found:
        whole.add(sums.values())
    return whole


def _sums(prefix: str, label: str, found: Mapping[str, Sums]) -> list[str]:
    lines = []
    for name, words in _FAMILIES.items():
        full = f"cheaprouter_{prefix}{name}_total"
        lines += [f"# HELP {full} {words}", f"# TYPE {full} counter"]
        for key, sums in found.items():
            labels = f'{{{label}="{_escape(key)}"}}' if label else ""
            lines.append(f"{full}{labels} {_number(usd(sums.cost) if name == 'cost_usd' else getattr(sums, name))}")
    return lines


def _turned_away(total: int, last_minute: int) -> list[str]:
    return [
        "# HELP cheaprouter_unauthorized_total Callers refused for want of a key since the start.",
        "# TYPE cheaprouter_unauthorized_total counter",
        f"cheaprouter_unauthorized_total {total}",
        "# HELP cheaprouter_unauthorized_last_minute The same within the last minute.",
        "# TYPE cheaprouter_unauthorized_last_minute gauge",
        f"cheaprouter_unauthorized_last_minute {last_minute}",
    ]


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


_INFO: Final = (
    "# HELP cheaprouter_info The version that serves.",
    "# TYPE cheaprouter_info gauge",
    f'cheaprouter_info{{version="{_escape(VERSION)}"}} 1',
)
