"""The bridge to the broker: kept up for ever, told everything, heard from."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from ..config.settings import MqttSettings
from ..control import Control
from ..core.calendar import Clock
from ..core.events import EventBus, RequestCompleted
from ..gateway import Gateway
from ..home_assistant.discovery import hub_id
from . import payloads
from .connection import Connection, ConnectionLostError, Connector
from .inbox import Inbox
from .messages import Outgoing
from .pacing import Alarm, Backoff, Once
from .publisher import Publisher
from .retained import Memory, Send
from .watch import Watch

_LOG = logging.getLogger(__name__)

Credentials = Callable[[], Awaitable[MqttSettings | None]]

ASK_AGAIN_SECONDS: Final = 30.0
"""How often a broker is asked for while there is none: one may be installed later."""

BIRTH_DELAY: Final = (1.0, 5.0)
"""Seconds after Home Assistant's start, drawn at random, until everything is published again."""

OFFLINE_SECONDS: Final = 2.0
"""How long a stop waits for the broker to take `offline`; the last will says the same later."""

DENIED_SECONDS: Final = 600.0
"""How long nothing more is published where the broker denied it: Mosquitto 2.0 may hang up on whoever tries."""

_ID_DIGITS: Final = 11
"""Of the instance id in the client id: 23 characters in all, which every broker must take."""

_MEMORY_FILE: Final = "mqtt_topics.json"


