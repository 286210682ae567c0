"""The page in a real browser, on a phone and on a desk, in the light and in the dark."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from cheaprouter.core.calendar import Clock
from cheaprouter.core.events import DeviceAdded, EventBus
from cheaprouter.dashboard.site import build_site
from cheaprouter.dashboard.status import Reach
from tests.dashboard.home import NOW, Home
from tests.e2e.browser import Page, browser

pytestmark = pytest.mark.asyncio(loop_scope="module")
BUS = EventBus()


@pytest.fixture(scope="module")
def home() -> Home:
    return Home()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(home: Home) -> AsyncIterator[str]:
    reach = Reach(4000, "homeassistant.local", "local-cheaprouter", keys=True)
    site = build_site(home, BUS, lambda: reach, Clock(utcnow=lambda: NOW))
    outer = (
        web.Application()
    )  # Home Assistant's place: a path of its own with the prefix stripped, and a frame around it
    outer.add_subapp("/api/hassio_ingress/t0k3n", site)
    outer.router.add_get("/frame", _frame)
    runner = web.AppRunner(outer)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _frame(request: web.Request) -> web.Response:
    page = '<!doctype html><html lang="nl"><iframe src="/api/hassio_ingress/t0k3n/" width="800" height="900"></iframe></html>'
    return web.Response(text=page, content_type="text/html")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab() -> AsyncIterator[Page]:
    async with browser() as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def page(tab: Page, address: str) -> Page:
    tab.complaints.clear()
    tab.requests.clear()
    await tab.run("localStorage.clear()") if (await tab.run("location.protocol")) == "http:" else None
    await tab.look(width=1280)
    await tab.open(f"{address}/api/hassio_ingress/t0k3n/")
    return tab


async def test_the_page_shows_the_home_without_a_complaint(page: Page) -> None:
    text = await page.run("document.body.innerText")
    for part in (
        "All is well",
        "€0.18",
        "Kitchen tablet",
        "openrouter",
        "429 rate_limit_exceeded",
        "http://local-cheaprouter:4000/v1",
    ):
        assert part in text
    assert not page.complaints


async def test_everything_is_asked_for_below_the_ingress_path(page: Page, address: str) -> None:
    assert page.requests
    assert all(url.startswith(f"{address}/api/hassio_ingress/t0k3n/") for url in page.requests)


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "nl"])
async def test_nothing_is_wider_than_the_screen(page: Page, width: int, language: str) -> None:
    await page.look(width=width, language=language)
    await page.open(await page.run("location.href"))
    await page.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert await page.run("document.documentElement.lang") == language
    assert await page.run("document.documentElement.scrollWidth") <= width


_CONTRAST = """(() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
  const rgb = colour => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = node => { for (let n = node; n; n = n.parentElement) { const c = getComputedStyle(n).backgroundColor;
    if (c !== 'rgba(0, 0, 0, 0)') return rgb(c); } return [255, 255, 255]; };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const node = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${walk.currentNode.textContent.trim()}`); }
  return faint; })()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_all_text_stands_out_enough(page: Page, dark: bool) -> None:
    await page.look(width=1280, dark=dark)
    assert await page.run(_CONTRAST) == []


async def test_the_chosen_colours_win_over_the_systems_and_last(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    before = await page.run(background)
    await page.run(
        "(() => { const s = document.getElementById('theme'); s.value = 'dark'; s.dispatchEvent(new Event('change')); })()"
    )
    dark = await page.run(background)
    assert dark != before
    await page.open(await page.run("location.href"))
    assert await page.run(background) == dark


async def test_a_request_appears_by_itself(page: Page, home: Home) -> None:
    home.devices["new-robot"] = {"requests": 1, "last_seen": datetime(2026, 11, 23, 12, tzinfo=UTC).isoformat()}
    await page.until("document.body.dataset.ready")
    BUS.publish(DeviceAdded("new-robot"))
    await page.until("document.getElementById('devices').innerText.includes('New robot')")


async def test_text_from_outside_stays_text(page: Page, home: Home) -> None:
    home.requests[0] = home.requests[0] | {"routed_model": "<img src=x onerror=alert(1)>"}
    BUS.publish(DeviceAdded("x"))
    await page.until("document.getElementById('recent').innerText.includes('<img src=x')")
    assert await page.run("document.querySelectorAll('#recent img').length") == 0


async def test_the_page_follows_home_assistants_language(page: Page, address: str) -> None:
    await page.call("Page.navigate", url=f"{address}/frame")
    await page.until("frames[0]?.document.documentElement.lang === 'nl'")
    await page.until("frames[0].document.body.innerText.includes('Alles in orde')")


async def test_every_control_has_a_name(page: Page) -> None:
    tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    controls = [
        n
        for n in tree
        if n.get("role", {}).get("value") in {"button", "combobox", "link", "progressbar", "DisclosureTriangle"}
    ]
    assert controls
    assert not [n["role"]["value"] for n in controls if not n.get("name", {}).get("value")]


async def test_the_copy_button_copies_and_says_so(page: Page) -> None:
    await page.run(
        "(() => { window.copied = ''; document.execCommand = () => { copied = document.activeElement.value; return true; }; Object.defineProperty(navigator, 'clipboard', {value: undefined}); })()"
    )
    await page.run("document.querySelector('#connect button').click()")
    await page.until("document.getElementById('said').textContent === 'Copied'")
    assert (await page.run("copied")).endswith(":4000/v1")


async def test_pictures_for_people(page: Page, tmp_path: Path) -> None:
    """With SCREENSHOTS=<folder> they are kept."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    for width in (390, 1280):
        for dark in (False, True):
            await page.look(width=width, dark=dark)
            picture = folder / f"status-{width}-{'dark' if dark else 'light'}.png"
            await page.picture(picture)
            assert picture.stat().st_size > 10_000
