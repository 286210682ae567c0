"""Our own JSON API under `/router`: providers, devices, usage, settings and why a request would go where.

Reads are open to callers as the `auth` mode says; every change needs the admin key.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ...control import Control
from ...core.errors import InvalidRequestError, NotFoundError
from ...core.ids import clean_id
from ...core.models import Json
from ..context import CONTROL, json_response, read_json, require_admin, require_reader

_CSV: Final = "text/csv"


async def providers(request: web.Request) -> web.Response:
    """Each provider's state; `?check=1` asks them now (admin: it makes calls with the keys)."""
    control = request.app[CONTROL]
    if request.query.get("check", "") in {"1", "true", "yes"}:
        require_admin(request)
        return json_response({"data": await control.check_providers()})
    require_reader(request)
    return json_response({"data": control.providers()})


async def clear_cooldowns(request: web.Request) -> web.Response:
    """Let every provider be tried again at once."""
    require_admin(request)
    request.app[CONTROL].clear_cooldowns()
    return json_response({"ok": True})


async def devices(request: web.Request) -> web.Response:
    """All known devices with their state and settings."""
    require_reader(request)
    control = request.app[CONTROL]
    return json_response({"data": [control.device_report(i) for i in control.device_ids()]})


async def device(request: web.Request) -> web.Response:
    """One device."""
    require_reader(request)
    control = request.app[CONTROL]
    return json_response(control.device_report(_known(control, request)))


async def set_device(request: web.Request) -> web.Response:
    """Change settings of a device, known or to come: `{"rpm": 10, "profile": "eco"}`; null goes back to the default."""
    require_admin(request)
    device_id = clean_id(request.match_info["id"])
    changes = _object(await read_json(request))
    control = request.app[CONTROL]
    control.set_device_many(device_id, changes)
    return json_response(control.device_report(device_id))


async def remove_device(request: web.Request) -> web.Response:
    """Forget a device, its run-time settings and its place in Home Assistant; its spend stays in the books."""
    require_admin(request)
    control = request.app[CONTROL]
    control.remove_device(_known(control, request))
    return json_response({"ok": True})


async def reset_budget(request: web.Request) -> web.Response:
    """Begin a device's budgets of this day and month anew."""
    require_admin(request)
    control = request.app[CONTROL]
    control.reset_budget(_known(control, request))
    return json_response({"ok": True})


async def acknowledge_problems(request: web.Request) -> web.Response:
    """Somebody has read what was lost of the books: hard budgets go by what is left of them from now on."""
    require_admin(request)
    request.app[CONTROL].acknowledge_problems()
    return json_response({"ok": True})


async def settings(request: web.Request) -> web.Response:
    """The router's own run-time settings."""
    require_reader(request)
    return json_response(request.app[CONTROL].hub_settings())


async def set_settings(request: web.Request) -> web.Response:
    """Change them: `{"profile": "eco"}`."""
    require_admin(request)
    control = request.app[CONTROL]
    control.set_hub_many(_object(await read_json(request)))
    return json_response(control.hub_settings())


async def usage(request: web.Request) -> web.Response:
    """What was used: `?from=2026-11-01&to=2026-11-30&group_by=device`, `&format=csv` for a spreadsheet."""
    require_reader(request)
    query = dict(request.query)
    control = request.app[CONTROL]
    if query.pop("format", "json") == "csv":
        headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
        return web.Response(text=await control.reports.usage_csv(query), content_type=_CSV, headers=headers)
    return json_response(await control.reports.usage(query))


async def route(request: web.Request) -> web.Response:
    """Explain which model a chat body would go to, and why, without calling anyone."""
    caller = require_reader(request)
    body = _object(await read_json(request))
    device_id = body.pop("device", None) or caller.device_id
    return json_response(request.app[CONTROL].explain(body, clean_id(str(device_id))))


async def list_keys(request: web.Request) -> web.Response:
    """The devices' keys: names and dates, never the keys."""
    require_admin(request)
    return json_response({"data": await request.app[CONTROL].accounts.list_keys()})


async def add_key(request: web.Request) -> web.Response:
    """A new key for `{"device": "kitchen"}`; shown this once."""
    require_admin(request)
    body = _object(await read_json(request))
    name = body.get("device")
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError("`device` must name the device that gets the key.", param="device")
    key = await request.app[CONTROL].accounts.add_key(clean_id(name))
    return json_response({"device": clean_id(name), "key": key}, status=201)


async def revoke_key(request: web.Request) -> web.Response:
    """Make a key worthless at once."""
    require_admin(request)
    if not await request.app[CONTROL].accounts.revoke_key(request.match_info["key"]):
        raise NotFoundError("There is no such key.")
    return json_response({"ok": True})


def _object(body: object) -> Json:
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return body


def _known(control: Control, request: web.Request) -> str:
    wanted = clean_id(request.match_info["id"])
    if not control.knows(wanted):
        raise NotFoundError(f"There is no device `{wanted}`.", param="id")
    return wanted


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
]
