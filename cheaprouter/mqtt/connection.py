"""One connection to a broker, in the protocol that it speaks. The only place that knows aiomqtt."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ..config.settings import MqttSettings
from .messages import Incoming, Outgoing

_LOG = logging.getLogger(__name__)

_INCOMING: Final = 1000
"""Messages that wait to be read; what comes beyond is dropped with a line in the log."""

_LARGEST_PACKET: Final = 4 * 1024 * 1024
"""Told to an MQTT 5 broker, which then keeps larger ones from us. Of one that MQTT 3.1.1 brings, up to 256 MB, only the beginning and
the end are kept: more than any message may have, so that it is refused like others that are too large."""

_PIECE: Final = 64 * 1024
"""Bytes that are read at once, a hundred times in a turn at most: paho would ask for all that is still to come."""

_BEGINNING: Final = 2 * 1024 * 1024

_V5: Final = aiomqtt.ProtocolVersion.V5
_V311: Final = aiomqtt.ProtocolVersion.V311
_TOO_NEW: Final = frozenset({1, 0x84})
_NOT_YOU: Final = frozenset({4, 5, 0x86, 0x87})


class ConnectionLostError(Exception):
    """No connection came about, or it broke. `unauthorized`: the broker does not accept the login."""

    def __init__(self, message: str, *, unauthorized: bool = False) -> None:
        super().__init__(message)
        self.unauthorized = unauthorized


class Connection:
    """What the bridge does with a broker. Every method raises ConnectionLostError when the connection is gone."""

    def __init__(self, client: _Client, version: aiomqtt.ProtocolVersion) -> None:
        self._client = client
        self._version = version

    @property
    def modern(self) -> bool:
        """Whether the broker speaks MQTT 5."""
        return self._version is _V5

    async def subscribe(self, topic: str, *, others: bool = False) -> str | None:
        """Listen to a topic filter; why the broker refuses, where it says so.

        `others`: to what others publish from now on. MQTT 3.1.1 sends our own and what is retained all the same.
        """
        how = None
        if others and self.modern:
            how = SubscribeOptions(qos=1, noLocal=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        with _lost():
            granted = await self._client.subscribe(topic, qos=1 if how is None else 0, options=how)
        return next((str(c) for c in granted if isinstance(c, ReasonCode) and c.is_failure), None)

    async def publish(self, message: Outgoing) -> str | None:
        """Publish and wait for the broker's receipt; why it refuses, where it says so. One at a time."""
        properties = None
        if message.correlation is not None and self._version is _V5:
            properties = _properties(PacketTypes.PUBLISH)
            properties.CorrelationData = message.correlation
        with _lost():
            return await self._client.tell(message, properties)

    async def messages(self) -> AsyncIterator[Incoming]:
        """What arrives, until the connection is gone."""
        with _lost():
            async for message in self._client.messages:
                yield _incoming(message)


class Connector:
    """Opens connections. `speaks`: which protocol worked last, None to try the newest first. Times in seconds."""

    def __init__(self, identifier: str, keepalive: int, timeout: float) -> None:
        self._identifier = identifier
        self._keepalive = keepalive
        self._timeout = timeout
        self.speaks: aiomqtt.ProtocolVersion | None = None

    @contextlib.asynccontextmanager
    async def connect(self, broker: MqttSettings, will: Outgoing) -> AsyncIterator[Connection]:
        """A connection, closed at the end. Raises ConnectionLostError."""
        client, version = await self._open(broker, will)
        try:
            yield Connection(client, version)
        finally:
            with contextlib.suppress(aiomqtt.MqttError):
                await client.__aexit__(None, None, None)
            client.abandon()

    async def _open(self, broker: MqttSettings, will: Outgoing) -> tuple[_Client, aiomqtt.ProtocolVersion]:
        versions = self._versions(broker)
        for version in versions:
            client = self._client(broker, version, will)
            try:
                await client.__aenter__()
            except aiomqtt.MqttError as error:
                client.abandon()
                if version is versions[-1] or not _may_be_too_new(error):
                    self.speaks = None
                    raise ConnectionLostError(str(error), unauthorized=_code(error) in _NOT_YOU) from error
            except BaseException:
                client.abandon()
                raise
            else:
                self.speaks = version
                return client, version
        raise AssertionError  # the last version returned or raised

    def _versions(self, broker: MqttSettings) -> list[aiomqtt.ProtocolVersion]:
        """Protocols to try, in order: the newer first, unless it is known what the broker speaks."""
        if broker.embedded or broker.protocol == "3.1.1":
            return [_V311]
        if broker.protocol == "5":
            return [_V5]
        return [_V5, _V311] if self.speaks is None else [self.speaks]

    def _client(self, broker: MqttSettings, version: aiomqtt.ProtocolVersion, will: Outgoing) -> _Client:
        properties = None
        if version is _V5:
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
            identifier=self._identifier,
            protocol=version,
            will=aiomqtt.Will(will.topic, will.payload, qos=will.qos, retain=will.retain),
            timeout=self._timeout,
            keepalive=self._keepalive,
            max_queued_incoming_messages=_INCOMING,
            properties=properties,
            tls_params=tls,
            tls_insecure=True if broker.tls_insecure else None,
            logger=_LOG,
        )


