"""Our own API: under `/router` providers, devices, usage, settings and why a request would go where; beside it how all is.

Reads are open to callers as the `auth` mode says; every change needs the admin key.
"""

from __future__ import annotations

import html
from string import Template
from typing import Final

from aiohttp import web

from ..control import Control
from ..core.const import VERSION
from ..core.errors import InvalidRequestError, NotFoundError
from ..core.ids import clean_id
from ..core.models import Json
from .context import CONTROL, for_admin, for_reader, identify, is_admin, json_response, read_json

_MOST_AUDIT_ROWS: Final = 10_000
_MOST_DIGITS: Final = 9
_FOR_ADMINS: Final = "There are problems: ask with the admin key, or see the log or the status page, for what they are."


async def providers(request: web.Request) -> web.Response:
    """Each provider's state; `?check=1` asks them now (admin: it makes calls with the keys)."""
    if request.query.get("check", "") in {"1", "true", "yes"}:
        return json_response({"data": await for_admin(request).check_providers()})
    return json_response({"data": for_reader(request).providers()})


async def clear_cooldowns(request: web.Request) -> web.Response:
    """Let every provider be tried again at once."""
    for_admin(request).clear_cooldowns()
    return json_response({"ok": True})


async def devices(request: web.Request) -> web.Response:
    """All known devices with their state and settings."""
    control = for_reader(request)
    return json_response({"data": [control.device_report(i) for i in control.device_ids()]})


async def device(request: web.Request) -> web.Response:
    """One device."""
    control = for_reader(request)
    return json_response(control.device_report(_known(control, request)))


async def set_device(request: web.Request) -> web.Response:
    """Change settings of a device, known or to come: `{"rpm": 10, "profile": "eco"}`; null goes back to the default."""
    control = for_admin(request)
    device_id = clean_id(request.match_info["id"])
    control.set_device_many(device_id, _object(await read_json(request)))
    return json_response(control.device_report(device_id))


async def remove_device(request: web.Request) -> web.Response:
    """Forget a device, its run-time settings and its place in Home Assistant; its spend stays in the books."""
    control = for_admin(request)
    control.remove_device(_known(control, request))
    return json_response({"ok": True})


async def reset_budget(request: web.Request) -> web.Response:
    """Begin a device's budgets of this day and month anew."""
    control = for_admin(request)
    control.reset_budget(_known(control, request))
    return json_response({"ok": True})


async def acknowledge_problems(request: web.Request) -> web.Response:
    """Somebody has read what was lost of the books: hard budgets go by what is left of them from now on."""
    for_admin(request).acknowledge_problems()
    return json_response({"ok": True})


async def settings(request: web.Request) -> web.Response:
    """The router's own run-time settings."""
    return json_response(for_reader(request).hub_settings())


async def set_settings(request: web.Request) -> web.Response:
    """Change them: `{"profile": "eco"}`."""
    control = for_admin(request)
    control.set_hub_many(_object(await read_json(request)))
    return json_response(control.hub_settings())


async def usage(request: web.Request) -> web.Response:
    """What was used: `?from=2026-11-01&to=2026-11-30&group_by=device`, `&format=csv` for a spreadsheet."""
    reports, query = for_reader(request).reports, dict(request.query)
    if query.pop("format", "json") == "csv":
        headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
        return web.Response(text=await reports.usage_csv(query), content_type="text/csv", headers=headers)
    return json_response(await reports.usage(query))


async def route(request: web.Request) -> web.Response:
    """Explain which model a chat body would go to, and why, without calling anyone."""
    caller = identify(request)
    body = _object(await read_json(request))
    device_id = body.pop("device", None) or caller.device_id
    return json_response(request.app[CONTROL].explain(body, clean_id(str(device_id))))


async def list_keys(request: web.Request) -> web.Response:
    """The devices' keys: names and dates, never the keys."""
    return json_response({"data": await for_admin(request).accounts.list_keys()})


async def add_key(request: web.Request) -> web.Response:
    """A new key for `{"device": "kitchen"}`; shown this once."""
    control = for_admin(request)
    name = _object(await read_json(request)).get("device")
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError("`device` must name the device that gets the key.", param="device")
    key = await control.accounts.add_key(clean_id(name))
    return json_response({"device": clean_id(name), "key": key}, status=201)


async def revoke_key(request: web.Request) -> web.Response:
    """Make a key worthless at once."""
    if not await for_admin(request).accounts.revoke_key(request.match_info["key"]):
        raise NotFoundError("There is no such key.")
    return json_response({"ok": True})


