"""Every door, and who may do what there, however the request is made. A door that is missing here fails the test.

A new route gets a line in `DOORS`, and with it all rules: sign-in in both modes, pages of strangers, names of strangers, headers
of ingress, bodies beyond the limit, and the end of the service.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from cheaprouter.core.const import MAX_BODY_BYTES
from cheaprouter.dashboard.site import build_site
from cheaprouter.dashboard.status import Reach
from cheaprouter.doors.server import build_app
from tests.builders import a_body, until
from tests.builders_house import make_house
from tests.doors.wire import lines

CALLERS = ("nobody", "device", "admin")
MODES = ("open", "keys")
NAMES = {"id": "kitchen", "key": "nobody"}


@dataclass(frozen=True)
class Rule:
    """Refusals of each caller by mode, None: let in. `host`: names of strangers are refused without keys. `asks`: a model."""

    open: tuple[int | None, int | None, int | None]
    keys: tuple[int | None, int | None, int | None]
    host: bool = True
    asks: bool = False


EVERYONE = Rule((None, None, None), (None, None, None))
WATCHERS = Rule((None, None, None), (None, None, None), host=False)
CALL = Rule((None, None, None), (401, None, None))
ASK = Rule((None, None, None), (401, None, None), asks=True)
HOUSE = Rule((None, None, None), (401, 403, None))
"""What is everyone's, or another device's: with keys it is the admin's."""

ADMIN = Rule((403, 403, None), (401, 403, None))

DOORS = {
    ("POST", "/v1/chat/completions"): ASK,
    ("POST", "/chat/completions"): ASK,
    ("GET", "/v1/models"): CALL,
    ("GET", "/models"): CALL,
    ("GET", "/v1/models/{id}"): CALL,
    ("GET", "/router/providers"): CALL,
    ("POST", "/router/providers/clear-cooldowns"): ADMIN,
    ("GET", "/router/devices"): CALL,
    ("GET", "/router/devices/{id}"): HOUSE,
    ("PATCH", "/router/devices/{id}"): ADMIN,
    ("DELETE", "/router/devices/{id}"): ADMIN,
    ("POST", "/router/devices/{id}/reset-budget"): ADMIN,
    ("POST", "/router/problems/ack"): ADMIN,
    ("GET", "/router/settings"): HOUSE,
    ("PATCH", "/router/settings"): ADMIN,
    ("GET", "/router/usage"): CALL,
    ("POST", "/router/route"): CALL,
    ("GET", "/router/forecast"): HOUSE,
    ("POST", "/router/feedback"): CALL,
    ("GET", "/router/learning"): HOUSE,
    ("DELETE", "/router/learning"): ADMIN,
    ("GET", "/router/keys"): ADMIN,
    ("POST", "/router/keys"): ADMIN,
    ("POST", "/router/keys/{key}/rotate"): ADMIN,
    ("DELETE", "/router/keys/{key}"): ADMIN,
    ("GET", "/v1/audit"): CALL,
    ("GET", "/v1/metrics"): CALL,
    ("GET", "/metrics"): CALL,
    ("GET", "/health"): WATCHERS,
    ("GET", "/"): EVERYONE,
    ("GET", "/openapi.json"): CALL,
}
"""Every route of port 4000."""

READERS_OF_BODIES = {
    "/v1/chat/completions", "/chat/completions", "/router/route", "/router/keys", "/router/settings", "/router/devices/{id}",
    "/router/keys/{key}/rotate", "/router/feedback",
}  # fmt: skip

PAGES = {"/", "/status.json", "/live", "/strings/{language}.json", "/app.js", "/style.css", "/icon.svg"}
"""Every route of the ingress site that is read."""

CHANGES = {("POST", "/problems/ack")}
"""What can be changed there, by whoever Home Assistant lets in: that what was lost of the books has been read."""


class Door:
    """The doors of a house, and the keys to them."""

    def __init__(self, home, api, device_key):
        self._api = api
        self._keys = {"nobody": None, "device": device_key, "admin": home.house.admin_key}

    async def ask(self, door, caller="admin", *, length=None, **headers):
        """The status of an answer, and its error's code. `length`: announced of a body that is never sent."""
        method, path = door
        body = json.dumps(a_body(model="lab/small") if path.endswith("completions") else {}).encode()
        body = b"" if method in {"GET", "HEAD"} or length is not None else body
        said = {"Host": "pi.lan", "X-Device-ID": "den", "Content-Length": str(len(body) if length is None else length)}
        if self._keys[caller] is not None:
            said["Authorization"] = f"Bearer {self._keys[caller]}"
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines_ = [
            f"{method} {path.format(**NAMES)} HTTP/1.1",
            *(f"{name}: {value}" for name, value in said.items()),
            "",
            "",
        ]
        wire = await self._api.connect()
        await wire.say("\r\n".join(lines_).encode() + body)
        if method == "HEAD":
            await until(lambda: b"\r\n\r\n" in wire.sent)
            wire.leave()
            return int(bytes(wire.sent).split(b" ", 2)[1]), None
        [answer] = await wire.answers(1)
        wire.leave()
        kind = answer.header("Content-Type")
        return answer.status, answer.json.get("error", {}).get(
            "code"
        ) if "json" in kind and answer.status >= 400 else None