class _Client(aiomqtt.Client):
    """Tells that the broker refused a message, and that it hung up without an answer; reads in turns, and keeps nothing too large.

    aiomqtt and paho do none of it, so their private parts are extended here; the tests against a real broker hold them in place.
    """

    _refusal: str | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        paho, receive, read = self._client, self._client._sock_recv, self._client._packet_read  # noqa: SLF001 - as above

        def read_some() -> Any:
            state = read()
            packet = paho._in_packet  # noqa: SLF001 - as above
            if packet["remaining_length"] > _LARGEST_PACKET:
                del packet["packet"][_BEGINNING:]
            return state

        paho._sock_recv = lambda bufsize: receive(min(bufsize, _PIECE))  # type: ignore[method-assign]  # noqa: SLF001 - as above
        paho._packet_read = read_some  # type: ignore[method-assign]  # noqa: SLF001 - as above

    async def tell(self, message: Outgoing, properties: Properties | None) -> str | None:
        """Publish and wait for the receipt; why the broker refused."""
        self._refusal = None
        await self.publish(message.topic, message.payload, message.qos, message.retain, properties)
        return self._refusal

    def abandon(self) -> None:
        """Close the socket whatever its state: aiomqtt leaves it open and watched when an attempt came to nothing."""
        self._client._sock_close()  # noqa: SLF001 - paho offers no public way without the broker's help
        self._look_at_end()

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        if reason_code.is_failure:
            self._refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: ReasonCode, properties: Properties | None = None
    ) -> None:
        if self._connected.cancelled():
            return  # we no longer wait for it, and its parent would ask how that ended
        if not self._connected.done():
            self._connected.set_exception(_NoAnswerError("the broker closed the connection without an answer"))
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        self._look_at_end()

    def _look_at_end(self) -> None:
        """See why it ended: aiomqtt drops that where the end comes too early, and the event loop reports it as forgotten."""
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()


class _NoAnswerError(aiomqtt.MqttError):
    """No CONNACK: a broker that does not know this protocol version, perhaps."""


@contextlib.contextmanager
def _lost() -> Any:
    try:
        yield
    except aiomqtt.MqttError as error:
        raise ConnectionLostError(str(error)) from error


def _properties(kind: int) -> Properties:
    return Properties(kind)  # type: ignore[no-untyped-call]  # paho's constructor has no annotations


def _code(error: aiomqtt.MqttError) -> int | None:
    """The broker's reason, MQTT 5's or the older one; None where it gave none."""
    if not isinstance(error, aiomqtt.MqttCodeError):
        return None
    return error.rc.value if isinstance(error.rc, ReasonCode) else error.rc


def _may_be_too_new(error: aiomqtt.MqttError) -> bool:
    """Whether an older protocol could do better: refused for its version, hung up on, or left without an answer."""
    return _code(error) in _TOO_NEW or isinstance(error, _NoAnswerError) or "timed out" in str(error)


def _incoming(message: aiomqtt.Message) -> Incoming:
    answer_on = getattr(message.properties, "ResponseTopic", None)
    correlation = getattr(message.properties, "CorrelationData", None)
    return Incoming(str(message.topic), message.payload, bool(message.retain), answer_on, correlation)