async def health(request: web.Request) -> web.Response:
    """Always 200 while the process serves; says what is degraded. The words of problems may hold paths and values."""
    state = request.app[CONTROL].health()
    if "problems" in state and not is_admin(request):
        state["problems"] = [_FOR_ADMINS]
    return json_response(state)


async def audit(request: web.Request) -> web.Response:
    """The newest requests first, refusals included: `?limit=100`."""
    reports = for_reader(request).reports
    raw = request.query.get("limit", "100")
    if not (raw.isascii() and raw.isdigit() and len(raw) <= _MOST_DIGITS) or not 1 <= int(raw) <= _MOST_AUDIT_ROWS:
        raise InvalidRequestError(f"`limit` must be a whole number from 1 to {_MOST_AUDIT_ROWS}.", param="limit")
    rows = await reports.audit(int(raw))
    return json_response({"data": rows, "count": len(rows)})


async def metrics_summary(request: web.Request) -> web.Response:
    """Totals and each device's, as JSON."""
    return json_response(await for_reader(request).reports.summary())


async def prometheus(request: web.Request) -> web.Response:
    """The same figures in Prometheus' text format."""
    text = for_reader(request).prometheus()
    return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def landing(request: web.Request) -> web.Response:
    """Explain the service to whoever opens it in a browser."""
    state = request.app[CONTROL].health()
    note = "Demo mode: a built-in mock answers, no provider is" if state["demo"] else "Providers are"
    base = html.escape(f"{request.scheme}://{request.host}/v1")
    page = _PAGE.substitute(base=base, note=f"{note} configured.", version=VERSION, status=state["status"])
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return web.Response(text=page, content_type="text/html", headers=headers)


def _object(body: object) -> Json:
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return body


def _known(control: Control, request: web.Request) -> str:
    wanted = clean_id(request.match_info["id"])
    if not control.knows(wanted):
        raise NotFoundError(f"There is no device `{wanted}`.", param="id")
    return wanted


_PAGE: Final = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>CheapRouter</title><style>
:root{color-scheme:light dark;font:16px/1.6 system-ui,sans-serif}
body{max-width:42rem;margin:3rem auto;padding:0 1rem}
pre{overflow:auto;padding:1rem;border-radius:.5rem;background:color-mix(in srgb,currentColor 8%,transparent)}
code{font-size:.9em}
</style></head><body>
<h1>CheapRouter</h1>
<p>This is an OpenAI-compatible API. Give any OpenAI client this base URL:</p>
<pre><code>$base</code></pre>
<p>$note Version $version, status: $status.</p>
<p>Models to ask for: <code>blockrun/auto</code>, <code>blockrun/eco</code>, <code>blockrun/premium</code>,
<code>blockrun/free</code>, or any id of <a href="v1/models"><code>/v1/models</code></a>.</p>
<pre><code>curl $base/chat/completions \\
  -H "Content-Type: application/json" -H "X-Device-ID: my-laptop" \\
  -d '{"model": "blockrun/auto", "messages": [{"role": "user", "content": "Hello!"}]}'</code></pre>
<p>See also <a href="health"><code>/health</code></a>, <a href="router/providers"><code>/router/providers</code></a>,
<a href="router/usage"><code>/router/usage</code></a> and <a href="metrics"><code>/metrics</code></a>.</p>
</body></html>
""")


ROUTES: Final = [
    web.get("/router/providers", providers),
    web.post("/router/providers/clear-cooldowns", clear_cooldowns),
    web.get("/router/devices", devices),
    web.get("/router/devices/{id:.+}", device),
    web.patch("/router/devices/{id:.+}", set_device),
    web.delete("/router/devices/{id:.+}", remove_device),
    web.post("/router/devices/{id:.+}/reset-budget", reset_budget),
    web.post("/router/problems/ack", acknowledge_problems),
    web.get("/router/settings", settings),
    web.patch("/router/settings", set_settings),
    web.get("/router/usage", usage),
    web.post("/router/route", route),
    web.get("/router/keys", list_keys),
    web.post("/router/keys", add_key),
    web.delete("/router/keys/{key}", revoke_key),
    web.get("/v1/audit", audit),
    web.get("/v1/metrics", metrics_summary),
    web.get("/metrics", prometheus),
    web.get("/health", health),
    web.get("/", landing),
]
