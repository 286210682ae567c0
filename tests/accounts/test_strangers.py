"""Strangers push nobody out: who is kept, how many an address adds, who counts as `others`, and what nobody can be called."""

from __future__ import annotations

from decimal import Decimal
from ipaddress import ip_network

import pytest

from cheaprouter.accounts.known import SETTLED
from cheaprouter.accounts.strangers import MOST_ADDRESSES, Arrivals, TurnedAway
from cheaprouter.config.settings import Auth, DeviceSettings, HttpSettings
from cheaprouter.core.errors import AuthenticationError, LimitError, SettingError
from cheaprouter.core.ids import free_id, is_reserved, network_of, unique_slug
from cheaprouter.core.models import Caller

STRANGER = "192.168.1.66"
LIMIT = HttpSettings().max_new_devices_per_hour


def come(home, count=1, peer=STRANGER, name="spoof"):
    """So many devices that nobody has seen, from one address; who each of them counts as."""
    return [home.identify({"x-device-id": f"{name} {n}"}, peer).device_id for n in range(count)]


def flood(home, count=205):
    """Newcomers of as many addresses, all of whom ask something."""
    for n in range(count):
        home.ask(home.identify({"x-device-id": f"flood {n}"}, f"10.0.{n // 250}.{n % 250}").device_id, cost="0")


# --- who is never displaced ---------------------------------------------------------------------------------------


async def test_who_spent_something_this_month_is_known_with_it_whatever_comes(home):
    home = home(max_devices=10)
    home.ask("kitchen-tablet", cost="0.5")
    flood(home)
    home.later(3600)
    flood(home)
    assert "kitchen-tablet" in home.accounts.known
    assert (
        home.accounts.ledger.spent("kitchen-tablet", home.accounts.calendar.day(home.time.at.timestamp()))
        == (500_000_000_000,) * 2
    )


async def test_a_spent_budget_stays_spent_over_strangers_and_a_restart(home):
    home = home(max_devices=10, device_defaults=DeviceSettings(daily_budget=Decimal(1)))
    home.ask("kitchen-tablet", cost="1")
    flood(home)
    with pytest.raises(LimitError):
        home.ask("kitchen-tablet")
    await home.restart()
    flood(home)
    with pytest.raises(LimitError):
        home.ask("kitchen-tablet")


async def test_a_reset_of_its_budget_makes_nobody_displaceable(home):
    home = home(max_devices=10)
    home.ask("kitchen-tablet", cost="0.5")
    home.accounts.reset_budget("kitchen-tablet")
    flood(home)
    assert "kitchen-tablet" in home.accounts.known


async def test_who_spent_something_last_month_only_makes_room(home):
    home = home(max_devices=10, at="2026-11-30T12:00:00")
    home.ask("kitchen-tablet", cost="0.5")
    assert home.accounts.known.has_room()
    flood(home, 20)
    await home.accounts.tend()
    home.local("2026-12-01T12:00:00")
    await home.accounts.tend()
    flood(home)
    assert "kitchen-tablet" not in home.accounts.known


async def test_who_has_called_over_more_than_a_day_is_never_displaced(home):
    home = home(max_devices=10)
    home.ask("kitchen-tablet", cost="0")
    home.later(SETTLED)
    home.ask("kitchen-tablet", cost="0")
    home.ask("once", cost="0")
    home.later(SETTLED)
    flood(home)
    assert "kitchen-tablet" in home.accounts.known
    assert "once" not in home.accounts.known


async def test_that_it_called_over_a_day_is_known_after_a_crash(home):
    home = home(max_devices=10)
    home.ask("kitchen-tablet", cost="0")
    await home.accounts.tend()
    home.later(SETTLED)
    home.ask("kitchen-tablet", cost="0")
    await home.accounts.tend()
    home.crash()
    flood(home)
    assert "kitchen-tablet" in home.accounts.known


async def test_a_device_that_was_only_set_up_has_not_called_for_a_day_once_that_is_taken_back(home):
    home = home(max_devices=10)
    home.set("kitchen-tablet", "rpm", 5)
    home.ask("kitchen-tablet", cost="0")
    home.set("kitchen-tablet", "rpm", None)
    flood(home)
    assert "kitchen-tablet" not in home.accounts.known


