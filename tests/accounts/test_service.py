"""Who is known, what is set, and what survives."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from cheaprouter.accounts import keys, known
from cheaprouter.books import totals as books
from cheaprouter.config.kinds import costs_money
from cheaprouter.config.settings import Auth, BudgetSettings, DeviceSettings, ModelSettings, ProviderSettings
from cheaprouter.core.errors import AuthenticationError, LimitError, SettingError
from cheaprouter.core.events import DeviceAdded, DeviceRemoved, SettingsChanged
from cheaprouter.core.models import Caller, KeyKind, Price, Profile, Rates

PAID = Price(Rates(Decimal("0.1"), Decimal("0.4")))
NOTHING = Price(Rates(Decimal(0), Decimal(0)))


def by_header(home, name):
    return home.identify({"x-device-id": name}, "192.168.1.9")


@pytest.mark.parametrize(
    ("provider", "costs"),
    [
        (ProviderSettings("mock", "mock"), False),
        (ProviderSettings("ollama", "ollama", local=True), False),
        (ProviderSettings("lab", "openai", models=(ModelSettings("a", price=NOTHING),)), False),
        (ProviderSettings("lab", "openai", models=(ModelSettings("a", price=PAID),)), True),
        (ProviderSettings("lab", "openai", models=(ModelSettings("a", price=NOTHING), ModelSettings("b"))), True),
        (ProviderSettings("openrouter", "openrouter"), True),
        (ProviderSettings("openrouter", "openrouter", enabled=False), False),
    ],
)
def test_whether_a_provider_can_cost_money(provider, costs):
    assert costs_money(provider) is costs


async def test_keys_are_needed_as_soon_as_a_provider_can_cost_money(home):
    assert home(auth=None).auth is Auth.OPEN
    assert home(auth=None, providers=(ProviderSettings("lab", "openai"),)).auth is Auth.KEYS
    assert home(auth=Auth.OPEN, providers=(ProviderSettings("lab", "openai"),)).auth is Auth.OPEN


async def test_a_new_key_holds_at_once_and_is_stored_hashed(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen")
    caller = home.identify({"authorization": f"Bearer {key}"}, "")
    assert (caller.device_id, caller.key) == ("kitchen", KeyKind.DEVICE)
    assert "kitchen" in home.accounts.known.ids()
    for path in home.folder.iterdir():
        if path.is_file():
            assert key.encode() not in path.read_bytes()


async def test_a_revoked_key_ends_at_once(home):
    home = home(auth=Auth.KEYS)
    first, second = await home.accounts.add_key("kitchen"), await home.accounts.add_key("kitchen")
    listed = await home.accounts.list_keys()
    assert [k["device"] for k in listed] == ["kitchen", "kitchen"]
    assert await home.accounts.revoke_key(first) == 1
    with pytest.raises(AuthenticationError):
        home.identify({"x-api-key": first}, "")
    assert home.identify({"x-api-key": second}, "").device_id == "kitchen"
    (left,) = await home.accounts.list_keys()
    assert await home.accounts.revoke_key(left["id"]) == 1
    assert await home.accounts.revoke_key("kitchen") == 0


async def test_keys_survive_a_restart(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen")
    await home.restart()
    assert home.identify({"api-key": key}, "").device_id == "kitchen"


async def test_the_admin_key_is_made_once_private_and_strong(home):
    home = home()
    key, new = keys.admin_key(home.folder / "admin_key")
    assert new
    assert len(key) > 40
    assert (home.folder / "admin_key").stat().st_mode & 0o777 == 0o600
    assert keys.admin_key(home.folder / "admin_key") == (key, False)
    await home.accounts.tend()
    assert home.identify({"x-api-key": key}, "").admin


async def test_a_new_admin_key_holds_within_a_round_and_the_old_one_ends(home):
    home = home()
    old, _ = keys.admin_key(home.folder / "admin_key")
    await home.accounts.tend()
    new = keys.reset_admin_key(home.folder / "admin_key")
    await home.accounts.tend()
    assert home.identify({"x-api-key": new}, "").admin
    with pytest.raises(AuthenticationError):
        home.identify({"x-api-key": old}, "")


async def test_an_admin_key_in_the_settings_wins_over_the_file(home):
    home = home(admin_key="my own secret")
    keys.admin_key(home.folder / "admin_key")
    await home.accounts.tend()
    assert home.identify({"authorization": "Bearer my own secret"}, "").admin
    assert home.accounts.callers.admin_key == "my own secret"


CLI = """
import sys
from pathlib import Path
from cheaprouter.accounts import keys
from cheaprouter.books.database import Database
database = Database(Path(sys.argv[1]))
database.open(strict=True)
if sys.argv[2] == "add":
    print(database.run_sync(lambda c: keys.add(c, sys.argv[3])))
