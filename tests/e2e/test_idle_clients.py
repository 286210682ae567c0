"""Clients that ask and do not read: cut off after `http.client_idle`, settled, and in nobody's way."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tests.builders import a_house, a_model_row, saying, until
from tests.doors.wire import a_post
from tests.fakes.billing_server import billing_server
from tests.fakes.router import router

ROW = a_model_row("lab/paid", price={"input": 1, "output": 10}, capabilities=["tools"])


def a_client_that_never_reads(port, body, *, usual):
    """A connection with as little room as the system gives, that has asked."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    client.connect(("127.0.0.1", port))
    client.sendall(a_post(json.dumps(body).encode(), {"Host": f"127.0.0.1:{port}"}, usual=usual))
    return client


@pytest.mark.parametrize("usual", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_reads_nothing_is_cut_off_and_settled(tmp_path, usual, stream):
    async with billing_server() as server:
        server.tokens, server.obeys, server.word = 3000, False, "word " * 2000
        house = a_house(server.url, ROW, http={"client_idle": 1}, budget={"daily": 1000})
        async with router(tmp_path, house) as client:
            gateway, ledger = client.app.house.gateway, client.app.house.accounts.ledger
            body = {"model": "lab/paid", "messages": saying("Write."), "stream": stream}
            asked = a_client_that_never_reads(int(client.url.rsplit(":", 1)[1]), body, usual=usual)
            try:
                await until(lambda: server.written and not gateway.running, timeout=30)
                assert ledger.reserved(None) == 0
                assert (await client.audit())[0]["status"] == (499 if stream else 200)
                await asyncio.sleep(0)
                await until(lambda: is_reset(asked), timeout=30)
            finally:
                asked.close()


def is_reset(client):
    """Whether the other side has given the connection up."""
    return bool(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


async def test_a_client_that_reads_slowly_is_served_to_the_end(tmp_path):
    async with billing_server() as server:
        server.tokens, server.word = 300, "word " * 200
        house = a_house(server.url, ROW, http={"client_idle": 1})
        async with router(tmp_path, house) as client:
            body = {"model": "lab/paid", "messages": saying("Write."), "stream": True}
            reader, writer = await asyncio.open_connection("127.0.0.1", int(client.url.rsplit(":", 1)[1]), limit=1024)
            writer.write(a_post(json.dumps(body).encode(), {"Host": client.url.removeprefix("http://")}))
            got = b""
            while not got.endswith(b"0\r\n\r\n") and (data := await reader.read(4096)):
                got += data
            writer.close()
    assert b"[DONE]" in got
