from __future__ import annotations

import sqlite3

import pytest

from cheaprouter.books import backup
from cheaprouter.books import totals as books
from cheaprouter.books.database import Database
from cheaprouter.books.migrations import MIGRATIONS, migrate
from cheaprouter.books.rows import COLUMNS


def row(seq, device="kitchen", cost=5):
    values = dict.fromkeys(COLUMNS, 0) | {
        "seq": seq, "id": f"req_{seq}", "at": seq, "day": 20261122, "device_id": device, "requested_model": "m",
        "model_id": "lab/small", "provider": "lab", "status": 200, "latency_ms": 1.0, "cost": cost, "cost_source": "computed",
        "attempts": 1, "reason": "", "via": "http", "sub_identity": "", "baseline_cost": 9, "prompt_tokens": 3,
    }  # fmt: skip
    return tuple(values[name] for name in COLUMNS)


def count(connection, table="request"):
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


async def test_a_new_file_has_every_table(database):
    names = await database.read(
        lambda c: {r[0] for r in c.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    )
    assert {"request", "daily", "device", "device_key", "setting", "forgiven", "migration", "meta"} <= names


async def test_the_file_is_private_and_in_wal_mode(database):
    assert database.path.stat().st_mode & 0o777 == 0o600
    assert await database.read(lambda c: c.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"


async def test_work_that_fails_leaves_nothing_behind(database):
    def half(connection):
        books.apply(connection, [row(1)])
        raise RuntimeError("then something went wrong")

    with pytest.raises(RuntimeError):
        await database.run(half)
    assert await database.read(count) == 0


async def test_two_openings_find_the_same_rows(tmp_path):
    first = Database(tmp_path / "a.db")
    first.open()
    await first.run(lambda c: books.apply(c, [row(1)]))
    await first.close()
    second = Database(tmp_path / "a.db")
    second.open()
    assert await second.read(count) == 1
    await second.close()


def test_an_older_database_is_brought_up_to_date_with_its_rows(tmp_path):
    path = tmp_path / "old.db"
    old = sqlite3.connect(path, isolation_level=None)
    migrate(old, MIGRATIONS[:1])
    old.execute(f"INSERT INTO request VALUES ({', '.join('?' * len(COLUMNS))})", row(1))
    old.close()
    database = Database(path)
    database.open()
    assert database.read_sync(count) == 1
    assert database.read_sync(lambda c: count(c, "device_key")) == 0
    assert database.read_sync(migrate) == []
    database.close_sync()


def test_each_step_is_applied_once_and_by_its_name():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    assert migrate(connection) == [step.__name__ for step in MIGRATIONS]
    assert migrate(connection) == []


def test_a_step_that_fails_is_not_half_done():
    def broken(connection):
        connection.execute("CREATE TABLE half (a)")
        connection.execute("nonsense")

    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(sqlite3.Error):
        migrate(connection, (broken,))
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchone() is None


async def test_a_file_that_is_no_database_is_kept_aside_and_a_new_one_begins(tmp_path, caplog):
    path = tmp_path / "cheaprouter.db"
    path.write_bytes(b"this is no database, whatever its name says" * 200)
    database = Database(path)
    database.open()
    assert not database.volatile
    assert database.moved_aside.read_bytes().startswith(b"this is no database")
    await database.run(lambda c: books.apply(c, [row(1)]))
    assert await database.read(count) == 1
    assert "is damaged" in caplog.text
    await database.close()


async def test_what_can_be_read_of_a_damaged_database_is_saved(tmp_path):
    path = tmp_path / "cheaprouter.db"
    database = Database(path)
    database.open()
    await database.run(
        lambda c: c.execute(
            "INSERT INTO device_key (hash, device_id, hint, created_at) VALUES ('hash', 'kitchen', 'cr-abc...', 1)"
        )
    )
    await database.run(lambda c: books.apply(c, [row(n, device=f"device {n} {'x' * 300}") for n in range(1, 2000)]))
    await database.close()
    data = bytearray(path.read_bytes())
    root = sqlite3.connect(path).execute("SELECT rootpage FROM sqlite_master WHERE name = 'request'").fetchone()[0]
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(bytes(data))
    database = Database(path)
    database.open()
    assert database.moved_aside is not None
    assert await database.read(lambda c: c.execute("SELECT device_id FROM device_key").fetchall()) == [("kitchen",)]
    assert await database.read(lambda c: c.execute("SELECT sum(cost) FROM daily").fetchone()[0]) == 1999 * 5
    assert await database.read(books.applied) == 1999
    await database.close()


async def test_a_place_that_cannot_be_written_means_memory_only(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    database = Database(tmp_path / "file" / "cheaprouter.db")
    database.open()
    assert database.volatile
    await database.run(lambda c: books.apply(c, [row(1)]))
    assert await database.read(count) == 1
    assert "kept in memory only" in caplog.text
    await database.close()


async def test_a_file_that_another_router_has_is_left_alone(database, tmp_path, caplog):
    await database.run(lambda c: books.apply(c, [row(1)]))
    second = Database(database.path)
    second.open()
    assert (second.taken, second.volatile) == (True, True)
    assert await second.read(count) == 0
    assert "another router uses it" in caplog.text
    await second.close()
    beside = Database(database.path)
    beside.open(strict=True)
    assert await beside.read(count) == 1
    await beside.close()


async def test_the_claim_ends_with_the_database(database, tmp_path):
    await database.close()
    again = Database(database.path)
    again.open()
    assert not again.taken
    await again.close()


def test_a_strict_opening_says_what_is_wrong(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Database(tmp_path / "file" / "cheaprouter.db").open(strict=True)


async def test_a_full_disk_fails_one_transaction_and_the_next_succeeds_when_there_is_room(database):
    pages = await database.read(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await database.read(lambda c: c.execute(f"PRAGMA max_page_count={pages}").fetchone())
    rows = [row(n, device="x" * 200) for n in range(1, 500)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        await database.run(lambda c: books.apply(c, rows))
    assert await database.read(count) == 0
    await database.read(lambda c: c.execute("PRAGMA max_page_count=100000").fetchone())
    assert await database.run(lambda c: books.apply(c, rows)) == 499


async def test_a_backup_is_complete_while_the_database_is_in_use(database, tmp_path):
    await database.run(lambda c: books.apply(c, [row(1), row(2)]))
    target = tmp_path / "backup.db"
    target.write_text("an old one")
    backup.make(tmp_path, target)
    await database.run(lambda c: books.apply(c, [row(3)]))
    assert sqlite3.connect(target).execute("SELECT count(*) FROM request").fetchone() == (2,)
    assert target.stat().st_mode & 0o777 == 0o600


async def test_writing_elsewhere_is_noticed_once_and_our_own_is_not(database):
    await database.read(database.changed_elsewhere)
    await database.run(lambda c: books.apply(c, [row(1)]))
    assert not await database.read(database.changed_elsewhere)
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("INSERT INTO meta VALUES ('x', 1)")
    other.close()
    assert await database.read(database.changed_elsewhere)
    assert not await database.read(database.changed_elsewhere)


def test_a_closed_database_says_so(tmp_path):
    database = Database(tmp_path / "a.db")
    with pytest.raises(sqlite3.ProgrammingError, match="not open"):
        database.submit(count)
