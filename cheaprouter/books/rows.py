"""A booking as one flat row: the same in memory, in the journal and in SQLite, and always within what all can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from ..core.models import RequestRecord, Usage
from ..core.money import MOST_CHARGE, from_pico

Row = tuple[Any, ...]
Rule = tuple[type, float, float, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
FIRST_AT: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
LAST_AT: Final = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND

_TEXT: Final[Rule] = (str, 0, 256, "")
"""A model's name comes from the client, and could be megabytes."""
_MAYBE: Final[Rule] = (str, 0, 256, None)
_TOKENS: Final[Rule] = (int, 0, 2**53, 0)
_FLAG: Final[Rule] = (int, 0, 1, 0)
_MONEY: Final[Rule] = (int, 0, MOST_CHARGE, None)
_MOST_MS: Final = 1e12

SHAPE: Final[Mapping[str, Rule]] = {
    "seq": (int, 0, 2**62, 0),
    "id": _TEXT,
    "at": (int, FIRST_AT, LAST_AT, 0),
    "day": (int, 0, 99991231, 0),
    "device_id": _TEXT,
    "requested_model": _TEXT,
    "model_id": _MAYBE,
    "provider": _MAYBE,
    "prompt_tokens": _TOKENS,
    "completion_tokens": _TOKENS,
    "cached_tokens": _TOKENS,
    "cache_write_tokens": _TOKENS,
    "reasoning_tokens": _TOKENS,
    "estimated": _FLAG,
    "status": (int, 0, 999, 0),
    "latency_ms": (float, 0, _MOST_MS, 0.0),
    "stream": _FLAG,
    "first_token_ms": (float, 0, _MOST_MS, None),
    "error": (str, 0, 64, None),
    "cost": _MONEY,
    "cost_source": (str, 0, 64, ""),
    "baseline_cost": _MONEY,
    "attempts": (int, 0, 1000, 0),
    "profile": (str, 0, 64, None),
    "reason": (str, 0, 500, ""),
    "tier": (str, 0, 64, None),
    "score": (float, 0, 1, None),
    "cached": _FLAG,
    "via": (str, 0, 64, ""),
    "sub_identity": _TEXT,
    "reported_cost": _MONEY,
}
"""Columns in order, each with its type, its least and most (of a text: its length), and what stands for nothing.

`seq`: the order of booking, never used twice. `at`: microseconds since 1970, UTC. `day`: the local day it counts to.
Costs are pico-dollars. New columns are appended.
"""

COLUMNS: Final = tuple(SHAPE)
INDEX: Final = {name: index for index, name in enumerate(COLUMNS)}

INTENT: Final = (
    "seq", "id", "at", "day", "device_id", "requested_model", "model_id", "provider", "prompt_tokens", "completion_tokens",
    "cost", "stream", "attempts", "profile", "via", "sub_identity", "began", "rate", "usual", "most", "each",
)  # fmt: skip
"""Of a request that is about to go upstream: what it would be booked with if nothing more were heard of it, all else being empty.

`seq`: the last booking's before it, so that its own is higher. `at`, `day`: of when it came in. Tokens and `cost`: of tries
before this one, and of the prompt. What this try writes is added by the time that it had: `began` to write (microseconds since 1970),
`rate` (tokens a second, 0: it is written to its end whoever reads it), `usual` and `most` (tokens), `each` (pico-dollars).
"""

INTERRUPTED: Final = "interrupted"
"""The error of a request that was under way when the process died; its status is 500, since its client saw a connection break."""

_RULES: Final = tuple(SHAPE.values())
_OF_USAGE: Final = tuple(field.name for field in fields(Usage) if field.name in SHAPE)
_NUMBERS: Final = (int, float)
_ROOM: Final = _TEXT[2]
_NAMES: Final = itemgetter(*(index for name, index in INDEX.items() if SHAPE[name] in (_TEXT, _MAYBE)))
_LITTLE: Final = SHAPE["via"][2]
_WORDS: Final = itemgetter(
    *(index for name, index in INDEX.items() if SHAPE[name][0] is str and SHAPE[name][2] == _LITTLE)
)
_TOLD: Final = SHAPE["reason"][2]
_COUNTS: Final = itemgetter(*(INDEX[name] for name, rule in SHAPE.items() if rule is _TOKENS))
_AT, _REASON, _LATENCY = INDEX["at"], INDEX["reason"], INDEX["latency_ms"]
_FIRST_TOKEN, _SCORE = INDEX["first_token_ms"], INDEX["score"]


