"""Everything that a request is served by and that may be exchanged while others run: one frozen object, taken once a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from .accounts.accounts import Accounts
from .accounts.policy import Policies
from .catalog.build import Lacking, build_models
from .catalog.catalog import Catalog
from .catalog.refreshed import kept
from .catalog.table import ModelTable
from .config.kinds import MOCK
from .config.settings import Auth, ProviderSettings, Settings, auth_of
from .core.addresses import Proxies
from .core.models import Json
from .core.records import dataclass
from .providers.adapters import adapter_for
from .routing.difficulty import DifficultyModel
from .routing.home import Taught
from .routing.router import Router
from .routing.sticky import StickyStore
from .upstream.cache import ResponseCache
from .upstream.plan import Upstreams


@dataclass(frozen=True, slots=True)
class World:
    """Settings and all that is made of them. A change makes another world; requests under way keep the one they took.

    `auth`: whether callers need a key. `locked`: nobody is served, for want of a configuration. `cache`: answers given
    before, kept from world to world while its settings stay. `proxies`: who is believed about where requests come from.
    """

    settings: Settings
    table: ModelTable
    upstreams: Upstreams
    policies: Policies
    router: Router
    cache: ResponseCache
    auth: Auth
    locked: bool
    proxies: Proxies


@dataclass(frozen=True, slots=True)
class Makings:
    """What worlds are made with, and that outlives them. `accounts`: for settings made at run time, and the clock.

    `data`: where refreshed prices are kept. The catalogue is read anew for each world, in 2 ms: kept, it would take .4 MB.
    """

    difficulty: DifficultyModel
    sticky: StickyStore
    taught: Taught
    accounts: Accounts
    data: Path

    def world(
        self,
        settings: Settings,
        discovered: Mapping[str, list[Json]],
        before: World | None = None,
        lacking: Lacking | None = None,
    ) -> World:
        """A world for these settings. `discovered`: what providers list; `lacking`: what their models turned out not to be able to.

        An exception leaves everything as it was.
        """
        settings, clock = with_mock(settings), self.accounts.clock
        catalog, today = make_catalog(settings, self.data), clock.utcnow().date()
        table = build_models(settings, discovered, catalog, today=today, lacking=lacking or {})
        same_cache = before is not None and before.settings.cache == settings.cache
        return World(
            settings=settings,
            table=table,
            upstreams=make_upstreams(settings),
            policies=Policies(settings, self.accounts.overrides.scopes),
            router=Router(table, settings, self.difficulty, sticky=self.sticky, taught=self.taught),
            cache=before.cache if before is not None and same_cache else make_cache(settings, clock.monotonic),
            auth=auth_of(settings),
            locked=settings.locked,
            proxies=Proxies(settings.http.trusted_proxies),
        )

    def with_policies(self, world: World) -> World:
        """The same world after something was set at run time."""
        return replace(world, policies=Policies(world.settings, self.accounts.overrides.scopes))


def make_catalog(settings: Settings, data: Path) -> Catalog:
    """The catalogue, with the newest prices where the user wants them. `data`: where these are kept."""
    return Catalog.load(kept(data) if settings.prices.refresh else None)


def make_upstreams(settings: Settings) -> Upstreams:
    """An adapter for every provider that is switched on."""
    routing = settings.routing
    return Upstreams(
        {p.name: adapter_for(p) for p in settings.providers if p.enabled},
        most_attempts=routing.max_attempts,
        filter_fails=routing.fallback_on_content_filter,
        discovered=frozenset(p.name for p in settings.providers if _lists_models(p)),
    )


def _lists_models(provider: ProviderSettings) -> bool:
    """Whether a provider's own list is to be read: where the user says so, or lists no models."""
    if not provider.enabled or provider.kind == MOCK:
        return False
    return not provider.models if provider.discover is None else provider.discover


def with_mock(settings: Settings) -> Settings:
    """The settings with the built-in provider among them, unless the user has made or named one, or none may be asked."""
    if settings.locked or any(MOCK in (p.kind, p.name) for p in settings.providers):
        return settings
    return replace(settings, providers=(*settings.providers, ProviderSettings(name=MOCK, kind=MOCK)))


def make_cache(settings: Settings, monotonic: Callable[[], float]) -> ResponseCache:
    """An empty response cache of the configured size."""
    return ResponseCache(ttl=settings.cache.ttl, max_bytes=settings.cache.max_mb << 20, monotonic=monotonic)
