"""How good a model's answers are, 0 to 100, and how that is known. Pure.

Measured figures are LiveBench means (`data/quality.json` says which). Where there is none, a model is placed by an older
version of itself, by its size or by its price, and its `source` says so. Such guesses are shaded: routing never ranks a
guess above the best figure that was measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..core.models import Price, Quality
from .names import canonical, parameters

UNKNOWN: Final = 35.0
"""Where nothing at all is known of a model: about that of an 8-billion one."""

_PRICE_AT_ONE_DOLLAR: Final = 65.7
_PRICE_SLOPE: Final = 16.3
"""Least squares of the 40 measured models that are sold: quality over the decimal logarithm of the mixed price (three parts
input, one part output, USD per million); standard error 7.4 points (November 2026)."""

_SIZE_AT_ONE_BILLION: Final = 22.0
_SIZE_SLOPE: Final = 16.0
"""Through the measured open models of 30 to 235 billion parameters; smaller ones are extrapolated."""

_GUESS_RANGE: Final = (20.0, 80.0)
_VERSION: Final = re.compile(r"(?<!\d)\d{1,2}(?![\dbe])(?!x\d)")
_OLDER: Final = 3.0
"""An unmeasured version older than a measured one is placed at least this far below it."""

MEASURED: Final = ("LiveBench", "configured")


def measured(quality: Quality) -> bool:
    """Whether the figure is somebody's measurement, or the user's own word."""
    return quality.source.startswith(MEASURED)


@dataclass(frozen=True, slots=True)
class Line:
    """The measured versions of one product line: version numbers and figures, oldest first."""

    versions: tuple[tuple[tuple[int, ...], str, float, str], ...]


class QualityTable:
    """Looks figures up, and guesses where there are none."""

    def __init__(self, figures: Mapping[str, tuple[float, str]]) -> None:
        self._measured = {name: Quality(value, f"LiveBench {date}") for name, (value, date) in figures.items()}
        lines: dict[str, list[tuple[tuple[int, ...], str, float, str]]] = {}
        for name, (value, date) in figures.items():
            line, version = split_version(name)
            lines.setdefault(line, []).append((version, name, value, date))
        self._lines = {line: Line(tuple(sorted(versions))) for line, versions in lines.items()}

    def of(self, upstream: str, prices: tuple[Price, ...]) -> Quality:
        """A model's quality by its upstream name; its price helps where the name says nothing."""
        name = canonical(upstream)
        if (known := self._measured.get(name)) is not None:
            return known
        if (relative := self._relative(name, prices)) is not None:
            return relative
        if (size := parameters(upstream)) is not None:
            return Quality(
                _guess(_SIZE_AT_ONE_BILLION + _SIZE_SLOPE * math.log10(max(size, 0.1))), "estimated by its size"
            )
        return by_price(prices)

    def _relative(self, name: str, prices: tuple[Price, ...]) -> Quality | None:
        line, version = split_version(name)
        known = self._lines.get(line)
        if known is None or not version:
            return None
        older = [item for item in known.versions if item[0] < version]
        if older:
            _, ancestor, value, date = older[-1]
            return Quality(value, f"estimated: not below its predecessor {ancestor} (LiveBench {date})")
        _, successor, value, date = known.versions[0]
        price = by_price(prices)
        guess = min(price.value, value - _OLDER) if price.source != "unknown" else value - _OLDER
        return Quality(round(guess, 1), f"estimated: below its successor {successor} (LiveBench {date})")


def split_version(name: str) -> tuple[str, tuple[int, ...]]:
    """`claude-opus-4-8` is version 4.8 of `claude-opus`; a size belongs to the line: `qwen3-6-27b` is 3.6 of `qwen-27b`."""
    numbers = tuple(int(number) for number in _VERSION.findall(name))
    return re.sub(r"-+", "-", _VERSION.sub("", name)).strip("-"), numbers


def by_price(prices: tuple[Price, ...]) -> Quality:
    """What such a price usually buys; `unknown` where there is none, or it is nothing."""
    lasting = [price for price in prices if price.daily is None]
    mixed = float(3 * lasting[-1].rates.input + lasting[-1].rates.output) / 4 if lasting else 0.0
    if not mixed:
        return Quality(UNKNOWN, "unknown")
    return Quality(_guess(_PRICE_AT_ONE_DOLLAR + _PRICE_SLOPE * math.log10(mixed)), "estimated by its price")


def _guess(value: float) -> float:
    low, high = _GUESS_RANGE
    return round(min(high, max(low, value)), 1)