def microseconds(moment: datetime) -> int:
    """An aware time as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """Microseconds since 1970 as an aware UTC time, exact."""
    return _EPOCH + at * _MICROSECOND


def make_row(seq: int, values: tuple[Any, ...]) -> Row:
    """A row of all its values but the first, in the order of `COLUMNS`, each of its column's type or None.

    Texts are cut, and so are impossible counts and times. Whole numbers of our own (a status, a cost) are right already.
    """
    row = (seq, *values)
    # Few steps for all columns together, where `_bounded` takes one for each: all is plainly within its rule, as nearly always.
    counts, names, words = _COUNTS(row), "".join(filter(None, _NAMES(row))), "".join(filter(None, _WORDS(row)))
    first, score, reason = row[_FIRST_TOKEN], row[_SCORE], row[_REASON]
    if (
        None not in counts
        and min(counts) >= 0
        and max(counts) <= _TOKENS[2]
        and FIRST_AT <= row[_AT] <= LAST_AT
        and 0 <= row[_LATENCY] <= _MOST_MS
        and (first is None or 0 <= first <= _MOST_MS)
        and (score is None or 0 <= score <= 1)
        and len(names) <= _ROOM
        and len(words) <= _LITTLE
        and len(reason) <= _TOLD
        and names.isascii()
        and words.isascii()
        and reason.isascii()
    ):
        return row
    return _bounded(row)


def bounded_intent(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """An intent each of whose values is within what its column holds."""
    return tuple(_within(value, *SHAPE.get(name, _TOKENS)) for name, value in zip(INTENT, values, strict=True))


def interrupted(intent: Mapping[str, Any], seq: int, ended: int) -> Row | None:
    """The booking of a request of which nothing but its intent is left; None where that is damaged. `ended`: when the process did."""
    began, rate, usual, most, each = (count if type(count := intent.get(name)) is int else 0 for name in INTENT[-5:])
    output = min(most, rate * max(0, ended - began) // 1_000_000) if rate else usual
    told = {name: value for name, value in intent.items() if name in SHAPE}
    cost = told.get("cost")
    told |= {
        "estimated": 1,
        "status": 500,
        "error": INTERRUPTED,
        "cost_source": "unknown" if cost is None else "estimated",
    }
    if type(told.get("completion_tokens")) is int:
        told["completion_tokens"] += output
    if type(cost) is int:
        told["cost"] = min(MOST_CHARGE, cost + output * each)
    row = from_disk([*told.values()], [*told])
    return None if row is None else (seq, *row[1:])


def from_row(row: Row) -> RequestRecord:
    """The record that a row was made of, times and money exact."""
    value = dict(zip(COLUMNS, row, strict=True))
    for name, rule in SHAPE.items():
        if rule is _FLAG:
            value[name] = bool(value[name])
        elif rule is _MONEY and value[name] is not None:
            value[name] = from_pico(value[name])
    del value["seq"], value["day"]
    usage = Usage(**{name: value.pop(name) for name in _OF_USAGE})
    return RequestRecord(usage=usage, timestamp=moment(value.pop("at")), **value)


def from_disk(values: Sequence[Any], names: Sequence[str] = COLUMNS) -> Row | None:
    """A row read back, its columns told by their names; what an older version had not is empty.

    None where a value is one that no booking can have: the row is damaged.
    """
    found = dict(zip(names, values, strict=False))
    before = tuple(found.get(name, empty) for name, (*_, empty) in SHAPE.items())
    row = _bounded(before)
    return row if row[0] and row == before else None


def _damaged(name: str, rule: Rule) -> str:
    kind, least, most, empty = rule
    within = f"length({name}) <= {most}" if kind is str else f"{name} BETWEEN {least} AND {most}"
    bad = f"NOT (typeof({name}) = '{_KINDS[kind]}' AND {within})"
    return f"({name} IS NOT NULL AND {bad})" if empty is None else bad


_KINDS: Final = {int: "integer", float: "real", str: "text"}
DAMAGED: Final = " OR ".join(_damaged(name, rule) for name, rule in SHAPE.items())
"""SQL for what `from_disk` refuses."""


def _bounded(row: Row) -> Row:
    """Every value within its rule. Texts lose halves of surrogate pairs, too, which no UTF-8 can hold. Never raises."""
    return tuple(_within(value, *rule) for value, rule in zip(row, _RULES, strict=True))


def _within(value: Any, kind: type, least: float, most: float, empty: Any) -> Any:
    if value is None:
        return empty
    if kind is str:
        if not isinstance(value, str):
            value = str(value) if isinstance(value, _NUMBERS) and -(2**63) < value < 2**63 else type(value).__name__
        short = value[: int(most)]
        return short if short.isascii() else short.encode("utf-8", "replace").decode()
    if not isinstance(value, _NUMBERS) or value != value:  # noqa: PLR0124 - only NaN is not itself
        return empty
    return kind(least if value < least else min(value, most))
