"""The house put together: every part made once, handed what it needs; a reload makes a new world and swaps it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..accounts import keys
from ..accounts.accounts import Accounts
from ..books import backup
from ..books.database import Database
from ..books.habits import Habits
from ..books.journal import Journal
from ..books.metrics import Metrics
from ..books.recorder import Recorder, Retention
from ..books.reports import Reports
from ..catalog.build import build_models
from ..config import loader
from ..config.loader import Loaded
from ..config.settings import MqttSettings, Settings
from ..control import Control, Facts
from ..core import logs
from ..core.calendar import Calendar, Clock, find_zone
from ..core.events import AbilitiesChanged, AnswerCaught, DeviceRemoved, EventBus, ModelsChanged, SettingsChanged
from ..core.logs import Redactor
from ..core.models import Json
from ..core.records import dataclass
from ..core.tasks import Tasks
from ..gateway import Gateway
from ..learning import Learning
from ..providers.mock import MockTransport
from ..routing.difficulty import DifficultyModel
from ..routing.home import Taught
from ..routing.router import RouteContext, Router
from ..routing.sticky import StickyStore
from ..upstream.direct import DirectTransport
from ..upstream.pace import Pace
from ..upstream.plan import Upstreams
from ..upstream.pool import Pool
from ..world import Makings, World, make_catalog, make_upstreams, with_mock
from .booked_log import BookedLog
from .timekeeping import clock_of, write_down

if TYPE_CHECKING:
    from ..mqtt.bridge import Bridge

_LOG: Final = logging.getLogger(__name__)
ADMIN_KEY: Final = "admin_key"


@dataclass(slots=True)
class House:
    """Every part of a running router. `bridge` comes once the sockets listen: it takes the longest to import."""

    loaded: Loaded
    data: Path
    redactor: Redactor
    makings: Makings
    gateway: Gateway
    control: Control
    retention: Retention
    booked_log: BookedLog
    tasks: Tasks = field(default_factory=Tasks)
    bridge: Bridge | None = None
    admin_key: str = ""
    admin_key_is_new: bool = False
    problems: tuple[str, ...] = ()
    discovered: dict[str, list[Json]] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What holds now."""
        return self.gateway.world.settings

    @property
    def accounts(self) -> Accounts:
        """Who calls, and what they used."""
        return self.gateway.accounts

    @property
    def clock(self) -> Clock:
        """The time, as all parts read it."""
        return self.accounts.clock

    @property
    def learning(self) -> Learning:
        """What this home teaches."""
        assert self.gateway.learning is not None
        return self.gateway.learning

    @property
    def bus(self) -> EventBus:
        """What happens is told here."""
        return self.accounts.bus

    @property
    def recorder(self) -> Recorder:
        """Where finished requests are booked."""
        return self.accounts.recorder

    def all_problems(self) -> tuple[str, ...]:
        """What is wrong with the settings, with the books and the place for them, with the clock, and at the broker."""
        mqtt = () if self.bridge is None else self.bridge.problems()
        return (*self.problems, *self.recorder.problems(), *self.clock.problems(), *mqtt)

    def task_states(self) -> Mapping[str, str]:
        """Background work by name, for `/health`."""
        return self.tasks.states()

    def mqtt_state(self) -> str:
        """The bridge's state, for `/health`."""
        if self.bridge is None:
            mqtt = self.settings.mqtt
            return "starting" if mqtt.enabled and (mqtt.host or mqtt.embedded) else "disabled"
        return self.bridge.state

    def set_installation(self, version: str, page: str) -> None:
        """Tell Home Assistant which version the app store has, and where the page is."""
        self.control.latest_version = version
        self.bus.publish(SettingsChanged(None, ("latest_version",)))
        if page != self.control.page:
            self.control.page = page
            self.bus.publish(ModelsChanged())

    def make_bridge(self, credentials: Callable[[], Awaitable[MqttSettings | None]] | None) -> Bridge:
        """The MQTT bridge; another one where the last has failed."""
        from ..mqtt.bridge import Bridge  # noqa: PLC0415 - paho takes a tenth of a second to import: after the sockets listen

        self.bridge = Bridge(
            self.settings.mqtt, self.control, self.gateway, self.bus, self.clock, credentials, data_dir=self.data
        )
        return self.bridge

    def settings_changed(self) -> None:
        """Something was set at run time: it holds from the next request on."""
        self.gateway.world = self.makings.with_policies(self.gateway.world)

    async def reload(self, loaded: Loaded) -> None:
        """Take new settings without a restart; what cannot change while serving is said in the log.

        The new world is made whole before it is put in force: where that fails, the old one stays.
        """
        before = self.gateway.world
        made = self.makings.world(loaded.settings, self.discovered, before)
        self.gateway.pool.learned.forget_lacking()  # whoever changes settings may have changed the servers, too
        self.redactor.register(loader.secrets(made.settings) | loaded.secrets)
        self.accounts.drop_outdated(made.settings)
        self.gateway.world = self.makings.with_policies(made)
        self.loaded, self.problems = loaded, loaded.problems
        self._tell_parts(before, self.gateway.world)
        _LOG.info("the configuration was reloaded")

    def _tell_parts(self, before: World, now: World) -> None:
        """Those that keep something of the settings by themselves."""
        settings = now.settings
        logs.change(settings.log_level, settings.log_format)
        self.booked_log.changed()
        self.gateway.pool.changed(before.upstreams, now.upstreams)
        self.accounts.calendar.move(find_zone(settings.time_zone))
        self.accounts.configured(settings)
        self.retention.settings = settings.storage
        _tell(note for note in now.table.notes if note not in before.table.notes)
        self.bus.publish(ModelsChanged())
        if self.bridge is not None:
            self.bridge.reconfigure(settings.mqtt)
        old, new = before.settings.http, settings.http
        if (old.host, old.port, old.ingress_port) != (new.host, new.port, new.ingress_port):
            _LOG.warning("`http` has changed: restart to listen there")

    def complain(self, problems: list[str]) -> None:
        """A new configuration cannot be used: keep the old one, and say so."""
        self.problems = tuple(problems)
        for problem in problems:
            _LOG.error("the changed configuration is not used: %s", problem)

    async def discover(self) -> None:
        """Ask local servers which models they have; a changed answer makes a new world."""
        pool = self.gateway.pool
        # Who did not answer keeps what it said last.
        found = {**self.discovered, **await pool.discover(self.gateway.world.upstreams)}
        if found != self.discovered:
            for provider, model_id in _changed_models(self.discovered, found):
                pool.learned.forget_lacking(provider, model_id)
            self.discovered = found
            await self._models_listed()

    async def _models_listed(self) -> None:
        """Other models are listed, maybe thousands: the new world is made in a thread, so that others are served meanwhile."""
        while True:
            before, lacking = self.gateway.world, dict(self.gateway.pool.learned.lacking)
            made = await asyncio.to_thread(self.makings.world, before.settings, self.discovered, before, lacking)
            if self.gateway.world is before:
                break  # else something was set meanwhile, which that world does not know
        self._hold(before, self.makings.with_policies(made))

    def models_changed(self) -> None:
        """Other models, or other abilities or prices of theirs: they hold from the next request on."""
        before = self.gateway.world
        lacking = self.gateway.pool.learned.lacking
        self._hold(before, self.makings.world(before.settings, self.discovered, before, lacking))

    def _hold(self, before: World, now: World) -> None:
        self.gateway.world = now
        _tell(note for note in self.gateway.world.table.notes if note not in before.table.notes)
        self.bus.publish(ModelsChanged())


