"""What the dial would have done with requests that were recorded: how good the answers, at which part of the best one's price.

Pure, and never on the path of a request: a thousand requests take some hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..core.models import Json
from ..core.records import dataclass
from .choose import Field
from .dial import LEAST_GAIN, STEPS, Dial, turns

MOST: Final = 1000
"""Requests of the past that a forecast looks at."""

FEW: Final = 20
"""Below so many scored requests a forecast says nothing: one of them would move it by points."""


@dataclass(frozen=True, slots=True)
class Past:
    """A recorded request whose difficulty is known: the chance that a small model fails, what a large one gains, its tokens."""

    score: float
    gain: float
    prompt: int
    output: int


def forecast(field: Field, dial: Dial, past: Sequence[Past], requests: int, now: float) -> Json:
    """Each whole step of the dial and where it is `now`, against always taking the best.

    `requests`: how many were looked at, of which `past` have a score. The percentages are None where too few have.
    """
    points = sorted({*range(STEPS + 1), min(float(STEPS), max(0.0, now))})
    worths = [dial.worth(at) for at in points]
    good, paid = [0.0] * len(points), [0.0] * len(points)
    best = best_paid = 0.0
    for one in past:
        costs, view = field.costs(one.prompt, one.output, {}), field.view
        order, fails, gain = turns(costs, view.shares), view.chances(one.score), max(LEAST_GAIN, one.gain)
        at = 0
        for number, worth in enumerate(worths):
            while at + 1 < len(order) and order[at + 1][0] <= worth * gain:
                at += 1
            place = order[at][1]
            good[number] += 1.0 - fails[place]
            paid[number] += costs[place]
        best += 1.0 - fails[order[-1][1]]
        best_paid += costs[order[-1][1]]
    known = len(past) >= FEW and best > 0
    steps = [
        {
            "cost_quality": at,
            "answers_percent": round(100 * good[number] / best, 1) if known else None,
            "price_percent": (round(100 * paid[number] / best_paid, 1) if best_paid else 100.0) if known else None,
            "failure_usd": None if at >= STEPS else worths[number],
        }
        for number, at in enumerate(points)
    ]
    return {
        "cost_quality": now,
        "requests": requests,
        "scored": len(past),
        "steps": steps,
        "text": in_words(next(row for row in steps if row["cost_quality"] >= min(STEPS, now)), len(past), requests),
    }


def in_words(step: Json, scored: int, requests: int) -> str:
    """One step as a sentence."""
    at = f"{step['cost_quality']:g}"
    if step["answers_percent"] is None:
        return f"at {at}: too few of your last {requests:,} requests have a score ({scored}) to say what to expect"
    told = f"at {at}: about {step['answers_percent']:.0f} % of the best answers for {step['price_percent']:.0f} % of its price"
    whole = f"your last {requests:,} requests"
    return (
        f"{told}, on {whole}" if scored == requests else f"{told}, on {scored:,} of {whole}, whose difficulty is known"
    )
