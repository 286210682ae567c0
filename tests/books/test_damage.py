"""What holds when something of the books is broken: only that is lost, it is kept and told."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sqlite3

import pytest

from cheaprouter.books import backup, salvage
from cheaprouter.books import totals as books
from cheaprouter.books.database import Database
from cheaprouter.books.migrations import migrate
from cheaprouter.books.rows import COLUMNS, FIRST_AT, SHAPE
from cheaprouter.core.errors import NewerDatabaseError
from cheaprouter.main.cli import main
from cheaprouter.main.commands import manage_keys
from tests.builders import until

PAGE = 4096


def row(seq, device="kitchen", day=20261122):
    values = {name: empty for name, (*_, empty) in SHAPE.items()} | {
        "seq": seq, "id": f"req_{seq}", "day": day, "device_id": device, "model_id": "lab/small", "provider": "lab",
        "status": 200, "cost": 5, "attempts": 1, "prompt_tokens": 3, "reason": "x" * 200,
    }  # fmt: skip
    return tuple(values[name] for name in COLUMNS)


def opened(path, **how):
    database = Database(path)
    database.open(**how)
    return database


@pytest.fixture
def path(tmp_path):
    """Books with three devices, their keys and settings, and two thousand requests."""
    path = tmp_path / "cheaprouter.db"
    database = opened(path)

    def fill(connection):
        for n, device in enumerate(("den", "kitchen", "tablet")):
            connection.execute("INSERT INTO device VALUES (?, ?, NULL, 1, 2)", (device, device))
            connection.execute(
                "INSERT INTO device_key (hash, device_id, hint, created_at) VALUES (?, ?, 'cr-abc...', 1)",
                (f"hash{n}", device),
            )
            connection.execute("INSERT INTO setting VALUES (?, 'rpm', '5', 'null', 'api', 1)", (device,))
            connection.execute("INSERT INTO forgiven VALUES (?, 20261122, 1, 2)", (device,))
        books.apply(connection, [row(n, f"device {n % 50}") for n in range(1, 2001)])

    database.run_sync(fill)
    database.close_sync()
    return path


def edit(path, sql, parameters=()):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(sql, parameters)
    connection.close()


def column(database, sql):
    return [r[0] for r in database.read_sync(lambda c: c.execute(sql).fetchall())]


def pages_of(path, table):
    """The leaf pages of a table, as far as they can be told: those that hold its rows' marks."""
    data = path.read_bytes()
    mark = {"request": b"req_", "daily": b"device "}[table]
    kinds = {"request": 0x0D, "daily": 0x0A}[table]
    return [
        n
        for n in range(1, len(data) // PAGE)
        if data[n * PAGE] == kinds and data[n * PAGE : (n + 1) * PAGE].count(mark) > 3
    ]


def spoil(path, pages):
    data = bytearray(path.read_bytes())
    for n in pages:
        data[n * PAGE : (n + 1) * PAGE] = b"\xff" * PAGE
    path.write_bytes(bytes(data))


# --- a newer version's database --------------------------------------------------------------------------------


def newer(path, *, wal):
    """As a later version leaves it: with a step and a version that this one does not know; stopped, or killed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    migrate(connection)
    connection.execute("INSERT INTO migration VALUES ('a_step_of_tomorrow')")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('version', '9.1.0')")
    if not wal:
        connection.close()
        return
    copies = {suffix: path.with_name(path.name + suffix).read_bytes() for suffix in ("", "-wal")}
    connection.close()
    for suffix, data in copies.items():
        path.with_name(path.name + suffix).write_bytes(data)


def digests(folder):
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.iterdir()
        if p.is_file() and p.suffix != ".db-shm"
    }


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_a_database_of_a_newer_version_is_refused_and_not_touched(tmp_path, wal, strict):
    path = tmp_path / "cheaprouter.db"
    newer(path, wal=wal)
    before = digests(tmp_path)
    with pytest.raises(NewerDatabaseError, match=r"9\.1\.0.*Nothing was changed.*restore a backup"):
        Database(path).open(strict=strict)
    assert digests(tmp_path) == before


def test_a_newer_one_cannot_be_copied_by_this_version_either(tmp_path):
    newer(tmp_path / backup.DATABASE, wal=False)
    with pytest.raises(NewerDatabaseError):
        backup.make(tmp_path)
    assert not (tmp_path / backup.COPY).exists()


def test_a_backup_of_a_newer_version_is_not_put_in_place(path):
    newer(path.with_name(backup.COPY), wal=False)
    before = digests(path.parent)
    with pytest.raises(NewerDatabaseError):
        backup.restore(path.parent)
    assert digests(path.parent) == before


def test_the_file_says_which_version_changed_it_last(path):
    database = opened(path)
    assert column(database, "SELECT value FROM meta WHERE key = 'version'") == ["0.1.0"]
    database.close_sync()


def test_a_flipped_bit_in_a_steps_name_is_damage_and_no_newer_version(path):
    edit(path, "UPDATE migration SET name = 'forgiven_spenf' WHERE name = 'forgiven_spend'")
    database = opened(path)
    assert "only" not in database.damage[0]
    assert column(database, "SELECT scope FROM forgiven ORDER BY 1") == ["den", "kitchen", "tablet"]
    assert column(database, "SELECT count(*) FROM request") == [2000]
    database.close_sync()


# --- single rows -----------------------------------------------------------------------------------------------

BAD = [
    ("device", "UPDATE device SET slug = CAST(x'64ff' AS TEXT) WHERE id = 'den'", "id"),
    ("device", "UPDATE device SET last_seen = 'yesterday' WHERE id = 'den'", "id"),
    ("device", "UPDATE device SET first_seen = 9223372036854775807 WHERE id = 'den'", "id"),
    ("setting", "UPDATE setting SET value = '{' WHERE scope = 'den'", "scope"),
    ("setting", "UPDATE setting SET baseline = x'00' WHERE scope = 'den'", "scope"),
    ("setting", "UPDATE setting SET name = CAST(x'ff' AS TEXT) WHERE scope = 'den'", "scope"),
    ("device_key", "UPDATE device_key SET device_id = x'ff' WHERE device_id = 'den'", "device_id"),
    ("device_key", "UPDATE device_key SET created_at = -1 WHERE device_id = 'den'", "device_id"),
    ("forgiven", "UPDATE forgiven SET day_amount = 'much' WHERE scope = 'den'", "scope"),
]


@pytest.mark.parametrize(("table", "sql", "key"), BAD)
def test_one_value_that_cannot_be_loses_its_row_only_which_is_kept_and_told(path, table, sql, key):
    edit(path, sql)
    database = opened(path)
    assert column(database, f"SELECT {key} FROM {table} ORDER BY 1") == ["kitchen", "tablet"]
    assert len(database.damage) == 1
    assert f"1 unreadable row(s) of `{table}`" in database.damage[0]
    (kept,) = path.parent.glob("*.rows-*")
    assert str(kept) in database.damage[0]
    assert json.loads(kept.read_text())["table"] == table
    assert kept.stat().st_mode & 0o077 == 0
    database.close_sync()


def test_nothing_where_nothing_is_allowed_loses_its_row_only(path):
    edit(path, "PRAGMA writable_schema=ON")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = replace(sql, 'slug TEXT NOT NULL', 'slug TEXT') WHERE name = 'device'"
    )
    connection.close()
    edit(path, "UPDATE device SET slug = NULL WHERE id = 'den'")
    database = opened(path)
    assert column(database, "SELECT id FROM device ORDER BY 1") == ["kitchen", "tablet"]
    database.close_sync()


def test_totals_that_cannot_be_are_made_anew_from_their_requests_or_hours(path):
    edit(path, "UPDATE daily SET cost = 'x' WHERE device_id IN ('device 7', 'device 9', 'device 10')")
    edit(path, "DELETE FROM request WHERE device_id = 'device 9'")
    edit(path, "UPDATE request SET cost = x'00' WHERE seq = 10")
    edit(path, "UPDATE daily SET device_id = CAST(x'6465ff' AS TEXT) WHERE device_id = 'device 8'")
    database = opened(path)
    spend = database.read_sync(lambda c: {d: cost for d, _, cost in books.spend(c, 20261122)})
    assert len(spend) == 50
    assert spend["device 7"] == spend["device 8"] == 40 * 5
    assert spend["device 10"] == 40 * 5
    assert spend["device 9"] == 40 * 5
    assert "3 unreadable row(s) of `daily`" in database.damage[0]
    database.close_sync()


def test_a_request_with_a_value_that_cannot_be_is_left_out_of_what_is_read(path):
    edit(path, "UPDATE request SET latency_ms = 'slow' WHERE seq = 1999")
    edit(path, "UPDATE request SET at = 9223372036854775807 WHERE seq = 1998")
    database = opened(path)
    assert [r[0] for r in database.read_sync(lambda c: books.recent(c, 4))] == [2000, 1997]
    database.close_sync()


BAD_REQUESTS = [
    "cost = x'00ff'",
    "cost = 0.5",
    "cost = -1",
    "at = 9223372036854775807",
    "latency_ms = 'slow'",
    "status = 1000",
    "device_id = x'64'",
    "model_id = hex(zeroblob(200))",
    "stream = 2",
]


@pytest.mark.parametrize("value", BAD_REQUESTS)
async def test_requests_that_cannot_be_are_kept_and_told_as_damage(path, value):
    edit(path, f"UPDATE request SET {value} WHERE seq IN (1, 500, 1999)")
    database = opened(path)
    assert len(database.read_sync(lambda c: books.recent(c, 3000))) == 1997
    await database.look_through()
    assert column(database, "SELECT count(*) FROM request") == [1997]
    (kept,) = path.parent.glob("*.rows-*")
    assert database.damage == (f"Unreadable rows of `request` were lost; they are kept in {kept}.",)
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(line["table"], line["row"]["seq"]) for line in lines] == [("request", n) for n in (1999, 1, 500)]
    assert column(database, "SELECT sum(cost) FROM daily") == [2000 * 5]
    database.close_sync()


async def test_sound_requests_stay(path):
    database = opened(path)
    full = dict(zip(COLUMNS, row(2001), strict=True)) | {
        "at": FIRST_AT, "model_id": None, "reason": "\u00e4" * 500, "cost": None, "score": 1.0, "latency_ms": 1e12
    }  # fmt: skip
    database.run_sync(lambda c: books.apply(c, [tuple(full.values())]))
    await database.look_through()
    assert column(database, "SELECT count(*) FROM request") == [2001]
    assert database.damage == ()
    database.close_sync()


async def test_requests_stay_where_there_is_no_room_for_a_copy(path, monkeypatch):
    edit(path, "UPDATE request SET cost = 'x' WHERE seq = 7")
    database = opened(path)

    def full(_path, _data, **_how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(salvage, "write_private", full)
    await database.look_through()
    assert column(database, "SELECT count(*) FROM request") == [2000]
    assert "no room to keep a copy" in database.damage[0]
    database.close_sync()


async def test_the_router_looks_through_its_requests_in_the_background(office):
    office = office()
    for _ in range(5):
        office.book()
    await office.recorder.flush()
    await office.database.run(lambda c: c.execute("UPDATE request SET cost = 'x'"))
    running = asyncio.create_task(office.recorder.run())
    await until(lambda: office.recorder.problems() != ())
    running.cancel()
    assert "`request`" in office.recorder.problems()[0]


@pytest.mark.parametrize("value", ["'x'", "-1", "9223372036854775807"])
def test_a_number_of_the_last_booking_that_is_none_is_read_from_the_requests(path, value):
    edit(path, f"UPDATE meta SET value = {value} WHERE key = 'applied_seq'")
    database = opened(path)
    assert "1 unreadable row(s) of `meta`" in database.damage[0]
    assert database.read_sync(books.applied) == 2000
    database.close_sync()


def test_where_there_is_no_room_for_a_copy_the_rows_stay_and_the_rest_goes_on(path, monkeypatch):
    edit(path, BAD[0][1])

    def full(_path, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(salvage, "write_private", full)
    database = opened(path)
    assert not database.volatile
    assert column(database, "SELECT count(*) FROM device") == [3]
    assert "no room to keep a copy" in database.damage[0]
    database.close_sync()


# --- pages -----------------------------------------------------------------------------------------------------


def test_rows_behind_and_between_damaged_pages_are_saved(path):
    pages = pages_of(path, "request")
    assert len(pages) > 60
    spoil(path, [pages[5], pages[20], pages[21], pages[40]])
    database = opened(path)
    with pytest.raises(sqlite3.DatabaseError):
        database.read_sync(lambda c: c.execute("SELECT * FROM request").fetchall())
    saved = column(database, "SELECT seq FROM request ORDER BY 1")
    lost = 2000 - len(saved)
    assert 30 <= lost <= 4 * 2000 / len(pages) + 40
    assert saved[0] == 1
    assert saved[-1] == 2000
    assert column(database, "SELECT sum(cost) FROM daily") == [2000 * 5]
    assert column(database, "SELECT count(*) FROM device_key") == [3]
    assert f"only {len(saved)} row(s) of `request`" in database.damage[0]
    assert str(database.moved_aside) in database.damage[0]
    database.close_sync()


def test_requests_far_apart_are_found_between_damaged_pages(tmp_path):
    path = tmp_path / "cheaprouter.db"
    database = opened(path)
    seqs = [10**15 + n * 10**11 + m for n in range(40) for m in range(30)]
    database.run_sync(lambda c: books.apply(c, [row(seq) for seq in seqs]))
    database.close_sync()
    pages = pages_of(path, "request")
    spoil(path, [pages[3], pages[len(pages) // 2], pages[-3]])
    database = opened(path)
    with pytest.raises(sqlite3.DatabaseError):
        database.read_sync(lambda c: c.execute("SELECT sum(cost) FROM request").fetchall())
    assert len(seqs) - column(database, "SELECT count(*) FROM request")[0] <= 3 * 20
    database.close_sync()


@pytest.mark.parametrize("share", [0.5, 0.9, None])
def test_a_file_that_is_cut_off_loses_only_what_is_missing(path, share):
    size = path.stat().st_size
    os.truncate(path, size - PAGE if share is None else int(size * share))
    database = opened(path)
    saved = column(database, "SELECT seq FROM request ORDER BY 1")
    assert len(saved) >= 2000 * ((share or 1) - 0.1)
    told = "all" if len(saved) == 2000 else "only"
    assert f"{told} {len(saved)} row(s) of `request`" in database.damage[0]
    for table in ("device", "device_key", "setting", "forgiven"):
        assert column(database, f"SELECT count(*) FROM {table}") == [3]
    if share != 0.5:
        assert column(database, "SELECT sum(cost) FROM daily") == [2000 * 5]
    database.close_sync()


def test_requests_that_cannot_be_are_not_told_as_saved(path):
    edit(path, "UPDATE request SET cost = 'x' WHERE seq = 7")
    edit(path, "DROP TABLE forgiven")
    database = opened(path)
    assert "only 1999 row(s) of `request`" in database.damage[0]
    database.close_sync()


def test_a_bad_entry_of_the_schema_loses_only_its_table(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE forgiven (' WHERE name = 'forgiven'")
    connection.close()
    database = opened(path)
    assert column(database, "SELECT count(*) FROM request") == [2000]
    assert column(database, "SELECT count(*) FROM setting") == [3]
    assert "only 0 row(s) of `forgiven`" in database.damage[0]
    database.close_sync()


def test_totals_that_were_lost_are_made_anew_from_the_requests(tmp_path):
    path = tmp_path / "cheaprouter.db"
    database = opened(path)
    rows = [row(n, f"device {n % 300}", 20261101 + n // 300) for n in range(1, 3001)]
    database.run_sync(lambda c: books.apply(c, rows))
    database.close_sync()
    pages = pages_of(path, "daily")
    spoil(path, [pages[1], pages[4]])
    database = opened(path)
    assert column(database, "SELECT sum(cost) FROM daily") == [3000 * 5]
    assert "only" in database.damage[0]
    database.close_sync()


def test_a_column_that_is_gone_is_damage_and_the_others_are_saved(path):
    edit(path, "ALTER TABLE request DROP COLUMN reason")
    database = opened(path)
    assert column(database, "SELECT count(*) FROM request WHERE reason = ''") == [2000]
    assert len(database.damage) == 1
    database.close_sync()


def test_a_table_that_is_gone_is_damage_and_the_others_are_saved(path):
    edit(path, "DROP TABLE forgiven")
    database = opened(path)
    assert column(database, "SELECT count(*) FROM request") == [2000]
    assert column(database, "SELECT count(*) FROM forgiven") == [0]
    assert "only 0 row(s) of `forgiven`" in database.damage[0]
    database.close_sync()


def test_two_losses_in_one_second_keep_two_copies(path, monkeypatch):
    monkeypatch.setattr("cheaprouter.books.database.time.time", lambda: 1000.0)
    for _ in range(2):
        path.write_bytes(b"no database at all" * 500)
        opened(path).close_sync()
    assert len(list(path.parent.glob("*.corrupt-1000*"))) == 2


def test_a_command_beside_the_router_moves_nothing(path):
    router = opened(path)
    spoil(path, pages_of(path, "request"))
    beside = opened(path, strict=True)
    with pytest.raises(sqlite3.DatabaseError):
        beside.read_sync(lambda c: c.execute("SELECT sum(cost) FROM request").fetchall())
    assert beside.moved_aside is None
    assert path.exists()
    beside.close_sync()
    router.close_sync()


# --- told until acknowledged -----------------------------------------------------------------------------------


def test_damage_is_told_over_restarts_until_it_is_acknowledged(path):
    edit(path, BAD[0][1])
    first = opened(path)
    told = first.damage
    first.close_sync()
    second = opened(path)
    assert second.damage == told != ()
    assert (path.parent / "damage.json").stat().st_mode & 0o077 == 0
    second.acknowledge()
    assert second.damage == ()
    second.close_sync()
    third = opened(path)
    assert third.damage == ()
    third.close_sync()


@pytest.mark.parametrize("content", [b"", b"{", b"7", b'[1, "x"', b"\xff"])
def test_a_note_that_cannot_be_read_is_damage(path, content):
    (path.parent / "damage.json").write_bytes(content)
    database = opened(path)
    assert "was lost before" in database.damage[0]
    database.close_sync()


def test_notes_are_bounded(path):
    database = opened(path)
    for n in range(100):
        database.add_damage([f"loss {n}", "the same"])
    assert len(database.damage) == salvage.MOST_WORDS
    assert database.damage[-1] == "loss 99"
    database.close_sync()


@pytest.mark.parametrize("how", ["deleted", "emptied", "cut"])
@pytest.mark.parametrize("trace", ["instance_id", "journal"])
def test_books_that_are_gone_are_damage(path, how, trace):
    if trace == "instance_id":
        (path.parent / "instance_id").write_text("abc")
    else:
        (path.parent / "journal").mkdir()
        (path.parent / "journal" / "1.log").touch()
    path.unlink() if how == "deleted" else os.truncate(path, how == "cut")
    database = opened(path)
    assert "are gone" in database.damage[0]
    database.close_sync()


def test_the_first_start_is_no_damage(tmp_path):
    database = opened(tmp_path / "cheaprouter.db")
    assert database.damage == ()
    assert not (tmp_path / "damage.json").exists()
    database.close_sync()


def test_a_command_that_finds_the_books_gone_leaves_word_for_the_router(path):
    (path.parent / "instance_id").write_text("abc")
    path.unlink()
    opened(path, strict=True).close_sync()
    router = opened(path)
    assert "are gone" in router.damage[0]
    router.close_sync()


def in_the_way(path):
    path.rename(path.with_name("elsewhere"))
    path.mkdir()


def test_books_that_cannot_be_opened_are_damage_at_each_start_until_they_can(path):
    in_the_way(path)
    for _ in range(2):
        database = opened(path)
        assert database.volatile
        assert "what was spent is unknown" in database.damage[0]
        database.acknowledge()
        assert database.damage == ()
        database.close_sync()
    path.rmdir()
    path.with_name("elsewhere").rename(path)
    database = opened(path)
    assert database.damage == ()
    database.close_sync()


def test_books_that_another_router_has_are_unknown_here_and_its_damage_stays_its_own(path):
    edit(path, BAD[0][1])
    first, second = opened(path), opened(path)
    assert second.taken
    assert len(second.damage) == 1
    assert "another router uses it" in second.damage[0]
    second.acknowledge()
    assert second.damage == ()
    for database in (second, first):
        database.close_sync()
    again = opened(path)
    assert again.damage == first.damage != ()
    again.close_sync()


def test_books_in_memory_by_wish_are_no_damage():
    database = opened(None)
    assert database.damage == ()
    database.close_sync()


async def test_unknown_books_are_a_problem_until_it_is_acknowledged(office, path):
    office = office()
    second = opened(office.folder / "cheaprouter.db")
    recorder = type(office.recorder)(second, office.journal, office.metrics, office.retention)
    assert [len(words) > 0 for words in recorder.problems()] == [True, True]
    second.acknowledge()
    assert len(recorder.problems()) == 1
    second.close_sync()


async def test_damage_is_a_problem_until_it_is_acknowledged(office):
    office = office()
    office.database.add_damage(["something was lost"])
    assert office.recorder.problems() == ("something was lost",)
    office.database.acknowledge()
    assert office.recorder.problems() == ()


async def test_a_database_damaged_while_it_runs_gets_the_last_bookings_back_from_the_journal(office):
    office = office()
    for _ in range(400):
        office.book(reason="x" * 300)
    await office.recorder.flush()
    await office.database.read(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    path = office.folder / "cheaprouter.db"
    spoil(path, pages_of(path, "request")[-3:])
    await office.database.read(lambda c: c.execute("PRAGMA cache_size=1").fetchone())
    with pytest.raises(sqlite3.DatabaseError):
        await office.database.read(lambda c: c.execute("SELECT sum(length(reason)) FROM request").fetchone())
    office.book()
    await office.recorder.flush()
    assert (await office.database.read(lambda c: c.execute("SELECT max(seq) FROM request").fetchone()))[
        0
    ] == office.recorder._seq
    assert await office.database.read(lambda c: books.totals(c)["kitchen"][0]) == 401


def test_the_command_line_refuses_a_newer_database_as_well(tmp_path):
    newer(tmp_path / backup.DATABASE, wal=False)
    before = digests(tmp_path)
    with pytest.raises(NewerDatabaseError):
        manage_keys(argparse.Namespace(verb="list"), tmp_path)
    assert main(["backup", "--data", str(tmp_path)]) != 0
    assert digests(tmp_path) == before
