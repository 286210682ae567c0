"""What a model's name tells: which one it is, who made it, how big it is; and so how good its answers are, 0 to 100. Pure.

Providers add prefixes, dates and spellings of their own; `canonical` takes them off.

Measured figures are LiveBench means (`data/quality.json` says which). Where there is none, a model is placed by an older
version of itself, by its size or by its price, and its `source` says so. Such guesses are shaded: routing never ranks a
guess above the best figure that was measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ..core.models import Json, Kind, Price, Quality

SMALL: Final = 35.0
"""Quality of the small models whose failures the difficulty of a request is told by."""
POINTS_PER_E: Final = 12.5
"""Points of quality that divide the odds of failing by e."""

_DATE: Final = re.compile(
    r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|(?:0[1-9]|1[0-2])[0-3]\d|2[4-9](?:0[1-9]|1[0-2])|\d\d-20\d\d|v\d+:\d+)(?=$|-)"
)
_NOISE: Final = re.compile(r"-(?:instruct|chat|it|hf|latest|preview|versatile|instant|maas|fp4|fp8|nvfp4|turbo)(?=$|-)")
_SIZE: Final = re.compile(r"(?<![a-z\d.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bt])(?![a-z\d])")
_FAMILIES: Final = (
    ("gpt-oss", "gpt-oss"), ("claude", "claude"), ("gemini", "gemini"), ("gemma", "gemma"), ("deepseek", "deepseek"),
    ("codestral", "mistral"), ("magistral", "mistral"), ("devstral", "mistral"), ("ministral", "mistral"),
    ("mixtral", "mistral"), ("pixtral", "mistral"), ("voxtral", "mistral"), ("mistral", "mistral"), ("grok", "grok"),
    ("nemotron", "nemotron"), ("llama", "llama"), ("qwq", "qwen"), ("qwen", "qwen"), ("kimi", "kimi"),
    ("moonshot", "kimi"), ("glm", "glm"), ("minimax", "minimax"), ("muse", "muse"), ("granite", "granite"),
    ("phi", "phi"), ("chatgpt", "gpt"), ("gpt", "gpt"), ("command", "command"), ("smollm", "smollm"), ("olmo", "olmo"),
)  # fmt: skip

_SEES: Final = re.compile(
    r"llava|vision|minicpm-?v|moondream|pixtral|internvl|gemma-?[34](?!.*270m)|(?<![a-z])vl(?![a-z])"
)
"""Open models that take pictures, by what their names have in common."""

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


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """A model's name without provider path, tag, date and wording, in one spelling: `GLM-5.3` and `glm-5p3` are one."""
    base = name.lower().rsplit("/", 1)[-1]
    base, _, tag = base.partition(":")
    if re.search(r"\d", tag) or tag in ("mini", "small", "large"):
        base = f"{base}-{tag}"
    base = re.sub(r"(?<=\d)p(?=\d)", "-", base)
    base = re.sub(r"[._ ]", "-", base)
    base = re.sub(r"([a-z])-?(\d+)-(\d+)b(?=$|-)", r"\1\2-\3b", base)
    previous = ""
    while base != previous:
        previous = base
        base = _NOISE.sub("", _DATE.sub("", base))
    return re.sub(r"-+", "-", base).strip("-")


def family(name: str) -> str:
    """Who made it and what line it is of: models of one family tend to fail and to be overloaded together."""
    base = name.lower().rsplit("/", 1)[-1]
    return next((found for word, found in _FAMILIES if word in base), re.split(r"[^a-z]", base)[0])


def parameters(name: str) -> float | None:
    """Billions of parameters, where a name such as `qwen3:8b` or `mixtral-8x7b` tells."""
    found = _SIZE.search(name.lower().rsplit("/", 1)[-1])
    if found is None:
        return None
    size = float(found[2]) * (1000 if found[3] == "t" else 1)
    return size * int(found[1]) if found[1] else size


def sees(name: str) -> bool:
    """Whether an open model's name says that it takes pictures, as `llava` and `qwen2.5vl` do."""
    return _SEES.search(name.lower().rsplit("/", 1)[-1]) is not None


# --- how good -------------------------------------------------------------------------------------------------------


def measured(quality: Quality) -> bool:
    """Whether the figure is somebody's measurement, or the user's own word."""
    return quality.source.startswith(("LiveBench", "configured", "home-assistant-datasets"))


def at_home(share: float, small: float) -> float:
    """The quality of a model that does that share of a home's commands right (percent), where the usual small ones do `small`.

    On the one scale of qualities: the small models have `SMALL` points, and the odds of failing are divided by e for every
    `POINTS_PER_E` points above.
    """
    failing, usual = (min(0.98, max(0.02, 1 - one / 100)) for one in (share, small))
    odds = failing / (1 - failing) / (usual / (1 - usual))
    return round(SMALL - POINTS_PER_E * math.log(odds), 1)


class QualityTable:
    """Looks figures up, and guesses where there are none. `abilities`: figures of one kind of request alone, by model."""

    def __init__(
        self,
        figures: Mapping[str, tuple[float, str]],
        abilities: Mapping[Kind, Mapping[str, Quality]] | None = None,
    ) -> None:
        self._abilities = abilities or {}
        self._measured = {name: Quality(value, f"LiveBench {date}") for name, (value, date) in figures.items()}
        self._lines: dict[str, list[tuple[tuple[int, ...], str, float, str]]] = {}
        for name, (value, date) in figures.items():
            line, version = split_version(name)
            self._lines.setdefault(line, []).append((version, name, value, date))
        for versions in self._lines.values():
            versions.sort()

    def of(self, upstream: str, prices: tuple[Price, ...]) -> Quality:
        """A model's quality by its upstream name; its price helps where the name says nothing."""
        name = canonical(upstream)
        if (known := self._measured.get(name)) is not None:
            return known
        if (relative := self._relative(name, prices)) is not None:
            return relative
        if (size := parameters(upstream)) is not None:
            guess = _guess(_SIZE_AT_ONE_BILLION + _SIZE_SLOPE * math.log10(max(size, 0.1)))
            return Quality(guess, "estimated by its size")
        return by_price(prices)

    def abilities(self, upstream: str) -> tuple[tuple[Kind, Quality], ...]:
        """How good a model is at kinds of requests, by its upstream name; of kinds that are not among them nothing is known."""
        name = canonical(upstream)
        return tuple((kind, known[name]) for kind, known in self._abilities.items() if name in known)

    def _relative(self, name: str, prices: tuple[Price, ...]) -> Quality | None:
        line, version = split_version(name)
        known = self._lines.get(line)
        if not known or not version:
            return None
        if older := [item for item in known if item[0] < version]:
            _, ancestor, value, date = older[-1]
            return Quality(value, f"estimated: not below its predecessor {ancestor} (LiveBench {date})")
        _, successor, value, date = known[0]
        price = by_price(prices)
        guess = min(price.value, value - _OLDER) if price.source != "unknown" else value - _OLDER
        return Quality(round(guess, 1), f"estimated: below its successor {successor} (LiveBench {date})")


def abilities_in(table: Json) -> dict[Kind, dict[str, Quality]]:
    """The figures by kind of request in the shipped table, on the scale of qualities, each with its source and date."""
    found: dict[Kind, dict[str, Quality]] = {}
    for kind, told in table.items():
        small, source = float(told["small"]), f"{str(told['source']).partition(' ')[0]} {told['date']}"
        found[Kind(kind)] = {
            name: Quality(at_home(float(share), small), f"{source}: {share:.0f} of 100 right")
            for name, (share, _) in told["measured"].items()
        }
    return found


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