async def test_what_others_spend_counts_against_their_own_limits_and_the_houses(home):
    home = home(
        max_devices=1, devices={"kitchen": DeviceSettings(rpm=5), "others": DeviceSettings(daily_budget=Decimal(1))}
    )
    for n in range(2):
        home.ask(home.identify({"x-device-id": f"spoof {n}"}, STRANGER).device_id, cost="0.5")
    with pytest.raises(LimitError):
        home.ask(home.identify({"x-device-id": "spoof 3"}, STRANGER).device_id, cost="0.5")
    assert home.metrics.snapshot("others")["cost_today"] == 1
    assert home.metrics.snapshot(None)["cost_today"] == 1


async def test_others_take_nobodys_place_and_are_never_forgotten(home):
    home = home(max_devices=2, http=HttpSettings(max_new_devices_per_hour=2))
    assert come(home, 3) == ["spoof 0", "spoof 1", "others"]
    assert home.accounts.known.ids() == ["others", "spoof 0", "spoof 1"]
    come(home, 2, "192.168.1.67", "next")
    assert home.accounts.known.ids() == ["next 0", "next 1", "others"]


# --- how many an address adds -------------------------------------------------------------------------------------


async def test_an_address_adds_so_many_devices_an_hour_and_the_rest_are_others(home):
    home = home()
    assert come(home, LIMIT + 2) == [*(f"spoof {n}" for n in range(LIMIT)), "others", "others"]
    assert come(home, LIMIT) == [f"spoof {n}" for n in range(LIMIT)]
    assert come(home, 1, "192.168.1.67", "next") == ["next 0"]
    home.later(3600 + 60)
    assert come(home, 1, name="later") == ["later 0"]


async def test_within_any_hour_it_never_adds_more(home):
    home = home()
    added = []
    for n in range(400):
        if come(home, 1, name=f"spoof {n}") != ["others"]:
            added.append(n * 60)
        home.later(60)
    assert len(added) > LIMIT
    assert all(later - earlier >= 3600 for earlier, later in zip(added, added[LIMIT:], strict=False))


async def test_the_limit_is_the_settings_and_nought_is_none(home):
    home = home(http=HttpSettings(max_new_devices_per_hour=0))
    assert come(home) == ["others"]
    home.reconfigure(home.settings.__class__(auth=Auth.OPEN, http=HttpSettings(max_new_devices_per_hour=1)))
    assert come(home, 2) == ["spoof 0", "others"]


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "172.30.32.2", "10.9.9.9"])
async def test_this_machine_the_supervisor_and_trusted_proxies_are_not_counted(home, peer):
    home = home(http=HttpSettings(trusted_proxies=(ip_network("10.9.9.0/24"),)))
    assert "others" not in come(home, LIMIT + 5, peer)


@pytest.mark.parametrize("peer", ["::12", "::1:1", "172.30.32.3", "128.0.0.1", "not an address", ""])
async def test_what_only_looks_like_them_is_counted(home, peer):
    assert come(home(), LIMIT + 1, peer)[-1] == "others"


async def test_even_this_machine_adds_no_end_of_them(home, monkeypatch):
    monkeypatch.setattr("cheaprouter.accounts.strangers.MOST_BEYOND", 3)
    home = home(max_devices=2)
    for n in range(8):
        home.ask(home.identify({"x-device-id": f"spoof {n}"}, "127.0.0.1").device_id, cost="0.1")
    assert home.accounts.known.ids() == ["others", *(f"spoof {n}" for n in range(5))]


async def test_devices_with_a_key_or_of_the_file_are_not_counted(home):
    home = home(devices={f"spoof {n}": DeviceSettings(rpm=5) for n in range(LIMIT + 5)}, admin_key="an admin key here")
    assert "others" not in come(home, LIMIT + 5)
    assert come(home, 1, name="stranger") == ["stranger 0"]
    for n in range(LIMIT + 5):
        assert (
            home.identify({"x-api-key": "an admin key here", "x-device-id": f"a {n}"}, STRANGER).device_id == f"a {n}"
        )


async def test_the_addresses_of_one_ipv6_network_count_as_one(home):
    home = home()
    found = [home.identify({}, f"2001:db8:1:2::{n:x}").device_id for n in range(1, LIMIT + 2)]
    assert found[LIMIT - 1 :] == [f"lan-2001:db8:1:2::{LIMIT:x}", "others"]
    assert home.identify({}, "2001:db8:1:3::1").device_id == "lan-2001:db8:1:3::1"


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.168.1.9", "192.168.1.9"),
        ("::ffff:192.168.1.9", "192.168.1.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("(mqtt)", "(mqtt)"),
    ],
)
def test_whom_an_address_counts_as(peer, network):
    assert network_of(peer) == network


