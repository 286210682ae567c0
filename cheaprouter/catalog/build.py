"""From settings, the shipped catalogue and what providers list themselves to the table of routable models. Pure.

The user's word wins, then the provider's list, then the catalogue. A provider without `models:` gets the catalogue's, less
those its own list lacks; what it lists beyond the catalogue has no known price and answers only to its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from ..config.kinds import MOCK, is_local, kind_of
from ..config.settings import ModelSettings, ProviderSettings, Settings
from ..core.const import MOCK_MODEL
from ..core.ids import other_spelling
from ..core.models import FREE, PIECES, RATES, Capability, Json, Model, Price, Quality, Rates
from .catalog import Catalog, CatalogEntry
from .model_kinds import CHAT
from .model_kinds import kind_of as kind_by_name
from .quality import family, sees
from .table import ModelTable, dangling, of_provider

ASSUMED: Final = frozenset({Capability.TOOLS, Capability.JSON_SCHEMA})
"""What a model is taken to do where nobody says: tools and schemas, and pictures only where its name tells."""

_OWN_HOSTS: Final = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}
"""Kinds that also name a wire format: at another host they are somebody else's models, at somebody else's price."""

_LISTS_PRICES: Final = ("openrouter", "blockrun", "together")
"""Kinds whose own list of models says, in documented units, what each costs."""

_FREE_TAG: Final = ":free"
"""OpenRouter's, and by way of it others', for variants that cost nothing."""

_DIGITS: Final = 9
"""Before and after the point of a listed price (USD): whatever is beyond is a mistake of the list's."""

CACHE_WRITE: Final = Decimal("1.25")
"""What writing to a cache costs over plain input at the vendors who count it (Anthropic, OpenAI, Qwen; November 2026)."""
Lacking = Mapping[tuple[str, str], Mapping[Capability, str]]
"""By provider and upstream id: abilities that a model turned out not to have, and how its server said so."""

_NOTHING_LACKS: Final[Lacking] = {}

_MOCK_CONTEXT: Final = 128_000
_MOCK_QUALITY: Final = Quality(50.0, "configured")


def build_models(
    settings: Settings,
    discovered: Mapping[str, list[Json]],
    catalog: Catalog,
    *,
    today: date | None = None,
    lacking: Lacking = _NOTHING_LACKS,
) -> ModelTable:
    """The table of models.

    `discovered`: what providers list, by provider name: objects with `id`, and `context`, `max_output` (tokens), `price`,
    `capabilities` where told. `lacking`: what was learned since, which wins over everybody's word.
    `today`: leaves out the catalogue's models that are retired by then; None: keeps them.
    """
    models: dict[str, Model] = {}
    notes: list[str] = []
    for provider in settings.providers:
        if provider.enabled and provider.kind != MOCK:
            making = _Provider(provider, discovered.get(provider.name), catalog, today, lacking)
            found = list(making.models())
            models |= {model.id: model for model in found}
            notes += of_provider(provider, found, list(making.unreadable))
    for model in _mocks(settings):
        models.setdefault(model.id, model)
    reference = _reference(settings, catalog, models)
    notes += dangling(settings, {*models, *reference})
    return ModelTable(models.values(), reference=reference, notes=notes)


