"""Local servers are asked what their models can do, each in its own way, over real connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.calendar import Clock
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.upstream import survey
from cheaprouter.upstream.direct import DirectTransport

SHOWN = {
    "llama": {
        "capabilities": ["completion", "tools"],
        "model_info": {"general.architecture": "l", "l.context_length": 8192},
    },
    "bge": {"capabilities": ["embedding"]},
}


class Local:
    """A local server with its own API beside the common one. `asked`: paths, in order."""

    def __init__(self, *, slow: bool = False) -> None:
        self.asked: list[str] = []
        self.slow = slow
        self.app = web.Application()
        self.app.router.add_get("/v1/models", self.models)
        self.app.router.add_post("/api/show", self.show)
        self.app.router.add_get("/props", self.props)
        self.listed: Any = [{"id": "llama"}, {"id": "bge"}, {"id": "gone"}]

    async def models(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.json_response({"object": "list", "data": self.listed})

    async def show(self, request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        self.asked.append(name)
        if self.slow:
            await asyncio.Event().wait()
        return web.json_response(SHOWN[name]) if name in SHOWN else web.json_response({"error": "no"}, status=404)

    async def props(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.json_response({"default_generation_settings": {"n_ctx": 4096}})


async def discovered(fake: Local, kind: str, **more: Any) -> Any:
    transport = DirectTransport()
    async with TestServer(fake.app) as server:
        adapter = adapter_for(ProviderSettings("home", kind, str(server.make_url("/v1")), **more))
        found = await survey.discover([adapter], transport, Clock())
        await transport.close()
    return found.get("home")


async def test_an_ollamas_models_are_asked_for_one_by_one():
    local = Local()
    assert await discovered(local, "ollama") == [
        {"id": "llama", "capabilities": ["json_schema", "tools"], "context": 8192},
        {"id": "gone"},
    ]
    assert local.asked == ["/v1/models", "llama", "gone"]  # the name of the other says enough


async def test_a_llama_cpp_is_asked_for_its_window():
    local = Local()
    local.listed = [{"id": "x.gguf", "meta": {"n_ctx_train": 131072}}]
    assert await discovered(local, "llamacpp") == [{"id": "x.gguf", "context": 4096}]


async def test_a_server_that_signs_its_list_is_known_by_that_if_it_is_at_home():
    for local_one, asked in ((True, ["/v1/models", "llama"]), (False, ["/v1/models"])):
        local = Local()
        local.listed = [{"id": "llama", "owned_by": "library"}]
        await discovered(local, "openai", local=local_one)
        assert local.asked == asked


async def test_what_is_known_stays_where_a_server_takes_too_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(survey, "CHECK_SECONDS", 0.3)
    assert [model["id"] for model in await discovered(Local(slow=True), "ollama")] == ["llama", "gone"]
