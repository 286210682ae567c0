"""The house put together: every part made once, handed what it needs, and made anew where a reload asks for it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..accounts import keys
from ..accounts.account import Books
from ..accounts.service import Devices
from ..books import backup
from ..books.averages import Averages
from ..books.database import Database
from ..books.journal import Journal
from ..books.metrics import Metrics
from ..books.recorder import Recorder
from ..books.reports import Reports
from ..books.retention import Retention
from ..catalog.build import build_models
from ..catalog.catalog import Catalog
from ..catalog.table import ModelTable
from ..config import loader
from ..config.loader import Loaded
from ..config.settings import MqttSettings, ProviderSettings, Settings
from ..control import Control, Services
from ..core.calendar import Calendar, find_zone
from ..core.clock import Clock
from ..core.events import EventBus, ModelsChanged, SettingsChanged
from ..core.logs import Redactor
from ..core.models import Json
from ..gateway import Gateway
from ..providers.adapter import Adapter, adapter_for
from ..providers.mock import MockTransport
from ..routing.difficulty import DifficultyModel
from ..routing.router import RouteContext, Router
from ..upstream.cache import ResponseCache
from ..upstream.direct import DirectTransport
from ..upstream.pool import Pool

if TYPE_CHECKING:
    from ..mqtt.bridge import Bridge

_LOG: Final = logging.getLogger(__name__)
ADMIN_KEY: Final = "admin_key"


@dataclass(slots=True)
class House:
    """Every part of a running router. `bridge` comes once the sockets listen: it takes the longest to import."""

    loaded: Loaded
    data: Path
    clock: Clock
    redactor: Redactor
    bus: EventBus
    catalog: Catalog
    difficulty: DifficultyModel
    table: ModelTable
    devices: Devices
    recorder: Recorder
    retention: Retention
    pool: Pool
    gateway: Gateway
    control: Control = field(init=False)
    bridge: Bridge | None = None
    admin_key: str = ""
    admin_key_is_new: bool = False
    problems: tuple[str, ...] = ()
    discovered: dict[str, list[Json]] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What holds now."""
        return self.loaded.settings

    def all_problems(self) -> tuple[str, ...]:
        """What is wrong with the settings, and with the place for the books."""
        storage = self.recorder.problem
        return self.problems if storage is None else (*self.problems, storage)

    def mqtt_state(self) -> str:
        """The bridge's state, for `/health`."""
        if self.bridge is None:
            mqtt = self.settings.mqtt
            return "starting" if mqtt.enabled and (mqtt.host or mqtt.embedded) else "disabled"
        return self.bridge.state

    def set_latest_version(self, version: str) -> None:
        """Tell Home Assistant which version the app store has."""
        self.control.latest_version = version
        self.bus.publish(SettingsChanged(None, ("latest_version",)))

    def make_bridge(self, credentials: Callable[[], Awaitable[MqttSettings | None]] | None) -> Bridge:
        """The MQTT bridge, once."""
        from ..mqtt.bridge import Bridge  # noqa: PLC0415 - paho takes a tenth of a second to import: after the sockets listen

        self.bridge = Bridge(
            self.settings.mqtt, self.control, self.gateway, self.bus, self.clock, credentials, data_dir=self.data
        )
        return self.bridge

    async def reload(self, loaded: Loaded) -> None:
        """Take new settings without a restart; what cannot change while serving is said in the log."""
        old = self.settings
        settings = with_mock(loaded.settings)
        self.loaded = dataclasses.replace(loaded, settings=settings)
        self.problems = loaded.problems
        self.redactor.register(loader.secrets(settings))
        self.pool.reconfigure(settings, make_adapters(settings))
        self.devices.reconfigure(settings)
        self.retention.settings = settings.storage
        self.gateway.cache_default = settings.cache.enabled
        self._rebuild()
        if self.bridge is not None:
            self.bridge.reconfigure(settings.mqtt)
        if (old.http.host, old.http.port, old.http.ingress_port) != (
            settings.http.host,
            settings.http.port,
            settings.http.ingress_port,
        ):
            _LOG.warning("`http` has changed: restart to listen there")
        if old.cache != settings.cache:
            self.gateway.cache = make_cache(settings, self.clock)
        _LOG.info("the configuration was reloaded")

    def complain(self, problems: list[str]) -> None:
        """A new configuration cannot be used: keep the old one, and say so."""
        self.problems = tuple(problems)
        for problem in problems:
            _LOG.error("the changed configuration is not used: %s", problem)

    async def discover(self) -> None:
        """Ask local servers which models they have; a changed answer makes a new table."""
        found = {**self.discovered, **await self.pool.discover()}  # who did not answer keeps what it said last
        if found != self.discovered:
            self.discovered = found
            self._rebuild()

    def _rebuild(self) -> None:
        told = self.table.notes
        self.table = build_models(self.settings, self.discovered, self.catalog, today=self.clock.utcnow().date())
        _tell(note for note in self.table.notes if note not in told)
        self.gateway.router = Router(self.table, self.settings, self.difficulty, sticky=self.gateway.router.sticky)
        self.bus.publish(ModelsChanged())