@pytest.fixture(params=MODES)
async def house(request, tmp_path):
    """(mode, doors) of a house with a device that has a key."""
    async with make_house(tmp_path, auth=request.param, devices={"kitchen": {"rpm": 1000}}) as home:
        key = await home.house.accounts.add_key("tablet")
        async with lines(home.control) as api:
            yield request.param, Door(home, api, key), home


async def wrong(doors, what):
    """Of each door what was found in place of what is right; `what` gives both."""
    found = {}
    for door, rule in doors.items():
        for caller in CALLERS:
            got, right = await what(door, rule, caller)
            if got != right:
                found[*door, caller] = (got, right)
    return found


def refusal(rule, mode, caller):
    return getattr(rule, mode)[CALLERS.index(caller)]


async def test_every_door_is_in_the_table(tmp_path):
    async with make_house(tmp_path) as home:
        app = build_app(home.control)
        site = build_site(home.control, home.bus, lambda: Reach(4000, keys=False), home.house.clock)
    found = {(r.method, r.resource.canonical) for r in app.router.routes() if r.method != "HEAD"}
    assert found == set(DOORS)
    shown = {(r.method, r.resource.canonical) for r in site.router.routes() if r.method != "HEAD"}
    assert shown == {("GET", page) for page in PAGES} | CHANGES


async def test_who_may_come_in(house):
    mode, doors, _ = house

    async def what(door, rule, caller):
        status, _ = await doors.ask(door, caller)
        right = refusal(rule, mode, caller)
        assert status < 500, (door, status)
        return status if status in {401, 403} else None, right

    assert await wrong(DOORS, what) == {}


async def test_whatever_changes_something_needs_the_admin_key():
    changing = {door: rule for door, rule in DOORS.items() if door[0] != "GET" and not rule.asks}
    changing.pop(("POST", "/router/route"))  # it explains, and changes nothing
    changing.pop(("POST", "/router/feedback"))  # a device's word on an answer of its own
    assert set(changing.values()) == {ADMIN}


async def test_only_heads_are_told_by_the_same_rules(house):
    mode, doors, _ = house

    async def what(door, rule, caller):
        status, _ = await doors.ask(("HEAD", door[1]), caller)
        return status if status in {401, 403} else None, refusal(rule, mode, caller)

    assert await wrong({door: rule for door, rule in DOORS.items() if door[0] == "GET"}, what) == {}


async def test_a_page_of_a_stranger_comes_in_nowhere_whatever_key_it_has(house):
    _, doors, _ = house

    async def what(door, rule, caller):
        return await doors.ask(door, caller, Origin="http://evil.com"), (403, "origin_not_allowed")

    assert await wrong(DOORS, what) == {}


async def test_a_preflight_of_a_strangers_page_is_refused_at_every_door(house):
    _, doors, _ = house

    async def what(door, rule, caller):
        asked = {"Origin": "http://evil.com", "Access_Control_Request_Method": door[0]}
        return await doors.ask(("OPTIONS", door[1]), caller, **asked), (403, "origin_not_allowed")

    assert await wrong(DOORS, what) == {}


async def test_a_name_of_a_stranger_comes_in_only_with_keys(house):
    mode, doors, _ = house

    async def what(door, rule, caller):
        status, code = await doors.ask(door, caller, Host="evil.com")
        if mode == "open" and rule.host:
            return (status, code), (403, "host_not_allowed")
        return status if status in {401, 403} else None, refusal(rule, mode, caller)

    assert await wrong(DOORS, what) == {}


async def test_what_only_ingress_may_say_is_believed_nowhere(house):
    _, doors, _ = house

    async def what(door, rule, caller):
        return await doors.ask(door, caller, X_Remote_User_Id="1"), (400, "header_not_allowed")

    assert await wrong(DOORS, what) == {}


async def test_a_body_beyond_the_limit_is_refused_by_whoever_would_read_it_and_never_waited_for(house):
    mode, doors, _ = house

    async def what(door, rule, caller):
        status, _ = await doors.ask(door, caller, length=MAX_BODY_BYTES + 1)
        if (right := refusal(rule, mode, caller)) is not None:
            return status, right
        if door[1] in READERS_OF_BODIES and door[0] != "DELETE" and door[0] != "GET":
            return status, 413
        return status < 500, True

    assert await wrong(DOORS, what) == {}


async def test_nobody_asks_a_model_once_the_service_ends(house):
    mode, doors, home = house
    home.gateway.draining = True

    async def what(door, rule, caller):
        status, code = await doors.ask(door, caller)
        if (right := refusal(rule, mode, caller)) is not None:
            return status, right
        return ((status, code), (503, "shutting_down")) if rule.asks else (status < 500, True)

    assert await wrong(DOORS, what) == {}


async def test_every_answer_has_an_id_and_tells_no_version(house):
    _, _, home = house
    for door in DOORS:
        async with lines(home.control) as api:
            wire = await api.connect()
            await wire.say(
                f"{door[0]} {door[1].format(**NAMES)} HTTP/1.1\r\nHost: pi.lan\r\nContent-Length: 0\r\n\r\n".encode()
            )
            [answer] = await wire.answers(1)
            wire.leave()
        assert answer.header("x-request-id")
        assert answer.header("Server") == "CheapRouter"