def _changed_models(before: Mapping[str, list[Json]], now: Mapping[str, list[Json]]) -> Iterable[tuple[str, str]]:
    """Providers and ids of the models of which something else is listed than was."""
    for provider, listed in now.items():
        known = {item["id"]: item for item in before.get(provider, ())}
        yield from ((provider, item["id"]) for item in listed if known.get(item["id"]) != item)


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        _LOG.warning(note)


@contextlib.asynccontextmanager
async def build_house(
    loaded: Loaded, data: Path, redactor: Redactor, clock: Clock | None = None
) -> AsyncIterator[House]:
    """Make every part, bring back what a crash left in the journal, and take all of it down again at the end.

    `data` must exist.
    """
    house = _built(loaded, data, redactor, clock)
    accounts = house.accounts
    try:
        yield house
    finally:
        await house.gateway.left_behind.close()
        await house.gateway.pool.close()
        await write_down(house.clock, accounts.database)
        await accounts.recorder.close()
        await accounts.close()
        await accounts.database.close()


def _built(loaded: Loaded, data: Path, redactor: Redactor, clock: Clock | None) -> House:
    settings, bus, calendar = loaded.settings, EventBus(), Calendar(find_zone(loaded.settings.time_zone))
    backup.restore(data)
    database = Database(data / backup.DATABASE)
    database.open()
    clock = clock or clock_of(database)
    metrics, retention = Metrics(calendar, clock), Retention(settings.storage, clock)
    recorder = Recorder(database, Journal(data / "journal"), metrics, retention)
    recorder.restore()
    admin_key, is_new = _admin_key(settings, data)
    redactor.register([admin_key])
    habits, pace = _lessons(database)
    house: House
    accounts = Accounts(
        database,
        recorder,
        habits,
        calendar,
        bus,
        clock,
        most=settings.max_devices,
        policies=lambda: house.gateway.world.policies,
        changed=lambda: house.settings_changed(),  # noqa: PLW0108 - the house is not built yet
        admin_key_file=data / ADMIN_KEY,
        http=settings.http,
    )
    accounts.restore_settings(settings, drop_outdated=loaded.good)
    makings = Makings(DifficultyModel.load(), StickyStore(), Taught(), accounts, data)
    pool = Pool(DirectTransport(), MockTransport(), bus, clock, pace=pace)
    gateway = Gateway(makings.world(settings, {}), accounts, pool)
    gateway.learning = Learning(makings.difficulty, makings.taught, database, clock.unix)
    gateway.learning.enabled = lambda: gateway.world.settings.routing.learn
    bus.on(gateway.learning.on_event, AnswerCaught)
    _tell(gateway.world.table.notes)
    metrics.limits = accounts.limits_state
    bus.on(metrics.on_event, DeviceRemoved)
    bus.on(metrics.caught.count, AnswerCaught)
    bus.on(lambda _: house.models_changed(), AbilitiesChanged)
    control = Control(gateway, metrics, Reports(database, recorder, metrics, calendar, clock), instance_id(data))
    booked_log = BookedLog(recorder, bus, redactor, lambda: gateway.running)
    house = House(loaded, data, redactor, makings, gateway, control, retention, booked_log)
    house.admin_key, house.admin_key_is_new, house.problems = admin_key, is_new, loaded.problems
    control.facts = Facts(house.mqtt_state, house.task_states, house.all_problems)
    house.booked_log.changed()
    accounts.restore()
    metrics.settle(accounts.known.__contains__)
    return house


def _lessons(database: Database) -> tuple[Habits, Pace]:
    """What the books tell of how models write: after a crash, too, estimates are to be right at once."""
    habits, pace = Habits(), Pace()
    pace.restore(habits.restore(database))
    return habits, pace


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
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if (found := path.read_text(encoding="ascii").strip()).isalnum():  # it becomes part of topics
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
    router = Router(build_models(settings, {}, make_catalog(settings, data)), settings, DifficultyModel.load())
    clock = Clock()
    return router, RouteContext("command-line", settings.device_defaults, clock.utcnow(), clock.monotonic())


@contextlib.asynccontextmanager
async def offline_pool(config: Path | None, data: Path) -> AsyncIterator[tuple[Pool, Upstreams]]:
    """The providers, to be asked from the command line."""
    settings = loader.load(config, data, os.environ).settings
    upstreams = make_upstreams(with_mock(settings) if settings.demo else settings)
    pool = Pool(DirectTransport(), MockTransport(), EventBus(), Clock())
    try:
        yield pool, upstreams
    finally:
        await pool.close()