def make_cache(settings: Settings, clock: Clock) -> ResponseCache:
    """An empty response cache of the configured size."""
    return ResponseCache(ttl=settings.cache.ttl, max_bytes=settings.cache.max_mb << 20, monotonic=clock.monotonic)


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        _LOG.warning(note)


def with_mock(settings: Settings) -> Settings:
    """The settings with the built-in provider among them, unless the user has made or named one."""
    if any(p.kind == "mock" or p.name == "mock" for p in settings.providers):
        return settings
    return dataclasses.replace(settings, providers=(*settings.providers, ProviderSettings(name="mock", kind="mock")))


def make_adapters(settings: Settings) -> dict[str, Adapter]:
    """An adapter for every provider that is switched on."""
    return {p.name: adapter_for(p) for p in settings.providers if p.enabled}


@contextlib.asynccontextmanager
async def build_house(loaded: Loaded, data: Path, redactor: Redactor) -> AsyncIterator[House]:
    """Make every part, bring back what a crash left in the journal, and take all of it down again at the end.

    `data` must exist.
    """
    loaded = dataclasses.replace(loaded, settings=with_mock(loaded.settings))
    settings, clock, bus = loaded.settings, Clock(), EventBus()
    backup.restore(data)
    database = Database(data / backup.DATABASE)
    database.open()
    calendar = Calendar(find_zone(settings.time_zone))
    metrics = Metrics(calendar, clock)
    retention = Retention(settings.storage, clock)
    recorder = Recorder(database, Journal(data / "journal"), calendar, metrics, retention)
    admin_key, is_new = _admin_key(settings, data)
    redactor.register([admin_key])
    devices = Devices(settings, database, calendar, bus, clock, admin_key_file=data / ADMIN_KEY)
    metrics.limits = devices.limits_state
    bus.on(metrics.heed)
    recorder.restore()
    devices.restore()
    catalog, difficulty = Catalog.load(), DifficultyModel.load()
    table = build_models(settings, {}, catalog, today=clock.utcnow().date())
    _tell(table.notes)
    pool = Pool(make_adapters(settings), settings, DirectTransport(), MockTransport(), bus, clock)
    cache = make_cache(settings, clock)
    averages = Averages()
    averages.restore(database)
    books = Books(devices, recorder, averages, bus, clock)
    router = Router(table, settings, difficulty)
    gateway = Gateway(books, router, pool, cache, cache_default=settings.cache.enabled)
    house = House(
        loaded, data, clock, redactor, bus, catalog, difficulty, table, devices, recorder, retention, pool, gateway
    )
    house.admin_key, house.admin_key_is_new, house.problems = admin_key, is_new, loaded.problems
    reports = Reports(database, recorder, metrics, calendar, clock)
    house.control = Control(
        Services(
            gateway, devices, pool, metrics, reports,
            settings=lambda: house.settings,
            table=lambda: house.table,
            mqtt_state=house.mqtt_state,
            problems=house.all_problems,
            instance_id=instance_id(data),
        )
    )  # fmt: skip
    try:
        yield house
    finally:
        await pool.close()
        await recorder.close()
        await devices.close()
        await database.close()


def _admin_key(settings: Settings, data: Path) -> tuple[str, bool]:
    """The admin key and whether it was made now; a configured one wins over the file."""
    if settings.admin_key is not None:
        return settings.admin_key, False
    try:
        return keys.admin_key(data / ADMIN_KEY)
    except OSError as error:
        _LOG.error("The admin key cannot be kept, so nobody has one until the next start: %s", error)
        return secrets.token_urlsafe(32), False


def instance_id(data: Path) -> str:
    """A random id of this installation, made once: Home Assistant knows its entities by it."""
    path = data / "instance_id"
    with contextlib.suppress(OSError):
        if found := path.read_text(encoding="ascii").strip():
            return found
    made = uuid.uuid4().hex
    try:
        path.write_text(made + "\n", encoding="ascii")
    except OSError as error:
        _LOG.error("The id of this installation cannot be kept, it holds until the end: %s", error)
    return made


def offline_router(config: Path | None, data: Path) -> tuple[Router, RouteContext]:
    """A router for explanations on the command line: the configuration's models, all of them taken for healthy."""
    loaded = loader.load(config, data, os.environ)
    settings = with_mock(loaded.settings)
    router = Router(build_models(settings, {}, Catalog.load()), settings, DifficultyModel.load())
    clock = Clock()
    return router, RouteContext("command-line", settings.device_defaults, clock.utcnow(), clock.monotonic())


@contextlib.asynccontextmanager
async def offline_pool(config: Path | None, data: Path) -> AsyncIterator[Pool]:
    """The providers, to be asked from the command line."""
    settings = loader.load(config, data, os.environ).settings
    if settings.demo:
        settings = with_mock(settings)
    pool = Pool(make_adapters(settings), settings, DirectTransport(), MockTransport(), EventBus(), Clock())
    try:
        yield pool
    finally:
        await pool.close()
