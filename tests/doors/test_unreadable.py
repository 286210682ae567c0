"""What is no HTTP is refused as everything else is: as JSON in OpenAI's shape, with an id, and without anybody's version."""

from __future__ import annotations

import pytest

from tests.doors.wire import a_post

REFUSED = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a long header": (a_post(headers={"X-Long": "hunter22" * 2000}), 400),
    "a long address": (b"GET /" + b"hunter22" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a length that is none": (a_post(headers={"Content-Length": "hunter22"}), 400),
    "a space in a name": (b"GET /health HTTP/1.1\r\nHost: x\r\nhunter22 hunter22: y\r\n\r\n", 400),
    "a nought": (b"GET /health HTTP/1.1\r\nHost: x\r\nA: hunter22\x00\r\n\r\n", 400),
    "no URL": (b"GET http://[::hunter22 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "another version": (b"GET /hunter22 HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    "too many headers": (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(500)) + b"\r\n", 400),
    "a length and chunks": (a_post(headers={"Transfer-Encoding": "chunked"}) + b"hunter22", 400),
    "two hosts": (b"GET /health HTTP/1.1\r\nHost: x\r\nHost: hunter22\r\n\r\n", 400),
    "a strange expectation": (a_post(headers={"Expect": "hunter22"}), 417),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "status"), REFUSED.values(), ids=REFUSED)
async def test_it_is_refused_in_openais_shape(api, raw, status):
    [found] = await api.ask(raw)
    assert found.status == status
    error = found.json["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert found.header("Content-Type").startswith("application/json")
    assert found.header("x-request-id").startswith("req_")
    assert found.header("Server") == "CheapRouter"
    assert "hunter22" not in str(found)
    assert "aiohttp" not in str(found)


async def test_the_connection_ends_with_what_cannot_be_read(api):
    wire = await api.connect()
    await wire.say(b"\x16\x03\x01\r\n\r\n")
    await wire.answers()
    await wire.say()
    assert wire.closed
