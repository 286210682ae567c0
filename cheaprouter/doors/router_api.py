"""Our own API: under `/router` providers, devices, usage, settings and why a request would go where; beside it how all is.

Reads are open to callers as the `auth` mode says: without keys to all, with keys each device reads what is about itself, and
the admin key everyone's. Every change needs the admin key.
"""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from string import Template
from typing import Final

from aiohttp import web

from ..accounts.keys import GRACE, hash_key
from ..control import Control
from ..core import rounds
from ..core.const import VERSION
from ..core.errors import InvalidRequestError, NotFoundError
from ..core.ids import clean_id, device_scope
from ..core.models import Json
from ..wire.written import written
from .context import (
    CONTROL,
    for_admin,
    for_house,
    for_reader,
    identify,
    is_admin,
    json_response,
    not_yours,
    read_json,
    seen,
    sees,
)

_PROVIDER: Final = ("name", "kind", "local", "state")
"""What a device may know of a provider."""

_MOST_AUDIT_ROWS: Final = 10_000
_MOST_DIGITS: Final = 9
_AT_ONCE: Final = 50
"""Devices told in one piece."""

_FOR_ADMINS: Final = "There are problems: ask with the admin key, or see the log or the status page, for what they are."


async def providers(request: web.Request) -> web.Response:
    """Each provider's state; `?check=1` asks them now (admin: it makes calls with the keys)."""
    if request.query.get("check", "") in {"1", "true", "yes"}:
        return json_response({"data": await for_admin(request).check_providers()})
    found = for_reader(request).providers()
    if sees(request) is not None:  # messages of providers may repeat what others asked
        found = [{name: row[name] for name in _PROVIDER if name in row} for row in found]
    return json_response({"data": found})


async def clear_cooldowns(request: web.Request) -> web.Response:
    """Let every provider be tried again at once."""
    for_admin(request).clear_cooldowns()
    return json_response({"ok": True})


async def devices(request: web.Request) -> web.Response:
    """All known devices with their state and settings, or the one that asks."""
    control, own = request.app[CONTROL], sees(request)
    ids = [own] if own is not None else control.device_ids()
    return web.Response(body=_devices(control, ids), content_type="application/json")


async def _devices(control: Control, ids: list[str]) -> AsyncIterator[bytes]:
    """The list, in pieces and in turns: thousands take seconds, and megabytes."""
    yield b'{"data":['
    mark, rows = b"", []
    for device_id in ids:
        await rounds.turn()
        if control.knows(device_id):
            rows.append(written(control.device_report(device_id)))
        if len(rows) == _AT_ONCE:
            yield mark + b",".join(rows)
            mark, rows = b",", []
    yield (mark + b",".join(rows) if rows else b"") + b"]}"


async def device(request: web.Request) -> web.Response:
    """One device."""
    own, control = sees(request), request.app[CONTROL]
    if own not in {None, clean_id(request.match_info["id"])}:
        raise not_yours(str(own))
    return json_response(control.device_report(_known(control, request)))


async def set_device(request: web.Request) -> web.Response:
    """Change settings of a device, known or to come: `{"rpm": 10, "profile": "eco"}`; null goes back to the default."""
    control = for_admin(request)
    device_id = device_scope(request.match_info["id"])
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
    return json_response(for_house(request).hub_settings())


async def set_settings(request: web.Request) -> web.Response:
    """Change them: `{"profile": "eco"}`."""
    control = for_admin(request)
    control.set_hub_many(_object(await read_json(request)))
    return json_response(control.hub_settings())


async def usage(request: web.Request) -> web.Response:
    """What was used: `?from=2026-11-01&to=2026-11-30&group_by=device`, `&format=csv` for a spreadsheet."""
    reports, query = request.app[CONTROL].reports, dict(request.query)
    if (own := sees(request)) is not None and query.setdefault("device", own) != own:
        raise not_yours(own)
    if query.pop("format", "json") == "csv":
        headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
        return web.Response(
            body=await reports.usage_csv(query), content_type="text/csv", charset="utf-8", headers=headers
        )
    return web.Response(body=await reports.usage(query), content_type="application/json")


async def route(request: web.Request) -> web.Response:
    """Explain which model a chat body would go to, and why, without calling anyone."""
    caller, own = identify(request), sees(request)
    body = _object(await read_json(request))
    device_id = clean_id(str(body.pop("device", None) or caller.device_id))
    if own not in {None, device_id}:
        raise not_yours(str(own))
    return json_response(request.app[CONTROL].explain(body, device_id))


async def forecast(request: web.Request) -> web.Response:
    """What each step of `cost_quality` would have meant for the last requests."""
    return json_response(await for_house(request).forecast())


