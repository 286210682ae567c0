"""The connection to the broker: kept up for ever, told everything, heard from. The only place that knows aiomqtt."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ..clock import Clock
from ..config.settings import MqttSettings
from ..events import Event, EventBus
from . import state as payloads
from .backoff import Backoff
from .discovery import hub_id
from .inbox import Inbox
from .memory import Memory
from .messages import Incoming, Outgoing
from .once import Once
from .ports import ControlPort, GatewayPort
from .publisher import Publisher

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

_INCOMING: Final = 1000
_LARGEST_PACKET: Final = 4 * 1024 * 1024
_MEMORY_FILE: Final = "mqtt_topics.json"


class _Client(aiomqtt.Client):
    """Tells two things more than its parent: that the broker refused a message, and that it hung up without an answer.

    aiomqtt drops both, so its private callbacks are extended here; the tests against a real broker hold them in place.
    """

    _refusal: str | None = None

    async def tell(self, message: Outgoing, properties: Properties | None) -> str | None:
        """Publish and wait for the receipt; why the broker refused, where it says so. One at a time."""
        self._refusal = None
        await self.publish(message.topic, message.payload, message.qos, message.retain, properties)
        return self._refusal

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if reason_code.is_failure:
            self._refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: ReasonCode, properties: Properties | None = None
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(_NoAnswerError("the broker closed the connection without an answer"))
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def abandon(self) -> None:
        """Close the socket of an attempt that came to nothing: aiomqtt leaves it open and watched."""
        self._client._sock_close()  # noqa: SLF001 - paho offers no public way without the broker's help


class _NoAnswerError(aiomqtt.MqttError):
    """No CONNACK: a broker that does not know this protocol version, perhaps."""


class Bridge:
    """Connects, reconnects, publishes and listens until it is stopped. A broker that is away disturbs nobody else.

    `state` is `disabled`, `waiting` (for someone to name a broker), `connecting`, `connected`, `disconnected`,
    `unauthorized` or `stopped`. `credentials` is asked before every connection where no broker is configured. `data_dir` keeps what was published, to
    be taken away when names change. `keepalive` and `timeout` in seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        control: ControlPort,
        gateway: GatewayPort,
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
        self._keepalive = keepalive
        self._timeout = timeout
        self._memory = Memory(None if data_dir is None else data_dir / _MEMORY_FILE)
        self._once = Once(_LOG)
        self._wake = asyncio.Event()
        self._interrupt = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._stopping = False
        self._leaving = False
        self._denied: dict[str, float] = {}
        self._connected_client: _Client | None = None
        self._speaks: aiomqtt.ProtocolVersion | None = None
        self._make_parts()

    def _make_parts(self) -> None:
        self._publisher = Publisher(self._settings, self._control, self._memory, self._clock, self._wake.set)
        self._inbox = Inbox(self._settings, self._control, self._gateway, self._publisher, self._clock, self._once)

    # --- life

    async def run(self) -> None:
        """Serve until `stop`."""
        self._ended.clear()
        self._memory.load()
        unsubscribe = self._bus.on(self._hear)
        try:
            await self._keep_connected()
        finally:
            unsubscribe()
            await self._inbox.close()
            self.state = "stopped"
            self._ended.set()

    async def stop(self) -> None:
        """Say goodbye to the broker and make `run` return."""
        self._stopping = True
        self._leave()
        await self._ended.wait()

    def reconfigure(self, settings: MqttSettings) -> None:
        """Take other settings; the connection is made anew, and what lay under other names is taken away."""
        if settings == self._settings:
            return
        self._settings = settings
        self._speaks = None
        self._denied.clear()
        self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self._wake.set()
        self._interrupt.set()

    def _hear(self, event: Event) -> None:
        self._publisher.hear(event)

    async def _keep_connected(self) -> None:
        current = self._settings
        while not self._stopping:
            self._leaving = False
            self._interrupt.clear()
            if current != self._settings:
                current = self._settings
                await self._inbox.close()
                self._make_parts()
            broker = await self._broker()
            if broker is None:
                await self._pause(ASK_AGAIN_SECONDS)
                continue
            try:
                await self._session(broker)
            except aiomqtt.MqttError as error:
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
            await asyncio.wait_for(self._interrupt.wait(), seconds)

    def _lost(self, broker: MqttSettings, error: aiomqtt.MqttError) -> None:
        self.state = "unauthorized" if _code(error) in {0x86, 0x87, 4, 5} else "disconnected"
        where = f"{broker.host or 'localhost'}:{broker.port}"
        self._once.warning(f"lost {where} {error}", "No connection to the MQTT broker at %s: %s", where, error)

    # --- one connection

    async def _session(self, broker: MqttSettings) -> None:
        self.state = "connecting"
        client = self._connected_client = await self._connect(broker)
        async with _leaving(client):
            send = functools.partial(self._send, client)
            await self._subscribe(client)
            await self._publisher.open(send, f"{broker.host}:{broker.port}")
            self.state = "connected"
            self._once.again()
            _LOG.info("Connected to the MQTT broker at %s:%s", broker.host or "localhost", broker.port)
            began = self._clock.monotonic()
            try:
                await self._serve(client, send)
            finally:
                if self._clock.monotonic() - began >= self._backoff.longest:
                    self._backoff.worked()
                await self._say_offline(send)

    async def _connect(self, broker: MqttSettings) -> _Client:
        versions = self._versions(broker)
        for version in versions:
            client = self._client(broker, version)
            try:
                await client.__aenter__()
            except aiomqtt.MqttError as error:
                client.abandon()
                if version is versions[-1] or not _may_be_too_new(error):
                    self._speaks = None
                    raise
            except BaseException:
                client.abandon()
                raise
            else:
                self._speaks = version
                return client
        raise AssertionError  # the last version returned or raised

    def _versions(self, broker: MqttSettings) -> list[aiomqtt.ProtocolVersion]:
        """Protocols to try, in order: the newer first, unless it is known what the broker speaks."""
        if broker.embedded or broker.protocol == "3.1.1":
            return [aiomqtt.ProtocolVersion.V311]
        if broker.protocol == "5":
            return [aiomqtt.ProtocolVersion.V5]
        if self._speaks is not None:
            return [self._speaks]
        return [aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311]

    def _client(self, broker: MqttSettings, version: aiomqtt.ProtocolVersion) -> _Client:
        properties = None
        if version is aiomqtt.ProtocolVersion.V5:
            properties = _properties(PacketTypes.CONNECT)
            properties.MaximumPacketSize = _LARGEST_PACKET
        tls = None
        if broker.tls:
            verify = ssl.CERT_NONE if broker.tls_insecure else ssl.CERT_REQUIRED
            tls = aiomqtt.TLSParameters(ca_certs=broker.ca_file, cert_reqs=verify)
        return _Client(
            broker.host or "127.0.0.1",
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=hub_id(self._control.instance_id),
            protocol=version,
            will=aiomqtt.Will(self._publisher.topics.status, payloads.OFFLINE, qos=1, retain=True),
            timeout=self._timeout,
            keepalive=self._keepalive,
            max_queued_incoming_messages=_INCOMING,
            properties=properties,
            tls_params=tls,
            tls_insecure=True if broker.tls_insecure else None,
            logger=_LOG,
        )

    async def _subscribe(self, client: _Client) -> None:
        settings = self._settings
        filters = self._publisher.topics.subscriptions(
            commands=settings.commands, chat=settings.chat, discovery=settings.discovery
        )
        for topic in filters:
            granted = await client.subscribe(topic, qos=1)
            for code in granted:
                if isinstance(code, ReasonCode) and code.is_failure:
                    self._once.warning(
                        f"subscribe {topic}", "The MQTT broker refuses to let us read %s: %s", topic, code
                    )

    async def _serve(self, client: _Client, send: Callable[[Outgoing], Awaitable[None]]) -> None:
        """Read and write until told to leave; whichever fails first ends both."""
        tasks = [
            asyncio.create_task(self._read(client), name="mqtt read"),
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

    async def _read(self, client: _Client) -> None:
        async for message in client.messages:
            incoming = _incoming(message)
            if incoming.topic == self._publisher.topics.birth:
                self._home_assistant_started(incoming)
            else:
                self._inbox.take(incoming)

    def _home_assistant_started(self, message: Incoming) -> None:
        if message.payload == payloads.ONLINE and not message.retain:
            self._publisher.repeat_all(self._clock.monotonic() + random.uniform(*BIRTH_DELAY))  # noqa: S311 - no secret

    async def _write(self, send: Callable[[Outgoing], Awaitable[None]]) -> None:
        while not self._leaving:
            self._wake.clear()
            await self._publisher.flush(send)
            wait = self._publisher.next_due() - self._clock.monotonic()
            if wait > 0 and not self._leaving:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
        await self._publisher.flush(send)

    async def _send(self, client: _Client, message: Outgoing) -> None:
        """Publish and wait for the broker's receipt. One at a time: nothing piles up in the library."""
        area = "/".join(message.topic.split("/")[:2])
        now = self._clock.monotonic()
        if now < self._denied.get(area, now):
            return
        properties = None
        if message.correlation is not None and self._speaks is aiomqtt.ProtocolVersion.V5:
            properties = _properties(PacketTypes.PUBLISH)
            properties.CorrelationData = message.correlation
        if (refusal := await client.tell(message, properties)) is not None:
            self._denied[area] = now + DENIED_SECONDS
            self._once.warning(
                f"publish {area}",
                "The MQTT broker refuses what we publish on %s: %s. Its ACL must let this user write there.",
                message.topic,
                refusal,
            )

    async def _say_offline(self, send: Callable[[Outgoing], Awaitable[None]]) -> None:
        message = Outgoing(self._publisher.topics.status, payloads.OFFLINE, retain=True)
        with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
            await asyncio.wait_for(send(message), OFFLINE_SECONDS)


@contextlib.asynccontextmanager
async def _leaving(client: _Client) -> Any:
    """Disconnect at the end, and close the socket even where the broker does not react."""
    try:
        yield
    finally:
        with contextlib.suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)
        client.abandon()


def _properties(kind: int) -> Properties:
    return Properties(kind)  # type: ignore[no-untyped-call]  # paho's constructor has no annotations


def _code(error: aiomqtt.MqttError) -> int | None:
    """The broker's reason, MQTT 5's or the older one; None where it gave none."""
    if not isinstance(error, aiomqtt.MqttCodeError):
        return None
    return error.rc.value if isinstance(error.rc, ReasonCode) else error.rc


def _may_be_too_new(error: aiomqtt.MqttError) -> bool:
    """Whether an older protocol could do better: refused for its version, hung up on, or left without an answer."""
    return _code(error) in {1, 0x84} or isinstance(error, _NoAnswerError) or "timed out" in str(error)


def _incoming(message: aiomqtt.Message) -> Incoming:
    properties = message.properties
    return Incoming(
        topic=str(message.topic),
        payload=message.payload,
        retain=bool(message.retain),
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=getattr(properties, "CorrelationData", None),
    )
