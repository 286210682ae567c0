"""What an outsider throws at the door: bodies that are no fault of the router's, and a disk that fails it."""

import errno
from pathlib import Path

import pytest

from tests.builders import a_house, a_model_row, saying
from tests.fakes.fault_server import fault_server
from tests.fakes.router import router

ASK = "/v1/chat/completions"
HELLO = b'{"model": "lab/small", "messages": [{"role": "user", "content": "hi"}], "x": %s}'


@pytest.fixture
async def lab(tmp_path):
    """A router in front of a real upstream."""
    async with fault_server() as upstream:
        settings = a_house(upstream.url, a_model_row("lab/small"))
        async with router(tmp_path, settings) as client:
            yield client


async def post(client, body: bytes, **headers: str):
    async with client.http.post(
        client.url + ASK, data=body, headers={"Content-Type": "application/json", **headers}
    ) as reply:
        return reply.status, await reply.json()


@pytest.mark.parametrize("levels", [250, 900, 5000])
async def test_json_nested_too_deeply_to_be_passed_on_is_the_clients_fault(lab, levels):
    status, said = await post(lab, HELLO % (b"[" * levels + b"]" * levels))
    assert (status, said["error"]["code"]) == (400, "invalid_json")


async def test_deeply_nested_tools_are_refused_alike(lab):
    tools = b"[" + b'{"a":' * 600 + b"1" + b"}" * 600 + b"]"
    status, said = await post(lab, HELLO.replace(b'"x"', b'"tools"') % tools)
    assert (status, said["error"]["code"]) == (400, "invalid_json")


async def test_json_nested_as_deeply_as_schemas_are_passes(lab):
    status, _ = await post(lab, HELLO % (b'{"a": [' * 90 + b"]}" * 90))
    assert status == 200


async def test_brackets_in_text_are_not_nesting(lab):
    status, _ = await post(lab, HELLO % (b'"' + b"[" * 5000 + b'"'))
    assert status == 200


async def test_a_body_that_is_not_compressed_as_it_says_is_the_clients_fault(lab):
    status, said = await post(lab, HELLO % b"1", **{"Content-Encoding": "gzip"})
    assert (status, said["error"]["code"]) == (400, "invalid_body")


async def test_a_budget_is_told_as_it_was_set(lab):
    patch = f"{lab.url}/router/devices/test"
    async with lab.http.patch(patch, json={"daily_budget": 0.0000001}, headers=lab.admin()) as reply:
        assert reply.status == 200
    _, said = await post(lab, HELLO % b"1", **{"X-Device-ID": "test"})
    assert "($0.0000001)" in said["error"]["message"]


async def test_health_says_when_bookings_cannot_be_kept(tmp_path, monkeypatch):
    async with router(tmp_path) as client:
        journal = client.app.house.recorder._journal
        monkeypatch.setattr(journal, "failing", True)
        state = await client.get("/health", headers=client.admin())
    assert state["status"] == "degraded"
    assert "disk" in state["problems"][0]


async def test_a_folder_that_cannot_be_written_is_no_reason_not_to_serve(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("write_text", "touch"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr("cheaprouter.accounts.keys.reset_admin_key", refuse)
    async with router(tmp_path) as client:
        reply = await client.sdk.chat.completions.create(model="blockrun/auto", messages=saying("hi"))
        state = await client.get("/health")
    assert reply.choices[0].message.content
    assert state["status"] == "degraded"


async def test_a_reply_that_the_stop_cuts_off_is_not_booked_as_the_clients_doing(tmp_path, monkeypatch):
    monkeypatch.setattr("cheaprouter.main.app.DRAIN_SECONDS", 0.01)
    async with router(tmp_path) as client:
        stream = await client.sdk.chat.completions.create(
            model="mock/default", messages=saying("[[n=100 d=500]]"), stream=True
        )
        await anext(stream)
        await client.app.drain()
    async with router(tmp_path) as client:
        newest = (await client.audit())[0]
    assert (newest["status"], newest["error"]) == (503, "shutting_down")


async def test_a_client_that_leaves_is_booked_as_such(tmp_path):
    async with router(tmp_path) as client:
        stream = await client.sdk.chat.completions.create(
            model="mock/default", messages=saying("[[n=100 d=500]]"), stream=True
        )
        await anext(stream)
        await stream.close()
        await client.app.house.gateway.idle()
        newest = (await client.audit())[0]
    assert (newest["status"], newest["error"]) == (499, "client_disconnected")