else:
    print(database.run_sync(lambda c: keys.revoke(c, sys.argv[3])))
database.close_sync()
"""


def other_process(home, *arguments):
    command = [sys.executable, "-c", CLI, str(home.database.path), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path.cwd()).stdout.strip()


async def test_a_key_added_and_revoked_by_another_process_is_noticed(home):
    home = home(auth=Auth.KEYS)
    await home.accounts.tend()
    key = await asyncio.to_thread(other_process, home, "add", "kitchen")
    await home.accounts.tend()
    assert home.identify({"x-api-key": key}, "").device_id == "kitchen"
    assert await asyncio.to_thread(other_process, home, "revoke", "kitchen") == "1"
    await home.accounts.tend()
    with pytest.raises(AuthenticationError):
        home.identify({"x-api-key": key}, "")


async def test_booking_goes_on_while_another_process_writes(home):
    home = home()
    for _ in range(20):
        home.ask()
    adding = asyncio.create_task(asyncio.to_thread(other_process, home, "add", "den"))
    while not adding.done():
        home.ask()
        await home.recorder.flush()
        await asyncio.sleep(0)
    total = await home.database.read(lambda c: books.totals(c)["kitchen"][0])
    assert total == home.count


async def test_a_setting_holds_from_the_next_request_on_and_over_restarts(home):
    home = home()
    assert home.set("kitchen", "rpm", "1", "mqtt") == 1
    home.ask()
    with pytest.raises(LimitError):
        home.ask()
    await home.restart()
    assert home.policies.of("kitchen").device.rpm == 1
    assert home.policies.sources("kitchen")["rpm"] == "run time"


async def test_a_setting_survives_kill_9(home):
    home = home()
    home.set("kitchen", "daily_budget", "1.50")
    home.crash()
    assert home.policies.of("kitchen").device.daily_budget == Decimal("1.50")


async def test_the_source_of_each_value_is_visible(home):
    home = home(device_defaults=DeviceSettings(rpm=60, tpm=100), devices={"kitchen": DeviceSettings(rpm=5)})
    home.set("kitchen", "profile", "eco")
    sources = home.policies.sources("kitchen")
    assert (sources["rpm"], sources["tpm"], sources["profile"]) == ("file", "default", "run time")
    policy = home.policies.of("kitchen").device
    assert (policy.rpm, policy.tpm, policy.profile) == (5, 100, Profile.ECO)


async def test_run_time_wins_until_that_key_changes_in_the_file(home):
    home = home(devices={"kitchen": DeviceSettings(rpm=5, tpm=100)})
    home.set("kitchen", "rpm", 7)
    home.set("kitchen", "tpm", 700)
    await home.restart(devices={"kitchen": DeviceSettings(rpm=5, tpm=200)})
    assert home.policies.of("kitchen").device.rpm == 7
    assert home.policies.of("kitchen").device.tpm == 200
    home.reconfigure(dataclasses.replace(home.settings, devices={"kitchen": DeviceSettings(rpm=6)}))
    assert home.policies.of("kitchen").device.rpm == 6
    await home.restart(devices={"kitchen": DeviceSettings(rpm=5, tpm=100)})
    assert home.policies.of("kitchen").device.rpm == 5, "a change that the file overtook does not come back"


async def test_the_hubs_settings_work_the_same_way(home):
    home = home(budget=BudgetSettings(daily=Decimal(5)))
    home.set(None, "daily_budget", 2)
    home.set(None, "cloud_paused", "ON")
    await home.restart()
    assert (home.policies.hub.daily_budget, home.policies.hub.cloud_paused) == (Decimal(2), True)
    assert home.policies.sources(None)["daily_budget"] == "run time"
    await home.restart(budget=BudgetSettings(daily=Decimal(6)))
    assert home.policies.hub.daily_budget == Decimal(6)


async def test_null_goes_back_to_the_file(home):
    home = home(devices={"kitchen": DeviceSettings(rpm=5)})
    home.set("kitchen", "rpm", 7)
    assert home.set("kitchen", "rpm", None) is None
    assert home.policies.of("kitchen").device.rpm == 5
    await home.restart()
    assert home.policies.of("kitchen").device.rpm == 5


async def test_a_limit_of_the_file_can_be_lifted_at_run_time(home):
    home = home(device_defaults=DeviceSettings(rpm=5, daily_budget=Decimal(1), model="lab/small"))
    home.set("kitchen", "rpm", 0)
    home.set("kitchen", "daily_budget", "unlimited")
    home.set("kitchen", "model", "auto")
    await home.restart()
    policy = home.policies.of("kitchen").device
    assert (policy.rpm, policy.daily_budget, policy.model) == (None, None, None)


async def test_a_refused_value_changes_nothing(home):
    home = home()
    home.set("kitchen", "rpm", 7)
    with pytest.raises(SettingError):
        home.set("kitchen", "rpm", "lots")
    assert home.policies.of("kitchen").device.rpm == 7


async def test_a_device_without_a_printable_name_cannot_be_set(home):
    with pytest.raises(SettingError, match="printable"):
        home().set("\x00", "rpm", 7)


async def test_changes_are_told(home):
    home = home()
    home.set("kitchen", "rpm", 7)
    home.set(None, "profile", "eco")
    home.set("kitchen", "name", "Kitchen tablet")
    assert [(e.device_id, e.names) for e in home.told(SettingsChanged)] == [
        ("kitchen", ("rpm",)), (None, ("profile",)), ("kitchen", ("name",)),
    ]  # fmt: skip
    assert home.policies.of("kitchen").device.name == "Kitchen tablet"


async def test_every_setting_is_shown_as_json(home):
    home = home(device_defaults=DeviceSettings(daily_budget=Decimal("1.5")))
    shown = home.policies.effective("kitchen")
    assert (shown["profile"], shown["model"], shown["enabled"], shown["daily_budget"]) == ("auto", "auto", True, 1.5)
    assert home.policies.effective(None)["cloud_paused"] is False


async def test_a_device_is_known_once_it_asks_for_what_is_booked(home):
    home = home()
    home.accounts.recognize({"x-device-id": "kitchen"}, "192.168.1.9", home.auth)
    assert home.accounts.known.ids() == []
    for _ in range(2):
        home.ask(by_header(home, "kitchen").device_id)
    assert home.accounts.known.ids() == ["kitchen"]
    assert home.told(DeviceAdded) == [DeviceAdded("kitchen")]


async def test_configured_devices_are_known_from_the_start(home):
    assert home(devices={" Küche ": DeviceSettings(rpm=5)}).accounts.known.ids() == ["Küche"]


async def test_slugs_do_not_collide_and_stay_over_restarts(home):
    home = home()
    home.ask("living-room")
    home.ask("Living Room")
    slugs = [home.accounts.known.slug(d) for d in ("living-room", "Living Room")]
    assert slugs[0] == "living_room"
    assert slugs[1].startswith("living_room_")
    await home.restart()
    assert [home.accounts.known.slug(d) for d in ("living-room", "Living Room")] == slugs
    assert home.accounts.known.for_slug(slugs[1]) == "Living Room"
    assert home.accounts.known.for_slug("nobody") is None


async def test_spoofed_ids_grow_neither_memory_nor_disk(home):
    home = home(max_devices=10, devices={"kitchen": DeviceSettings(rpm=10**6)})
    home.set("den", "rpm", 10**6)
    key = await home.accounts.add_key("attic")
    for n in range(500):
        home.ask(home.identify({"x-device-id": f"spoof {n}"}, f"192.168.1.{n % 250}").device_id)
        if n % 50 == 0:
            await home.recorder.flush()
            await home.accounts.tend()
    for _ in range(3):
        await home.recorder.flush()
        await home.accounts.tend()
    assert len(home.accounts.known.ids()) == 11
    assert {"kitchen", "den", "attic", "others"} <= set(home.accounts.known.ids())
    assert len(home.metrics.devices()) <= 11
    assert len(home.accounts.ledger.balances) <= 11
    assert len(home.accounts.alerts._quiet) <= 11
    devices, daily = await home.database.read(
        lambda c: [c.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("device", "daily")]
    )
    assert devices <= 11
    assert daily <= 12
    assert home.identify({"x-api-key": key}, "").device_id == "attic"
    assert home.metrics.snapshot(None)["cost_total"] == pytest.approx(5)
    await home.restart()
    assert home.metrics.snapshot(None)["requests"] == 500
    assert home.metrics.snapshot(None)["cost_total"] == pytest.approx(5)
    assert len(home.accounts.known.ids()) == 11


async def test_who_was_forgotten_just_before_a_crash_is_folded_at_the_next_start(home):
    home = home(max_devices=2)
    for n in range(5):
        home.ask(f"spoof {n}")
    home.crash()
    assert len(home.accounts.known.ids()) == 2
    for _ in range(3):
        await home.accounts.tend()
    assert len(await home.database.read(books.devices)) == 3
    assert home.metrics.snapshot(None)["requests"] == 5


async def test_a_device_with_requests_under_way_is_not_forgotten(home):
    home = home(max_devices=2)
    running = home.admit(Caller("kitchen"))
    for n in range(5):
        home.ask(f"spoof {n}")
    assert "kitchen" in home.accounts.known.ids()
    home.done(running, 1, "0.01")


async def test_newcomers_share_one_name_while_nobody_can_be_forgotten(home):
    home = home(max_devices=2)
    running = [home.admit(by_header(home, name)) for name in ("kitchen", "den")]
    assert by_header(home, "attic").device_id == "others"
    home.release(running[0])
    assert by_header(home, "attic").device_id == "attic"


async def test_forgotten_devices_spend_stays_in_the_global_budget(home):
    home = home(max_devices=1, budget=BudgetSettings(daily=Decimal("0.03")))
    for n in range(3):
        home.ask(f"spoof {n}")
    with pytest.raises(LimitError, match="all devices"):
        home.ask("spoof 3")
    await home.restart()
    with pytest.raises(LimitError, match="all devices"):
        home.ask("spoof 4")


async def test_a_removed_device_is_gone_with_its_settings_and_keys(home):
    home = home()
    home.set("kitchen", "rpm", 5)
    key = await home.accounts.add_key("kitchen")
    home.ask("kitchen")
    home.accounts.remove("kitchen")
    assert home.accounts.known.ids() == []
    assert home.told(DeviceRemoved) == [DeviceRemoved("kitchen")]
    with pytest.raises(AuthenticationError):
        home.identify({"x-api-key": key}, "")
    await home.restart()
    assert home.policies.of("kitchen").device.rpm is None
    assert home.metrics.snapshot(None)["cost_total"] == 0.01


async def test_a_removed_device_that_the_file_names_is_known_again(home):
    home = home(devices={"kitchen": DeviceSettings(rpm=5)})
    home.accounts.remove("kitchen")
    assert home.accounts.known.ids() == ["kitchen"]


async def test_spend_survives_a_restart_and_a_crash(home):
    home = home(device_defaults=DeviceSettings(daily_budget=Decimal("0.10")))
    home.ask(cost="0.04")
    await home.restart()
    home.ask(cost="0.04")
    home.crash()
    assert home.accounts.limits_state("kitchen")["budget_percent"] == 80
    with pytest.raises(LimitError):
        home.ask(cost="0.04")


async def test_the_warning_of_before_is_not_told_again_after_a_restart(home):
    home = home(device_defaults=DeviceSettings(daily_budget=Decimal("0.10")))
    home.ask(cost="0.09")
    await home.restart()
    home.events.clear()
    home.ask(cost="0.001")
    assert [type(e).__name__ for e in home.events] == ["RequestCompleted"]


async def test_fifty_devices_at_once_balance_to_the_token_and_the_pico_dollar(home):
    home = home(
        device_defaults=DeviceSettings(rpm=100, tpm=20_000, parallel=8, daily_budget=Decimal("0.02")),
        budget=BudgetSettings(daily=Decimal("0.80")),
    )
    dice, paid, used, refusals = random.Random(5), Decimal(0), 0, 0

    async def client(name):
        nonlocal paid, used, refusals
        for _ in range(12):
            estimate, cost = dice.randrange(100, 900), Decimal(dice.randrange(1, 4_000_000)) / 10**9
            try:
                admission = home.admit(Caller(name))
            except LimitError:
                refusals += 1
                await asyncio.sleep(0)
                continue
            try:
                home.reserve(admission, estimate, cost)
                await asyncio.sleep(dice.random() / 1000)
                share = Decimal(dice.randrange(0, 101)) / 100
                tokens = int(estimate * share)
                home.done(admission, tokens, cost * share)
                paid, used = paid + cost * share, used + tokens
            except LimitError:
                refusals += 1
            finally:
                home.release(admission)

    await asyncio.gather(*(client(f"device {n % 50}") for n in range(300)))
    assert refusals > 100
    assert paid <= Decimal("0.80")
    home.crash()
    totals = await home.database.read(books.totals)
    assert sum(t[books.TOTALS.index("cost")] for t in totals.values()) == int(paid * 10**12)
    assert sum(t[books.TOTALS.index("input_tokens")] for t in totals.values()) == used
    for n in range(50):
        snapshot = home.accounts.ledger.snapshot(f"device {n}", home.policies.default.limits, home.time.now, 20261122)
        assert (snapshot.running, snapshot.reserved) == (0, 0)
        assert snapshot.today <= 2 * 10**10
        assert snapshot.today == totals.get(f"device {n}", (0,) * 9)[books.TOTALS.index("cost")]


async def test_a_database_that_fails_is_no_reason_to_refuse_anyone(home, caplog):
    home = home()
    await home.database.close()
    home.ask()
    await home.accounts.tend()
    await home.recorder.flush()
    assert "could not be brought in step" in caplog.text
    home.database.open()
    await home.recorder.flush()
    assert await home.database.read(lambda c: books.totals(c)["kitchen"][0]) == 1


async def test_several_settings_are_set_all_or_none(home):
    home = home()
    with pytest.raises(SettingError):
        home.accounts.set_many(home.settings, "kitchen", {"rpm": 7, "tpm": "lots"}, "api")
    assert home.policies.of("kitchen").device.rpm is None
    assert home.accounts.known.ids() == []


async def test_a_key_removed_while_keys_are_read_again_does_not_return(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen")
    await asyncio.to_thread(other_process, home, "add", "den")  # so that there is something to read again
    reading = asyncio.create_task(home.accounts.tend())
    await asyncio.sleep(0)  # the old keys are being read
    home.accounts.remove("kitchen")
    await reading
    with pytest.raises(AuthenticationError):
        home.identify({"x-api-key": key}, "")
    await home.accounts.tend()
    with pytest.raises(AuthenticationError):
        home.identify({"x-api-key": key}, "")
    assert home.accounts.callers.keyed == {"den"}


async def test_what_could_not_be_written_down_of_devices_is_once_the_database_is_back(home):
    home = home()
    home.ask("attic")
    await home.accounts.tend()
    home.ask("Living Room")
    home.accounts.remove("attic")
    await home.database.close()
    with pytest.raises(sqlite3.Error):
        await home.accounts.known.write(home.database)
    home.database.open()
    await home.accounts.tend()
    assert [row[0] for row in await home.database.read(known.load)] == ["Living Room"]


async def test_the_device_that_called_longest_ago_is_forgotten_first(home):
    home = home(max_devices=2)
    for device in ("kitchen", "den", "kitchen", "attic"):
        home.ask(device, cost="0")
    assert home.accounts.known.ids() == ["attic", "kitchen"]


async def test_a_round_in_which_nothing_changed_writes_nothing_to_the_disk(home):
    home = home()
    home.ask()
    await home.accounts.tend()
    with contextlib.closing(sqlite3.connect(home.database.path)) as other:

        def version():
            return other.execute("PRAGMA data_version").fetchone()

        before = version()
        await home.accounts.tend()
        assert version() == before
