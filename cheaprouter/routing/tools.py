"""The tools that a request offers, in numbers, and how well they fit what is asked. Pure, linear in the schemas.

What does not depend on the ask is worked out once for a list of tools and kept: a client sends the same one again and again.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, Final

from ..core.records import dataclass

COUNTS: Final = (
    "tools", "tool_size", "tool_parameters", "tool_required", "tool_kinds", "tool_likeness", "tool_fit", "tool_named", "tool_margin",
    "tool_rivals", "tool_wants", "tool_none",
)  # fmt: skip
"""The names of what `Toolbox.fit` returns, in its order; all 0 where no tools are offered."""

KEPT: Final = 16
"""Lists of tools that are kept; the longest unused goes."""

MOST: Final = 64
"""Tools that are looked at more closely."""

_TEXT: Final = 300
"""Characters of a tool's description that are looked at."""
_FIELDS: Final = 24
"""Parameters of a tool whose names are looked at."""
_PLACES: Final = 8
"""Tools that are kept for a word. One that more of them share tells little."""
_STEM: Final = 5
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+")
_HOME: Final = re.compile(
    r"^(?:hass|homeassistant|light|switch|climate|cover|media_player|vacuum|lock|fan|scene|execute_services?|getlivecontext)"
)
_PLAIN: Final = frozenset(
    """a an and any are as at be by can do for from get give given has have how i if in into is it its me my name of on one or
    our out please set should some such that the their them then there these they this to use used using value was we what when where
    which will with you your""".split()  # noqa: SIM905 - a list of words reads best as a text
)
"""English words that tell no tool from another."""
_MEANT: Final = frozenset("the a an of to in is for what and my on me i how from with at it do does are".split())  # noqa: SIM905 - as above
"""Words by which an ask is known to be English, as tools' descriptions nearly always are."""


@dataclass(frozen=True, slots=True)
class Toolbox:
    """A list of tools. `key`: tells it from others. `fixed`: the counts that no ask changes. `home`: they switch things of a home.

    `index`: for each stem the tools whose words it is among, and what it weighs; `names`: those of the tools' names; by hash, so that no
    word stays. `required`: arguments that each tool cannot do without.
    """

    key: int = 0
    fixed: tuple[float, ...] = ()
    home: bool = False
    index: Mapping[int, tuple[float, tuple[int, ...]]] | None = None
    names: frozenset[int] = frozenset()
    required: tuple[int, ...] = ()

    def fit(self, words: Sequence[str], numbers: int) -> list[float]:
        """The counts, `COUNTS`, for an ask of these words with so many numbers in it."""
        if not self.fixed:
            return [0.0] * len(COUNTS)
        best, second, named, rivals, place = self._found(words)
        if place < 0 or self.home or _MEANT.isdisjoint(words):
            # Nothing was looked for, or the ask is in words that no description uses: that nothing fits says nothing then.
            known = not self.home and not _MEANT.isdisjoint(words)
            return [*self.fixed, 0.0, 0.0, 0.0, 0.0, 0.0, float(known)]
        wants = max(0, self.required[place] - numbers)
        return [*self.fixed, best, named, best - second, rivals, float(wants), float(best < _FITS)]

    def _found(self, words: Sequence[str]) -> tuple[float, float, float, float, int]:
        """Shares of the ask's weight that the best tool and the next one cover; the share that names them; how many are near; where it is."""
        assert self.index is not None
        stems = dict.fromkeys([hash(word[:_STEM]) for word in words if word not in _PLAIN])
        scores: dict[int, float] = {}
        for stem in stems:
            found = self.index.get(stem)
            if found is not None:
                weight, places = found
                for place in places:
                    scores[place] = scores.get(place, 0.0) + weight
        if not scores:
            return 0.0, 0.0, 0.0, 0.0, -1
        whole = float(max(1, min(8, len(stems))))
        order = sorted(scores.items(), key=_by_score)
        place, best = order[0]
        second = order[1][1] if len(order) > 1 else 0.0
        near = len([score for _, score in order if score >= 0.8 * best]) - 1
        named = len(self.names.intersection(stems)) / whole
        return min(1.0, best / whole), min(1.0, second / whole), min(1.0, named), math.log1p(near), place