async def feedback(request: web.Request) -> web.Response:
    """How an answer was: `{"request_id": "req_…", "good": true}`, by the device that got it, or with the admin key."""
    caller, control = identify(request), request.app[CONTROL]
    body = _only(_object(await read_json(request)), "request_id", "good")
    request_id, good = body.get("request_id"), body.get("good")
    if not isinstance(request_id, str) or not request_id:
        raise InvalidRequestError("`request_id` must be the `x-request-id` of an answer.", param="request_id")
    if not isinstance(good, bool):
        raise InvalidRequestError("`good` must be true or false.", param="good")
    return json_response(control.judge(request_id, None if caller.admin else caller.device_id, good=good))


async def learned(request: web.Request) -> web.Response:
    """What this home has taught the router, in numbers and in words."""
    return json_response(for_house(request).learned())


async def forget_learned(request: web.Request) -> web.Response:
    """Forget it, and all judged answers."""
    for_admin(request).forget_learned()
    return json_response({"ok": True})


async def list_keys(request: web.Request) -> web.Response:
    """The devices' keys: names and dates, never the keys."""
    return json_response({"data": await for_admin(request).accounts.list_keys()})


async def add_key(request: web.Request) -> web.Response:
    """A new key for `{"device": "kitchen", "days": 90}`; shown this once."""
    control = for_admin(request)
    body = _only(_object(await read_json(request)), "device", "days")
    name = body.get("device")
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError("`device` must name the device that gets the key.", param="device")
    key = await control.accounts.add_key(name, _days(body))
    made = next(row for row in await control.accounts.list_keys() if hash_key(key).startswith(row["id"]))
    return json_response({"device": made["device"], "key": key, "expires_at": made["expires_at"]}, status=201)


async def rotate_key(request: web.Request) -> web.Response:
    """A new key in place of a device's keys or of one: `{"grace_hours": 24, "days": 90}`; the old ones go on for that long."""
    control = for_admin(request)
    body = _only(_object(await read_json(request, empty={})), "grace_hours", "days")
    grace = body.get("grace_hours", GRACE)
    if not isinstance(grace, int | float) or isinstance(grace, bool):
        raise InvalidRequestError("`grace_hours` must be a number of hours.", param="grace_hours")
    made = await control.accounts.rotate_key(request.match_info["key"], _days(body), grace)
    if made is None:
        raise NotFoundError("There is no such key.")
    old = [{"id": info.id, "expires_at": info.expires_at} for info in made.ending]
    answer = {"device": made.device_id, "key": made.key, "expires_at": made.expires_at, "old": old}
    return json_response(answer, status=201)


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
    own, reports = sees(request), request.app[CONTROL].reports
    raw = request.query.get("limit", "100")
    if not (raw.isascii() and raw.isdigit() and len(raw) <= _MOST_DIGITS) or not 1 <= int(raw) <= _MOST_AUDIT_ROWS:
        raise InvalidRequestError(f"`limit` must be a whole number from 1 to {_MOST_AUDIT_ROWS}.", param="limit")
    rows = await reports.audit(int(raw), own)
    return json_response({"data": rows, "count": len(rows)})


async def metrics_summary(request: web.Request) -> web.Response:
    """Totals and each device's, as JSON."""
    own, reports = sees(request), request.app[CONTROL].reports
    return json_response(await (reports.summary() if own is None else reports.own_summary(own)))


async def prometheus(request: web.Request) -> web.Response:
    """The same figures in Prometheus' text format."""
    own, control = sees(request), request.app[CONTROL]
    text = control.prometheus() if own is None else control.own_prometheus(own)
    return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def landing(request: web.Request) -> web.Response:
    """Explain the service to whoever opens it in a browser."""
    state = request.app[CONTROL].health()
    note = "Demo mode: a built-in mock answers, no provider is" if state["demo"] else "Providers are"
    base = html.escape(f"{seen(request).scheme or request.scheme}://{request.host}/v1")
    page = _PAGE.substitute(base=base, note=f"{note} configured.", version=VERSION, status=state["status"])
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return web.Response(text=page, content_type="text/html", headers=headers)


def _days(body: Json) -> int | None:
    days = body.get("days")
    if days is not None and (not isinstance(days, int) or isinstance(days, bool)):
        raise InvalidRequestError(
            "`days` must be a whole number, or null for a key that does not expire.", param="days"
        )
    return days


def _object(body: object) -> Json:
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return body


def _only(body: Json, *names: str) -> Json:
    """The same. A field that is none is refused: a misspelt `days` would make a key for good."""
    for name in body:
        if name not in names:
            allowed = " and ".join(f"`{each}`" for each in names)
            raise InvalidRequestError(f"`{name[:64]}` is no field of this; {allowed} are.", param=name[:64])
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
    web.get("/router/forecast", forecast),
    web.post("/router/feedback", feedback),
    web.get("/router/learning", learned),
    web.delete("/router/learning", forget_learned),
    web.get("/router/keys", list_keys),
    web.post("/router/keys", add_key),
    web.post("/router/keys/{key:.+}/rotate", rotate_key),
    web.delete("/router/keys/{key:.+}", revoke_key),
    web.get("/v1/audit", audit),
    web.get("/v1/metrics", metrics_summary),
    web.get("/metrics", prometheus),
    web.get("/health", health),
    web.get("/", landing),
]
