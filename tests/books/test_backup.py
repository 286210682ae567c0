from __future__ import annotations

import fnmatch
import os
import shutil
import sqlite3
from pathlib import Path, PurePath

import pytest
import yaml

from cheaprouter.books import backup
from cheaprouter.books.database import Database

ROOT = Path(__file__).resolve().parents[2]
EXCLUDED = yaml.safe_load((ROOT / "config.yaml").read_text())["backup_exclude"]


def write(database: Database, value: int) -> None:
    database.run_sync(lambda c: c.execute("INSERT OR REPLACE INTO meta VALUES ('probe', ?)", (value,)))


def read(folder: Path) -> int | None:
    database = Database(folder / backup.DATABASE)
    database.open()
    row = database.read_sync(lambda c: c.execute("SELECT value FROM meta WHERE key = 'probe'").fetchone())
    database.close_sync()
    return None if row is None else row[0]


@pytest.fixture
def running(tmp_path: Path) -> Database:
    """A router's folder in use, with 1 written; what is in the WAL is not in the file yet."""
    data = tmp_path / "data"
    data.mkdir()
    backup.restore(data)
    database = Database(data / backup.DATABASE)
    database.open()
    write(database, 1)
    yield database
    database.close_sync()


def take(data: Path, target: Path) -> Path:
    """Copy a folder as the Supervisor does: all but what is excluded."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        inside = PurePath("data") / Path(folder).relative_to(data)
        return {name for name in names if any((inside / name).match(pattern) for pattern in EXCLUDED)}

    shutil.copytree(data, target, ignore=left_out)
    return target


def test_a_backup_of_a_running_router_holds_what_was_written(running: Database, tmp_path: Path) -> None:
    backup.make(running.path.parent)
    restored = take(running.path.parent, tmp_path / "restored")
    assert backup.restore(restored)
    assert read(restored) == 1


def test_the_copy_wins_over_a_file_that_was_caught_half_written(running: Database, tmp_path: Path) -> None:
    backup.make(running.path.parent)
    restored = take(running.path.parent, tmp_path / "restored")
    (restored / backup.DATABASE).write_bytes(b"half of it")
    assert backup.restore(restored)
    assert read(restored) == 1


def test_a_backup_of_a_stopped_router_needs_no_copy(running: Database, tmp_path: Path) -> None:
    data = running.path.parent
    running.close_sync()
    restored = take(data, tmp_path / "restored")
    assert not backup.restore(restored)
    assert read(restored) == 1


def test_a_copy_that_a_cut_off_backup_left_never_turns_time_back(running: Database) -> None:
    data = running.path.parent
    backup.make(data)
    write(running, 2)
    running.close_sync()
    assert not backup.restore(data)
    assert read(data) == 2
    assert not (data / backup.COPY).exists()


def test_after_the_backup_the_copy_is_gone(running: Database) -> None:
    backup.make(running.path.parent)
    backup.done(running.path.parent)
    assert not (running.path.parent / backup.COPY).exists()


def test_a_restored_router_is_not_restored_again(running: Database, tmp_path: Path) -> None:
    backup.make(running.path.parent)
    restored = take(running.path.parent, tmp_path / "restored")
    backup.restore(restored)
    assert not backup.restore(restored)


def test_a_damaged_copy_does_not_replace_the_file(running: Database, tmp_path: Path) -> None:
    data = running.path.parent
    running.close_sync()
    restored = take(data, tmp_path / "restored")
    (restored / backup.COPY).write_bytes(b"no database")
    assert not backup.restore(restored)
    assert read(restored) == 1


def test_without_a_database_there_is_nothing_to_copy(tmp_path: Path) -> None:
    assert backup.make(tmp_path) is None


def test_a_copy_can_go_elsewhere(running: Database, tmp_path: Path) -> None:
    target = tmp_path / "mine.db"
    assert backup.make(running.path.parent, target) == target
    with sqlite3.connect(target) as connection:
        assert connection.execute("SELECT value FROM meta WHERE key = 'probe'").fetchone() == (1,)
    connection.close()


def test_the_copy_is_for_its_owner_alone(running: Database) -> None:
    assert backup.make(running.path.parent).stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_copy_made_by_root_belongs_to_the_folders_owner(running: Database) -> None:
    os.chown(running.path.parent, 1000, 1000)
    made = backup.make(running.path.parent).stat()
    assert (made.st_uid, made.st_gid) == (1000, 1000)


def test_the_backup_leaves_out_the_mark_and_the_wal_and_keeps_the_copy() -> None:
    def left_out(path: str) -> bool:
        return any(PurePath(path).match(pattern) for pattern in EXCLUDED)

    assert left_out(f"data/{backup._MARK.parts[0]}")
    assert left_out(f"data/{backup.DATABASE}-wal")
    assert not left_out(f"data/{backup.COPY}")
    assert not left_out(f"data/{backup.DATABASE}")
    assert not any(fnmatch.fnmatch("journal", pattern) for pattern in EXCLUDED)
