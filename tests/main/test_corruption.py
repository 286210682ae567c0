"""One damage to any file of the data folder, of many kinds: the router starts, no limit is freed, no key comes back, and it is told.

`CORRUPTIONS=600 pytest tests/main/test_corruption.py` runs more of them.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing, suppress
from decimal import Decimal

import pytest

from cheaprouter.accounts.keys import hash_key
from cheaprouter.config import files, loader
from cheaprouter.config.settings import BudgetAction
from cheaprouter.core.logs import Redactor
from cheaprouter.main.assembly import build_house
from tests.builders_house import make_house

RUNS = int(os.environ.get("CORRUPTIONS", "24"))
DATABASE = "cheaprouter.db"
FILES = (
    DATABASE,
    "cheaprouter.db-wal",
    "journal",
    "keys_and_settings.json",
    "last_good.json",
    "damage.json",
    "instance_id",
)
SPENT = Decimal("0.054")


class Image:
    """A data folder as it lies there, and what must hold of it."""

    def __init__(self, folder):
        self.folder = folder
        self.good, self.revoked = {}, []


async def used(data):
    """A house with limits, keys and spend; its folder copied while it runs (as a kill leaves it) and after it has ended."""
    running, ended = Image(data.with_name("running")), Image(data.with_name("ended"))
    async with make_house(data) as home:
        accounts = home.house.accounts
        home.add("kids", daily_budget=0.05, budget_action="refuse")
        home.add("tablet", rpm=3)
        home.add("den", profile="eco")
        for device in ("kids", "den"):
            for image in (running, ended):
                image.good[device] = ""
            key = await accounts.add_key(device)
            running.good[device] = ended.good[device] = key
        for _ in range(2):
            key = await accounts.add_key("guest")
            await accounts.revoke_key(key)
            running.revoked.append(key)
            ended.revoked.append(key)
        home.control.set_device_many("den", {"profile": None})
        home.say("hello")
        for n in range(3):
            await home.serve("kids")
            for m in range(12):
                await home.serve(f"lamp {n * 12 + m}")
            await home.house.recorder.flush()
        await accounts.tend()
        await home.serve("tablet")  # in the journal and the log alone
        shutil.copytree(data, running.folder)
        for suffix in ("-shm",):
            (running.folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    shutil.copytree(data, ended.folder)
    return running, ended


@pytest.fixture
async def images(tmp_path):
    (tmp_path / "data").mkdir()
    return await used(tmp_path / "data")


def flip(data, how):
    spoiled = bytearray(data)
    for _ in range(how.choice((1, 1, 1, 4, 30))):
        spoiled[how.randrange(len(spoiled))] ^= how.choice((1, 2, 16, 128, 255))
    return bytes(spoiled)


def wipe(data, how):
    at = how.randrange(0, len(data), 4096)
    return data[:at] + how.choice((b"\0", b"\xff")) * min(4096, len(data) - at) + data[at + 4096 :]


def cut(data, how):
    return data[: how.randrange(len(data))]


def double(data, how):
    at = how.randrange(len(data))
    return data[:at] + data[at : at + 512] + data[at:]


EDITS = [
    *(f"UPDATE device SET {column} = {value} WHERE id = 'kids'"
      for column in ("slug", "first_seen", "last_seen", "id") for value in ("x'ff6b'", "CAST(x'6bff' AS TEXT)", "'x'", "-1", "9e999")),
    *(f"UPDATE device_key SET {column} = {value} WHERE device_id = 'kids'"
      for column in ("hash", "device_id", "hint", "created_at") for value in ("x'ff6b'", "'x'", "-1")),
    *(f"UPDATE setting SET {column} = {value} WHERE scope = 'kids' AND name = 'daily_budget'"
      for column in ("scope", "name", "value", "baseline", "source", "changed_at") for value in ("x'ff6b'", "'{'", "'9'", "-1")),
    *(f"UPDATE {table} SET {column} = {value} WHERE device_id = 'kids'"
      for table in ("daily", "rollup") for column in ("cost", "day", "requests", "device_id", "unpriced")
      for value in ("'x'", "-5", "1", "x'00'", "9e999")),
    *(f"UPDATE request SET {column} = {value} WHERE device_id = 'kids'"
      for column in ("cost", "at", "device_id", "status", "seq + 7") for value in ("'x'", "-5", "x'00ff'")),
    *(f"UPDATE meta SET value = {value} WHERE key = '{key}'"
      for key in ("applied_seq", "rights_serial", "hours_from", "version") for value in ("'x'", "-5", "0", "4611686018427387903")),
    *(f"DELETE FROM {table}" for table in ("device", "device_key", "setting", "daily", "meta", "rollup", "request", "migration")),
    *(f"DROP TABLE {table}" for table in ("device", "device_key", "setting", "daily", "meta", "rollup", "request", "migration")),
    *(f"ALTER TABLE {table} ADD COLUMN novelty TEXT NOT NULL DEFAULT 'x'" for table in ("device", "device_key", "setting", "daily", "request")),
    "ALTER TABLE request DROP COLUMN reason", "ALTER TABLE setting DROP COLUMN source", "ALTER TABLE device DROP COLUMN name",
    "INSERT INTO device_key (hash, device_id, hint, created_at) VALUES ('{revoked}', 'guest', 'cr-...', 1)",
]  # fmt: skip
"""Chosen columns: what no booking has, and what one could have but has not."""


def edit(path, sql, revoked):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]:
            connection.execute(f"DROP TRIGGER {name}")
        with suppress(sqlite3.Error):
            connection.execute(sql.replace("{revoked}", hash_key(revoked)))


KINDS = (flip, flip, wipe, cut, double, None)


def strike(folder, seed):
    """Damage one file; says what was done. None: there is no such file."""
    how = random.Random(seed)
    name = FILES[how.choices(range(len(FILES)), (6, 3, 2, 2, 1, 1, 1))[0]]
    path = folder / name
    if name == "journal":
        path = next(iter(sorted(path.glob("*.log"))), path)
    if not path.is_file() or not path.stat().st_size:
        return None
    kind = how.choice(KINDS)
    if kind is None:
        path.unlink()
        return f"{name} deleted"
    path.write_bytes(kind(path.read_bytes(), how))
    return f"{name}: {kind.__name__}"


def paid_is_refused(house, device):
    action = house.accounts.budget_action(
        house.gateway.world.policies, device, house.accounts.calendar.day(house.clock.utcnow().timestamp())
    )
    return action in {BudgetAction.REFUSE, BudgetAction.FREE}


async def assert_it_holds(image, data, told):
    async with build_house(loader.start(data, {}, files.read_last_good(data)), data, Redactor()) as house:
        policies, keyring = house.gateway.world.policies, house.accounts.callers.keyring
        assert policies.of("kids").daily == 50_000_000_000, told
        assert policies.of("tablet").limits.rpm == 3, told
        assert (
            not policies.is_configured("den")
            or "profile" not in policies.sources("den")
            or policies.sources("den")["profile"] != "run time"
        ), told
        for device, key in image.good.items():
            assert keyring.devices.get(hash_key(key)) == device, told
        assert not [key for key in image.revoked if hash_key(key) in keyring.devices], told
        assert len(house.accounts.known) <= 60, told
        await house.accounts.database.look_through()
        health = house.control.health()
        assert paid_is_refused(house, "kids"), told
        known = house.control.device_state("kids")["cost_today"]
        if Decimal(str(known)) < SPENT:
            assert house.accounts.database.damage, told
        assert (health["status"] == "degraded") == bool(house.all_problems()), told
        if words := house.accounts.database.damage:
            assert house.accounts.in_doubt(policies, "kids"), told
            if "deleted" not in told:
                kept = [
                    p.name
                    for p in data.rglob("*")
                    if any(m in p.name for m in (".corrupt-", ".rows-", ".damaged", ".log"))
                ]
                assert kept, (told, words)
        await house.accounts.tend()
        assert len(await house.control.reports.audit(50)) >= 0
        await house.control.reports.usage({"group_by": "device"})
        house.accounts.database.acknowledge()
    async with build_house(loader.start(data, {}, files.read_last_good(data)), data, Redactor()) as house:
        assert house.accounts.database.damage == (), told


@pytest.mark.parametrize("which", ["running", "ended"])
async def test_no_damage_to_one_file_crashes_frees_or_hides(images, tmp_path, which):
    image = images[which == "ended"]
    done, wrong = 0, []
    for seed in range(RUNS):
        data = tmp_path / f"struck {seed}"
        shutil.copytree(image.folder, data)
        if (told := strike(data, f"{which} {seed}")) is not None:
            done += 1
            try:
                await assert_it_holds(image, data, told)
            except Exception as error:  # noqa: BLE001 - all of them are told together
                wrong.append(f"{which} {seed}: {told}: {type(error).__name__}: {error!s:.600}")
        shutil.rmtree(data)
    assert done > RUNS / 4
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("which", ["running", "ended"])
async def test_no_chosen_column_crashes_frees_or_hides(images, tmp_path, which):
    image = images[which == "ended"]
    wrong = []
    for n, sql in enumerate(EDITS[which == "ended" :: 1 if RUNS > 60 else 6]):
        data = tmp_path / f"struck {n}"
        shutil.copytree(image.folder, data)
        edit(data / DATABASE, sql, image.revoked[0])
        try:
            await assert_it_holds(image, data, sql)
        except Exception as error:  # noqa: BLE001 - all of them are told together
            wrong.append(f"{sql}: {type(error).__name__}: {error!s:.600}")
        shutil.rmtree(data)
    assert not wrong, "\n".join(wrong)
