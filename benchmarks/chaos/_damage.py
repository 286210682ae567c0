"""What may happen to the files of a data folder between two runs."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, random.Random], None]


def _book(data: Path) -> Path:
    return data / "cheaprouter.db"


def bad_byte_in_a_name(data: Path, _rng: random.Random) -> None:
    """One byte of the device's name, wherever it stands: no UTF-8 any more."""
    content = bytearray(_book(data).read_bytes())
    place = content.find(b"spender")
    while place >= 0:
        content[place] = 0xFF
        place = content.find(b"spender", place + 1)
    _book(data).write_bytes(content)


def deleted(data: Path, _rng: random.Random) -> None:
    """The database is gone."""
    for file in data.glob("cheaprouter.db*"):
        file.unlink()


def truncated(data: Path, _rng: random.Random) -> None:
    """Half of it is gone."""
    content = _book(data).read_bytes()
    _book(data).write_bytes(content[: len(content) // 2])


def emptied(data: Path, _rng: random.Random) -> None:
    """A file of no bytes."""
    _book(data).write_bytes(b"")


def flipped(data: Path, rng: random.Random) -> None:
    """Twenty bytes anywhere."""
    content = bytearray(_book(data).read_bytes())
    for _ in range(20):
        content[rng.randrange(100, len(content))] ^= 1 << rng.randrange(8)
    _book(data).write_bytes(content)


def zeroed_page(data: Path, rng: random.Random) -> None:
    """A page of nothing, as a worn card leaves it."""
    content = bytearray(_book(data).read_bytes())
    page = rng.randrange(1, max(2, len(content) // 4096)) * 4096
    content[page : page + 4096] = bytes(4096)
    _book(data).write_bytes(content)


def torn_journal(data: Path, rng: random.Random) -> None:
    """The journal ends in the middle of a line, and the database is gone."""
    deleted(data, rng)
    for file in (data / "journal").glob("*"):
        content = file.read_bytes()
        file.write_bytes(content[: max(1, len(content) - 40)])


def everything_but_the_config(data: Path, rng: random.Random) -> None:
    """All small files hold rubbish."""
    for file in data.iterdir():
        if file.is_file() and file.suffix != ".db" and file.name not in {"admin_key", "instance_id"}:
            file.write_bytes(rng.randbytes(50))


DAMAGES: tuple[tuple[str, Damage], ...] = (
    ("a bad byte in a name", bad_byte_in_a_name),
    ("the database deleted", deleted),
    ("the database cut in half", truncated),
    ("an empty database", emptied),
    ("a page of zeros", zeroed_page),
    ("another page of zeros", zeroed_page),
    ("twenty bits flipped", flipped),
    ("twenty others flipped", flipped),
    ("a torn journal, no database", torn_journal),
    ("rubbish in small files", everything_but_the_config),
)