def test_counting_addresses_takes_a_bounded_memory_and_all_further_ones_share_one_count():
    arrivals = Arrivals()
    for n in range(MOST_ADDRESSES):
        assert arrivals.take(f"address {n}", 0.0, 2)
    assert [arrivals.take(f"further {n}", 0.0, 2) for n in range(3)] == [True, True, False]
    assert arrivals.take("address 7", 0.0, 2)
    assert len(arrivals) <= MOST_ADDRESSES + 1
    assert all(arrivals.take(f"later {n}", 7300.0, 2) for n in range(100))
    assert len(arrivals) <= MOST_ADDRESSES + 1


# --- who is turned away -------------------------------------------------------------------------------------------


async def test_who_has_no_key_is_counted_by_the_minute_and_nowhere_else(home):
    home = home(auth=Auth.KEYS)
    for n in range(30):
        with pytest.raises(AuthenticationError):
            home.identify({"x-device-id": f"spoof {n}", "authorization": "Bearer cr-wrong"}, f"192.168.1.{n}")
        home.later(1)
    turned_away = home.accounts.turned_away
    assert (turned_away.total, turned_away.last_minute(home.clock.monotonic())) == (30, 30)
    home.later(45)
    assert turned_away.last_minute(home.clock.monotonic()) == 14
    assert home.accounts.known.ids() == []
    assert home.recorder.recent(10) == []


def test_a_minute_that_is_over_counts_no_more():
    turned_away = TurnedAway()
    for second in (1000.0, 1000.9, 1030.0, 1059.9):
        turned_away.note(second)
    assert [turned_away.last_minute(second) for second in (1059.9, 1060.0, 1090.0, 1119.0, 1120.0)] == [4, 2, 1, 0, 0]


# --- what nobody can be called ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["others", "Others", "OTHERS\u200b", "admin", "mqtt", "hub", "everyone", "defaults", "\uff4fthers"]
)
async def test_whoever_calls_itself_by_a_name_of_the_routers_own_is_a_guest(home, name):
    caller = home().identify({"x-device-id": name}, STRANGER)
    assert not is_reserved(caller.device_id)
    assert caller.device_id.endswith("-guest")


async def test_the_totals_of_forgotten_ones_are_nobodys(home):
    assert home().identify({"x-device-id": "(forgotten)"}, STRANGER).device_id == "forgotten"


@pytest.mark.parametrize("name", ["others", "(forgotten)", "\u200b(forgotten) ", "Admin", "hub", "mqtt", "", " \x00"])
async def test_no_key_is_for_such_a_name(home, name):
    with pytest.raises(SettingError):
        await home().accounts.add_key(name)


@pytest.mark.parametrize("name", ["(forgotten)", "hub", "everyone", "Others", "", "\u200b"])
async def test_nothing_is_set_for_a_name_that_no_device_has(home, name):
    home = home()
    with pytest.raises(SettingError):
        home.set(name, "rpm", 5)
    assert home.accounts.known.ids() == []


@pytest.mark.parametrize("name", ["others", "admin", "mqtt"])
async def test_for_the_routers_own_devices_something_may_be_set(home, name):
    home = home()
    home.set(name, "rpm", 5)
    assert home.policies.of(name).limits.rpm == 5


async def test_the_admin_who_names_itself_by_one_is_the_admin(home):
    home = home(admin_key="an admin key here")
    assert home.identify({"x-api-key": "an admin key here", "x-device-id": "others"}, STRANGER).device_id == "admin"


def test_a_slug_of_the_routers_own_is_only_its_own():
    assert unique_slug("others", ()) == "others"
    assert unique_slug("Others!", ()) != "others"
    assert unique_slug("Hub", ()) != "hub"


def test_a_guests_name_is_not_too_long():
    assert free_id("tablet") == "tablet"
    assert free_id("hub") == "hub-guest"


async def test_who_asks_on_the_routers_own_topic_is_never_others(home):
    home = home(http=HttpSettings(max_new_devices_per_hour=0))
    assert home.accounts.let_in(Caller("mqtt", source="mqtt"), "(mqtt)").device_id == "mqtt"
