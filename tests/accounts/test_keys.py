"""Keys end when they were said to, are renewed without a gap, and tell when they were used last."""

from __future__ import annotations

import sqlite3
import stat
from datetime import UTC, datetime

import pytest

from cheaprouter.accounts import keys
from cheaprouter.config.settings import Auth
from cheaprouter.core.errors import AuthenticationError, SettingError

HOUR, DAY = 3600, 86_400


def ask(home, key):
    return home.identify({"x-api-key": key}, "192.168.1.9").device_id


def refusal(home, key):
    with pytest.raises(AuthenticationError) as caught:
        ask(home, key)
    return caught.value


async def only(home):
    (found,) = await home.accounts.list_keys()
    return found


async def test_a_key_ends_after_its_days_and_says_so(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen", 90)
    home.time.later(90 * DAY - 1)
    await home.accounts.tend()
    assert ask(home, key) == "kitchen"
    ended = datetime.fromtimestamp((await only(home))["expires_at"], UTC)
    home.time.later(1)
    await home.accounts.tend()
    found = refusal(home, key)
    assert (found.status, found.code) == (401, "api_key_expired")
    assert f"has expired, on {ended:%Y-%m-%d}" in found.message


async def test_an_expired_key_is_refused_where_none_is_needed_too(home):
    home = home(auth=Auth.OPEN)
    key = await home.accounts.add_key("kitchen", 1)
    home.time.later(DAY)
    await home.accounts.tend()
    assert refusal(home, key).code == "api_key_expired"


async def test_an_expired_key_keeps_others_from_taking_its_devices_name(home):
    home = home(auth=Auth.OPEN)
    await home.accounts.add_key("kitchen", 1)
    home.time.later(DAY)
    await home.accounts.tend()
    assert home.identify({"x-device-id": "kitchen"}, "192.168.1.9").device_id == "lan-192.168.1.9"


async def test_an_expired_key_is_listed_until_somebody_takes_it_away(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen", 1)
    assert not (await only(home))["expired"]
    home.time.later(400 * DAY)
    await home.accounts.tend()
    await home.restart()
    assert (await only(home))["expired"]
    assert refusal(home, key).code == "api_key_expired"
    assert await home.accounts.revoke_key("kitchen") == 1
    assert refusal(home, key).code == "invalid_api_key"


async def test_who_has_no_key_learns_nothing_of_those_that_expired(home):
    home = home(auth=Auth.KEYS)
    before = refusal(home, "cr-guessed").message
    key = await home.accounts.add_key("kitchen", 1)
    home.time.later(DAY)
    await home.accounts.tend()
    assert refusal(home, "cr-guessed").message == before
    assert refusal(home, key[:-1]).message == before


async def test_another_key_that_holds_is_taken_beside_one_that_expired(home):
    home = home(auth=Auth.KEYS)
    old = await home.accounts.add_key("kitchen", 1)
    home.time.later(DAY)
    await home.accounts.tend()
    new = await home.accounts.add_key("den")
    assert home.identify({"authorization": f"Bearer {old}", "x-api-key": new}, "").device_id == "den"


@pytest.mark.parametrize("days", [0, -1, 3651, 10**30])
async def test_days_are_within_bounds(home, days):
    home = home()
    with pytest.raises(SettingError, match="from 1 to 3650"):
        await home.accounts.add_key("kitchen", days)
    assert await home.accounts.list_keys() == []


async def test_a_renewed_key_and_its_predecessor_both_hold_until_the_grace_is_over(home):
    home = home(auth=Auth.KEYS)
    old = await home.accounts.add_key("kitchen")
    made = await home.accounts.rotate_key("kitchen", grace=2)
    assert [(info.hint, info.expires_at) for info in made.ending] == [
        (old[:7] + "...", int(home.clock.unix()) + 2 * HOUR)
    ]
    assert ask(home, old) == ask(home, made.key) == "kitchen"
    home.time.later(2 * HOUR)
    await home.accounts.tend()
    assert refusal(home, old).code == "api_key_expired"
    assert ask(home, made.key) == "kitchen"


async def test_without_grace_the_old_key_ends_at_once(home):
    home = home(auth=Auth.KEYS)
    old = await home.accounts.add_key("kitchen")
    made = await home.accounts.rotate_key("kitchen", grace=0)
    assert refusal(home, old).code == "api_key_expired"
    assert ask(home, made.key) == "kitchen"


async def test_a_grace_makes_no_key_live_longer(home):
    home = home(auth=Auth.KEYS)
    old = await home.accounts.add_key("kitchen", 1)
    await home.accounts.rotate_key("kitchen", grace=48)
    home.time.later(DAY)
    await home.accounts.tend()
    assert refusal(home, old).code == "api_key_expired"


@pytest.mark.parametrize(("first", "days", "lasts"), [(None, None, None), (90, None, 90), (None, 30, 30), (90, 30, 30)])
async def test_a_new_key_lasts_as_long_as_the_old_one_did_unless_told_otherwise(home, first, days, lasts):
    home = home()
    await home.accounts.add_key("kitchen", first)
    for _ in range(2):  # the second time its predecessor has an end by the grace, too
        home.time.later(HOUR)
        made = await home.accounts.rotate_key("kitchen", days)
    assert made.expires_at == (None if lasts is None else int(home.clock.unix()) + lasts * DAY)


async def test_one_key_of_several_can_be_renewed_by_its_id(home):
    home = home(auth=Auth.KEYS)
    first, second = await home.accounts.add_key("kitchen"), await home.accounts.add_key("kitchen")
    made = await home.accounts.rotate_key(keys.hash_key(first)[: keys.ID], grace=0)
    assert refusal(home, first).code == "api_key_expired"
    assert ask(home, second) == ask(home, made.key) == "kitchen"


async def test_what_is_not_there_cannot_be_renewed(home):
    assert await home().accounts.rotate_key("nobody") is None


@pytest.mark.parametrize("grace", [-1, 8761, float("nan"), float("inf")])
async def test_a_grace_out_of_bounds_changes_nothing(home, grace):
    home = home()
    await home.accounts.add_key("kitchen")
    with pytest.raises(SettingError, match="from 0 to 8760"):
        await home.accounts.rotate_key("kitchen", grace=grace)
    assert (await only(home))["expires_at"] is None


async def test_the_last_use_is_told_at_once_and_written_down_once_a_minute(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen")
    assert (await only(home))["last_used_at"] is None
    writes = []
    run = home.database.run

    async def counted(work):
        writes.append(work)
        return await run(work)

    home.database.run = counted
    for _ in range(300):
        home.time.later(1)
        ask(home, key)
        await home.accounts.tend()
    assert (await only(home))["last_used_at"] == int(home.clock.unix())
    assert len(writes) <= 6


async def test_a_key_that_nobody_uses_writes_nothing(home):
    home = home(auth=Auth.KEYS)
    await home.accounts.add_key("kitchen")
    await home.accounts.tend()
    home.database.run = None
    for _ in range(3):
        home.time.later(100)
        await home.accounts.tend()


async def test_the_last_use_is_kept_over_a_restart(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen")
    ask(home, key)
    await home.accounts.tend()
    home.time.later(5)
    ask(home, key)
    used = int(home.clock.unix())
    await home.restart()
    assert (await only(home))["last_used_at"] == used


async def test_the_last_use_that_could_not_be_written_is_once_the_database_is_back(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen")
    ask(home, key)
    run = home.database.run

    async def broken(work):
        raise sqlite3.OperationalError("disk I/O error")

    home.database.run = broken
    await home.accounts.tend()
    home.database.run = run
    home.time.later(61)
    await home.accounts.tend()
    stored = await home.database.read(keys.listed)
    assert stored[0].used_at is not None


async def test_an_old_database_has_keys_for_good(home):
    home = home(auth=Auth.KEYS)
    key = await home.accounts.add_key("kitchen")
    await home.database.run(lambda c: c.execute("UPDATE device_key SET expires_at = NULL, used_at = NULL, days = NULL"))
    await home.restart()
    home.time.later(10_000 * DAY)
    await home.accounts.tend()
    assert ask(home, key) == "kitchen"


async def test_a_key_whose_end_cannot_be_read_is_lost_rather_than_good_for_ever(home):
    home = home(auth=Auth.KEYS)
    await home.accounts.add_key("den", 5)
    key = await home.accounts.add_key("kitchen", 5)
    await home.database.run(
        lambda c: c.execute("UPDATE device_key SET expires_at = 'soon' WHERE device_id = 'kitchen'")
    )
    await home.restart()
    assert refusal(home, key).code == "invalid_api_key"
    assert (await only(home))["expires_at"] is not None  # the other one's end is still known


@pytest.mark.parametrize(
    "left",
    [b"", b"x", b"cr-admin-abc", b"\xff" * 40, b"cr-admin-\0\0\0\0\0\0\0\0\0\0\0\0", b"a" * 20 + b"\n" + b"b" * 20],
)
def test_what_is_left_of_a_damaged_admin_key_is_none(tmp_path, left):
    path = tmp_path / "admin_key"
    path.write_bytes(left)
    key, is_new = keys.admin_key(path)
    assert is_new
    assert len(key) > 40
    assert keys.admin_key(path) == (key, False)


def test_an_admin_key_that_others_could_read_is_its_owners_alone_from_the_start(tmp_path):
    path = tmp_path / "admin_key"
    key, _ = keys.admin_key(path)
    path.chmod(0o644)
    assert keys.admin_key(path) == (key, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