class _Provider:
    """One provider's models in the making."""

    def __init__(
        self,
        settings: ProviderSettings,
        discovered: list[Json] | None,
        catalog: Catalog,
        today: date | None,
        lacking: Lacking = _NOTHING_LACKS,
    ) -> None:
        self.settings = settings
        self.catalog = catalog
        self.today = today.isoformat() if today else ""
        self.listed = {str(item["id"]): item for item in discovered or ()}
        self.lacking = lacking
        self.local = is_local(settings)
        self.kind = _catalog_kind(settings)
        self.unreadable: dict[str, None] = {}  # upstream names whose listed price is none, in order

    def models(self) -> Iterator[Model]:
        """The user's own, or all there are."""
        if self.settings.models:
            yield from (self.configured(model) for model in self.settings.models)
            if not self.settings.discover:
                return
        named = {model.upstream or self.upstream(model.id) for model in self.settings.models}
        catalogued = [] if self.local else [entry for entry in self.catalog.models(self.kind) if self.offered(entry)]
        yield from (self.from_catalog(entry) for entry in catalogued if entry.id not in named)
        known = {entry.id for entry in catalogued} | named
        known |= {other_spelling(model_id) for model_id in named}
        yield from (self.from_listing(item) for model_id, item in self.listed.items() if model_id not in known)

    def offered(self, entry: CatalogEntry) -> bool:
        if entry.retires and self.today and entry.retires <= self.today:
            return False
        return not self.overlap or entry.id in self.listed

    @cached_property
    def overlap(self) -> bool:
        """Whether the provider's own list is of the catalogue's kind, and so says what this account may use."""
        return any(entry.id in self.listed for entry in self.catalog.models(self.kind))

    def configured(self, model: ModelSettings) -> Model:
        upstream = model.upstream or self.upstream(model.id)
        entry = self.catalog.lookup(self.kind, upstream)
        if model.price is None:
            return self.described(upstream, entry, self.prices(entry, upstream), model)
        return self.described(upstream, entry, (self.completed(model.price, entry, upstream),), model)

    def completed(self, price: Price, entry: CatalogEntry | None, upstream: str) -> Price:
        """The user's price with what it leaves out, as far as that is known of who charges it."""
        same = entry or self.catalog.facts(upstream)
        price = replace(price, services=kind_of(self.settings).services)
        for known in reversed(same.prices if same else ()):
            if known.daily is None and (known.rates.input, known.rates.output) == (
                price.rates.input,
                price.rates.output,
            ):
                return replace(price, rates=_filled(price.rates, known.rates), services=known.services)
        written = price.rates.input * CACHE_WRITE if price.rates.cache_write is None else None
        return replace(price, rates=_filled(price.rates, replace(price.rates, cache_write=written)))

    def from_catalog(self, entry: CatalogEntry) -> Model:
        return self.described(entry.id, entry, self.prices(entry, entry.id))

    def from_listing(self, item: Json) -> Model:
        """A model that the provider lists: a local one is free, a catalogued one's dated twin costs what that costs.

        Profiles may choose it where it is local, or where its price is listed, its abilities are known, and the catalogue
        has no models of that provider at all.
        """
        upstream = str(item["id"])
        entry = None if self.local else self.catalog.lookup(self.kind, upstream)
        prices = self.prices(entry, upstream)
        known = bool(prices) and self.kind not in self.catalog.kinds() and self.catalog.facts(upstream) is not None
        known = known and not upstream.endswith(_FREE_TAG)  # who is paid in what is asked is named, not chosen
        return self.described(upstream, entry, prices, hidden=not (self.local or known))

    def prices(self, entry: CatalogEntry | None, upstream: str) -> tuple[Price, ...]:
        if self.local:
            return (FREE,)
        known = entry.prices if entry else ()
        if not known and upstream.endswith(_FREE_TAG):
            known = (FREE,)
        told = self.listed.get(upstream, {}).get("price") if self.kind in _LISTS_PRICES else None
        if told is None:
            return known
        listed = _listed_price(told, self.settings.name)
        if listed is None:
            self.unreadable[upstream] = None
            return known
        # The catalogue also knows of long prompts and of hours; the list is newer where the two differ.
        agreed = any((p.rates.input, p.rates.output) == (listed.rates.input, listed.rates.output) for p in known)
        return known if agreed else (listed,)

    def described(
        self,
        upstream: str,
        entry: CatalogEntry | None,
        prices: tuple[Price, ...],
        given: ModelSettings | None = None,
        *,
        hidden: bool = False,
    ) -> Model:
        given = given or ModelSettings(f"{self.settings.name}/{upstream}")
        listed = self.told(upstream)
        able = self.abilities(upstream, entry) if given.capabilities is None else given.capabilities
        lacks = frozenset(self.lacking.get((self.settings.name, upstream), ()))
        return Model(
            id=given.id,
            provider=self.settings.name,
            upstream=upstream,
            prices=prices,
            context=given.context or listed.get("context") or (entry.context if entry else None),
            max_output=given.max_output or listed.get("max_output") or (entry.max_output if entry else None),
            quality=_quality(given) or self.catalog.quality.of(upstream, prices),
            capabilities=able - lacks,
            lacks=lacks,
            local=self.local,
            hidden=hidden,
            family=family(upstream),
            kind=self.kind_of(upstream, given),
            think_tags=given.think_tags,
            abilities=self.catalog.quality.abilities(upstream) if given.quality is None else (),
        )

    def kind_of(self, upstream: str, given: ModelSettings) -> str:
        """What a model is for. By its name alone only where nobody said anything of how it chats."""
        said = given.capabilities is not None or given.quality is not None
        if said or self.told(upstream) or self.catalog.facts(upstream) is not None:
            return CHAT  # lists are read without what cannot chat
        return kind_by_name({}, upstream)

    def abilities(self, upstream: str, entry: CatalogEntry | None) -> frozenset[Capability]:
        told = self.told(upstream).get("capabilities")
        if told is not None:
            return frozenset(map(Capability, told))
        facts = entry if entry and entry.capabilities is not None else self.catalog.facts(upstream)
        return _assumed(upstream) if facts is None or facts.capabilities is None else facts.capabilities

    def told(self, upstream: str) -> Json:
        """What the provider's list says of a model, under either spelling."""
        return self.listed.get(upstream) or self.listed.get(other_spelling(upstream), {})

    def upstream(self, model_id: str) -> str:
        return model_id.removeprefix(f"{self.settings.name}/")


