from __future__ import annotations

import errno
import json
import os
import zlib

import orjson
import pytest

from cheaprouter.books import journal as module
from cheaprouter.books.journal import Journal
from cheaprouter.books.rows import COLUMNS, INTENT, SHAPE


def row(seq, device="kitchen"):
    return (seq, f"req_{seq}", 1, 20261122, device, *(empty for *_, empty in list(SHAPE.values())[5:]))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


def started(folder, seq=1):
    made = Journal(folder)
    made.start(seq)
    return made


def seqs(folder):
    return [r[0] for r in Journal(folder).replay()]


def test_rows_come_back_in_the_order_they_were_written(folder):
    journal = started(folder)
    for seq in (1, 2, 3):
        assert journal.append(row(seq))
    journal.close()
    assert list(Journal(folder).replay()) == [row(1), row(2), row(3)]


def test_a_row_is_on_disk_before_anything_is_closed_or_synced(folder):
    started(folder).append(row(1))
    assert seqs(folder) == [1]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_torn_by_a_crash_is_left_out_and_the_rest_is_read(folder, cut):
    journal = started(folder)
    journal.append(row(1))
    journal.append(row(2))
    journal.close()
    path = next(folder.glob("*.log"))
    path.write_bytes(path.read_bytes()[:-cut])
    assert seqs(folder) in ([1], [1, 2])


def test_appending_after_a_torn_line_does_not_lose_the_next_row(folder):
    started(folder).append(row(1))
    path = next(folder.glob("*.log"))
    path.write_bytes(path.read_bytes()[:-5])
    again = started(folder, 1)
    again.append(row(2))
    assert seqs(folder) == [2]


def test_a_flipped_bit_is_noticed(folder):
    started(folder).append(row(1))
    path = next(folder.glob("*.log"))
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    assert seqs(folder) == []


def test_zeros_left_by_a_power_cut_are_left_out(folder):
    started(folder).append(row(1))
    path = next(folder.glob("*.log"))
    path.write_bytes(path.read_bytes() + bytes(4096))
    assert seqs(folder) == [1]


def test_rows_of_another_version_are_left_out(folder):
    journal = started(folder)
    journal.append((*row(1), "a column of the future"))
    journal.append(row(2))
    assert seqs(folder) == [2]


def test_a_new_start_keeps_segments_until_they_are_in_the_database(folder):
    started(folder).append(row(1))
    journal = started(folder, 2)
    journal.append(row(2))
    assert seqs(folder) == [1, 2]
    journal.forget(0)
    assert seqs(folder) == [1, 2]
    journal.forget(1)
    assert seqs(folder) == [2]


def test_the_segment_in_use_is_never_removed(folder):
    journal = started(folder)
    journal.append(row(1))
    journal.forget(10**9)
    assert seqs(folder) == [1]


def test_a_long_segment_is_followed_by_a_new_one(folder, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 300)
    journal = started(folder)
    for seq in range(1, 11):
        journal.append(row(seq))
        journal.rotate()
    assert len(list(folder.glob("*.log"))) > 2
    assert seqs(folder) == list(range(1, 11))
    journal.forget(10)
    assert len(list(folder.glob("*.log"))) == 1


def test_a_short_segment_is_not_rotated(folder):
    journal = started(folder)
    journal.append(row(1))
    journal.rotate()
    assert len(list(folder.glob("*.log"))) == 1


def test_a_full_disk_is_told_once_and_appending_goes_on_when_there_is_room(folder, monkeypatch, caplog):
    journal = started(folder)
    write = os.write

    def full(_file, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    assert not journal.append(row(1))
    assert not journal.append(row(2))
    assert journal.failing
    monkeypatch.setattr(module.os, "write", write)
    assert journal.append(row(3))
    assert not journal.failing
    assert seqs(folder) == [3]
    assert len([r for r in caplog.records if "journal" in r.message]) == 1


def test_half_a_line_written_to_a_full_disk_does_not_spoil_the_next(folder, monkeypatch):
    journal = started(folder)
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda file, data: write(file, data[:10]))
    assert not journal.append(row(1))
    monkeypatch.setattr(module.os, "write", write)
    assert journal.append(row(2))
    assert seqs(folder) == [2]


