"""Reports as a client gets them: JSON, and CSV for a spreadsheet. Column by column, in turns: others do not wait for ten thousand rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from operator import add, truediv
from typing import Any, Final

from ..core.models import Json
from ..core.money import PICO
from ..wire.written import written
from . import columns
from .sums import TOTALS, usd
from .usage import Answer

_SHOWN: Final = (
    *("requests", "input_tokens", "output_tokens", "cached_tokens", "errors", "limit_hits", "unpriced"),
    *("total_tokens", "cost_usd", "saved_usd"),
)
"""What is told of each row, in order."""

_TO_QUOTE: Final = re.compile(r'[",\r\n]')
_EXACT: Final = 10**15
"""Below as many pico-dollars, a thousand dollars, the shortest text of a float is the exact amount."""

_MONEY: Final = {"cost_usd": "cost", "saved_usd": "saved"}


def row(sums: Sequence[int]) -> Json:
    """Sums in the order of `TOTALS` by name, money in USD, and all tokens together."""
    by_name = dict(zip(TOTALS, sums, strict=True))
    by_name["total_tokens"] = by_name["input_tokens"] + by_name["output_tokens"]
    return {name: usd(by_name[_MONEY[name]]) if name in _MONEY else by_name[name] for name in _SHOWN}


def as_json(names: Sequence[str], found: Answer, said: Json) -> bytes:
    """`said` with `data`, rows under the `names` of their groups and of their sums, and `total` after it."""
    rest: Json = {"total": row(found.whole), **({"partial": True} if found.partial else {})}
    before = [",{", *repeat(",", len(names) + len(_SHOWN) - 1)]
    before = [f'{mark}"{name}":' for mark, name in zip(before, (*names, *_SHOWN), strict=True)]
    rows = []
    for labels, sums in _turns(found):
        told = [[written(label).decode() for label in column] for column in labels] + [*map(_numbers, _told(sums))]
        parts = chain.from_iterable(zip(map(repeat, before), told, strict=False))
        rows.append("".join(chain.from_iterable(zip(*parts, repeat("}"), strict=False))).encode())
        columns.give_way()
    return b"".join([written(said)[:-1], b',"data":[', b"".join(rows)[1:], b"],", written(rest)[1:]])


def as_csv(names: Sequence[str], found: Answer) -> bytes:
    """The same rows with a heading."""
    rows = [",".join((*names, *_SHOWN))]
    for labels, sums in _turns(found):
        told = [list(map(_cell, column)) for column in labels]
        for name, column in zip(_SHOWN, _told(sums), strict=True):
            texts = _numbers(column)
            told.append(_amounts(sums[TOTALS.index(_MONEY[name])], texts) if name in _MONEY else texts)
        rows.append("\r\n".join(map(",".join, zip(*told, strict=True))))
        columns.give_way()
    if found.partial:
        rows.append("(there are more rows: ask for less at once)" + "," * (len(names) + len(_SHOWN) - 1))
    return "\r\n".join([*rows, ""]).encode("utf-8", "replace")


def _turns(found: Answer) -> Iterator[tuple[list[Sequence[str | None]], list[Sequence[int]]]]:
    """So many rows of each column as are written in one turn."""
    for first in range(0, len(found.labels[0]), columns.A_TURN):
        last = first + columns.A_TURN
        yield [column[first:last] for column in found.labels], [column[first:last] for column in found.sums]


def _told(sums: Sequence[Sequence[int]]) -> list[list[Any]]:
    """Columns of `TOTALS` as those of `_SHOWN`, money in USD."""
    by_name = dict(zip(TOTALS, sums, strict=True))
    by_name["total_tokens"] = list(map(add, by_name["input_tokens"], by_name["output_tokens"]))
    return [
        list(map(truediv, by_name[_MONEY[name]], repeat(PICO))) if name in _MONEY else list(by_name[name])
        for name in _SHOWN
    ]


def _numbers(column: list[Any]) -> list[str]:
    """Each as JSON writes it."""
    return written(column)[1:-1].decode().split(",")


def _amounts(picos: Sequence[int], texts: Sequence[str]) -> list[str]:
    """USD, exact, without an exponent or a point that nothing follows. `texts`: the same as JSON has them."""
    return [
        text if -_EXACT < pico < _EXACT and "e" not in text and text[-2:] != ".0" else _amount(pico)
        for pico, text in zip(picos, texts, strict=True)
    ]


def _amount(pico: int) -> str:
    whole, part = divmod(abs(pico), PICO)
    text = f"{whole}.{part:012d}".rstrip("0").rstrip(".")
    return f"-{text}" if pico < 0 else text


def _cell(label: str | None) -> str:
    """A cell that no spreadsheet takes for a formula: names come from clients."""
    if not label:
        return ""
    text = f"'{label}" if label[0] in "=+-@\t\r" else label
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text
