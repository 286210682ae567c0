"""Who reads what: with keys each device what is about itself, the admin key everyone's; without keys all is open to read."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from cheaprouter.core import rounds
from tests.builders import a_body
from tests.fakes.router import router

EVERYONES = ("/v1/audit", "/v1/metrics", "/router/usage?group_by=device", "/router/devices", "/metrics")
ASKED = a_body(model="mock/default")
MOCK = {"providers": {"mock": {}}}


@pytest.fixture
async def home(tmp_path):
    """Keys are needed; kitchen and den have one, and have asked something."""
    async with router(tmp_path, {"auth": "keys", **MOCK}) as home:
        home.keys = {}
        for name in ("kitchen", "den"):
            home.keys[name] = {"Authorization": f"Bearer {await home.app.house.accounts.add_key(name)}"}
            assert (await ask(home, home.keys[name])).status == 200
        yield home


async def ask(home, headers, body=ASKED):
    async with home.http.post(home.url + "/v1/chat/completions", json=body, headers=headers) as reply:
        await reply.read()
        return reply


async def read(home, path, headers=None, status=200):
    async with home.http.get(home.url + path, headers=headers) as reply:
        assert reply.status == status, await reply.text()
        return await reply.text()


@pytest.mark.parametrize("path", EVERYONES)
async def test_a_devices_key_reads_its_own_and_the_admin_key_everyones(home, path):
    own = await read(home, path, home.keys["kitchen"])
    assert "kitchen" in own
    assert "den" not in own.replace("hidden", "")
    everyones = await read(home, path, home.admin())
    assert "kitchen" in everyones
    assert "den" in everyones


@pytest.mark.parametrize("path", [*EVERYONES, "/router/settings", "/router/providers", "/v1/models"])
async def test_without_a_key_nothing_is_read_where_keys_are_needed(home, path):
    await read(home, path, None, 401)
    await read(home, path, {"Authorization": "Bearer cr-wrong"}, 401)


@pytest.mark.parametrize(
    "path",
    ["/router/devices/den", "/router/devices/nobody", "/router/usage?device=den", "/router/settings", "/router/keys"],
)
async def test_what_is_anothers_or_the_houses_is_refused_whether_it_is_there_or_not(home, path):
    told = await read(home, path, home.keys["kitchen"], 403)
    assert "admin_key_required" in told


@pytest.mark.parametrize(
    "path", ["/router/devices/kitchen", "/router/usage?device=kitchen&group_by=device", "/v1/audit?limit=1"]
)
async def test_its_own_may_be_named(home, path):
    assert "kitchen" in await read(home, path, home.keys["kitchen"])


async def test_the_name_in_a_header_opens_nothing(home):
    headers = home.keys["kitchen"] | {"X-Device-ID": "den"}
    assert "kitchen" in await read(home, "/v1/audit", headers)
    assert "den" not in await read(home, "/v1/audit", headers)


async def test_own_figures_are_the_devices_own(home):
    whole = await home.get("/v1/metrics", headers=home.admin())
    own = await home.get("/v1/metrics", headers=home.keys["kitchen"])
    assert own.keys() == whole.keys()
    assert own["summary"].keys() == whole["summary"].keys()
    assert (whole["summary"]["total_requests"], own["summary"]["total_requests"]) == (2, 1)
    assert (whole["last_24h"]["requests"], own["last_24h"]["requests"]) == (2, 1)
    usage = await home.get("/router/usage", headers=home.keys["kitchen"])
    assert usage["total"]["requests"] == 1


async def test_the_audit_of_a_device_is_as_long_as_it_asks_for_and_newest_first(home):
    for _ in range(5):
        await ask(home, home.keys["kitchen"])
        await ask(home, home.keys["den"], {"model": "nothing", "messages": ASKED["messages"]})
    rows = (await home.get("/v1/audit?limit=4", headers=home.keys["den"]))["data"]
    assert [(row["device_id"], row["status"]) for row in rows] == [("den", 404)] * 4
    assert [row["timestamp"] for row in rows] == sorted((row["timestamp"] for row in rows), reverse=True)
    assert len((await home.get("/v1/audit", headers=home.keys["den"]))["data"]) == 6


async def test_where_another_device_would_go_is_not_told(home):
    async with home.http.post(
        home.url + "/router/route", json=ASKED | {"device": "den"}, headers=home.keys["kitchen"]
    ) as reply:
        assert reply.status == 403
    async with home.http.post(home.url + "/router/route", json=ASKED, headers=home.keys["kitchen"]) as reply:
        assert reply.status == 200


async def test_of_providers_a_device_learns_their_state_alone(home):
    (row,) = (await home.get("/router/providers", headers=home.keys["kitchen"]))["data"]
    assert row.keys() == {"name", "kind", "local", "state"}


async def test_without_keys_all_is_open_to_read(tmp_path):
    async with router(tmp_path, {"auth": "open", **MOCK}) as home:
        for name in ("kitchen", "den"):
            await ask(home, {"X-Device-ID": name})
        for path in (*EVERYONES, "/router/devices/den", "/router/settings", "/router/providers"):
            await read(home, path)
        assert len((await home.get("/v1/audit"))["data"]) == 2


# --- strangers ------------------------------------------------------------------------------------------------------


async def test_reading_makes_no_device(tmp_path):
    async with router(tmp_path, {"auth": "open", **MOCK}) as home:
        for path in (*EVERYONES, "/v1/models", "/router/devices/den"):
            async with home.http.get(home.url + path, headers={"X-Device-ID": "den"}) as reply:
                await reply.read()
        assert (await home.get("/router/devices"))["data"] == []


@pytest.mark.parametrize("usual", [True, False])
async def test_who_has_no_key_becomes_neither_a_device_nor_a_row(home, usual):
    road = {} if usual else {"Connection": "close"}
    for n in range(30):
        wrong = {"Authorization": f"Bearer cr-{n}"} if n % 2 else {}
        reply = await ask(home, {"X-Device-ID": f"spoof {n}", **wrong, **road})
        assert reply.status == 401
        assert reply.headers["x-request-id"]
    assert len(await home.audit()) == 2
    assert {row["id"] for row in (await home.get("/router/devices", headers=home.admin()))["data"]} == {
        "kitchen",
        "den",
    }
    assert (await home.get("/v1/metrics", headers=home.admin()))["summary"]["total_requests"] == 2
    page = await read(home, "/metrics", home.admin())
    assert "cheaprouter_unauthorized_total 30\n" in page
    assert "cheaprouter_unauthorized_last_minute 30\n" in page
    assert home.app.house.control.hub_state()["unauthorized"] == 30


@pytest.mark.parametrize("body", [ASKED, {"nonsense": 1}])
async def test_newcomers_past_the_limit_are_one_device_in_audit_and_usage(tmp_path, body):
    settings = {"auth": "open", **MOCK, "http": {"trusted_proxies": ["127.0.0.1"], "max_new_devices_per_hour": 3}}
    async with router(tmp_path, settings) as home:
        for n in range(10):
            await ask(home, {"X-Device-ID": f"spoof {n}", "X-Forwarded-For": "192.168.1.66"}, body)
        await ask(home, {"X-Device-ID": "neighbour", "X-Forwarded-For": "192.168.1.67"}, body)
        names = {"spoof 0", "spoof 1", "spoof 2", "neighbour", "others"}
        assert {row["device_id"] for row in await home.audit()} == names
        assert {row["id"] for row in (await home.get("/router/devices"))["data"]} == names
        usage = (await home.get("/router/usage?group_by=device"))["data"]
        assert {row["device"]: row["requests"] for row in usage} == dict.fromkeys(names, 1) | {"others": 7}


@pytest.mark.parametrize("askers", [1, 5])
async def test_lists_of_many_devices_together_leave_others_their_turn_as_one_does(tmp_path, monkeypatch, askers):
    """Counted by how often the loop comes round while they are made, with rounds that are over at once."""
    monkeypatch.setattr(rounds, "SHORT", 0)
    async with router(tmp_path, {"auth": "open", **MOCK}) as home:
        control, told, counts = home.app.house.control, [], []
        monkeypatch.setattr(control, "device_ids", lambda: [f"device {n}" for n in range(60)])
        monkeypatch.setattr(control, "knows", lambda _: True)
        monkeypatch.setattr(control, "device_report", lambda name: told.append(name) or {"id": name})
        asking = asyncio.gather(*(home.get("/router/devices") for _ in range(askers)))
        while not asking.done():
            counts.append(len(told))
            await asyncio.sleep(0)
        for answer in await asking:
            assert [row["id"] for row in answer["data"]] == [f"device {n}" for n in range(60)]
        assert max(after - before for before, after in pairwise([*counts, len(told)])) <= 3


async def test_205_newcomers_leave_the_tablet_with_what_it_spent(tmp_path):
    lab = {"kind": "mock", "models": [{"id": "lab/small", "price": {"input": 1000, "output": 1000}}]}
    settings = {"auth": "open", "providers": {"lab": lab}, "max_devices": 50}
    async with router(tmp_path, settings) as home:
        await ask(home, {"X-Device-ID": "kitchen-tablet"}, a_body(model="lab/small"))
        before = (await home.get("/router/devices/kitchen-tablet"))["state"]["cost_today"]
        for n in range(205):
            await ask(home, {"X-Device-ID": f"spoof {n}"}, a_body(model="lab/small"))
        assert before > 0
        assert (await home.get("/router/devices/kitchen-tablet"))["state"]["cost_today"] == before


async def test_others_have_their_turn_while_thousands_of_devices_are_told(tmp_path, monkeypatch):
    """All at once, 10,000 devices were three seconds in which nobody else was served."""
    async with router(tmp_path, {"auth": "open", **MOCK}) as home:
        control = home.app.house.control
        control.accounts.known.register(f"device {n}" for n in range(150))
        told, report, most = 0, control.device_report, 0

        def counted(device_id):
            nonlocal told
            told += 1
            return report(device_id)

        def turn():
            nonlocal told, most
            most, told = max(most, told), 0
            asyncio.get_running_loop().call_soon(turn)

        monkeypatch.setattr(rounds, "SHORT", 0)
        monkeypatch.setattr(control, "device_report", counted)
        turn()
        assert len((await home.get("/router/devices"))["data"]) == 150
        turn = lambda: None  # noqa: E731
        assert 0 < most <= 3
