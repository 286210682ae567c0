"""A headless Chromium over its DevTools protocol: no driver, no further package."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def program() -> str:
    """Where Chromium is; script/test installs it where it is missing."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert found, "No Chromium is installed: apt-get install chromium"
    return found


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def listen(self) -> None:
        async for message in self._socket:
            event = message.json()
            if (waiting := self._answers.pop(event.get("id", 0), None)) is not None:
                waiting.set_result(event)
            elif event.get("method") == "Network.requestWillBeSent":
                self.requests.append(event["params"]["request"]["url"])
            elif event.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(event["params"]["exceptionDetails"]["exception"].get("description", "?"))
            elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                self.complaints.append(event["params"]["entry"]["text"])

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The browser's whole answer, errors included."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        try:
            return await asyncio.wait_for(self._answers[number], 20)
        finally:
            self._answers.pop(number, None)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        answer = await self.send(method, **params)
        assert "error" not in answer, answer
        return answer["result"]

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true. Asked anew each time: a page on its way to another one forgets its promises."""
        async with asyncio.timeout(30):
            while not await self._true(script):
                await asyncio.sleep(0.02)

    async def _true(self, script: str) -> bool:
        guarded = f"(() => {{ try {{ return !!({script}); }} catch {{ return false; }} }})()"
        answer = await self.send("Runtime.evaluate", expression=guarded, returnByValue=True)
        return answer.get("result", {}).get("result", {}).get("value") is True

    async def look(self, *, width: int, height: int = 900, dark: bool = False, language: str = "en") -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        await self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.body && document.body.dataset.ready")

    async def picture(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A fresh browser with one empty tab; gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-port=0",
            f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env=os.environ | {"HOME": profile},
        )  # fmt: skip
        try:
            port = await _port(Path(profile))
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tab = next(t for t in await answer.json(content_type=None) if t["type"] == "page")
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    listening = asyncio.create_task(page.listen(), name="devtools")
                    try:
                        for domain in ("Page", "Network", "Runtime", "Log"):
                            await page.call(f"{domain}.enable")
                        yield page
                    finally:
                        listening.cancel()
                        with suppress(asyncio.CancelledError):
                            await listening
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _port(profile: Path) -> str:
    file = profile / "DevToolsActivePort"
    for _ in range(600):
        if file.exists() and (lines := file.read_text().splitlines()):
            return lines[0]
        await asyncio.sleep(0.05)
    raise AssertionError("Chromium did not start")
