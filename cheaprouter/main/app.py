"""Wiring: the one place that knows every part, starts them in order and stops them in the reverse."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp

from ..config import files, loader, losses
from ..config.files import ConfigWatcher
from ..config.loader import Loaded
from ..core.const import DRAIN_SECONDS, INGRESS_PORT, VERSION
from ..core.logs import Redactor
from ..core.logs import setup as setup_logs
from ..core.records import dataclass
from ..core.tasks import Run, Tasks
from ..home_assistant.supervisor import About, MqttCredentials, Supervisor
from . import sites
from .assembly import ADMIN_KEY, House, build_house
from .price_refresh import PriceRefresh
from .timekeeping import keep_time

_LOG: Final = logging.getLogger(__name__)
_GOODBYE_SECONDS: Final = 3.0
"""How long the MQTT bridge may take to say that we are offline; its last will says so later."""

_CALLERS_FIRST: Final = 0.2
"""Seconds until the MQTT bridge is imported, which keeps everybody waiting for 30 ms: who waited for the start goes first."""

_DISCOVERY_SECONDS: Final = 300.0
"""How often local servers are asked which models they have."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. `demo_broker_port`: run the embedded broker there and announce the demo."""

    config: Path | None
    data: Path
    host: str | None = None
    port: int | None = None
    ingress_port: int | None = None
    supervisor_token: str | None = None
    demo_broker_port: int | None = None


def run(options: Options) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - optional: faster where it is installed

        return uvloop.run(_main(options))
    return asyncio.run(_main(options))


async def _main(options: Options) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(options) as app:
        app.announce()
        await stop.wait()
        _LOG.info("stopping: running replies get up to %.0f s", DRAIN_SECONDS)
        await app.drain()
    _LOG.info("stopped")
    return 0


class App:
    """A running router."""

    def __init__(self, options: Options, house: House, lan: sites.Site, ingress: sites.Site | None) -> None:
        self.options = options
        self.house = house
        self.lan = lan
        self.ingress = ingress

    @property
    def url(self) -> str:
        """Where the API is, seen from this machine."""
        return f"http://127.0.0.1:{self.lan.port}"

    def announce(self) -> None:
        """Say in the log what serves where, and what to know."""
        port = self.lan.port
        _LOG.info("CheapRouter %s serves on port %d: give clients http://<this machine>:%d/v1", VERSION, port, port)
        if self.house.settings.demo:
            _LOG.warning("DEMO MODE: no provider is configured, so the built-in mock answers every request")
        if self.house.admin_key_is_new:
            self._announce_admin_key()
        _LOG.info("callers %s", "need a key" if self.house.gateway.world.auth == "keys" else "need no key (auth: open)")
        if self.options.demo_broker_port is not None:
            _print_demo_help(port, self.options.demo_broker_port)

    def _announce_admin_key(self) -> None:
        where = self.house.data / ADMIN_KEY
        if self.options.supervisor_token is None:
            _LOG.info("a new admin key was written to %s", where)
        else:
            # The app's log is for Home Assistant's administrators; it is the only way for them to get the key. Written once.
            os.write(2, f"ADMIN KEY (shown once, kept in {where}): {self.house.admin_key}\n".encode())

    async def drain(self) -> None:
        """Take no more requests, and give running ones time to end."""
        gateway = self.house.gateway
        gateway.draining = True
        await self.lan.stop_listening()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await gateway.idle()
        if gateway.running:
            gateway.cut_off = True
            _LOG.warning("%d replies were cut off", gateway.running)
            await gateway.left_behind.close()


@contextlib.asynccontextmanager
async def serving(options: Options, tasks: Tasks | None = None) -> AsyncIterator[App]:
    """A router that serves while the block runs. `tasks`: what its background work runs under, for tests."""
    sites.raise_file_limit()
    sites.tell_of_no_more_files(asyncio.get_running_loop())
    await asyncio.to_thread(files.make_folder, options.data)
    redactor = Redactor()
    loaded = _first_load(options)
    redactor.register(loader.secrets(loaded.settings) | loaded.secrets)
    setup_logs(loaded.settings.log_level, loaded.settings.log_format, redactor)
    for problem in loaded.problems:
        _LOG.error("configuration: %s", problem)
    async with contextlib.AsyncExitStack() as stack:
        house = await stack.enter_async_context(build_house(loaded, options.data, redactor))
        house.tasks = tasks or house.tasks
        lan = await sites.start_lan(house)
        stack.push_async_callback(lan.close)
        about = About(learned=lambda info: house.set_installation(info.latest_version, info.page))
        ingress = await _start_ingress(house, options, lan.port, about)
        if ingress is not None:
            stack.push_async_callback(ingress.close)
        if house.settings.mqtt.embedded:
            await stack.enter_async_context(_broker(house))
        supervisor = await _supervisor(stack, options, redactor)
        stack.push_async_callback(house.tasks.close)
        for name, run in _work(house, options, supervisor, about).items():
            house.tasks.start(name, run)
        _keep(options, loaded)
        _settle_memory()
        yield App(options, house, lan, ingress)
        await _say_goodbye(house)


