"""Whether what was booked is what was billed, and whether budgets held. Pure: lines to print, and whether all is well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from _provider import PICO, Item

UNDER, OVER = 0.005, 0.05
"""Booked may be so much less than billed, and so much more: parts of the bill."""

MINUTE = 60.0


@dataclass
class Verdict:
    """Lines, and those of them that say what is wrong."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def say(self, words: str, *, good: bool | None = None) -> None:
        """One line. `good` None: a figure that nobody judges."""
        mark = {None: "    ", True: " ok ", False: "BAD "}[good]
        line = f"{mark}{words}"
        self.lines.append(line)
        print(line, flush=True)
        if good is False:
            self.wrong.append(words)


def usd(pico: float) -> str:
    """Money for people."""
    return f"${pico / PICO:.6f}"


def causes(items: Iterable[Item]) -> dict[str, tuple[int, int]]:
    """The bill by cause: pico-dollars, requests."""
    found: dict[str, list[int]] = {}
    for item in items:
        key = "interrupted" if item.killed else item.cause
        entry = found.setdefault(key, [0, 0])
        entry[0] += item.pico
        entry[1] += 1
    return {name: (cost, count) for name, (cost, count) in found.items()}


def compare(
    verdict: Verdict, what: str, billed: Mapping[str, tuple[int, int]], booked: Mapping[str, tuple[int, int]]
) -> None:
    """The whole bill beside all of the books; the difference by cause, largest first."""
    mine: dict[str, int] = {}
    for name, (cost, _) in booked.items():
        cause = name.partition(".")[0]
        mine[cause] = mine.get(cause, 0) + cost
    bill, books = sum(cost for cost, _ in billed.values()), sum(mine.values())
    part = (books - bill) / bill if bill else 0.0
    requests = sum(count for _, count in billed.values())
    good = bill > 0 and -UNDER <= part <= OVER
    verdict.say(f"{what}: billed {usd(bill)} for {requests} calls, booked {usd(books)}: {part:+.2%}", good=good)
    rows = sorted(set(billed) | set(mine), key=lambda c: -abs(mine.get(c, 0) - billed.get(c, (0, 0))[0]))
    for cause in rows:
        cost, count = billed.get(cause, (0, 0))
        difference = mine.get(cause, 0) - cost
        share = f"{difference / bill:+.2%} of all" if bill else ""
        verdict.say(
            f"  {cause:<24} {count:>6} calls  billed {usd(cost):>12}  booked {usd(mine.get(cause, 0)):>12}  {share}"
        )


def budget(verdict: Verdict, what: str, limit: int, items: Sequence[Item], already: int = 0) -> None:
    """No budget is passed by more than one request's last second. `limit`, `already` spent: pico-dollars."""
    spent = already + sum(item.pico for item in items)
    second = max((item.second for item in items), default=0)
    over = max(0, spent - limit)
    seconds = over / second if second else 0.0
    verdict.say(
        f"{what}: budget {usd(limit)}, billed {usd(spent)} by {len(items)} calls, over by {usd(over)} = {seconds:.2f} s of one request",
        good=over <= second,
    )


def tokens(verdict: Verdict, what: str, a_minute: int, items: Sequence[Item]) -> None:
    """The same for tokens a minute: the bucket starts full, and refills evenly."""
    if not items:
        verdict.say(f"{what}: nobody was asked", good=False)
        return
    took = max(item.ended for item in items) - min(item.began for item in items)
    most = a_minute * (1 + took / MINUTE)
    used = sum(item.prompt + item.output for item in items)
    second = max(item.behaviour.rate * item.parallel for item in items)
    over = max(0.0, used - most)
    verdict.say(
        f"{what}: {a_minute} a minute, {used} in {took:.1f} s, over by {over:.0f} tokens = {over / second:.2f} s of one request",
        good=over <= second,
    )