def _filled(given: Rates, known: Rates) -> Rates:
    """The rates that are given, and of the others those that are known."""
    found = {name: getattr(known, name) if (own := getattr(given, name)) is None else own for name in RATES}
    return Rates(**found)


def _quality(given: ModelSettings) -> Quality | None:
    return None if given.quality is None else Quality(given.quality, "configured")


def _assumed(upstream: str) -> frozenset[Capability]:
    return ASSUMED | {Capability.VISION} if sees(upstream) else ASSUMED


def _listed_price(told: object, provider: str) -> Price | None:
    """A price as the provider's own list tells it; None where that is no price."""
    if not isinstance(told, Mapping):
        return None
    try:
        amounts = {name: _listed_amount(amount) for name, amount in told.items()}
        pieces: Json = {name: amounts.pop(name) for name in PIECES if name in amounts}
        if amounts.get("reasoning") == amounts.get("output"):
            amounts.pop("reasoning", None)
        return Price(Rates(**amounts), source=f"listed by {provider}", **pieces)
    except (TypeError, ValueError, ArithmeticError):
        return None


def _listed_amount(told: str) -> Decimal:
    """USD, within what sums and texts can hold. Raises ValueError, ArithmeticError, TypeError."""
    amount = Decimal(told)
    if not amount.is_finite() or amount < 0 or (amount and not -_DIGITS <= amount.adjusted() < _DIGITS):
        raise ValueError(f"no price: {told}")
    return amount


def _catalog_kind(settings: ProviderSettings) -> str:
    """Whose prices hold: the kind's, at its own address; and those of a vendor whose usual address was typed in."""
    own = _OWN_HOSTS.get(settings.kind)
    host = urlsplit(settings.base_url).hostname
    if not own or not host or host == own:
        return settings.kind
    kind = kind_of(settings)
    return kind.name if kind.name != settings.kind and urlsplit(kind.base_url).hostname == host else ""


def _mocks(settings: Settings) -> Iterator[Model]:
    """The built-in mock, behind every profile while there is nothing else, and what is configured of that kind."""
    given = [ModelSettings(MOCK_MODEL)]
    for provider in settings.providers:
        if provider.kind == MOCK and provider.enabled:
            given += provider.models or (ModelSettings(f"{provider.name}/default"),)
    yield from (_mock(model, hidden=not settings.demo) for model in given)


def _mock(given: ModelSettings, *, hidden: bool) -> Model:
    provider, _, upstream = given.id.partition("/")
    return Model(
        id=given.id,
        provider=provider,
        upstream=given.upstream or upstream,
        prices=(given.price or FREE,),
        context=given.context or _MOCK_CONTEXT,
        max_output=given.max_output,
        quality=_quality(given) or _MOCK_QUALITY,
        capabilities=frozenset(Capability) if given.capabilities is None else given.capabilities,
        local=True,
        hidden=hidden,
        family="mock",
        think_tags=given.think_tags,
    )


def _reference(settings: Settings, catalog: Catalog, models: Mapping[str, Model]) -> dict[str, Model]:
    """The baseline model where it is not in use itself: `kind/id` of the catalogue."""
    name = settings.routing.baseline_model
    if not name or name in models:
        return {}
    kind, _, upstream = name.partition("/")
    entry = catalog.lookup(kind, upstream) or catalog.facts(upstream or name)
    if entry is None:
        return {}
    return {name: Model(id=name, provider=kind, upstream=entry.id, prices=entry.prices, hidden=True)}
