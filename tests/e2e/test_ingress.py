"""The whole router with its status page, as the Supervisor starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from openai import APIStatusError

from tests.builders import a_model_row, a_provider, saying
from tests.e2e.browser import browser
from tests.fakes.router import Client, router

KEY = "sk-a-provider-key-that-nobody-may-see"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[tuple[Client, str]]:
    settings = {
        "auth": "open",
        "providers": {"lab": a_provider("http://127.0.0.1:9/v1", a_model_row("lab/a"), api_key=KEY)},
        "devices": {"tablet": {"name": "Kitchen tablet", "daily_budget": 5}},
    }
    async with router(tmp_path, settings, device="tablet", ingress_port=0) as client:
        yield client, f"http://127.0.0.1:{client.app.ingress.port}"


async def ask(client: Client, model: str = "mock/default") -> None:
    await client.sdk.chat.completions.create(model=model, messages=saying("Hello"))


async def status(client: Client, address: str) -> dict:
    async with client.http.get(f"{address}/status.json") as answer:
        assert answer.status == 200
        return await answer.json()


async def test_a_finished_request_is_on_the_page(home: tuple[Client, str]) -> None:
    client, address = home
    await ask(client)
    page = await status(client, address)
    assert page["hub"]["requests"] == 1
    assert page["recent"][0]["routed_model"] == "mock/default"
    assert page["recent"][0]["reason"]
    assert page["devices"][0]["name"] == "Kitchen tablet"


async def test_the_page_knows_the_port_and_whether_keys_are_needed(home: tuple[Client, str]) -> None:
    client, address = home
    reach = (await status(client, address))["reach"]
    assert (reach["port"], reach["keys"]) == (client.app.lan.port, False)


async def test_no_secret_reaches_the_page(home: tuple[Client, str]) -> None:
    client, address = home
    with pytest.raises(APIStatusError):  # the provider is not there: its error has to be clean, too
        await client.sdk.chat.completions.create(model="lab/a", messages=saying("a private sentence"))
    page = json.dumps(await status(client, address))
    for secret in (KEY, client.app.house.admin_key, "a private sentence"):
        assert secret not in page


async def test_the_models_have_their_prices(home: tuple[Client, str]) -> None:
    client, address = home
    models = {model["id"]: model for model in (await status(client, address))["models"]}
    assert (models["lab/a"]["input"], models["lab/a"]["output"]) == (1, 2)


async def test_the_status_page_is_not_on_the_lan_port_nor_the_api_on_the_other(home: tuple[Client, str]) -> None:
    client, address = home
    for url in (f"{client.url}/status.json", f"{address}/v1/models", f"{address}/router/keys", f"{address}/metrics"):
        async with client.http.get(url) as answer:
            assert answer.status == 404


async def test_home_assistants_identity_headers_are_refused_on_the_lan_port(home: tuple[Client, str]) -> None:
    client, _ = home
    async with client.http.get(f"{client.url}/v1/models", headers={"X-Remote-User-Id": "1"}) as answer:
        assert answer.status in {400, 403}


async def test_a_browser_sees_a_request_appear(home: tuple[Client, str]) -> None:
    client, address = home
    async with browser() as page:
        await page.look(width=390)
        await page.open(address)
        await ask(client)
        await page.until("document.getElementById('recent').innerText.includes('mock/default')")
        assert await page.run("document.documentElement.scrollWidth") <= 390
        assert not page.complaints


async def test_under_the_supervisor_the_page_knows_the_names_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def supervisor(request: web.Request) -> web.Response:
        answers = {
            "/addons/self/info": {
                "version": "0.1.0",
                "hostname": "local-cheaprouter",
                "network": {"4000/tcp": 4001, "0/tcp": 4001},
            },
            "/info": {"hostname": "homeassistant"},
        }
        if request.headers.get("Authorization") != "Bearer t0ken" or request.path not in answers:
            return web.Response(status=400)
        return web.json_response({"result": "ok", "data": answers[request.path]})

    fake = web.Application()
    fake.router.add_get("/{path:.*}", supervisor)
    runner = web.AppRunner(fake)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr("cheaprouter.home_assistant.supervisor.BASE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    async with router(tmp_path, {}, ingress_port=0, supervisor_token="t0ken") as client:
        address = f"http://127.0.0.1:{client.app.ingress.port}"
        for _ in range(200):
            reach = (await status(client, address))["reach"]
            if reach["internal_host"]:
                break
            await asyncio.sleep(0.05)
    await runner.cleanup()
    assert reach == {
        "port": 4001,
        "lan_host": "homeassistant.local",
        "internal_host": "local-cheaprouter",
        "keys": False,
    }


async def test_a_supervisor_that_never_answers_does_not_hold_up_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        writer.close()

    deaf = await asyncio.start_server(hold, "127.0.0.1", 0)
    monkeypatch.setattr(
        "cheaprouter.home_assistant.supervisor.BASE_URL", f"http://127.0.0.1:{deaf.sockets[0].getsockname()[1]}"
    )
    monkeypatch.setattr("cheaprouter.main.app._GOODBYE_SECONDS", 0.05)
    async with asyncio.timeout(8), router(tmp_path, {}, ingress_port=0, supervisor_token="t0ken") as client:
        await client.get("/health")
    deaf.close()


async def test_health_is_degraded_when_no_real_provider_is_left(home: tuple[Client, str]) -> None:
    client, _ = home
    assert (await client.get("/health"))["status"] == "ok"
    for _ in range(3):
        with contextlib.suppress(APIStatusError):
            await client.sdk.with_options(max_retries=0).chat.completions.create(model="lab/a", messages=saying("x"))
    assert (await client.get("/health"))["providers"]["lab"] == "down"
    assert (await client.get("/health"))["status"] == "degraded"
