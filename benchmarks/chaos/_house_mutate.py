"""Mutations of what clients, publishers and files hold: seeded, and of every kind that once broke something. Pure."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any, Self

NUMBERS = (
    "1e30", "1e308", "1e309", "1e999999", "-1e999999", "1e-400", "NaN", "Infinity", "-Infinity", "-0", "0", "-1", "0.5", "-0.0",
    "9007199254740993", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" + "0" * 400, "9" * 4301, "1.0",
    "1e2", "0x10", "1_000", "01", "+1", "١٢", "2147483648", "1.7976931348623157e308", "5e-324",
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "a\0b", "\ufeff", "\u202e", "\u2028", "é", "e\u0301", "😀", "\U0010ffff", "\ud800", "\udc00\ud800", "\r\n", "\n" * 50,
    "/", "//", "../..", "a/b/c", "#", "+", "%00", "%ud800", "%", "'", '"', "\\", "<script>", "${x}", "{{x}}", "-1", "null", "true",
    "(forgotten)", "others", "self", "lan-127.0.0.1", "cr-" + "x" * 40, "x" * 300, "x" * 70_000, "9" * 4301, "1e999999", "NaN",
    "9999-12-31", "0000-01-01", "10000-01-01", "2026-02-30", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-14:00", "-1-1-1",
    "23:59", "24:00", "99:99", "mon-sun 00:00-24:00", "\x7f", "\x1b[31m", "ﷺ" * 20,
)  # fmt: skip
OTHERS: tuple[Any, ...] = (None, True, False, 0, -1, 1e30, [], {}, [[]], {"": {}}, [None], {"a": 1}, "", "x", [0] * 50)


class Raw(float):
    """A number as it is to be written, whatever that is."""

    word: str

    def __new__(cls, word: str) -> Self:
        made = super().__new__(cls, 0.0)
        made.word = word
        return made


class Twice(dict[str, Any]):
    """An object of which one key is written twice."""


def dumps(value: Any) -> str:
    """JSON, with what is no JSON where somebody wanted that."""
    if isinstance(value, Raw):
        return value.word
    if isinstance(value, dict):
        rows = [f"{json.dumps(str(key))}: {dumps(inner)}" for key, inner in value.items()]
        if isinstance(value, Twice) and rows:
            rows.append(rows[0])
        return "{" + ", ".join(rows) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(value)


def a_place(dice: random.Random, value: Any) -> tuple[Any, ...]:
    """A place somewhere in a value, near the top or deep within."""
    path: list[Any] = []
    while isinstance(value, dict | list) and value and dice.random() < 0.8:
        step = dice.choice([*value]) if isinstance(value, dict) else dice.randrange(len(value))
        path.append(step)
        value = value[step]
    return tuple(path)


def changed(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """A copy with what is at a place changed; `DROP` takes it out."""
    if not path:
        return change(value)
    head, rest = path[0], path[1:]
    if isinstance(value, dict):
        made = type(value)(value)
        new = changed(value[head], rest, change)
        if new is DROP:
            del made[head]
        else:
            made[head] = new
        return made
    new = changed(value[head], rest, change)
    return [*value[:head], *([] if new is DROP else [new]), *value[head + 1 :]]


DROP = object()
DEEPEST = 20_000
sys.setrecursionlimit(DEEPEST)  # what is nested as deep as others cannot read has to be made first


def nested(value: Any, depth: int) -> Any:
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


class Mutator:
    """`dice`: seeded, so that a run can be seen again."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def text(self) -> str:
        return self.dice.choice(TEXTS)

    def number(self) -> str:
        return self.dice.choice(NUMBERS)

    def value(self, value: Any) -> Any:
        """The same with one to three things in it changed."""
        for _ in range(self.dice.choice((1, 1, 1, 2, 3))):
            value = changed(value, a_place(self.dice, value), self._one)
            if value is DROP:
                return {}
        return value

    def _one(self, old: Any) -> Any:  # noqa: PLR0911 - a table of changes
        dice = self.dice
        match dice.randrange(11):
            case 0:
                return DROP
            case 1 | 2:
                return Raw(self.number())
            case 3 | 4:
                return self.text()
            case 5:
                return dice.choice(OTHERS)
            case 6:
                return nested(old, dice.choice((1, 2, 5, 150, 240, 400)))
            case 7:
                return [old] * dice.choice((0, 2, 50))
            case 8 if isinstance(old, dict):
                return Twice(old)
            case 8 | 9 if isinstance(old, dict):
                return {**old, self.text()[:50]: dice.choice(OTHERS)}
            case 10 if isinstance(old, str) and old:
                cut = dice.randrange(len(old))
                return old[:cut] + self.text() + old[cut:]
            case _:
                return str(old) if not isinstance(old, str) else Raw(self.number())

    def bytes(self, data: bytes) -> bytes:  # noqa: PLR0911 - likewise
        """Damage below JSON: cut, doubled, other bytes."""
        dice = self.dice
        if not data:
            return b"\xff"
        at = dice.randrange(len(data))
        match dice.randrange(6):
            case 0:
                return data[:at]
            case 1:
                return data[:at] + bytes(dice.randrange(256) for _ in range(dice.randrange(1, 5))) + data[at:]
            case 2:
                return data[:at] + data[at + 1 :]
            case 3:
                return data + data
            case 4:
                return data[:at] + b"\\ud800" + data[at:]
            case _:
                return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]

    def body(self, value: Any) -> bytes:
        """A body made of a value."""
        data = dumps(self.value(value)).encode("utf-8", "surrogatepass")
        return self.bytes(data) if self.dice.random() < 0.15 else data
