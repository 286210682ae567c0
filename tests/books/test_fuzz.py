"""Bytes that rot at random: the router starts, books, reports, and tells what it lost."""

from __future__ import annotations

import random
import shutil
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.books.habits import Habits
from cheaprouter.books.journal import Journal
from cheaprouter.books.rows import from_row
from cheaprouter.core.errors import BooksUnavailableError

PAGE = 4096
LOADS = (
    "SELECT scope, name, value, baseline, source FROM setting",
    "SELECT id, slug, first_seen, last_seen FROM device ORDER BY last_seen",
    "SELECT hash, device_id FROM device_key",
    "SELECT scope, day, day_amount, month_amount FROM forgiven",
)


def rot(data, dice):
    """Spoil some of a file; returns how it was done."""
    kind = dice.choice(["byte", "bytes", "page", "pages", "zeros", "cut"])
    if kind == "cut":
        del data[dice.randrange(len(data)) :]
    for _ in range({"byte": 1, "bytes": 50}.get(kind, 0)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    for _ in range({"page": 1, "pages": 6, "zeros": 1}.get(kind, 0)):
        n = dice.randrange(len(data) // PAGE)
        data[n * PAGE : (n + 1) * PAGE] = bytes(PAGE) if kind == "zeros" else dice.randbytes(PAGE)
    return kind


def fill(connection):
    for n in range(40):
        connection.execute("INSERT INTO device VALUES (?, ?, NULL, 1, 2)", (f"device {n}", f"device_{n}"))
        connection.execute(
            "INSERT INTO device_key (hash, device_id, hint, created_at) VALUES (?, ?, 'cr', 1)",
            (f"{n:064x}", f"device {n}"),
        )
        connection.execute("INSERT INTO setting VALUES (?, 'rpm', '5', 'null', 'api', 1)", (f"device {n}",))


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_rots_the_router_starts_books_and_tells(office, seed):
    first = office()
    for n in range(400):
        first.book(device_id=f"device {n % 40}", reason="x" * 150)
        first.later(hours=1)
    await first.recorder.flush()
    await first.database.run(fill)
    await first.recorder.close()
    await first.database.close()

    path = first.folder / "cheaprouter.db"
    sound = path.read_bytes()
    data = bytearray(sound)
    kind = rot(data, random.Random(seed))
    path.write_bytes(data)
    first.open()
    loaded = [first.database.read_sync(lambda c, sql=sql: c.execute(sql).fetchall()) for sql in LOADS]
    Habits().restore(first.database)
    first.book(id="after")
    await first.recorder.flush()
    await first.recorder.flush()
    assert "after" in [row["id"] for row in await first.reports.audit(1000)]
    try:
        await first.reports.usage({"from": "2026-11-01", "to": "2027-12-31"})
        await first.reports.summary()
    except BooksUnavailableError:
        assert first.database.damage
    await first.recorder.tidy()
    assert not first.database.volatile
    if [len(rows) for rows in loaded[:3]] != [40, 40, 40] or first.metrics.total.requests != 401:
        assert first.database.damage, kind
    if first.database.moved_aside is not None:
        assert first.database.moved_aside.stat().st_size == len(data)
    shutil.rmtree(first.folder / "journal", ignore_errors=True)


@given(st.data())
def test_no_journal_is_too_rotten_to_be_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journal")
    whole = (
        b'f9c9d6c2 {"columns":["seq"]}\n',
        data.draw(st.binary(max_size=300)),
        b"\n",
        data.draw(st.binary(max_size=300)),
    )
    (folder / "1.log").write_bytes(b"".join(whole))
    assert [from_row(row) for row in Journal(folder).replay()] == []


def test_a_file_whose_complaints_cannot_even_be_decoded_is_damaged(tmp_path, office):
    office().database.close_sync()
    path = tmp_path / "cheaprouter.db"
    data = path.read_bytes().replace(b"CREATE TABLE migration (name", b"CREATE TABLE migr\xff\xfe\xff\xff\xff (n\xffme")
    assert data != path.read_bytes()
    path.write_bytes(data)
    again = office()
    assert again.database.damage
    again.database.close_sync()
    path.write_bytes(data)
    with pytest.raises(sqlite3.Error):
        again.database.open(strict=True)