def test_a_folder_that_cannot_be_made_is_no_reason_to_stop(tmp_path):
    (tmp_path / "file").write_text("in the way")
    journal = started(tmp_path / "file" / "journal")
    assert not journal.append(row(1))
    assert journal.failing


def test_the_folder_is_tried_again(tmp_path):
    blocked = tmp_path / "place"
    blocked.write_text("in the way")
    journal = started(blocked / "journal")
    journal.append(row(1))
    blocked.unlink()
    assert journal.append(row(2))
    assert seqs(blocked / "journal") == [2]


def test_segments_are_readable_by_nobody_else(folder):
    started(folder).append(row(1))
    assert next(folder.glob("*.log")).stat().st_mode & 0o777 == 0o600


def test_a_segment_that_was_left_is_synced_too(folder, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    journal = started(folder)
    journal.append(row(1))
    journal.rotate()
    journal.append(row(2))
    synced = []
    monkeypatch.setattr(module.os, "fdatasync", synced.append)
    journal.sync()
    assert len(synced) == 2


def test_syncing_twice_asks_the_disk_once(folder, monkeypatch):
    journal = started(folder)
    calls = []
    monkeypatch.setattr(module.os, "fdatasync", calls.append)
    journal.append(row(1))
    journal.sync()
    journal.sync()
    assert len(calls) == 1
    assert not journal.dirty


def test_a_segment_says_which_columns_its_rows_have(folder):
    journal = started(folder)
    journal.append(row(1))
    names = json.loads(next(folder.glob("*.log")).read_bytes().split(b"\n")[0][9:])["columns"]
    assert tuple(names) == COLUMNS


def written(folder, *values):
    folder.mkdir(exist_ok=True)
    lines = [b"%08x %b\n" % (zlib.crc32(data), data) for data in map(orjson.dumps, values)]
    (folder / f"{1:020d}.log").write_bytes(b"".join(lines))


def test_a_segment_of_0_1_0_names_no_columns_and_is_read(folder):
    written(folder, row(1), row(2))
    journal = Journal(folder)
    assert list(journal.replay()) == [row(1), row(2)]
    assert journal.damage == []


def test_rows_of_another_version_are_read_by_the_names_of_their_columns(folder):
    names = [name for name in COLUMNS if name != "via"]
    values = [value for name, value in zip(COLUMNS, row(1), strict=True) if name != "via"]
    written(folder, {"columns": ["colour", *reversed(names)]}, ["red", *reversed(values)])
    assert list(Journal(folder).replay()) == [row(1)]


def test_one_bad_line_loses_that_line_only_and_the_file_is_kept_and_told(folder):
    journal = started(folder)
    for seq in range(1, 6):
        journal.append(row(seq))
    journal.close()
    path = next(folder.glob("*.log"))
    lines = path.read_bytes().split(b"\n")
    lines[3] = lines[3][:40] + b"X" + lines[3][41:]
    path.write_bytes(b"\n".join(lines))
    again = Journal(folder)
    assert [r[0] for r in again.replay()] == [1, 2, 4, 5]
    assert len(again.damage) == 1
    assert "1 line(s)" in again.damage[0]
    again.start(6)
    again.forget(10)
    (kept,) = folder.glob("*.damaged")
    assert kept.name in again.damage[0]
    assert seqs(folder) == []


def test_a_line_with_a_value_that_cannot_be_is_a_bad_line(folder):
    journal = started(folder)
    journal.append((*row(1)[:-1], "much"))
    journal.append(row(2))
    again = Journal(folder)
    assert [r[0] for r in again.replay()] == [2]
    assert len(again.damage) == 1


def test_a_file_that_cannot_be_read_is_kept_and_told(folder):
    journal = started(folder)
    journal.append(row(1))
    (folder / "0.log").mkdir()
    again = Journal(folder)
    assert [r[0] for r in again.replay()] == [1]
    assert "cannot be read" in again.damage[0]
    again.start(2)
    again.forget(10)
    assert (folder / "0.log.damaged").exists()


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_a_crash_tore_is_no_damage_now_or_later(folder, cut):
    journal = started(folder)
    journal.append(row(1))
    journal.append(row(2))
    path = next(folder.glob("*.log"))
    path.write_bytes(path.read_bytes()[:-cut])
    again = started(folder, 1)
    again.append(row(3))
    third = Journal(folder)
    assert [r[0] for r in third.replay()][-1] == 3
    assert third.damage == []


def test_a_line_that_a_full_disk_tore_is_no_damage(folder, monkeypatch):
    journal = started(folder)
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda file, data: write(file, data[:30]))
    journal.append(row(1))
    monkeypatch.setattr(module.os, "write", write)
    journal.append(row(2))
    again = Journal(folder)
    assert [r[0] for r in again.replay()] == [2]
    assert again.damage == []


