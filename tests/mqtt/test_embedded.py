from __future__ import annotations

import asyncio
import sys

import aiomqtt
import pytest

from cheaprouter.core.errors import ConfigurationError
from cheaprouter.mqtt.embedded import embedded_broker
from tests.builders import free_port
from tests.fakes.mosquitto import watching


async def test_it_listens_on_the_loopback_alone_and_frees_its_port():
    port = free_port()
    async with embedded_broker(port) as bound:
        assert bound == port
        async with watching(port, protocol=aiomqtt.ProtocolVersion.V311) as seen:
            await seen.client.publish("a", b"b", qos=1)
            await seen.until(lambda: seen.on("a"))
    async with embedded_broker(port):
        pass


async def test_a_port_that_is_taken_is_named_without_a_traceback(caplog):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(ConfigurationError, match=f"cannot use port {port}"):
            async with embedded_broker(port):
                pass
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


async def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(ConfigurationError, match=r"cheaprouter\[demo\]"):
        async with embedded_broker(0):
            pass
