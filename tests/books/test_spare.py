"""Keys and settings live twice: whatever happens to the database, who may call and within which limits stays."""

from __future__ import annotations

import json
import sqlite3

import pytest

from cheaprouter.accounts import keys
from cheaprouter.books import spare
from cheaprouter.books.database import Database


def opened(path, **how):
    database = Database(path)
    database.open(**how)
    return database


def limit(scope, rpm):
    def work(connection):
        connection.execute("INSERT OR REPLACE INTO setting VALUES (?, 'rpm', ?, 'null', 'api', 1)", (scope, str(rpm)))

    return work


def held(database):
    return database.read_sync(
        lambda c: (
            sorted(c.execute("SELECT scope, value FROM setting").fetchall()),
            [row[0] for row in c.execute("SELECT DISTINCT device_id FROM device_key ORDER BY 1")],
        )
    )


@pytest.fixture
def path(tmp_path):
    """A database with two limits, keys of two devices, and a key that was withdrawn."""
    path = tmp_path / "cheaprouter.db"
    database = opened(path)
    for scope in ("den", "kids"):
        database.run_sync(limit(scope, 5))
        database.run_sync(lambda c, scope=scope: keys.add(c, scope))
    gone = database.run_sync(lambda c: keys.add(c, "guest"))
    assert database.run_sync(lambda c: keys.revoke(c, gone)) == 1
    database.close_sync()
    (tmp_path / "instance_id").write_text("abc")
    return path


WHOLE = ([("den", "5"), ("kids", "5")], ["den", "kids"])


def drop(path):
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def test_the_file_is_for_its_owner_alone_and_holds_no_key_that_could_be_used(path):
    kept = spare.beside(path)
    assert kept.stat().st_mode & 0o077 == 0
    assert len(json.loads(kept.read_bytes())["content"]["tables"]["device_key"]["rows"]) == 2


def test_a_deleted_database_keeps_keys_and_limits_and_no_withdrawn_key_comes_back(path):
    drop(path)
    database = opened(path)
    assert held(database) == WHOLE
    assert "are gone" in database.damage[0]
    assert any("restored from" in words for words in database.damage)
    database.close_sync()


def test_a_database_that_cannot_be_opened_at_all_keeps_limits_and_keys_in_force(path):
    drop(path)
    path.mkdir()
    database = opened(path)
    assert database.volatile
    assert held(database) == WHOLE
    database.close_sync()


def test_what_is_withdrawn_while_the_database_cannot_be_opened_stays_withdrawn(path):
    aside = path.with_name("aside")
    path.rename(aside)
    path.mkdir()
    database = opened(path)
    database.run_sync(lambda c: keys.revoke(c, "kids"))
    database.close_sync()
    path.rmdir()
    aside.rename(path)
    database = opened(path)
    assert held(database)[1] == ["den"]
    database.close_sync()


def test_a_second_router_on_the_folder_holds_to_the_same_limits_and_changes_nothing_of_the_first(path):
    first, second = opened(path), opened(path)
    before = spare.beside(path).read_bytes()
    assert second.taken
    assert held(second) == WHOLE
    second.run_sync(limit("kids", 1000))
    assert spare.beside(path).read_bytes() == before
    for database in (second, first):
        database.close_sync()


@pytest.mark.parametrize("strict", [True, False])
def test_a_command_that_finds_no_database_does_not_forget_the_others_keys(path, strict):
    drop(path)
    command = opened(path, strict=strict)
    command.run_sync(lambda c: keys.add(c, "new"))
    command.close_sync()
    router = opened(path)
    assert held(router) == (WHOLE[0], ["den", "kids", "new"])
    router.close_sync()


EDITS = [
    "UPDATE setting SET value = '7' WHERE scope = 'kids'",
    "UPDATE setting SET scope = 'kidz' WHERE scope = 'kids'",
    "DELETE FROM setting WHERE scope = 'kids'",
    "UPDATE device_key SET device_id = 'kidz' WHERE device_id = 'kids'",
    "INSERT INTO device_key (hash, device_id, hint, created_at) VALUES ('ab', 'stranger', 'cr-...', 1)",
]


@pytest.mark.parametrize("sql", EDITS)
def test_a_value_that_could_be_right_and_is_not_what_was_set_is_damage_and_put_right(path, sql):
    connection = sqlite3.connect(path, isolation_level=None)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")  # as a flipped bit, which no trigger sees
    connection.execute(sql)
    connection.close()
    database = opened(path)
    assert held(database) == WHOLE
    assert "restored from" in database.damage[0]
    database.close_sync()


