"""The shipped catalogue: prices, windows and abilities of the known providers' models, as `script/update-catalog` wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import orjson

from ..config.kinds import KINDS
from ..core.models import PIECES, RATES, SERVICES, Capability, Json, Price, PriceTier, Rates
from ..core.records import dataclass
from ..wire.bill import parse_amount
from .quality import QualityTable, abilities_in, canonical

_MOST_TOKENS: Final = 10**9


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One model of one provider. `capabilities` None: nobody says. `on_request`: only where the user lists it.

    `retires`: the day (UTC) from which it is no longer served.
    """

    id: str
    prices: tuple[Price, ...]
    context: int | None
    max_output: int | None
    capabilities: frozenset[Capability] | None
    family: str
    on_request: bool = False
    retires: str | None = None


class Catalog:
    """Looks models up by provider kind and upstream id. Entries are made when first asked for."""

    def __init__(self, snapshot: Json, quality: QualityTable, refreshed: Json | None = None) -> None:
        self.version: str = snapshot["version"]
        self.quality = quality
        self._sources: Mapping[str, str] = snapshot["sources"]
        self._raw: Mapping[str, Mapping[str, Json]] = snapshot["models"]
        self._refreshed: Json = refreshed or {}
        self._by_name: dict[str, dict[str, str]] = {}
        self._entries: dict[tuple[str, str], CatalogEntry] = {}
        self._anywhere: dict[str, tuple[str, str]] | None = None

    @classmethod
    def load(cls, refreshed: Json | None = None) -> Self:
        """The snapshot that ships with the package. `refreshed`: newer prices, see `refreshed`."""
        data = Path(__file__).with_name("data")
        quality = orjson.loads((data / "quality.json").read_bytes())
        figures = {name: (float(value), str(date)) for name, (value, date) in quality["measured"].items()}
        return cls(shipped(), QualityTable(figures, abilities_in(quality["abilities"])), refreshed)

    def kinds(self) -> tuple[str, ...]:
        """The provider kinds that have entries."""
        return tuple(self._raw)

    def models(self, kind: str) -> tuple[CatalogEntry, ...]:
        """Every entry of a provider kind, except those used only on request."""
        entries = (self._entry(kind, model_id) for model_id in self._raw.get(kind, ()))
        return tuple(entry for entry in entries if not entry.on_request)

    def lookup(self, kind: str, upstream_id: str) -> CatalogEntry | None:
        """A provider's model, forgiving prefixes, dates and spelling; its own tag (`:free`) always counts."""
        models = self._raw.get(kind)
        if not models:
            return None
        if upstream_id in models:
            return self._entry(kind, upstream_id)
        if kind not in self._by_name:
            # Of two that are spelled alike the first counts.
            self._by_name[kind] = {_spelled(model_id): model_id for model_id in reversed(list(models))}
        found = self._by_name[kind].get(_spelled(upstream_id))
        return None if found is None else self._entry(kind, found)

    def facts(self, upstream_id: str) -> CatalogEntry | None:
        """The same model at any provider: what it can do is the same there. Its price is another matter."""
        if self._anywhere is None:
            self._anywhere = {}
            for kind, models in self._raw.items():
                for model_id, entry in models.items():
                    if "capabilities" in entry:
                        self._anywhere.setdefault(canonical(model_id), (kind, model_id))
        found = self._anywhere.get(canonical(upstream_id))
        return self._entry(*found) if found else None

    def _entry(self, kind: str, model_id: str) -> CatalogEntry:
        entry = self._entries.get((kind, model_id))
        if entry is None:
            entry = self._entries[kind, model_id] = self._made(kind, model_id)
        return entry

    def _made(self, kind: str, model_id: str) -> CatalogEntry:
        raw = self._raw[kind][model_id]
        capabilities = raw.get("capabilities")
        return CatalogEntry(
            id=model_id,
            prices=self._newer(kind, model_id, raw) or self._prices(kind, raw["prices"], raw, self._source(raw)),
            context=raw.get("context"),
            max_output=raw.get("max_output"),
            capabilities=None if capabilities is None else frozenset(Capability(name) for name in capabilities),
            family=raw.get("family", ""),
            on_request=raw.get("on_request", False),
            retires=raw.get("retires"),
        )

    def _source(self, entry: Json) -> str:
        return f"{self._sources[entry['source']]}, {self.version}"

    def _newer(self, kind: str, model_id: str, entry: Json) -> tuple[Price, ...]:
        """Refreshed prices; none where there are none, or what was kept of them is damaged."""
        try:
            told = self._refreshed["models"][kind][model_id]
            for raw in told:
                _refuse_unsound(raw)
            return self._prices(kind, told, entry, str(self._refreshed["source"]))
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
            return ()

    def _prices(self, kind: str, told: list[Json], entry: Json, source: str) -> tuple[Price, ...]:
        services = {**dict(KINDS[kind].services if kind in KINDS else SERVICES), **entry.get("services", {})}
        known = tuple((word, Decimal(times)) for word, times in services.items())
        return tuple(_price(raw, known, source) for raw in told)


def shipped() -> Json:
    """The snapshot that ships, as it was written."""
    snapshot: Json = orjson.loads((Path(__file__).with_name("data") / "models.json").read_bytes())
    return snapshot


def _price(raw: Json, services: tuple[tuple[str, Decimal], ...], source: str) -> Price:
    return Price(
        rates=_rates(raw),
        tiers=tuple(PriceTier(tier["above"], _rates(tier)) for tier in raw.get("tiers", ())),
        valid_from=datetime.fromisoformat(raw["from"]).replace(tzinfo=UTC) if "from" in raw else None,
        daily=(raw["daily"][0], raw["daily"][1]) if "daily" in raw else None,
        source=source,
        services=services,
        **{name: Decimal(raw[name]) for name in PIECES if name in raw},
    )


def _refuse_unsound(raw: Json) -> None:
    """Raises ValueError for a price that cannot be: what was kept is as much from outside as what was published."""
    for part in (raw, *raw.get("tiers", ())):
        if any(name in part and parse_amount(part[name]) is None for name in (*RATES, *PIECES)):
            raise ValueError("no price")
    counts = [*(tier["above"] for tier in raw.get("tiers", ())), *raw.get("daily", ())]
    if any(type(count) is not int or not 0 <= count <= _MOST_TOKENS for count in counts):
        raise ValueError("no count")


def _rates(raw: Mapping[str, Any]) -> Rates:
    return Rates(**{name: Decimal(raw[name]) for name in RATES if name in raw})


def _spelled(model_id: str) -> str:
    """One spelling, with the tag after a colon kept: `x:free` must never find the price of `x`, nor the reverse."""
    head, colon, tag = model_id.lower().partition(":")
    return canonical(head) + colon + tag