def test_a_disk_that_is_full_at_the_first_line_spoils_nothing(folder, monkeypatch):
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda file, data: write(file, data[:7]))
    journal = started(folder)
    monkeypatch.setattr(module.os, "write", write)
    journal.append(row(1))
    again = Journal(folder)
    assert list(again.replay()) == [row(1)]
    assert again.damage == []


# What is about to go upstream


def intent(name="req_9", seq=1, **changes):
    values = {
        "seq": seq, "id": name, "at": 5, "day": 20261122, "device_id": "kitchen", "requested_model": "m", "model_id": "lab/small",
        "provider": "lab", "prompt_tokens": 10, "completion_tokens": 20, "cost": 300, "stream": 0, "attempts": 1, "profile": None,
        "via": "http", "sub_identity": "",
    }  # fmt: skip
    return tuple((values | changes)[name] for name in INTENT)


def orphans(folder):
    journal = Journal(folder)
    list(journal.replay())
    return set(journal.orphans)


def test_an_intent_without_a_row_is_an_orphan_and_one_with_a_row_is_none(folder):
    journal = started(folder)
    journal.intend("req_1", intent("req_1"))
    journal.intend("req_2", intent("req_2"))
    journal.append(row(1))
    assert orphans(folder) == {"req_2"}
    assert set(journal.open) == {"req_2"}


def test_the_last_intent_of_a_request_holds(folder):
    journal = started(folder)
    journal.intend("req_1", intent("req_1", cost=5))
    journal.intend("req_1", intent("req_1", cost=9))
    read = Journal(folder)
    list(read.replay())
    assert [found["cost"] for found in read.orphans.values()] == [9]


def test_an_intent_outlives_the_segment_that_it_was_written_to(folder, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    journal = started(folder)
    journal.intend("req_long", intent("req_long"))
    for seq in range(1, 6):
        journal.append(row(seq))
        assert journal.rotate()
        journal.forget(seq)
    assert len(list(folder.glob("*.log"))) == 1
    assert orphans(folder) == {"req_long"}


def test_a_segment_whose_intents_could_not_be_taken_along_is_kept(folder, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    journal = started(folder)
    journal.intend("req_long", intent("req_long"))
    journal.append(row(1))
    monkeypatch.setattr(journal, "_write", lambda *_: False)
    assert journal.rotate()
    journal.forget(1)
    assert orphans(folder) == {"req_long"}


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_intent_is_passed_over_and_costs_no_row(folder, cut):
    journal = started(folder)
    journal.append(row(1))
    journal.intend("req_9", intent())
    journal.close()
    path = next(folder.glob("*.log"))
    path.write_bytes(path.read_bytes()[:-cut])
    started(folder, seq=2).append(row(2))
    read = Journal(folder)
    assert [r[0] for r in read.replay()] == [1, 2]
    assert (read.damage, set(read.orphans) <= {"req_9"}) == ([], True)


def test_a_version_that_knows_no_intents_takes_their_lines_for_torn_ones(folder):
    journal = started(folder)
    journal.intend("req_9", intent())
    journal.close()
    line = next(folder.glob("*.log")).read_bytes().splitlines()[1]
    assert line.endswith(b"~")
    assert module._decode(line) is None


def test_a_disk_that_is_full_stops_no_intent(folder, monkeypatch):
    journal = started(folder)

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    assert not journal.intend("req_9", intent())
    assert journal.failing