def test_an_older_database_in_its_place_brings_no_key_back(path):
    older = path.read_bytes()
    database = opened(path)
    database.run_sync(lambda c: keys.revoke(c, "kids"))
    database.run_sync(limit("den", 9))
    database.close_sync()
    drop(path)
    path.write_bytes(older)
    database = opened(path)
    assert held(database) == ([("den", "9"), ("kids", "5")], ["den"])
    assert database.damage == ()
    database.close_sync()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"7", b"\xff", b'{"crc32": "0", "content": {"serial": 9, "tables": {}}}']
)
def test_a_file_that_is_damaged_itself_is_written_anew_from_the_database(path, content):
    spare.beside(path).write_bytes(content)
    database = opened(path)
    assert held(database) == WHOLE
    assert database.damage == ()
    database.close_sync()
    drop(path)
    database = opened(path)
    assert held(database) == WHOLE
    database.close_sync()


def test_any_flipped_byte_of_the_file_leaves_what_the_database_holds(path):
    kept = spare.beside(path)
    whole = kept.read_bytes()
    for at in range(0, len(whole), 7):
        kept.write_bytes(whole[:at] + bytes([whole[at] ^ 2]) + whole[at + 1 :])
        assert (found := spare.read(kept)) is None or found == spare.read(kept)
        database = opened(path)
        assert held(database) == WHOLE, at
        database.close_sync()


def test_a_file_that_cannot_be_replaced_is_removed_so_that_no_old_key_comes_back(path, monkeypatch):
    def full(_path, _data):
        raise OSError(28, "No space left on device")

    database = opened(path)
    monkeypatch.setattr(spare, "replace_private", full)
    database.run_sync(lambda c: keys.revoke(c, "kids"))
    assert not spare.beside(path).exists()
    database.close_sync()
    monkeypatch.undo()
    database = opened(path)
    assert held(database)[1] == ["den"]
    database.close_sync()
    assert spare.beside(path).exists()


def test_columns_of_another_version_are_no_difference(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("ALTER TABLE device_key ADD COLUMN novelty INTEGER NOT NULL DEFAULT 0")
    connection.close()
    database = opened(path)
    assert database.damage == ()
    database.run_sync(lambda c: c.execute("UPDATE device_key SET novelty = 7 WHERE device_id = 'kids'"))
    database.close_sync()
    database = opened(path)
    assert database.damage == ()
    assert held(database) == WHOLE
    database.close_sync()
    assert "novelty" in json.loads(spare.beside(path).read_bytes())["content"]["tables"]["device_key"]["columns"]


def test_when_a_key_was_used_last_is_no_change_and_no_difference(path):
    database = opened(path)
    serial = database.read_sync(spare.serial)
    database.run_sync(lambda c: c.execute("UPDATE device_key SET used_at = 7"))
    assert database.read_sync(spare.serial) == serial
    database.close_sync()
    database = opened(path)
    assert database.damage == ()
    assert database.read_sync(lambda c: c.execute("SELECT DISTINCT used_at FROM device_key").fetchall()) == [(7,)]
    database.close_sync()


def test_when_a_key_ends_is_restored_with_it(path):
    database = opened(path)
    database.run_sync(lambda c: c.execute("UPDATE device_key SET expires_at = 99 WHERE device_id = 'kids'"))
    database.close_sync()
    drop(path)
    database = opened(path)
    ends = database.read_sync(lambda c: c.execute("SELECT device_id, expires_at FROM device_key ORDER BY 1").fetchall())
    assert ends == [("den", None), ("kids", 99)]
    database.close_sync()


def test_a_change_by_another_process_is_in_the_file_before_it_holds(path):
    router = opened(path)
    command = opened(path, strict=True)
    command.run_sync(lambda c: keys.revoke(c, "kids"))
    assert len(json.loads(spare.beside(path).read_bytes())["content"]["tables"]["device_key"]["rows"]) == 1
    command.close_sync()
    router.run_sync(limit("den", 6))
    router.close_sync()
    drop(path)
    database = opened(path)
    assert held(database) == ([("den", "6"), ("kids", "5")], ["den"])
    database.close_sync()


def test_bookings_do_not_write_the_file(path):
    database = opened(path)
    before = spare.beside(path).stat()
    database.run_sync(lambda c: c.execute("INSERT INTO meta VALUES ('x', 1)"))
    assert spare.beside(path).stat() == before
    database.close_sync()
