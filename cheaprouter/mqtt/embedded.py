"""A broker of our own, on the loopback only: for trying things out with none installed.

It is amqtt (extra `demo`), which speaks MQTT 3.1.1, keeps nothing on disk and asks for no password. Home Assistant needs a
real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections.abc import AsyncIterator
from typing import Any, Final

from ..core.errors import ConfigurationError

HOST: Final = "127.0.0.1"

_LOG = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def embedded_broker(port: int) -> AsyncIterator[int]:
    """Run the broker; yields the port that it listens on (`port` 0: a free one).

    Raises ConfigurationError where amqtt is not installed or the port is taken.
    """
    log = logging.getLogger("amqtt")
    log.setLevel(logging.CRITICAL)  # a port that is taken is told below, without its traceback
    broker = _broker(port)
    try:
        await broker.start()
    except Exception as error:
        raise ConfigurationError([f"mqtt: the embedded broker cannot use port {port}: {error}"]) from error
    finally:
        log.setLevel(logging.ERROR)
    try:
        bound = _port(broker)
        _LOG.info("Embedded MQTT broker (3.1.1, for trying out) on mqtt://%s:%s", HOST, bound)
        yield bound
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await broker.shutdown()


def _broker(port: int) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its dependencies deprecate one another at import
            from amqtt.broker import Broker  # noqa: PLC0415 - an optional extra that costs 37 MB
            from amqtt.contexts import BrokerConfig, ListenerConfig  # noqa: PLC0415 - likewise
    except ImportError as error:
        told = "mqtt: `embedded` needs the extra `demo`: pip install 'cheaprouter[demo]'"
        raise ConfigurationError([told]) from error
    logging.getLogger("transitions").setLevel(logging.ERROR)
    config = BrokerConfig(
        listeners={"default": ListenerConfig(bind=f"{HOST}:{port}")},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )
    return Broker(config)


def _port(broker: Any) -> int:
    server = broker._servers["default"].instance  # noqa: SLF001 - amqtt does not tell the port it got for 0
    return int(server.sockets[0].getsockname()[1])
