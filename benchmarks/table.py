# ruff: noqa: RUF001 - a ratio is written with its own sign
"""The figures of a run as a table: medians over its rounds, and what is added to a direct call in the same round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

BEGIN, END = "<!-- benchmarks: begin (script/bench --readme) -->", "<!-- benchmarks: end -->"
QUIET = 0.3
"""Cores of other work that do not show in the figures."""

ROUTER, NGINX, DIRECT = "CheapRouter", "nginx", "direct"

Rounds = Mapping[str, list[Mapping[str, float | None]]]


class Row(NamedTuple):
    """A figure: where it is, its digits, whether it is what comes on top of a direct call, whether the client may limit it."""

    words: str
    phase: str
    key: str
    digits: int = 0
    added: bool = False
    bounded: bool = False


ROWS = (
    Row("one connection: added p50, µs", "one", "p50", added=True),
    Row("one connection: added p99, µs", "one", "p99", added=True),
    Row("32 connections: CPU µs a request, each text new", "many", "cpu", 1),
    Row("32 connections: CPU µs a request, one text again and again", "same", "cpu", 1),
    Row("32 connections: requests/s, each text new", "many", "rate", bounded=True),
    Row("32 connections: requests/s, one text", "same", "rate", bounded=True),
    Row("first content of a stream: added p50, µs", "first", "p50", added=True),
    Row("an event of a stream: added p50, µs", "first", "delay", added=True),
    Row("25 streams, 50 events/s each: CPU µs an event", "paced", "cpu", 1),
    Row("8 streams at full speed: CPU µs an event", "burst", "cpu", 1),
    Row("8 streams at full speed: events/s", "burst", "rate", bounded=True),
    Row("client leaves: the upstream's end closes after, ms", "left", "ms", 1),
    Row("1,000 held streams: highest memory, MiB", "held", "peak"),
    Row("1,000 held streams: CPU, % of a core", "held", "cpu", 1),
    Row("memory idle, MiB", "memory", "idle", 1),
    Row("memory after the load, MiB", "memory", "loaded", 1),
    Row("memory 3 s after the held streams, MiB", "memory", "after", 1),
    Row("start to first answer, s", "start", "s", 2),
)


def value(found: Mapping[str, Rounds], target: str, row: Row) -> float | None:
    """The median of what was measured; of the differences to a direct call in the same round where the row is about those."""
    taken = [each.get(row.key) for each in found.get(target, {}).get(row.phase, [])]
    if row.added:
        direct = [each.get(row.key) for each in found[DIRECT].get(row.phase, [])]
        taken = [None if a is None or b is None else a - b for a, b in zip(taken, direct, strict=False)]
    known = [each for each in taken if each is not None]
    return statistics.median(known) if known else None


def number(found: float | None, digits: int) -> str:
    """As people read it."""
    return "-" if found is None else f"{found:,.{digits}f}"


def ratio(a: float | None, b: float | None) -> str:
    """How many times `b` `a` is, in two digits or so."""
    return "-" if a is None or b is None or a <= 0 or b <= 0 else f"{a / b:.2g}" if a < 100 * b else f"{a / b:,.0f}"


def lines(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Markdown that can be read as plain text, too."""
    kept = list(rows)
    widths = [max(len(row[place]) for row in kept) for place in range(len(kept[0]))]

    def line(row: tuple[str, ...]) -> str:
        cells = (c.rjust(w) if place else c.ljust(w) for place, (c, w) in enumerate(zip(row, widths, strict=True)))
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (w + 2) if not place else "-" * (w + 1) + ":" for place, w in enumerate(widths))
    return [line(kept[0]), f"|{rule}|", *(line(row) for row in kept[1:])]


def render(run: Mapping[str, Any]) -> str:
    """A whole run."""
    found = run["targets"]

    def cells(row: Row) -> tuple[str, ...]:
        ours, theirs = value(found, ROUTER, row), value(found, NGINX, row)
        plain = None if row.added else value(found, DIRECT, row)
        shown = (number(figure, row.digits) for figure in (plain, theirs, ours))
        return (row.words + " ¹" * row.bounded, *shown, ratio(ours, theirs))

    head = ("", "direct", "nginx", "CheapRouter", "× nginx")
    kind = " (`--quick`)" if run["quick"] else ""
    text = [
        (
            f"{run['when']}{kind}, Python {run['python']}, {run['machine']}. Everything on: 30 models of 10 providers, "
            f"limits and budgets of device and house, recording, MQTT{''.join(f'; {words}' for words in run['missing'])}."
        ),
        "",
        *lines([head, *map(cells, ROWS)]),
        "",
        "¹ bounded by the load client and the upstream, which are Python on one core: the target may do more.",
    ]
    noise = statistics.median(each["other"] for rounds in found.values() for each in rounds["many"])
    errors = sum(
        int(each.get("errors") or 0) for rounds in found.values() for taken in rounds.values() for each in taken
    )
    told = " (too much for steady figures)" if noise > QUIET else ""
    text += ["", f"Other work on the machine took {noise:.1f} cores meanwhile{told}; {errors} errors."]
    for name, figures in (run.get("parts") or {}).items():
        if figures:
            text += ["", *part(name, figures)]
    return "\n".join(text)


def part(name: str, figures: Mapping[str, Any]) -> list[str]:
    """What another benchmark kept: a column for each group of figures, and a line for what is in none."""
    groups = {key: group for key, group in figures.items() if isinstance(group, dict)}
    plain = [f"{key}: {each}" for key, each in figures.items() if not isinstance(each, dict | list)]
    title = f"{name.capitalize()} ({', '.join(plain)}):" if plain else f"{name.capitalize()}:"
    if not groups:
        return [title]
    keys = dict.fromkeys(key for group in groups.values() for key in group)
    rows = [(key, *(cell(group.get(key)) for group in groups.values())) for key in keys]
    return [title, "", *lines([("", *groups), *rows])]


def cell(found: Any) -> str:
    """A figure of which nothing is known but its value."""
    if isinstance(found, int | float):
        return number(found, 0 if abs(found) >= 1000 else 1 if abs(found) >= 10 else 2)
    return "-" if found is None else str(found)


def into(file: Path, text: str) -> None:
    """Replace what is between the markers of a file. Raises ValueError where they are not there."""
    before, begin, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{file} has no place for it: {BEGIN} … {END}")
    file.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