class Bridge:
    """Connects, reconnects, publishes and listens until it is stopped. A broker that is away disturbs nobody else.

    `state` is `disabled`, `waiting` (for someone to name a broker), `connecting`, `connected`, `disconnected`,
    `unauthorized` or `stopped`. `credentials` is asked before every connection where no broker is configured.
    `data_dir` keeps what was published, to be taken away when names change. `keepalive` and `timeout` in seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        control: Control,
        gateway: Gateway,
        bus: EventBus,
        clock: Clock,
        credentials: Credentials | None = None,
        *,
        data_dir: Path | None = None,
        backoff: Backoff | None = None,
        keepalive: int = 30,
        timeout: float = 10.0,
    ) -> None:
        self.state = "disabled"
        self._settings = settings
        self._control = control
        self._gateway = gateway
        self._bus = bus
        self._clock = clock
        self._credentials = credentials
        self._backoff = backoff or Backoff()
        self._connector = Connector(f"cheaprouter-{control.instance_id[:_ID_DIGITS]}", keepalive, timeout)
        self._memory = Memory(None if data_dir is None else data_dir / _MEMORY_FILE)
        self._once = Once(_LOG)
        self._wake = asyncio.Event()
        self._alarm = Alarm(clock, self._wake.set)
        self._interrupt = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._stopping = False
        self._leaving = False
        self._attempt: asyncio.Timeout | None = None
        self._denied: dict[str, float] = {}

    # --- life

    async def run(self) -> None:
        """Serve until `stop`."""
        self._ended.clear()
        self._memory.load()
        try:
            while not self._stopping:
                await self._serve_as(self._settings)
        finally:
            self.state = "stopped"
            self._ended.set()

    async def stop(self) -> None:
        """Say goodbye to the broker and make `run` return."""
        self._stopping = True
        self._leave()
        await self._ended.wait()

    def problems(self) -> tuple[str, ...]:
        """What is wrong at the broker, in words for `/health`."""
        return self._watch.problems() if self.state == "connected" else ()

    def reconfigure(self, settings: MqttSettings) -> None:
        """Take other settings; the connection is made anew, and what lay under other names is taken away."""
        if settings == self._settings:
            return
        self._settings = settings
        self._connector.speaks = None
        self._denied.clear()
        self._leave()

    def _leave(self) -> None:
        self._leaving = True
        if self._attempt is not None:
            self._attempt.reschedule(asyncio.get_running_loop().time())
        self._wake.set()
        self._interrupt.set()

    async def _serve_as(self, settings: MqttSettings) -> None:
        """Until the stop, or until there are other settings."""
        self._publisher = Publisher(settings, self._control, self._memory, self._clock, self._alarm.at)
        self._watch = Watch(self._publisher, hub_id(self._control.instance_id), self._clock, self._once)
        self._inbox = Inbox(settings, self._control, self._gateway, self._publisher, self._clock, self._once)
        with contextlib.ExitStack() as stack:
            if settings.enabled:
                stack.callback(self._bus.on(self._publisher.on_event, *Publisher.kinds))
            try:
                while not self._stopping and settings == self._settings:
                    await self._try()
            finally:
                await self._inbox.close()

    async def _try(self) -> None:
        """One connection, or one attempt at it and a pause."""
        self._leaving = False
        self._interrupt.clear()
        broker = await self._broker()
        if broker is None:
            await self._pause(ASK_AGAIN_SECONDS)
            return
        try:
            await self._session(broker)
        except TimeoutError:
            pass  # told to leave while connecting
        except ConnectionLostError as error:
            self._lost(broker, error)
            await self._pause(self._backoff.failed())

    async def _broker(self) -> MqttSettings | None:
        """Where to connect now; None: nowhere."""
        settings = self._settings
        if not settings.enabled:
            self.state = "disabled"
            return None
        if settings.host or settings.embedded:
            return settings
        found = None if self._credentials is None else await self._credentials()
        if found is None:
            self.state = "disabled" if self._credentials is None else "waiting"
        return found

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._interrupt.wait()

    def _lost(self, broker: MqttSettings, error: ConnectionLostError) -> None:
        self.state = "unauthorized" if error.unauthorized else "disconnected"
        where = f"{broker.host or 'localhost'}:{broker.port}"
        self._once.warning(f"lost {where} {error}", "No connection to the MQTT broker at %s: %s", where, error)

    # --- one connection

    async def _session(self, broker: MqttSettings) -> None:
        self.state = "connecting"
        will = Outgoing(self._publisher.topics.status, payloads.OFFLINE, retain=True)
        async with contextlib.AsyncExitStack() as stack:
            connection = await self._connect(stack, broker, will)
            send = functools.partial(self._send, connection)
            await self._subscribe(connection)
            stack.callback(self._alarm.clear)
            stack.callback(self._bus.on(self._publisher.on_request, RequestCompleted))
            began = self._clock.monotonic()
            try:
                await self._publisher.open(send, f"{broker.host}:{broker.port}")
                self.state = "connected"
                self._once.again("lost ")
                _LOG.info("Connected to the MQTT broker at %s:%s", broker.host or "localhost", broker.port)
                await self._serve(connection, send)
            finally:
                if self._clock.monotonic() - began >= self._backoff.longest:
                    self._backoff.worked()
                await self._say_offline(send, will)

    async def _connect(self, stack: contextlib.AsyncExitStack, broker: MqttSettings, will: Outgoing) -> Connection:
        """Raises TimeoutError when told to leave meanwhile."""
        try:
            async with asyncio.timeout(None) as self._attempt:
                return await stack.enter_async_context(self._connector.connect(broker, will))
        finally:
            self._attempt = None

    async def _subscribe(self, connection: Connection) -> None:
        settings = self._settings
        filters = self._publisher.topics.subscriptions(
            commands=settings.commands, chat=settings.chat, discovery=settings.discovery
        )
        for topic in filters:
            if (refusal := await connection.subscribe(topic)) is not None:
                told = "The MQTT broker refuses to let us read %s: %s"
                self._once.warning(f"subscribe {topic}", told, topic, refusal)
        for topic in self._publisher.topics.own():
            await connection.subscribe(topic, others=True)
        if settings.discovery and connection.modern:  # an older broker would send all that everybody has announced
            await connection.subscribe(self._publisher.topics.discovery("+"), others=True)

    async def _serve(self, connection: Connection, send: Send) -> None:
        """Read and write until told to leave; whichever fails first ends both."""
        tasks = [
            asyncio.create_task(self._read(connection), name="mqtt read"),
            asyncio.create_task(self._write(send), name="mqtt write"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _read(self, connection: Connection) -> None:
        async for incoming in connection.messages():
            if incoming.topic == self._publisher.topics.birth:
                if incoming.payload == payloads.ONLINE and not incoming.retain:
                    delay = random.uniform(*BIRTH_DELAY)  # noqa: S311 - no secret
                    self._publisher.repeat_all(self._clock.monotonic() + delay)
            elif not self._watch.take(incoming):
                self._inbox.take(incoming)

    async def _write(self, send: Send) -> None:
        while not self._leaving:
            self._wake.clear()
            await self._publisher.flush(send)
            self._alarm.at(self._publisher.next_due())
            await self._wake.wait()
        await self._publisher.flush(send)

    async def _send(self, connection: Connection, message: Outgoing) -> None:
        """Publish and wait for the broker's receipt. One at a time: nothing piles up in the library."""
        area = "/".join(message.topic.split("/")[:2])
        now = self._clock.monotonic()
        if now < self._denied.get(area, now):
            return
        if (refusal := await connection.publish(message)) is not None:
            self._denied[area] = now + DENIED_SECONDS
            told = "The MQTT broker refuses what we publish on %s: %s. Its ACL must let this user write there."
            self._once.warning(f"publish {area}", told, message.topic, refusal)

    async def _say_offline(self, send: Send, message: Outgoing) -> None:
        with contextlib.suppress(ConnectionLostError, TimeoutError):
            async with asyncio.timeout(OFFLINE_SECONDS):
                await send(message)