def _first_load(options: Options) -> Loaded:
    """The configuration to start with: exactly the file that was named, else the usual ones or what was good last."""
    if files.is_named(options.config, os.environ):
        loaded = loader.load(options.config, options.data, os.environ)
    else:
        loaded = loader.start(options.data, os.environ, files.read_last_good(options.data))
    return _adjust(loaded, options)


def _keep(options: Options, loaded: Loaded) -> None:
    """Remember a good configuration for the next start; one that was named is never stood in for."""
    if loaded.good and not files.is_named(options.config, os.environ):
        files.write_last_good(options.data, loaded.texts)


def _adjust(loaded: Loaded, options: Options) -> Loaded:
    """The command line wins over everything in the configuration."""
    settings, mqtt = loaded.settings, loaded.settings.mqtt
    said: dict[str, Any] = {"host": options.host, "port": options.port, "ingress_port": options.ingress_port}
    http = dataclasses.replace(settings.http, **{name: value for name, value in said.items() if value is not None})
    if options.demo_broker_port is not None:
        mqtt = dataclasses.replace(mqtt, embedded=True, enabled=True, host="127.0.0.1", port=options.demo_broker_port)
    return dataclasses.replace(loaded, settings=dataclasses.replace(settings, http=http, mqtt=mqtt))


async def _start_ingress(house: House, options: Options, lan_port: int, about: About) -> sites.Site | None:
    port = house.settings.http.ingress_port
    if options.supervisor_token is None:
        return None if port is None else await sites.start_ingress(house, "127.0.0.1", port, lan_port, about)
    return await sites.start_ingress(house, "", INGRESS_PORT if port is None else port, lan_port, about)


def _broker(house: House) -> contextlib.AbstractAsyncContextManager[int]:
    from ..mqtt.embedded import embedded_broker  # noqa: PLC0415 - the demo's extra, large to import

    return embedded_broker(house.settings.mqtt.port)


async def _supervisor(stack: contextlib.AsyncExitStack, options: Options, redactor: Redactor) -> Supervisor | None:
    """Home Assistant's Supervisor, in the app."""
    if options.supervisor_token is None:
        return None
    redactor.register([options.supervisor_token])
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return Supervisor(options.supervisor_token, session)


def _work(house: House, options: Options, supervisor: Supervisor | None, about: About) -> dict[str, Run]:
    """All background work, by the names that `/health` tells."""
    reloaded = asyncio.Event()
    credentials = None if supervisor is None else MqttCredentials(supervisor, lambda: house.settings.mqtt)

    prices = PriceRefresh(house.data, lambda: house.settings.prices.refresh, house.models_changed, house.clock.unix)

    async def mqtt() -> None:
        await asyncio.sleep(_CALLERS_FIRST)
        await house.make_bridge(credentials).run()

    async def reload(loaded: Loaded) -> None:
        await house.reload(loaded)
        reloaded.set()
        prices.changed()
        await asyncio.to_thread(_keep, options, loaded)

    def load() -> Loaded:
        return _adjust(loader.reload(options.config, options.data, os.environ, house.loaded.texts), options)

    def may_grow(loaded: Loaded) -> bool:
        return losses.may_grow(house.loaded.texts, loaded.texts)

    watcher = ConfigWatcher(house.loaded.files, load, reload, on_problem=house.complain, may_grow=may_grow)
    work: dict[str, Run] = {
        **house.recorder.work,
        "accounts": house.accounts.run,
        "mqtt": mqtt,
        "config-watcher": watcher.run,
        "discovery": lambda: _discover_for_ever(house, reloaded),
        "prices": prices.run,
        "learning": house.learning.run,
        "clock": lambda: keep_time(house.clock, house.accounts.database),
    }
    if supervisor is not None:
        work["about"] = lambda: about.learn(supervisor, house.settings.http.port)
    return work


async def _say_goodbye(house: House) -> None:
    if house.bridge is not None:
        with contextlib.suppress(TimeoutError):  # it may be waiting for a Supervisor that does not answer
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await house.bridge.stop()


async def _discover_for_ever(house: House, reloaded: asyncio.Event) -> None:
    """Ask now, after each reload, and every few minutes."""
    while True:
        reloaded.clear()
        await house.discover()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCOVERY_SECONDS):
                await reloaded.wait()


def _settle_memory() -> None:
    """What start-up made stays for good: take it out of the garbage collector's rounds, and make those rarer.

    It was off until here (`cli`). What is garbage by now is some hundred kilobytes at most: no round of its own for that.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def _print_demo_help(port: int, broker: int) -> None:
    print(  # noqa: T201 - the demo talks to a person at a terminal
        f"""
Try it, in another terminal:

  curl http://127.0.0.1:{port}/v1/chat/completions -H "Content-Type: application/json" -H "X-Device-ID: my-laptop" \\
    -d '{{"model": "blockrun/auto", "messages": [{{"role": "user", "content": "Hello!"}}], "stream": true}}'

  from openai import OpenAI
  client = OpenAI(base_url="http://127.0.0.1:{port}/v1", api_key="not-needed-in-demo-mode")
  print(client.chat.completions.create(model="blockrun/auto", messages=[{{"role": "user", "content": "Hello!"}}]))

  mosquitto_sub -h 127.0.0.1 -p {broker} -V mqttv311 -v -t 'cheaprouter/#'

Open http://127.0.0.1:{port}/ in a browser for more. Ctrl-C ends the demo.
""",
        flush=True,
    )
