"""The whole router in this process, on a free port, with state in a folder of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml
from openai import AsyncOpenAI

from cheaprouter.main.app import App, Options, serving


class Client:
    """A router under test, with an SDK client and a plain HTTP session."""

    def __init__(self, app: App, http: aiohttp.ClientSession, sdk: AsyncOpenAI) -> None:
        self.app = app
        self.http = http
        self.sdk = sdk
        self.url = app.url

    async def get(self, path: str, **kwargs):
        """A GET's JSON."""
        async with self.http.get(self.url + path, **kwargs) as reply:
            return await reply.json()

    def admin(self) -> dict[str, str]:
        """Headers that may change things."""
        return {"Authorization": f"Bearer {self.app.house.admin_key}"}

    async def audit(self) -> list[dict]:
        """All booked requests, newest first."""
        return (await self.get("/v1/audit?limit=1000", headers=self.admin()))["data"]


@asynccontextmanager
async def router(
    folder: Path, settings: dict | None = None, *, device: str = "test", **options
) -> AsyncIterator[Client]:
    """Serve with `settings` as the YAML file."""
    folder.mkdir(parents=True, exist_ok=True)
    if settings is not None:
        (folder / "cheaprouter.yaml").write_text(yaml.safe_dump(settings))
    given = {"config": None, "data": folder, "host": "127.0.0.1", "port": 0, **options}
    async with (
        serving(Options(**given)) as app,
        aiohttp.ClientSession() as http,
        AsyncOpenAI(
            base_url=f"{app.url}/v1", api_key="placeholder", max_retries=0, default_headers={"X-Device-ID": device}
        ) as sdk,
    ):
        yield Client(app, http, sdk)