_FITS: Final = 0.15
"""Share of an ask's words that a tool which fits has among its own."""

NO_TOOLS: Final = Toolbox()


def _by_score(item: tuple[int, float]) -> tuple[float, int]:
    return -item[1], item[0]


class Toolboxes:
    """Lists of tools that were offered lately. Bounded."""

    def __init__(self, most: int = KEPT) -> None:
        self._known: OrderedDict[int, Toolbox] = OrderedDict()
        self._most = most

    def of(self, tools: Sequence[Any], schemas: bytes) -> Toolbox:
        """The toolbox of a list, by its JSON."""
        key = hash(schemas)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = opened(tools, key, len(schemas))
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found


def opened(tools: Sequence[Any], key: int, size: int) -> Toolbox:
    """A list of tools, looked at. Never raises, whatever it holds."""
    functions = [_function(tool) for tool in tools[:MOST]]
    names = [_stems(name) for name, _, _ in functions]
    bags = [
        own | _stems(f"{text[:_TEXT]} {' '.join(fields)}")
        for own, (_, text, fields) in zip(names, functions, strict=True)
    ]
    shapes = [_shape(tool) for tool in tools[:MOST]]
    places: dict[int, list[int]] = {}
    for place, bag in enumerate(bags):
        for stem in bag:
            places.setdefault(stem, []).append(place)
    count = max(1, len(bags))
    # A word that many of the tools have tells little of which one is meant.
    index = {stem: (1.0 / math.sqrt(len(at)), tuple(at[:_PLACES])) for stem, at in places.items()}
    fixed = (
        math.log1p(len(tools)),
        math.log1p(size),
        math.log1p(sum(fields for fields, _, _ in shapes)),
        math.log1p(sum(needed for _, needed, _ in shapes) / count),
        math.log1p(sum(kinds for _, _, kinds in shapes) / count),
        _likeness(bags),
    )
    required = tuple(needed for _, needed, _ in shapes)
    return Toolbox(key, fixed, _switches(name for name, _, _ in functions), index, frozenset().union(*names), required)


def _function(tool: object) -> tuple[str, str, list[str]]:
    """A tool's name, description, and its parameters' names."""
    if not isinstance(tool, Mapping):
        return "", "", []
    function = tool.get("function")
    function = function if isinstance(function, Mapping) else tool
    name, text, fields = function.get("name"), function.get("description"), _properties(function)
    known = [field[: _STEM * 8] for field in islice(fields, _FIELDS) if isinstance(field, str)]
    return name[:_TEXT] if isinstance(name, str) else "", text if isinstance(text, str) else "", known


def _properties(function: Mapping[Any, Any]) -> Mapping[Any, Any]:
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _shape(tool: object) -> tuple[int, int, int]:
    """How many parameters a tool has, how many it cannot do without, and how many are lists, objects or one of some words."""
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        return 0, 0, 0
    properties, parameters = _properties(function), function.get("parameters")
    needed = parameters.get("required") if isinstance(parameters, Mapping) else None
    odd = 0
    for field in properties.values():
        if isinstance(field, Mapping) and ("enum" in field or "items" in field or "properties" in field):
            odd += 1
    return len(properties), len(needed) if isinstance(needed, list) else 0, odd


def _stems(text: str) -> set[int]:
    return {hash(low[:_STEM]) for word in _WORD.findall(text) if (low := word.lower()) not in _PLAIN and len(low) > 1}


def _likeness(bags: Sequence[set[int]]) -> float:
    """How much of their words tools share with the one listed before."""
    pairs = [(one, other) for one, other in pairwise(bags) if one or other]
    return sum(len(one & other) / len(one | other) for one, other in pairs) / len(pairs) if pairs else 0.0


def _switches(names: Iterable[str]) -> bool:
    return any(_HOME.match(name.lower()) for name in names)
